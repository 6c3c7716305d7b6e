"""Networks that go and come, and peers that stand still (promises R3, R4, R5)."""

import asyncio
import itertools
import os
import signal
import time
from random import Random

import pytest

from tests.faults.lab import Host, Lab
from tests.faults.pairs import Pair, dice
from tests.rooms.figures import percentile, report
from tests.rooms.processes import PeerProcess, Server

PROMISED = 5.0
"""Seconds from the network's return to the first message, 95 of 100 times: promise R3."""

PATIENCE = 60.0
OUTAGES = (0.5, 1.0, 2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 25.0, 30.0)

DETECTED = 10.0
"""Seconds in which a peer that is frozen or cut off is missed: promise R5."""

FROZEN = 15.0
AWAKE = 10.0
"""Seconds in which all is well after a sleep: promise R4."""

LATE = 10.0
WARM = 2.5
"""Seconds of talking before something happens, so that heartbeats have begun."""


async def talking(lab: Lab, server: Server, lower: Host, higher: Host, seed: str) -> Pair:
    """Return two who have talked for a while."""
    pair = await Pair.started(lab, server, lower, higher)
    await pair.met(Random(seed))
    pair.talk()
    await asyncio.sleep(WARM)
    return pair


async def switch(
    lab: Lab, server: Server, outages: tuple[float | None, ...], seed: str
) -> list[float]:
    """Take a talking peer's network away for a while, or change its address, and again.

    Returns how long it took each time until both heard each other, from when there was
    a network.
    """
    host = lab.wired()
    pair = await talking(lab, server, host, lab.wired(), seed)
    took: list[float] = []
    for outage in outages:
        if outage is None:
            host.move()
        else:
            host.down()
            await asyncio.sleep(outage)
            host.up()
        took.append(await pair.heard_since(time.monotonic(), PATIENCE))
        name = "another address" if outage is None else f"down for {outage} s"
        report(f"{name}: first messages both ways {took[-1]:.2f} s after the network was back")
    await pair.hush()
    return took


@pytest.mark.parametrize(
    ("pairs", "limit"),
    [
        pytest.param(((0.5, 5.0),), PROMISED, id="down for 0.5 and 5 s"),
        pytest.param(
            tuple((outage,) for outage in OUTAGES),
            PROMISED,
            id="down for up to 30 s",
            marks=pytest.mark.nightly,
        ),
        pytest.param(((None,),) * 5, PROMISED, id="another address", marks=pytest.mark.nightly),
    ],
)
async def test_r3_a_network_switch_loses_nothing(
    lab: Lab, pairs: tuple[tuple[float | None, ...], ...], limit: float
) -> None:
    """R3: an interface goes down and up, or has another address; all that was said arrives."""
    seed = dice()
    server = await lab.server()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(switch(lab, server, outages, f"{seed} {number}"))
            for number, outages in enumerate(pairs)
        ]
    took = list(itertools.chain.from_iterable(task.result() for task in tasks))
    p50, p95 = (percentile(took, percent) for percent in (50, 95))
    report(f"first messages after the network was back: p50 {p50:.2f} s, p95 {p95:.2f} s")
    assert p95 < limit


async def missed(peer: PeerProcess, since: float) -> float:
    """Wait until a peer misses the other; return how long it took."""
    await peer.until(lambda: bool(peer.of("LinkChanged", state="reconnecting")))
    return float(peer.of("LinkChanged", state="reconnecting")[0]["at"]) - since


async def cut_off(lab: Lab, server: Server, seed: str) -> None:
    """Have a wire swallow all; both ends miss each other, and all is well afterwards."""
    host, wire = await lab.on_a_wire(seed.replace(" ", "-"))
    pair = await talking(lab, server, host, lab.wired(), seed)
    blocked = time.monotonic()
    await wire.set(block=1)
    took = [await missed(peer, blocked) for peer in pair.ends]
    await wire.set(block=0)
    recovered = await pair.heard_since(time.monotonic(), AWAKE + LATE)
    await pair.hush()
    report(
        f"cut off: missed after {took[0]:.2f} and {took[1]:.2f} s, "
        f"first messages {recovered:.2f} s after the wire was whole"
    )
    assert max(took) < DETECTED
    assert recovered < AWAKE


async def frozen(lab: Lab, server: Server, duration: float, seed: str) -> None:
    """Stop a process, until the other misses it or longer; all is well afterwards."""
    pair = await talking(lab, server, lab.wired(), lab.wired(), seed)
    sleeper, other = pair.ends
    os.kill(sleeper.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    took = await missed(other, stopped)
    await asyncio.sleep(max(0.0, stopped + duration - time.monotonic()))
    os.kill(sleeper.pid, signal.SIGCONT)
    slept = time.monotonic() - stopped
    recovered = await pair.heard_since(time.monotonic(), AWAKE + LATE)
    await pair.hush()
    report(
        f"frozen for {slept:.1f} s: missed after {took:.2f} s, "
        f"first messages {recovered:.2f} s after it went on"
    )
    assert took < DETECTED
    assert recovered < AWAKE


@pytest.mark.parametrize(
    "duration",
    [
        pytest.param(0.0, id="until missed"),
        pytest.param(FROZEN, id="15 s", marks=pytest.mark.nightly),
    ],
)
async def test_r4_r5_who_stands_still_is_missed_and_comes_back(lab: Lab, duration: float) -> None:
    """R5, R4: a peer cut off or frozen is missed within 10 s, is back within 10 s; 0 lost."""
    seed = dice()
    server = await lab.server()
    async with asyncio.TaskGroup() as group:
        group.create_task(cut_off(lab, server, f"{seed} cut"))
        group.create_task(frozen(lab, server, duration, f"{seed} frozen"))
