"""How a program without an event loop waits for what happens on another thread."""

import asyncio
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar, cast

from thkmesh.bytestream import Tap, joined
from thkmesh.crossing import EventBuffer, Ledger, Receipt
from thkmesh.errors import MeshError, RoomClosed, WrongContext
from thkmesh.events import READ_ALL_BYTES, Event, PlainByteStream
from thkmesh.host import require_context
from thkmesh.subscription import Reader

__all__ = ["Inbox", "Source", "Subscription", "call", "require_no_loop"]

_T = TypeVar("_T")
_Taken = TypeVar("_Taken", bound=Event, covariant=True)


class Source(Protocol):
    """The room, or the channel, as far as a subscription knows it."""

    @property
    def closed(self) -> bool:
        """Whether nothing more will happen."""
        ...

    @property
    def error(self) -> MeshError | None:
        """Why that is so; None if it was asked for."""
        ...

    def why_closed(self) -> MeshError:
        """Return a fresh error."""
        ...

    def detach(self, reader: Reader) -> None:
        """Tell a reader no more."""


class _TappedStream(PlainByteStream):
    """A stream for programs without an event loop."""

    def __init__(self, tap: Tap) -> None:
        """Read from a tap."""
        self._tap = tap

    def __next__(self) -> bytes:
        """Return the next chunk, waiting for it."""
        while True:
            piece = self._tap.take()
            if piece is not None:
                return piece
            if self._tap.over:
                raise StopIteration
            require_no_loop()
            news = threading.Event()
            if self._tap.expect(news.set):
                news.wait()

    def read_all(self, limit: int = READ_ALL_BYTES) -> bytes:
        """Return all that is still to come."""
        taken: list[bytes] = []
        size = 0
        for chunk in self:
            taken.append(chunk)
            size += len(chunk)
            if size > limit:
                self.close()
        return joined(taken, size, limit)

    def close(self) -> None:
        """Want nothing more of it."""
        self._tap.close()

    def let_go(self, reason: str) -> None:
        """Throw it away, as nobody may ever read it."""
        self._tap.close(reason)

    def share(self) -> "_TappedStream":
        """Return another of which as much has been read."""
        return _TappedStream(self._tap.share())

    def __del__(self) -> None:
        """Close it: nobody can read it any more."""
        self._tap.abandon()


class Inbox:
    """What one reader has not taken yet; a ``thkmesh.subscription.Reader``."""

    def __init__(self, ledger: Ledger, *, keep: bool, begun: bool = True) -> None:
        """Begin empty; without ``keep`` it remains so."""
        self.begun = begun
        self.events = EventBuffer(ledger)
        self.closed = False
        self.keeps = keep
        self._wake = threading.Event()

    def put(self, event: Event, receipt: Receipt | None = None, *, latest: bool = False) -> None:
        """Add an event; called on the session's thread."""
        if self.keeps:
            self.events.put(event, receipt, latest=latest)

    def put_passing(self, event: Event) -> None:
        """Add a message that need not arrive; called on the session's thread."""
        if self.keeps:
            self.events.put_passing(event)

    def stream(self, tap: Tap) -> PlainByteStream:
        """Return what a message that is streamed is read by."""
        return _TappedStream(tap)

    def let_go(self) -> None:
        """Give the receipts for all that is here."""
        self.events.let_go()

    def wake(self) -> None:
        """Let who waits look again."""
        self._wake.set()

    def close(self) -> None:
        """Say that no more will come."""
        self.closed = True
        self._wake.set()

    def expect(self) -> None:
        """Begin to wait: whatever happens after this ends it."""
        self._wake.clear()

    def wait(self, timeout: float | None) -> bool:
        """Wait until there may be something; False when the time is over."""
        return self._wake.wait(timeout)


class Subscription(Generic[_Taken]):
    """One reader's view of what happens in a room, or on a channel, in order.

    Iterating ends when the room is left or the channel closed, and raises if the room
    ended otherwise. Each subscription gets everything; what it does not take waits, and
    so do, before long, those who send it. ``close`` one that is not read any more.
    """

    def __init__(self, room: object, inner: Source, inbox: Inbox) -> None:
        """Use ``Room.subscribe`` or ``Channel.subscribe``."""
        self._room = room  # while somebody reads it, it is not left
        self._inner = inner
        self._inbox = inbox

    def __iter__(self) -> Iterator[_Taken]:
        """Return itself; events are taken once."""
        return self

    def __next__(self) -> _Taken:
        """Return the next event, waiting for it; interrupting loses none.

        Raises:
            StopIteration: the room was left, or this subscription closed.
            MeshError: the room ended for another reason.
            WrongContext: inside a running event loop, or after fork.
        """
        event = self._next(None)
        if event is None:
            raise StopIteration
        return event

    def receive(self, timeout: float | None = None) -> _Taken:
        """Return the next event, waiting for it; interrupting loses none.

        Args:
            timeout: seconds to wait for it; None means as long as it takes.

        Raises:
            TimeoutError: nothing happened in that time.
            RoomClosed: the room was left, or this subscription closed.
            MeshError: the room ended for another reason.
            WrongContext: inside a running event loop, or after fork.
        """
        event = self._next(timeout)
        if event is None:
            raise RoomClosed("the room was left")
        return event

    def _next(self, timeout: float | None) -> _Taken | None:
        """Return the next event, None if there will be none because we left."""
        require_context()
        self._inbox.begun = True
        until = None if timeout is None else monotonic() + timeout
        while True:
            event = self._inbox.events.take()
            if event is not None:
                return cast("_Taken", event)
            self._inbox.expect()
            if len(self._inbox.events):
                continue
            if self._inbox.closed:
                return None
            if self._inner.closed:
                if self._inner.error is not None:
                    raise self._inner.why_closed()
                return None
            require_no_loop()
            if not self._inbox.wait(None if until is None else max(0.0, until - monotonic())):
                raise TimeoutError("nothing happened in the room in that time")

    @property
    def skipped(self) -> int:
        """How many messages that may be lost were dropped here, as newer ones came."""
        return self._inbox.events.skipped

    def close(self) -> None:
        """Take no more events; iterating ends after those that wait."""
        self._inner.detach(self._inbox)
        self._inbox.let_go()
        self._inbox.close()


def call(loop: AbstractEventLoop, work: Coroutine[Any, Any, _T]) -> _T:
    """Do something on a loop of another thread; interrupted, stop doing it.

    Raises:
        RoomClosed: the loop has ended.
    """
    try:
        future = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:  # the loop has closed meanwhile
        work.close()
        raise RoomClosed("the room was left") from None
    try:
        return future.result()
    except CancelledError:
        raise RoomClosed("the process ends") from None
    except BaseException:
        future.cancel()
        raise


def _in_notebook() -> bool:
    """Tell whether a kernel of IPython runs us: its loop waits for every cell anyway."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def require_no_loop() -> None:
    """Refuse to block an event loop.

    Raises:
        WrongContext: one is running in this thread, and not that of a notebook.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if not _in_notebook():
        raise WrongContext(
            "thkmesh.sync would block the event loop that runs here: "
            "use 'async with thkmesh.join(...)' instead, or call it in a thread of its own"
        )
