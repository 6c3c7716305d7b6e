"""Delivery rules between a process and pages: cursors, and messages in any order."""

from typing import Any

import pytest

from tests.browser.chromium import Page
from tests.browser.firefox import Firefox
from tests.browser.members import Browser, PageMember, within
from tests.browser.stage import Stage
from tests.browser.test_streams import KILL, watched
from tests.rooms.processes import PeerProcess

COUNT = 1000
STEPS = 120

_RULES = """
(() => {
  const told = globalThis.told = {};
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const numberOf = ({ data }) => Number.parseInt(data, 10);
  const cursors = room.channel("cursors", { delivery: "realtime" });
  const bulk = room.channel("bulk", { delivery: "unordered" });
  globalThis.point = async (count) => {
    for (let number = 0; number < count + 100; number += 1) {
      await cursors.send(`${Math.min(number, count)} `);
      await pause(5);
    }
  };
  globalThis.follow = async (last) => {
    const numbers = [];
    for await (const message of cursors) {
      numbers.push(numberOf(message));
      if (numbers.at(-1) === last) break;
    }
    told.followed = numbers;
  };
  globalThis.pour = async (count) => {
    for (let number = 0; number < count; number += 1) {
      await bulk.send(`${number} `.padEnd(number % 10 === 0 ? 20_000 : 20, "x"));
      if (number % 20 === 0) await pause(5);
    }
    await bulk.flush();
    told.poured = true;
  };
  globalThis.drain = async (count) => {
    const numbers = [];
    for await (const message of bulk) {
      numbers.push(numberOf(message));
      if (numbers.length === count) break;
    }
    told.drained = numbers;
  };
})()
"""


class Ruled:
    """A process and a page, and their two channels."""

    def __init__(self, robot: PeerProcess, member: PageMember) -> None:
        """Take two that are in one room."""
        self._robot = robot
        self._member = member

    async def _told(self, robot: str, page: str) -> list[Any]:
        """Wait until both have told of something; return what."""
        await self._robot.until(lambda: bool(self._robot.of(robot)))

        async def told() -> bool:
            return await self._member.page.evaluate(f"told.{page} ?? null") is not None

        await within(page, told)
        return [self._robot.of(robot)[0], await self._member.page.evaluate(f"told.{page}")]

    async def open(self) -> None:
        """Let both open both channels, and know that of each other."""
        await self._member.page.evaluate(_RULES)
        for name, delivery in (("cursors", "realtime"), ("bulk", "unordered")):
            self._robot.tell("open", channel=name, delivery=delivery)
        await self._robot.until(lambda: len(self._robot.of("Opened")) == 2)
        self._robot.send("ready")
        await self._member.send("ready")
        await self._robot.until(lambda: bool(self._robot.heard(self._member.id, direct=False)))

        async def heard() -> bool:
            return await self._member.heard(self._robot.id) == ["ready"]

        await within("ready", heard)

    async def point(self) -> None:
        """Let both move their cursors: most of it comes, and never an older place."""
        self._robot.tell("follow", channel="cursors", last=STEPS)
        await self._member.page.evaluate(f"void follow({STEPS})")
        self._robot.tell("point", channel="cursors", count=STEPS)
        await self._member.page.evaluate(f"void point({STEPS})")
        robot, page = await self._told("Followed", "followed")
        for numbers in (robot["numbers"], page):
            assert numbers == sorted(set(numbers))
            assert len(numbers) > STEPS // 2

    async def pour(self) -> None:
        """Let both send, and kill their connection meanwhile: each message comes once."""
        self._robot.tell("drain", channel="bulk", count=COUNT)
        await self._member.page.evaluate(f"void drain({COUNT})")
        self._robot.tell("pour", channel="bulk", count=COUNT, size=2000)
        await self._member.page.evaluate(f"void pour({COUNT})")
        assert await self._member.page.evaluate(KILL) >= 1
        robot, page = await self._told("Drained", "drained")
        for numbers in (robot["numbers"], page):
            assert sorted(numbers) == list(range(COUNT))
        await self._told("Poured", "poured")


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_cursors_and_messages_in_any_order(stage: Stage, firefox: Firefox, name: str) -> None:
    """Both ways between Python and each browser, across a connection that is killed."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            robot = await PeerProcess.start("robot")
            try:
                robot.join(server.url.rstrip("/"), "lobby")
                await robot.until(lambda: bool(robot.id))
                browser: Browser = Page(page) if name == "chromium" else firefox
                member = await watched(name, browser, server.url)
                await robot.until(lambda: robot.linked() == {member.id})
                ruled = Ruled(robot, member)
                await ruled.open()
                await ruled.point()
                await ruled.pour()
            finally:
                await robot.kill()
                await firefox.goto("about:blank")

    stage.perform(play())
