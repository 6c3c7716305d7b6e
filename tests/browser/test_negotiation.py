"""Perfect negotiation in browsers: what web-platform-tests ask of the pattern, asked of us.

The same behaviours as their `RTCPeerConnection-perfect-negotiation*.https.html`, and
the same laws, between two pages over our signaling. Where those add a transceiver, a
side of ours wishes for a negotiation or for an ICE restart. See ``side.js``.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Page
from tests.browser.firefox import Firefox
from tests.browser.members import Browser
from tests.browser.stage import Stage
from tests.rooms.figures import report, summary

SIDE = (Path(__file__).parent / "side.js").read_text()
SIDE = SIDE[SIDE.index("async () =>") :]

STRESS = tuple(range(9, -1, -1))
LINEAR = (0,) * 10

# What each side does, one letter a call: O, A and R for an offer, an answer and a
# rollback of its own, o and a for an offer and an answer of the other side.
IMPOLITE = re.compile(r"(Oa|oA)*")
POLITE = re.compile(r"(Oa|ORoA|oA)*")

RUNS = 3

# Of two tabs of a Firefox one is hidden, and would get its timers a second late.
AWAKE = (
    "dom.min_background_timeout_value",
    "dom.min_background_timeout_value_without_budget_throttling",
)


@asynccontextmanager
async def two_pages(stage: Stage, browser: str, url: str) -> AsyncIterator[list[Browser]]:
    """Have two pages of a browser that can take sides."""
    if browser == "chromium":
        async with stage.page() as first, stage.page() as second:
            yield [await prepared(Page(page), url) for page in (first, second)]
        return
    firefox = await Firefox.start(dict.fromkeys(AWAKE, 0))
    try:
        yield [await prepared(page, url) for page in (firefox, await firefox.another())]
        assert firefox.console == []
    finally:
        await firefox.close()


async def prepared(page: Browser, url: str) -> Browser:
    """Return a page that can take a side."""
    await page.goto(f"{url}thkmesh/index.js")
    await page.evaluate(f"({SIDE.strip()})()")
    return page


class Pair:
    """Two pages with a link."""

    def __init__(self, pages: Sequence[Browser]) -> None:
        """Take pages; ``meet`` links them."""
        self._pages = pages

    async def meet(self, *, first_is_polite: bool) -> None:
        """Enter a room of their own, and connect."""
        first, second = self._pages
        room = secrets.token_hex(8)
        met = await first.evaluate(f"negotiating.enter('{room}', null, false)")
        polite = str(not first_is_polite).lower()
        await second.evaluate(f"negotiating.enter('{room}', '{met}', {polite})")
        await self._both("connected()")

    async def _both(self, call: str) -> list[Any]:
        return await asyncio.gather(*(page.evaluate(f"negotiating.{call}") for page in self._pages))

    async def wish(self, gaps: Sequence[int], *, restart: bool, together: bool) -> None:
        """Have both sides wish for something, and again after each gap, in milliseconds."""
        wishes = f"{list(gaps)}, {str(restart).lower()}"
        if together:
            await self._both(f"run({time.time() * 1000 + 30}, {wishes})")
            return
        for page in self._pages:
            await page.evaluate(f"negotiating.run(0, {wishes})")

    async def part(self) -> list[dict[str, Any]]:
        """Return what each side did and heard, the polite one first."""
        outcomes = await self._both("finish()")
        await self._both("leave()")
        return sorted(outcomes, key=lambda outcome: not outcome["polite"])


def judge(sides: list[dict[str, Any]], wishes: int) -> int:
    """Check what two sides did; return how often their offers collided."""
    polite, impolite = sides
    for side in (polite, impolite):
        assert side["faults"] == []
        assert side["connections"] == 1
        assert side["wishes"] == wishes
        assert side["ordered"], "messages were lost, doubled or reordered"
        assert side["heard"] > 1
    # A collision is decided for the impolite side: it never withdraws, nor waits in vain.
    assert IMPOLITE.fullmatch(impolite["trace"]), impolite["trace"]
    assert POLITE.fullmatch(polite["trace"]), polite["trace"]
    # Both were part of the same exchanges, in the same order.
    completed = polite["trace"].replace("OR", "")
    assert completed.translate(str.maketrans("OaoA", "oAOa")) == impolite["trace"]
    return int(polite["trace"].count("R"))


@pytest.mark.parametrize("runs", [RUNS, pytest.param(20, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_negotiation_is_perfect(stage: Stage, browser: str, runs: int) -> None:
    """In turn, at once, and under stress: each wish is granted, and the impolite side wins."""
    behaviours = {
        "in turn": ((), False, False),
        "glare": ((), False, True),
        "stress glare": (STRESS, False, True),
        "stress glare, linear": (LINEAR, False, True),
        "glare of restarts": ((), True, True),
    }

    async def play() -> None:
        async with (
            stage.server() as server,
            two_pages(stage, browser, server.url) as pages,
        ):
            in_all = 0
            for name, (gaps, restart, together) in behaviours.items():
                collisions, seconds = 0, []
                for number in range(runs):
                    pair = Pair(pages)
                    await pair.meet(first_is_polite=bool(number % 2))
                    begun = time.monotonic()
                    await pair.wish(gaps, restart=restart, together=together)
                    seconds.append(time.monotonic() - begun)
                    collisions += judge(await pair.part(), len(gaps) + 1)
                report(f"{browser}, {name}: {collisions} collisions; {summary(seconds)}")
                assert together or not collisions
                in_all += collisions
            assert in_all > runs, "too few collisions to tell anything"

    stage.perform(play(), None if runs > RUNS else 50.0)
