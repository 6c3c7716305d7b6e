"""Connecting over a long way, with and without what saves round trips."""

import itertools
import statistics
from random import Random

from tests.faults.lab import Lab
from tests.faults.pairs import Pair, dice
from tests.rooms.figures import report

DELAY = 0.1
"""Seconds each way."""

ENGINES = ("wrtc", "wrtc-warp")
ROUNDS = 4


async def test_a_hurried_engine_saves_two_round_trips(lab: Lab) -> None:
    """Three of the transport become one where both have it; nothing where only one has."""
    seed = dice()
    server = await lab.server()
    took: dict[tuple[str, str], list[float]] = {}
    for engines in itertools.product(ENGINES, ENGINES):
        host, wire = await lab.on_a_wire(f"{seed}-{'-'.join(engines)}")
        pair = await Pair.started(lab, server, host, lab.wired())
        await wire.set(delay=DELAY)
        took[engines] = []
        for number in range(ROUNDS):
            pair.join(Random(f"{seed} {number}"), engines=engines)
            await pair.joined()
            after = max(float(peer.of("Entered")[0]["at"]) for peer in pair.ends)
            took[engines].append(await pair.linked() - after)
            await pair.part()
        report(f"{engines}: linked {statistics.median(took[engines]):.2f} s after joining")
    slow, *mixed, fast = (statistics.median(each) for each in took.values())
    assert slow - fast > 1.5 * 2 * DELAY
    assert max(mixed) < slow + DELAY
