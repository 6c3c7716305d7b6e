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
from typing import Final, Generic, TypeVar

from msgspec import Struct

from thkmesh.core.credit import READ_BYTES
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import Read
from thkmesh.core.session_events import FromLink, SessionEvent
from thkmesh.events import ByteStream, Content, Event, Lost, Message, PlainByteStream, Refused
from thkmesh.peer import Peer

__all__ = ["BUFFER_BYTES", "EventBuffer", "Ledger", "Mailbox", "Receipt"]

BUFFER_BYTES: Final = 256 * 1024 * 1024
"""What an application that does not read may leave lying around.

Credit stops senders long before (see ``thkmesh.core.credit``), but it counts what came
over the network: JSON may take many times as much here. Without a receipt, for a reader
for whom nobody waits, a quarter of it is kept.
"""

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


class Receipt(Struct):
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

    def share(self, receipts: Iterable[Receipt]) -> None:
        """Have one more reader take those messages."""
        with self._lock:
            for receipt in receipts:
                receipt.readers += 1


class EventBuffer:
    """Events that wait to be taken; thread-safe.

    Each message has a receipt, which the ``Ledger`` gets once the message is taken.
    Messages beyond the limit are dropped and counted: a ``Lost`` stands where they
    would have stood. ``Refused`` is dropped too, because whoever misbehaves decides
    how often. Other events are few and never dropped.
    """

    def __init__(self, ledger: "Ledger", limit_bytes: int = BUFFER_BYTES) -> None:
        """Begin empty."""
        self._ledger = ledger
        self._limit = limit_bytes
        self._bytes = 0
        self._events: deque[tuple[int, Event, Receipt | None]] = deque()
        self._lock = threading.Lock()
        # Of each peer and channel, how many were dropped since an event was kept.
        self._dropped: dict[tuple[Peer, str], int] = {}

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._events) + len(self._dropped)

    def put(self, event: Event, receipt: "Receipt | None" = None) -> None:
        """Add an event at the end, with the receipt for a message."""
        size = _size(event)
        with self._lock:
            if self._bytes + size > (self._limit if receipt else self._limit // 4):
                if isinstance(event, Message):
                    self._give(receipt)
                    source = (event.peer, event.channel)
                    self._dropped[source] = self._dropped.get(source, 0) + 1
                    return
                if isinstance(event, Refused):
                    return
            if self._dropped:
                self._tell_dropped()
            self._events.append((size, event, receipt))
            self._bytes += size

    def take(self) -> Event | None:
        """Return the first event, None if there is none."""
        with self._lock:
            if not self._events:
                self._tell_dropped()
                if not self._events:
                    return None
            size, event, receipt = self._events.popleft()
            self._bytes -= size
        if receipt is not None:
            self._ledger.read(receipt)
        return event

    def copy(self) -> "EventBuffer":
        """Return another buffer in which the same waits."""
        other = EventBuffer(self._ledger, self._limit)
        with self._lock:
            self._ledger.share(each for _, _, each in self._events if each is not None)
            other._bytes = self._bytes
            other._events.extend((size, _shared(event), each) for size, event, each in self._events)
            other._dropped.update(self._dropped)
        return other

    def let_go(self) -> None:
        """Give all receipts, so that nobody waits for who may never take what is here."""
        with self._lock:
            for _, event, receipt in self._events:
                self._give(receipt)
                if isinstance(event, Message) and isinstance(event.data, _STREAMS):
                    event.data.let_go("nobody was reading here")
            self._events = deque((size, event, None) for size, event, _ in self._events)

    def _give(self, receipt: "Receipt | None") -> None:
        if receipt is not None:
            self._ledger.read(receipt)

    def _tell_dropped(self) -> None:
        for (peer, channel), count in self._dropped.items():
            self._events.append((_OVERHEAD_BYTES, Lost(peer, count, channel), None))
            self._bytes += _OVERHEAD_BYTES
        self._dropped.clear()
