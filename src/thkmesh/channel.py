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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from thkmesh.bytestream import Tap
from thkmesh.core.channels import Delivery, Priority
from thkmesh.core.frames import CHANNEL_NAME
from thkmesh.core.packing import Packing
from thkmesh.core.realtime import Limits
from thkmesh.core.session_events import Deliver, DeliverPiece
from thkmesh.crossing import Ledger
from thkmesh.errors import ChannelClosed, InvalidArgument, MeshError
from thkmesh.events import Data, Message
from thkmesh.peer import Peer
from thkmesh.subscription import Reader, Subscription, count_out, hand_out, hand_out_stream
from thkmesh.transfer import Source, is_stream

if TYPE_CHECKING:  # the room makes its channels
    from thkmesh.room import Room

__all__ = ["Asked", "Channel", "ChannelOptions", "options"]

_PRIORITIES: Final = {each.name.lower(): each for each in Priority}
_DELIVERIES: Final = {each.value: each for each in Delivery}


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """What was asked for of a channel.

    Attributes:
        delivery: what is promised of what we send.
        limits: how long a message is tried that need not arrive; None where it must.
        priority: how urgent it is.
        receive: whether we want to hear what others send.
        compress: whether messages are compressed; see ``Packing``.
    """

    delivery: Delivery
    limits: Limits | None
    priority: Priority
    receive: bool
    compress: bool | None

    @property
    def packing(self) -> Packing:
        """How messages become what travels."""
        return Packing(
            reliable=self.delivery is Delivery.RELIABLE,
            latest=self.delivery is Delivery.LATEST,
            lossy=self.limits is not None,
            compress=self.compress,
        )


LIFE_TIME_LIMIT: Final = 65.535
RETRANSMITS_LIMIT: Final = 65535
"""As in W3C's ``RTCDataChannelInit``, which has them in 16 bits."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How messages are to be delivered, in the words of an application.

    Attributes:
        delivery: the name of a rule; None: that which the others amount to.
        ordered: whether messages keep their order; None: as the rule has it.
        max_retransmits: how often a message is sent again.
        max_packet_life_time: seconds after which it is not sent again.
    """

    delivery: str | None = None
    ordered: bool | None = None
    max_retransmits: int | None = None
    max_packet_life_time: float | None = None

    def rule(self) -> tuple[Delivery, Limits | None]:
        """Return what that amounts to.

        Raises:
            InvalidArgument: there is no such thing, or they contradict each other.
        """
        limited = self._check_limits()
        delivery = self.delivery
        if delivery is None and limited:
            delivery = "realtime"
        elif delivery is None:
            delivery = "unordered" if self.ordered is False else "reliable"
        if delivery not in _DELIVERIES:
            raise InvalidArgument(
                f"delivery is one of {', '.join(_DELIVERIES)}, not {delivery!r:.40}"
            )
        found = _DELIVERIES[delivery]
        if found is Delivery.REALTIME:
            retransmits = self.max_retransmits if limited else 0
            return found, Limits(self.ordered is not False, retransmits, self._life_time)
        if limited:
            raise InvalidArgument(
                f"nothing {delivery} is given up: leave delivery out, or have it 'realtime', "
                "with max_retransmits or max_packet_life_time"
            )
        if self.ordered not in (None, found is Delivery.RELIABLE):
            raise InvalidArgument(
                f"delivery {delivery} and ordered={self.ordered} contradict each other: "
                "leave one of them out"
            )
        return found, None

    def _check_limits(self) -> bool:
        """Tell whether there is a limit.

        Raises:
            InvalidArgument: there are two, or one is out of bounds.
        """
        times, seconds = self.max_retransmits, self.max_packet_life_time
        if self.ordered not in (None, True, False):
            raise InvalidArgument("ordered is True or False")
        if times is not None and seconds is not None:
            raise InvalidArgument("give max_retransmits or max_packet_life_time, not both")
        whole = isinstance(times, int) and not isinstance(times, bool)
        if times is not None and not (whole and 0 <= times <= RETRANSMITS_LIMIT):
            raise InvalidArgument(f"max_retransmits is a number from 0 to {RETRANSMITS_LIMIT}")
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (number and 0 <= seconds <= LIFE_TIME_LIMIT):
            raise InvalidArgument(f"max_packet_life_time is 0 to {LIFE_TIME_LIMIT} seconds")
        return times is not None or seconds is not None

    @property
    def _life_time(self) -> float | None:
        seconds = self.max_packet_life_time
        return None if seconds is None else float(seconds)


def options(
    name: str, asked: Asked, priority: str, *, receive: bool, compress: bool | None = None
) -> ChannelOptions:
    """Return what was asked for.

    Raises:
        InvalidArgument: there is no such thing.
    """
    if not CHANNEL_NAME.fullmatch(str(name)) or str(name) != name:
        raise InvalidArgument(f"a channel's name is 1 to 64 of A-Z a-z 0-9 . _ -, not {name!r:.80}")
    delivery, limits = asked.rule()
    if priority not in _PRIORITIES:
        raise InvalidArgument(f"priority is one of {', '.join(_PRIORITIES)}, not {priority!r:.40}")
    if compress not in {None, True, False}:
        raise InvalidArgument(f"compress is True, False or None, not {compress!r:.40}")
    return ChannelOptions(delivery, limits, _PRIORITIES[priority], receive, compress)


class Channel:
    """A channel of a room; made by ``Room.channel``."""

    def __init__(self, room: "Room", name: str, asked: ChannelOptions, *, keep: bool) -> None:
        """Use ``Room.channel``."""
        self.name = name
        self.asked = asked
        self.packing = asked.packing
        self._room = room
        self._closed = False
        self._telling = threading.Lock()
        self._main: Subscription[Message] = Subscription(
            self, keep=keep and asked.receive, begun=False
        )
        self.readers: tuple[Reader, ...] = (self._main,)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channel; see ``close``."""
        await self.close()

    # --- sending --------------------------------------------------------------------

    async def send(
        self, data: "Data | Source", *, to: Peer | str | None = None, key: str | None = None
    ) -> None:
        """Send a message to everybody who has opened the channel, or to one of them.

        As ``Room.send``; the order of sending holds within the channel, unless it was opened
        with a rule that says otherwise. Where messages may be lost, it returns at once.

        Args:
            data: ``str``, ``bytes``, or a JSON value, up to 8 MiB encoded, or 1,100 bytes
                where messages may be lost; or, where they are reliable, a stream of any
                size.
            to: a peer or a peer's id; None means everybody.
            key: with ``delivery="latest"``, what the data is the latest value of: 1 to 64
                characters, or None if the channel has one value.

        Raises:
            ChannelClosed: the channel was closed.
            ChannelFull: it holds as many keys, or bytes, of latest values as it may.
            NotListening: ``to`` has not opened the channel.
            MeshError: see ``Room.send``.
        """
        self.check_open()
        try:
            packed = self.packing.pack(data, key)
        except InvalidArgument:
            if not is_stream(data):
                raise
            self.packing.check_stream(key)
            await self._room.stream_on(self.name, data, to)
            return
        await self._room.send_on(self.name, packed, to)

    def send_nowait(
        self, data: Data, *, to: Peer | str | None = None, key: str | None = None
    ) -> None:
        """Send a message, no stream, if that can be done without waiting; see ``send``.

        If it turns out later that it cannot reach ``to``, an ``Undelivered`` says so.

        Raises:
            WouldWait: too much is waiting already; nothing was sent.
            MeshError: see ``send``.
        """
        self.check_open()
        self._room.send_on_nowait(self.name, self.packing.pack(data, key), to)

    async def flush(self) -> None:
        """Wait until all that was sent so far has arrived, wherever it is owed.

        Who goes away meanwhile, or is cut loose, is waited for no longer: events of the
        room tell. What may be lost is not waited for.

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
