"""Many connections of wrtc: at once, and one after the other."""

import asyncio
import gc
import os
import weakref
from pathlib import Path

import pytest

from tests.engines.world import End, Lab, Pair, lab
from thkmesh.core.engine import CONTROL, ConnectionConfig, MakeOffer
from thkmesh.engines.wrtc import WrtcEngine


async def test_a_burst_of_190_pairs_all_open() -> None:
    """A room of twenty, all in one process, connects every pair at once."""
    async with lab(WrtcEngine, patience=50) as found:
        left, right = found.engine(), found.engine()
        pairs = [found.join(End(left), End(right)) for _ in range(190)]
        await asyncio.gather(*(pair.connect() for pair in pairs))
        for number, pair in enumerate(pairs):
            assert pair.a.send(CONTROL, b"%d" % number)
        for number, pair in enumerate(pairs):
            assert await pair.b.received(CONTROL, 1) == [b"%d" % number]


def resources() -> dict[str, int]:
    """Return what a leak would show in: threads, open files, tasks."""
    return {
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "tasks": len(asyncio.all_tasks()),
    }


def resident_bytes() -> int:
    """Return how much memory the process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _churn(found: Lab, cycles: int) -> None:
    left, right = found.engine(), found.engine()
    for _ in range(cycles):
        pair = Pair(End(left), End(right))
        await pair.connect()
        assert pair.a.send(CONTROL, b"hello")
        assert await pair.b.received(CONTROL, 1) == [b"hello"]
        await pair.stop()
        await pair.a.connection.close()
        await pair.b.connection.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "cycles",
    [pytest.param(200, id="some"), pytest.param(1_000, id="many", marks=pytest.mark.nightly)],
)
async def test_connections_that_come_and_go_leave_nothing(cycles: int) -> None:
    """Neither threads nor files nor tasks grow with the number of connections had."""
    async with lab(WrtcEngine, patience=300) as found:
        await _churn(found, 20)
        before, memory = resources(), resident_bytes()
        await _churn(found, cycles)
        after = resources()
        assert all(after[kind] <= before[kind] + 2 for kind in before), (before, after)
        assert resident_bytes() - memory < 8 * 2**20


async def test_a_closed_connection_is_freed_at_once() -> None:
    """It, and all that its ``emit`` holds, does not wait for the garbage collector."""
    engine = WrtcEngine()
    gc.collect()
    gc.disable()
    try:
        done = asyncio.Event()
        connection = engine.open(ConnectionConfig(), lambda _: done.set())
        connection.perform(MakeOffer())
        await done.wait()
        await connection.close()
        freed = weakref.ref(connection)
        del connection
        await asyncio.sleep(0)
        assert freed() is None
    finally:
        gc.enable()
        await engine.close()
