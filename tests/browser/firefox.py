"""Firefox by WebDriver BiDi: one process and one profile each, with one tab or more.

Only what the tests need: session.new, browsingContext.navigate, script.evaluate and
log entries over one WebSocket. Source: W3C WebDriver BiDi.
"""

import asyncio
import itertools
import json
import re
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.browser.namespace import Outpost
from tests.browser.processes import end

__all__ = ["SHOWN_ADDRESSES", "Firefox", "Tab"]

_Call: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

START_TIMEOUT = 60.0
CALL_TIMEOUT = 45.0

_PREFERENCES: dict[str, object] = {
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.min_background_timeout_value": 10,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


SHOWN_ADDRESSES = {"media.peerconnection.ice.obfuscate_host_addresses": False}
"""Preferences with which candidates have addresses in place of multicast DNS names.

A name is answered for once a second at most (RFC 6762, section 6), so connecting two
browsers of one machine can take that long, or several attempts.
"""


class Tab:
    """One tab."""

    def __init__(
        self, call: _Call, context: str, console: list[str], profile: str = "default"
    ) -> None:
        """Take an open tab."""
        self._call = call
        self._context = context
        self._profile = profile
        self.console = console
        """Errors and warnings that the pages of this Firefox logged."""

    async def goto(self, url: str) -> None:
        """Load a page."""
        await self._call(
            "browsingContext.navigate",
            {"context": self._context, "url": url, "wait": "complete"},
        )

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page returns
        """Return the JSON value of an expression, awaited if it is a promise."""
        result = await self._call(
            "script.evaluate",
            {
                "expression": f"(async () => JSON.stringify((await ({expression})) ?? null))()",
                "target": {"context": self._context},
                "awaitPromise": True,
                "userActivation": True,
            },
        )
        if result["type"] == "exception":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    async def reload(self) -> None:
        """Load the page again."""
        await self._call("browsingContext.reload", {"context": self._context, "wait": "complete"})

    async def another(self) -> "Tab":
        """Open another tab of this profile, in front."""
        return await self._tab(self._profile)

    async def _tab(self, profile: str) -> "Tab":
        made = await self._call("browsingContext.create", {"type": "tab", "userContext": profile})
        return Tab(self._call, made["context"], self.console, profile)

    async def opened(self) -> "Tab":
        """Return the tab that this one has opened."""
        async with asyncio.timeout(CALL_TIMEOUT):
            while True:
                tree = await self._call("browsingContext.getTree", {})
                for each in tree["contexts"]:
                    if each.get("originalOpener") == self._context:
                        return Tab(self._call, each["context"], self.console, self._profile)
                await asyncio.sleep(0.02)

    async def front(self) -> None:
        """Show this tab; another is hidden."""
        await self._call("browsingContext.activate", {"context": self._context})

    async def close(self) -> None:
        """Close the tab."""
        await self._call("browsingContext.close", {"context": self._context})

    async def dispose(self) -> None:
        """Close this tab and all others of its profile, and forget the profile."""
        await self._call("browser.removeUserContext", {"userContext": self._profile})


class Firefox(Tab):
    """One running Firefox, with the tab that it begins with."""

    def __init__(self, process: Process, folder: Path, socket: ClientConnection) -> None:
        """Use ``start``."""
        super().__init__(self._ask, "", [])
        self._process = process
        self._folder = folder
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())
        self._drain: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, preferences: Mapping[str, object] | None = None, where: Outpost | None = None
    ) -> "Firefox":
        """Start a process with a fresh profile, and open a page.

        Args:
            preferences: beside those, or instead of those, that all our Firefoxes have.
            where: the network to live in; None means ours.

        Raises:
            RuntimeError: Firefox is missing, or does not come up.
        """
        program = shutil.which("firefox-esr") or shutil.which("firefox")
        if program is None:
            raise RuntimeError("Firefox is missing: make setup-host installs firefox-esr")
        folder = Path(tempfile.mkdtemp(prefix="thkmesh-firefox-"))
        wanted = _PREFERENCES | dict(preferences or {})
        lines = (f'user_pref("{k}", {json.dumps(v)});' for k, v in wanted.items())
        (folder / "user.js").write_text("\n".join(lines))
        process = await asyncio.create_subprocess_exec(
            *(where.prefix if where is not None else ()),
            program,
            "--headless",
            "--no-remote",
            "--profile",
            str(folder),
            "--remote-debugging-port",
            "0",
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
        )
        async with asyncio.timeout(START_TIMEOUT):
            url = await cls._address(process)
            port = int(url.rpartition(":")[2])
            line = None if where is None else where.connect(port)
            socket = await connect(
                f"{url}/session", compression=None, max_size=None, proxy=None, sock=line
            )
        firefox = cls(process, folder, socket)
        firefox._drain = asyncio.create_task(firefox._drain_errors())
        await firefox._begin()
        return firefox

    @staticmethod
    async def _address(process: Process) -> str:
        assert process.stderr is not None
        async for line in process.stderr:
            found = re.search(rb"WebDriver BiDi listening on (ws://\S+)", line)
            if found:
                return found[1].decode()
        raise RuntimeError("Firefox ended before it listened")

    async def _drain_errors(self) -> None:
        """Read on: a full pipe would stop Firefox."""
        assert self._process.stderr is not None
        while await self._process.stderr.read(65536):
            pass

    async def _begin(self) -> None:
        await self._call("session.new", {"capabilities": {}})
        await self._call("session.subscribe", {"events": ["log.entryAdded"]})
        tree = await self._call("browsingContext.getTree", {})
        self._context = tree["contexts"][0]["context"]

    async def tab(self) -> Tab:
        """Open a tab in front, in a profile of its own."""
        made = await self._call("browser.createUserContext", {})
        return await self._tab(made["userContext"])

    async def close(self) -> None:
        """End the process, by its id, and remove the profile."""
        await end(self._process)
        await self._socket.close()
        for task in (self._reader, self._drain):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectionClosed):
                    await task
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the protocol ---

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(CALL_TIMEOUT):
            return await answer

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if message["type"] == "event":
                entry = message["params"]
                if entry.get("level") in {"error", "warn"}:
                    self.console.append(str(entry.get("text")))
                continue
            answer = self._waiting.pop(message.get("id"), None)
            if answer is None or answer.done():
                continue
            if message["type"] == "success":
                answer.set_result(message["result"])
            else:
                answer.set_exception(RuntimeError(f"{message['error']}: {message['message']}"))
