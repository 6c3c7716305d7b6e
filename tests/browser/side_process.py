"""One end of many links in a process of its own: ``python -m tests.browser.side_process``.

The same commands as in ``sides.js``. A line on standard input asks for one, numbered,
and a line on standard output answers it with that number.
"""

import asyncio
import json
import sys
import time
from typing import Any

from tests.rooms.members import Member
from thkmesh import LinkState, Message
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import LinkEvent, Renew
from thkmesh.core.negotiation import Change
from thkmesh.core.session_events import FromLink
from thkmesh.engines import load
from thkmesh.keys import Identity
from thkmesh.runner import LinkView
from thkmesh.settings import RoomSettings


def identity(*, lower: bool, pivot: str) -> Identity:
    """Return an identity that is below the pivot, or is not."""
    while True:
        found = Identity.generate()
        if (found.id < pivot) == lower:
            return found


def wish_of(words: dict[str, Any]) -> LinkEvent:
    """Return the event that JavaScript has as an object."""
    return Renew() if words["type"] == "renew" else Change(ice_restart=words["iceRestart"])


class Side:
    """One session in a room for two."""

    def __init__(self, settings: RoomSettings) -> None:
        """Begin outside."""
        self._member = Member(settings)

    async def enter(self) -> None:
        """Enter the room."""
        await self._member.enter()

    async def want(self, wish: dict[str, Any], at: float) -> None:
        """Hand the link its wish at a time of the wall clock."""
        await self._member.on_mesh(self._want(wish_of(wish), at))

    async def _want(self, wish: LinkEvent, at: float) -> None:
        await asyncio.sleep(at - time.time())
        [other] = self._member.room.peers
        self._member.host.runner.feed(FromLink(SessionKey(other.id, other.sid), wish))

    async def rest(self, generation: int) -> dict[str, Any]:
        """Wait until the link is connected with nothing in flight; return how it is."""
        await self._member.until(lambda: bool(self._member.linked()))
        return await self._member.on_mesh(self._rest(generation))

    async def _rest(self, generation: int) -> dict[str, Any]:
        await self._member.host.until(lambda: self._settled(generation))
        connections = self._member.host.watched.connections
        assert self._link is not None
        return {
            "polite": self._link.polite,
            "generation": self._link.generation,
            "connections": len(connections),
            "rollbacks": sum(each.rollbacks for each in connections),
        }

    @property
    def _link(self) -> LinkView | None:
        peers = self._member.room.peers
        return self._member.host.runner.link(peers[0]) if peers else None

    def _settled(self, generation: int) -> bool:
        link = self._link
        if link is None or link.state is not LinkState.CONNECTED or link.generation < generation:
            return False
        return self._member.host.watched.connections[-1].at_rest

    async def say(self, numbers: list[int]) -> None:
        """Send some numbers."""
        for number in numbers:
            await self._member.room.send(number)

    async def hear(self, count: int) -> list[Any]:
        """Wait until so many messages have come; return all."""
        await self._member.until(lambda: len(self._member.of(Message)) >= count)
        return [event.data for event in self._member.of(Message)]

    async def leave(self) -> None:
        """Leave the room."""
        await self._member.leave()


class Sides:
    """All the sides of this process."""

    def __init__(self, url: str) -> None:
        """Be none yet."""
        self._url = url
        self._sides: dict[int, Side] = {}

    async def command(self, name: str, number: int, fields: dict[str, Any]) -> Any:  # noqa: ANN401
        """Have a side do something; return what it returns."""
        if name == "enter":
            who = identity(lower=fields.pop("lower"), pivot=fields.pop("pivot"))
            self._sides[number] = Side(RoomSettings(url=self._url, identity=who, **fields))
            fields = {}
        return await getattr(self._sides[number], name)(**fields)


async def _main(url: str) -> None:
    # Warm: the engine's library is loaded before anybody measures anything.
    await load(None).close()
    sides = Sides(url)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )

    async def answer(line: bytes) -> None:
        asked, *command = json.loads(line)
        result = await sides.command(*command)
        sys.stdout.write(json.dumps([asked, result]) + "\n")
        sys.stdout.flush()

    async with asyncio.TaskGroup() as answering:
        async for line in reader:
            answering.create_task(answer(line))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
