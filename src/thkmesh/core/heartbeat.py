"""Is the other end of a path alive?

Engines are slow to tell: a peer that vanished is noticed after 5 to 30 seconds,
and a closed connection sometimes never. So every link asks for itself. A ping
goes out every ``interval``; anything that arrives answers it. A path has stalled
when a ping has stayed unanswered for ``patience``, never from silence alone: who
was not asked need not answer, and while *we* slept nobody is to blame. An answer
may wait behind what is sent again and again: so the patience is four times what
one usually takes, if that is more, up to ``LONGEST``. "Usually" is the median of
the last few, for one that waited through an outage says nothing of the path.

When there is reason to doubt the path (the network has changed), it is asked at once
and often, and has less time to answer: ``DOUBT_PATIENCE``, or again four times what
it usually takes.
What was under way as the doubt arose may still arrive, and answers the first ping only.
"""

from collections import deque
from typing import Final

__all__ = [
    "DOUBT",
    "DOUBT_INTERVAL",
    "DOUBT_PATIENCE",
    "INTERVAL",
    "LONGEST",
    "PATIENCE",
    "Heartbeat",
]

INTERVAL: Final = 2.0
PATIENCE: Final = 6.0

LONGEST: Final = 30.0
"""Seconds after which a ping is answered by nobody, however slow the path."""

DOUBT: Final = 3.0
"""Seconds for which a path is doubted."""

DOUBT_INTERVAL: Final = 0.5
DOUBT_PATIENCE: Final = 1.5

_ROUNDS: Final = 4
"""How often what an answer usually takes must have passed before nobody waits any longer."""

_TRIPS: Final = 9
"""So many of the last answers say what is usual."""


class Heartbeat:
    """Decides when to ping, and when silence has become a stall."""

    def __init__(self, interval: float = INTERVAL, patience: float = PATIENCE) -> None:
        """Begin stopped.

        Args:
            interval: seconds between two pings.
            patience: seconds that a ping may stay unanswered, at least.
        """
        self.sent = 0
        self._interval = interval
        self._patience = patience
        self._timed: tuple[int, float] | None = None
        """Which ping went out when, of those unanswered, to see how long it takes."""
        self._trips: deque[float] = deque(maxlen=_TRIPS)
        self._next: float | None = None
        self._unanswered: float | None = None
        self._doubted_until: float | None = None
        self._doubted: float | None = None
        """Since when a ping has been unanswered that went out in doubt."""

    @property
    def deadline(self) -> float | None:
        """When the next ping is due, or the patience ends."""
        due, end = self._next, self._end
        return end if due is None or (end is not None and end < due) else due

    @property
    def _end(self) -> float | None:
        """When the patience ends; None while nothing is unanswered."""
        if self._unanswered is None:
            return None
        end = self._unanswered + max(self._patience, self._rounds)
        return end if self._doubted is None else min(end, self._doubted + self.doubt_patience)

    @property
    def doubt_patience(self) -> float:
        """Seconds that a doubted path has to answer."""
        return max(DOUBT_PATIENCE, self._rounds)

    @property
    def _rounds(self) -> float:
        """Seconds in which a path that is alive has answered, going by what is usual."""
        usual = sorted(self._trips)[len(self._trips) // 2] if self._trips else 0.0
        return min(LONGEST, _ROUNDS * usual)

    def start(self, now: float) -> None:
        """Begin to ask; the first ping goes out after the interval."""
        self.stop()
        self._next = now + self._interval

    def stop(self) -> None:
        """Ask no more."""
        self._next = None
        self._timed = None
        self._unanswered = None
        self._doubted_until = None
        self._doubted = None

    def doubt(self, now: float) -> None:
        """Ask at once, and often for a while; does nothing while stopped."""
        if self._next is not None:
            self._next = now
            self._doubted_until = now + DOUBT
            self._doubted = None

    def heard(self) -> None:
        """Take note that something arrived."""
        self._unanswered = None
        self._doubted = None

    def answered(self, n: int, now: float) -> None:
        """Learn from the answer to a ping how long one takes."""
        if self._timed is not None and n == self._timed[0]:
            self._trips.append(now - self._timed[1])
            self._timed = None

    def slept(self, duration: float) -> None:
        """Give back the time that we did not listen."""
        self._timed = None
        if self._unanswered is not None:
            self._unanswered += duration
        if self._doubted is not None:
            self._doubted += duration

    def stalled(self, now: float) -> bool:
        """Tell whether a ping has stayed unanswered for too long."""
        return self._end is not None and now >= self._end

    def ping(self, now: float) -> int | None:
        """Return the number of the ping that is due, None if none is."""
        if self._next is None or now < self._next:
            return None
        doubted = self._doubted_until is not None and now < self._doubted_until
        self._next = now + (min(DOUBT_INTERVAL, self._interval) if doubted else self._interval)
        if self._unanswered is None:
            self._unanswered = now
        if doubted and self._doubted is None:
            self._doubted = now
        self.sent += 1
        if self._timed is None:
            self._timed = (self.sent, now)
        return self.sent
