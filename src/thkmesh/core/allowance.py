"""How much of something may be had in time: a token bucket.

So much at once, and more at a steady rate, never more than at first. Who guards
something takes what is asked for, if there is so much, and else refuses (new
connections for a peer, what the server passes on). Who paces itself spends while there
is something left, may owe up to one message, and waits until that is paid back. Several
who share it take turns, a message each: first come, first served.
"""

from thkmesh.core.identity import SessionKey

__all__ = ["Allowance"]


class Allowance:
    """What somebody may still have."""

    def __init__(self, most: float, rate: float) -> None:
        """Begin with ``most``; ``rate`` comes in a second."""
        self._rate = rate
        self._most = self._left = float(most)
        self._since = 0.0
        self._queue: dict[SessionKey, None] = {}

    def set(self, most: float, rate: float, now: float) -> None:
        """Change both; what grew until now counts, and what is given first is all there."""
        self._grow(now)
        self._left = min(self._left, most) if self._rate else float(most)
        self._most, self._rate = float(most), rate

    def take(self, amount: float, now: float) -> bool:
        """Take so much if there is so much; tell whether there was."""
        self._grow(now)
        if self._left < amount:
            return False
        self._left -= amount
        return True

    def spend(self, amount: float, now: float) -> None:
        """Take so much whatever there is."""
        self._grow(now)
        self._left -= amount

    def turn(self, who: SessionKey, now: float) -> bool:
        """Tell whether one may spend now; who may not, waits until it is the first."""
        self._grow(now)
        if self._left > 0 and self.first in (None, who):
            self._queue.pop(who, None)
            return True
        self._queue.setdefault(who)
        return False

    def withdraw(self, who: SessionKey) -> None:
        """Wait no longer."""
        self._queue.pop(who, None)

    @property
    def first(self) -> SessionKey | None:
        """Who has waited longest; None if nobody waits."""
        return next(iter(self._queue), None)

    @property
    def due(self) -> float | None:
        """When the first may spend; None if nobody waits, or it never may."""
        if not self._queue or not self._rate:
            return None
        return self._since + max(0.0, 1 - self._left) / self._rate

    def next(self, now: float) -> SessionKey | None:
        """Return who waits and may spend now; None if nobody does."""
        if not self._queue:
            return None
        self._grow(now)
        return self.first if self._left > 0 else None

    def _grow(self, now: float) -> None:
        grown = max(0.0, now - self._since) * self._rate
        self._left = min(self._most, self._left + grown)
        self._since = now
