"""Streamed messages between a page and a process, both ways at once, in both browsers."""

import asyncio
import hashlib
import json
import secrets
import sys
from asyncio.subprocess import PIPE
from typing import Any

from tests.browser.chromium import Page
from tests.browser.firefox import Firefox
from tests.browser.members import Browser
from tests.browser.stage import Stage
from tests.rooms.processes import ROOT, kill

MIB = 20

_PROCESS = """
import asyncio, hashlib, json, sys
import thkmesh

async def source(size):
    left, number = size, 0
    while left:
        chunk = bytes((number + each) % 251 for each in range(251)) * 400
        yield chunk[:left]
        left -= len(chunk[:left])
        number += 1

async def main(url, name, size):
    async with thkmesh.join(url, room=name) as room:
        up, down = room.channel("up"), room.channel("down")
        print("joined", flush=True)
        async for event in room:
            if isinstance(event, thkmesh.Message) and event.data == "go":
                break
        sending = asyncio.create_task(down.send(source(size)))
        try:
            rest = len(await (await anext(aiter(up))).data.read_all())
        except thkmesh.StreamBroken as error:
            rest = str(error)
        await (await anext(aiter(up))).data.aclose()
        hashing, got = hashlib.sha256(), 0
        async for chunk in (await anext(aiter(up))).data:
            hashing.update(chunk)
            got += len(chunk)
        await sending
        await down.flush()
        print(json.dumps([got, hashing.hexdigest(), rest]), flush=True)
        await asyncio.sleep(60.0)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""

_PAGE = """
import("/thkmesh/index.js").then(async ({ ByteStream, join }) => {
  const room = await join({ room: NAME });
  const up = room.channel("up"), down = room.channel("down");
  const size = SIZE;
  const digest = async (bytes) => Array.from(
    new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)),
    (byte) => byte.toString(16).padStart(2, "0")).join("");
  const pattern = new Uint8Array(size).map((_, index) => index % 253);
  const source = async function* () {
    for (let at = 0; at < size; at += 77_777) yield pattern.subarray(at, at + 77_777);
  };
  const failing = async function* () {
    yield new Uint8Array(10);
    await new Promise((resolve) => setTimeout(resolve, 50));
    throw new Error("as planned");
  };
  for await (const event of room) {
    if (event.type === "link-changed" && event.state === "connected") break;
  }
  await room.send("go");
  const sending = (async () => {
    const failed = await up.send(failing()).then(() => "sent", ({ message }) => message);
    await up.send(new Blob([new Uint8Array(size / 2)]).stream());
    await up.send(source());
    return failed;
  })();
  let got = 0;
  const parts = [];
  for await (const { data } of down) {
    if (!(data instanceof ByteStream)) throw new Error("no stream");
    const reader = data.readable.getReader();
    for (let { done, value } = await reader.read(); !done;
      { done, value } = await reader.read()) {
      parts.push(value);
      got += value.length;
    }
    break;
  }
  const failed = await sending;
  const whole = await digest(await new Blob(parts).arrayBuffer());
  return JSON.stringify([got, whole, await digest(pattern), failed]);
})
"""


def _pattern(size: int) -> str:
    """Return the hash of what the process sends."""
    out, number = bytearray(), 0
    while len(out) < size:
        out += bytes((number + each) % 251 for each in range(251)) * 400
        number += 1
    return hashlib.sha256(out[:size]).hexdigest()


async def exchange(page: Browser, url: str) -> tuple[list[Any], list[Any]]:
    """Let a page and a process send each other streams; return what each got."""
    name, size = f"room-{secrets.token_hex(4)}", MIB * 2**20
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROCESS, url, name, str(size)), stdout=PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"joined\n"
        await page.goto(f"{url}/thkmesh/index.js")
        script = _PAGE.replace("NAME", json.dumps(name)).replace("SIZE", str(size))
        of_page = json.loads(await page.evaluate(script))
        of_process = json.loads(await process.stdout.readline())
    finally:
        await kill(process)
    return of_page, of_process


def check(of_page: list[Any], of_process: list[Any]) -> None:
    """See that each got what the other sent, or was told that it did not."""
    size = MIB * 2**20
    got, whole, sent, failed = of_page
    assert (got, whole, failed) == (size, _pattern(size), "as planned")
    assert of_process == [size, sent, "its sender gave it up"]


def test_streams_go_both_ways_in_chromium(stage: Stage) -> None:
    """Whole, hash for hash; given up, and told so; or not wanted."""

    async def play() -> tuple[list[Any], list[Any]]:
        async with stage.server() as server, stage.page() as page:
            return await exchange(Page(page), server.url.rstrip("/"))

    check(*stage.perform(play()))


def test_streams_go_both_ways_in_firefox(stage: Stage, firefox: Firefox) -> None:
    """The same."""

    async def play() -> tuple[list[Any], list[Any]]:
        async with stage.server() as server:
            try:
                return await exchange(firefox, server.url.rstrip("/"))
            finally:
                await firefox.goto("about:blank")

    check(*stage.perform(play()))
