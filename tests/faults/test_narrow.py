"""Networks with small packets, and without IPv4 (promise F3)."""

import asyncio
import time
from random import Random

import pytest

from tests.faults.lab import INTERNET6, Lab
from tests.faults.pairs import Pair, dice
from tests.rooms.figures import report

MEBIBYTE = 2**20
PATIENCE = 50.0


async def transfer(lab: Lab, mtu: int, version: int, seed: str) -> None:
    """Send a mebibyte each way; one of the two is behind the narrow cable."""
    if version == 6:
        server = await lab.server(INTERNET6)
        hosts = (lab.wired6(mtu), lab.wired6())
    else:
        server = await lab.server()
        hosts = (lab.wired(mtu), lab.wired())
    pair = await Pair.started(lab, server, *hosts)
    await pair.met(Random(seed))
    began = time.monotonic()
    await pair.pour(1, MEBIBYTE, PATIENCE)
    report(f"IPv{version}, MTU {mtu}: 1 MiB each way in {time.monotonic() - began:.2f} s")


@pytest.mark.parametrize(
    ("mtu", "version"), [(1280, 4), (576, 4), (1500, 6), (1280, 6)], ids=str
)
async def test_f3_a_mebibyte_passes(lab: Lab, mtu: int, version: int) -> None:
    """F3: small packets, and IPv6 alone, carry 1 MiB each way."""
    await transfer(lab, mtu, version, dice())
