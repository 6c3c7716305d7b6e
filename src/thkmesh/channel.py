"""Channels: messages of one kind in a room, apart from all others.

::

    cursors = room.channel("cursors", priority="high")
    await cursors.send({"x": 3, "y": 4})
    async for message in cursors:
        ...

Who opens a channel hears what is sent on it from then on; who does not is sent none of
it. A channel that nobody reads slows down those who send on it, and no other channel.
"""

import threading
from typing import TYPE_CHECKING, Final, Self

from thkmesh.bytestream import Tap
from thkmesh.core.channels import Delivery, Priority
from thkmesh.core.frames import CHANNEL_NAME
from thkmesh.core.session_events import Deliver, DeliverPiece
from thkmesh.crossing import Ledger
from thkmesh.errors import ChannelClosed, InvalidArgument, MeshError
from thkmesh.events import Data, Message
from thkmesh.peer import Peer
from thkmesh.subscription import Reader, Subscription, count_out, hand_out, hand_out_stream
from thkmesh.transfer import Source

if TYPE_CHECKING:  # the room makes its channels
    from thkmesh.room import Room

__all__ = ["Channel", "ChannelOptions", "options"]

_PRIORITIES: Final = {each.name.lower(): each for each in Priority}
_DELIVERIES: Final = {each.value: each for each in Delivery}

ChannelOptions = tuple[Delivery, Priority, bool]
"""How messages are delivered, how urgent they are, and whether we want to hear them."""


def options(name: str, delivery: str, priority: str, *, receive: bool) -> ChannelOptions:
    """Return what was asked for.

    Raises:
        InvalidArgument: there is no such thing.
    """
    if not CHANNEL_NAME.fullmatch(str(name)) or str(name) != name:
        raise InvalidArgument(f"a channel's name is 1 to 64 of A-Z a-z 0-9 . _ -, not {name!r:.80}")
    if delivery not in _DELIVERIES:
        raise InvalidArgument(f"delivery is one of {', '.join(_DELIVERIES)}, not {delivery!r:.40}")
    if priority not in _PRIORITIES:
        raise InvalidArgument(f"priority is one of {', '.join(_PRIORITIES)}, not {priority!r:.40}")
    return _DELIVERIES[delivery], _PRIORITIES[priority], receive


class Channel:
    """A channel of a room; made by ``Room.channel``."""

    def __init__(self, room: "Room", name: str, asked: ChannelOptions, *, keep: bool) -> None:
        """Use ``Room.channel``."""
        self.name = name
        self.asked = asked
        self._room = room
        self._closed = False
        self._telling = threading.Lock()
        self._main: Subscription[Message] = Subscription(self, keep=keep and asked[2], begun=False)
        self.readers: tuple[Reader, ...] = (self._main,)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channel; see ``close``."""
        await self.close()

    # --- sending --------------------------------------------------------------------

    async def send(self, data: "Data | Source", *, to: Peer | str | None = None) -> None:
        """Send a message to everybody who has opened the channel, or to one of them.

        As ``Room.send``; the order of sending holds within the channel.

        Args:
            data: ``str``, ``bytes``, or a JSON value, up to 8 MiB encoded; or a stream of
                any size.
            to: a peer or a peer's id; None means everybody.

        Raises:
            ChannelClosed: the channel was closed.
            NotListening: ``to`` has not opened the channel.
            MeshError: see ``Room.send``.
        """
        self.check_open()
        await self._room.send_on(self.name, data, to)

    def send_nowait(self, data: Data, *, to: Peer | str | None = None) -> None:
        """Send a message, no stream, if that can be done without waiting; see ``send``.

        If it turns out later that it cannot reach ``to``, an ``Undelivered`` says so.

        Raises:
            WouldWait: too much is waiting already; nothing was sent.
            MeshError: see ``send``.
        """
        self.check_open()
        self._room.send_on_nowait(self.name, data, to)

    async def flush(self) -> None:
        """Wait until all that was sent so far has arrived, wherever it is owed.

        Who goes away meanwhile, or is cut loose, is waited for no longer: events of the
        room tell.

        Raises:
            RoomClosed: the room was left before that.
            MeshError: the room has ended.
        """
        await self._room.flush_channel(self.name)

    # --- receiving ------------------------------------------------------------------

    def __aiter__(self) -> Subscription[Message]:
        """Return the messages since the channel was opened; see ``Subscription``."""
        return self._main

    def subscribe(self) -> Subscription[Message]:
        """Return another, independent view of all messages from now on."""
        subscription: Subscription[Message] = Subscription(self)
        self.attach(subscription)
        return subscription

    def attach(self, reader: Reader) -> None:
        """Tell a reader of all messages from now on."""
        with self._telling:
            count_out(self.readers)
            self.readers = (*self.readers, reader)

    def detach(self, reader: Reader) -> None:
        """Tell a reader no more."""
        with self._telling:
            self.readers = tuple(each for each in self.readers if each is not reader)

    def deliver(self, output: Deliver) -> None:
        """Take a message; called on the session's thread."""
        with self._telling:
            hand_out(self.readers, output, self.ledger)

    def begin_stream(self, output: DeliverPiece) -> list[Tap]:
        """Take a message that begins; called on the session's thread."""
        with self._telling:
            return hand_out_stream(self.readers, output, self.ledger)

    @property
    def ledger(self) -> Ledger:
        """What takes receipts."""
        return self._room.ledger

    @property
    def error(self) -> MeshError | None:
        """Why the room ended, None unless it did for another reason than leaving."""
        return self._room.error

    def why_closed(self) -> MeshError:
        """Return a fresh error, for who waits in vain."""
        if self._room.closed:
            return self._room.why_closed()
        return ChannelClosed(f"the channel {self.name} was closed")

    # --- the end --------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the channel was closed, or the room has ended."""
        return self._closed or self._room.closed

    def check_open(self) -> None:
        """See that it can be used.

        Raises:
            ChannelClosed: it was closed.
        """
        if self._closed:
            raise ChannelClosed(f"the channel {self.name} was closed")

    async def close(self) -> None:
        """Deliver what was sent, then hear and send no more; harmless when done before.

        Iterating ends after the messages that wait.

        Raises:
            RoomClosed: the room was left before all was delivered.
        """
        if self.closed:
            return
        self._closed = True
        try:
            await self.flush()
        finally:
            self._room.forget(self)
            for reader in self.readers:
                reader.let_go()
                reader.wake()
