"""Rooms: the public face for programs with an event loop.

::

    async with thkmesh.join("http://localhost:8765", room="lobby", name="Ada") as room:
        await room.send("hello, everyone")
        async for event in room:
            ...

A ``Room`` belongs to the event loop it was joined on. The session behind it runs
elsewhere (see ``thkmesh.host``), so a busy loop delays what the application sees
and nothing else.
"""

import asyncio
import itertools
import signal
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

from thkmesh.bytestream import Arrivals
from thkmesh.channel import Asked, Channel, options
from thkmesh.core import frames
from thkmesh.core.channels import ROOM, Delivery
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import Renew, TransfersBroken
from thkmesh.core.packing import PLAIN, Packed
from thkmesh.core.realtime import Limits
from thkmesh.core.session_events import (
    AbortTransfer,
    Cancel,
    CloseChannel,
    Deliver,
    DeliverPiece,
    Flush,
    FromLink,
    Kick,
    Leave,
    OpenChannel,
    Send,
    SendPiece,
    SessionEvent,
)
from thkmesh.crossing import Ledger, Mailbox
from thkmesh.errors import (
    ChannelClosed,
    EngineError,
    InvalidArgument,
    JoinError,
    MeshError,
    RoomClosed,
    ServerUnreachable,
    UnknownPeer,
    WouldWait,
    WrongContext,
)
from thkmesh.events import Data, Event, PeerLeft, ServerChanged, ServerState, Undelivered
from thkmesh.host import Host, require_context
from thkmesh.invitation import invitation_link
from thkmesh.peer import Peer
from thkmesh.runner import LinkView, Runner
from thkmesh.settings import (
    BAN_DURATION,
    HURRIED_PATIENCE,
    KICK_DURATION,
    LEAVE_PATIENCE,
    RoomSettings,
    check_kick,
    check_patience,
)
from thkmesh.signaling.transport import Transport
from thkmesh.subscription import Reader, Subscription, count_out, hand_out, hand_out_stream
from thkmesh.transfer import Source, Transfer, chunks, is_stream

__all__ = ["Room"]

_WATCH = 1.0
"""Seconds between two looks at whether the application's loop is closed."""


_STREAK = 64
"""After so many messages that did not have to wait, other tasks get their turn."""

_UNSURE = 1024
"""So many messages may be on their way to the session, sent without waiting."""


def _interruptible() -> bool:
    """Tell whether Ctrl-C raises ``KeyboardInterrupt`` in this thread, wherever it is.

    Half-way through a message it would break the session. ``asyncio.run`` cancels its
    main task instead, the first time; without that the session is entered on its own
    thread only. Who presses Ctrl-C again is not waited for, and says no goodbye.
    """
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Room:
    """A room we are in; made by ``join``."""

    def __init__(
        self,
        settings: RoomSettings,
        host: Host,
        transport: Transport,
        release: Callable[[Callable[[], None]], None] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Use ``join``.

        Args:
            settings: what to join, and how.
            host: where the session is to run.
            transport: what opens WebSockets.
            release: called once the session has ended, with what is to be called
                when the host has been let go of.
            loop: the application's; None means the running one.

        Raises:
            InvalidArgument: the key file is not one.
        """
        self.name = settings.room
        self.error: MeshError | None = None
        self._settings = settings
        self._loop = loop or asyncio.get_running_loop()
        self._signaling = settings.signaling(None if loop else self._loop)
        self.me: Peer = self._signaling.me
        self._host = host
        self._transport = transport
        self._results: Mailbox[tuple[int, MeshError | None] | None] = Mailbox(
            self._loop, self._deliver
        )
        self._commands: Mailbox[SessionEvent | Callable[[], None]] = Mailbox(
            host.loop, self._command
        )
        self._interruptible = loop is None and _interruptible()
        self._streak = 0
        self._bursting = False  # The next turns of the loop see to what has gathered.
        self._runner: Runner | None = None
        self._tokens = itertools.count(1)
        self._sending: dict[int, asyncio.Future[None]] = {}
        self._server = ServerState.CONNECTING
        self._last_error: MeshError | None = None
        self._release = release
        self._joined = asyncio.Event()
        self._ended = asyncio.Event()
        self._finished = False
        self._told = False
        self._nudged = False
        # What was read overtakes nothing and may be overtaken: sending does not wait for it.
        receipts: Mailbox[SessionEvent | Callable[[], None]] = Mailbox(host.loop, self._command)
        self.ledger = Ledger(receipts.put, receipts.put)
        self._arrivals = Arrivals(self.ledger)
        self._channels: dict[str, Channel] = {}
        # How each channel that there ever was delivers: that holds for ever.
        self._rules: dict[str, tuple[Delivery, Limits | None]] = {ROOM: (Delivery.RELIABLE, None)}
        # How many messages wait to be accepted, by channel and addressee.
        self._queued: dict[tuple[str, SessionKey | None], int] = {}
        # What was sent without waiting for an answer: on which channel, and to whom.
        self._unsure: dict[int, tuple[str, Peer | None]] = {}
        self._main: Subscription[Event] = Subscription(self, keep=settings.receive, begun=False)
        self._readers: tuple[Reader, ...] = (self._main,)
        self._telling = threading.Lock()

    # --- looking --------------------------------------------------------------------

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Everybody in the room but us."""
        return self._runner.peers if self._runner else ()

    @property
    def server(self) -> ServerState:
        """How it stands with the signaling server; links live on without it."""
        return self._server

    @property
    def grants(self) -> frozenset[str]:
        """What the server lets us do, by its last word; empty before that.

        Of the words ``join``, ``send``, ``relay``, ``create``, ``kick`` and ``list``.
        """
        return frozenset(self._runner.grants) if self._runner else frozenset()

    @property
    def closed(self) -> bool:
        """Whether the room has been left or has ended."""
        return self._ended.is_set()

    @property
    def invitation(self) -> str:
        """The link for others, with the secret of a private room behind its ``#``."""
        return invitation_link(self._settings.url, self.name, self._settings.secret)

    def link(self, peer: Peer) -> LinkView | None:
        """Return how the link to a peer is right now; None where there is none."""
        return self._runner.link(peer) if self._runner else None

    # --- sending --------------------------------------------------------------------

    async def send(self, data: "Data | Source", *, to: Peer | str | None = None) -> None:
        """Send a message to everybody in the room, or to one peer.

        It is delivered to those who are in the room now, in the order of sending,
        as soon as their links are up. Returns when the message is accepted; that
        takes as long as too much is waiting already. Cancelled before that, the
        message is not sent; while the answer is on its way, it may have been.

        A stream is sent as it comes, in memory that does not grow with it, and arrives
        as a ``ByteStream``. If its source raises, or this is cancelled, it is given up:
        it breaks wherever it is read. A channel of its own lets nothing wait behind it.

        Args:
            data: ``str``, ``bytes``, or a JSON value, up to 8 MiB encoded; or a stream of
                any size: an async iterable or an iterator of bytes, or a binary file. The
                latter two are read on the event loop.
            to: a peer or a peer's id; None means everybody.

        Raises:
            InvalidArgument: the data is none of these.
            WouldWait: 64 streams are being sent there already.
            MessageTooLarge: it is over the limit.
            UnknownPeer: ``to`` is not in the room.
            RoomClosed: the room was left, or has ended.
            WrongContext: called on another event loop, or after fork.
        """
        try:
            packed = PLAIN.pack(data)
        except InvalidArgument:
            if not is_stream(data):
                raise
            await self.stream_on(ROOM, data, to)
            return
        await self.send_on(ROOM, packed, to)

    def send_nowait(self, data: Data, *, to: Peer | str | None = None) -> None:
        """Send a message, no stream, if that can be done without waiting; see ``send``.

        If it turns out later that ``to`` is gone, an ``Undelivered`` says so.

        Raises:
            WouldWait: too much is waiting already; nothing was sent.
            MeshError: see ``send``.
        """
        self.send_on_nowait(ROOM, PLAIN.pack(data), to)

    async def flush(self) -> None:
        """Wait until all that was sent so far has arrived, wherever it is owed.

        Who goes away meanwhile, or is cut loose, is waited for no longer: events tell.
        What was sent on channels is not waited for; see ``Channel.flush``.

        Raises:
            RoomClosed: the room was left before that.
            MeshError: the room has ended.
        """
        await self.flush_channel(ROOM)

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
        keep: bool = True,
    ) -> Channel:
        """Open a channel: send on it, and hear what others send on it from now on.

        A channel that is open already is returned as it is.

        Args:
            name: 1 to 64 characters of ``A-Z a-z 0-9 . _ -``; the same for everybody.
            delivery: what is promised of what we send. ``"reliable"``: everything once and
                in order. ``"unordered"``: everything once. ``"latest"``: of each key the
                latest value, which who comes later gets too. ``"realtime"``: what is not
                late and not lost, in order, up to 1,100 bytes each. None: what the next
                three amount to, else ``"reliable"``. It holds for the name as long as we
                are in the room.
            ordered: False: without ``"realtime"`` and limits that is ``"unordered"``, with
                them a message is delivered also behind a later one.
            max_retransmits: a message is sent again so often, at most, then given up.
            max_packet_life_time: seconds after which it is given up; not with the former.
            priority: ``"high"``, ``"normal"`` or ``"low"``: while several channels have
                something to send, they share the link 16 to 4 to 1.
            receive: False if we only send on it, and do not want to hear.
            compress: whether messages of over 1 KiB travel compressed where that saves an
                eighth: None, text and JSON do; True, bytes too; False, nothing does.
            keep: False if nobody will iterate over the channel itself, only over its
                subscriptions.

        Raises:
            InvalidArgument: no such name or option, or they contradict each other, or the
                channel is open with others, or was with another delivery; or there have been
                255 different names.
            RoomClosed: the room was left, or has ended.
            WrongContext: after fork.
        """
        require_context()
        wanted = Asked(delivery, ordered, max_retransmits, max_packet_life_time)
        asked = options(name, wanted, priority, receive=receive, compress=compress)
        rule = asked.delivery, asked.limits
        if self.closed:
            raise self.why_closed()
        found = self._channels.get(name)
        if found is not None and not found.closed:
            if found.asked != asked:
                raise InvalidArgument(f"the channel {name} is open with other options")
            return found
        if name not in self._rules and len(self._rules) == frames.CHANNEL_LIMIT:
            raise InvalidArgument(f"a session has at most {frames.CHANNEL_LIMIT - 1} channels")
        if self._rules.setdefault(name, rule) != rule:
            raise InvalidArgument(f"the channel {name} was open with another delivery")
        self._channels[name] = channel = Channel(self, name, asked, keep=keep)
        opening = OpenChannel(name, asked.delivery, asked.priority, asked.receive, asked.limits)
        self._commands.put(opening)
        return channel

    # --- what channels are made of ---------------------------------------------------

    async def send_on(self, channel: str, packed: Packed, to: Peer | str | None) -> None:
        """Send a message on a channel; see ``send``."""
        post = self.prepare(packed, to)
        if asyncio.get_running_loop() is not self._loop:
            raise WrongContext("a room is used on the event loop it was joined on")
        if not self._send_here(*post, channel):
            await self.post(*post, channel)
            return
        self._streak += 1
        if self._streak == _STREAK:
            self._streak = 0
            await asyncio.sleep(0)

    def send_on_nowait(self, channel: str, packed: Packed, to: Peer | str | None) -> None:
        """Send a message on a channel if that can be done at once; see ``send_nowait``."""
        post = self.prepare(packed, to)
        if not self._send_here(*post, channel):
            self.post_nowait(*post, channel)

    async def stream_on(self, channel: str, source: object, to: Peer | str | None) -> None:
        """Send a stream on a channel; see ``send``."""
        if asyncio.get_running_loop() is not self._loop:
            raise WrongContext("a room is used on the event loop it was joined on")
        transfer = self.transfer(channel, to)
        try:
            await transfer.feed(chunks(source))
        except BaseException:
            await transfer.abort()
            raise

    def transfer(self, channel: str, to: Peer | str | None) -> Transfer:
        """Begin to send a stream on a channel; on the room's loop.

        Raises:
            MeshError: see ``send``.
        """
        if self.closed:
            raise self.why_closed()
        key = None if to is None else self._find(to)
        number = next(self._tokens)

        async def send(payload: bytes, *, last: bool = False) -> None:
            if self.closed:
                raise self.why_closed()
            if channel != ROOM and channel not in self._channels:
                raise ChannelClosed(f"the channel {channel} was closed")
            await self.settle(lambda token: SendPiece(token, key, number, payload, last, channel))

        return Transfer(
            send, partial(send, last=True), lambda: self._commands.put(AbortTransfer(number))
        )

    async def flush_channel(self, channel: str) -> None:
        """Wait until all that was sent on a channel has arrived; see ``flush``."""
        require_context()
        if self.closed:
            raise self.why_closed()
        if asyncio.get_running_loop() is not self._loop:
            raise WrongContext("a room is used on the event loop it was joined on")
        await self.settle(lambda token: Flush(token, channel))

    def forget(self, channel: Channel) -> None:
        """Hear of a channel no longer."""
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
            self._arrivals.break_off("the channel was closed", channel=channel.name)
            self._commands.put(CloseChannel(channel.name))

    def prepare(
        self, packed: Packed, to: Peer | str | None
    ) -> tuple[SessionKey | None, int, bytes]:
        """Return to whom to send what; on any thread.

        Raises:
            MeshError: see ``send``.
        """
        require_context()
        if self.closed:
            raise self.why_closed()
        return None if to is None else self._find(to), *packed

    def _send_here(self, to: SessionKey | None, kind: int, payload: bytes, channel: str) -> bool:
        """Send what was prepared on the thread of the room's loop, if it need not wait."""
        if self._interruptible or not self._host.here:
            return False
        if self._runner is None or self._commands:
            return False
        # A value may be refused, which must be known at once.
        gathers = to is None and self._rules[channel][0] is not Delivery.LATEST
        if gathers and self._runner.gather(kind, payload, channel):
            if not self._bursting:
                self._bursting = True
                self._loop.call_soon(self._end_burst)
            return True
        return self._runner.send(to, kind, payload, channel)

    def _end_burst(self) -> None:
        assert self._runner is not None, "it has gathered something"
        if self._runner.end_burst():
            self._bursting = False
        else:
            self._loop.call_soon(self._end_burst)

    def send_here(self, to: SessionKey | None, kind: int, payload: bytes, channel: str) -> bool:
        """Send what was prepared on this thread, without a hop to the session's.

        Not for a thread in which ``KeyboardInterrupt`` may be raised meanwhile.

        Returns:
            False where it has to be posted: the session is busy, or has to wait, or
            something that was posted before would be overtaken.

        Raises:
            MeshError: see ``send``.
        """
        if self._runner is None or self._commands:
            return False
        return self._runner.send(to, kind, payload, channel)

    def post_nowait(self, to: SessionKey | None, kind: int, payload: bytes, channel: str) -> None:
        """Send what was prepared, on the room's loop; see ``send_nowait``."""
        waiting = (channel, to) in self._queued or len(self._unsure) >= _UNSURE
        if waiting or (self._runner is not None and not self._runner.room_for(channel, to)):
            raise WouldWait("too much is waiting to be sent")
        token = next(self._tokens)
        peer = None if to is None else next((p for p in self.peers if (p.id, p.sid) == to), None)
        self._unsure[token] = (channel, peer)
        self._commands.put(Send(token, to, kind, payload, channel))

    async def post(self, to: SessionKey | None, kind: int, payload: bytes, channel: str) -> None:
        """Send what was prepared, on the room's loop; see ``send``."""
        stream = (channel, to)
        self._queued[stream] = self._queued.get(stream, 0) + 1
        try:
            await self.settle(lambda token: Send(token, to, kind, payload, channel))
        finally:
            self._queued[stream] -= 1
            if not self._queued[stream]:
                del self._queued[stream]

    async def settle(self, command: Callable[[int], SessionEvent]) -> None:
        """Give the session a command with a token, and wait for what becomes of it."""
        token = next(self._tokens)
        future: asyncio.Future[None] = self._loop.create_future()
        self._sending[token] = future
        self._commands.put(command(token))
        try:
            await future
        except asyncio.CancelledError:
            self._commands.put(Cancel(token))
            raise
        finally:
            self._sending.pop(token, None)

    def _find(self, to: object) -> SessionKey:
        match to:
            case Peer():
                return SessionKey(to.id, to.sid)
            case str():
                for peer in reversed(self.peers):  # the newest of its sessions
                    if peer.id == to:
                        return SessionKey(peer.id, peer.sid)
                raise UnknownPeer(f"nobody with the id {to!r:.40} is in the room")
            case _:
                raise InvalidArgument("to is a Peer, a peer's id, or None for everybody")

    # --- receiving ------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event]:
        """Return the events since the room was joined; see ``Subscription``."""
        return self._main

    def subscribe(self, *, unread: bool = False) -> Subscription[Event]:
        """Return another, independent view of all events from now on.

        Args:
            unread: begin with what iterating the room itself has not handed out yet.
                Events come in on another thread, so whoever subscribes after joining
                has missed some; with this, none.
        """
        require_context()
        with self._telling:
            buffer = self._main.unread() if unread else None
            subscription: Subscription[Event] = Subscription(self, buffer=buffer)
            count_out(self._readers)
            self._readers = (*self._readers, subscription)
        return subscription

    def attach(self, reader: Reader, begin: Callable[[], None] | None = None) -> None:
        """Tell a reader of all events after ``begin``, which is called at once."""
        require_context()
        with self._telling:
            if begin is not None:
                begin()
            count_out(self._readers)
            self._readers = (*self._readers, reader)

    def detach(self, reader: Reader) -> None:
        """Tell a reader no more."""
        with self._telling:
            self._readers = tuple(each for each in self._readers if each is not reader)

    # --- links and leaving ------------------------------------------------------------

    def reconnect(self, peer: Peer) -> None:
        """Replace the connection to a peer now. Recovery is automatic; this is for impatience."""
        require_context()
        self._commands.put(FromLink(SessionKey(peer.id, peer.sid), Renew()))

    async def kick(self, peer: Peer | str, *, reason: str = "") -> None:
        """Remove a peer from the room for a minute; see ``ban``."""
        await self.ban(peer, duration=KICK_DURATION, reason=reason)

    async def ban(
        self, peer: Peer | str, *, duration: float = BAN_DURATION, reason: str = ""
    ) -> None:
        """Remove a peer from the room, and keep it out: everybody cuts the link to it.

        Only who was given that right may; the server refuses everybody else. Returns when
        the peer is removed here; the others are told (``PeerKicked``), and it is itself.

        Args:
            peer: a peer, or its id; it need not be here.
            duration: seconds, from 1 to a year.
            reason: what everybody is told, up to 200 characters.

        Raises:
            InvalidArgument: that is no peer but us, or no such duration or reason.
            NotGranted: the server does not let us.
            ServerUnreachable: it is away, or does not answer.
            RoomClosed: the room was left, or has ended.
            WrongContext: called on another event loop, or after fork.
        """
        require_context()
        user_id = peer.id if isinstance(peer, Peer) else peer
        check_kick(user_id, duration, reason)
        if user_id == self.me.id:
            raise InvalidArgument("to go yourself, leave")
        if self.closed:
            raise self.why_closed()
        if asyncio.get_running_loop() is not self._loop:
            raise WrongContext("a room is used on the event loop it was joined on")
        await self.settle(lambda token: Kick(token, user_id, duration, reason))

    async def leave(self, *, patience: float = LEAVE_PATIENCE) -> None:
        """Deliver what is queued, say goodbye and close; harmless when done before.

        Args:
            patience: seconds that queued messages have to be sent.

        Raises:
            InvalidArgument: ``patience`` is no number of seconds.
        """
        require_context()
        check_patience(patience)
        self.depart(patience)
        await self._ended.wait()

    def depart(self, patience: float) -> None:
        """Begin to leave; on any thread."""
        self._commands.put(Leave(patience))

    async def wait_closed(self) -> None:
        """Wait until the room has been left, or has ended."""
        await self._ended.wait()

    # --- the session's face: called on its loop, see thkmesh.runner.Face ----------------

    def emit(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, ServerChanged):
            self._server = event.state
            self._last_error = event.error
        with self._telling:
            for reader in self._readers:
                reader.put(event)
        self._told = True
        if isinstance(event, PeerLeft):
            source = SessionKey(event.peer.id, event.peer.sid)
            self._arrivals.break_off("its sender is gone", source=source)

    def deliver(self, output: Deliver) -> None:
        """Take a message."""
        name = output.message.channel
        if name == ROOM:
            with self._telling:
                hand_out(self._readers, output, self.ledger)
        elif (channel := self._channels.get(name)) is not None:
            channel.deliver(output)
        else:
            hand_out((), output, self.ledger)
        self._told = True

    def deliver_piece(self, output: DeliverPiece) -> None:
        """Take a piece of a streamed message."""
        with self._telling:
            if output.piece.begins:
                self._begin_stream(output)
            self._arrivals.put(output)

    def _begin_stream(self, output: DeliverPiece) -> None:
        name = output.piece.channel
        if name == ROOM:
            taps = hand_out_stream(self._readers, output, self.ledger)
        elif (channel := self._channels.get(name)) is not None:
            taps = channel.begin_stream(output)
        else:
            taps = hand_out_stream((), output, self.ledger)
        self._arrivals.begin(output, taps)
        self._told = True

    def broken(self, output: TransfersBroken) -> None:
        """Take note that the streamed messages that were under way will not be whole."""
        reason = "a part of it was lost"
        self._arrivals.break_off(reason, source=output.sender, stream=output.stream)

    def accepted(self, token: int) -> None:
        """Take note that a message was accepted."""
        self._report((token, None))

    def unsendable(self, token: int, error: MeshError) -> None:
        """Take note that a message was not sent."""
        self._report((token, error))

    def settled(self) -> None:
        """Wake the application if there is something new; on any thread."""
        if not self._told:
            return
        self._told = False
        # One wake-up a batch, and nothing that grows while nobody takes it.
        if not self._nudged:
            self._nudged = True
            self._host.lastly(self._nudge)

    def _nudge(self) -> None:
        self._report(None)

    def ended(self, error: MeshError | None) -> None:
        """Take note that the session is over."""
        self.error = error
        self._arrivals.break_off("the room was left")
        if self._runner is not None:
            self._host.release(self._runner)
        if self._release is not None:
            self._release(self._over)
        else:
            self._over()

    def _over(self) -> None:
        """Let the application know that nothing of the session is left; on any thread."""
        self._finished = True
        self._results.put(None)

    def _report(self, item: tuple[int, MeshError | None] | None) -> None:
        if not self._results.put(item) and self._runner is not None:
            # The application's loop has closed without leaving.
            self._runner.feed(Leave(HURRIED_PATIENCE))

    # --- crossing -----------------------------------------------------------------------

    def _command(self, command: SessionEvent | Callable[[], None]) -> None:
        """Do what the application wants; on the session's loop."""
        if callable(command):
            command()
        elif self._runner is not None:
            self._runner.feed(command)

    def _start(self) -> None:
        """Make the session and enter the room; on the session's loop."""
        try:
            engine = self._host.engine(self._settings.engine)
            self._runner = Runner(
                self._signaling,
                self._settings.connecting(),
                engine=engine,
                transport=self._transport,
                face=self,
                mind=self._host.session,
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, who joins must hear of it
            if not isinstance(error, MeshError):
                error = EngineError(f"the engine does not start: {error!r}")
            self.ended(error)
            return
        self._host.adopt(self._runner)
        self._runner.start()
        self._watch()

    def _watch(self) -> None:
        """Leave when the application's loop is closed and will never ask us to."""
        if self._finished or self._runner is None:
            return
        if self._loop.is_closed():
            self._runner.feed(Leave(HURRIED_PATIENCE))
        else:
            self._host.loop.call_later(_WATCH, self._watch)

    def _deliver(self, item: tuple[int, MeshError | None] | None) -> None:
        """Wake who waits for something; on the application's loop."""
        if item is not None:
            token, error = item
            unsure = self._unsure.pop(token, None)
            if unsure is not None and error is not None and unsure[1] is not None:
                self.emit(Undelivered(unsure[1], 1, unsure[0]))
                self.settled()
            future = self._sending.get(token)
            if future is not None and not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
            return
        self._nudged = False
        if self._finished and not self._ended.is_set():
            self._finish()
        if self._server is ServerState.CONNECTED:
            self._joined.set()
        for reader in self._readers:
            reader.wake()
        for channel in list(self._channels.values()):
            for reader in channel.readers:
                reader.wake()

    def _finish(self) -> None:
        self._ended.set()
        self._joined.set()
        for future in self._sending.values():
            if not future.done():
                future.set_exception(self.why_closed())

    def why_closed(self) -> MeshError:
        """Return a fresh error: one that is raised again and again would grow."""
        if self.error is None:
            return RoomClosed("the room was left")
        return type(self.error)(*self.error.args)

    async def enter(self) -> None:
        """Enter the room; used by ``join``.

        Raises:
            JoinError: see ``join``.
        """
        self.begin()
        await self.entered()

    def begin(self) -> None:
        """Begin to enter; on any thread."""
        self._commands.put(self._start)

    async def entered(self) -> None:
        """Wait until the room has been entered.

        Raises:
            JoinError: see ``join``.
        """
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._joined.wait()
        except TimeoutError:
            reason = self._last_error or f"{self._settings.url} did not answer"
            await self.leave(patience=0.0)
            text = f"not joined within {self._settings.timeout:g} s: {reason}"
            raise ServerUnreachable(text) from None
        except asyncio.CancelledError:
            await self.leave(patience=0.0)
            raise
        if self.closed:
            raise self.error or JoinError("the room was left while joining")
