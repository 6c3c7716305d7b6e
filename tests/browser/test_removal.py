"""Removing a peer from a room of pages and programs: every link is cut, in each browser."""

import json
import secrets

import httpx2
import pytest

from tests.browser.chromium import Page
from tests.browser.firefox import Firefox
from tests.browser.members import Browser
from tests.browser.proxy import proxied
from tests.browser.residents import Resident, furnish
from tests.browser.stage import Stage
from tests.rooms.test_removal import OPERATOR, forge
from thkmesh.core.wire import encode
from thkmesh.server import AccessSettings


@pytest.mark.parametrize("browser", ["Chromium", "Firefox"])
def test_a_page_obeys_and_passes_on(stage: Stage, firefox: Firefox, browser: str) -> None:
    """The others cut the link, also who is away from the server; the peer itself is told.

    What is forged, over or of another room does nothing.
    """

    async def play() -> None:
        access = AccessSettings(secret=OPERATOR.encode())
        async with stage.server(access=access) as server, stage.page() as chromium:
            page: Browser = firefox if browser == "Firefox" else Page(chromium)
            await furnish(page, server.url)
            await removed(page, server.url)
            assert page.console == []

    stage.perform(play())


async def removed(page: Browser, url: str) -> None:
    """Let four into a room, and remove one."""
    room = secrets.token_hex(8)
    async with proxied(url) as proxy, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        ada, bob, cat = [await Resident(page).enter(url, room) for _ in range(3)]
        dan = await Resident(page).enter(proxy.url, room)
        for resident in (ada, bob, cat, dan):
            await resident.until("link-changed", count=3)
        for by in ("nobody", "another room", "another server", "the past"):
            await proxy.inject(json.loads(encode(forge(room, cat.id, by=by))))
        await dan.until("refused", count=3)
        assert await dan.refusals() == ["InvalidSignature"] * 3
        await cat.say("still here")
        await dan.hear("still here", cat)
        assert await ada.kick(cat) == "NotGranted"
        await proxy.close()
        await dan.until("server-changed", count=2)
        answer = await client.post(
            f"/api/rooms/{room}/kick",
            json={"userId": cat.id, "reason": "spam"},
            headers={"authorization": f"Bearer {OPERATOR}"},
        )
        assert answer.status_code == 200
        for resident in (ada, bob, dan):
            [left] = await resident.until("peer-left")
            assert (left["peer"], left["reason"]) == (cat.id, "kicked")
            [kicked] = await resident.of("peer-kicked")
            assert (kicked["peer"], kicked["why"]) == (cat.id, "spam")
        assert (await cat.until("over"))[0]["error"] == "Kicked"
        await ada.say("go on")
        await dan.hear("go on", ada)
        for resident in (ada, bob, dan):
            await resident.leave()
