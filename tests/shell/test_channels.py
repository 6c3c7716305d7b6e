"""Channels between two programs on a real engine: apart from each other, and bounded."""

import asyncio
import secrets

import pytest

import thkmesh
from tests.shell.world import PATIENCE, heard, ready
from thkmesh import Room, Undelivered, sync
from thkmesh.core.credit import WINDOW_LIMIT_BYTES
from thkmesh.core.frames import MESSAGE_LIMIT_BYTES
from thkmesh.core.streams import LOG_BYTES

SIZE = 65_536


async def test_a_channel_is_a_room_of_its_own(two: tuple[Room, Room]) -> None:
    """Its messages come there and nowhere else, to all or to one, in the order of sending."""
    ada, bob = two
    here, there = ada.channel("x"), bob.channel("x")
    assert ada.channel("x") is here
    await ready(here, there)
    other = there.subscribe()
    for number in range(100):
        await here.send(number, to=bob.me if number % 3 == 0 else None)
    await ada.send("in the room")
    async with asyncio.timeout(PATIENCE):
        got: list[thkmesh.Message] = []
        while len(got) < 100:
            message = await anext(other)
            if message.data != "ready":
                got.append(message)
        for direct in (False, True):
            found = [each.data for each in got if each.direct is direct]
            assert found == [each for each in range(100) if (each % 3 == 0) is direct]
        assert {(each.peer, each.channel) for each in got} == {(ada.me, "x")}
        async for event in bob:
            if isinstance(event, thkmesh.Message):
                assert (event.data, event.channel) == ("in the room", "")
                break


async def test_an_unread_channel_stops_its_senders_and_nothing_else(
    two: tuple[Room, Room],
) -> None:
    """What nobody reads is bounded; what is read goes on meanwhile; nothing is lost (M4, M4b)."""
    ada, bob = two
    bulk, unread = ada.channel("bulk"), bob.channel("bulk")
    ask, answer = ada.channel("rpc"), bob.channel("rpc")
    await ready(ask, answer)
    await ready(bulk, unread)
    sent = 0

    async def pour() -> None:
        nonlocal sent
        for number in range(600):
            await bulk.send(number.to_bytes(4, "big") + bytes(SIZE - 4), to=bob.me)
            sent += 1

    pouring = asyncio.create_task(pour())
    most = (LOG_BYTES + WINDOW_LIMIT_BYTES) // SIZE + 2
    async with asyncio.timeout(PATIENCE):
        while sent < most - 8:  # noqa: ASYNC110 - nobody tells of what was accepted
            await asyncio.sleep(0.01)
        for number in range(20):
            await ask.send(number)
            question = await anext(message async for message in answer if message.data == number)
            await answer.send(question.data, to=ada.me)
            assert (await anext(aiter(ask))).data == number
        assert not pouring.done()
        assert sent <= most
        numbers = list[int]()
        async for message in unread:
            if isinstance(message.data, bytes):
                numbers.append(int.from_bytes(message.data[:4], "big"))
            if len(numbers) == 600:
                break
        await pouring
    assert numbers == list(range(600))


async def test_send_nowait_says_when_it_would_wait(two: tuple[Room, Room]) -> None:
    """Nothing is sent then; before, it is as good as sent."""
    ada, bob = two
    here, there = ada.channel("x", receive=False), bob.channel("x")
    await ready(here, there)
    ada.send_nowait("to all")
    sent = 0
    for _ in range(100):
        try:
            here.send_nowait(bytes(MESSAGE_LIMIT_BYTES), to=bob.me)
        except thkmesh.WouldWait:
            break
        sent += 1
        await asyncio.sleep(0.05)
    assert LOG_BYTES // MESSAGE_LIMIT_BYTES <= sent < 6
    assert (await heard(bob, thkmesh.Message)).data == "to all"
    async with asyncio.timeout(PATIENCE):
        while sent:
            sent -= isinstance((await anext(aiter(there))).data, bytes)


async def test_flushed_means_arrived_and_close_delivers(two: tuple[Room, Room]) -> None:
    """Whoever is to have it has it, though nobody may have read it yet."""
    ada, bob = two
    here, there = ada.channel("x"), bob.channel("x")
    await ready(here, there)
    async with asyncio.timeout(PATIENCE):
        async with here:
            for number in range(20):
                await here.send(bytes(SIZE) + bytes([number]))
        assert here.closed
        got: list[int] = []
        while len(got) < 20:
            message = await anext(aiter(there))
            if isinstance(message.data, bytes):
                got.append(message.data[-1])
    assert got == list(range(20))
    assert [message async for message in here] == []
    with pytest.raises(thkmesh.ChannelClosed):
        await here.send("late")
    await here.close()
    again = ada.channel("x", receive=False)
    await again.send("back")
    await ada.flush()
    async with asyncio.timeout(PATIENCE):
        while (await anext(aiter(there))).data != "back":
            pass


async def test_nothing_is_owed_to_who_does_not_listen(two: tuple[Room, Room]) -> None:
    """A message to it alone is refused, or told of if that was not known in time."""
    ada, bob = two
    here = ada.channel("x")
    known = bob.channel("known")
    await ready(ada.channel("known"), known)
    with pytest.raises(thkmesh.NotListening):
        await here.send("alone", to=bob.me)
    await here.send("to all")
    async with asyncio.timeout(PATIENCE):
        await here.flush()
        try:
            here.send_nowait("alone", to=bob.me)
        except thkmesh.NotListening:
            return  # the session was idle, and said so at once
        assert await heard(ada, Undelivered) == Undelivered(bob.me, 1, "x")


async def test_what_cannot_be_a_channel_is_refused(two: tuple[Room, Room]) -> None:
    """Names, options, too many of them, or another kind under the same name."""
    ada, _ = two
    for name in ("", "a b", "x" * 65, "é", 5):
        with pytest.raises(thkmesh.InvalidArgument):
            ada.channel(name)  # type: ignore[arg-type]
    for odd in ({"delivery": "pigeon"}, {"priority": "urgent"}):
        with pytest.raises(thkmesh.InvalidArgument):
            ada.channel("x", **odd)  # type: ignore[arg-type]
    ada.channel("x")
    with pytest.raises(thkmesh.InvalidArgument, match="other options"):
        ada.channel("x", priority="high")
    for number in range(254):
        ada.channel(f"c{number}")
    with pytest.raises(thkmesh.InvalidArgument, match="255"):
        ada.channel("one-more")
    ada.channel("c7")


def test_the_plain_face_has_channels(url: str, room: str) -> None:
    """The same words, without an event loop."""
    with sync.join(url, room=room) as ada, sync.join(url, room=room) as bob:
        here, there = ada.channel("x"), bob.channel("x")
        assert ada.channel("x") is here
        assert here.name == "x"
        word = secrets.token_hex(4)
        with pytest.raises(TimeoutError):
            there.receive(0.01)
        for _ in range(100):
            here.send("ready")
            here.flush()
            try:
                there.receive(0.05)
                break
            except TimeoutError:
                continue
        other = there.subscribe()
        here.send(word)
        here.send_nowait(word, to=bob.me)
        ada.send_nowait("room")
        ada.flush()
        assert next(other).data == word
        assert next(other).direct
        with here:
            pass
        assert here.closed
        with pytest.raises(thkmesh.ChannelClosed):
            here.send("late")
        there.close()
        for message in there:
            assert message.data in {"ready", word}
