"""The contestants of ``benchmarks.throughput``: each two processes that have a connection."""

import asyncio
import json
import shutil
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil

from benchmarks.stage import Cue, Stage
from benchmarks.throughput_actors import (
    answer_in_room,
    answer_on_wire,
    ask_in_room,
    ask_on_wire,
)
from tests.browser.chromium import Chromium, Page

__all__ = ["Contestant", "bare_engine", "chromium_pair", "mesh", "mesh_pages", "node"]

_WEB = Path(__file__).parent / "web"
_PATIENCE = 60.0
"""Seconds that a contestant may take to answer."""


class Contestant(Protocol):
    """An asking end, and the processes that work for it."""

    async def ask(self, *request: Any) -> Any:  # noqa: ANN401 - see throughput_actors
        """Return the answer to a request."""

    def cpu(self) -> float:
        """Return the processor time that both its ends have used, in seconds."""
        ...


def _cpu(pids: Sequence[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


class _Actors:
    """Two processes in Python."""

    def __init__(self, asking: Cue, answering: Cue) -> None:
        self._asking = asking
        self._pids = (asking.pid, answering.pid)
        assert asking.answer() == "ready"

    async def ask(self, *request: Any) -> Any:  # noqa: ANN401 - see throughput_actors
        return self._asking.ask(request)

    def cpu(self) -> float:
        return _cpu(self._pids)


def bare_engine(stage: Stage, name: str, batch_bytes: int = 0) -> Contestant:
    """Return an engine alone; see ``benchmarks.bare``."""
    ours, theirs = socket.socketpair()
    answering = stage.cast(answer_on_wire, theirs, name, batch_bytes)
    return _Actors(stage.cast(ask_on_wire, ours, name, batch_bytes), answering)


def mesh(stage: Stage, url: str) -> Contestant:
    """Return two Python programs in a room of THKMesh."""
    answering = stage.cast(answer_in_room, url, "python")
    answering.answer()
    return _Actors(stage.cast(ask_in_room, url, "python"), answering)


class _Node:
    """Two processes of node, of which one was started by the other."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._pids = [process.pid]

    async def ready(self) -> None:
        self._pids.append(await self._answer())

    async def ask(self, *request: Any) -> Any:  # noqa: ANN401 - see throughput_actors
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> Any:  # noqa: ANN401 - see throughput_actors
        assert self._process.stdout is not None
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), _PATIENCE))

    def cpu(self) -> float:
        return _cpu(self._pids)


@asynccontextmanager
async def node() -> AsyncIterator[Contestant | None]:
    """Give node-datachannel alone, None where it is not installed."""
    if shutil.which("node") is None or not (_WEB / "node_modules/node-datachannel").is_dir():
        print("node-datachannel is left out: it is not installed (make bench installs it)")
        yield None
        return
    process = await asyncio.create_subprocess_exec(
        "node", _WEB / "bare-node.js", stdin=PIPE, stdout=PIPE, limit=2**20
    )
    try:
        contestant = _Node(process)
        await contestant.ready()
        yield contestant
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            await asyncio.wait_for(process.wait(), _PATIENCE)


class _Pages:
    """A page that asks; another page, or a Python program, that answers."""

    def __init__(self, page: Page, answering: Cue | None = None) -> None:
        self._page = page
        self._pids = [answering.pid] if answering else []

    async def ask(self, *request: Any) -> Any:  # noqa: ANN401 - see throughput_actors
        what, *numbers = request
        async with asyncio.timeout(_PATIENCE):
            return await self._page.evaluate(f"{what}({','.join(map(str, numbers))})")

    def cpu(self) -> float:
        """Return what all of Chromium has used: nobody else uses it at the same time."""
        chromium = [
            each.pid for each in psutil.Process().children(recursive=True) if "chrom" in each.name()
        ]
        return _cpu([*chromium, *self._pids])


async def _page(chromium: Chromium, url: str) -> Page:
    page = await chromium.page()
    await page.goto(f"{url}/thkmesh/index.js")
    await page.page.add_script_tag(path=_WEB / "throughput-page.js")
    return page


async def chromium_pair(chromium: Chromium, url: str) -> Contestant:
    """Return two pages with a connection and no library."""
    asking, answering = await _page(chromium, url), await _page(chromium, url)
    offer = await asking.evaluate("offer()")
    answer = await answering.evaluate(f"answer({offer})")
    await asking.evaluate(f"accept({answer})")
    return _Pages(asking)


async def mesh_pages(chromium: Chromium, url: str, stage: Stage | None) -> Contestant:
    """Return a page in a room of THKMesh with another, or, on a stage, with a program."""
    room = "pages" if stage is None else "page-python"
    answering = None
    if stage is None:
        await (await _page(chromium, url)).evaluate(f"enter('{room}', true)")
    else:
        answering = stage.cast(answer_in_room, url, room)
        answering.answer()
    asking = await _page(chromium, url)
    await asking.evaluate(f"enter('{room}', false)")
    return _Pages(asking, answering)
