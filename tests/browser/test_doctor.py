"""The doctor's page examines by itself, and says what it found in words."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, expect

from tests.browser.stage import Stage, WebServer
from tests.faults.lab import INTERNET
from tests.faults.turn import CREDENTIAL, USERNAME, Coturn
from tests.namespaces import ip
from thkmesh.core.wire import IceServer
from thkmesh.server import ServerSettings


async def examine(page: Page, server: WebServer) -> None:
    """Open the page, and wait for what it concludes."""
    await page.goto(f"{server.url}doctor")
    await expect(page.locator("#verdict")).to_be_visible()


async def found(page: Page) -> dict[str, str]:
    """Return what the page found, line by line."""
    names = await page.locator("dt").all_inner_texts()
    return dict(zip(names, await page.locator("dd").all_inner_texts(), strict=True))


def test_a_server_that_offers_nothing_is_told_of(stage: Stage) -> None:
    """What works without STUN and TURN is seen to work; what does not is said, with a remedy."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await examine(page, server)
            await expect(page.locator("#verdict")).to_have_attribute("data-healthy", "false")
            await expect(page.locator("#verdict")).to_contain_text("neither STUN nor TURN")
            await expect(page.locator("#verdict")).to_contain_text("--ice-server")
            lines = await found(page)
            assert lines["Signaling"].startswith("joined")
            assert lines["Call within this browser"].startswith("works")
            assert lines["Call through the signaling server"].startswith("works")
            assert lines["Call through TURN"].startswith("not tried")
            await expect(page.locator("#state")).to_be_hidden()

    stage.perform(play())


class _Here:
    """The namespace in which the stage is already."""

    prefix: tuple[str, ...] = ()


@asynccontextmanager
async def running() -> AsyncIterator[Coturn]:
    """Have coturn as we ship it, at an address that it may relay to in tests."""
    ip("addr", "add", f"{INTERNET}/32", "dev", "lo")
    try:
        async with Coturn.running(_Here(), INTERNET) as turn:
            yield turn
    finally:
        ip("addr", "del", f"{INTERNET}/32", "dev", "lo")


def test_servers_that_work_and_one_that_does_not(stage: Stage) -> None:
    """Each of coturn is asked over UDP and TCP, and relays; a wrong password is told of."""

    async def play() -> None:
        async with running() as turn:
            at = f"{turn.address}:3478"
            urls = f"stun:{at}", f"turn:{at}?transport=udp", f"turn:{at}?transport=tcp"
            stun, udp, tcp = urls
            servers = (IceServer((stun,)), IceServer((udp, tcp), USERNAME, CREDENTIAL))
            good = ServerSettings(ice_servers=servers)
            bad = ServerSettings(ice_servers=(IceServer((stun,)), IceServer((udp,), "x", "y")))
            async with stage.server(good) as server, stage.page() as page:
                await examine(page, server)
                lines = await found(page)
                assert [lines[url] for url in urls] == ["works"] * 3
                assert lines["Call through TURN"].startswith("works")
                await expect(page.locator("#verdict")).to_contain_text("All is well")
            async with stage.server(bad) as server, stage.page() as page:
                await examine(page, server)
                assert "does not accept the name and the password" in (await found(page))[udp]
                await expect(page.locator("#verdict")).to_contain_text("compare the name")

    stage.perform(play())


def test_a_server_that_lets_nobody_in_is_told_of(stage: Stage) -> None:
    """Then there is one problem, and nothing else is looked at."""

    async def play() -> None:
        settings = ServerSettings(max_rooms=0)
        async with stage.server(settings) as server, stage.page() as page:
            await examine(page, server)
            await expect(page.locator("#verdict")).to_contain_text("no more rooms")
            assert [*await found(page)] == ["Signaling"]

    stage.perform(play())
