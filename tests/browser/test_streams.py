"""Messages of pages: over connections that are killed under them (M1), and on channels."""

import asyncio
import json
import random
import secrets
from collections.abc import Callable
from itertools import permutations
from typing import Any

from tests.browser.chromium import Page
from tests.browser.firefox import Firefox
from tests.browser.members import Browser, PageMember, within
from tests.browser.stage import Stage
from tests.rooms.figures import report
from tests.rooms.processes import PeerProcess

KILLS = 5
LULL = 2.2
"""Seconds between kills: each connection was a good one, so the next is made at once."""

_WATCH = """
(() => {
  const { RTCPeerConnection: Original } = globalThis;
  const connections = globalThis.connections = [];
  globalThis.RTCPeerConnection = class extends Original {
    constructor(...config) {
      super(...config);
      connections.push(this);
    }
  };
})()
"""
_TALK = """
(() => {
  const said = { count: 0, talking: true };
  globalThis.hush = () => {
    said.talking = false;
    return said.count;
  };
  (async () => {
    while (said.talking) {
      for (let each = 0; each < 20; each += 1) {
        await room.send(said.count);
        said.count += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
})()
"""
KILL = """
(() => {
  const alive = connections.filter(({ connectionState }) => connectionState === "connected");
  for (const each of alive) each.close();
  return alive.length;
})()
"""
_CHANGES = """
events.filter((line) => /^(lost|peer-lagging|undelivered|peer-left|refused)/.test(line))
"""


async def watched(name: str, page: Browser, url: str) -> PageMember:
    """Let a page join whose connections can be killed."""
    member = PageMember(name, page)
    await page.goto(f"{url}thkmesh/index.js")
    await page.evaluate(_WATCH)
    await member.enter("lobby")
    return member


async def converse(robot: PeerProcess, pages: list[PageMember], dice: random.Random) -> int:
    """Let everybody talk while connections are killed; return how many were."""
    robot.tell("talk")
    for member in pages:
        await member.page.evaluate(_TALK)
    killed = 0
    for _ in range(KILLS):
        await asyncio.sleep(LULL + dice.uniform(0.0, 0.1))
        killed += await dice.choice(pages).page.evaluate(KILL)
    robot.tell("hush")
    said: dict[str, int] = {member.id: await member.page.evaluate("hush()") for member in pages}
    await robot.until(lambda: bool(robot.of("Hushed")))
    said[robot.id] = robot.of("Hushed")[0]["said"]

    async def heard(receiver: str, sender: str) -> list[object]:
        if receiver == robot.id:
            return list(robot.heard(sender, direct=False))
        [member] = [each for each in pages if each.id == receiver]
        return list(await member.heard(sender))

    for receiver, sender in permutations(said, 2):

        async def complete() -> bool:
            return said[sender] - 1 in await heard(receiver, sender)  # noqa: B023 - not kept

        await within(f"all of {sender} heard by {receiver}", complete)
        got = await heard(receiver, sender)
        # Who came later has not heard the beginning, and the last may have been sent when
        # its sender was told to be silent.
        first = int(str(got[0]))
        assert got == list(range(first, first + len(got))), f"{sender} to {receiver}"
    for member in pages:
        changes = await member.page.evaluate(_CHANGES)
        assert changes == [], json.dumps(changes)
    return killed


def test_killed_connections_lose_nothing(stage: Stage, firefox: Firefox) -> None:
    """A process and pages of both browsers: each message once and in order, whatever dies."""
    seed = secrets.randbits(32)
    report(f"seed {seed}")

    async def play() -> int:
        async with stage.server() as server, stage.page() as page:
            robot = await PeerProcess.start("robot")
            try:
                robot.join(server.url.rstrip("/"), "lobby")
                await robot.until(lambda: bool(robot.id))
                pages = [
                    await watched("chromium", Page(page), server.url),
                    await watched("firefox", firefox, server.url),
                ]
                return await converse(robot, pages, random.Random(seed))
            finally:
                await robot.kill()
                await firefox.goto("about:blank")

    killed = stage.perform(play())
    report(f"{killed} connections killed")
    assert killed >= KILLS


# --- channels -------------------------------------------------------------------------

COUNTS = {"quiet": 160, "busy": 40}
SIZE = 61_000
"""All that is quiet is over what one stream may have lying unread (8 MiB)."""

HELD_BYTES = 1024 * 1024
"""At least so much of them has to wait at their sender."""

_CHANNELS = """
(() => {
  const done = globalThis.done = {};
  globalThis.pour = async (name, count, size) => {
    const channel = room.channel(name, { compress: false });
    for (let number = 0; number < count; number += 1) {
      await channel.send(`${number} `.padEnd(size, "x"));
    }
    await channel.flush();
    done[`poured ${name}`] = true;
  };
  globalThis.drain = async (name, count) => {
    const numbers = [];
    for await (const { data } of room.channel(name, { compress: false })) {
      numbers.push(Number.parseInt(data, 10));
      if (numbers.length === count) break;
    }
    done[`drained ${name}`] = numbers;
  };
  for (const name of ["busy", "quiet"]) room.channel(name, { compress: false });
})()
"""
_TO_DEAF = """
room.channel("deaf").send("hello?", { to: PEER }).then(() => "sent", ({ name }) => name)
"""


class Pouring:
    """A process and a page that both send on two channels, and read only one at first."""

    def __init__(self, robot: PeerProcess, page: PageMember) -> None:
        """Take two that are in one room."""
        self._robot = robot
        self._page = page

    async def _of_page(self, what: str) -> Any:  # noqa: ANN401 - whatever the page tells
        return await self._page.page.evaluate(f"done[{what!r}] ?? null")

    async def _told_both(self, robot: Callable[[], bool], page: str) -> Any:  # noqa: ANN401
        """Wait until both have told of something; return what the page told."""
        await self._robot.until(robot)

        async def told() -> bool:
            return await self._of_page(page) is not None

        await within(page, told)
        return await self._of_page(page)

    async def play(self) -> None:
        """What nobody reads is held back, and holds back nothing else."""
        await self._page.page.evaluate(_CHANNELS)
        for name in ("busy", "quiet"):
            self._robot.tell("open", channel=name)
        await self._robot.until(lambda: len(self._robot.of("Opened")) == 2)
        await self._both_ready()
        for name, count in COUNTS.items():
            self._robot.tell("pour", channel=name, count=count, size=SIZE)
            await self._page.page.evaluate(f"void pour({name!r}, {count}, {SIZE})")
        await self._drain("busy")
        await self._told_both(lambda: bool(self._robot.of("Poured", channel="busy")), "poured busy")
        await self._held()
        await self._drain("quiet")
        poured = "poured quiet"
        await self._told_both(lambda: bool(self._robot.of("Poured", channel="quiet")), poured)

    async def _both_ready(self) -> None:
        """Wait until each knows what the other listens to: that came before what it says next."""
        self._robot.send("ready")
        await self._page.send("ready")
        await self._robot.until(lambda: self._robot.heard(self._page.id, direct=False) == ["ready"])

        async def heard() -> bool:
            return await self._page.heard(self._robot.id) == ["ready"]

        await within("ready", heard)

    async def _drain(self, name: str) -> None:
        count = COUNTS[name]
        self._robot.tell("drain", channel=name, count=count)
        await self._page.page.evaluate(f"void drain({name!r}, {count})")
        drained = f"drained {name}"
        numbers = await self._told_both(
            lambda: bool(self._robot.of("Drained", channel=name)), drained
        )
        assert numbers == list(range(count))
        assert self._robot.of("Drained", channel=name)[0]["numbers"] == numbers

    async def _held(self) -> None:
        """See that what is not read waits at its sender."""
        assert await self._of_page("poured quiet") is None
        assert not self._robot.of("Poured", channel="quiet")
        self._robot.tell("weigh")
        await self._robot.until(lambda: bool(self._robot.of("Weighed")))
        assert self._robot.of("Weighed")[0]["waiting"][self._page.id] > HELD_BYTES
        waiting = f"room.peers.find(({{ id }}) => id === {self._robot.id!r})"
        assert await self._page.page.evaluate(f"room.link({waiting}).waitingBytes") > HELD_BYTES


def test_channels_wait_for_who_does_not_read(stage: Stage) -> None:
    """A channel that nobody reads holds back its sender, and no other channel, both ways."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            robot = await PeerProcess.start("robot")
            try:
                robot.join(server.url.rstrip("/"), "lobby")
                await robot.until(lambda: bool(robot.id))
                member = PageMember("chromium", Page(page))
                await member.join(server.url.rstrip("/"), "lobby")
                await robot.until(lambda: robot.linked() == {member.id})
                await Pouring(robot, member).play()
                to_deaf = _TO_DEAF.replace("PEER", json.dumps(robot.id))
                assert await member.page.evaluate(to_deaf) == "NotListening"
                assert await member.page.evaluate(_CHANGES) == []
                trouble = ("Lost", "PeerLagging", "Undelivered", "PeerLeft", "Refused")
                assert not [each for kind in trouble for each in robot.of(kind)]
            finally:
                await robot.kill()

    stage.perform(play())
