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
import threading
import weakref
from asyncio import AbstractEventLoop
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from thkmesh import room as asynchronous
from thkmesh.blocking import Inbox, Subscription, call, require_no_loop
from thkmesh.channel import Channel as AsyncChannel
from thkmesh.core.channels import ROOM
from thkmesh.core.engine import IceServer
from thkmesh.core.heartbeat import INTERVAL, PATIENCE
from thkmesh.core.identity import SessionKey
from thkmesh.core.packing import PLAIN, Packed, Packing
from thkmesh.core.retry import SETTLE_TIMEOUT
from thkmesh.errors import InvalidArgument, MeshError
from thkmesh.events import Data, Event, Message, ServerState
from thkmesh.events import PlainByteStream as ByteStream
from thkmesh.host import Lease, forked, require_context
from thkmesh.keys import Identity
from thkmesh.peer import Peer
from thkmesh.runner import LinkView
from thkmesh.settings import (
    BAN_DURATION,
    HURRIED_PATIENCE,
    JOIN_TIMEOUT,
    LEAVE_PATIENCE,
    RoomSettings,
    check_patience,
    invited,
)
from thkmesh.signaling.tokens import Token
from thkmesh.transfer import Source, Transfer, is_stream, plain_chunks

__all__ = ["ByteStream", "Channel", "Room", "Subscription", "join"]

_T = TypeVar("_T")


def join(
    url: str,
    *,
    room: str | None = None,
    name: str = "",
    metadata: Mapping[str, Any] | None = None,
    key_file: str | Path | None = None,
    identity: Identity | None = None,
    token: Token = "",
    password: str = "",
    secret: str | None = None,
    ice_servers: Sequence[IceServer | str] = (),
    privacy: str = "all",
    relay: bool = True,
    engine: str | None = None,
    ca_file: str | Path | None = None,
    timeout: float = JOIN_TIMEOUT,
    heartbeat_interval: float = INTERVAL,
    disconnect_timeout: float = PATIENCE,
    failed_timeout: float = SETTLE_TIMEOUT,
    receive: bool = True,
    watch_network: bool = True,
) -> "Room":
    """Join a room; returns once we are in it.

    Interrupted by Ctrl-C, it leaves again. The arguments are those of
    ``thkmesh.join``, and so are the errors, but for one:

    Raises:
        WrongContext: inside a running event loop too.
    """
    place = invited(url, room, secret)
    return Room(
        RoomSettings(
            url=place.url,
            room=place.room or "",
            name=name,
            metadata={} if metadata is None else metadata,
            key_file=key_file,
            identity=identity,
            token=token,
            password=password,
            secret=place.secret,
            ice_servers=ice_servers,
            privacy=privacy,
            relay=relay,
            engine=engine,
            ca_file=ca_file,
            timeout=timeout,
            heartbeat_interval=heartbeat_interval,
            disconnect_timeout=disconnect_timeout,
            failed_timeout=failed_timeout,
            receive=receive,
            watch_network=watch_network,
        )
    )


class _Work:
    """What a room and its channels do in the room's own thread."""

    def __init__(self, inner: asynchronous.Room, loop: AbstractEventLoop) -> None:
        """Do it in a room on a loop."""
        self._inner = inner
        self._loop = loop

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do something on the room's loop; interrupted, stop doing it."""
        return call(self._loop, work)

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it unless a loop runs here, which would stand still meanwhile."""
        require_no_loop()
        self.call(work)

    def send_all(
        self, channel: str, packing: Packing, data: object, key: str | None, to: Peer | str | None
    ) -> None:
        """Send a message or a stream on a channel; see ``Room.send``."""
        require_no_loop()
        try:
            packed = packing.pack(data, key)
        except InvalidArgument:
            if not is_stream(data):
                raise
            packing.check_stream(key)
            self.stream(channel, data, to)
            return
        self.send(channel, packed, to)

    def send(self, channel: str, packed: Packed, to: Peer | str | None) -> None:
        """Send a message on a channel; see ``Room.send``."""
        require_no_loop()
        post = self._inner.prepare(packed, to)
        if not self._send_here(*post, channel):
            self.call(self._inner.post(*post, channel))

    def stream(self, channel: str, source: object, to: Peer | str | None) -> None:
        """Send a stream on a channel; see ``Room.send``."""
        require_no_loop()

        async def begin() -> Transfer:
            return self._inner.transfer(channel, to)

        transfer = self.call(begin())
        try:
            for chunk in plain_chunks(source):
                self.call(transfer.put(chunk))
            self.call(transfer.finish())
        except BaseException:
            self._abort(transfer)
            raise

    def _abort(self, transfer: Transfer) -> None:
        """Give up a stream; whoever is interrupted does not wait for that."""
        abort = transfer.abort()
        try:
            asyncio.run_coroutine_threadsafe(abort, self._loop)
        except RuntimeError:  # the loop has closed meanwhile
            abort.close()

    def send_nowait(self, channel: str, packed: Packed, to: Peer | str | None) -> None:
        """Send a message on a channel if that can be done at once; see ``Room.send_nowait``."""
        require_no_loop()
        post = self._inner.prepare(packed, to)

        async def send() -> None:
            self._inner.post_nowait(*post, channel)

        if not self._send_here(*post, channel):
            self.call(send())

    def _send_here(self, to: SessionKey | None, kind: int, payload: bytes, channel: str) -> bool:
        """Send what was prepared on this thread, if it need not wait.

        Ctrl-C strikes the main thread, and must not strike it inside the session.
        """
        main = threading.current_thread() is threading.main_thread()
        return not main and self._inner.send_here(to, kind, payload, channel)


class Room:
    """A room we are in; made by ``join``."""

    def __init__(self, settings: RoomSettings) -> None:
        """Use ``join``."""
        require_context()
        require_no_loop()
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
        self._work = _Work(inner, lease.host.loop)
        self._channels: dict[str, Channel] = {}
        self._inbox = Inbox(inner.ledger, keep=settings.receive, begun=False)
        inner.attach(self._inbox)
        inner.begin()
        weakref.finalize(self, _forsake, inner).atexit = False
        ended = asyncio.run_coroutine_threadsafe(inner.wait_closed(), lease.host.loop)
        ended.add_done_callback(lambda _: lease.release(over.set))
        self._enter()

    def _enter(self) -> None:
        try:
            self._work.call(self._inner.entered())
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
    def invitation(self) -> str:
        """The link for others, with the secret of a private room behind its ``#``."""
        return self._inner.invitation

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Everybody in the room but us."""
        return self._inner.peers

    @property
    def server(self) -> ServerState:
        """How it stands with the signaling server; links live on without it."""
        return self._inner.server

    @property
    def grants(self) -> frozenset[str]:
        """What the server lets us do; see ``thkmesh.Room.grants``."""
        return self._inner.grants

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

    def send(self, data: "Data | Source", *, to: Peer | str | None = None) -> None:
        """Send a message to everybody in the room, or to one peer.

        It is delivered to those who are in the room now, in the order of sending,
        as soon as their links are up. Returns when the message is accepted; that
        takes as long as too much is waiting already. Interrupted before that, the
        message is not sent; while the answer is on its way, it may have been.

        A stream is sent as it comes, in memory that does not grow with it, and arrives
        as a ``ByteStream``. If its source raises, or this is interrupted, it is given up:
        it breaks wherever it is read. A channel of its own lets nothing wait behind it.

        Args:
            data: ``str``, ``bytes``, or a JSON value, up to 8 MiB encoded; or a stream of
                any size: an iterator of bytes, best some KiB each, or a binary file.
            to: a peer or a peer's id; None means everybody.

        Raises:
            InvalidArgument: the data is none of these.
            WouldWait: 64 streams are being sent there already.
            MessageTooLarge: it is over the limit.
            UnknownPeer: ``to`` is not in the room.
            RoomClosed: the room was left, or has ended.
            WrongContext: inside a running event loop, or after fork.
        """
        self._work.send_all(ROOM, PLAIN, data, None, to)

    def send_nowait(self, data: Data, *, to: Peer | str | None = None) -> None:
        """Send a message if that can be done without waiting; see ``thkmesh.Room``.

        Raises:
            WouldWait: too much is waiting already; nothing was sent.
            MeshError: see ``send``.
        """
        self._work.send_nowait(ROOM, PLAIN.pack(data), to)

    def flush(self) -> None:
        """Wait until all that was sent so far has arrived; see ``thkmesh.Room``.

        Raises:
            RoomClosed: the room was left before that.
            WrongContext: inside a running event loop, or after fork.
        """
        self._work.do(self._inner.flush())

    def channel(
        self,
        name: str,
        *,
        delivery: str | None = None,
        ordered: bool | None = None,
        max_retransmits: int | None = None,
        max_packet_life_time: float | None = None,
        priority: str = "normal",
        receive: bool = True,
        compress: bool | None = None,
    ) -> "Channel":
        """Open a channel: send on it, and hear what others send on it from now on.

        The arguments and errors are those of ``thkmesh.Room.channel``.

        Raises:
            WrongContext: inside a running event loop too.
        """
        require_no_loop()

        async def open_it() -> None:
            inner = self._inner.channel(
                name,
                delivery=delivery,
                ordered=ordered,
                max_retransmits=max_retransmits,
                max_packet_life_time=max_packet_life_time,
                priority=priority,
                receive=receive,
                compress=compress,
                keep=False,
            )
            found = self._channels.get(name)
            if found is None or found.inner is not inner:
                # Before the session hears of the channel: so nothing of it is missed.
                self._channels[name] = Channel(self, inner, self._work, receive=receive)

        self._work.call(open_it())
        return self._channels[name]

    # --- receiving ------------------------------------------------------------------

    def __iter__(self) -> Subscription[Event]:
        """Return the events since the room was joined; see ``Subscription``."""
        return Subscription(self, self._inner, self._inbox)

    def receive(self, timeout: float | None = None) -> Event:
        """Return the next event, as iterating would; see ``Subscription.receive``."""
        events: Subscription[Event] = Subscription(self, self._inner, self._inbox)
        return events.receive(timeout)

    def subscribe(self, *, unread: bool = False) -> Subscription[Event]:
        """Return another, independent view of all events from now on.

        Args:
            unread: begin with what iterating the room itself has not handed out yet.
        """
        inbox = Inbox(self._inner.ledger, keep=True)

        def begin() -> None:
            inbox.events = self._inbox.events.copy()

        self._inner.attach(inbox, begin if unread else None)
        return Subscription(self, self._inner, inbox)

    # --- links and leaving ------------------------------------------------------------

    def reconnect(self, peer: Peer) -> None:
        """Replace the connection to a peer now. Recovery is automatic; this is for impatience."""
        self._inner.reconnect(peer)

    def kick(self, peer: Peer | str, *, reason: str = "") -> None:
        """Remove a peer from the room for a minute; see ``ban``."""
        self._work.call(self._inner.kick(peer, reason=reason))

    def ban(self, peer: Peer | str, *, duration: float = BAN_DURATION, reason: str = "") -> None:
        """Remove a peer from the room, and keep it out; see ``thkmesh.Room.ban``.

        Args:
            peer: a peer, or its id; it need not be here.
            duration: seconds, from 1 to a year.
            reason: what everybody is told, up to 200 characters.

        Raises:
            InvalidArgument: that is no peer but us, or no such duration or reason.
            NotGranted: the server does not let us.
            ServerUnreachable: it is away, or does not answer.
            RoomClosed: the room was left, or has ended.
        """
        self._work.call(self._inner.ban(peer, duration=duration, reason=reason))

    def leave(self, *, patience: float = LEAVE_PATIENCE) -> None:
        """Deliver what is queued, say goodbye and close; harmless when done before.

        Args:
            patience: seconds that queued messages have to be sent.

        Raises:
            InvalidArgument: ``patience`` is no number of seconds.
            WrongContext: inside a running event loop, or after fork.
        """
        require_context()
        require_no_loop()
        check_patience(patience)
        self._inner.depart(patience)
        self._settle()

    def _settle(self) -> None:
        """Wait until nothing of the room is left, its thread included."""
        self._over.wait()
        self._host.join()


class Channel:
    """A channel of a room; made by ``Room.channel``. See ``thkmesh.Channel``."""

    def __init__(self, room: Room, inner: AsyncChannel, work: _Work, *, receive: bool) -> None:
        """Use ``Room.channel``."""
        self.inner = inner
        self._room = room
        self._work = work
        self._inbox = Inbox(inner.ledger, keep=receive, begun=False)
        inner.attach(self._inbox)

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.inner.name

    @property
    def closed(self) -> bool:
        """Whether the channel was closed, or the room has ended."""
        return self.inner.closed

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the channel; see ``close``."""
        if not forked():
            self.close()

    def send(
        self, data: "Data | Source", *, to: Peer | str | None = None, key: str | None = None
    ) -> None:
        """Send a message; see ``thkmesh.Channel.send`` and, for waiting, ``Room.send``.

        Raises:
            MeshError: see there.
        """
        self.inner.check_open()
        self._work.send_all(self.name, self.inner.packing, data, key, to)

    def send_nowait(
        self, data: Data, *, to: Peer | str | None = None, key: str | None = None
    ) -> None:
        """Send a message if that can be done without waiting; see ``send``.

        Raises:
            WouldWait: too much is waiting already; nothing was sent.
            MeshError: see ``send``.
        """
        self.inner.check_open()
        self._work.send_nowait(self.name, self.inner.packing.pack(data, key), to)

    def flush(self) -> None:
        """Wait until all that was sent so far has arrived, wherever it is owed.

        Raises:
            RoomClosed: the room was left before that.
        """
        self._work.do(self.inner.flush())

    def __iter__(self) -> Subscription[Message]:
        """Return the messages since the channel was opened; see ``Subscription``."""
        return Subscription(self._room, self.inner, self._inbox)

    def receive(self, timeout: float | None = None) -> Message:
        """Return the next message, as iterating would; see ``Subscription.receive``."""
        taken: Subscription[Message] = Subscription(self._room, self.inner, self._inbox)
        return taken.receive(timeout)

    def subscribe(self) -> Subscription[Message]:
        """Return another, independent view of all messages from now on."""
        inbox = Inbox(self.inner.ledger, keep=True)
        self.inner.attach(inbox)
        return Subscription(self._room, self.inner, inbox)

    def close(self) -> None:
        """Deliver what was sent, then hear and send no more; harmless when done before.

        Raises:
            RoomClosed: the room was left before all was delivered.
        """
        self._work.do(self.inner.close())


def _forsake(inner: asynchronous.Room) -> None:
    """Leave a room to which nobody refers any more."""
    if not forked():
        inner.depart(HURRIED_PATIENCE)
