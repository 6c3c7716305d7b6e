"""Who connects to whom in ``benchmarks.join``: the measured ends and their opposites."""

import asyncio
import socket

import thkmesh
from benchmarks.bare import Bare, Wire, engine
from benchmarks.stage import Cue, Stopwatch

__all__ = ["answer_calls", "greet_newcomers", "join_rooms", "place_calls"]

_ROOM = "benchmark"
_BYE = {"bye": True}

# ---- a bare engine -----------------------------------------------------------


async def place_calls(cue: Cue, end: socket.socket, name: str) -> None:
    """Connect whenever the conductor asks, and tell it how long that took."""
    connect, wire = engine(name), await Wire.over(end)
    while True:
        offers = await cue.receive()
        watch = Stopwatch()
        greeted = asyncio.get_running_loop().create_future()
        wire.send({"offers": not offers})
        connection = connect(wire.send, greeted.set_result)
        if offers:
            await connection.offer()
        following = asyncio.create_task(_follow(wire, connection))
        await connection.opened
        watch.lap("connected")
        await greeted
        laps = watch.stop("message")
        wire.send(_BYE)
        await following
        await connection.close()
        cue.send(laps)


async def answer_calls(_: Cue, end: socket.socket, name: str) -> None:
    """Be the other end, which greets when it is connected."""
    connect, wire = engine(name), await Wire.over(end)
    while True:
        offers = (await wire.receive())["offers"]
        connection = connect(wire.send, lambda _: None)
        greeting = asyncio.create_task(_greet(connection))
        if offers:
            await connection.offer()
        await _follow(wire, connection)
        await greeting
        await connection.close()
        wire.send(_BYE)


async def _greet(connection: Bare) -> None:
    await connection.opened
    await connection.send(b"hello")


async def _follow(wire: Wire, connection: Bare) -> None:
    """Hand signals to a connection until the other end says goodbye."""
    while (signal := await wire.receive()) != _BYE:
        await connection.take(signal)


# ---- THKMesh -----------------------------------------------------------------


async def join_rooms(cue: Cue, url: str) -> None:
    """Join whenever the conductor asks, and tell it how long that took."""
    while True:
        await cue.receive()
        watch = Stopwatch()
        async with thkmesh.join(url, room=_ROOM, name="joiner") as room:
            watch.lap("joined")
            laps = await _first_message(room, watch)
        cue.send(laps)


async def _first_message(room: thkmesh.Room, watch: Stopwatch) -> dict[str, float]:
    async for event in room:
        match event:
            case thkmesh.LinkChanged(state=thkmesh.LinkState.CONNECTED):
                watch.lap("connected")
            case thkmesh.Message():
                return watch.stop("message")
            case _:
                pass
    raise RuntimeError("nobody greets here")


async def greet_newcomers(cue: Cue, url: str) -> None:
    """Be in the room, and greet whoever joins."""
    async with thkmesh.join(url, room=_ROOM, name="greeter") as room:
        cue.send("here")
        async for event in room:
            if isinstance(event, thkmesh.PeerJoined):
                await room.send("hello", to=event.peer)
