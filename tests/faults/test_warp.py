"""Connecting over a long way, with and without what saves round trips."""

import statistics
from random import Random

from tests.faults.lab import Lab
from tests.faults.pairs import Pair, dice
from tests.rooms.figures import report

DELAY = 0.1
"""Seconds each way."""

ENGINES = ("wrtc", "wrtc-warp")
ROUNDS = 3


async def test_a_hurried_engine_saves_two_round_trips(lab: Lab) -> None:
    """Three of the transport become one where both have it."""
    seed = dice()
    server = await lab.server()
    took: dict[str, list[float]] = {}
    for engine in ENGINES:
        host, wire = await lab.on_a_wire(f"{seed}-{engine}")
        pair = await Pair.started(lab, server, host, lab.wired())
        await wire.set(delay=DELAY)
        took[engine] = []
        for number in range(ROUNDS):
            pair.join(Random(f"{seed} {number}"), engines=(engine, engine))
            await pair.joined()
            after = max(float(peer.of("Entered")[0]["at"]) for peer in pair.ends)
            took[engine].append(await pair.linked() - after)
            await pair.part()
        report(f"{engine}: linked {statistics.median(took[engine]):.2f} s after joining")
    slow, fast = (statistics.median(each) for each in took.values())
    assert slow - fast > 1.5 * 2 * DELAY
