"""``thkmesh`` as its users have it: a program with input, output and an exit code."""

import asyncio
import http.client
import json
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE = 30.0
"""Seconds after which something that should have happened has not."""


def environment() -> dict[str, str]:
    """Return ours, but for what our user may have set for themselves."""
    ours = {"PYTHONWARNINGS": "error", "LOGNAME": "tester"}
    theirs = {"THKMESH_URL", "NO_COLOR", "COLUMNS", "LINES"}
    return {name: value for name, value in os.environ.items() if name not in theirs} | ours


@dataclass
class Ended:
    """A program that has come to its end."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one sentence on standard error."""
        assert re.fullmatch(r"thkmesh[^\n]*\n", self.err), f"not one sentence: {self.err!r}"
        return self.err.strip()


@dataclass
class Program:
    """A running program."""

    process: Process

    async def line(self, pattern: str = "") -> str:
        """Return the next line of output that has the pattern in it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode():
                if re.search(pattern, line):
                    return line.rstrip("\n")
        raise AssertionError(f"the output ended without {pattern!r}")

    def say(self, text: str) -> None:
        """Write to its input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    def stop_saying(self) -> None:
        """End its input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def end(self, number: signal.Signals | None = None) -> Ended:
        """Return how it ends, after a signal or by itself."""
        if number is not None:
            self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, out.decode(), err.decode())


async def stop(process: Process) -> None:
    """End a process that a test left behind, if it can be with a goodbye to the others."""
    if process.returncode is None:
        process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE / 2):
                await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


def started(*arguments: str, stdin: int = DEVNULL) -> AbstractAsyncContextManager[Program]:
    """Start ``thkmesh`` with some arguments; stop it in the end."""
    return launched("-m", "thkmesh", *arguments, stdin=stdin)


@asynccontextmanager
async def launched(*arguments: str, stdin: int = DEVNULL) -> AsyncIterator[Program]:
    """Start Python with some arguments; stop it in the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=stdin,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(),
    )
    try:
        yield Program(process)
    finally:
        await stop(process)


async def ran(*arguments: str, stdin: str = "") -> Ended:
    """Run ``thkmesh`` on some input to its end."""
    async with started(*arguments, stdin=PIPE) as program:
        async with asyncio.timeout(PATIENCE):
            out, err = await program.process.communicate(stdin.encode())
        assert program.process.returncode is not None
        return Ended(program.process.returncode, out.decode(), err.decode())


def names_in(url: str, room: str = "lobby") -> list[str]:
    """Return who is in a room, by the server's word."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    connection.request("GET", f"/api/rooms/{room}")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return [peer["name"] for peer in answer.get("peers", ())]


async def present(url: str, *names: str, room: str = "lobby") -> None:
    """Wait until just these are in a room; sooner than the server gives up on the silent."""
    wanted, found = sorted(names), [""]
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE / 2):
            while found != wanted:
                found = sorted(await asyncio.to_thread(names_in, url, room))
                await asyncio.sleep(0.02)
    assert found == wanted


@dataclass
class Served:
    """A running server, and where it is."""

    program: Program
    url: str


@asynccontextmanager
async def served(*arguments: str) -> AsyncIterator[Served]:
    """Serve on a free port."""
    async with started("serve", "--port", "0", *arguments) as program:
        ready = await program.line("^ready: ")
        yield Served(program, ready.removeprefix("ready: "))
