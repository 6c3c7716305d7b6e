"""A WebRTC engine in memory: the same protocol, no packets, any kind of weather.

It runs on the running loop, on virtual time as well as on real time, draws all
its chance from the network's seed, and is held to the same laws as the engines
that are real (one conformance suite for all). Its faults can be ordered: see
``Behaviour`` for those of an engine, ``SimulatedNetwork`` for those of the world.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from math import prod
from random import Random
from zlib import crc32

from thkmesh.core.engine import (
    CHANNELS,
    END_OF_CANDIDATES,
    AddCandidate,
    BufferLow,
    Candidate,
    CandidateFound,
    Capabilities,
    ChannelClosed,
    ChannelOpened,
    ConnectionConfig,
    ConnectionState,
    EngineEvent,
    FrameReceived,
    Operation,
    OperationDone,
    OperationFailed,
    StateChanged,
    Stats,
)
from thkmesh.engines.simulated_ice import Agent, Reports
from thkmesh.engines.simulated_jsep import Illegal, Jsep, Refused
from thkmesh.engines.simulated_network import SimulatedNetwork
from thkmesh.errors import EngineError

__all__ = ["Behaviour", "SimulatedConnection", "SimulatedEngine"]

Emit = Callable[[EngineEvent], None]

_CHECK_INTERVAL = 2.5
"""Seconds between ICE's checks of a pair that is used, as libwebrtc makes them."""

_ALL = Capabilities(rollback=True, ice_restart=True, trickle=True, max_message_bytes=262_144)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a simulated engine can do, how fast, and how it fails.

    Attributes:
        capabilities: what it says it can do, and does.
        operation: seconds an operation takes, from and to.
        candidate: seconds until each next candidate is found, from and to.
        failing: the probability that an operation fails for no reason.
        slow: the probability that an operation, or a candidate, takes long.
        slowness: seconds it takes then, from and to.
        stuck: the probability that an operation never ends.
    """

    capabilities: Capabilities = _ALL
    operation: tuple[float, float] = (0.0005, 0.01)
    candidate: tuple[float, float] = (0.0005, 0.03)
    failing: float = 0.0
    slow: float = 0.0
    slowness: tuple[float, float] = (0.5, 8.0)
    stuck: float = 0.0


class SimulatedEngine:
    """Makes simulated connections; see ``thkmesh.core.engine.Engine``."""

    def __init__(
        self,
        network: SimulatedNetwork,
        host: str,
        *,
        behaviour: Behaviour | None = None,
        context: Context | None = None,
    ) -> None:
        """Make an engine on a host of a network.

        Args:
            network: what lies between the engines that shall meet.
            host: where this one is; several may be on one host.
            behaviour: None means ``Behaviour()``.
            context: what it emits, it emits in this context (the simulated
                process it is part of); None means a copy of the current one.
        """
        self.network = network
        self.host = host
        self.behaviour = behaviour or Behaviour()
        self.context = context or copy_context()
        self.illegal: list[str] = []
        """Operations that were called for in the wrong signaling state."""
        self._open: dict[int, SimulatedConnection] = {}
        self._closed = False

    @property
    def name(self) -> str:
        """Return the name users choose it by."""
        return "simulated"

    @property
    def capabilities(self) -> Capabilities:
        """Return what it can do."""
        return self.behaviour.capabilities

    def open(self, config: ConnectionConfig, emit: Emit) -> "SimulatedConnection":
        """Make a connection that reports to ``emit``.

        Raises:
            EngineError: the engine is closed.
        """
        if self._closed:
            raise EngineError("the engine is closed")
        connection = SimulatedConnection(self, config, emit, self._forget)
        self._open[connection.number] = connection
        return connection

    @property
    def configs(self) -> list[ConnectionConfig]:
        """Return what each open connection gathers candidates by, the oldest first."""
        return [connection.config for connection in self._open.values()]

    async def close(self) -> None:
        """Close every connection that is still open; ``open`` raises from now on."""
        self._closed = True
        for connection in tuple(self._open.values()):
            await connection.close()

    def vanish(self) -> None:
        """End as a killed process does: nobody is told, and nothing more is emitted."""
        self._closed = True
        for connection in tuple(self._open.values()):
            connection.vanish()

    def _forget(self, connection: "SimulatedConnection") -> None:
        self._open.pop(connection.number, None)


class SimulatedConnection:
    """One simulated RTCPeerConnection; see ``thkmesh.core.engine.Connection``."""

    def __init__(
        self,
        engine: SimulatedEngine,
        config: ConnectionConfig,
        emit: Emit,
        forget: "Callable[[SimulatedConnection], None]",
    ) -> None:
        """Use ``SimulatedEngine.open``."""
        network = engine.network
        self.number = network.number("connection")
        self._engine = engine
        self._network = network
        self._behaviour = engine.behaviour
        self.config = config
        self._emit = emit
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._dice = network.dice("connection")
        self._limit_bytes = engine.capabilities.max_message_bytes
        self._closed = False
        self._operation: Operation | None = None
        self._gathered: set[str] = set()
        self._open: set[int] = set()
        self._checked_at = self._loop.time()
        self._checks_sent = self._checks_answered = 0
        self._jsep = Jsep(
            self.number,
            _fingerprint(self._dice),
            engine.capabilities,
            new_ufrag=self._new_ufrag,
            candidates=lambda _: () if engine.capabilities.trickle else self._candidates(),
        )
        self._agent = Agent(
            network,
            engine.host,
            Reports(self._on_state, self._on_open, self._on_frame, self._on_low),
            low_water_bytes=config.low_water_bytes,
            context=engine.context,
        )
        self._agent.kind = "relay" if config.relay_only else "host"

    # --- operations ---

    def perform(self, operation: Operation) -> None:
        """Begin an operation; exactly one result event follows, unless closed."""
        if self._closed:
            return
        assert self._operation is None, "one operation at a time"
        self._operation = operation
        if self._dice.random() < self._behaviour.stuck:
            self._network.trace(f"{self} is stuck in {type(operation).__name__}")
            return
        self._later(self._takes(self._behaviour.operation), self._finish)

    def _finish(self) -> None:
        operation = self._operation
        assert operation is not None
        self._operation = None
        try:
            if self._dice.random() < self._behaviour.failing:
                raise Refused("a simulated failure")
            description = self._jsep.perform(operation)
        except Refused as refused:
            if isinstance(refused, Illegal):
                self._engine.illegal.append(f"{self}: {operation!r:.60}: {refused}")
            self._report(OperationFailed(operation, str(refused)))
            return
        self._report(OperationDone(operation, description))
        if self._closed:
            return
        self._gather()
        jsep, agent = self._jsep, self._agent
        if isinstance(operation, AddCandidate):
            if operation.candidate.candidate != END_OF_CANDIDATES:
                agent.learn(operation.candidate.ufrag)
        elif jsep.local is not None and jsep.remote is not None:
            agent.settle(jsep.local, jsep.remote)

    # --- candidates ---

    def _new_ufrag(self) -> str:
        return f"u{self._network.number('ufrag')}{self._dice.randbytes(4).hex()}"

    def _candidates(self) -> tuple[str, ...]:
        """Return the candidates that this host has."""
        relayed = any(url.startswith("turn") for ice in self.config.ice_servers for url in ice.urls)
        kinds = [] if self.config.relay_only else ["host", "host"]
        kinds += ["relay"] if relayed else []
        port = 40_000 + self.number % 20_000
        return tuple(
            f"candidate:{n} 1 udp {2**31 - n} 192.0.2.{n} {port} typ {kind}"
            for n, kind in enumerate(kinds, start=1)
        )

    def _gather(self) -> None:
        """Begin to find the candidates of a new ICE generation."""
        ufrag = self._jsep.local_ufrag
        if ufrag is None or ufrag in self._gathered or not self._behaviour.capabilities.trickle:
            return
        self._gathered.add(ufrag)
        due = 0.0
        for candidate in (*self._candidates(), END_OF_CANDIDATES):
            due += self._takes(self._behaviour.candidate)
            self._later(due, self._find, Candidate(candidate, "0", 0, ufrag))

    def _find(self, candidate: Candidate) -> None:
        # What was rolled back gathers no more.
        if candidate.ufrag == self._jsep.local_ufrag:
            self._report(CandidateFound(candidate))

    # --- frames ---

    def send(self, channel: int, data: bytes) -> bool:
        """Hand one datagram to a channel.

        Returns False when the channel is not open or its buffer is full, or the
        datagram is larger than the engine can take.
        """
        association = self._agent.association
        if channel not in self._open or association is None or len(data) > self._limit_bytes:
            return False
        return association.outgoing(self._agent).send(channel, data)

    def buffered_bytes(self, channel: int) -> int:
        """Return how many bytes wait in the engine's buffer of a channel."""
        association = self._agent.association
        if channel not in self._open or association is None:
            return 0
        return association.outgoing(self._agent).buffered_bytes(channel)

    def mark_low(self, channel: int, size_bytes: int) -> None:
        """Have another low-water mark from now on; no event comes of that alone."""
        association = self._agent.association
        if channel in self._open and association is not None:
            association.outgoing(self._agent).low_water_bytes[channel] = size_bytes

    # --- knowledge ---

    def reconfigure(self, config: ConnectionConfig) -> None:
        """Gather candidates with other ICE servers from now on."""
        self.config = config

    async def stats(self) -> Stats:
        """Return what the engine knows; never raises."""
        await asyncio.sleep(self._takes(self._behaviour.operation))
        agent, association = self._agent, self._agent.association
        if self._closed or association is None:
            return Stats()
        there = association.other(agent).host
        here = self._engine.host
        self._check(here, there)
        return Stats(
            rtt=self._network.transit(here, there) + self._network.transit(there, here),
            local_type=agent.kind,
            remote_type=association.other(agent).kind,
            protocol="udp",
            ip_version=4,
            checks_sent=self._checks_sent,
            checks_answered=self._checks_answered,
            bytes_sent=association.outgoing(agent).sent_bytes,
            bytes_received=association.incoming(agent).sent_bytes,
        )

    def _check(self, here: str, there: str) -> None:
        """Count the checks that ICE has made since we looked, as it is between the two now."""
        count = int((self._loop.time() - self._checked_at) / _CHECK_INTERVAL)
        self._checked_at += count * _CHECK_INTERVAL
        self._checks_sent += count
        if self._network.reaches(here, there):
            ways = (self._network.conditions(*way).loss for way in ((here, there), (there, here)))
            passing = prod(1 - loss for loss in ways)
            self._checks_answered += sum(self._dice.random() < passing for _ in range(count))

    # --- the end ---

    async def close(self, drain: float = 0.0) -> None:
        """Close; idempotent, and silent from the call on.

        Frames already sent get up to ``drain`` seconds to leave. Cancelling it
        closes at once, as does a second call with less patience.
        """
        association = self._agent.association
        self._silence()
        try:
            if drain > 0 and association is not None and not self._agent.gone:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(drain):
                        await association.outgoing(self._agent).drained.wait()
        finally:
            self._agent.leave(tell=True)

    def vanish(self) -> None:
        """End without a word to either side."""
        self._silence()
        self._agent.leave(tell=False)

    def _silence(self) -> None:
        if not self._closed:
            self._network.trace(f"{self} closes")
        self._closed = True
        self._open.clear()
        self._forget(self)

    # --- what happens ---

    def _on_state(self, state: ConnectionState) -> None:
        self._report(StateChanged(state))

    def _on_open(self) -> None:
        for spec in CHANNELS:
            if not self._closed:
                self._open.add(spec.id)
                self._report(ChannelOpened(spec.id))

    def _on_frame(self, channel: int, data: bytes | None) -> None:
        if data is not None:
            self._report(FrameReceived(channel, data))
        elif channel in self._open:
            self._open.discard(channel)
            self._report(ChannelClosed(channel))

    def _on_low(self, channel: int) -> None:
        self._report(BufferLow(channel))

    def _report(self, event: EngineEvent) -> None:
        if not self._closed:
            self._network.trace(f"{self} {_summary(event)}")
            self._emit(event)

    # --- small parts ---

    def __str__(self) -> str:
        return f"{self._engine.host}#{self.number}"

    def _takes(self, span: tuple[float, float]) -> float:
        if self._dice.random() < self._behaviour.slow:
            span = self._behaviour.slowness
        return self._dice.uniform(*span)

    def _later(self, delay: float, call: Callable[..., None], *args: object) -> None:
        """Call in our process, unless we are closed by then."""

        def run() -> None:
            if not self._closed:
                call(*args)

        self._loop.call_later(delay, run, context=self._engine.context)


def _fingerprint(dice: Random) -> str:
    return ":".join(f"{byte:02X}" for byte in dice.randbytes(32))


def _summary(event: EngineEvent) -> str:
    """Return one line that is the same in every run."""
    match event:
        case FrameReceived(channel=channel, data=data):
            return f"frame {channel} {len(data)} {crc32(data):08x}"
        case StateChanged(state=state):
            return state.value
        case OperationDone(operation=operation):
            return f"done {type(operation).__name__}"
        case OperationFailed(operation=operation, reason=reason):
            return f"failed {type(operation).__name__}: {reason}"
        case _:
            return repr(event)
