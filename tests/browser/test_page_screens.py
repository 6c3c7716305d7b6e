"""The page on small screens, in other scripts and colours: nothing lies over what is needed."""

from typing import Any

import pytest
from playwright.async_api import FloatRect, Locator, expect

from tests.browser.guests import enter, field, linked, say
from tests.browser.stage import Stage
from tests.server.world import Client

HEBREW = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
LANDSCAPE = {"viewport": {"width": 568, "height": 320}, "has_touch": True, "is_mobile": True}
ZOOMED = {"viewport": {"width": 640, "height": 400}}
"""A screen of 1280 by 800 at 200 %."""


async def box(element: Locator) -> FloatRect:
    """Return where an element is."""
    found = await element.bounding_box()
    assert found is not None
    return found


async def on_top(element: Locator) -> bool:
    """Tell whether a press in the middle of an element reaches it."""
    reached: bool = await element.evaluate("""
        (element) => {
          const { left, top, width, height } = element.getBoundingClientRect();
          return element.contains(document.elementFromPoint(left + width / 2, top + height / 2));
        }
    """)
    return reached


@pytest.mark.parametrize("screen", [PHONE, LANDSCAPE, ZOOMED], ids=["phone", "landscape", "zoomed"])
def test_who_is_here_leaves_the_composer_free(stage: Stage, screen: dict[str, Any]) -> None:
    """With the list open one can still write, and see some of what was said."""

    async def play() -> None:
        async with (
            stage.server() as server,
            stage.page(**screen) as ada,
            stage.page() as bob,
        ):
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(ada, 1)
            await ada.locator("#attendance").click()
            await expect(ada.get_by_role("complementary")).to_be_visible()
            for element in (field(ada), ada.get_by_role("button", name="Send")):
                await expect(element).to_be_in_viewport(ratio=1)
                assert await on_top(element)
            assert (await box(ada.get_by_role("log")))["height"] >= 64
            await ada.keyboard.press("Escape")
            await expect(ada.get_by_role("complementary")).to_be_hidden()
            # A long text has a quarter of the screen, so that the rest has some too.
            await field(ada).fill("line\n" * 40)
            assert (await box(field(ada)))["height"] <= max(44, screen["viewport"]["height"] / 4)
            assert (await box(ada.get_by_role("log")))["height"] >= 64

    stage.perform(play())


def test_the_way_to_new_messages_hides_none_of_what_is_written(stage: Stage) -> None:
    """However much is being written, the button is above it, in one line."""

    async def play() -> None:
        async with (
            stage.server() as server,
            stage.page(**PHONE) as ada,
            stage.page() as bob,
        ):
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(bob, 1)
            await say(bob, "line\n" * 40)
            await say(bob, "line\n" * 40)
            log = ada.get_by_role("log")
            await expect(log.locator(".message")).to_have_count(2)
            await field(ada).fill("line\n" * 40)
            await log.evaluate("(log) => log.scrollTo(0, 0)")
            await say(bob, "news")
            newer = ada.get_by_role("button", name="New messages")
            await expect(newer).to_be_visible()
            button, text = await box(newer), await box(field(ada))
            assert button["y"] + button["height"] <= text["y"]
            assert button["height"] < 48

    stage.perform(play())


def test_the_header_of_a_phone_is_one_row(stage: Stage) -> None:
    """Title, who is here, Invite and Leave stand side by side, and the title can be read."""

    async def play() -> None:
        async with stage.server() as server, stage.page(**PHONE) as page:
            await enter(page, server, "Ada", "brave-otter-42")
            parts = [
                page.locator(f"#{part}") for part in ("title", "attendance", "invite", "leave")
            ]
            boxes = [await box(part) for part in parts]
            middles = [each["y"] + each["height"] / 2 for each in boxes]
            assert max(middles) - min(middles) < 4
            assert boxes[0]["width"] > 100
            await expect(parts[1]).to_have_text("1 here")

    stage.perform(play())


@pytest.mark.parametrize("screen", [PHONE, LANDSCAPE], ids=["phone", "landscape"])
def test_who_is_alone_sees_it(stage: Stage, screen: dict[str, Any]) -> None:
    """The card begins at its beginning however long it is, and makes way for who comes."""

    async def play() -> None:
        async with stage.server() as server, stage.page(**screen) as page:
            await enter(page, server, "Ada")
            title = page.get_by_role("heading", name="Nobody else is here yet")
            await expect(title).to_be_in_viewport(ratio=1)
            await expect(page.locator("#log code").first).to_be_in_viewport(ratio=1)
            other = Client(f"ws://127.0.0.1:{server.port}/ws")
            await other.join("Bob")
            await expect(title).to_be_hidden()
            await expect(page.get_by_text("Bob joined")).to_be_in_viewport(ratio=1)
            await expect(page.get_by_role("button", name="New messages")).to_be_hidden()
            await other.cut()

    stage.perform(play())


def test_on_a_phone_the_focus_is_where_reading_begins(stage: Stage) -> None:
    """It goes to the title of what is shown, without a ring, and never falls to the body."""

    async def play() -> None:
        async with stage.server() as server, stage.page(**PHONE) as page:
            await enter(page, server, "Ada")
            title = page.get_by_role("heading", name="lobby")
            await expect(title).to_be_focused()
            assert await title.evaluate("(title) => getComputedStyle(title).outlineStyle") == "none"
            await page.get_by_role("link", name="Leave").tap()
            await expect(page.get_by_role("heading", name="Talk directly")).to_be_focused()

    stage.perform(play())


def test_names_of_other_scripts_stay_in_their_place(stage: Stage) -> None:
    """Written from right to left, a name begins its line and its sentence like any other."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await enter(page, server, "Ada")
            other = Client(f"ws://127.0.0.1:{server.port}/ws")
            await other.join(HEBREW)
            name = page.locator("#peers bdi").nth(1)
            await expect(name).to_be_visible()
            state = page.locator("#peers .state").nth(1)
            assert (await box(name))["x"] == (await box(state))["x"]
            line = page.locator(".event")
            await expect(line).to_have_text(f"{HEBREW} joined")
            verb = await line.evaluate("""
                (line) => {
                  const range = document.createRange();
                  range.selectNode(line.lastChild);
                  return range.getBoundingClientRect().x;
                }
            """)
            assert (await box(line.locator("bdi")))["x"] < verb
            await other.cut()

    stage.perform(play())


def test_long_names_take_two_lines(stage: Stage) -> None:
    """The rest of a long name is in its title."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await enter(page, server, "Ada")
            long = Client(f"ws://127.0.0.1:{server.port}/ws")
            name = "Maximiliana Theodora von Hohenstein-Wittgenstein zu Sayn, 64 ch."
            await long.join(name)
            line = page.locator("#peers .name").nth(1)
            await expect(line).to_have_attribute("title", name)
            short = await box(page.locator("#peers .name").first)
            assert (await box(line))["height"] <= 2 * short["height"] + 1
            await long.cut()

    stage.perform(play())


def test_heaps_of_diacritics_stay_in_their_message(stage: Stage) -> None:
    """What is piled on letters is not drawn over what others said."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await enter(page, server, "Z" + "\u0310\u0332" * 30)
            await say(page, "x" + "\u0310\u0332" * 200)
            for part in (".text", "#peers .name"):
                clipped = await page.locator(part).first.evaluate(
                    "(part) => getComputedStyle(part).overflow"
                )
                assert clipped == "clip"

    stage.perform(play())


def test_forced_colours_keep_the_outlines(stage: Stage) -> None:
    """Where the system takes all backgrounds away, borders and the logo are still there."""

    async def play() -> None:
        async with stage.server() as server, stage.page(forced_colors="active") as page:
            await enter(page, server, "Ada")
            await say(page, "hello")
            await expect(page.locator(".text")).to_have_count(1)
            colours = await page.evaluate("""
                [".text", ".conversation", ".people", ".avatar"].map((part) => {
                  const style = getComputedStyle(document.querySelector(part));
                  return [style.borderTopWidth, style.borderTopColor === style.backgroundColor];
                })
            """)
            assert colours == [["1px", False]] * 4
            ground, stroke = await page.evaluate(
                "[getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.querySelector('.mark svg')).stroke]"
            )
            assert ground != stroke

    stage.perform(play())
