"""What goes to one session: its places in two logs, and its engine's window.

An engine's buffer is lost with its connection, and it kills the channel at 16
MiB. So fragments stay in their logs (see ``streams``) until they are acknowledged,
and only a shallow window is handed on, small ones many to a datagram.

The engine tells us how much it still holds only when asked (``MeasureBuffer``)
and when it falls to the low-water mark (``BufferLow``); ``take`` stops at
``WINDOW_BYTES`` until one of the two has been heard.
"""

from collections.abc import Iterator
from typing import Final

from thkmesh.core.frames import BROADCAST, DIRECT, VERSION, Resume, Skip
from thkmesh.core.streams import Log, Outgoing

__all__ = ["BATCH_BYTES", "LOW_WATER_BYTES", "WINDOW_BYTES", "Outbox"]

WINDOW_BYTES: Final = 1024 * 1024
"""No more than this is in the engine's buffer."""

LOW_WATER_BYTES: Final = 256 * 1024
"""When the engine's buffer has fallen to this, it is given more."""

BATCH_BYTES: Final = 16 * 1024
"""Fragments share a datagram up to this size; a larger one has its own."""

_OVERHEAD_BYTES: Final = 64
"""What an empty datagram counts, so that a million of them are not free."""


class Outbox:
    """The sending half of a link.

    Attributes:
        direct_log: where messages to this session alone are put.
        ready: what the other side has is known, so that sending may go on from there.
    """

    def __init__(self, broadcast: Log, order: Iterator[int]) -> None:
        """Owe what is appended from now on; ``order`` as in ``Log``."""
        self._broadcast = broadcast
        self.direct_log = Log(order)
        self.ready = True  # It has nothing, as nothing was ever sent.
        self._held = 0
        self._attach()

    def _attach(self) -> None:
        self._everybody = Outgoing(BROADCAST, self._broadcast)
        self._direct = Outgoing(DIRECT, self.direct_log)

    @property
    def _all(self) -> tuple[Outgoing, Outgoing]:
        return (self._everybody, self._direct)

    @property
    def waiting(self) -> bool:
        """Tell whether there is something to send."""
        return self._everybody.waiting or self._direct.waiting

    @property
    def waiting_bytes(self) -> int:
        """Return how much is queued and not yet with the engine."""
        return self._everybody.waiting_bytes + self._direct.waiting_bytes

    @property
    def acknowledged_bytes(self) -> int:
        """Return how much the other side has said to have."""
        return self._everybody.acked_bytes + self._direct.acked_bytes

    @property
    def unacknowledged(self) -> int:
        """How many messages are not known to have arrived."""
        return self._everybody.unacknowledged + self._direct.unacknowledged

    @property
    def lagging(self) -> bool:
        """Tell whether the log of broadcasts waits for this session."""
        return self._everybody.last and self._everybody.unacknowledged > 0

    @property
    def adrift(self) -> bool:
        """Tell whether this session was cut loose, and has taken in nothing since."""
        return self._everybody.skip is not None

    # --- connections ------------------------------------------------------------------

    def begin(self, expected: dict[int, int]) -> Resume:
        """Return what is said first on a new connection; ``expected`` is our inbox's."""
        self._held = 0
        begins = {each.stream: each.begin for each in self._all}
        if any(each.sent > each.begin.number or each.skip for each in self._all):
            self.ready = False
        return Resume(begins, expected)

    def resume(self, expected: dict[int, int]) -> list[Skip]:
        """Go on from what the other side expects; return what else it must know.

        Raises:
            InvalidMessage: it cannot expect that.
        """
        if not self.ready:
            for each in self._all:
                each.resume(expected.get(each.stream, each.begin.number))
        self.ready = True
        return [Skip(each.stream, each.skip) for each in self._all if each.skip is not None]

    def acknowledge(self, expected: dict[int, int]) -> None:
        """Take the other side's word for what it has.

        Raises:
            InvalidMessage: it cannot have that.
        """
        for each in self._all:
            if each.stream in expected:
                each.acknowledge(expected[each.stream])

    def cut_loose(self) -> tuple[int, Skip | None]:
        """Owe no broadcast any more; return how many that is, and what to say, if to anybody."""
        count = self._everybody.cut_loose()
        skip = self._everybody.skip
        return count, Skip(BROADCAST, skip) if skip and self.ready else None

    # --- the engine's window ------------------------------------------------------------

    def take(self) -> list[bytes]:
        """Return the datagrams that fit the engine's window now."""
        taken: list[bytes] = []
        while self.ready and self.waiting and self._held < WINDOW_BYTES:
            parts = [VERSION]
            size = 0
            while self.waiting:
                each = self._next()
                if size and size + each.next_size() > BATCH_BYTES:
                    break
                frame = each.take()
                parts.append(frame)
                size += len(frame)
            self._held += size + _OVERHEAD_BYTES
            taken.append(b"".join(parts))
        return taken

    def _next(self) -> Outgoing:
        """Return the stream whose next fragment was sent first."""
        if not self._direct.waiting:
            return self._everybody
        if not self._everybody.waiting:
            return self._direct
        return min(self._all, key=lambda each: each.order)

    @property
    def must_measure(self) -> bool:
        """Tell whether fragments wait although the engine may have sent what it held."""
        return self.waiting and self._held >= WINDOW_BYTES

    def measured(self, held_bytes: int) -> None:
        """Take the engine's word for what it still holds."""
        self._held = held_bytes

    # --- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """Forget everything; the peer is gone."""
        for each in self._all:
            each.detach()

    def again(self) -> None:
        """Begin again with the same session, which may not have noticed that it was gone.

        What was not sent to it meanwhile it has lost; it is told so if it had been here.
        """
        self._attach()
        for each in self._all:
            each.skip = each.begin
