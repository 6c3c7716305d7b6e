"""The page for everybody: on small screens, by keyboard, for screen readers, and light."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.guests import enter, field, introduce, linked, notice, say
from tests.browser.stage import Stage
from tests.server.world import Client

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
BUDGET_BYTES = 100_000


async def violations(page: Page) -> list[str]:
    """Return what axe finds wrong with a page as it is."""
    if not AXE.exists():
        raise RuntimeError("axe-core is missing: make setup-npm installs it")
    await page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")
    found: list[dict[str, Any]] = await page.evaluate(
        "axe.run(document, { resultTypes: ['violations'] }).then((result) => result.violations)"
    )
    return [
        f"{each['id']}: {node['html']} {json.dumps([why['message'] for why in node['any']])}"
        for each in found
        for node in each["nodes"]
    ]


async def sprawl(page: Page) -> list[str]:
    """Return what reaches beyond the screen's sides, or is too small for a finger."""
    found: list[str] = await page.evaluate("""
        (() => {
          const wide = document.scrollingElement.scrollWidth - innerWidth;
          const found = wide > 0 ? [`the page by ${wide}`] : [];
          for (const each of document.querySelectorAll("a, button, input, textarea, h1, h2, p")) {
            const { left, right, width, height } = each.getBoundingClientRect();
            if (width < 2 || each.matches(".unseen, :disabled")) continue;
            if (left < 0 || right > innerWidth) found.push(each.outerHTML);
            if (each.matches("a, button, input, textarea") && height < 32) {
              found.push(`${height}: ${each.outerHTML}`);
            }
          }
          return found;
        })()
    """)
    return found


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(stage: Stage, scheme: str, screen: dict[str, Any]) -> None:
    """In every state of the page, in both themes, on both screens: no violation, no overflow."""

    async def play() -> None:
        async with (
            stage.server() as server,
            stage.page(color_scheme=scheme, **screen) as ada,
            stage.page() as bob,
        ):

            async def sound() -> None:
                assert await violations(ada) == []
                assert await sprawl(ada) == []

            await ada.goto(server.url)
            await sound()
            await ada.goto(f"{server.url}#no/room")
            await sound()
            await ada.goto(f"{server.url}#lobby")
            await sound()
            await introduce(ada, "Ada")
            await expect(ada.get_by_text("Nobody else is here yet")).to_be_visible()
            await sound()
            await enter(bob, server, "Bob with a name as long as names may be, sixty-four in all")
            silent = Client(f"ws://127.0.0.1:{server.port}/ws")
            await silent.join("Silent")
            await linked(ada, 1)
            await linked(bob, 1)
            await say(bob, "Hello, Ada. " * 20)
            await say(ada, "x" * 3000)
            await expect(ada.get_by_role("button", name="Show all")).to_be_visible()
            await field(bob).press("h")
            await expect(ada.locator("#typing")).to_contain_text("is typing")
            await sound()
            toggle = ada.locator("#attendance")
            assert await toggle.is_visible() is (screen is PHONE)
            if screen is PHONE:
                await expect(toggle).to_have_text("3 here, 1 of 2 connected")
                await toggle.click()
                await expect(ada.get_by_role("complementary")).to_be_visible()
            await ada.get_by_text("What do these words mean?").click()
            await sound()
            await ada.get_by_role("button", name="Invite").click()
            await expect(ada.get_by_role("dialog")).to_be_visible()
            await sound()
            await ada.keyboard.press("Escape")
            await silent.cut()

    stage.perform(play())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_troubles_are_readable_too(stage: Stage, scheme: str) -> None:
    """With lines of both tones, and a message that was not sent: no violation."""

    async def play() -> None:
        complaint = "WebSocket connection to"
        async with (
            stage.server() as server,
            stage.page(complaint, color_scheme=scheme, **PHONE) as page,
        ):
            await enter(page, server, "Ada")
            await say(page, "\U0001f600" * 20_000)
            await expect(page.get_by_role("alert")).to_contain_text("Not sent")
            await server.stop()
            await expect(notice(page)).to_contain_text("The server is away")
            assert await violations(page) == []
            assert await sprawl(page) == []

    stage.perform(play())


def test_the_themes_differ(stage: Stage) -> None:
    """Dark is dark and light is light, as the system says, also when it changes its mind."""

    async def play() -> None:
        async with stage.server() as server, stage.page(color_scheme="light") as page:
            await page.goto(server.url)
            shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
            assert min(await page.evaluate(shade)) > 220
            await page.emulate_media(color_scheme="dark")
            assert max(await page.evaluate(shade)) < 40

    stage.perform(play())


def test_everything_can_be_done_by_keyboard(stage: Stage) -> None:
    """Come in, talk, invite, reconnect and leave, with the focus to be seen at each step."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(bob, server, "Bob")

            async def tab_to(name: str) -> None:
                for _ in range(20):
                    await ada.keyboard.press("Tab")
                    if await ada.evaluate("document.activeElement === document.body"):
                        continue  # from the last to the first, past the browser's own
                    label, outline = await ada.evaluate(
                        "[document.activeElement.ariaLabel || document.activeElement.textContent,"
                        " getComputedStyle(document.activeElement).outlineStyle]"
                    )
                    assert outline != "none", f"{label} has the focus and does not show it"
                    if label == name:
                        return
                raise AssertionError(f"no way to {name}")

            await ada.goto(f"{server.url}#lobby")
            await expect(ada.get_by_label("Your name")).to_be_focused()
            await ada.keyboard.type("Ada")
            await ada.keyboard.press("Enter")
            await expect(field(ada)).to_be_focused()
            await linked(ada, 1)
            await ada.keyboard.type("by hand")
            await ada.keyboard.press("Enter")
            await expect(bob.get_by_role("log")).to_contain_text("by hand")
            await tab_to("Reconnect to Bob")
            await ada.keyboard.press("Enter")
            await expect(ada.get_by_role("log")).to_contain_text("Bob is back")
            await tab_to("Invite")
            await ada.keyboard.press("Space")
            await expect(ada.get_by_role("button", name="Copy: Link")).to_be_focused()
            await ada.keyboard.press("Escape")
            await expect(ada.get_by_role("button", name="Invite")).to_be_focused()
            await tab_to("Leave")
            await ada.keyboard.press("Enter")
            await linked(bob, 0)
            await expect(ada.get_by_role("button", name="Enter the room")).to_be_visible()

    stage.perform(play())


def test_what_happens_is_announced(stage: Stage) -> None:
    """Messages are in a log, troubles in a status, failures to send in an alert; in words."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(bob, 1)
            for text in ("one", "two"):
                await say(ada, text)
            log = bob.get_by_role("log")
            await expect(log.locator(".message")).to_have_count(2)
            spoken = await log.locator(".message").all_text_contents()
            assert [text.split()[0].strip(":") for text in spoken] == ["Ada", "Ada"]
            assert await bob.locator("#notices").get_attribute("role") == "status"
            await expect(bob.get_by_role("main")).to_have_count(1)
            await expect(bob.get_by_role("complementary", name="Who is here")).to_be_visible()

    stage.perform(play())


def test_the_page_is_light(stage: Stage) -> None:
    """From the link to the first word in a room, under 100 KB come over the wire."""

    async def play() -> dict[str, int]:
        async with stage.server() as server, stage.page() as page:
            network = await page.context.new_cdp_session(page)
            urls: dict[str, str] = {}
            sizes: dict[str, int] = {}
            network.on(
                "Network.requestWillBeSent",
                lambda sent: urls.update({sent["requestId"]: sent["request"]["url"]}),
            )
            network.on(
                "Network.loadingFinished",
                lambda done: sizes.update(
                    {urls[done["requestId"]]: int(done["encodedDataLength"])}
                ),
            )
            network.on(
                "Network.loadingFailed",
                lambda failed: sizes.update({urls[failed["requestId"]]: BUDGET_BYTES}),
            )
            await network.send("Network.enable")
            await enter(page, server, "Ada")
            await say(page, "hello")
            await page.get_by_role("button", name="Invite").click()
            await expect(page.get_by_role("dialog")).to_be_visible()
            assert all(url.startswith(server.url) for url in sizes)
            return sizes

    sizes = stage.perform(play())
    total = sum(sizes.values())
    assert len(sizes) > 4
    assert total < BUDGET_BYTES, f"{total}: {sorted(sizes.items(), key=lambda size: size[1])}"
