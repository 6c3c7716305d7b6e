"""Lays wires between namespaces, and tells them how bad to be; see ``wire``."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from tests.namespaces import Namespace
from tests.rooms.processes import ROOT

__all__ = ["Counters", "Wire", "laid"]

PATIENCE = 20.0
"""Seconds after which a wire that should have answered has not."""

_LOOK_INTERVAL = 0.02

Counters: TypeAlias = dict[str, dict[str, int]]
"""By way, ``forward`` and ``back``: what became of the packets; see ``wire.Counters``."""


class Wire:
    """A wire that is laid; use ``laid``."""

    def __init__(self, process: Process, seed: str) -> None:
        """Take a running process."""
        self.seed = seed
        self._process = process
        self._turn = asyncio.Lock()

    async def set(self, way: str = "both", *words: str, **rules: float) -> Counters:
        """Change the rules of a way; return the counters until now.

        Args:
            way: ``forward``, ``back`` or ``both``.
            words: such as ``clear``.
            rules: see ``wire.Rules``.

        Raises:
            ValueError: there is no such rule or way.
        """
        told = [way, *words, *(f"{key}={value:g}" for key, value in rules.items())]
        async with self._turn:
            assert self._process.stdin is not None
            self._process.stdin.write(" ".join(told).encode() + b"\n")
            answer = await _line(self._process)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    async def counters(self) -> Counters:
        """Return what became of all packets until now."""
        return await self.set()

    async def until(self, way: str, counter: str, least: int) -> None:
        """Wait until a counter of a way has come so far; see ``wire.Counters``."""
        for _ in range(round(PATIENCE / _LOOK_INTERVAL)):
            if (await self.counters())[way][counter] >= least:
                return
            await asyncio.sleep(_LOOK_INTERVAL)
        raise AssertionError(f"{counter} of {way} did not come to {least}")

    async def cut(self) -> None:
        """End the process; the devices vanish."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await self._process.wait()


async def _line(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the wire has ended; it said why on standard error")
    answer: dict[str, Any] = json.loads(line)
    return answer


@asynccontextmanager
async def laid(
    first: tuple[Namespace, str], second: tuple[Namespace, str], seed: str
) -> AsyncIterator[Wire]:
    """Lay a wire between two devices, which it makes; they are down and have no address."""
    ends = [f"{namespace.path}:{device}" for namespace, device in (first, second)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.wire", "--seed", seed, *ends),
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        wire = Wire(process, str((await _line(process))["seed"]))
        yield wire
        await wire.cut()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
