"""How much the engine is given ahead of what it sends.

What the engine holds nobody can overtake: on a slow link a line of chat waits for all
of it. With too little the engine runs dry before we hear that it wants more. So the
window is what the link carries in ``AHEAD`` seconds: twice the product of its rate and
the delay of *this* loop, which is the time from the engine's word that it runs low to
the next datagram of ours. What is on its way the engine does not count as held (W3C:
``bufferedAmount``); SCTP has a window for that. But it takes in at once what the answers
of a round trip have made room for: on a long path, of which they come in one burst, that
may be all that the path carries in a round trip, and twice that as SCTP begins slowly (RFC
9260, section 7.2.1). So of a path that is longer than half of that, it is two round trips
instead. By ``rtt`` the engine's own checks are meant, which wait behind nothing.

The rate is seen while the engine is kept busy: how much less it holds, over the time
that took. A sample begins when the window is full although more waits, and ends when the
low-water mark (a quarter of the window) is reached, or with the first word of progress
after ``_SAMPLE`` seconds, or one and a half round trips. So who has little to send
learns nothing, and keeps the window that it had. As SCTP takes in at once what its own
window leaves open, the window at most doubles with a sample, and at most halves.

Not all words are fresh: libwebrtc says only now and then how much has gone, by 100 KiB or
when all has. But that the mark has been crossed it says. So a word without progress still
tells how much may have gone at most, and what the rate is at most. And an engine that has
nothing left may have waited for us: that it was fast at least, but not that it is slow.
"""

from typing import Final

from thkmesh.core.frames import FRAGMENT_BYTES

__all__ = ["AHEAD", "LEAST_BYTES", "LONGEST", "MOST_BYTES", "SendWindow"]

AHEAD: Final = 0.1
"""Seconds for which the engine is given something to send, at least."""

LONGEST: Final = 0.5
"""Seconds of round trip that are believed."""

LEAST_BYTES: Final = 32 * 1024
MOST_BYTES: Final = 1024 * 1024
"""Bounds of the window; it begins with the least."""

_SAMPLE: Final = AHEAD / 2
"""Seconds after which progress says well enough what the rate is, at least."""


class SendWindow:
    """What one engine's buffer may hold.

    Attributes:
        size_bytes: nothing more is handed on while the engine holds this.
        held_bytes: how much it holds, at most, for all we know.
    """

    def __init__(self) -> None:
        """Begin with an empty engine of which nothing is known."""
        self.size_bytes = LEAST_BYTES
        self.held_bytes = 0
        self._busy_since: float | None = None
        """When the sample began; None outside of one."""
        self._drained_bytes = 0
        """How much has left the engine since."""
        self._trip: float | None = None
        """The shortest round trip that was seen."""
        self._ahead = AHEAD
        self._sample = _SAMPLE

    @property
    def full(self) -> bool:
        """Tell whether the engine has enough."""
        return self.held_bytes >= self.size_bytes

    @property
    def low_water_bytes(self) -> int:
        """What the engine should have left when it says that it runs low."""
        return self.size_bytes // 4

    @property
    def fragment_bytes(self) -> int:
        """How finely messages are cut, for others to come in between: half of the window."""
        return min(self.size_bytes // 2, FRAGMENT_BYTES)

    def crossed(self, rtt: float | None) -> None:
        """Take the engine's word for the round trip of its path, in seconds; None says nothing."""
        if rtt is None or (self._trip is not None and rtt >= self._trip):
            return
        self._trip = rtt
        trip = min(rtt, LONGEST)
        self._ahead = max(AHEAD, 2 * trip)
        # The first answers of a burst say nothing of how many follow.
        self._sample = max(_SAMPLE, 1.5 * trip)

    def filled(self, now: float) -> None:
        """Take note that it has just been filled, and that more waits."""
        if self._busy_since is None:
            self._busy_since = now
            self._drained_bytes = 0

    def measured(self, held_bytes: int, now: float) -> None:
        """Take the engine's word for what it still holds."""
        progress = held_bytes < self.held_bytes
        self._drained_bytes += self.held_bytes - held_bytes
        self.held_bytes = held_bytes
        if self._busy_since is None:
            return
        elapsed = now - self._busy_since
        low = held_bytes <= self.low_water_bytes
        if low or (progress and elapsed >= self._sample):
            self._learn(elapsed)
            self._busy_since = None if low else now
            self._drained_bytes = 0
        elif elapsed > 0.0:
            most = self._drained_bytes + held_bytes - self.low_water_bytes
            self._resize(min(float(self.size_bytes), most / elapsed * self._ahead))

    def _learn(self, elapsed: float) -> None:
        wanted = self._drained_bytes / elapsed * self._ahead if elapsed > 0.0 else float(MOST_BYTES)
        least = self.size_bytes / 2 if self.held_bytes else self.size_bytes
        self._resize(min(max(wanted, least), self.size_bytes * 2))

    def _resize(self, wanted_bytes: float) -> None:
        self.size_bytes = min(max(int(wanted_bytes), LEAST_BYTES), MOST_BYTES)
