"""Deflated messages on a real engine: both ways, in order, and from those who mean us ill."""

import asyncio
import zlib
from collections.abc import AsyncIterable

import psutil
import pytest

import thkmesh
from tests.shell.world import PATIENCE, heard, ready
from thkmesh import Message, Refused, Room
from thkmesh.core.credit import BUDGET_BYTES
from thkmesh.core.frames import DEFLATED, MESSAGE_LIMIT_BYTES, Kind
from thkmesh.core.identity import SessionKey
from thkmesh.core.streams import LOG_BYTES

TEXT = "so it goes, line after line. " * 50_000
MIB = 1024 * 1024


async def taken(reader: AsyncIterable[thkmesh.Event], count: int) -> list[thkmesh.Content]:
    """Return what the next messages say, but for those that only tell of readiness."""
    got: list[thkmesh.Content] = []
    while len(got) < count:
        message = await heard(reader, Message)
        got += [message.data] if message.data != "ready" else []
    return got


@pytest.mark.parametrize("compress", [True, False, None])
async def test_what_is_deflated_comes_in_its_turn(
    two: tuple[Room, Room], compress: bool | None
) -> None:
    """Text, JSON and bytes, small and large, on channels and in the room; latest values too."""
    ada, bob = two
    said: list[thkmesh.Data] = [TEXT, "short", TEXT.encode(), {"lines": [*TEXT.split(".")]}, [1]]
    here, there = [each.channel("x", compress=compress) for each in two]
    await ready(here, there)
    for each in said:
        await here.send(each)
        await there.send(each, to=ada.me)
        await ada.send(each)
    assert await taken(there, 5) == said
    assert await taken(here, 5) == said
    assert await taken(bob, 5) == said
    state = ada.channel("state", delivery="latest", compress=compress)
    await state.send("x" * 60_000, key="k")
    [value] = await taken(bob.channel("state", delivery="latest"), 1)
    assert value == "x" * 60_000


async def test_bombs_are_harmless(two: tuple[Room, Room]) -> None:
    """Unread, they take what they took to come; read, one takes what a message may."""
    ada, bob = two
    here, there = [each.channel("x") for each in two]
    await ready(here, there)
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = engine.compress(bytes(MESSAGE_LIMIT_BYTES)) + engine.flush()
    process = psutil.Process()
    before = process.memory_info().rss
    sent = 0

    async def pour() -> None:
        nonlocal sent
        while True:
            await ada.post(SessionKey(bob.me.id, bob.me.sid), Kind.BYTES | DEFLATED, bomb, "x")
            sent += 1

    pouring = asyncio.create_task(pour())
    before_that = -1
    async with asyncio.timeout(PATIENCE):
        while sent < LOG_BYTES // len(bomb) or sent > before_that:
            before_that = sent
            await asyncio.sleep(0.2)
    pouring.cancel()
    assert process.memory_info().rss - before < BUDGET_BYTES * 1.1 + LOG_BYTES
    for _ in range(20):
        [data] = await taken(there, 1)
        assert isinstance(data, bytes)
        assert len(data) == MESSAGE_LIMIT_BYTES
        del data
    assert process.memory_info().rss - before < BUDGET_BYTES * 1.1 + LOG_BYTES + 64 * MIB


async def test_who_sends_what_cannot_be_expanded_is_told_of(two: tuple[Room, Room]) -> None:
    """Once; its connection is replaced, and what follows comes."""
    ada, bob = two
    here, there = [each.channel("x") for each in two]
    await ready(here, there)
    await ada.post(None, Kind.TEXT | DEFLATED, b"\xff\xff", "x")
    await here.send("next")
    assert await taken(there, 1) == ["next"]
    refused = await heard(bob, Refused)
    assert refused.peer == ada.me
    assert isinstance(refused.error, thkmesh.InvalidMessage)
    async with asyncio.timeout(PATIENCE):
        await ada.send("and on")
        assert await taken(bob, 1) == ["and on"]
