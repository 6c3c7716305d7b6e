"""A peer in a process of its own: ``python -m tests.rooms.peer``.

It does what the lines on its standard input say and tells on its standard output
what happens, one JSON object a line, each with the time ``at`` which it happened
(CLOCK_MONOTONIC, so the times of several processes compare).
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

import thkmesh
from thkmesh.engines import load

TALK_INTERVAL = 0.02


def pack(data: thkmesh.Data) -> dict[str, Any]:
    """Return application data in a form that tells text, bytes and JSON apart."""
    match data:
        case str():
            return {"text": data}
        case bytes():
            return {"bytes": base64.b64encode(data).decode()}
        case _:
            return {"json": data}


def unpack(packed: dict[str, Any]) -> thkmesh.Data:
    """Return what was packed."""
    [(kind, value)] = packed.items()
    return base64.b64decode(value) if kind == "bytes" else value


def describe(event: thkmesh.Event) -> dict[str, Any]:
    """Return what a line says of an event."""
    line: dict[str, Any] = {"event": type(event).__name__}
    peer = getattr(event, "peer", None)
    if peer is not None:
        line["peer"] = peer.id
    match event:
        case thkmesh.Message(data=data, direct=direct):
            assert not isinstance(data, thkmesh.ByteStream | thkmesh.sync.ByteStream)
            line |= {"data": pack(data), "direct": direct}
        case thkmesh.PeerJoined(peer=peer):
            line |= {"name": peer.name, "sid": peer.sid}
        case thkmesh.PeerLeft(peer=peer, reason=reason):
            line |= {"sid": peer.sid, "reason": reason.value}
        case thkmesh.PeerKicked(id=user_id, until=until, why=why):
            line |= {"id": user_id, "until": until, "why": why}
        case thkmesh.LinkChanged(state=state):
            line["state"] = state.value
        case thkmesh.PathChanged(path=path):
            line["path"] = None if path is None else path.value
        case thkmesh.ServerChanged(state=state):
            line["state"] = state.value
        case thkmesh.QualityChanged(quality=quality):
            line["grade"] = quality.grade.value
        case (
            thkmesh.Lost(count=count)
            | thkmesh.PeerLagging(count=count)
            | thkmesh.Undelivered(count=count)
        ):
            line["count"] = count
        case thkmesh.Refused(error=error):
            line["error"] = type(error).__name__
    return line


def tell(event: str, **fields: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    """Write a line."""
    sys.stdout.write(json.dumps({"event": event, "at": time.monotonic(), **fields}) + "\n")
    sys.stdout.flush()


class Peer:
    """One room at a time, and what is done in it."""

    def __init__(self) -> None:
        """Begin outside."""
        self._room: thkmesh.Room
        self._reading: asyncio.Task[None]
        self._talking: asyncio.Task[None] | None = None
        self._hushed = asyncio.Event()
        self._said = 0
        self._pouring: set[asyncio.Task[None]] = set()
        self._channels: dict[str, thkmesh.Channel] = {}

    async def join(self, **settings: Any) -> None:  # noqa: ANN401 - see thkmesh.join
        """Join a room, and tell of what happens there from now on."""
        self._room = await self.enter(**settings)
        self._reading = asyncio.create_task(self._read())
        tell("Entered", id=self._room.me.id, sid=self._room.me.sid)

    async def enter(self, **settings: Any) -> thkmesh.Room:  # noqa: ANN401 - as above
        """Join a room."""
        return await thkmesh.join(**settings)

    async def _read(self) -> None:
        async for event in self._room:
            tell(**describe(event))

    async def send(self, data: dict[str, Any], to: str | None = None) -> None:
        """Send a message."""
        await self._room.send(unpack(data), to=to)

    async def talk(self) -> None:
        """Send a number to everybody every ``TALK_INTERVAL``, from 0, until ``hush``."""
        self._hushed.clear()
        self._said = 0
        self._talking = asyncio.create_task(self._talk())

    async def _talk(self) -> None:
        while not self._hushed.is_set():
            await self._room.send(self._said)
            self._said += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(TALK_INTERVAL):
                    await self._hushed.wait()

    async def hush(self) -> None:
        """Talk no more; tell how many numbers were sent."""
        assert self._talking is not None
        self._hushed.set()
        await self._talking  # not cancelled: what it sends now counts
        tell("Hushed", said=self._said)

    async def open(self, channel: str, **options: Any) -> None:  # noqa: ANN401 - as Room.channel
        """Open a channel, and do not read it."""
        options = {"compress": False} | options
        self._channels[channel] = self._room.channel(channel, **options)
        tell("Opened", channel=channel)

    def _channel(self, name: str) -> thkmesh.Channel:
        return self._channels.get(name) or self._room.channel(name, compress=False)

    async def point(self, channel: str, count: int) -> None:
        """Send so many numbers as a mouse would; then the next one, until it must have come."""
        self._begin(self._point(self._channel(channel), count))

    async def _point(self, channel: thkmesh.Channel, count: int) -> None:
        for number in range(count + 100):
            await channel.send(f"{min(number, count)} ")
            await asyncio.sleep(0.005)

    async def follow(self, channel: str, last: int) -> None:
        """Read a channel until a number comes; tell all that came."""
        self._begin(self._follow(self._channel(channel), last))

    async def _follow(self, channel: thkmesh.Channel, last: int) -> None:
        numbers: list[int] = []
        async for message in channel:
            numbers.append(int(str(message.data)))
            if numbers[-1] == last:
                break
        tell("Followed", channel=channel.name, numbers=numbers)

    async def pour(self, channel: str, count: int, size: int) -> None:
        """Send so many numbered texts of a size on a channel; tell when all have arrived."""
        self._begin(self._pour(channel, count, size))

    async def _pour(self, channel: str, count: int, size: int) -> None:
        opened = self._channel(channel)
        for number in range(count):
            await opened.send(f"{number} ".ljust(size, "x"))
        await opened.flush()
        tell("Poured", channel=channel)

    async def drain(self, channel: str, count: int) -> None:
        """Read so many texts of a channel; tell their numbers."""
        self._begin(self._drain(channel, count))

    async def _drain(self, channel: str, count: int) -> None:
        numbers: list[int] = []
        async for message in self._channel(channel):
            numbers.append(int(str(message.data).split(" ", 1)[0]))
            if len(numbers) == count:
                break
        tell("Drained", channel=channel, numbers=numbers)

    async def weigh(self) -> None:
        """Tell how much is queued for whom."""
        links = (self._room.link(peer) for peer in self._room.peers)
        tell("Weighed", waiting={each.peer.id: each.waiting_bytes for each in links if each})

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._pouring.add(task)
        task.add_done_callback(self._pouring.discard)

    async def leave(self) -> None:
        """Leave the room."""
        await self._room.leave()
        await self._reading
        tell("Left")


async def _lines() -> AsyncIterator[dict[str, Any]]:
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        yield json.loads(line)


async def run(peer: Peer) -> None:
    """Do what the lines on standard input say, until they end."""
    # Warm: the engine's library is loaded before anybody measures anything.
    await load(None).close()
    tell("Ready")
    async for line in _lines():
        await getattr(peer, line.pop("do"))(**line)


if __name__ == "__main__":
    asyncio.run(run(Peer()))
