"""What one more link costs in memory: THKMesh's, and the engine's own.

A fresh process makes a first link, to have loaded what is shared, and then many more, to
as many peers in another process; each carries a few messages. What it grew by, divided by
how many, is the memory of a link.
"""

import asyncio
import gc
import socket

import psutil

import thkmesh
from benchmarks.bare import Wire, engine
from benchmarks.server import start_server
from benchmarks.stage import Cue, Stage

__all__ = ["measure"]

LINKS = 24
_MESSAGES = 20
_BYTES = 16 * 1024
_ROOM_LINKS = 8


def measure() -> dict[str, float]:
    """Return the KiB of a link, by contestant."""
    with Stage() as stage:
        pairs = [socket.socketpair() for _ in range(LINKS + 1)]
        stage.cast(_answer, [theirs for _, theirs in pairs])
        bare: float = stage.cast(_connect, [ours for ours, _ in pairs]).ask()
    with Stage() as stage:
        url = start_server(stage)
        joining = stage.cast(_join, url)
        crowd = stage.cast(_be_many, url)
        crowd.ask()
        mesh: float = joining.ask()
    return {"bare wrtc": bare, "THKMesh": mesh}


def _held() -> float:
    """Return the KiB that this process alone holds."""
    gc.collect()
    held: int = psutil.Process().memory_full_info().uss
    return held / 1024


# ---- the bare engine -----------------------------------------------------------


async def _connect(cue: Cue, ends: list[socket.socket]) -> None:
    await cue.receive()
    kept = [await _one(ends[0], offers=True)]
    before = _held()
    kept += [await _one(end, offers=True) for end in ends[1:]]
    cue.send((_held() - before) / (len(kept) - 1))
    await asyncio.sleep(3600)


async def _answer(_: Cue, ends: list[socket.socket]) -> None:
    kept = [await _one(end, offers=False) for end in ends]
    await asyncio.gather(*kept)


async def _one(end: socket.socket, *, offers: bool) -> "asyncio.Task[None]":
    """Make one connection and use it; return what keeps it."""
    wire = await Wire.over(end)
    enough = asyncio.get_running_loop().create_future()
    missing = _MESSAGES

    def received(_: bytes) -> None:
        nonlocal missing
        missing -= 1
        if missing == 0:
            enough.set_result(None)

    connection = engine("wrtc")(wire.send, received)
    if offers:
        await connection.offer()

    async def read() -> None:
        while True:
            await connection.take(await wire.receive())

    reading = asyncio.create_task(read())
    await connection.opened
    for _ in range(_MESSAGES):
        await connection.send(bytes(_BYTES))
    await enough
    return reading


# ---- THKMesh -------------------------------------------------------------------


async def _join(cue: Cue, url: str) -> None:
    """Be in rooms in which others are or will be; one room first, then the others."""
    await cue.receive()
    first = await _use(url, "first", 1)
    before = _held()
    others = [await _use(url, f"room-{n}", _ROOM_LINKS) for n in range(LINKS // _ROOM_LINKS)]
    cue.send((_held() - before) / LINKS)
    for room in (first, *others):
        await room.wait_closed()


async def _be_many(cue: Cue, url: str) -> None:
    rooms = [("first", 1), *((f"room-{n}", _ROOM_LINKS) for n in range(LINKS // _ROOM_LINKS))]
    async with asyncio.TaskGroup() as group:
        for name, count in rooms:
            for _ in range(count):
                room = await thkmesh.join(url, room=name)
                group.create_task(_chat(room))
        await cue.receive()
        cue.send("all here")


async def _use(url: str, name: str, peers: int) -> thkmesh.Room:
    """Join a room, wait until each peer's messages are here, and send some to each."""
    room = await thkmesh.join(url, room=name, name="measured")
    for _ in range(_MESSAGES):
        await room.send(bytes(_BYTES))
    missing = peers * _MESSAGES
    async for event in room:
        if isinstance(event, thkmesh.Message):
            missing -= 1
            if missing == 0:
                break
    await asyncio.sleep(0.2)  # acknowledgements
    return room


async def _chat(room: thkmesh.Room) -> None:
    """Send some messages to the measured one once it is here."""
    async for event in room:
        if isinstance(event, thkmesh.PeerJoined) and event.peer.name == "measured":
            for _ in range(_MESSAGES):
                await room.send(bytes(_BYTES), to=event.peer)
