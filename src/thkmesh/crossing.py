"""Ways from one thread to another that cost one wake-up a batch, not one an item.

``Mailbox`` hands items to an event loop. ``EventBuffer`` holds what happened in a
room until the application takes it, in bounded memory.
"""

import threading
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from sys import getsizeof
from typing import Final, Generic, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from thkmesh.core.credit import READ_BYTES
from thkmesh.core.deflate import Deflated
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import Garbled, Read
from thkmesh.core.session_events import FromLink, SessionEvent
from thkmesh.errors import InvalidMessage
from thkmesh.events import ByteStream, Content, Event, Lost, Message, PlainByteStream, Refused
from thkmesh.peer import Peer

__all__ = [
    "BUFFER_BYTES",
    "PASSING",
    "PASSING_BYTES",
    "EventBuffer",
    "Ledger",
    "Mailbox",
    "Receipt",
]

BUFFER_BYTES: Final = 256 * 1024 * 1024
"""What an application that does not read may leave lying around.

Credit stops senders long before (see ``thkmesh.core.credit``), but it counts what came
over the network: JSON may take many times as much here. Without a receipt, for a reader
for whom nobody waits, a quarter of it is kept.
"""

PASSING: Final = 1024
PASSING_BYTES: Final = 1024 * 1024
"""So many messages that need not arrive wait for a reader, and so much of them."""

_OVERHEAD_BYTES: Final = 160
"""What an event takes beside a message's data: itself and its place in the queue."""

_Item = TypeVar("_Item")


class Mailbox(Generic[_Item]):
    """Delivers items on a loop, in order, from any thread."""

    def __init__(self, loop: AbstractEventLoop, deliver: Callable[[_Item], None]) -> None:
        """Deliver by calling ``deliver`` on ``loop``."""
        self._loop = loop
        self._deliver = deliver
        self._items: deque[_Item] = deque()
        self._armed = False
        # Whoever puts, deliveries run as what they are: the work of who made this.
        self._context = copy_context()

    def __len__(self) -> int:
        """Return how many items have not been delivered: 0 only after the last delivery."""
        return len(self._items)

    def put(self, item: _Item) -> bool:
        """Queue an item; returns False when the loop is closed and nobody will get it."""
        self._items.append(item)
        if not self._armed:
            self._armed = True
            try:
                self._loop.call_soon_threadsafe(self._drain, context=self._context)
            except RuntimeError:
                return False
        return True

    def _drain(self) -> None:
        # Disarmed first: an item put from now on arms again, at worst for nothing.
        self._armed = False
        count = len(self._items)
        try:
            while count:
                count -= 1
                try:
                    self._deliver(self._items[0])
                finally:
                    self._items.popleft()
        finally:
            if count:  # A delivery raised, which is a bug of ours; the others still come.
                self._loop.call_soon(self._drain, context=self._context)


def _size(event: Event) -> int:
    """Return about how much memory an event takes."""
    if not isinstance(event, Message):
        return _OVERHEAD_BYTES
    if isinstance(event.data, bytes | str):
        return _OVERHEAD_BYTES + getsizeof(event.data)
    unexpanded: object = event.data
    if isinstance(unexpanded, Deflated):
        return _OVERHEAD_BYTES + len(unexpanded.payload)
    total = _OVERHEAD_BYTES
    # Not recursive: how deep a peer nests its JSON is up to the peer.
    parts: list[Content] = [event.data]
    while parts:
        part = parts.pop()
        total += getsizeof(part)
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.keys()
            parts += part.values()
    return total


_STREAMS: Final = (ByteStream, PlainByteStream)


def _shared(event: Event) -> Event:
    """Return an event for another reader: of a stream each has its own."""
    if isinstance(event, Message) and isinstance(event.data, _STREAMS):
        return Message(event.peer, event.data.share(), event.direct, event.channel)
    return event


class Receipt(Struct, gc=False):
    """What is owed to a sender once its message has been taken.

    Attributes:
        readers: how many have not taken it yet.
    """

    source: SessionKey
    stream: int
    cost: int
    readers: int


class Ledger:
    """What an application has read, and its senders do not know yet; thread-safe.

    They are told of many messages at once: the way to their thread is what costs.
    """

    def __init__(
        self,
        tell: Callable[[SessionEvent], object],
        later: Callable[[Callable[[], None]], object] = lambda call: call(),
    ) -> None:
        """Report with ``tell``.

        Args:
            tell: hands an event to the session.
            later: makes a call on the session's thread, soon; it takes no lock.
        """
        self._tell = tell
        self.later = later
        self._lock = threading.Lock()
        self._read: dict[tuple[SessionKey, int], int] = {}
        self._bytes = 0
        self._refused: object = None  # several readers may find it

    def read(self, receipt: Receipt) -> None:
        """Take note that one reader has taken a message."""
        with self._lock:
            receipt.readers -= 1
            if receipt.readers > 0:
                return
            key = (receipt.source, receipt.stream)
            self._read[key] = self._read.get(key, 0) + receipt.cost
            self._bytes += receipt.cost
            if self._bytes < READ_BYTES:
                return
            told, self._read, self._bytes = self._read, {}, 0
        for (source, stream), size in told.items():
            self._tell(FromLink(source, Read(stream, size)))

    def refuse(self, message: Message, reason: str) -> None:
        """Take note that what a message says cannot be made out; its sender is told once."""
        with self._lock:
            if self._refused is message.data:
                return
            self._refused = message.data
        source = SessionKey(message.peer.id, message.peer.sid)
        self._tell(FromLink(source, Garbled(reason)))

    def share(self, receipts: Iterable[Receipt]) -> None:
        """Have one more reader take those messages."""
        with self._lock:
            for receipt in receipts:
                receipt.readers += 1


class _Waiting(Struct, gc=False):
    """An event that waits to be taken; None in place of a value that has been superseded."""

    size: int
    event: Event | None
    receipt: Receipt | None


_Slot: TypeAlias = tuple[Peer, str, bool, str | None]


def _slot(message: Message) -> _Slot:
    """Return what a message is the latest value of."""
    return message.peer, message.channel, message.direct, message.key


class EventBuffer:
    """Events that wait to be taken; thread-safe.

    Each message has a receipt, which the ``Ledger`` gets once the message is taken.
    Messages beyond the limit are dropped and counted: a ``Lost`` stands where they
    would have stood. ``Refused`` is dropped too, because whoever misbehaves decides
    how often. Other events are few and never dropped. A value does not wait any longer
    when a later one of its key comes; its receipt is given then.

    Messages that need not arrive wait apart, without receipts: of those the newest are
    kept, and the others counted in ``skipped``. When both wait, they take turns.
    """

    def __init__(self, ledger: "Ledger", limit_bytes: int = BUFFER_BYTES) -> None:
        """Begin empty."""
        self._ledger = ledger
        self._limit = limit_bytes
        self._bytes = 0
        self._events: deque[_Waiting] = deque()
        self._values: dict[_Slot, _Waiting] = {}  # those of them that may be superseded
        self._superseded = 0  # how many of them have been
        self._lock = threading.Lock()
        # Of each peer and channel, how many were dropped since an event was kept.
        self._dropped: dict[tuple[Peer, str], int] = {}
        self._passing: deque[tuple[int, Event]] = deque()
        self._passing_bytes = 0
        self._passed = False
        """Whether what was taken last need not have arrived."""
        self.skipped = 0
        """How many messages that need not arrive were dropped for newer ones."""

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._events) - self._superseded + len(self._dropped) + len(self._passing)

    def put_passing(self, event: Event) -> None:
        """Add a message that need not arrive; the oldest are dropped for it."""
        size = _size(event)
        with self._lock:
            self._passing.append((size, event))
            self._passing_bytes += size
            while len(self._passing) > PASSING or self._passing_bytes > PASSING_BYTES:
                self._passing_bytes -= self._passing.popleft()[0]
                self.skipped += 1

    def put(self, event: Event, receipt: "Receipt | None" = None, *, latest: bool = False) -> None:
        """Add an event at the end, with the receipt for a message.

        Args:
            event: what happened.
            receipt: to be given when it is taken.
            latest: it is a value, and supersedes the former one of its key.
        """
        size = _size(event)
        with self._lock:
            if latest and isinstance(event, Message):
                self._supersede(_slot(event))
            if self._bytes + size > (self._limit if receipt else self._limit // 4):
                if isinstance(event, Message):
                    self._give(receipt)
                    source = (event.peer, event.channel)
                    self._dropped[source] = self._dropped.get(source, 0) + 1
                    self._sweep()
                    return
                if isinstance(event, Refused):
                    return
            if self._dropped:
                self._tell_dropped()
            waiting = _Waiting(size, event, receipt)
            self._events.append(waiting)
            self._bytes += size
            if latest and isinstance(event, Message):
                self._values[_slot(event)] = waiting

    def take(self) -> Event | None:
        """Return the first event, None if there is none; what cannot be expanded is none."""
        while True:
            event = self._take()
            data: object = event.data if isinstance(event, Message) else None
            if not isinstance(data, Deflated) or not isinstance(event, Message):
                return event
            try:
                return replace(event, data=data.expand())
            except InvalidMessage as error:
                self._ledger.refuse(event, str(error))

    def _take(self) -> Event | None:
        with self._lock:
            if not self._events:
                self._tell_dropped()
            if self._passing and not (self._passed and self._events):
                self._passed = True
                size, event = self._passing.popleft()
                self._passing_bytes -= size
                return event
            self._passed = False
            if not self._events:
                return None
            first = self._events.popleft()
            while first.event is None:  # never the last: that which superseded it follows
                self._superseded -= 1
                first = self._events.popleft()
            self._bytes -= first.size
            if self._values and isinstance(first.event, Message):
                self._values.pop(_slot(first.event), None)
        if first.receipt is not None:
            self._ledger.read(first.receipt)
        return first.event

    def _supersede(self, slot: _Slot) -> None:
        """Have a value wait no longer."""
        former = self._values.pop(slot, None)
        if former is None:
            return
        self._bytes -= former.size
        self._give(former.receipt)
        former.event = former.receipt = None
        self._superseded += 1
        if self._superseded * 2 > len(self._events):
            self._sweep()

    def _sweep(self) -> None:
        """Let go of the places of what has been superseded."""
        if self._superseded:
            self._events = deque(each for each in self._events if each.event is not None)
            self._superseded = 0

    def copy(self) -> "EventBuffer":
        """Return another buffer in which the same waits."""
        other = EventBuffer(self._ledger, self._limit)
        with self._lock:
            self._ledger.share(each.receipt for each in self._events if each.receipt is not None)
            other._bytes = self._bytes
            copies = {
                id(each): replace(each, event=_shared(each.event))
                for each in self._events
                if each.event is not None
            }
            other._events.extend(copies.values())
            other._values = {slot: copies[id(each)] for slot, each in self._values.items()}
            other._dropped.update(self._dropped)
            other._passing.extend(self._passing)
            other._passing_bytes = self._passing_bytes
        return other

    def let_go(self) -> None:
        """Give all receipts, so that nobody waits for who may never take what is here."""
        with self._lock:
            for each in self._events:
                self._give(each.receipt)
                each.receipt = None
                if isinstance(each.event, Message) and isinstance(each.event.data, _STREAMS):
                    each.event.data.let_go("nobody was reading here")

    def _give(self, receipt: "Receipt | None") -> None:
        if receipt is not None:
            self._ledger.read(receipt)

    def _tell_dropped(self) -> None:
        for (peer, channel), count in self._dropped.items():
            self._events.append(_Waiting(_OVERHEAD_BYTES, Lost(peer, count, channel), None))
            self._bytes += _OVERHEAD_BYTES
        self._dropped.clear()
