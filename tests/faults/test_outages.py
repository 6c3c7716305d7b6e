"""Networks that go and come, and peers that stand still (promises R3, R4, R5)."""

import asyncio
import os
import signal
import time
from random import Random

import pytest

from tests.faults.lab import Lab
from tests.faults.pairs import Pair, dice
from tests.rooms.figures import percentile, report
from tests.rooms.processes import PeerProcess, Server

PROMISED = 5.0
"""Seconds from interface up to the first message, 95 of 100 times: promise R3."""

DETECTED = 10.0
"""Seconds in which a peer that is frozen or cut off is missed: promise R5."""

AWAKE = 10.0
"""Seconds in which all is well after a sleep: promise R4."""

SOON = 25.0
NIGHT = 60.0
WARM = 2.5
"""Seconds of talking before the network is hurt, so that heartbeats have begun."""


async def switch(lab: Lab, server: Server, seed: str, outage: float | None, limit: float) -> float:
    """Take a talking peer's network away for a while, or change its address.

    Returns how long it took until both heard each other, from when there was a network.
    """
    host = lab.wired()
    pair = await Pair.started(lab, server, host, lab.wired())
    await pair.met(Random(seed))
    pair.talk()
    await asyncio.sleep(WARM)
    if outage is None:
        host.move()
    else:
        host.down()
        await asyncio.sleep(outage)
        host.up()
    took = await pair.heard_since(time.monotonic(), limit)
    await pair.hush()
    name = "another address" if outage is None else f"down for {outage} s"
    report(f"{name}: first messages both ways {took:.2f} s after the network was back")
    return took


@pytest.mark.parametrize(
    ("outages", "limit"),
    [
        pytest.param((0.5, 5.0), SOON, id="0.5 and 5 s"),
        pytest.param((None,) * 3, SOON, id="another address"),
        pytest.param(
            (0.5, 1.0, 2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 25.0, 30.0),
            NIGHT,
            id="up to 30 s",
            marks=pytest.mark.nightly,
        ),
    ],
)
async def test_r3_a_network_switch_loses_nothing(
    lab: Lab, outages: tuple[float | None, ...], limit: float
) -> None:
    """R3: an interface goes down and comes back; all that was said arrives, and soon."""
    seed = dice()
    server = await lab.server()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(switch(lab, server, f"{seed} {number}", outage, limit))
            for number, outage in enumerate(outages)
        ]
    took = [task.result() for task in tasks]
    p50, p95 = (percentile(took, percent) for percent in (50, 95))
    report(f"first messages after interface up: p50 {p50:.2f} s, p95 {p95:.2f} s")
    assert max(took) < limit


