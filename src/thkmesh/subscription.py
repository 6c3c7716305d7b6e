"""How an application reads what happens in a room."""

import asyncio
from collections.abc import Iterable
from typing import Generic, Protocol, Self, TypeVar, cast

from thkmesh.bytestream import Tap, TappedStream
from thkmesh.core.frames import OVERHEAD_BYTES
from thkmesh.core.session_events import Deliver, DeliverPiece
from thkmesh.crossing import EventBuffer, Ledger, Receipt
from thkmesh.errors import MeshError
from thkmesh.events import ByteStream, Event, Message, PlainByteStream
from thkmesh.host import require_context

__all__ = ["Reader", "Source", "Subscription", "count_out", "hand_out", "hand_out_stream"]


_Taken = TypeVar("_Taken", bound=Event, covariant=True)


class Reader(Protocol):
    """Who is told what happens in a room, or on a channel."""

    @property
    def keeps(self) -> bool:
        """Whether it keeps what it is told."""
        ...

    @property
    def begun(self) -> bool:
        """Whether somebody reads it, or is certain to."""
        ...

    def put(self, event: Event, receipt: Receipt | None = None, *, latest: bool = False) -> None:
        """Take an event, with the receipt for a message; called on the session's thread.

        ``latest``: it supersedes what was said under its key before.
        """

    def put_passing(self, event: Event) -> None:
        """Take a message that need not arrive; called on the session's thread."""

    def stream(self, tap: Tap) -> ByteStream | PlainByteStream:
        """Return what a message that is streamed is read by."""
        ...

    def let_go(self) -> None:
        """Give the receipts for all that is here: it may never be taken."""

    def wake(self) -> None:
        """Look: there are events, or the room is closed; called on the room's loop."""


def hand_out(readers: Iterable[Reader], output: Deliver, ledger: Ledger) -> None:
    """Give a message to all readers, and a receipt for it to those who count.

    A room that nobody iterates over must not stop those who send to it while a
    subscription is read. But if nobody reads anything yet, they wait.
    """
    takers = [each for each in readers if each.keeps]
    if len(takers) == 1 and output.cost:  # mostly
        receipt = Receipt(output.source, output.stream, output.cost, 1)
        takers[0].put(output.message, receipt, latest=output.latest)
        return
    if not output.cost:
        for reader in takers:
            reader.put_passing(output.message)
        return
    counting = [each for each in takers if each.begun] or takers
    receipt = Receipt(output.source, output.stream, output.cost, len(counting))
    if not counting:
        ledger.read(receipt)
    for reader in takers:
        given = receipt if reader in counting else None
        reader.put(output.message, given, latest=output.latest)


def hand_out_stream(readers: Iterable[Reader], output: DeliverPiece, ledger: Ledger) -> list[Tap]:
    """Give a message that begins to all readers; return where its pieces are to be put.

    Who does not count (see ``hand_out``) is not waited for, and so cannot read it.
    """
    piece = output.piece
    takers = [each for each in readers if each.keeps]
    counting = [each for each in takers if each.begun] or takers
    receipt = Receipt(output.source, piece.stream, OVERHEAD_BYTES, len(counting))
    if not counting:
        ledger.read(receipt)
    taps: list[Tap] = []
    for reader in takers:
        tap = Tap(ledger)
        if reader in counting:
            tap.group = taps
            taps.append(tap)
        else:
            tap.close("nobody was reading here")
        data = reader.stream(tap)
        message = Message(output.peer, data, bool(piece.stream & 1), piece.channel)
        reader.put(message, receipt if reader in counting else None)
    return taps


def count_out(readers: Iterable[Reader]) -> None:
    """Have nobody wait for readers that have not begun, now that there are others."""
    for reader in readers:
        if not reader.begun:
            reader.let_go()


class Source(Protocol):
    """The room, or the channel, as far as a subscription knows it."""

    @property
    def ledger(self) -> Ledger:
        """What takes receipts."""
        ...

    @property
    def error(self) -> MeshError | None:
        """Why nothing more will happen; None if that was asked for."""
        ...

    @property
    def closed(self) -> bool:
        """Whether nothing more will happen."""
        ...

    def detach(self, reader: Reader) -> None:
        """Tell a reader no more."""


class Subscription(Generic[_Taken]):
    """One reader's view of what happens in a room, or on a channel, in order.

    Iterating ends when the room is left or the channel closed, and raises if the room
    ended otherwise. Each subscription gets everything; what it does not take waits, and
    so do, before long, those who send it. ``close`` one that is not read any more.
    """

    def __init__(
        self,
        source: Source,
        *,
        keep: bool = True,
        begun: bool = True,
        buffer: EventBuffer | None = None,
    ) -> None:
        """Use ``Room.subscribe`` or ``Channel.subscribe``."""
        self._source = source
        self.keeps = keep
        self.begun = begun
        self._buffer = buffer or EventBuffer(source.ledger)
        self._wake = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> Self:
        """Return itself; events are taken once."""
        self.begun = True
        return self

    async def __anext__(self) -> _Taken:
        """Return the next event; cancelling loses none.

        Raises:
            StopAsyncIteration: the room was left, or this subscription closed.
            MeshError: the room ended for another reason.
            WrongContext: after fork.
        """
        require_context()
        self.begun = True
        while True:
            event = self._buffer.take()
            if event is not None:
                return cast("_Taken", event)
            if self._closed:
                raise StopAsyncIteration
            if self._source.closed:
                error = self._source.error
                if error is not None:
                    raise error
                raise StopAsyncIteration
            self._wake.clear()
            if not len(self._buffer):
                await self._wake.wait()

    def take_nowait(self) -> _Taken | None:
        """Return the next event that is already here, else None."""
        self.begun = True
        return cast("_Taken | None", self._buffer.take())

    def unread(self) -> EventBuffer:
        """Return a copy of what waits."""
        return self._buffer.copy()

    def close(self) -> None:
        """Take no more events; iterating ends after those that wait."""
        self._closed = True
        self._source.detach(self)
        self.let_go()
        self._wake.set()

    def put(self, event: Event, receipt: Receipt | None = None, *, latest: bool = False) -> None:
        """Add an event; called on the session's thread."""
        if self.keeps:
            self._buffer.put(event, receipt, latest=latest)

    def put_passing(self, event: Event) -> None:
        """Add a message that need not arrive; called on the session's thread."""
        self._buffer.put_passing(event)

    @property
    def skipped(self) -> int:
        """How many messages that may be lost were dropped here, as newer ones came."""
        return self._buffer.skipped

    def stream(self, tap: Tap) -> ByteStream:
        """Return what a message that is streamed is read by."""
        return TappedStream(tap)

    def let_go(self) -> None:
        """Give the receipts for all that is here."""
        self._buffer.let_go()

    def wake(self) -> None:
        """Let who iterates look again."""
        self._wake.set()
