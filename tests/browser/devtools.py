"""Chromium as people have it: tabs that hide each other, timers that slow down.

Playwright keeps every page visible and awake, and switches the back/forward cache
off. So this drives Chromium itself, by the DevTools protocol over a pipe; only what
the tests need. Source: https://chromedevtools.github.io/devtools-protocol/
"""

import asyncio
import itertools
import json
import os
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.browser.chromium import ARGUMENTS, program
from tests.browser.processes import end

__all__ = ["Chromium", "Tab"]

CALL_TIMEOUT = 45.0
_LIMIT_BYTES = 2**24


class Tab:
    """One tab; the same face as a tab of ``firefox``."""

    def __init__(self, browser: "Chromium", target: str, session: str, profile: str) -> None:
        """Use ``Chromium.tab``."""
        self._browser = browser
        self._target = target
        self._session = session
        self._profile = profile
        self.console: list[str] = []
        """Errors and warnings that the page logged."""

    async def begin(self) -> None:
        """Listen to the console."""
        for domain in ("Page", "Runtime", "Log"):
            await self._call(f"{domain}.enable")

    async def _call(self, method: str, **params: object) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **params)

    def note(self, method: str, params: dict[str, Any]) -> None:
        """Take note of what the browser says of this tab."""
        if method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning"}:
            self.console.append(" ".join(str(each.get("value")) for each in params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.console.append(params["entry"]["text"])

    async def goto(self, url: str) -> None:
        """Load a page."""
        await self._call("Page.navigate", url=url)
        async with asyncio.timeout(CALL_TIMEOUT):
            while await self.evaluate("document.readyState") != "complete":  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page returns
        """Return the JSON value of an expression, awaited if it is a promise."""
        result = await self._call(
            "Runtime.evaluate",
            expression=f"(async () => (await ({expression})) ?? null)()",
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    async def reload(self) -> None:
        """Load the page again."""
        await self._call("Page.reload")

    async def another(self) -> "Tab":
        """Open another tab of this profile, in front."""
        return await self._browser.tab(self._profile)

    async def opened(self) -> "Tab":
        """Return the tab that this one has opened."""
        async with asyncio.timeout(CALL_TIMEOUT):
            while True:
                targets = (await self._browser.call("Target.getTargets"))["targetInfos"]
                for each in targets:
                    if each.get("openerId") == self._target:
                        return await self._browser.attach(each["targetId"], self._profile)
                await asyncio.sleep(0.02)

    async def front(self) -> None:
        """Show this tab; another is hidden."""
        await self._browser.call("Target.activateTarget", targetId=self._target)

    async def freeze(self) -> None:
        """Stop the hidden page, as Chromium does to save energy."""
        await self._call("Page.setWebLifecycleState", state="frozen")

    async def thaw(self) -> None:
        """Let it go on."""
        await self._call("Page.setWebLifecycleState", state="active")

    async def crash(self) -> None:
        """Kill the process of the page."""
        with suppress(RuntimeError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._call("Page.crash")

    async def close(self) -> None:
        """Close the tab."""
        await self._browser.call("Target.closeTarget", targetId=self._target)

    async def dispose(self) -> None:
        """Close this tab and all others of its profile, and forget the profile."""
        with suppress(RuntimeError):
            await self.close()  # which lets the page say goodbye
        await self._browser.call("Target.disposeBrowserContext", browserContextId=self._profile)


class Chromium:
    """One running Chromium without any switch that people do not have."""

    def __init__(self, process: Process, folder: Path) -> None:
        """Use ``start``."""
        self._process = process
        self._folder = folder
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}
        self._writer: asyncio.WriteTransport
        self._reading: asyncio.Task[None]

    @classmethod
    async def start(cls, *options: str, prefix: Sequence[str] = ()) -> "Chromium":
        """Start a process with a folder of its own.

        Args:
            options: of the command line, beside those that all our Chromiums have.
            prefix: a command that runs another.
        """
        folder = Path(tempfile.mkdtemp(prefix="thkmesh-chromium-"))
        (hear, tell_us), (listen, tell) = os.pipe(), os.pipe()
        # Chromium reads from descriptor 3 and writes to 4.
        shell = ("bash", "-c", f'exec "$@" 3<&{listen} 4>&{tell_us}', "chromium")
        process = await asyncio.create_subprocess_exec(
            *(*shell, *prefix, program(), *ARGUMENTS, *options, "--headless=new"),
            *("--remote-debugging-pipe", "--no-first-run", f"--user-data-dir={folder}"),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            pass_fds=(listen, tell_us),
        )
        os.close(listen)
        os.close(tell_us)
        browser = cls(process, folder)
        await browser._begin(hear, tell)
        return browser

    async def _begin(self, hear: int, tell: int) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LIMIT_BYTES)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(hear, "rb")
        )
        self._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(tell, "wb"))
        self._reading = asyncio.create_task(self._read(reader))

    async def tab(self, profile: str | None = None) -> Tab:
        """Open a tab in front, in a profile of its own unless one is given."""
        if profile is None:
            made = await self.call("Target.createBrowserContext")
            profile = str(made["browserContextId"])
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=profile)
        return await self.attach(target["targetId"], profile)

    async def attach(self, target: str, profile: str) -> Tab:
        """Return the tab of a target."""
        made = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        session = str(made["sessionId"])
        tab = self._tabs[session] = Tab(self, target, session, profile)
        await tab.begin()
        return tab

    async def close(self) -> None:
        """End the process, by its id, and remove the folder."""
        await end(self._process)
        await self._reading
        self._writer.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the protocol ---

    async def call(self, method: str, session: str = "", **params: object) -> dict[str, Any]:
        """Return the result of a command.

        Raises:
            RuntimeError: it has none.
        """
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        command = {"id": number, "method": method, "params": params}
        if session:
            command["sessionId"] = session
        self._writer.write(json.dumps(command).encode() + b"\0")
        async with asyncio.timeout(CALL_TIMEOUT):
            return await answer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                text = await reader.readuntil(b"\0")
            except asyncio.IncompleteReadError:
                return
            self._note(json.loads(text[:-1]))

    def _note(self, message: dict[str, Any]) -> None:
        answer = self._waiting.pop(message.get("id", 0), None)
        if answer is None:
            tab = self._tabs.get(message.get("sessionId", ""))
            if tab is not None and "method" in message:
                tab.note(message["method"], message["params"])
        elif answer.done():
            pass
        elif "error" in message:
            answer.set_exception(RuntimeError(message["error"]["message"]))
        else:
            answer.set_result(message["result"])
