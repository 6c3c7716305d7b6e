"""Ways from one thread to another that cost one wake-up a batch, not one an item.

``Mailbox`` hands items to an event loop. ``EventBuffer`` holds what happened in a
room until the application takes it, in bounded memory.
"""

import threading
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from sys import getsizeof
from typing import Final, Generic, TypeVar

from thkmesh.events import Data, Event, Lost, Message, Refused
from thkmesh.peer import Peer

__all__ = ["BUFFER_BYTES", "EventBuffer", "Mailbox"]

BUFFER_BYTES: Final = 64 * 1024 * 1024
"""What an application that does not read may leave lying around."""

_OVERHEAD_BYTES: Final = 160
"""What an event takes beside a message's data: itself and its place in the queue."""

_Item = TypeVar("_Item")


class Mailbox(Generic[_Item]):
    """Delivers items on a loop, in order, from any thread."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        deliver: Callable[[_Item], None],
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Deliver by calling ``deliver`` on ``loop``.

        Args:
            loop: where.
            deliver: takes an item.
            lock: is held from when an item is taken out until it is delivered.
        """
        self._loop = loop
        self._deliver = deliver
        self._lock = lock or nullcontext()
        self._items: deque[_Item] = deque()
        self._armed = False
        # Whoever puts, deliveries run as what they are: the work of who made this.
        self._context = copy_context()

    def __len__(self) -> int:
        """Return how many items wait; exact for who holds the lock and puts none."""
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
                with self._lock:
                    self._deliver(self._items.popleft())
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
    parts: list[Data] = [event.data]
    while parts:
        part = parts.pop()
        total += getsizeof(part)
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.keys()
            parts += part.values()
    return total


class EventBuffer:
    """Events that wait to be taken; thread-safe.

    Messages beyond the limit are dropped and counted: a ``Lost`` stands where they
    would have stood. ``Refused`` is dropped too, because whoever misbehaves decides
    how often. Other events are few and never dropped.
    """

    def __init__(self, limit_bytes: int = BUFFER_BYTES) -> None:
        """Begin empty."""
        self._limit = limit_bytes
        self._bytes = 0
        self._events: deque[tuple[int, Event]] = deque()
        self._lock = threading.Lock()
        # Of each peer, how many were dropped since the last event that was kept.
        self._dropped: dict[Peer, int] = {}

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._events) + len(self._dropped)

    def put(self, event: Event) -> None:
        """Add an event at the end."""
        size = _size(event)
        with self._lock:
            if self._bytes + size > self._limit:
                if isinstance(event, Message):
                    self._dropped[event.peer] = self._dropped.get(event.peer, 0) + 1
                    return
                if isinstance(event, Refused):
                    return
            if self._dropped:
                self._tell_dropped()
            self._events.append((size, event))
            self._bytes += size

    def take(self) -> Event | None:
        """Return the first event, None if there is none."""
        with self._lock:
            if not self._events:
                self._tell_dropped()
                if not self._events:
                    return None
            size, event = self._events.popleft()
            self._bytes -= size
            return event

    def copy(self) -> "EventBuffer":
        """Return another buffer in which the same waits."""
        other = EventBuffer(self._limit)
        with self._lock:
            other._bytes = self._bytes
            other._events.extend(self._events)
            other._dropped.update(self._dropped)
        return other

    def _tell_dropped(self) -> None:
        for peer, count in self._dropped.items():
            self._events.append((_OVERHEAD_BYTES, Lost(peer, count)))
            self._bytes += _OVERHEAD_BYTES
        self._dropped.clear()
