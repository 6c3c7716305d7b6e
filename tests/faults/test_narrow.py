"""Networks with small packets, and without IPv4 (promise F3)."""

import asyncio
import time
from dataclasses import dataclass
from random import Random

from tests.faults.lab import INTERNET6, Host, Lab
from tests.faults.pairs import Pair, dice
from tests.rooms.figures import report
from tests.rooms.processes import Server

MEBIBYTE = 2**20
PATIENCE = 40.0


@dataclass(frozen=True)
class Way:
    """Two hosts, one of them behind a narrow cable, and their server."""

    name: str
    server: Server
    narrow: Host
    wide: Host


async def transfer(lab: Lab, way: Way, seed: str) -> None:
    """Send a message of a mebibyte each way."""
    pair = await Pair.started(lab, way.server, way.narrow, way.wide)
    await pair.met(Random(f"{seed} {way.name}"))
    began = time.monotonic()
    await pair.recite(1, MEBIBYTE, PATIENCE)
    report(f"{way.name}: 1 MiB each way in {time.monotonic() - began:.2f} s")


async def test_f3_a_mebibyte_passes_where_packets_are_small_or_ipv4_is_not(lab: Lab) -> None:
    """F3: with an MTU of 1280 and 576, and with IPv6 alone, 1 MiB arrives each way.

    One of the two is behind the narrow cable, so one sends small packets from the
    start, and the other is told on the way that its packets are too large.
    """
    seed = dice()
    four, six = await asyncio.gather(lab.server(), lab.server(INTERNET6))
    ways = (
        Way("IPv4, MTU 1280", four, lab.wired(1280), lab.wired()),
        Way("IPv4, MTU 576", four, lab.wired(576), lab.wired()),
        Way("IPv6 alone, MTU 1280", six, lab.wired6(1280), lab.wired6()),
    )
    async with asyncio.TaskGroup() as group:
        for way in ways:
            group.create_task(transfer(lab, way, seed))
