"""Ways into rooms, out of them and between them: nothing is lost or left behind."""

import asyncio
import subprocess
import sys

from playwright.async_api import Route, expect

from tests.browser.guests import enter, field, introduce, linked, notice, say
from tests.browser.stage import Stage

REFUSED_LOADING = "Failed to load resource"
"""What Chromium says when a file does not come."""

LOSE = """
    (() => {
      const message = document.getElementById("message");
      for (const letter of ["a", "b"]) {
        message.value = letter.repeat(70_000);
        document.getElementById("composer").requestSubmit();
      }
      message.value = "what I write now";
      message.setSelectionRange(4, 4);
    })()
"""


def test_what_could_not_be_sent_comes_back(stage: Stage) -> None:
    """It stands before what was written meanwhile, in order, and the caret stays there."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await enter(page, server, "Ada")
            await page.evaluate(LOSE)
            await expect(page.get_by_role("alert")).to_contain_text("longer than a message may be")
            assert await field(page).input_value() == "\n".join(
                ("a" * 70_000, "b" * 70_000, "what I write now")
            )
            caret = await field(page).evaluate("(message) => message.selectionStart")
            assert caret == 2 * 70_001 + 4
            await say(page, "short")
            await expect(page.get_by_role("alert")).to_have_text("")

    stage.perform(play())


def test_a_remembered_name_that_cannot_be_is_asked_for_again(stage: Stage) -> None:
    """Too long, or not even text: the form comes, says why, and leads in."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await page.goto(server.url)
            remember = "(name) => localStorage.setItem('thkmesh-name', name)"
            await page.evaluate(remember, "x" * 70)
            await page.goto(f"{server.url}?1#lobby")
            await expect(page.get_by_role("heading", name="Join lobby")).to_be_visible()
            await page.get_by_role("button", name="Enter the room").click()
            name = page.get_by_label("Your name")
            trouble = await name.evaluate("(name) => name.validationMessage")
            assert trouble == "A name has up to 64 characters."
            await page.evaluate("localStorage.setItem('thkmesh-name', 'x\\ud800')")
            await page.goto(f"{server.url}?2#lobby")
            await expect(page.get_by_role("heading", name="Join lobby")).to_be_visible()
            await expect(notice(page)).to_have_count(1)
            await introduce(page, "Ada")
            await expect(field(page)).to_be_enabled()
            await expect(notice(page)).to_have_count(0)

    stage.perform(play())


def test_a_name_can_be_changed_inside(stage: Stage) -> None:
    """The button beside ours leads to the form and back, and the others see the new one."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(bob, 1)
            await ada.get_by_role("button", name="Change name").click()
            await expect(ada.get_by_label("Your name")).to_have_value("Ada")
            await introduce(ada, "Countess")
            await expect(bob.locator("#peers .name", has_text="Countess")).to_be_visible()
            await linked(bob, 1)

    stage.perform(play())


def test_a_link_is_one_step_in_the_history(stage: Stage) -> None:
    """Back from a room that was entered by its link leads to where one came from."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await page.goto(f"{server.url}thkmesh/index.js")
            await enter(page, server, "Ada")
            await page.go_back()
            assert page.url == f"{server.url}thkmesh/index.js"

    stage.perform(play())


def test_what_was_open_closes_with_its_room(stage: Stage) -> None:
    """Neither the invitation to a room nor its list of people is there in the next one."""

    async def play() -> None:
        small = {"width": 360, "height": 740}
        # The room is left while it is still being joined: Chromium complains of that.
        hasty = "WebSocket is closed before the connection is established"
        async with stage.server() as server, stage.page(hasty, viewport=small) as page:
            await enter(page, server, "Ada", "one")
            people = page.get_by_role("complementary")
            await page.locator("#attendance").click()
            await expect(people).to_be_visible()
            await page.get_by_role("button", name="Invite").click()
            await expect(page.get_by_role("dialog")).to_be_visible()
            await page.evaluate("location.hash = 'two'")
            await expect(page.get_by_role("heading", name="two")).to_be_visible()
            await expect(page.get_by_role("dialog")).to_be_hidden()
            await expect(people).to_be_hidden()
            expanded = page.locator("#attendance")
            await expect(expanded).to_have_attribute("aria-expanded", "false")

    stage.perform(play())


def test_the_form_does_not_wait_for_the_room(stage: Stage) -> None:
    """While what only a room needs is on its way one can say one's name, and goes in then."""

    async def play() -> None:
        come = asyncio.Event()

        async def late(route: Route) -> None:
            await come.wait()
            await route.continue_()

        async with stage.server() as server, stage.page() as page:
            await page.route("**/hall.js", late)
            await page.goto(f"{server.url}#lobby", wait_until="commit")
            await introduce(page, "Ada")
            await expect(page.get_by_role("heading", name="lobby")).to_be_visible()
            await expect(field(page)).to_be_disabled()
            come.set()
            await expect(field(page)).to_be_enabled()

    stage.perform(play())


def test_a_page_that_comes_in_part_says_so(stage: Stage) -> None:
    """Where the room's code does not come, the page offers to be loaded again."""

    async def play() -> None:
        async with (
            stage.server() as server,
            stage.page(REFUSED_LOADING, "Failed to fetch dynamically imported module") as page,
        ):
            await page.route("**/hall.js", lambda route: route.abort())
            await page.goto(f"{server.url}#lobby")
            await introduce(page, "Ada")
            await expect(notice(page)).to_contain_text("did not come whole")
            await page.unroute("**/hall.js")
            await page.get_by_role("button", name="Reload").click()
            await expect(field(page)).to_be_enabled()

    stage.perform(play())


def test_programs_come_in_by_what_the_invitation_says(stage: Stage) -> None:
    """The Python and the JavaScript that it shows join the room as they are."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as other:
            await enter(ada, server, "Ada")
            await ada.get_by_text("From a program of yours").click()
            snippets = ada.locator(".programs code")
            await expect(snippets).to_have_count(2)
            python, script = await snippets.all_text_contents()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", python, stdout=subprocess.DEVNULL
            )
            try:
                await linked(ada, 1)
                await other.goto(f"{server.url}thkmesh/index.js")
                await other.evaluate(f"void (async () => {{ {script} }})()")
                await linked(ada, 2)
            finally:
                process.kill()
                await process.wait()

    stage.perform(play())


def test_codes_are_for_addresses_that_others_can_reach(stage: Stage) -> None:
    """A QR code leads to another machine, where localhost would be that machine itself."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await page.goto(server.url)
            await page.evaluate("""
                (async () => {
                  const { ticket } = await import("/thkmesh/page/invitation.js");
                  for (const base of ["https://example.org/", "http://localhost:8765/",
                    "http://127.0.0.1/", "http://[::1]:1/", "http://a.localhost/"]) {
                    document.getElementById("start").append(ticket(new URL(base), "lobby"));
                  }
                })()
            """)
            codes = page.get_by_role("img")
            await expect(codes).to_have_count(1)
            await expect(codes).to_have_accessible_name("QR code of https://example.org/#lobby")

    stage.perform(play())


def test_addresses_in_messages_are_links(stage: Stage) -> None:
    """They open in a tab that knows nothing of this one, and read as they were written."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await enter(page, server, "Ada")
            await say(page, "see https://example.org/a?b#c.\nnot javascript:alert(1)")
            link = page.locator(".text a")
            await expect(link).to_have_text("https://example.org/a?b#c")
            await expect(link).to_have_attribute("href", "https://example.org/a?b#c")
            await expect(link).to_have_attribute("target", "_blank")
            await expect(link).to_have_attribute("rel", "noopener noreferrer")
            # Half an address leads elsewhere.
            await say(page, f"https://example.org/{'x' * 3000}")
            cut = page.locator(".text").nth(1)
            await expect(cut).to_contain_text("x …")
            await expect(cut.locator("a")).to_have_count(0)
            await page.get_by_role("button", name="Show all").click()
            await expect(cut.locator("a")).to_have_count(1)

    stage.perform(play())


def test_a_link_can_be_handed_on(stage: Stage) -> None:
    """Where the browser shares with other applications, the invitation offers it; else not."""

    async def play() -> None:
        can = "navigator.share = async (what) => { globalThis.shared = what; }"
        async with stage.server() as server, stage.page() as able, stage.page() as unable:
            await able.add_init_script(can)
            for page in (able, unable):
                await enter(page, server, "Ada", f"room-{page is able}")
                await expect(page.get_by_text("Nobody else is here yet")).to_be_visible()
            share = able.get_by_role("button", name="Share")
            await share.click()
            assert await able.evaluate("shared") == {"url": f"{server.url}#room-True"}
            assert await unable.evaluate("'share' in navigator") is False
            await expect(unable.get_by_role("button", name="Share")).to_have_count(0)

    stage.perform(play())
