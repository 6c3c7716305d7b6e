"""Pages of both browsers: latest values for who joins late, and what is deflated, both ways."""

import asyncio
import json

import thkmesh
from tests.browser.chromium import Page
from tests.browser.firefox import Firefox
from tests.browser.members import PATIENCE, PageMember, within
from tests.browser.stage import Stage

TEXT = "so it goes, line after line: ça va, 你好. " * 5000
"""Half a megabyte that travels as much less."""

_READ = """
(() => {
  globalThis.state = {};
  globalThis.listened = [];
  room.addEventListener("message", ({ detail }) => listened.push(detail.data));
  const channel = globalThis.channel = room.channel("state", { delivery: "latest" });
  (async () => {
    for await (const { peer, key, data, direct } of channel) {
      state[`${peer.name} ${key} ${direct}`] = data;
    }
  })();
})()
"""
_CHANGE = """
(async () => {
  for (let number = 0; number <= 50; number += 1) await channel.send(number, { key: "k" });
  await channel.send({ large: "x".repeat(50_000) }, { key: "large" });
})()
"""
_TALK = """
(async () => {
  const text = TEXT;
  const sent = [room.send(text), room.send("behind it"), room.send({ lines: text.split(".") })];
  await Promise.all(sent);
  await room.flush();
})()
"""


async def converse(ada: thkmesh.Room, state: thkmesh.Channel, page: PageMember) -> None:
    """Let a page that joins late and Ada tell each other what they have."""
    await page.page.evaluate(_READ)
    for number in range(100):
        await state.send(number, key=f"k{number % 3}")

    async def knows() -> bool:
        known = await page.page.evaluate("state")
        return {key: data for key, data in known.items() if key.startswith("Ada")} == {
            "Ada k0 false": 99,
            "Ada k1 false": 97,
            "Ada k2 false": 98,
            "Ada large false": TEXT[:10_000],
        }

    await within("the current values", knows)
    await page.page.evaluate(_CHANGE)
    found: dict[str | None, thkmesh.Content] = {}
    async with asyncio.timeout(PATIENCE):
        async for message in state:
            if message.peer.id == page.id:
                found[message.key] = message.data
            if len(found) == 2 and found["k"] == 50:
                break
    assert found == {"k": 50, "large": {"large": "x" * 50_000}}
    said: list[thkmesh.Data] = [TEXT, "behind it", {"lines": [*TEXT.split(".")]}]
    for each in said:
        await ada.send(each, to=page.id)

    async def heard() -> bool:
        return len(await page.heard(ada.me.id, direct=True)) == 3

    await within("what Ada says", heard)
    assert await page.heard(ada.me.id, direct=True) == said
    assert await page.page.evaluate("listened.map((data) => JSON.stringify(data).length)") == [
        len(json.dumps(each, ensure_ascii=False, separators=(",", ":"))) for each in said
    ]
    await page.page.evaluate(_TALK.replace("TEXT", json.dumps(TEXT)))
    got: list[thkmesh.Content] = []
    async with asyncio.timeout(PATIENCE):
        async for event in ada:
            assert not isinstance(event, thkmesh.Refused | thkmesh.Lost)
            if isinstance(event, thkmesh.Message) and event.peer.id == page.id:
                got.append(event.data)
                if len(got) == 3:
                    break
    assert got == said


def test_who_joins_late_sees_what_there_is(stage: Stage, firefox: Firefox) -> None:
    """A page of each browser and a program: values, and text both ways, large and small."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as chromium:
            url = server.url.rstrip("/")
            async with thkmesh.join(url, room="lobby", name="Ada") as ada:
                state = ada.channel("state", delivery="latest")
                await state.send("older", key="k0")
                await state.send(TEXT[:10_000], key="large")
                try:
                    for name, page in (("chromium", Page(chromium)), ("firefox", firefox)):
                        member = PageMember(name, page)
                        await member.join(url, "lobby")
                        await converse(ada, state, member)
                finally:
                    await firefox.goto("about:blank")

    stage.perform(play())
