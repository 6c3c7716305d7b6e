"""Is the other end of a path alive?

Engines are slow to tell: a peer that vanished is noticed after 5 to 30 seconds,
and a closed connection sometimes never. So every link asks for itself. A ping
goes out every ``interval``; anything that arrives answers it. A path has stalled
when a ping has stayed unanswered for ``patience``, never from silence alone: who
was not asked need not answer, and while *we* slept nobody is to blame.
"""

from typing import Final

__all__ = ["INTERVAL", "PATIENCE", "Heartbeat"]

INTERVAL: Final = 2.0
PATIENCE: Final = 6.0


class Heartbeat:
    """Decides when to ping, and when silence has become a stall."""

    def __init__(self, interval: float = INTERVAL, patience: float = PATIENCE) -> None:
        """Begin stopped.

        Args:
            interval: seconds between two pings.
            patience: seconds that a ping may stay unanswered.
        """
        self.sent = 0
        self._interval = interval
        self._patience = patience
        self._next: float | None = None
        self._unanswered: float | None = None

    @property
    def deadline(self) -> float | None:
        """When the next ping is due, or the patience ends."""
        times = [self._next] if self._next is not None else []
        if self._unanswered is not None:
            times.append(self._unanswered + self._patience)
        return min(times, default=None)

    def start(self, now: float) -> None:
        """Begin to ask; the first ping goes out after the interval."""
        self._next = now + self._interval
        self._unanswered = None

    def stop(self) -> None:
        """Ask no more."""
        self._next = None
        self._unanswered = None

    def heard(self) -> None:
        """Take note that something arrived."""
        self._unanswered = None

    def slept(self, duration: float) -> None:
        """Give back the time that we did not listen."""
        if self._unanswered is not None:
            self._unanswered += duration

    def stalled(self, now: float) -> bool:
        """Tell whether a ping has stayed unanswered for too long."""
        return self._unanswered is not None and now >= self._unanswered + self._patience

    def ping(self, now: float) -> int | None:
        """Return the number of the ping that is due, None if none is."""
        if self._next is None or now < self._next:
            return None
        self._next = now + self._interval
        if self._unanswered is None:
            self._unanswered = now
        self.sent += 1
        return self.sent
