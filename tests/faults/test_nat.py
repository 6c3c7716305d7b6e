"""Peers behind routers of every kind (promise F1)."""

import asyncio
import itertools
import time
from base64 import b64encode
from enum import Enum
from random import Random
from typing import TypeAlias

import pytest

from tests.faults.lab import Lab
from tests.faults.nat import Kind
from tests.faults.pairs import Pair, dice
from tests.rooms.figures import report, summary
from tests.rooms.processes import PeerProcess, Server

CONNECTED = 15.0
"""Seconds in which any two connect."""

SETTLED = 30.0
"""Seconds after which the best path is not found any more."""

AT_ONCE = 6
LOOK_INTERVAL = 0.1

Kinds: TypeAlias = tuple[Kind, Kind]

SOME: tuple[Kinds, ...] = (
    (Kind.NONE, Kind.NONE),
    (Kind.SYMMETRIC, Kind.FULL_CONE),
    (Kind.ADDRESS_RESTRICTED, Kind.SYMMETRIC),
    (Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED),
    (Kind.PORT_RESTRICTED, Kind.SYMMETRIC),
    (Kind.UDP_BLOCKED, Kind.PORT_RESTRICTED),
)
ALL: tuple[Kinds, ...] = tuple(itertools.product(Kind, Kind))


class PathKind(Enum):
    """How two peers reach each other."""

    HOST = "host"
    REFLEXIVE = "reflexive"
    RELAY = "relay"


def expected(kinds: Kinds) -> PathKind:
    """Return the best path that there is between two routers."""
    met = set(kinds)
    if met == {Kind.NONE}:
        return PathKind.HOST
    # A symmetric router answers STUN from one port and the peer from another, so the
    # peer's router must not look at ports; and nothing but TCP leaves a blocked one.
    hopeless = {Kind.SYMMETRIC, Kind.PORT_RESTRICTED}
    if Kind.UDP_BLOCKED in met or (Kind.SYMMETRIC in met and met <= hopeless):
        return PathKind.RELAY
    return PathKind.REFLEXIVE


async def found(peer: PeerProcess) -> PathKind:
    """Return the kind of path that a peer's engine uses now."""
    asked = len(peer.of("Path"))
    peer.tell("path")
    await peer.until(lambda: len(peer.of("Path")) > asked)
    ends = {peer.of("Path")[-1][end] for end in ("local", "remote")}
    if "relay" in ends:
        return PathKind.RELAY
    return PathKind.HOST if ends == {"host"} else PathKind.REFLEXIVE


async def connect(pair: Pair, kinds: Kinds, chance: Random) -> float:
    """Connect a pair, see by which path; return how long it took."""
    began = time.monotonic()
    pair.join(chance)
    took = await pair.linked(CONNECTED) - began
    # The first candidates that reach each other carry the first messages; better ones follow.
    while [await found(peer) for peer in pair.ends] != [expected(kinds)] * 2:
        left = began + SETTLED - time.monotonic()
        assert left > 0, (kinds, [peer.of("Path")[-1] for peer in pair.ends])
        await asyncio.sleep(LOOK_INTERVAL)
    settled = time.monotonic() - began
    await pair.recite(10, 10_000, SETTLED)
    names = " - ".join(kind.value for kind in kinds)
    report(f"{names}: {expected(kinds).value} path; linked {took:.2f} s, best {settled:.2f} s")
    assert took < CONNECTED
    return took


async def connect_all(lab: Lab, server: Server, pairs: tuple[Kinds, ...], seed: str) -> list[float]:
    """Connect pairs at once, all of which have been started before; return how long each took."""
    started = await asyncio.gather(
        *(Pair.started(lab, server, *map(lab.natted, kinds)) for kinds in pairs)
    )
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(connect(pair, kinds, Random(f"{seed} {kinds}")))
            for pair, kinds in zip(started, pairs, strict=True)
        ]
    await asyncio.gather(*(peer.kill() for pair in started for peer in pair.ends))
    return [task.result() for task in tasks]


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(SOME, id="some"),
        pytest.param(ALL, id="all", marks=pytest.mark.nightly),
    ],
)
async def test_f1_peers_connect_behind_every_kind_of_nat(
    lab: Lab, pairs: tuple[Kinds, ...]
) -> None:
    """F1: within 15 s, by the most direct path that the two routers leave; the first offers."""
    seed = dice()
    turn = await lab.turn()
    server = await lab.server(ice_servers=turn.ice_servers)
    took: list[float] = []
    for start in range(0, len(pairs), AT_ONCE):
        took += await connect_all(lab, server, pairs[start : start + AT_ONCE], seed)
    report(f"linked: {summary(took)}")


async def test_peers_connect_by_credentials_of_their_own(lab: Lab) -> None:
    """What the server hands out in its welcome opens the relay, where there is no other way."""
    secret = "what both servers know"
    coturn = await lab.turn(secret)
    shared = {"urls": coturn.urls, "secret": b64encode(secret.encode()).decode()}
    server = await lab.server(turn=shared)
    await connect_all(lab, server, ((Kind.UDP_BLOCKED, Kind.PORT_RESTRICTED),), dice())
