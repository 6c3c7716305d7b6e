"""Who sends to whom in ``benchmarks.throughput``: the measured senders and the counters."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import thkmesh
from benchmarks.bare import Wire, engine
from benchmarks.stage import Cue

__all__ = ["count_in_room", "count_on_wire", "send_in_room", "send_on_wire"]

_ROOM = "benchmark"

# ---- a bare engine -----------------------------------------------------------


async def send_on_wire(cue: Cue, end: socket.socket, name: str) -> None:
    """Send what the conductor asks for, and tell it how many seconds that took."""
    wire = await Wire.over(end)
    connection = engine(name)(wire.send, lambda _: None)
    await connection.offer()
    signals: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def read() -> None:
        while True:
            signal = await wire.receive()
            if "counted" in signal:
                signals.put_nowait(signal)
            else:
                await connection.take(signal)

    reading = asyncio.create_task(read())
    await connection.opened
    while not reading.done():
        size, count = await cue.receive()
        data = bytes(size)
        wire.send({"count": count})
        await signals.get()
        start = time.perf_counter()
        for _ in range(count):
            await connection.send(data)
        await signals.get()
        cue.send(time.perf_counter() - start)


async def count_on_wire(_: Cue, end: socket.socket, name: str) -> None:
    """Be the other end: say when so many messages have arrived."""
    wire = await Wire.over(end)
    missing = 0

    def received(_: bytes) -> None:
        nonlocal missing
        missing -= 1
        if missing == 0:
            wire.send({"counted": True})

    connection = engine(name)(wire.send, received)
    while True:
        signal = await wire.receive()
        if "count" in signal:
            missing = signal["count"]
            wire.send({"counted": False})
        else:
            await connection.take(signal)


# ---- THKMesh -----------------------------------------------------------------


async def send_in_room(cue: Cue, url: str) -> None:
    """Send what the conductor asks for, and tell it how many seconds that took."""
    async with thkmesh.join(url, room=_ROOM, name="sender") as room:
        replies = aiter(room)
        while True:
            size, count = await cue.receive()
            data = bytes(size)
            await room.send(count)
            await _reply(replies)
            start = time.perf_counter()
            for _ in range(count):
                await room.send(data)
            await _reply(replies)
            cue.send(time.perf_counter() - start)


async def _reply(replies: AsyncIterator[thkmesh.Event]) -> None:
    async for event in replies:
        if isinstance(event, thkmesh.Message):
            return


async def count_in_room(cue: Cue, url: str) -> None:
    """Be the other end: say when so many messages have arrived."""
    async with thkmesh.join(url, room=_ROOM, name="counter") as room:
        cue.send("here")
        missing = 0
        async for event in room:
            match event:
                case thkmesh.Message(data=int(count)):
                    missing = count
                    await room.send("ready")
                case thkmesh.Message():
                    missing -= 1
                    if missing == 0:
                        await room.send("counted")
                case _:
                    pass
