"""Ends of links that a test can drive: in a page of either browser, or a Python process.

A ``Home`` holds many ends, each in a room for two and told apart by number. What one
can be told to do is in ``sides.js`` and, the same, in ``side_process.py``.
"""

import asyncio
import itertools
import json
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from tests.browser.members import Browser
from tests.rooms.processes import ROOT, kill

__all__ = ["Home", "PageHome", "ProcessHome", "Side", "State", "Wish"]

Wish: TypeAlias = dict[str, Any]
"""What a link is told, as the browser client has it."""

_PIVOT = "k"
"""Half of all ids are below it, and thereby polite to the other half."""

_SIDES = Path(__file__).with_name("sides.js")
_numbers = itertools.count()


@dataclass(frozen=True)
class State:
    """How a link stands with one of its ends."""

    polite: bool
    generation: int
    connections: int
    """How many there have been, on this side."""
    rollbacks: int
    """How many offers of this side were rolled back."""


class Home(Protocol):
    """Where ends of links live."""

    async def command(self, name: str, number: int, **fields: object) -> Any:  # noqa: ANN401 - JSON
        """Have the end of a number do something; return what it returns."""

    async def renew(self) -> None:
        """Have nothing there that former tests left."""

    def complaints(self) -> list[str]:
        """Return what is wrong with the home itself."""
        ...


class Side:
    """One end of one link."""

    def __init__(self, home: Home, *, polite: bool) -> None:
        """Be in no room yet."""
        self.polite = polite
        self.wish: Wish | None = None
        self._home = home
        self._number = next(_numbers)

    async def enter(self, room: str, *, hasty: bool) -> None:
        """Enter a room for two, as an identity that is polite to the other's, or is not."""
        who = {"lower": self.polite, "pivot": _PIVOT}
        await self._home.command("enter", self._number, room=room, hasty=hasty, **who)

    async def rest(self, generation: int = 0) -> State:
        """Wait until the link is connected, in that generation or later, and at rest."""
        return State(**await self._home.command("rest", self._number, generation=generation))

    async def want(self, wish: Wish, at: float) -> None:
        """Tell the link its wish at a time of the machine's clock."""
        self.wish = wish
        await self._home.command("want", self._number, wish=wish, at=at)

    async def say(self, *numbers: int) -> None:
        """Send some numbers."""
        await self._home.command("say", self._number, numbers=numbers)

    async def hear(self, count: int) -> list[Any]:
        """Wait until so many messages have come in all; return them."""
        heard: list[Any] = await self._home.command("hear", self._number, count=count)
        return heard

    async def leave(self) -> None:
        """Leave the room."""
        await self._home.command("leave", self._number)


class PageHome:
    """A page."""

    def __init__(self, page: Browser, url: str) -> None:
        """Take an open page, and where the server is; ``renew`` brings it to life."""
        self._page = page
        self._url = url

    async def renew(self) -> None:
        """Load the page: Chromium has 500 connections for each, those closed included."""
        await self._page.goto(f"{self._url}thkmesh/index.js")
        self._page.console.clear()
        await self._page.evaluate(_SIDES.read_text().rstrip())

    async def command(self, name: str, number: int, **fields: object) -> Any:  # noqa: ANN401 - JSON
        """Have the end of a number do something; return what it returns."""
        words = ", ".join(map(json.dumps, (name, number, fields)))
        return await self._page.evaluate(f"command({words})")

    def complaints(self) -> list[str]:
        """Return what the page's console said."""
        return self._page.console


class ProcessHome:
    """A Python process."""

    def __init__(self, process: Process) -> None:
        """Use ``start``."""
        self._process = process
        self._questions = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, url: str) -> "ProcessHome":
        """Start a process whose ends enter rooms of a server."""
        words = ("-m", "tests.browser.side_process", url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=ROOT, limit=2**20, stdin=PIPE, stdout=PIPE
        )
        return cls(process)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            asked, result = json.loads(line)
            answer = self._asked.pop(asked)
            if not answer.done():
                answer.set_result(result)
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(RuntimeError("the process ended"))

    async def command(self, name: str, number: int, **fields: object) -> Any:  # noqa: ANN401 - JSON
        """Have the end of a number do something; return what it returns."""
        asked = next(self._questions)
        self._asked[asked] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        line = json.dumps([asked, name, number, fields])
        self._process.stdin.write(line.encode() + b"\n")
        return await self._asked[asked]

    async def renew(self) -> None:
        """Do nothing: a process lets go of what is closed."""

    def complaints(self) -> list[str]:
        """Return that it has ended, if it has."""
        code = self._process.returncode
        return [] if code is None else [f"the process ended with {code}"]

    async def close(self) -> None:
        """End the process."""
        await kill(self._process)
        await self._reading
