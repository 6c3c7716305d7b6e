"""Who sends to whom in ``benchmarks.throughput``, as far as it is Python.

Everywhere the same game. Told how many messages to expect, the answering end counts them
and answers once when all have come; while it expects none, it sends back what it gets. The
asking end does what the conductor wants: ``("stream", size, count)`` is answered with the
seconds until the answer to the last was there, ``("bounce", count)`` with the milliseconds
of each round trip, and ``("busy", count)`` too, but beside a thread that computes in Python
without a pause.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import thkmesh
from benchmarks.bare import Batched, Wire, engine
from benchmarks.stage import Cue

__all__ = ["BOUNCE_BYTES", "answer_in_room", "answer_on_wire", "ask_in_room", "ask_on_wire"]

BOUNCE_BYTES = 100
"""The size of what goes round."""


async def _obey(
    cue: Cue,
    expect: Callable[[int], Awaitable[None]],
    send: Callable[[bytes], Awaitable[None]],
    reply: Callable[[], Awaitable[None]],
) -> None:
    """Do what the conductor asks for, over whatever there is to send on."""
    while True:
        match await cue.receive():
            case ("stream", int(size), int(count)):
                # Of chance: what can be compressed would be a gift to who does.
                data = os.urandom(size)
                await expect(count)
                start = time.perf_counter()
                for _ in range(count):
                    await send(data)
                await reply()
                cue.send(time.perf_counter() - start)
            case ("bounce", int(count)):
                cue.send([await _bounce(send, reply) for _ in range(count)])
            case ("busy", int(count)):
                with _busy():
                    cue.send([await _bounce(send, reply) for _ in range(count)])
            case request:
                raise ValueError(request)


async def _bounce(
    send: Callable[[bytes], Awaitable[None]], reply: Callable[[], Awaitable[None]]
) -> float:
    data = bytes(BOUNCE_BYTES)
    start = time.perf_counter()
    await send(data)
    await reply()
    return 1000 * (time.perf_counter() - start)


@contextmanager
def _busy() -> Iterator[None]:
    """Have a thread that computes."""
    done = False

    def compute() -> None:
        number = 0
        while not done:
            number += 1

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        done = True
        thread.join()


# ---- a bare engine -----------------------------------------------------------


async def ask_on_wire(cue: Cue, end: socket.socket, name: str, batch_bytes: int) -> None:
    """Ask, over a bare engine."""
    wire = await Wire.over(end)
    signals: asyncio.Queue[None] = asyncio.Queue()
    replied = asyncio.Event()
    connection = Batched(engine(name), wire.send, lambda _: replied.set(), batch_bytes)
    await connection.offer()

    async def read() -> None:
        while True:
            signal = await wire.receive()
            if "ready" in signal:
                signals.put_nowait(None)
            else:
                await connection.take(signal)

    async def expect(count: int) -> None:
        wire.send({"count": count})
        await signals.get()

    async def reply() -> None:
        await replied.wait()
        replied.clear()

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        await connection.opened
        cue.send("ready")
        await _obey(cue, expect, connection.send, reply)


async def answer_on_wire(_: Cue, end: socket.socket, name: str, batch_bytes: int) -> None:
    """Answer, over a bare engine."""
    wire = await Wire.over(end)
    missing = 0

    def received(data: bytes) -> None:
        nonlocal missing
        if missing:
            missing -= 1
            if missing:
                return
        connection.send_nowait(data[:BOUNCE_BYTES])

    connection = Batched(engine(name), wire.send, received, batch_bytes)
    while True:
        signal = await wire.receive()
        if "count" in signal:
            missing = signal["count"]
            wire.send({"ready": True})
        else:
            await connection.take(signal)


# ---- THKMesh -----------------------------------------------------------------


async def ask_in_room(cue: Cue, url: str, name: str) -> None:
    """Ask, in a room."""
    async with thkmesh.join(url, room=name, name="asking") as room:
        replies = aiter(room)

        async def reply() -> None:
            await _next_message(replies)

        async def expect(count: int) -> None:
            await room.send(count)
            await reply()

        await _linked(replies)
        cue.send("ready")
        await _obey(cue, expect, room.send, reply)


async def answer_in_room(cue: Cue, url: str, name: str) -> None:
    """Answer, in a room."""
    async with thkmesh.join(url, room=name, name="answering") as room:
        cue.send("here")
        missing = 0
        async for event in room:
            match event:
                case thkmesh.Message(data=bytes(data)):
                    if missing:
                        missing -= 1
                        if missing:
                            continue
                    await room.send(data[:BOUNCE_BYTES])
                case thkmesh.Message(data=int(count)):
                    missing = count
                    await room.send("ready")
                case _:
                    pass


async def _linked(events: AsyncIterator[thkmesh.Event]) -> None:
    async for event in events:
        if isinstance(event, thkmesh.LinkChanged) and event.state is thkmesh.LinkState.CONNECTED:
            return


async def _next_message(events: AsyncIterator[thkmesh.Event]) -> None:
    async for event in events:
        if isinstance(event, thkmesh.Message):
            return
