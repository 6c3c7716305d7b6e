"""How much of something may be had in time: a token bucket.

So much at once, and more at a steady rate, never more than at first. Who guards
something takes what is asked for, if there is so much, and else refuses (new
connections for a peer, what the server passes on). Who paces itself spends while there
is something left, may owe up to one message, and waits until that is paid back.
"""

__all__ = ["Allowance"]


class Allowance:
    """What somebody may still have."""

    def __init__(self, most: float, rate: float) -> None:
        """Begin with ``most``; ``rate`` comes in a second."""
        self._rate = rate
        self._most = self._left = float(most)
        self._since = 0.0

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

    def free_at(self, now: float) -> float:
        """Return from when on something may be spent; ``now`` if it may be at once."""
        self._grow(now)
        return now if self._left > 0 else now + (1 - self._left) / self._rate

    def _grow(self, now: float) -> None:
        grown = max(0.0, now - self._since) * self._rate
        self._left = min(self._most, self._left + grown)
        self._since = now
