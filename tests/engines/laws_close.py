"""How a connection ends."""

import asyncio
import random

import pytest

from tests.engines.world import End, Lab, Pair
from thkmesh.core.engine import (
    BULK,
    CONTROL,
    ChannelClosed,
    ConnectionConfig,
    EngineEvent,
    MakeOffer,
)
from thkmesh.errors import EngineError


async def close_is_silent_and_final(lab: Lab) -> None:
    """From the call on nothing is emitted, nothing is taken, and again is no error."""
    pair = await lab.connected()
    closing = asyncio.create_task(pair.a.connection.close())
    await asyncio.sleep(0)
    count = len(pair.a.events)
    await closing
    assert pair.a.send(CONTROL, b"too late") is False
    assert pair.a.connection.buffered_bytes(CONTROL) == 0
    for _ in range(2):
        pair.a.begin(MakeOffer())
    await pair.a.connection.close()
    await pair.a.connection.close(drain=5.0)
    await pair.b.closed()
    assert len(pair.a.events) == count


async def the_remote_end_is_told_of_a_close(lab: Lab) -> None:
    """Each channel of the other side closes, once, drained or not."""
    for drain in (0.0, 1_000.0):
        pair = await lab.connected()
        await pair.a.connection.close(drain)
        await pair.b.closed()
        assert sorted(event.channel for event in pair.b.of(ChannelClosed)) == [0, 1, 2]
        assert pair.b.send(CONTROL, b"anyone?") is False


async def a_close_that_drains_delivers(lab: Lab) -> None:
    """What was sent before ``close(drain)`` arrives first, and it ends when that is done."""
    pair = await lab.connected()
    frames = [bytes([number]) * 65_536 for number in range(64)]
    for frame in frames:
        assert pair.a.send(BULK, frame)
    assert pair.a.send(CONTROL, b"goodbye")
    await pair.a.connection.close(drain=1_000.0)
    await pair.b.closed()
    assert sorted(pair.b.frames(BULK)) == sorted(frames)
    assert pair.b.frames(CONTROL) == [b"goodbye"]


async def impatience_ends_a_drain(lab: Lab) -> None:
    """A second close without drain, or cancelling the first, does not wait for frames."""
    for impatient in (True, False):
        pair = await lab.connected()
        for _ in range(100):
            assert pair.a.send(BULK, bytes(65_536))
        closing = asyncio.create_task(pair.a.connection.close(drain=1_000.0))
        await asyncio.sleep(0)
        if impatient:
            await pair.a.connection.close()
            await closing
        else:
            closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled()
        assert pair.a.connection.buffered_bytes(BULK) == 0


async def an_engine_closes_all_it_opened(lab: Lab) -> None:
    """After ``Engine.close`` its connections are closed and it makes no more."""
    engine = lab.engine()
    others = [lab.end(), lab.end()]
    pairs = [lab.join(End(engine), other) for other in others]
    for pair in pairs:
        await pair.connect()
    await engine.close()
    for other in others:
        await other.closed()
    for pair in pairs:
        assert pair.a.send(CONTROL, b"too late") is False
    with pytest.raises(EngineError):
        engine.open(ConnectionConfig(), lambda _: None)
    await engine.close()


async def closing_at_any_moment_is_safe(lab: Lab) -> None:
    """However far a negotiation is, each operation has one result, or none once closed."""
    for seed in range(50):
        try:
            await _close_at_random(lab, random.Random(seed))
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise


async def _close_at_random(lab: Lab, dice: random.Random) -> None:
    """Close one end, or both, at a random event of a negotiation and a random turn after it."""
    moment = dice.randrange(30)
    seen = 0
    due = asyncio.Event()

    def react(end: End, event: EngineEvent) -> None:
        nonlocal seen
        seen += 1
        if seen >= moment:
            due.set()

    pair = lab.pair(react=react)
    if moment == 0:
        due.set()
    talk = asyncio.create_task(_talk(pair))
    await due.wait()
    for _ in range(dice.randrange(6)):
        await asyncio.sleep(0)
    begun = dict.fromkeys((pair.a, pair.b), -1)
    for end in dice.choice([[pair.a], [pair.b], [pair.a, pair.b]]):
        begun[end] = len(end.begun)
        closing = asyncio.create_task(end.connection.close(dice.choice([0.0, 0.2])))
        await asyncio.sleep(0)
        count = len(end.events)
        await closing
        assert len(end.events) == count, "an event after close"
    talk.cancel()
    await asyncio.gather(talk, return_exceptions=True)
    await pair.stop()
    for end in (pair.a, pair.b):
        if begun[end] < 0:
            begun[end] = len(end.begun)
            await end.settled()
        told = [result.operation for result in end.results]
        assert told == end.begun[: len(told)]
        assert begun[end] - 1 <= len(told) <= begun[end]


async def _talk(pair: Pair) -> None:
    """Connect and negotiate on, until cancelled."""
    await pair.connect()
    while True:
        await pair.exchange()
        await pair.negotiate(pair.b, pair.a)
