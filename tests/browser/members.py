"""Pages as members of a room: what they are told to do, and what they heard."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tests.rooms.peer import pack, unpack
from thkmesh import Data

__all__ = ["Browser", "PageMember", "within"]

PATIENCE = 40.0

_JOIN = """
import("/thkmesh/index.js").then(async ({ join }) => {
  const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const pack = (data) => data instanceof Uint8Array ? { bytes: base64(data) }
    : typeof data === "string" ? { text: data } : { json: data };
  const events = [];
  const room = await join({ ...OPTIONS, log: (line) => events.push(line) });
  const heard = {};
  Object.assign(window, { room, heard, events });
  (async () => {
    for await (const event of room) {
      if (event.type === "message") {
        (heard[`${event.peer.id} ${event.direct}`] ??= []).push(pack(event.data));
      }
    }
  })();
  return room.me.id;
})
"""

_SEND = """
(() => {
  const [[kind, value]] = Object.entries(DATA);
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return room.send(kind === "bytes" ? bytes(value) : value, OPTIONS);
})()
"""


class Browser(Protocol):
    """A page in either browser."""

    console: list[str]

    async def goto(self, url: str) -> None:
        """Load a page."""

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page returns
        """Return the JSON value of an expression."""

    async def reload(self) -> None:
        """Load the page again."""

    async def close(self) -> None:
        """Close it."""


async def within(what: str, done: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``await done()`` is true.

    Raises:
        TimeoutError: it was not within the patience.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            while not await done():  # noqa: ASYNC110 - a page cannot set our events
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(f"not within {PATIENCE:g} s: {what}") from None


class PageMember:
    """One page in one room."""

    def __init__(self, name: str, page: Browser) -> None:
        """Take an open page."""
        self.name = name
        self.page = page
        self.id = ""

    async def join(self, url: str, room: str, **options: object) -> None:
        """Load the library from the server and join."""
        await self.page.goto(f"{url}/thkmesh/index.js")
        await self.enter(room, **options)

    async def enter(self, room: str, **options: object) -> None:
        """Join; the page is one of the server already."""
        wanted = json.dumps({"room": room, "name": self.name, **options})
        self.id = await self.page.evaluate(_JOIN.replace("OPTIONS", wanted))

    async def send(self, data: Data, to: str | None = None) -> None:
        """Send to everybody, or to the peer of an id."""
        options = "{}" if to is None else json.dumps({"to": to})
        expression = _SEND.replace("DATA", json.dumps(pack(data))).replace("OPTIONS", options)
        await self.page.evaluate(expression)

    async def heard(self, sender: str, *, direct: bool = False) -> list[Data]:
        """Return what came from the peer of an id, in order."""
        key = f"{sender} {str(direct).lower()}"
        return [unpack(each) for each in await self.page.evaluate(f"heard[{key!r}] ?? []")]

    async def states(self) -> dict[str, str]:
        """Return the state of the link to each peer, by id."""
        states: dict[str, str] = await self.page.evaluate(
            "Object.fromEntries(room.peers.map((peer) => [peer.id, room.link(peer)?.state]))"
        )
        return states

    async def leave(self) -> None:
        """Leave the room."""
        await self.page.evaluate("room.leave()")
