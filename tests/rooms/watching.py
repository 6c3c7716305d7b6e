"""A host that lets a test see what a session asks of its engine, and speak to its links."""

import asyncio
from collections.abc import Callable

from thkmesh.core.engine import (
    AddCandidate,
    ApplyRemote,
    Capabilities,
    Connection,
    ConnectionConfig,
    Engine,
    EngineEvent,
    MakeAnswer,
    MakeOffer,
    Operation,
    OperationDone,
    OperationFailed,
    RollBack,
    SdpType,
    Stats,
)
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import LinkSettings
from thkmesh.core.session import Session
from thkmesh.host import Host
from thkmesh.runner import Runner

Emit = Callable[[EngineEvent], None]


class WatchedConnection:
    """A connection that remembers what was asked of it."""

    def __init__(self, engine: Engine, config: ConnectionConfig, emit: Emit) -> None:
        """Open a connection of an engine."""
        self.rollbacks = 0
        self._busy = False
        self._answered = True

        def note(event: EngineEvent) -> None:
            if isinstance(event, OperationDone | OperationFailed):
                self._done(event.operation)
            emit(event)

        self._connection: Connection = engine.open(config, note)

    @property
    def at_rest(self) -> bool:
        """Tell whether no operation is in flight, and every description has its answer."""
        return self._answered and not self._busy

    def _done(self, operation: Operation) -> None:
        self._busy = False
        match operation:
            case MakeOffer():
                self._answered = False
            case ApplyRemote(description=remote):
                self._answered = remote.type is SdpType.ANSWER
            case MakeAnswer() | RollBack():
                self._answered = True
            case AddCandidate():
                pass

    def perform(self, operation: Operation) -> None:
        """Begin an operation."""
        self.rollbacks += isinstance(operation, RollBack)
        self._busy = True
        self._connection.perform(operation)

    def send(self, channel: int, data: bytes) -> bool:
        """Hand one datagram to a channel."""
        return self._connection.send(channel, data)

    def buffered_bytes(self, channel: int) -> int:
        """Return how many bytes wait in the engine's buffer."""
        return self._connection.buffered_bytes(channel)

    def reconfigure(self, config: ConnectionConfig) -> None:
        """Use other ICE servers."""
        self._connection.reconfigure(config)

    def mark_low(self, channel: int, size_bytes: int) -> None:
        """Have another low-water mark."""
        self._connection.mark_low(channel, size_bytes)

    async def stats(self) -> Stats:
        """Return what the engine knows."""
        return await self._connection.stats()

    async def close(self, drain: float = 0.0) -> None:
        """Close."""
        await self._connection.close(drain)


class WatchedEngine:
    """An engine that remembers its connections."""

    def __init__(self, engine: Engine, ring: Callable[[], None]) -> None:
        """Watch an engine; ``ring`` is called after each of its events."""
        self.connections: list[WatchedConnection] = []
        self._engine = engine
        self._ring = ring

    @property
    def name(self) -> str:
        """Return its name."""
        return self._engine.name

    @property
    def capabilities(self) -> Capabilities:
        """Return what it can do."""
        return self._engine.capabilities

    def open(self, config: ConnectionConfig, emit: Emit) -> WatchedConnection:
        """Make a connection."""

        def emit_and_ring(event: EngineEvent) -> None:
            emit(event)
            self._ring()

        self.connections.append(WatchedConnection(self._engine, config, emit_and_ring))
        return self.connections[-1]

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()


class WatchingHost:
    """A host for one session, which runs on another host."""

    def __init__(self, host: Host) -> None:
        """Put ourselves between a session and its host."""
        self.runner: Runner
        self.watched: WatchedEngine
        self._host = host
        self._bell = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait, on the host's loop, for the engine's event that makes something true."""
        while not holds():
            self._bell.clear()
            await self._bell.wait()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the session."""
        return self._host.loop

    @property
    def here(self) -> bool:
        """Whether who asks may enter the session."""
        return self._host.here

    def lastly(self, call: Callable[[], None]) -> None:
        """Make a call when the loop has nothing more to do just now."""
        self._host.lastly(call)

    def session(self, me: SessionKey, settings: LinkSettings) -> Session:
        """Return the mind of a new session."""
        return self._host.session(me, settings)

    def engine(self, name: str | None) -> Engine:
        """Return the engine, watched."""
        self.watched = WatchedEngine(self._host.engine(name), self._bell.set)
        return self.watched

    def adopt(self, runner: Runner) -> None:
        """Take in the session."""
        self.runner = runner
        self._host.adopt(runner)

    def release(self, runner: Runner) -> None:
        """Let go of the session."""
        self._host.release(runner)
