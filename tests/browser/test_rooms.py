"""Python processes and pages of both browsers in one room, as equals."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import permutations

import pytest

from tests.browser.chromium import Chromium
from tests.browser.firefox import Firefox
from tests.browser.members import PageMember, within
from tests.browser.namespace import in_namespace
from tests.rooms.peer import pack
from tests.rooms.processes import PeerProcess, Server
from thkmesh import Data

SAMPLES: list[Data] = [
    "plain",
    "",
    b"",
    "\U0001f426 \U0001d11e \U0010ffff \x00",
    bytes(range(256)),
    {"nested": [1, -2.5, None, True, {"é": "\U0001f426"}], "": []},
    2**53 - 1,
    None,
    b"\xff" * 65_536,
    "\U0001f426" * 16_384,
]
THE_END = "the end"


class Company:
    """A room with processes and pages in it."""

    def __init__(self, processes: Sequence[PeerProcess], pages: Sequence[PageMember]) -> None:
        """Take members that have joined."""
        self.processes = processes
        self.pages = pages

    @property
    def ids(self) -> list[str]:
        """Everybody's id."""
        return [each.id for each in self.processes] + [each.id for each in self.pages]

    async def linked(self) -> bool:
        """Tell whether everybody has a link to everybody."""
        everybody = set(self.ids)
        if any(each.linked() < everybody - {each.id} for each in self.processes):
            return False
        for page in self.pages:
            states = await page.states()
            if {peer for peer, state in states.items() if state == "connected"} < (
                everybody - {page.id}
            ):
                return False
        return True

    async def send(self, sender: str, data: Data, to: str | None = None) -> None:
        """Have the member of an id send something."""
        for process in self.processes:
            if process.id == sender:
                process.tell("send", data=pack(data), to=to)
        for page in self.pages:
            if page.id == sender:
                await page.send(data, to)

    async def heard(self, receiver: str, sender: str, *, direct: bool = False) -> list[Data]:
        """Return what one member heard of another."""
        for process in self.processes:
            if process.id == receiver:
                return process.heard(sender, direct=direct)
        (page,) = (page for page in self.pages if page.id == receiver)
        return await page.heard(sender, direct=direct)


@asynccontextmanager
async def company(python: int, warp: int, chromium: int, firefox: int) -> AsyncIterator[Company]:
    """Have so many members of each kind join one room, everybody linked to everybody."""
    async with AsyncExitStack() as stack:
        server = Server(max_peers=python + warp + chromium + firefox)
        await server.start()
        stack.push_async_callback(server.kill)
        browser = await stack.enter_async_context(Chromium())
        processes = [await PeerProcess.start(f"python {n}") for n in range(python + warp)]
        for process in processes:
            stack.push_async_callback(process.kill)
        pages = [PageMember(f"chromium {n}", await browser.page()) for n in range(chromium)]
        foxes = await asyncio.gather(*(Firefox.start() for _ in range(firefox)))
        for number, fox in enumerate(foxes):
            stack.push_async_callback(fox.close)
            pages.append(PageMember(f"firefox {number}", fox))
        for number, process in enumerate(processes):
            engine = "wrtc" if number < python else "wrtc-warp"
            process.join(server.url, "lobby", engine=engine)
            await process.until(lambda: bool(process.id))  # noqa: B023 - not kept
        await asyncio.gather(*(page.join(server.url, "lobby") for page in pages))
        room = Company(processes, pages)
        await within("everybody linked to everybody", room.linked)
        yield room
        for page in pages:
            assert page.page.console == [], f"{page.name}: {json.dumps(page.page.console)}"


async def everybody_hears_everybody(*members: int) -> None:
    """Send everything from everybody to everybody, and to each alone; compare."""
    async with company(*members) as room:
        for sender in room.ids:
            for data in SAMPLES:
                await room.send(sender, data)
        for sender, receiver in permutations(room.ids, 2):
            await room.send(sender, f"{sender} to {receiver}", receiver)
        for sender in room.ids:
            await room.send(sender, THE_END)

        async def complete() -> bool:
            return all(
                [
                    THE_END in await room.heard(receiver, sender)
                    for sender, receiver in permutations(room.ids, 2)
                ]
            )

        await within("the end heard by all", complete)
        for sender, receiver in permutations(room.ids, 2):
            assert await room.heard(receiver, sender) == [*SAMPLES, THE_END]
            alone = await room.heard(receiver, sender, direct=True)
            assert alone == [f"{sender} to {receiver}"]


@pytest.mark.parametrize(
    "members", [(3, 0, 2, 2), (4, 2, 3, 1)], ids=["seven", "ten, two of them hurried"]
)
def test_processes_and_pages_hear_each_other(members: tuple[int, int, int, int]) -> None:
    """Every pair connects; each message arrives once, unchanged, in order, at its addressee."""
    in_namespace(lambda: everybody_hears_everybody(*members))
