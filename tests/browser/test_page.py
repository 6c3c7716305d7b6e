"""The page, as people use it: in Chromium, with other pages and Python processes."""

import re

from playwright.async_api import Page, expect

from tests.browser.guests import enter, field, introduce, linked, notice, say
from tests.browser.stage import Stage


async def texts(page: Page) -> list[str]:
    """Return what was said, as the page shows it."""
    return await page.locator(".message .text").all_inner_texts()


def test_two_pages_and_a_process_chat(stage: Stage) -> None:
    """What one of them says, the two others see, under the name of who said it."""

    async def play() -> None:
        async with (
            stage.server() as server,
            stage.page() as ada,
            stage.page() as bob,
            stage.peer(server.url, "lobby", "Robot") as robot,
        ):
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(ada, 2)
            await linked(bob, 2)
            await say(ada, "hello, everyone")
            assert await robot.heard() == "Ada: hello, everyone"
            robot.say("hello, Ada")
            await expect(ada.get_by_role("log")).to_contain_text("hello, Ada")
            await field(bob).fill("line one")
            await bob.keyboard.press("Shift+Enter")
            await bob.keyboard.type("line two")
            await bob.get_by_role("button", name="Send").click()
            assert await robot.heard() == "Bob: line one line two"
            for page in (ada, bob):
                await expect(page.locator(".message")).to_have_count(3)
                said = ["hello, everyone", "hello, Ada", "line one\nline two"]
                assert await texts(page) == said
            assert await bob.locator(".byline b").all_inner_texts() == ["Ada", "Robot", "You"]

    stage.perform(play())


def test_a_room_is_made_shared_and_joined_by_its_link(stage: Stage) -> None:
    """The start page proposes a name; the link it makes leads others to the same room."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await ada.goto(server.url)
            proposed = await ada.get_by_label("Room", exact=True).input_value()
            assert re.fullmatch(r"[a-z]+-[a-z]+-\d\d", proposed)
            await ada.get_by_role("button", name="Another name").click()
            room = await ada.get_by_label("Room", exact=True).input_value()
            assert room != proposed
            await introduce(ada, "Ada")
            await expect(ada.get_by_role("heading", name=room)).to_be_visible()
            await expect(ada).to_have_title(f"{room} · THKMesh")
            await expect(ada.get_by_text("Nobody else is here yet")).to_be_visible()
            link = await ada.locator(".copyable code").inner_text()
            assert link == ada.url == f"{server.url}#{room}"
            await bob.goto(link)
            await expect(bob.get_by_role("heading", name=f"Join {room}")).to_be_visible()
            await expect(bob.get_by_label("Room", exact=True)).to_be_hidden()
            await introduce(bob, "Bob")
            await linked(ada, 1)
            await linked(bob, 1)
            await expect(ada.get_by_text("Nobody else is here yet")).to_be_hidden()

    stage.perform(play())


def test_links_are_copied_and_read_in_both_forms(stage: Stage) -> None:
    """The button copies the link; ?room= leads where # does; what names no room says so."""

    async def play() -> None:
        rights = ["clipboard-read", "clipboard-write"]
        async with stage.server() as server, stage.page(permissions=rights) as page:
            await page.goto(f"{server.url}?room=stage")
            await introduce(page, "Ada")
            await expect(field(page)).to_be_enabled()
            assert page.url == f"{server.url}#stage"
            await page.get_by_role("button", name="Invite").click()
            dialog = page.get_by_role("dialog")
            await expect(dialog.get_by_role("heading")).to_have_text("Invite others to stage")
            await dialog.get_by_role("button", name="Copy: Link").click()
            await expect(dialog.get_by_text("Copied", exact=True)).to_be_visible()
            assert await page.evaluate("navigator.clipboard.readText()") == page.url
            await page.keyboard.press("Escape")
            await expect(dialog).to_be_hidden()
            await page.goto(f"{server.url}#no%20room/here")
            await expect(notice(page)).to_contain_text("leads to no room")

    stage.perform(play())


def test_each_link_shows_its_state_role_and_path(stage: Stage) -> None:
    """Each has a grade in a word; one is polite; the path is named; Reconnect makes a new link."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            roles = []
            for page in (ada, bob):
                await linked(page, 1)
                facts = page.locator("#peers .facts li")
                await expect(facts).to_have_count(4)
                way, path, protocol, role = await facts.all_inner_texts()
                assert way == "direct"
                roles.append(role)
                assert re.fullmatch(r"(host|prflx) \u2013 (host|prflx)", path)
                assert protocol == "UDP"
                state = page.locator("#peers [data-state] .state")
                await expect(state).to_have_text(re.compile(r"^(excellent|good), (< )?\d+ ms$"))
                await expect(page.get_by_text("Server: connected")).to_be_visible()
            assert sorted(roles) == ["impolite", "polite"]
            await ada.get_by_role("button", name="Reconnect to Bob").click()
            for page in (ada, bob):
                await expect(page.get_by_role("log")).to_contain_text("is back")
                await linked(page, 1)
            await say(ada, "still here")
            await expect(bob.get_by_role("log")).to_contain_text("still here")

    stage.perform(play())


def test_who_types_is_seen(stage: Stage) -> None:
    """From the first key to the message, or until all is deleted."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(ada, 1)
            await linked(bob, 1)
            typing = bob.locator("#typing")
            await field(ada).press("h")
            await expect(typing).to_have_text("Ada is typing …")
            await field(ada).press("Backspace")
            await expect(typing).to_have_text("")
            await field(ada).press_sequentially("hi")
            await expect(typing).to_have_text("Ada is typing …")
            await field(ada).press("Enter")
            await expect(bob.get_by_role("log")).to_contain_text("hi")
            await expect(typing).to_have_text("")

    stage.perform(play())


def test_a_reload_keeps_name_identity_and_history(stage: Stage) -> None:
    """Nothing is asked twice, what was said is still there, and there is one of each."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(ada, 1)
            await say(ada, "before")
            await say(bob, "heard")
            await expect(ada.locator(".message")).to_have_count(2)
            await ada.reload()
            await linked(ada, 1)
            await linked(bob, 1)
            assert await texts(ada) == ["before", "heard"]
            assert await ada.locator(".message.mine").count() == 1
            await expect(bob.locator("#peers > li")).to_have_count(2)
            await say(bob, "after")
            await expect(ada.locator(".message")).to_have_count(3)

    stage.perform(play())


def test_back_and_forward_leave_and_return(stage: Stage) -> None:
    """The browser's buttons lead out of the room and in again, to others and back."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(bob, server, "Bob")
            await ada.goto(server.url)
            await ada.get_by_label("Room", exact=True).fill("lobby")
            await introduce(ada, "Ada")
            await linked(bob, 1)
            await ada.go_back()
            await expect(ada.get_by_role("button", name="Enter the room")).to_be_visible()
            await linked(bob, 0)
            await expect(bob.get_by_role("log")).to_contain_text("Ada left")
            await ada.go_forward()
            await linked(bob, 1)
            await ada.goto("about:blank")
            await linked(bob, 0)
            await ada.go_back()
            await linked(bob, 1)
            await ada.get_by_role("link", name="Leave").click()
            await linked(bob, 0)
            await expect(ada.get_by_role("link", name="lobby")).to_be_visible()
            await ada.get_by_role("button", name="Forget lobby").click()
            await expect(ada.get_by_role("link", name="lobby")).to_be_hidden()

    stage.perform(play())


def test_a_page_that_comes_back_from_the_cache_joins_again(stage: Stage) -> None:
    """Who left with the page returns with it (HTML, pageshow with persisted)."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(bob, 1)
            gone = 'dispatchEvent(new PageTransitionEvent("pagehide", { persisted: false }))'
            back = 'dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))'
            await ada.evaluate(gone)
            await linked(bob, 0)
            await expect(notice(ada)).to_contain_text("You left the room")
            await ada.evaluate(back)
            await linked(bob, 1)
            await expect(notice(ada)).to_have_count(0)

    stage.perform(play())


def test_long_messages_show_their_beginning(stage: Stage) -> None:
    """A wall of text does not push away the rest; all of it is one press away."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await enter(page, server, "Ada")
            await say(page, "\n".join(str(number) for number in range(1000)))
            shown = page.locator(".message .text")
            await expect(shown).to_contain_text("23 …")
            assert "24" not in await shown.inner_text()
            await expect(page.get_by_text("nobody else was here")).to_be_visible()
            await page.get_by_role("button", name="Show all").click()
            await expect(shown).to_contain_text("999")
            await say(page, "\U0001f600" * 20_000)
            await expect(page.get_by_role("alert")).to_contain_text("longer than a message may be")
            assert await field(page).input_value() == "\U0001f600" * 20_000

    stage.perform(play())


def test_the_title_counts_what_was_not_seen(stage: Stage) -> None:
    """Messages to a hidden page show in its title until it is looked at."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(bob, 1)
            hidden = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true })"
            changed = "document.dispatchEvent(new Event('visibilitychange'))"
            await ada.evaluate(f"{hidden % 'true'}, {changed}")
            await say(bob, "one")
            await say(bob, "two")
            await expect(ada).to_have_title("(2) lobby · THKMesh")
            await ada.evaluate(f"{hidden % 'false'}, {changed}")
            await expect(ada).to_have_title("lobby · THKMesh")

    stage.perform(play())


def test_who_reads_what_was_said_before_is_not_dragged_away(stage: Stage) -> None:
    """New messages wait below, with a button that leads to them."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada")
            await enter(bob, server, "Bob")
            await linked(bob, 1)
            log, newer = ada.get_by_role("log"), ada.get_by_role("button", name="New messages")
            for number in range(30):
                await say(bob, f"message {number}")
            await expect(log.get_by_text("message 29")).to_be_in_viewport()
            await expect(newer).to_be_hidden()
            await log.evaluate("(log) => log.scrollTo(0, 0)")
            await say(bob, "news")
            await expect(newer).to_be_visible()
            await expect(log.get_by_text("message 0")).to_be_in_viewport()
            await newer.click()
            await expect(log.get_by_text("news")).to_be_in_viewport()
            await expect(newer).to_be_hidden()

    stage.perform(play())


def test_another_room_is_another_conversation(stage: Stage) -> None:
    """Changing the address changes the room; nothing of the former shows, or is lost."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as bob:
            await enter(ada, server, "Ada", "one")
            await enter(bob, server, "Bob", "one")
            await linked(bob, 1)
            await say(ada, "in one")
            await ada.goto(f"{server.url}#two")
            await expect(ada.get_by_role("heading", name="two")).to_be_visible()
            await expect(bob.get_by_role("log")).to_contain_text("Ada left")
            await expect(field(ada)).to_be_enabled()
            assert await texts(ada) == []
            await say(ada, "in two")
            await ada.goto(f"{server.url}#one")
            await linked(ada, 1)
            assert await texts(ada) == ["in one"]
            assert await texts(bob) == ["in one"]

    stage.perform(play())
