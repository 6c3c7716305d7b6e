"""The plain face: the same rooms for scripts and notebooks, without an event loop.

::

    from thkmesh import Message, sync

    with sync.join("http://localhost:8765", room="lobby", name="Ada") as room:
        room.send("hello, everyone")
        for event in room:
            match event:
                case Message(peer=peer, data=data):
                    print(peer.name, "says", data)

Every call returns when it is done. What happens in the room waits meanwhile, for
the room itself lives on a thread of its own (see ``thkmesh.host``), so however
long a script computes or a notebook idles between two cells, it stays connected.
In a notebook do without ``with``: ``room = sync.join(...)`` in one cell, and
``room.leave()`` in a later one. A room that nobody refers to any more is left.

All calls may come from several threads at once. Inside a running event loop they
raise ``WrongContext``, for they would block it: there ``thkmesh.join`` is right.
"""

import asyncio
import sys
import threading
import weakref
from asyncio import AbstractEventLoop
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

from thkmesh import room as asynchronous
from thkmesh.core.engine import IceServer
from thkmesh.core.heartbeat import INTERVAL, PATIENCE
from thkmesh.core.retry import SETTLE_TIMEOUT
from thkmesh.crossing import EventBuffer
from thkmesh.errors import MeshError, RoomClosed, WrongContext
from thkmesh.events import Data, Event, ServerState
from thkmesh.host import Lease, forked, require_context
from thkmesh.keys import Identity
from thkmesh.peer import Peer
from thkmesh.runner import LinkView
from thkmesh.settings import (
    HURRIED_PATIENCE,
    JOIN_TIMEOUT,
    LEAVE_PATIENCE,
    RoomSettings,
    check_patience,
)

__all__ = ["Room", "Subscription", "join"]

_T = TypeVar("_T")


def join(
    url: str,
    *,
    room: str,
    name: str = "",
    metadata: Mapping[str, Any] | None = None,
    key_file: str | Path | None = None,
    identity: Identity | None = None,
    token: str = "",
    ice_servers: Sequence[IceServer | str] = (),
    privacy: str = "all",
    engine: str | None = None,
    ca_file: str | Path | None = None,
    timeout: float = JOIN_TIMEOUT,
    heartbeat_interval: float = INTERVAL,
    disconnect_timeout: float = PATIENCE,
    failed_timeout: float = SETTLE_TIMEOUT,
    receive: bool = True,
) -> "Room":
    """Join a room; returns once we are in it.

    Interrupted by Ctrl-C, it leaves again. The arguments are those of
    ``thkmesh.join``, and so are the errors, but for one:

    Raises:
        WrongContext: inside a running event loop too.
    """
    return Room(
        RoomSettings(
            url=url,
            room=room,
            name=name,
            metadata={} if metadata is None else metadata,
            key_file=key_file,
            identity=identity,
            token=token,
            ice_servers=ice_servers,
            privacy=privacy,
            engine=engine,
            ca_file=ca_file,
            timeout=timeout,
            heartbeat_interval=heartbeat_interval,
            disconnect_timeout=disconnect_timeout,
            failed_timeout=failed_timeout,
            receive=receive,
        )
    )


class _Inbox:
    """What one reader has not taken yet; a ``thkmesh.subscription.Reader``."""

    def __init__(self, *, keep: bool) -> None:
        self.events = EventBuffer()
        self.closed = False
        self._keep = keep
        self._wake = threading.Event()

    def put(self, event: Event) -> None:
        """Add an event; called on the session's thread."""
        if self._keep:
            self.events.put(event)

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


class Subscription:
    """One reader's view of what happens in a room, in order.

    Iterating ends when the room is left, and raises if it ended otherwise. Each
    subscription gets every event; what it does not take waits, up to 64 MiB, then
    messages are dropped and a ``Lost`` says how many.
    """

    def __init__(self, room: "Room", inner: asynchronous.Room, inbox: _Inbox) -> None:
        """Use ``Room.subscribe``."""
        self._room = room  # while somebody reads it, it is not left
        self._inner = inner
        self._inbox = inbox

    def __iter__(self) -> Iterator[Event]:
        """Return itself; events are taken once."""
        return self

    def __next__(self) -> Event:
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

    def receive(self, timeout: float | None = None) -> Event:
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

    def _next(self, timeout: float | None) -> Event | None:
        """Return the next event, None if there will be none because we left."""
        require_context()
        until = None if timeout is None else monotonic() + timeout
        while True:
            event = self._inbox.events.take()
            if event is not None:
                return event
            self._inbox.expect()
            if len(self._inbox.events):
                continue
            if self._inbox.closed:
                return None
            if self._inner.closed:
                if self._inner.error is not None:
                    raise self._inner.why_closed()
                return None
            _require_no_loop()
            if not self._inbox.wait(None if until is None else max(0.0, until - monotonic())):
                raise TimeoutError("nothing happened in the room in that time")

    def close(self) -> None:
        """Take no more events; iterating ends after those that wait."""
        self._inner.detach(self._inbox)
        self._inbox.close()


class Room:
    """A room we are in; made by ``join``."""

    def __init__(self, settings: RoomSettings) -> None:
        """Use ``join``."""
        require_context()
        _require_no_loop()
        transport = settings.transport()
        lease = Lease()
        self._host = lease.host
        self._over = over = threading.Event()
        try:
            # Its main subscription would fill up: nobody iterates over the room itself.
            inner = asynchronous.Room(
                replace(settings, receive=False), lease.host, transport, loop=lease.host.loop
            )
        except BaseException:
            lease.release(over.set)
            raise
        self._inner = inner
        self._inbox = _Inbox(keep=settings.receive)
        inner.attach(self._inbox)
        inner.begin()
        weakref.finalize(self, _forsake, inner).atexit = False
        ended = asyncio.run_coroutine_threadsafe(inner.wait_closed(), lease.host.loop)
        ended.add_done_callback(lambda _: lease.release(over.set))
        self._enter()

    def _enter(self) -> None:
        try:
            self._call(self._inner.entered())
        except MeshError:
            self._settle()
            raise
        except BaseException:
            self._inner.depart(0.0)
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave; after an error with less patience."""
        if not forked():  # the child of a fork has nothing to leave: the room is its parent's
            self.leave(patience=LEAVE_PATIENCE if kind is None else HURRIED_PATIENCE)

    # --- looking --------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The room's name."""
        return self._inner.name

    @property
    def me(self) -> Peer:
        """What the others see of us."""
        return self._inner.me

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Everybody in the room but us."""
        return self._inner.peers

    @property
    def server(self) -> ServerState:
        """How it stands with the signaling server; links live on without it."""
        return self._inner.server

    @property
    def error(self) -> MeshError | None:
        """Why the room ended, None unless it did for another reason than leaving."""
        return self._inner.error

    @property
    def closed(self) -> bool:
        """Whether the room has been left or has ended."""
        return self._inner.closed

    def link(self, peer: Peer) -> LinkView | None:
        """Return how the link to a peer is right now; None where there is none."""
        return self._inner.link(peer)

    # --- sending --------------------------------------------------------------------

    def send(self, data: Data, *, to: Peer | str | None = None) -> None:
        """Send a message to everybody in the room, or to one peer.

        It is delivered to those who are in the room now, in the order of sending,
        as soon as their links are up. Returns when the message is accepted; that
        takes as long as too much is waiting already. Interrupted before that, the
        message is not sent; while the answer is on its way, it may have been.

        Args:
            data: ``str``, ``bytes``, or a JSON value; up to 8 MiB encoded.
            to: a peer or a peer's id; None means everybody.

        Raises:
            InvalidArgument: the data is none of these.
            MessageTooLarge: it is over the limit.
            UnknownPeer: ``to`` is not in the room.
            RoomClosed: the room was left, or has ended.
            WrongContext: inside a running event loop, or after fork.
        """
        _require_no_loop()
        post = self._inner.prepare(data, to)
        # Ctrl-C strikes the main thread, and must not strike it inside the session.
        main = threading.current_thread() is threading.main_thread()
        if main or not self._inner.send_here(*post):
            self._call(self._inner.post(*post))

    # --- receiving ------------------------------------------------------------------

    def __iter__(self) -> Iterator[Event]:
        """Return the events since the room was joined; see ``Subscription``."""
        return Subscription(self, self._inner, self._inbox)

    def receive(self, timeout: float | None = None) -> Event:
        """Return the next event, as iterating would; see ``Subscription.receive``."""
        return Subscription(self, self._inner, self._inbox).receive(timeout)

    def subscribe(self, *, unread: bool = False) -> Subscription:
        """Return another, independent view of all events from now on.

        Args:
            unread: begin with what iterating the room itself has not handed out yet.
        """
        inbox = _Inbox(keep=True)

        def begin() -> None:
            inbox.events = self._inbox.events.copy()

        self._inner.attach(inbox, begin if unread else None)
        return Subscription(self, self._inner, inbox)

    # --- links and leaving ------------------------------------------------------------

    def reconnect(self, peer: Peer) -> None:
        """Replace the connection to a peer now. Recovery is automatic; this is for impatience."""
        self._inner.reconnect(peer)

    def leave(self, *, patience: float = LEAVE_PATIENCE) -> None:
        """Deliver what is queued, say goodbye and close; harmless when done before.

        Args:
            patience: seconds that queued messages have to be sent.

        Raises:
            InvalidArgument: ``patience`` is no number of seconds.
            WrongContext: inside a running event loop, or after fork.
        """
        require_context()
        _require_no_loop()
        check_patience(patience)
        self._inner.depart(patience)
        self._settle()

    def _settle(self) -> None:
        """Wait until nothing of the room is left, its thread included."""
        self._over.wait()
        self._host.join()

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something on the room's loop; interrupted, stop doing it."""
        return _call(self._host.loop, work)


def _call(loop: AbstractEventLoop, work: Coroutine[Any, Any, _T]) -> _T:
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


def _forsake(inner: asynchronous.Room) -> None:
    """Leave a room to which nobody refers any more."""
    if not forked():
        inner.depart(HURRIED_PATIENCE)


def _in_notebook() -> bool:
    """Tell whether a kernel of IPython runs us: its loop waits for every cell anyway."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _require_no_loop() -> None:
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
