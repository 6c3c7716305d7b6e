"""Messages of any size on their way in: pieces as they come, for whoever reads them.

Each reader of a room or a channel has a ``Tap`` of its own for each transfer. What it has
not read lies there, and its sender is told of a piece once all readers have taken it: so
who does not read stops the sender, on that channel. Who has no use for the rest closes
the stream, or lets go of it: an unread stream that nobody can reach any more is closed.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Self

from thkmesh.core.frames import OVERHEAD_BYTES
from thkmesh.core.identity import SessionKey
from thkmesh.core.pieces import Ending
from thkmesh.core.session_events import DeliverPiece
from thkmesh.crossing import Ledger, Receipt
from thkmesh.errors import MessageTooLarge, StreamBroken
from thkmesh.events import READ_ALL_BYTES, ByteStream

__all__ = ["Arrivals", "Tap", "TappedStream", "joined"]

_REASONS: Final = {
    Ending.ABORTED: "its sender gave it up",
    Ending.BROKEN: "it has not the length that its sender said",
}


class Tap:
    """What one reader has not taken yet of a transfer; thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        """Begin empty; receipts go to ``ledger``."""
        self._ledger = ledger
        self._lock = threading.Lock()
        self._pieces: deque[tuple[bytes, Receipt]] = deque()
        self._ended = False
        self._reason: str | None = None
        self._closed = False
        self._wakes: list[Callable[[], None]] = []
        self.group: list[Tap] = [self]
        """The taps of all readers of this transfer."""

    @property
    def closed(self) -> bool:
        """Whether nothing more is wanted."""
        return self._closed

    def put(self, payload: bytes, receipt: Receipt) -> None:
        """Add a piece, with what is owed to its sender once it is taken."""
        with self._lock:
            kept = not self._closed and bool(payload)
            if kept:
                self._pieces.append((payload, receipt))
            wakes, self._wakes = self._wakes, []
        if not kept:
            self._ledger.read(receipt)
        for wake in wakes:
            wake()

    def end(self, reason: str | None) -> None:
        """Say that no more will come, and why not; None if it is whole."""
        with self._lock:
            if not self._ended:
                self._ended, self._reason = True, reason
            wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()

    def take(self) -> bytes | None:
        """Return the next piece; None if there is none, or will be none.

        Raises:
            StreamBroken: it ended before it was whole.
        """
        with self._lock:
            if not self._pieces:
                if self._reason is not None:
                    raise StreamBroken(self._reason)
                return None
            payload, receipt = self._pieces.popleft()
        self._ledger.read(receipt)
        return payload

    def expect(self, wake: Callable[[], None]) -> bool:
        """Have ``wake`` called, on any thread, when there is news; False if there is some."""
        with self._lock:
            if self._pieces or self._ended:
                return False
            self._wakes.append(wake)
            return True

    @property
    def over(self) -> bool:
        """Whether everything of it has been taken."""
        return self._ended and not self._pieces

    def close(self, reason: str | None = None) -> None:
        """Want nothing more: what is here, and what comes, is thrown away.

        ``reason``: what who reads on is told; None if that was its own wish.
        """
        with self._lock:
            self._closed = self._ended = True
            self._reason = reason
            pieces, self._pieces = self._pieces, deque()
            wakes, self._wakes = self._wakes, []
        for _, receipt in pieces:
            self._ledger.read(receipt)
        for wake in wakes:
            wake()

    def share(self) -> "Tap":
        """Return another in which the same waits; not while a piece is being put."""
        other = Tap(self._ledger)
        with self._lock:
            self._ledger.share(receipt for _, receipt in self._pieces)
            other._pieces.extend(self._pieces)
            other._ended, other._reason, other._closed = self._ended, self._reason, self._closed
            other.group = self.group
            other.group.append(other)
        return other

    def abandon(self) -> None:
        """Close it soon; takes no lock, so it can be called wherever garbage is collected."""
        if not self.over:
            self._ledger.later(self.close)


def joined(taken: list[bytes], size: int, limit: int) -> bytes:
    """Return all that was taken.

    Raises:
        MessageTooLarge: it is more than the limit.
    """
    if size > limit:
        raise MessageTooLarge(f"a stream of more than {limit} bytes")
    return b"".join(taken)


class TappedStream(ByteStream):
    """A stream for programs with an event loop."""

    def __init__(self, tap: Tap) -> None:
        """Read from a tap."""
        self._tap = tap

    def __aiter__(self) -> Self:
        """Return itself; chunks are taken once."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk; cancelling loses none."""
        while True:
            piece = self._tap.take()
            if piece is not None:
                return piece
            if self._tap.over:
                raise StopAsyncIteration
            loop = asyncio.get_running_loop()
            news = asyncio.Event()

            def wake(loop: asyncio.AbstractEventLoop = loop, news: asyncio.Event = news) -> None:
                with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                    loop.call_soon_threadsafe(news.set)

            if self._tap.expect(wake):
                await news.wait()

    async def read_all(self, limit: int = READ_ALL_BYTES) -> bytes:
        """Return all that is still to come."""
        taken: list[bytes] = []
        size = 0
        async for chunk in self:
            taken.append(chunk)
            size += len(chunk)
            if size > limit:
                await self.aclose()
        return joined(taken, size, limit)

    async def aclose(self) -> None:
        """Want nothing more of it."""
        self._tap.close()

    def let_go(self, reason: str) -> None:
        """Throw it away, as nobody may ever read it."""
        self._tap.close(reason)

    def share(self) -> "TappedStream":
        """Return another of which as much has been read."""
        return TappedStream(self._tap.share())

    def __del__(self) -> None:
        """Close it: nobody can read it any more."""
        self._tap.abandon()


class Arrivals:
    """The transfers of a room that are under way to its readers; thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        """Know of none."""
        self._ledger = ledger
        self._lock = threading.Lock()
        self._taps: dict[tuple[SessionKey, int, int], tuple[str, list[Tap]]] = {}

    def begin(self, output: DeliverPiece, taps: list[Tap]) -> None:
        """Take note of who reads a transfer."""
        piece = output.piece
        with self._lock:
            self._taps[output.source, piece.stream, piece.transfer] = piece.channel, taps

    def put(self, output: DeliverPiece) -> None:
        """Hand a piece to who reads its transfer."""
        piece = output.piece
        key = (output.source, piece.stream, piece.transfer)
        over = piece.ending is not Ending.GOES_ON
        with self._lock:
            _, taps = self._taps.pop(key, ("", [])) if over else self._taps.get(key, ("", []))
        readers = [tap for tap in taps if not tap.closed]
        # The first one's overhead is that of the message itself; see ``hand_out_stream``.
        cost = piece.cost - OVERHEAD_BYTES if piece.begins else piece.cost
        receipt = Receipt(output.source, piece.stream, cost, len(readers))
        if not readers:
            self._ledger.read(receipt)
        for tap in readers:
            tap.put(piece.payload, receipt)
            if over:
                tap.end(_REASONS.get(piece.ending))

    def break_off(
        self,
        reason: str,
        *,
        source: SessionKey | None = None,
        stream: int | None = None,
        channel: str | None = None,
    ) -> None:
        """End all transfers that are not over, or those of a session, stream or channel."""
        with self._lock:
            broken = [
                key
                for key, (name, _) in self._taps.items()
                if (source is None or key[0] == source)
                and (stream is None or key[1] == stream)
                and (channel is None or name == channel)
            ]
            taps = [tap for key in broken for tap in self._taps.pop(key)[1]]
        for tap in taps:
            tap.end(reason)
