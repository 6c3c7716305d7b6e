"""What comes from one session: its streams, put together, and acknowledged in time."""

from thkmesh.core.frames import DIRECT, Ack, Begin, Fragment, Skip, content
from thkmesh.core.streams import ACK_DELAY, Incoming
from thkmesh.errors import InvalidMessage
from thkmesh.events import Data

__all__ = ["Inbox"]


class Inbox:
    """The receiving half of a link."""

    def __init__(self) -> None:
        """Know of no stream."""
        self._streams: dict[int, Incoming] = {}
        self.ack_due: float | None = None
        """When to acknowledge what arrived; None when that is done."""

    @property
    def expected(self) -> dict[int, int]:
        """By stream, the number of the fragment that is expected next."""
        return {stream: incoming.expected for stream, incoming in self._streams.items()}

    @property
    def begun(self) -> bool:
        """Tell whether the other side has ever sent anything, or could have."""
        return bool(self._streams)

    def begin(self, begins: dict[int, Begin]) -> None:
        """Take note of where streams begin; known ones go on where they are."""
        for stream, begin in begins.items():
            if stream not in self._streams:
                self._streams[stream] = Incoming(begin)

    def receive(
        self, fragment: Fragment, now: float, *, lossy: bool = False
    ) -> tuple[Data, bool] | None:
        """Take a fragment; return a message and whether it is for us alone, once complete.

        Args:
            fragment: what came.
            now: seconds.
            lossy: it came over a path that may lose: what leaves a gap is ignored.

        Raises:
            InvalidMessage: it makes no sense, here or at all.
        """
        if lossy and fragment.stream not in self._streams:
            return None
        whole = self._stream(fragment.stream).receive(fragment, lossy=lossy)
        if self.ack_due is None:
            self.ack_due = now + ACK_DELAY
        if whole is None:
            return None
        return content(whole.kind, whole.payload), whole.stream == DIRECT

    def skip(self, skip: Skip, now: float, *, lossy: bool = False) -> int:
        """Go to where the stream goes on; return how many messages that loses.

        Raises:
            InvalidMessage: it makes no sense.
        """
        if lossy and skip.stream not in self._streams:
            return 0
        self.ack_due = now
        return self._stream(skip.stream).skip(skip.to)

    def acknowledge(self) -> Ack | None:
        """Return the acknowledgement that is owed, as if it was sent; None if none is."""
        if self.ack_due is None:
            return None
        self.ack_due = None
        return Ack(self.expected)

    def _stream(self, stream: int) -> Incoming:
        incoming = self._streams.get(stream)
        if incoming is None:
            raise InvalidMessage(f"stream {stream} has not begun")
        return incoming
