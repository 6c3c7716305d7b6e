"""Delivery rules between two programs on a real engine."""

import asyncio
from typing import Any

import pytest

import thkmesh
from tests.shell.world import PATIENCE, ready
from thkmesh import Channel, Room, sync

COUNT = 1000


async def _numbers(channel: Channel, until: int) -> list[int]:
    """Return the numbers that come on a channel, until the last."""
    found: list[int] = []
    async with asyncio.timeout(PATIENCE):
        async for message in channel:
            if isinstance(message.data, int):
                found.append(message.data)
                if message.data == until:
                    break
    return found


async def _send(channel: Channel, count: int, last: int) -> None:
    """Send so many numbers as a game would, and then one until it has surely come."""
    for number in range(count):
        await channel.send(number)
        if number % 16 == 0:
            await asyncio.sleep(0.002)
    for _ in range(50):
        await asyncio.sleep(0.02)
        await channel.send(last)


@pytest.mark.parametrize(
    "options",
    [
        {"delivery": "realtime"},
        {"ordered": False, "max_retransmits": 3},
        {"max_packet_life_time": 1.0},
    ],
    ids=str,
)
async def test_what_may_be_lost_mostly_arrives(
    two: tuple[Room, Room], options: dict[str, Any]
) -> None:
    """On a way that loses nothing, soon, and in order if that is wanted; each once."""
    ada, bob = two
    here, there = ada.channel("x", **options), bob.channel("x")
    await ready(ada.channel("y"), bob.channel("y"))  # which was opened after that
    sending = asyncio.create_task(_send(here, COUNT, COUNT))
    found = await _numbers(there, COUNT)
    sending.cancel()
    assert len(set(found)) == len(found) > COUNT // 2
    assert found == sorted(found) or options.get("ordered") is False


async def test_unordered_arrives_once_across_another_connection(two: tuple[Room, Room]) -> None:
    """Small and large, while the connection is replaced twice."""
    ada, bob = two
    here, there = ada.channel("x", delivery="unordered"), bob.channel("x")
    await ready(ada.channel("y"), bob.channel("y"))
    sizes = [3, 200, 70_000, 1]

    async def send() -> None:
        for number in range(COUNT):
            size = sizes[number % len(sizes)]
            await here.send(number.to_bytes(3, "big") + bytes(size - 1))
            if number in {COUNT // 3, 2 * COUNT // 3}:
                ada.reconnect(bob.me)
        await here.flush()

    sending = asyncio.create_task(send())
    found: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < COUNT:
            message = await anext(aiter(there))
            assert isinstance(message.data, bytes)
            number = int.from_bytes(message.data[:3], "big")
            assert len(message.data) == sizes[number % len(sizes)] + 2
            found.append(number)
        await sending
    assert sorted(found) == list(range(COUNT))


def test_the_plain_face_has_rules(url: str, room: str) -> None:
    """The same options, errors and readers."""
    with (
        sync.join(url, room=room, name="Ada") as ada,
        sync.join(url, room=room, name="Bob") as bob,
    ):
        here = ada.channel("x", ordered=False, max_packet_life_time=5.0)
        there = bob.channel("x", delivery="realtime").subscribe()
        with pytest.raises(thkmesh.InvalidArgument, match="not both"):
            ada.channel("z", max_retransmits=1, max_packet_life_time=1.0)
        with pytest.raises(thkmesh.MessageTooLarge):
            here.send("x" * 1101)
        for _ in range(100):
            here.send("here I am")
            try:
                message = there.receive(timeout=PATIENCE / 100)
            except TimeoutError:
                continue
            assert message.data == "here I am"
            break
        else:
            raise AssertionError("nothing came")
        assert there.skipped == 0
        link = ada.link(bob.me)
        assert link is not None
        assert link.dropped >= 0
