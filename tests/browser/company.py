"""A room watched from all sides: by a process, by a page, and in the server's list.

The watchers live in the network of the stage. Those who are watched live in another,
at the end of a cable, in browsers with nothing switched off that people have.
"""

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, Protocol

import httpx2
from playwright.async_api import Page

from tests.browser import devtools, firefox
from tests.browser.guests import enter, say
from tests.browser.namespace import GATEWAY, Outpost, outpost
from tests.browser.stage import Stage, WebServer
from tests.rooms.processes import PeerProcess
from thkmesh import Data

__all__ = ["PAGE", "Abroad", "Company", "Tab", "Visitor", "company", "until"]

PORT = 8765
"""A namespace is ours alone, so it is free; browsers are told beforehand that it is safe."""

PATIENCE = 35.0
PAGE = f"http://{GATEWAY}:{PORT}/"
ROBOT, WATCHER = "Robot", "Watcher"

_INTRODUCE = """
    (() => {
      const name = document.querySelector("#name");
      name.value = NAME;
      name.dispatchEvent(new Event("input"));
      document.querySelector("#enter").click();
    })()
"""
_SAY = """
    (() => {
      document.querySelector("#message").value = TEXT;
      document.querySelector("#send").click();
    })()
"""
_PEOPLE = """
    [...document.querySelectorAll("#peers > li")].map((row) => [
      row.querySelector(".name").textContent, row.dataset.state ?? "connected",
    ])
"""
_SAID = '[...document.querySelectorAll(".message .text")].map((text) => text.textContent)'
_WATCH_TIMERS = """
    (() => {
      window.gaps = [];
      let last = performance.now();
      window.watching = setInterval(() => {
        gaps.push(performance.now() - last);
        last = performance.now();
      }, 100);
    })()
"""


class Tab(Protocol):
    """A tab of either browser."""

    console: list[str]

    async def goto(self, url: str) -> None:
        """Load a page."""

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page returns
        """Return the JSON value of an expression."""

    async def reload(self) -> None:
        """Load the page again."""

    async def another(self) -> "Tab":
        """Open another tab of this profile, in front."""
        raise NotImplementedError

    async def opened(self) -> "Tab":
        """Return the tab that this one has opened."""
        raise NotImplementedError

    async def front(self) -> None:
        """Show this tab; another is hidden."""

    async def close(self) -> None:
        """Close it."""

    async def dispose(self) -> None:
        """Close all tabs of this profile, and forget the profile."""


class Visitor:
    """Somebody on our page, by name."""

    def __init__(self, name: str, tab: Tab) -> None:
        """Take an open tab."""
        self.name = name
        self.tab = tab

    async def enter(self, room: str = "lobby") -> None:
        """Come into a room, for the first time."""
        await self.tab.goto(f"{PAGE}#{room}")
        await self.tab.evaluate(_INTRODUCE.replace("NAME", json.dumps(self.name)))

    async def say(self, text: str) -> None:
        """Say something."""
        await self.tab.evaluate(_SAY.replace("TEXT", json.dumps(text)))

    async def duplicate(self) -> "Visitor":
        """Duplicate the tab: what a tab opens begins with a copy of its session storage."""
        await self.tab.evaluate("void open(location.href)")
        return Visitor(self.name, await self.tab.opened())

    async def travel(self, steps: int) -> None:
        """Press the browser's back button so often, or forward."""
        await self.tab.evaluate(f"void setTimeout(() => history.go({steps}))")

    async def watch_timers(self) -> None:
        """Begin to measure how long a timer of 100 ms takes."""
        await self.tab.evaluate(_WATCH_TIMERS)

    async def gaps(self) -> list[float]:
        """Return how long it took each time, in seconds."""
        measured = await self.tab.evaluate("(clearInterval(watching), gaps)")
        return [gap / 1000 for gap in measured]


class Abroad:
    """A Chromium and a Firefox in another network, and the cable to it."""

    def __init__(self) -> None:
        """Be not there."""
        self.cable: Outpost
        self.chromium: devtools.Chromium
        self.firefox: firefox.Firefox
        self._stack = ExitStack()

    async def open(self) -> None:
        """Start both."""
        self.cable = self._stack.enter_context(outpost())
        safe = f"--unsafely-treat-insecure-origin-as-secure={PAGE.rstrip('/')}"
        preferences = {
            "dom.disable_open_during_load": False,
            "dom.min_background_timeout_value": 1000,
            "dom.securecontext.allowlist": GATEWAY,
            "dom.security.https_first": False,
        }
        self.chromium, self.firefox = await asyncio.gather(
            devtools.Chromium.start(
                safe, "--disable-features=HttpsUpgrades", prefix=self.cable.prefix
            ),
            firefox.Firefox.start(preferences, self.cable),
        )

    async def close(self) -> None:
        """End both."""
        await asyncio.gather(self.chromium.close(), self.firefox.close())
        self._stack.close()


class Company:
    """Those in a room, and what each of them knows of the others."""

    def __init__(self, server: WebServer, robot: PeerProcess, watcher: Page) -> None:
        """Take watchers that have joined."""
        self.server = server
        self.robot = robot
        self.watcher = watcher
        self.visitors: list[Visitor] = []
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def visited(self, **tabs: Tab) -> AsyncIterator[list[Visitor]]:
        """Let visitors in by name, until everybody knows; their profiles vanish in the end."""
        visitors = [Visitor(name, tab) for name, tab in tabs.items()]
        try:
            await asyncio.gather(*(visitor.enter() for visitor in visitors))
            self.visitors = list(visitors)
            await self.complete()
            yield visitors
        finally:
            self.visitors = []
            for tab in tabs.values():
                await tab.dispose()

    async def complete(self) -> float:
        """Wait until everybody sees exactly the visitors and the watchers, all connected.

        Returns the seconds that it took.
        """
        names = sorted([ROBOT, WATCHER, *(visitor.name for visitor in self.visitors)])
        expected = [(name, "connected") for name in names]

        async def agreed() -> bool:
            views = [self.listed(), self.known_to_robot(), self._shown(self.watcher.evaluate)]
            views += [self._shown(visitor.tab.evaluate) for visitor in self.visitors]
            return all(view == expected for view in await asyncio.gather(*views))

        begun = time.monotonic()
        try:
            await until(agreed)
        except TimeoutError:
            raise AssertionError(f"not {names}: {await self._views()}") from None
        return time.monotonic() - begun

    async def _views(self) -> dict[str, object]:
        views: dict[str, object] = {
            "server": await self.listed(),
            ROBOT: await self.known_to_robot(),
            WATCHER: await self._shown(self.watcher.evaluate),
        }
        for number, visitor in enumerate(self.visitors):
            with suppress(RuntimeError):
                shown = await self._shown(visitor.tab.evaluate)
                notices = "document.querySelector('#notices').textContent"
                views[f"{visitor.name} {number}"] = shown, await visitor.tab.evaluate(notices)
        return views

    async def listed(self, room: str = "lobby") -> list[tuple[str, str]]:
        """Return whom the server lists."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{self.server.url}api/rooms/{room}")
        return sorted((peer["name"], peer["state"]) for peer in answer.json().get("peers", ()))

    async def known_to_robot(self) -> list[tuple[str, str]]:
        """Return whom the process has been told of, and how its links are."""
        present: dict[tuple[str, str], str] = {}
        for line in self.robot.lines:
            if line["event"] == "PeerJoined":
                present[line["peer"], line["sid"]] = line["name"]
            elif line["event"] == "PeerLeft":
                del present[line["peer"], line["sid"]]
        linked = self.robot.linked()
        states = [
            (name, "connected" if peer in linked else "away") for (peer, _), name in present.items()
        ]
        return sorted([(ROBOT, "connected"), *states])

    @staticmethod
    async def _shown(evaluate: Callable[[str], Awaitable[Any]]) -> list[tuple[str, str]]:
        rows = await evaluate(_PEOPLE)
        # Two of one name have the start of their ids added.
        return sorted((re.sub(r"#[a-z2-7]{4}$", "", name), state) for name, state in rows)

    async def converse(self) -> None:
        """See that what each of them says is heard by each other, once."""
        texts = []
        for visitor in self.visitors:
            texts.append(f"{visitor.name} {next(self._numbers)}")
            await visitor.say(texts[-1])
        texts.append(f"{WATCHER} {next(self._numbers)}")
        await say(self.watcher, texts[-1])
        spoken = f"{ROBOT} {next(self._numbers)}"
        self._robot_says(spoken)

        async def heard() -> bool:
            pages: list[Page | Tab] = [self.watcher, *(each.tab for each in self.visitors)]
            said = [await page.evaluate(_SAID) for page in pages]
            return all(
                each.count(text) == 1 for each in said for text in (*texts, spoken)
            ) and sorted(texts) == sorted(t for t in self._robot_heard() if t in texts)

        try:
            await until(heard)
        except TimeoutError:
            raise AssertionError(f"not heard by all: {texts}, {spoken}") from None

    def _robot_says(self, text: str) -> None:
        message: Data = {
            "type": "chat-message",
            "id": text,
            "roomId": "lobby",
            "authorId": self.robot.id,
            "authorName": ROBOT,
            "content": text,
            "timestamp": "2025-11-21T09:55:00.000Z",
        }
        self.robot.send(message)

    def _robot_heard(self) -> list[str]:
        senders = {line["peer"] for line in self.robot.of("PeerJoined")}
        heard = [data for sender in senders for data in self.robot.heard(sender, direct=False)]
        return [
            str(data["content"])
            for data in heard
            if isinstance(data, dict) and data.get("type") == "chat-message"
        ]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``await holds()`` is true; a page that is just loading is asked again.

    Raises:
        TimeoutError: it was not within the patience.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(RuntimeError):
                if await holds():
                    return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def company(stage: Stage, *expected: str) -> AsyncIterator[Company]:
    """Have a server, and a process and a page that watch the lobby.

    Args:
        stage: where they live.
        expected: what the console of the page may say, in part.
    """
    async with (
        stage.server(host="0.0.0.0", port=PORT) as server,
        stage.page(*expected) as watcher,
    ):
        robot = await PeerProcess.start(ROBOT)
        try:
            robot.join(server.url, "lobby")
            await enter(watcher, server, WATCHER)
            found = Company(server, robot, watcher)
            await found.complete()
            yield found
        finally:
            await robot.kill()
