"""What happens to pages: afterwards everybody sees exactly one of each, and talks.

In Chromium and in Firefox at once, seen by a process, by a page, and in the server's
list; see ``company``.
"""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.browser.company import PAGE, Abroad, Company, Tab, Visitor, company, until
from tests.browser.stage import LIMIT, Stage
from tests.rooms.figures import report

REFUSED_CONNECTION = "WebSocket connection to"
NAMES = {"Ada", "Fox"}
GOODBYE = 3.0
"""Seconds; who says goodbye is gone at once, who does not after half a minute."""

STALLED = 6.0
"""Seconds that a link may be silent when it was asked something."""

BACK = 15.0
"""Seconds that all need at most once the network is back; they need one to four."""

FORGOTTEN = 20.0
"""Seconds after which the server is missed. Firefox tells no page of its network, and opens a
WebSocket to a host where some have failed only after a delay of its own, which grows."""

THROTTLED = 0.9
"""Seconds between the timers of a hidden page, at least; they ask for 0.1."""


@pytest.fixture(scope="module")
def abroad(stage: Stage) -> Iterator[Abroad]:
    """Both browsers, in another network."""
    abroad = Abroad()
    stage.perform(abroad.open())
    yield abroad
    stage.perform(abroad.close())


@pytest.fixture(scope="module")
def room(stage: Stage) -> Iterator[Company]:
    """A room with those who watch."""
    watched = company(stage, REFUSED_CONNECTION)
    yield stage.perform(watched.__aenter__())
    stage.perform(watched.__aexit__(None, None, None))


async def both(abroad: Abroad) -> dict[str, Tab]:
    """Return tabs for Ada in Chromium and for Fox in Firefox."""
    return {"Ada": await abroad.chromium.tab(), "Fox": await abroad.firefox.tab()}


def test_a_reload_leaves_one_of_each(stage: Stage, abroad: Abroad, room: Company) -> None:
    """A page that is loaded again takes its own place, in either browser."""

    async def play() -> None:
        async with room.visited(**await both(abroad)) as visitors:
            begun = time.monotonic()
            await asyncio.gather(*(each.tab.reload() for each in visitors))
            await room.complete()
            report(f"after a reload: {time.monotonic() - begun:.2f} s")
            await room.converse()

    stage.perform(play())


def test_a_crashed_tab_takes_its_place_again(stage: Stage, abroad: Abroad, room: Company) -> None:
    """A page whose process died is the same person when it is loaded again, not a second one."""

    async def play() -> None:
        tab = await abroad.chromium.tab()
        async with room.visited(Ada=tab):
            await tab.crash()
            begun = time.monotonic()
            await tab.reload()
            await room.complete()
            report(f"after a crash: {time.monotonic() - begun:.2f} s")
            await room.converse()

    stage.perform(play())


def test_a_duplicated_tab_is_another_person(stage: Stage, abroad: Abroad, room: Company) -> None:
    """A copy of the session storage is no copy of the identity; closed, the copy is gone."""

    async def play() -> None:
        async with room.visited(**await both(abroad)) as originals:
            copies = [await each.duplicate() for each in originals]
            room.visitors += copies
            await room.complete()
            await room.converse()
            for original, copy in zip(originals, copies, strict=True):
                slot = "sessionStorage.getItem('thkmesh-slot')"
                assert await original.tab.evaluate(slot) != await copy.tab.evaluate(slot)
                await copy.tab.close()
            room.visitors = originals
            assert await room.complete() < GOODBYE
            await room.converse()

    stage.perform(play())


def test_the_back_button_leads_in_again(stage: Stage, abroad: Abroad, room: Company) -> None:
    """Who goes elsewhere is gone at once; back, also from the browser's cache, is back in."""

    async def play() -> None:
        async with room.visited(**await both(abroad)) as visitors:
            for each in visitors:
                await each.tab.evaluate("void (window.loaded = 'once')")
                await each.tab.goto(f"{PAGE}healthz")
            room.visitors = []
            assert await room.complete() < GOODBYE
            await asyncio.gather(*(each.travel(-1) for each in visitors))
            room.visitors = visitors
            report(f"after going back: {await room.complete():.2f} s")
            await room.converse()
            # Or what this proves of the cache is nothing.
            assert await visitors[0].tab.evaluate("window.loaded") == "once"
            await asyncio.gather(*(each.travel(1) for each in visitors))
            room.visitors = []
            assert await room.complete() < GOODBYE

    stage.perform(play())


def test_two_tabs_are_in_two_rooms(stage: Stage, abroad: Abroad, room: Company) -> None:
    """Tabs of one browser are in rooms of their own, and neither room sees the other's."""

    async def play() -> None:
        async with room.visited(**await both(abroad)) as visitors:
            others = [Visitor(each.name, await each.tab.another()) for each in visitors]
            for each in others:
                await each.enter("elsewhere")

            async def apart() -> bool:
                return await room.listed("elsewhere") == sorted(
                    (name, "connected") for name in NAMES
                )

            await until(apart)
            await room.complete()
            await room.converse()
            for each in others:
                await each.tab.reload()
            await until(apart)
            await room.complete()

    stage.perform(play())


@pytest.mark.parametrize(
    "seconds",
    [2.0, 9.0, pytest.param(45.0, marks=[pytest.mark.nightly, pytest.mark.timeout(0)])],
)
def test_the_network_comes_back(
    stage: Stage, abroad: Abroad, room: Company, seconds: float
) -> None:
    """With the cable in again, after less or more than a stall, nobody needs to do anything."""

    async def play() -> None:
        async with room.visited(**await both(abroad)):
            abroad.cable.pull()
            try:
                await asyncio.sleep(seconds)
                if seconds > STALLED:
                    assert not NAMES & await connected(room)
            finally:
                abroad.cable.plug()
            took = await room.complete()
            report(f"after {seconds:g} s without network: {took:.2f} s")
            if seconds < FORGOTTEN:
                assert took < BACK
            await room.converse()

    stage.perform(play(), LIMIT + seconds)


async def connected(room: Company) -> set[str]:
    """Return to whom the process has a link."""
    return {name for name, state in await room.known_to_robot() if state == "connected"}


def test_the_server_comes_back(stage: Stage, abroad: Abroad, room: Company) -> None:
    """While the server is away people talk on; when it is back it has one of each."""

    async def play() -> None:
        async with room.visited(**await both(abroad)):
            await room.server.stop()
            await room.converse()
            await room.server.start()
            report(f"after the server was away: {await room.complete():.2f} s")
            await room.converse()

    stage.perform(play())


@pytest.mark.parametrize(
    "seconds", [15.0, pytest.param(60.0, marks=[pytest.mark.nightly, pytest.mark.timeout(0)])]
)
def test_a_tab_comes_back_to_the_front(
    stage: Stage, abroad: Abroad, room: Company, seconds: float
) -> None:
    """A hidden page with slow timers stays; one that is frozen comes back when it goes on."""

    async def play() -> None:
        frozen = await abroad.chromium.tab()
        async with room.visited(**await both(abroad), Snow=frozen) as visitors:
            for each in visitors:
                await each.tab.another()
                assert await each.tab.evaluate("document.hidden")
                await each.watch_timers()
            before = len(room.robot.lines)
            await frozen.freeze()
            await asyncio.sleep(seconds)
            assert "Snow" not in await connected(room)
            await frozen.thaw()
            for each in visitors:
                await each.tab.front()
            report(f"after {seconds:g} s in the background: {await room.complete():.2f} s")
            await room.converse()
            *awake, gaps = [await each.gaps() for each in visitors]
            assert all(sum(gap > THROTTLED for gap in each) > seconds / 2 for each in awake), awake
            assert max(gaps) > seconds - 1
            names = {line["peer"]: line["name"] for line in room.robot.of("PeerJoined")}
            broken = [line for line in room.robot.lines[before:] if line.get("state")]
            assert {names[each["peer"]] for each in broken} == {"Snow"}

    stage.perform(play(), LIMIT + seconds)
