"""Private rooms on the page: made, entered by the link alone, and remembered."""

from urllib.parse import urlsplit

from playwright.async_api import expect

from tests.browser.guests import enter, field, introduce, linked, notice, say
from tests.browser.stage import Stage
from thkmesh.invitation import parse_link


def test_a_private_room_is_for_those_with_the_link(stage: Stage) -> None:
    """The link leads in, a program too; the name alone leads to a notice, and to nobody."""

    async def play() -> None:
        async with (
            stage.server() as server,
            stage.page() as ada,
            stage.page() as bob,
            stage.page() as eve,
        ):
            await ada.goto(server.url)
            await ada.get_by_label("Room", exact=True).fill("den")
            rule = ada.locator("#rule")
            await expect(rule).to_contain_text("Whoever knows the name can come in")
            await ada.get_by_label("Private room").check()
            await expect(rule).to_contain_text("not even the server lets them")
            await introduce(ada, "Ada")
            await expect(field(ada)).to_be_enabled()
            await ada.get_by_role("button", name="Invite").click()
            link = await ada.locator("#ticket .copyable code").inner_text()
            assert link == ada.url
            place = parse_link(link)
            assert (place.room, place.secret is not None) == ("den", True)
            terminal = ada.locator("#ticket .snippet code").first
            await expect(terminal).to_have_text(f"thkmesh chat --url '{link}'")
            await ada.get_by_role("button", name="Close").click()
            await bob.goto(link)
            await introduce(bob, "Bob")
            await linked(bob, 1)
            await enter(eve, server, "Eve", "den")
            await expect(notice(eve)).to_contain_text("This room is private")
            await expect(notice(ada)).to_contain_text("kept out of this private room: Eve")
            await say(ada, "between us")
            await expect(bob.locator(".text")).to_have_text("between us")
            await linked(eve, 0)
            # It is remembered with its secret: the way back is one click.
            await bob.get_by_role("link", name="Leave").click()
            await bob.get_by_role("link", name="den (private)").click()
            await linked(bob, 1)
            assert urlsplit(bob.url).fragment == urlsplit(link).fragment

    stage.perform(play())


def test_a_link_that_was_cut_off_says_so(stage: Stage) -> None:
    """Rather than lead into an empty room of that name."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await page.goto(f"{server.url}#den&secret=4fzLR0yq3m")
            await expect(notice(page)).to_contain_text("is not whole. Ask for it again.")
            await expect(page.get_by_role("heading", name="Talk directly")).to_be_visible()

    stage.perform(play())
