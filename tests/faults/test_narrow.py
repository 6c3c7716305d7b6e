"""Networks with small packets, and without IPv4 (promise F3)."""

import asyncio
import time
from random import Random

from tests.faults.lab import INTERNET6, Host, Lab
from tests.faults.pairs import Pair, dice
from tests.rooms.figures import report
from tests.rooms.processes import Server

MEBIBYTE = 2**20
PATIENCE = 40.0


async def transfer(
    lab: Lab, server: Server, narrow: Host, wide: Host, name: str, chance: Random
) -> None:
    """Send a message of a mebibyte each way."""
    pair = await Pair.started(lab, server, narrow, wide)
    await pair.met(chance)
    began = time.monotonic()
    await pair.pour(1, MEBIBYTE, PATIENCE)
    report(f"{name}: 1 MiB each way in {time.monotonic() - began:.2f} s")


async def test_f3_a_mebibyte_passes_where_packets_are_small_or_ipv4_is_not(lab: Lab) -> None:
    """F3: with an MTU of 1280 and 576, and with IPv6 alone, 1 MiB arrives each way.

    One of the two is behind the narrow cable, so one sends small packets from the
    start, and the other is told on the way that its packets are too large.
    """
    seed = dice()
    four, six = await asyncio.gather(lab.server(), lab.server(INTERNET6))
    ways = (
        ("IPv4, MTU 1280", four, lab.wired(1280), lab.wired()),
        ("IPv4, MTU 576", four, lab.wired(576), lab.wired()),
        ("IPv6 alone, MTU 1280", six, lab.wired6(1280), lab.wired6()),
    )
    async with asyncio.TaskGroup() as group:
        for name, server, narrow, wide in ways:
            chance = Random(f"{seed} {name}")
            group.create_task(transfer(lab, server, narrow, wide, name, chance))
