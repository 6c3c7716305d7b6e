"""What the page says when something goes wrong: one honest line, and a way out."""

import re

import msgspec
from playwright.async_api import expect

from tests.browser.guests import enter, field, linked, notice, say
from tests.browser.namespace import ADDRESS
from tests.browser.stage import Stage, listen
from tests.server.world import Client
from thkmesh.core.identity import SessionKey
from thkmesh.server import ServerSettings

REFUSED_CONNECTION = "WebSocket connection to"
IGNORED_HEADER = "Cross-Origin-Opener-Policy header has been ignored"
"""What Chromium itself says where nobody listens, and of pages that are not secure."""


def test_an_insecure_page_says_what_to_do(stage: Stage) -> None:
    """Without a secure context there is no cryptography: https, localhost, or the option."""

    async def play() -> None:
        async with stage.server(host="0.0.0.0") as server, stage.page(IGNORED_HEADER) as page:
            await page.goto(f"http://{ADDRESS}:{server.port}/#lobby")
            await expect(notice(page)).to_contain_text("thkmesh serve --tls-self-signed")
            await expect(page.get_by_role("button", name="Enter the room")).to_be_disabled()

    stage.perform(play())


def test_a_browser_without_webrtc_is_told_so(stage: Stage) -> None:
    """Where RTCPeerConnection is missing, no room is tried."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await page.add_init_script("delete globalThis.RTCPeerConnection")
            await page.goto(server.url)
            await expect(notice(page)).to_contain_text("This browser has no WebRTC")
            await expect(page.get_by_role("button", name="Enter the room")).to_be_disabled()

    stage.perform(play())


def test_links_outlive_the_server(stage: Stage) -> None:
    """While the server is away the page says so, and people go on talking."""

    async def play() -> None:
        async with (
            stage.server() as server,
            stage.page(REFUSED_CONNECTION) as ada,
            stage.page(REFUSED_CONNECTION) as bob,
        ):
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(ada, 1)
            await linked(bob, 1)
            await server.stop()
            for page in (ada, bob):
                await expect(notice(page)).to_contain_text("The server is away; reconnecting")
                await expect(page.get_by_text("Server: reconnecting")).to_be_visible()
            await say(ada, "can you hear me?")
            await expect(bob.get_by_role("log")).to_contain_text("can you hear me?")
            await server.start()
            for page in (ada, bob):
                await expect(notice(page)).to_have_count(0)
                await expect(page.get_by_text("Server: connected")).to_be_visible()
                await linked(page, 1)
                await expect(page.locator("#peers > li")).to_have_count(2)

    stage.perform(play())


def test_a_server_that_is_away_from_the_start_is_waited_for(stage: Stage) -> None:
    """The page keeps trying, says so, and is inside once the server is back."""

    async def play() -> None:
        async with stage.server() as server, stage.page(REFUSED_CONNECTION) as page:
            # The whole page: also the part that is only needed inside a room.
            await page.goto(f"{server.url}#lobby", wait_until="networkidle")
            await page.get_by_label("Your name").fill("Ada")
            await server.stop()
            await page.get_by_role("button", name="Enter the room").click()
            await expect(field(page)).to_be_disabled()
            await expect(notice(page)).to_contain_text("The server does not answer. Still trying")
            await server.start()
            await expect(field(page)).to_be_enabled()
            await expect(notice(page)).to_have_count(0)

    stage.perform(play())


def test_a_full_room_can_be_tried_again(stage: Stage) -> None:
    """Who does not fit is told; when somebody has left, the button leads in."""

    async def play() -> None:
        async with (
            stage.server(ServerSettings(max_peers=2)) as server,
            stage.page() as ada,
            stage.page() as bob,
            stage.page() as cem,
        ):
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await cem.goto(f"{server.url}#lobby")
            await cem.get_by_label("Your name").fill("Cem")
            await cem.keyboard.press("Enter")
            await expect(notice(cem)).to_contain_text("lobby is full")
            await bob.get_by_role("link", name="Leave").click()
            await expect(ada.get_by_role("log")).to_contain_text("Bob left")
            await cem.get_by_role("button", name="Try again").click()
            await expect(notice(cem)).to_have_count(0)
            await linked(ada, 1)

    stage.perform(play())


def test_a_newer_tab_takes_over_and_can_give_back(stage: Stage) -> None:
    """With one identity in two tabs the older steps back, and says so."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as first:
            first_link = f"{server.url}?identity=stable#lobby"
            await first.goto(first_link)
            await first.get_by_label("Your name").fill("Ada")
            await first.keyboard.press("Enter")
            await expect(field(first)).to_be_enabled()
            second = await first.context.new_page()
            complaints = listen(second)
            await second.goto(first_link)
            await expect(field(second)).to_be_enabled()
            await expect(notice(first)).to_contain_text("You are in this room in a newer tab")
            await expect(field(first)).to_be_disabled()
            await first.get_by_role("button", name="Use this tab").click()
            await expect(field(first)).to_be_enabled()
            await expect(notice(second)).to_contain_text("newer tab")
            assert complaints == []

    stage.perform(play())


def test_two_tabs_are_two_people(stage: Stage) -> None:
    """Without asking for one identity, each tab has its own, also a duplicated one."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as first:
            await enter(first, server, "Ada")
            second = await first.context.new_page()
            await second.goto(f"{server.url}#lobby")
            await linked(first, 1)
            await linked(second, 1)
            names = await first.locator("#peers .name").all_inner_texts()
            assert all(re.fullmatch(r"Ada#[a-z2-7]{4}", name) for name in names)
            assert len(set(names)) == 2

    stage.perform(play())


def test_tampering_is_shown(stage: Stage) -> None:
    """A signal that is not signed by who it names is refused, and the page says so."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await enter(page, server, "Ada")
            mallory = Client(f"ws://127.0.0.1:{server.port}/ws")
            welcome = await mallory.join("Mallory")
            victim = SessionKey(welcome.peers[0].from_user_id, welcome.peers[0].from_sid)
            forged = msgspec.structs.replace(mallory.offer(victim), body='{"kind":"restart"}')
            await mallory.send(forged)
            await expect(notice(page)).to_contain_text(
                "Something that claims to come from Mallory was refused: its signature is not "
                "theirs. The server, or somebody on the way, may have tampered with it."
            )
            await mallory.send(msgspec.structs.replace(forged, seq=2))
            await expect(notice(page)).to_contain_text("(2 times)")
            await page.get_by_role("button", name="Dismiss").click()
            await expect(notice(page)).to_have_count(0)
            await mallory.cut()

    stage.perform(play())


def test_a_way_that_is_not_found_is_explained(stage: Stage) -> None:
    """A peer that never answers is connecting, and after a while the page says why."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            silent = Client(f"ws://127.0.0.1:{server.port}/ws")
            await silent.join("Silent")
            await enter(page, server, "Ada")
            row = page.locator("#peers > li").nth(1)
            await expect(row).to_contain_text("connecting")
            await expect(page.get_by_text("some networks can be crossed")).to_have_count(0)
            await expect(row).to_contain_text("No way found yet, still trying", timeout=30_000)
            await silent.cut()

    stage.perform(play())
