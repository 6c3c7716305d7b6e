"""What people do on the page, and what they wait for."""

from playwright.async_api import Locator, Page, expect

from tests.browser.stage import WebServer

__all__ = ["enter", "field", "introduce", "linked", "notice", "say"]


def field(page: Page) -> Locator:
    """Return where messages are written."""
    return page.get_by_label("Message", exact=True)


def notice(page: Page) -> Locator:
    """Return the lines about what is wrong."""
    return page.locator(".notice")


async def introduce(page: Page, name: str) -> None:
    """Say who you are, and come in."""
    await page.get_by_label("Your name").fill(name)
    await page.get_by_role("button", name="Enter the room").click()


async def enter(page: Page, server: WebServer, name: str, room: str = "lobby") -> None:
    """Come into a room by its link, for the first time."""
    await page.goto(f"{server.url}#{room}")
    await introduce(page, name)
    await expect(field(page)).to_be_enabled()


async def say(page: Page, text: str) -> None:
    """Say something by the keyboard."""
    await field(page).fill(text)
    await page.keyboard.press("Enter")


async def linked(page: Page, count: int) -> None:
    """Wait until there are links to so many peers."""
    await expect(page.locator("#peers [data-state=connected]")).to_have_count(count)
