"""Where pages play: one Chromium in a network namespace, servers and peers beside it.

A namespace belongs to a thread (see ``namespace``), and starting a browser takes a
second. So the stage is a thread of its own with a running loop, for all tests of a
session; ``perform`` runs a coroutine on it.
"""

import asyncio
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, async_playwright, expect
from starlette.routing import BaseRoute

from tests.browser.chromium import ARGUMENTS, program
from tests.browser.namespace import in_namespace
from thkmesh.server import AccessSettings, ServerSettings
from thkmesh.server.serve import serve

__all__ = ["LIMIT", "PythonPeer", "Stage", "WebServer", "listen"]

LIMIT = 50.0
"""Seconds that one performance may take."""

_PATIENCE_MS = 20_000.0

_T = TypeVar("_T")

expect.set_options(timeout=_PATIENCE_MS)


class WebServer:
    """A server on a port that stays the same when it is stopped and started again."""

    def __init__(
        self,
        settings: ServerSettings | None,
        host: str,
        port: int,
        routes: Sequence[BaseRoute],
        access: AccessSettings | None,
    ) -> None:
        """Be not started."""
        self._access = access
        self._settings = settings
        self._host = host
        self._port = port
        self._routes = routes
        self._running: asyncio.Task[object] | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._port}/"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    async def start(self) -> None:
        """Listen."""
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = serve(
            self._host,
            self._port,
            settings=self._settings,
            access=self._access,
            extra_routes=self._routes,
            on_ready=ready.set_result,
        )
        self._running = asyncio.create_task(serving)
        either: set[asyncio.Future[Any]] = {ready, self._running}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        self._port = ready.result()

    async def stop(self) -> None:
        """Be away."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            self._running = None


class PythonPeer:
    """``thkmesh chat`` in a process of its own: what a person in a terminal has."""

    def __init__(self, process: Process) -> None:
        """Take a running process."""
        self._process = process

    def say(self, text: str) -> None:
        """Say a line, or several."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")

    async def heard(self) -> str:
        """Return the next line it printed: ``name: text``."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().rstrip("\n")


class Stage:
    """Chromium, and a loop to drive it on."""

    def __init__(self) -> None:
        """Be dark."""
        self.chromium: Browser
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._lit = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._enter, name="stage")

    # --- for fixtures -----------------------------------------------------------------

    def open(self) -> None:
        """Begin.

        Raises:
            RuntimeError: Chromium or a network namespace cannot be had.
        """
        self._thread.start()
        self._lit.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _enter(self) -> None:
        try:
            in_namespace(self._live)
        except BaseException as error:  # noqa: BLE001 - it is raised where the stage was opened
            self._error = error
        finally:
            self._lit.set()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with async_playwright() as playwright:
            self.chromium = await playwright.chromium.launch(
                executable_path=program(), args=list(ARGUMENTS)
            )
            self._lit.set()
            await self._end.wait()
            await self.chromium.close()

    # --- for tests --------------------------------------------------------------------

    def perform(self, play: Coroutine[Any, Any, _T], limit: float | None = LIMIT) -> _T:
        """Run a coroutine on the stage; return what it returns."""
        timed = asyncio.wait_for(play, limit)
        return asyncio.run_coroutine_threadsafe(timed, self._loop).result()

    @asynccontextmanager
    async def server(
        self,
        settings: ServerSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        routes: Sequence[BaseRoute] = (),
        access: AccessSettings | None = None,
    ) -> AsyncIterator[WebServer]:
        """Have a server, with pages of our own beside its own; without a port, on a free one."""
        server = WebServer(settings, host, port, routes, access)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    @asynccontextmanager
    async def page(self, *expected: str, **options: Any) -> AsyncIterator[Page]:  # noqa: ANN401
        """Have a page in a profile of its own, which must not complain.

        Args:
            expected: what its console may say nevertheless, in part.
            options: of Playwright's ``new_context``.
        """
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options
        context = await self.chromium.new_context(**options)
        context.set_default_timeout(_PATIENCE_MS)
        page = await context.new_page()
        complaints = listen(page)
        try:
            yield page
        except BaseException as error:
            error.add_note(f"{page.url} complained: {complaints}")
            raise
        finally:
            await context.close()
        unexpected = [line for line in complaints if not any(part in line for part in expected)]
        assert not unexpected, unexpected

    @asynccontextmanager
    async def peer(self, url: str, room: str, name: str) -> AsyncIterator[PythonPeer]:
        """Have a Python process in a room."""
        where = ("--url", url.rstrip("/"), "--room", room, "--name", name)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "thkmesh", "chat", *where, stdin=PIPE, stdout=PIPE
        )
        try:
            yield PythonPeer(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def listen(page: Page) -> list[str]:
    """Return a list that fills with what a page complains about."""
    complaints: list[str] = []

    def console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    async def dialog(opened: Dialog) -> None:
        complaints.append(f"a dialog: {opened.message}")
        await opened.dismiss()

    page.on("console", console)
    page.on("dialog", dialog)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints
