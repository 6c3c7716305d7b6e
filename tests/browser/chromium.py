"""Chromium by Playwright, with the system's binary; each page in a profile of its own."""

import shutil
from types import TracebackType
from typing import Any, Self

from playwright.async_api import Browser, Playwright, async_playwright
from playwright.async_api import Page as PlaywrightPage

__all__ = ["ARGUMENTS", "Chromium", "Page", "program"]

ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def program() -> str:
    """Return where Chromium is.

    Raises:
        RuntimeError: it is missing.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise RuntimeError("Chromium is missing: make setup-host installs it")
    return found


class Page:
    """One page; the same face as ``Firefox``."""

    def __init__(self, page: PlaywrightPage) -> None:
        """Listen to the console."""
        self.page = page
        self.console: list[str] = []
        """Errors and warnings that the page logged."""
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: Any) -> None:  # noqa: ANN401 - Playwright's type is not exported
        if message.type in {"error", "warning"}:
            self.console.append(message.text)

    async def goto(self, url: str) -> None:
        """Load a page."""
        await self.page.goto(url)

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page returns
        """Return the JSON value of an expression, awaited if it is a promise."""
        return await self.page.evaluate(f"(async () => (await ({expression})) ?? null)()")

    async def reload(self) -> None:
        """Load the page again."""
        await self.page.reload()

    async def close(self) -> None:
        """Close the page, with its profile."""
        await self.page.context.close()


class Chromium:
    """One running Chromium: ``async with Chromium() as chromium``."""

    def __init__(self) -> None:
        """Be not started."""
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    async def __aenter__(self) -> Self:
        """Start it."""
        self._playwright = await async_playwright().start()
        self._browser = await self._playwright.chromium.launch(
            executable_path=program(), args=list(ARGUMENTS)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        assert self._browser is not None
        assert self._playwright is not None
        await self._browser.close()
        await self._playwright.stop()

    async def page(self) -> Page:
        """Open a page with a profile of its own."""
        assert self._browser is not None
        context = await self._browser.new_context()
        return Page(await context.new_page())
