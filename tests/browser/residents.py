"""Many members of rooms in one page, each with an identity of its own and all it heard."""

import asyncio
import itertools
import json
from typing import Any, TypeAlias

from tests.browser.members import Browser

__all__ = ["Happening", "Resident", "furnish"]

Happening: TypeAlias = dict[str, Any]
"""An event: its type, and of peer, error and data what identifies them."""

PATIENCE = 20.0
"""Seconds in which a victim learns of a lie; it takes milliseconds on an idle machine."""

_FURNISH = """
import("/thkmesh/index.js").then(({ Identity, join }) => {
  const identities = new Map();
  const residents = new Map();
  globalThis.enter = async (number, who, options) => {
    const identity = identities.get(who) ?? await Identity.generate();
    identities.set(who, identity);
    const room = await join({ ...options, identity });
    const resident = { room, events: [], wake: () => {} };
    residents.set(number, resident);
    (async () => {
      try {
        for await (const { type, peer, error, state, data, reason, why } of room) {
          resident.events.push({
            type, peer: peer?.id, error: error?.name, state, data, reason, why,
          });
          resident.wake();
        }
      } catch (error) {
        resident.events.push({ type: "over", error: error.name });
        resident.wake();
      }
    })();
    return [room.me.id, room.me.sid];
  };
  globalThis.happened = async (number, types, count) => {
    const resident = residents.get(number);
    for (;;) {
      const found = resident.events.filter(({ type }) => types.includes(type));
      if (found.length >= count) return found;
      await new Promise((resolve) => { resident.wake = resolve; });
    }
  };
  globalThis.say = (number, data) => residents.get(number).room.send(data);
  globalThis.kick = (number, id) => residents.get(number).room.kick(id)
    .then(() => "done", (error) => error.name);
  globalThis.leave = (number) => residents.get(number).room.leave({ patience: 0 });
  return null;
})
"""

_numbers = itertools.count()


async def furnish(page: Browser, url: str) -> None:
    """Load the library from a server, for residents to come."""
    await page.goto(f"{url}thkmesh/index.js")
    page.console.clear()
    await page.evaluate(_FURNISH.strip())


class Resident:
    """One session in one room."""

    def __init__(self, page: Browser, who: str = "") -> None:
        """Begin outside, in a furnished page.

        Args:
            who: a name for the identity, to come with it again; by default it is another.
        """
        self.id = ""
        self.sid = ""
        self._page = page
        self._number = next(_numbers)
        self._who = who or str(self._number)

    async def enter(self, url: str, room: str, **more: object) -> "Resident":
        """Join a room at a server, or what we take for one; with more options of ``join``."""
        options = json.dumps({"url": url, "room": room, **more})
        words = f"{self._number}, {json.dumps(self._who)}, {options}"
        self.id, self.sid = await self._page.evaluate(f"enter({words})")
        return self

    async def say(self, text: str) -> None:
        """Send a text to everybody."""
        await self._page.evaluate(f"say({self._number}, {json.dumps(text)})")

    async def kick(self, other: "Resident") -> str:
        """Remove somebody; return "done", or the name of the error."""
        answer: str = await self._page.evaluate(f"kick({self._number}, {json.dumps(other.id)})")
        return answer

    async def leave(self) -> None:
        """Leave the room at once."""
        await self._page.evaluate(f"leave({self._number})")

    # --- what it heard ---

    async def until(self, *types: str, count: int = 1) -> list[Happening]:
        """Wait until so many events of these types have come; return all of them."""
        words = f"{self._number}, {json.dumps(types)}, {count}"
        async with asyncio.timeout(PATIENCE):
            events: list[Happening] = await self._page.evaluate(f"happened({words})")
        return events

    async def of(self, *types: str) -> list[Happening]:
        """Return the events of these types."""
        return await self.until(*types, count=0)

    async def refusals(self) -> list[str]:
        """Return the names of the errors of what was refused."""
        return [event["error"] for event in await self.of("refused")]

    async def links(self) -> list[str]:
        """Return how its links have become, in order."""
        return [event["state"] for event in await self.of("link-changed")]

    async def hear(self, text: str, sender: "Resident") -> list[str]:
        """Wait until a text has come; return all of its sender's, in order."""
        heard: list[Happening] = []
        while text not in (event["data"] for event in heard):
            heard = await self.until("message", count=len(heard) + 1)
        return [event["data"] for event in heard if event["peer"] == sender.id]
