"""How an application reads what happens in a room."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from thkmesh.crossing import EventBuffer
from thkmesh.errors import MeshError
from thkmesh.events import Event
from thkmesh.host import require_context

__all__ = ["Reader", "Source", "Subscription"]


class Reader(Protocol):
    """Who is told what happens in a room."""

    def put(self, event: Event) -> None:
        """Take an event; called on the session's thread."""

    def wake(self) -> None:
        """Look: there are events, or the room is closed; called on the room's loop."""


class Source(Protocol):
    """The room, as far as a subscription knows it."""

    error: MeshError | None

    @property
    def closed(self) -> bool:
        """Whether nothing more will happen."""
        ...

    def detach(self, reader: Reader) -> None:
        """Tell a reader no more."""


class Subscription:
    """One reader's view of what happens in a room, in order.

    Iterating ends when the room is left, and raises if it ended otherwise. Each
    subscription gets every event; what it does not take waits, up to 64 MiB, then
    messages are dropped and a ``Lost`` says how many.
    """

    def __init__(
        self, source: Source, *, keep: bool = True, buffer: EventBuffer | None = None
    ) -> None:
        """Use ``Room.subscribe``."""
        self._source = source
        self._keep = keep
        self._buffer = buffer or EventBuffer()
        self._wake = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> AsyncIterator[Event]:
        """Return itself; events are taken once."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event; cancelling loses none.

        Raises:
            StopAsyncIteration: the room was left, or this subscription closed.
            MeshError: the room ended for another reason.
            WrongContext: after fork.
        """
        require_context()
        while True:
            event = self._buffer.take()
            if event is not None:
                return event
            if self._closed:
                raise StopAsyncIteration
            if self._source.closed:
                if self._source.error is not None:
                    raise self._source.error
                raise StopAsyncIteration
            self._wake.clear()
            if not len(self._buffer):
                await self._wake.wait()

    def take_nowait(self) -> Event | None:
        """Return the next event that is already here, else None."""
        return self._buffer.take()

    def unread(self) -> EventBuffer:
        """Return a copy of what waits."""
        return self._buffer.copy()

    def close(self) -> None:
        """Take no more events; iterating ends after those that wait."""
        self._closed = True
        self._source.detach(self)
        self._wake.set()

    def put(self, event: Event) -> None:
        """Add an event; called on the session's thread."""
        if self._keep:
            self._buffer.put(event)

    def wake(self) -> None:
        """Let who iterates look again."""
        self._wake.set()
