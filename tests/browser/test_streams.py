"""Messages of pages over connections that are killed under them (promise M1)."""

import asyncio
import json
import random
import secrets
from itertools import permutations

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
_KILL = """
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
        killed += await dice.choice(pages).page.evaluate(_KILL)
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
