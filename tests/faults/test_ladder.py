"""Messages over ever worse networks (promise M2)."""

import time
from dataclasses import dataclass
from random import Random

import pytest

from tests.faults.lab import Lab
from tests.faults.pairs import Pair, dice
from tests.faults.wiring import Wire
from tests.rooms.figures import report

LARGE_BYTES = 1_000
PATIENCE = 55.0
NIGHT = 900.0


@dataclass(frozen=True)
class Rung:
    """A step of the ladder: each way of the wire is this bad."""

    delay_ms: float
    jitter_ms: float
    loss_percent: float
    reorder_percent: float


LADDER = (
    Rung(10, 5, 0.5, 0),
    Rung(100, 30, 3, 3),
    Rung(200, 60, 5, 5),
    Rung(300, 80, 8, 8),
    Rung(500, 100, 12, 12),
    Rung(800, 200, 20, 20),
)


@pytest.mark.parametrize(
    ("rungs", "count", "patience"),
    [
        pytest.param(LADDER[:3], 300, PATIENCE, id="300 on three rungs"),
        pytest.param(LADDER, 1_000, NIGHT, id="1000 on six", marks=pytest.mark.nightly),
    ],
)
async def test_m2_bad_networks_lose_double_and_reorder_nothing(
    lab: Lab, rungs: tuple[Rung, ...], count: int, patience: float
) -> None:
    """M2: on each rung of the ladder every message arrives once and in order, both ways."""
    seed = dice()
    server = await lab.server()
    host, wire = await lab.on_a_wire(seed)
    pair = await Pair.started(lab, server, host, lab.wired())
    chance = Random(seed)
    for rung in rungs:
        await wire.set(
            delay=rung.delay_ms / 1000,
            jitter=rung.jitter_ms / 1000,
            loss=rung.loss_percent / 100,
            reorder=rung.reorder_percent / 100,
        )
        pair.join(chance)
        await climb(pair, wire, rung, count, patience)
        await wire.set("both", "clear")
        await pair.part()


async def climb(pair: Pair, wire: Wire, rung: Rung, count: int, patience: float) -> None:
    """Connect and exchange messages on one rung."""
    before = await wire.counters()
    await pair.joined()
    began = time.monotonic()
    await pair.linked(patience)
    linked = time.monotonic()
    await pair.recite(count, LARGE_BYTES, patience)
    after = await wire.counters()
    lost, taken = (
        sum(after[way][key] - before[way][key] for way in after) for key in ("lost", "taken")
    )
    breaks = len(pair.lower.of("LinkChanged", state="reconnecting"))
    report(
        f"{rung}: linked after {linked - began:.2f} s, {count} messages each way in "
        f"{time.monotonic() - linked:.2f} s, {breaks} reconnections; "
        f"the wire lost {lost} of {taken} packets"
    )
    assert taken, "they spoke over the wire"
