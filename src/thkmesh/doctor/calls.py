"""Calling oneself, by one kind of path at a time.

Two connections of the engine in this process, as two peers would have them. Only the
candidates of one kind are passed on, so the call succeeds by that path or not at all.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

from thkmesh import engines
from thkmesh.core.engine import (
    CONTROL,
    AddCandidate,
    ApplyRemote,
    Candidate,
    CandidateFound,
    ChannelOpened,
    ConnectionConfig,
    Description,
    Engine,
    EngineEvent,
    FrameReceived,
    IceServer,
    MakeAnswer,
    MakeOffer,
    Operation,
    OperationDone,
    OperationFailed,
)
from thkmesh.errors import MeshError

__all__ = ["KINDS", "Call", "call_all"]

KINDS: Final = ("host", "srflx", "relay")
"""Kinds of candidates (RFC 8445, section 5.1.1): our own address, that which a STUN
server sees, and that of a relay."""

PATIENCE: Final = {"host": 3.0, "srflx": 3.0, "relay": 8.0}
"""Seconds after which a call that has not come about will not; ways over TCP take longer."""

_TYPE: Final = re.compile(r" typ ([a-z]+)")


@dataclass(frozen=True)
class Call:
    """What came of a call.

    Attributes:
        kind: one of ``KINDS``, or "server" for the relay of the signaling server.
        reason: why it failed; empty if it did not.
        seconds: how long it took.
        tried: whether there was anything to try with.
    """

    kind: str
    reason: str = ""
    seconds: float | None = None
    tried: bool = True

    @property
    def works(self) -> bool:
        """Whether a message arrived each way."""
        return self.tried and not self.reason


class _Refused(Exception):
    """The engine could not do what it was told."""


class _End:
    """One of the two peers."""

    def __init__(self, engine: Engine, config: ConnectionConfig, kind: str) -> None:
        self._kind = kind
        self._done: asyncio.Future[Description | None] | None = None
        self._others: list[Candidate] = []
        self._found: asyncio.Queue[Candidate] = asyncio.Queue()
        self.open = asyncio.Event()
        self.heard = asyncio.Event()
        self.candidates = 0
        """How many there were of the kind."""
        self.without = asyncio.Event()
        """There are no more, and there were none."""
        self.connection = engine.open(config, self._hear)

    def _hear(self, event: EngineEvent) -> None:
        match event:
            case OperationDone(description=description):
                if self._done is not None and not self._done.done():
                    self._done.set_result(description)
            case OperationFailed(reason=reason):
                if self._done is not None and not self._done.done():
                    self._done.set_exception(_Refused(reason))
            case CandidateFound(candidate=candidate) if self._wanted(candidate.candidate):
                self.candidates += bool(candidate.candidate)
                if not (candidate.candidate or self.candidates):
                    self.without.set()
                self._found.put_nowait(candidate)
            case ChannelOpened(channel=channel) if channel == CONTROL:
                self.open.set()
            case FrameReceived():
                self.heard.set()
            case _:
                pass

    def _wanted(self, candidate: str) -> bool:
        found = _TYPE.search(candidate)
        return found is None or found[1] == self._kind

    async def perform(self, operation: Operation) -> Description | None:
        """Do one thing; return the description that comes of it, without foreign candidates."""
        self._done = asyncio.get_running_loop().create_future()
        self.connection.perform(operation)
        description = await self._done
        self._done = None
        if description is None:
            return None
        lines = description.sdp.splitlines(keepends=True)
        mine = [line for line in lines if not line.startswith("a=candidate:") or self._wanted(line)]
        self.candidates += sum(line.startswith("a=candidate:") for line in mine)
        return Description(description.type, "".join(mine))

    async def tell(self, other: "_End") -> None:
        """Pass on candidates until cancelled."""
        while True:
            candidate = await self._found.get()
            await other.add(candidate)

    async def add(self, candidate: Candidate) -> None:
        """Take in a candidate of the other's."""
        with suppress(_Refused):
            await self.perform(AddCandidate(candidate))


async def _call(engine: Engine, servers: tuple[IceServer, ...], kind: str) -> Call:
    """Call by one kind of path."""
    config = ConnectionConfig(ice_servers=servers, relay_only=kind == "relay")
    caller, callee = _End(engine, config, kind), _End(engine, config, kind)
    connecting = asyncio.create_task(_connect(caller, callee))
    without = [asyncio.create_task(end.without.wait()) for end in (caller, callee)]
    started = monotonic()
    try:
        done, _ = await asyncio.wait(
            {connecting, *without},
            timeout=PATIENCE[kind],
            return_when=asyncio.FIRST_COMPLETED,
        )
        if connecting in done:
            connecting.result()
            return Call(kind, seconds=round(monotonic() - started, 3))
        if done:
            return Call(kind, "there is no address of this kind", tried=False)
        return Call(kind, f"not connected within {PATIENCE[kind]:g} s")
    except (_Refused, MeshError) as error:
        return Call(kind, str(error))
    finally:
        for task in (connecting, *without):
            task.cancel()
        await asyncio.gather(connecting, *without, return_exceptions=True)
        await asyncio.gather(caller.connection.close(), callee.connection.close())


async def _connect(caller: _End, callee: _End) -> None:
    """Connect two ends, and let each hear the other."""
    offer = await caller.perform(MakeOffer())
    assert offer is not None
    await callee.perform(ApplyRemote(offer))
    answer = await callee.perform(MakeAnswer())
    assert answer is not None
    await caller.perform(ApplyRemote(answer))
    ways = (caller, callee), (callee, caller)
    telling = [asyncio.create_task(one.tell(other)) for one, other in ways]
    try:
        for one, other in ways:
            await one.open.wait()
            one.connection.send(CONTROL, b"hello")
            await other.heard.wait()
    finally:
        for task in telling:
            task.cancel()
        await asyncio.gather(*telling, return_exceptions=True)


async def call_all(servers: tuple[IceServer, ...], *, stun: bool, turn: bool) -> tuple[Call, ...]:
    """Call by each kind of path, all at once; never raises.

    Args:
        servers: what is offered.
        stun: whether any of them tells us our address.
        turn: whether any of them relays.
    """
    possible = {"host": True, "srflx": stun, "relay": turn}
    try:
        engine = engines.load()
    except MeshError as error:
        return tuple(Call(kind, str(error)) for kind in KINDS)
    try:
        tried = [kind for kind in KINDS if possible[kind]]
        made = await asyncio.gather(*(_call(engine, servers, kind) for kind in tried))
    finally:
        await engine.close()
    found = {call.kind: call for call in made}
    untried = "there is no server for it"
    return tuple(found.get(kind, Call(kind, untried, tried=False)) for kind in KINDS)
