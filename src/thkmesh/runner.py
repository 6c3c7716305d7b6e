"""Runs one session: performs what its machine asks for, feeds what happens.

A runner lives on one event loop, usually that of the mesh thread, and never runs
code of the application: what the application should know goes to its ``Face``.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final, Protocol

from thkmesh.core import wire
from thkmesh.core.contact import (
    CloseSocket,
    OpenSocket,
    RenewPermit,
    SayHello,
    SendToServer,
)
from thkmesh.core.engine import (
    BULK,
    CONTROL,
    Connection,
    ConnectionConfig,
    ConnectionState,
    Engine,
    EngineEvent,
    IceServer,
    StateChanged,
)
from thkmesh.core.heartbeat import INTERVAL, PATIENCE
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import LinkSettings
from thkmesh.core.link_events import (
    AskStats,
    CloseConnection,
    FromEngine,
    MarkLow,
    MeasureBuffer,
    Measured,
    OpenConnection,
    Perform,
    SendFrame,
    SendRelayed,
    StatsArrived,
    TransfersBroken,
    TransmitSignal,
)
from thkmesh.core.retry import SETTLE_TIMEOUT
from thkmesh.core.session import Session
from thkmesh.core.session_events import (
    Accepted,
    Cancel,
    CheckStatement,
    Deliver,
    DeliverPiece,
    Emit,
    Ended,
    FromLink,
    Heard,
    Leave,
    Send,
    SendAll,
    SessionEvent,
    SessionOutput,
    Start,
    Unsendable,
    Welcomed,
)
from thkmesh.core.window import SendWindow
from thkmesh.driver import Driver
from thkmesh.errors import EngineError, MeshError
from thkmesh.events import Event, LinkState, Path, PeerJoined, PeerLeft, Quality
from thkmesh.gathering import Gathering
from thkmesh.peer import Peer
from thkmesh.signaling.client import SignalingClient, SignalingSettings
from thkmesh.signaling.transport import Transport

__all__ = ["ConnectionSettings", "Face", "LinkView", "Runner"]

DRAIN_FIRST = 1.0
"""Seconds that connections have to drain before the server is told that we left."""

_PATIENCE: Final = 0.0005
"""Seconds that a message waits for the session, rather than take the way of a hop to it."""

_NOW: Final = 0
"""The token of a message that is accepted at once or not at all."""

_ANYWHERE: Final = (
    *(SendFrame, MarkLow, MeasureBuffer, Emit, Deliver, Accepted, Unsendable),
    *(DeliverPiece, TransfersBroken),
)
"""What can be performed on any thread."""

_PRESENCE: Final = (PeerJoined, PeerLeft)

_log = logging.getLogger("thkmesh.client")


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How direct connections are made and kept; the server may add ICE servers of its own."""

    ice_servers: tuple[IceServer, ...] = ()
    relay_only: bool = False
    hasty: bool = False
    watch_network: bool = True
    heartbeat_interval: float = INTERVAL
    disconnect_timeout: float = PATIENCE
    failed_timeout: float = SETTLE_TIMEOUT

    def links(self, engine: Engine) -> LinkSettings:
        """Return what links of that engine need to know."""
        return LinkSettings(
            engine.capabilities,
            hasty=self.hasty,
            heartbeat_interval=self.heartbeat_interval,
            disconnect_timeout=self.disconnect_timeout,
            failed_timeout=self.failed_timeout,
        )


@dataclass(frozen=True, slots=True)
class LinkView:
    """The link to one peer at one moment.

    Attributes:
        peer: whom it leads to.
        state: whether it carries messages now.
        polite: we yield when offers collide (our id is the lower one).
        generation: how many connections the two have tried, at least.
        waiting_bytes: queued here, not yet with the engine.
        path: what carries messages now, None where nothing does; the relay only while
            there is no direct one.
        quality: how good that path is; None where there is none, and until the first
            round trip is known.
        dropped: how many messages of channels that may lose were not sent to the peer, as
            too much was queued, or nothing led to it.
    """

    peer: Peer
    state: LinkState
    polite: bool
    generation: int
    waiting_bytes: int
    path: Path | None
    quality: Quality | None = None
    dropped: int = 0


class Face(Protocol):
    """What an application hears of its session.

    Called on the runner's loop, or, while ``Runner.send`` runs, on its thread.
    """

    def emit(self, event: Event) -> None:
        """Take an event."""

    def deliver(self, output: Deliver) -> None:
        """Take a message; what was read of it is reported as ``Deliver`` says."""

    def deliver_piece(self, output: DeliverPiece) -> None:
        """Take a piece of a streamed message; what was read of it is reported likewise."""

    def broken(self, output: TransfersBroken) -> None:
        """Take note that the streamed messages that were under way will not be whole."""

    def accepted(self, token: int) -> None:
        """Take note that a message was accepted."""

    def unsendable(self, token: int, error: MeshError) -> None:
        """Take note that a message was not sent."""

    def settled(self) -> None:
        """Take note that nothing more follows just now; on any thread."""

    def ended(self, error: MeshError | None) -> None:
        """Take note that the session is over; the last call but ``settled``."""


def _anywhere(output: SessionOutput) -> bool:
    """Tell whether an output can be performed on any thread."""
    return isinstance(output, _ANYWHERE)


def _ahead(output: SessionOutput) -> bool:
    """Tell whether an output is the answer that ``Runner.send`` needs before it returns."""
    return isinstance(output, Accepted | Unsendable) and output.token == _NOW


class Runner:
    """One session, its engine connections and its WebSocket."""

    def __init__(
        self,
        signaling: SignalingSettings,
        connecting: ConnectionSettings,
        *,
        engine: Engine,
        transport: Transport,
        face: Face,
        mind: Callable[[SessionKey, LinkSettings], Session],
    ) -> None:
        """Begin outside the room, on the running loop; ``start`` enters it."""
        self.me = signaling.me
        self._connecting = connecting
        self._config = self._config_with(())
        self._engine = engine
        self._face = face
        self._session = mind(signaling.session, connecting.links(engine))
        # Held by whoever is in the session's machine, on whichever thread. The face's locks are
        # taken while it is held; so nobody who holds one of those may ask for it.
        self._lock = threading.RLock()
        self._driver: Driver[SessionEvent, SessionOutput] = Driver(
            self._session,
            self._perform,
            logger=_log,
            lock=self._lock,
            anywhere=_anywhere,
            ahead=_ahead,
            settled=face.settled,
        )
        self._home = threading.get_ident()
        # What became of the message that is being sent right now.
        self._verdict: MeshError | bool = False
        self._gathering = Gathering(asyncio.get_running_loop(), self._release)
        self._client = SignalingClient(signaling, transport, self._feed)
        self._connections: dict[tuple[SessionKey, int], Connection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._parting = False
        self._ended = asyncio.Event()
        self._peers: tuple[Peer, ...] = ()
        self.unsent = 0
        """Frames that an engine did not take because its channel had just closed."""

    # --- for the face ---------------------------------------------------------------

    def start(self) -> None:
        """Enter the room."""
        self._driver.feed(Start())

    def feed(self, event: SessionEvent) -> None:
        """Hand in what the application wants."""
        with self._lock:
            self._let_gathered()
            self._driver.feed(event)

    def send(self, to: SessionKey | None, kind: int, payload: bytes, channel: str) -> bool:
        """Send a message on this thread, whichever it is.

        Returns:
            False when it cannot be accepted now: nothing has happened then.

        Raises:
            MeshError: it cannot be sent at all.
        """
        if not self._lock.acquire(timeout=_PATIENCE):
            return False
        try:
            if not self._enterable():
                return False
            self._let_gathered()
            self._verdict = False
            self._driver.feed(Send(_NOW, to, kind, payload, channel))
            verdict = self._verdict
            if verdict is False:
                self._driver.feed(Cancel(_NOW))
                return False
            self._gathering.sent()
        finally:
            self._lock.release()
        if verdict is not True:
            raise verdict
        return True

    def gather(self, kind: int, payload: bytes, channel: str) -> bool:
        """Send a message to everybody together with others, if it comes right behind one.

        See ``Gathering``. For the thread of the application's loop only, which does without
        the lock, and has to call ``end_burst`` in its next turns until that returns True.

        Returns:
            False if it is no part of a burst, or too much is waiting already.
        """
        gathering = self._gathering
        if not gathering.takes(payload):
            return False
        if not self._session.accepting or not self._session.room_for(channel, None):
            return False
        gathering.add((channel, kind, payload))
        if gathering.full:
            self._release_here()
        return True

    def end_burst(self) -> bool:
        """Send what has gathered if the last turn added nothing; tell whether that is so."""
        if self._gathering.grows():
            return False
        self._release_here()
        return True

    def _release_here(self) -> None:
        """Send what has gathered on this thread, if that may be; else it will be seen to."""
        if not self._lock.acquire(timeout=_PATIENCE):
            return
        try:
            if self._enterable():
                self._let_gathered()
        finally:
            self._lock.release()

    def _enterable(self) -> bool:
        """Tell whether this thread may enter the session; its caller holds the lock."""
        if self._driver.running:  # a signal handler that sends while we do
            return False
        return self._engine.capabilities.send_anywhere or threading.get_ident() == self._home

    def _release(self) -> None:
        with self._lock:
            self._let_gathered()

    def _let_gathered(self) -> None:
        """Hand on what has gathered; it goes before anything else."""
        messages = self._gathering.take()
        if messages:
            self._driver.feed(SendAll(messages))
            self._gathering.sent()

    async def leave(self, patience: float) -> None:
        """Say goodbye and wait until everything is closed."""
        self.feed(Leave(patience))
        await self.finished()

    async def finished(self) -> None:
        """Wait until the session is over and everything of it is closed."""
        await self._ended.wait()

    @property
    def watches_network(self) -> bool:
        """Whether the session wants to know when the machine comes to another network."""
        return self._connecting.watch_network

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Who is here beside us; safe to read from any thread."""
        return self._peers

    def room_for(self, channel: str, to: SessionKey | None) -> bool:
        """Tell whether a message would not have to wait; safe to ask on any thread."""
        with self._lock:
            return self._session.room_for(channel, to)

    @property
    def grants(self) -> tuple[str, ...]:
        """What the server lets us do."""
        return self._session.grants

    def link(self, peer: Peer) -> LinkView | None:
        """Return how the link to a peer is, None where there is none."""
        with self._lock:
            for link in self._session.links:
                if link.to == (peer.id, peer.sid):
                    return LinkView(
                        peer,
                        link.state,
                        link.polite,
                        link.generation,
                        link.waiting_bytes,
                        link.path,
                        link.quality,
                        link.dropped,
                    )
        return None

    # --- performing -----------------------------------------------------------------

    def _perform(self, output: SessionOutput) -> None:
        match output:
            case Deliver():
                self._face.deliver(output)
            case SendFrame(to=to, number=number, channel=channel, frame=frame):
                connection = self._connections.get((to, number))
                if connection is None or not connection.send(channel, frame):
                    self.unsent += 1
            case Emit(event=event):
                if isinstance(event, _PRESENCE):
                    self._peers = self._session.peers
                self._face.emit(event)
            case Accepted(token=0):
                self._verdict = True
            case Unsendable(token=0, error=error):
                self._verdict = error
            case DeliverPiece():
                self._face.deliver_piece(output)
            case TransfersBroken():
                self._face.broken(output)
            case Accepted(token=token):
                self._face.accepted(token)
            case Unsendable(token=token, error=error):
                self._face.unsendable(token, error)
            case Perform(to=to, number=number, operation=operation):
                if connection := self._connections.get((to, number)):
                    connection.perform(operation)
            case MarkLow(to=to, number=number, size_bytes=size):
                if connection := self._connections.get((to, number)):
                    connection.mark_low(CONTROL, size)
                    connection.mark_low(BULK, size)
            case MeasureBuffer(to=to, number=number, channel=channel):
                if connection := self._connections.get((to, number)):
                    held = connection.buffered_bytes(channel)
                    if channel == CONTROL:
                        held += connection.buffered_bytes(BULK)
                    self._driver.feed(FromLink(to, Measured(number, held, channel)))
            case AskStats(to=to, number=number):
                if connection := self._connections.get((to, number)):
                    self._ask(to, number, connection)
            case OpenConnection(to=to, number=number):
                self._open_connection(to, number)
            case CloseConnection(to=to, number=number, drain=drain):
                self._close_connection(to, number, drain)
            case Ended(error=error):
                self._spawn(self._end(error))
            case _:
                self._perform_at_server(output)

    def _perform_at_server(self, output: SessionOutput) -> None:
        match output:
            case TransmitSignal():
                self._client.signal(output)
            case SendRelayed():
                self._client.relay(output)
            case CheckStatement():
                self._client.check(output)
            case OpenSocket():
                self._client.open()
            case CloseSocket():
                if not self._parting:
                    self._client.close()
            case SayHello():
                self._client.hello(output)
            case RenewPermit():
                self._client.renew()
            case SendToServer(message=wire.Leave() as message):
                self._parting = True
                self._spawn(self._say_goodbye(message, list(self._closing)))
            case SendToServer(message=message):
                self._client.send(message)
            case _:  # pragma: no cover - those above are all
                raise AssertionError(output)

    def _feed(self, event: SessionEvent) -> None:
        match event:
            case Welcomed(message=message) | Heard(message=wire.IceServers() as message):
                self._use(message.ice_servers)
            case _:
                pass
        self._driver.feed(event)

    def _use(self, offered: tuple[wire.IceServer, ...]) -> None:
        """Use the server's ICE servers, for what is connected from now on or anew."""
        config = self._config_with(
            tuple(IceServer(each.urls, each.username, each.credential) for each in offered)
        )
        if config != self._config:
            self._config = config
            for connection in self._connections.values():
                connection.reconfigure(config)

    def _config_with(self, offered: tuple[IceServer, ...]) -> ConnectionConfig:
        return ConnectionConfig(
            ice_servers=self._connecting.ice_servers + offered,
            relay_only=self._connecting.relay_only,
            low_water_bytes=SendWindow().low_water_bytes,
        )

    def _open_connection(self, to: SessionKey, number: int) -> None:
        def emit(event: EngineEvent) -> None:
            self._driver.feed(FromLink(to, FromEngine(number, event)))

        try:
            self._connections[to, number] = self._engine.open(self._config, emit)
        except EngineError as error:
            _log.warning("no connection to %s: %s", to.id, error)
            emit(StateChanged(ConnectionState.FAILED))

    def _close_connection(self, to: SessionKey, number: int, drain: float) -> None:
        connection = self._connections.pop((to, number), None)
        if connection is not None:
            self._spawn(connection.close(drain))

    def _ask(self, to: SessionKey, number: int, connection: Connection) -> None:
        """Have the link told what the engine knows; nobody waits for that."""

        async def ask() -> None:
            stats = await connection.stats()
            self._driver.feed(FromLink(to, StatsArrived(number, stats)))

        task = asyncio.create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _say_goodbye(self, goodbye: wire.Leave, drains: list[asyncio.Task[None]]) -> None:
        """Leave the server when the connections have drained, or should have.

        Else its word that we have left might overtake our last messages.
        """
        if drains:
            await asyncio.wait(drains, timeout=DRAIN_FIRST)
        self._client.send(goodbye)
        self._client.close()

    async def _end(self, error: MeshError | None) -> None:
        """Wait for what is closing; then, and only then, the session is over."""
        self._driver.close()
        for asking in self._asking:
            asking.cancel()
        this = asyncio.current_task()
        while others := [task for task in self._closing if task is not this]:
            await asyncio.wait(others)
        await self._client.closed()
        self._face.ended(error)
        self._ended.set()
