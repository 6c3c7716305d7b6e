"""The loss of any one packet while two peers connect (promise F2)."""

import asyncio
import itertools
import time
from dataclasses import dataclass
from random import Random

import pytest

from tests.faults.lab import Lab
from tests.faults.pairs import Pair, dice
from tests.faults.wiring import Wire
from tests.rooms.figures import report, summary
from tests.rooms.processes import Server

DELAY = 0.01
LAST = 50
CONNECTED = 15.0
"""Seconds in which any two connect."""

LANES = 2


@dataclass(frozen=True)
class Drop:
    """Which packet is lost: the n-th of UDP that goes one way."""

    way: str
    number: int


ALL = tuple(Drop(*each) for each in itertools.product(("forward", "back"), range(1, LAST + 1)))


def some(seed: str) -> tuple[Drop, ...]:
    """Return eight by chance, most of them among the first, which are the handshake's."""
    early = [drop for drop in ALL if drop.number <= 20]
    return tuple(Random(seed).sample(early, 6) + Random(seed).sample(ALL[20:50] + ALL[70:], 2))


async def connect_without(pair: Pair, wire: Wire, drop: Drop, seed: str) -> float:
    """Connect while a packet is lost; return how long it took."""
    before = (await wire.set(drop.way, drop=drop.number))[drop.way]["dropped"]
    pair.join(Random(seed))
    await pair.joined()
    began = time.monotonic()
    took = await pair.linked(CONNECTED) - began
    pair.talk()  # so that the packet comes even where the handshake had fewer
    await wire.until(drop.way, "dropped", before + 1)
    await pair.hush()
    await pair.part()
    return took


async def lane(lab: Lab, server: Server, drops: tuple[Drop, ...], seed: str) -> list[float]:
    """Lose one packet after the other, with the same two processes."""
    host, wire = await lab.on_a_wire(seed.replace(" ", "-"))
    pair = await Pair.started(lab, server, host, lab.wired())
    await wire.set(delay=DELAY)
    took: list[float] = []
    for drop in drops:
        took.append(await connect_without(pair, wire, drop, f"{seed} {drop}"))
        report(f"{drop}: linked after {took[-1]:.2f} s")
    return took


@pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["some", "all"]
)
async def test_f2_peers_connect_whichever_packet_is_lost(lab: Lab, every: bool) -> None:
    """F2: the n-th packet of UDP is lost, n = 1 to 50, one way or the other; all connect."""
    seed = dice()
    drops = ALL if every else some(seed)
    server = await lab.server()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(lane(lab, server, drops[number::LANES], f"{seed} {number}"))
            for number in range(LANES)
        ]
    took = list(itertools.chain.from_iterable(task.result() for task in tasks))
    report(f"linked: {summary(took)}")
    assert len(took) == len(drops)
    assert max(took) < CONNECTED
