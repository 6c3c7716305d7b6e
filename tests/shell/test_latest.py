"""Channels of latest values on a real engine: for newcomers, and for readers who sleep."""

import asyncio

import pytest

import thkmesh
from tests.shell.world import PATIENCE, ready
from thkmesh import Channel, Room, sync
from thkmesh.core.latest import KEYS


async def until(channel: Channel, key: str | None, data: thkmesh.Data) -> list[thkmesh.Message]:
    """Return the messages up to a value."""
    got: list[thkmesh.Message] = []
    async with asyncio.timeout(PATIENCE):
        async for message in channel:
            got.append(message)
            if (message.key, message.data) == (key, data):
                return got
    raise AssertionError("the channel was closed")


async def test_who_comes_later_gets_the_current_values(url: str, room: str) -> None:
    """In the order of sending, without what was superseded; then what changes, and its own."""
    async with thkmesh.join(url, room=room) as ada:
        here = ada.channel("state", delivery="latest")
        for number in range(1000):
            await here.send(number, key=f"k{number % 3}")
        await here.send({"there": "is one without a key"})
        async with thkmesh.join(url, room=room) as bob:
            there = bob.channel("state", delivery="latest")
            got = await until(there, None, {"there": "is one without a key"})
            found = [(each.key, each.data) for each in got]
            assert found[:-1] == [("k1", 997), ("k2", 998), ("k0", 999)]
            await here.send("for bob", to=bob.me, key="k0")
            [*_, last] = await until(there, "k0", "for bob")
            assert last.direct
            await there.send("of bob", key="k0")
            [*_, last] = await until(here, "k0", "of bob")
            assert last.peer == bob.me


async def test_who_does_not_read_gets_the_latest_when_it_does(two: tuple[Room, Room]) -> None:
    """Its sender never waits, and what lies unread is a value of each key."""
    here, there = [each.channel("state", delivery="latest") for each in two]
    await ready(here, there)
    for number in range(5000):
        await here.send(f"{number} ".ljust(1000), key=f"k{number % 8}")
    await here.flush()
    last = "4999 ".ljust(1000)
    got = await until(there, "k7", last)
    assert len(got) < 40
    assert got[-1].data == last


async def test_what_cannot_be_a_value_is_refused(two: tuple[Room, Room]) -> None:
    """Too many keys, what is too large, a key where there are none, and another delivery."""
    ada, _ = two
    here = ada.channel("state", delivery="latest")
    for number in range(KEYS):
        await here.send(number, key=str(number))
    with pytest.raises(thkmesh.ChannelFull, match="1024 keys"):
        await here.send("one more", key="new")
    with pytest.raises(thkmesh.ChannelFull):
        here.send_nowait("one more", key="new")
    await here.send("another", key="0")
    with pytest.raises(thkmesh.MessageTooLarge):
        await here.send(bytes(61_440), key="0")
    for key in ("", "k" * 65, 5):
        with pytest.raises(thkmesh.InvalidArgument):
            await here.send("x", key=key)  # type: ignore[arg-type]
    with pytest.raises(thkmesh.InvalidArgument, match="has keys"):
        await ada.channel("lines").send("x", key="k")
    await here.close()
    with pytest.raises(thkmesh.InvalidArgument, match="another delivery"):
        ada.channel("state")


def test_the_plain_face_has_values(url: str, room: str) -> None:
    """The same words, without an event loop."""
    with sync.join(url, room=room) as ada:
        here = ada.channel("state", delivery="latest")
        for number in range(100):
            here.send(number, key="k")
        here.send_nowait("other")
        with sync.join(url, room=room) as bob:
            there = bob.channel("state", delivery="latest")
            got = [there.receive(PATIENCE) for _ in range(2)]
            assert [(each.key, each.data) for each in got] == [("k", 99), (None, "other")]
            with pytest.raises(thkmesh.InvalidArgument):
                bob.channel("lines").send("x", key="k")
