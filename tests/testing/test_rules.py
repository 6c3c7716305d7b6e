"""Delivery rules in a simulated world that loses, reorders, and breaks connections."""

import asyncio
import itertools
from collections.abc import Iterable
from statistics import median
from typing import Any

import pytest

from thkmesh import Channel, InvalidArgument, Message, MessageTooLarge, Room
from thkmesh.crossing import PASSING
from thkmesh.testing import World

_COUNT = 400


async def _take(channel: Channel, into: list[int]) -> None:
    async for message in channel:
        assert isinstance(message.data, int)
        into.append(message.data)


class _Stream:
    """Numbers that one sends on a channel to another, and what of them arrives."""

    def __init__(
        self, seed: int, *, loss: float = 0.2, kills: int = 0, silently: bool = True
    ) -> None:
        """Have a world of that weather; the path is killed so often meanwhile."""
        self.world = World(seed, delay=0.02, jitter=0.0, loss=loss, reorder=0.02)
        self.arrived: list[int] = []
        self.dropped = 0
        self._kills = kills
        self._silently = silently

    def send(self, **options: Any) -> list[int]:  # noqa: ANN401 - those of a channel
        """Send one number each 20 ms; return what arrived."""
        self.world.run(self._main(options))
        return self.arrived

    async def _main(self, options: dict[str, Any]) -> None:
        ada, bob = [await self.world.join(name, room="r") for name in ("ada", "bob")]
        here = ada.channel("x", **options)
        reading = asyncio.create_task(_take(bob.channel("x"), self.arrived))
        await self.world.linked(ada, bob)
        await asyncio.sleep(1.0)
        kills = {_COUNT * each // (self._kills + 1) for each in range(1, self._kills + 1)}
        for number in range(_COUNT):
            await here.send(number)
            if number in kills:
                self.world.kill_path("ada", "bob", silently=self._silently)
            await asyncio.sleep(0.02)
        await asyncio.wait_for(here.flush(), 60.0)
        await asyncio.sleep(5.0)
        self.dropped = _dropped(ada, bob)
        reading.cancel()


def _dropped(ada: Room, bob: Room) -> int:
    link = ada.link(bob.me)
    return 0 if link is None else link.dropped


def _increases(numbers: Iterable[int]) -> bool:
    found = list(numbers)
    return found == sorted(set(found))


@pytest.mark.parametrize("seed", range(3))
def test_realtime_never_halts_and_never_goes_back(seed: int) -> None:
    """One in five packets is lost, and so is its message, and no other waits for it."""
    arrived = _Stream(seed).send(delivery="realtime")
    assert _increases(arrived), seed
    assert 0.65 * _COUNT < len(arrived) < 0.9 * _COUNT, (seed, len(arrived))
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrived)]
    assert median(gaps) == 1, seed
    assert max(gaps) < 12, seed


@pytest.mark.parametrize("seed", range(3))
def test_realtime_goes_on_over_the_next_connection(seed: int) -> None:
    """What is sent in between is dropped, and counted."""
    stream = _Stream(seed, loss=0.0, kills=2, silently=False)
    arrived = stream.send(delivery="realtime")
    assert _increases(arrived), seed
    assert arrived[-1] == _COUNT - 1, seed
    assert len(arrived) > 0.2 * _COUNT, (seed, len(arrived))
    assert stream.dropped, seed


def test_each_resend_makes_less_be_lost() -> None:
    """Of one in five, one in 25 remains after one, of that one in 125 after two."""
    shares = [
        len(_Stream(seed).send(max_retransmits=times)) / _COUNT
        for times, seed in ((0, 1), (1, 2), (3, 3))
    ]
    assert 0.7 < shares[0] < 0.9, shares
    assert 0.91 < shares[1] < 0.995, shares
    assert shares[2] > 0.985, shares


@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_sent_again_keeps_its_order_if_that_is_wanted(*, ordered: bool) -> None:
    """Each arrives once; nothing waits longer than for what may still come."""
    arrived = _Stream(7).send(max_retransmits=2, ordered=ordered)
    assert len(set(arrived)) == len(arrived) > 0.95 * _COUNT
    assert _increases(arrived) is ordered


def test_with_a_life_time_it_is_tried_as_long_as_that() -> None:
    """So much more arrives than of what is sent once, through a broken connection too."""
    arrived = _Stream(8, kills=1).send(max_packet_life_time=30.0)
    assert _increases(arrived)
    assert len(arrived) > 0.9 * _COUNT
    arrived = _Stream(8).send(max_packet_life_time=0.2)
    assert _increases(arrived)
    assert len(arrived) > 0.9 * _COUNT


@pytest.mark.parametrize("seed", range(3))
def test_unordered_arrives_once_through_loss_and_broken_connections(seed: int) -> None:
    """In another order than it was sent."""
    arrived = _Stream(seed, kills=3).send(delivery="unordered")
    assert sorted(arrived) == list(range(_COUNT)), seed
    assert not _increases(arrived), seed


@pytest.mark.parametrize("seed", range(3))
def test_a_goodbye_overtakes_nothing(seed: int) -> None:
    """Who leaves delivers what was sent in any order, too, over a path that loses."""
    world = World(seed, delay=0.05, jitter=0.02, loss=0.2, reorder=0.05)
    arrived: list[int] = []

    async def main() -> None:
        ada, bob = [await world.join(name, room="r") for name in ("ada", "bob")]
        here = ada.channel("x", delivery="unordered")
        reading = asyncio.create_task(_take(bob.channel("x"), arrived))
        await world.linked(ada, bob)
        await here.send(0)
        await here.flush()
        for number in range(1, 101):
            await here.send(number)
        await ada.leave()
        await asyncio.sleep(5.0)
        reading.cancel()

    world.run(main())
    assert sorted(arrived) == list(range(101))


def test_unordered_messages_wait_for_no_other() -> None:
    """With one in ten packets lost most arrive at once, where in order most wait."""
    waits: dict[str, float] = {}
    for delivery in ("reliable", "unordered"):
        waits[delivery] = _median_wait(delivery)
    assert waits["unordered"] < 0.022
    assert waits["reliable"] > 1.5 * waits["unordered"], waits


def _median_wait(delivery: str) -> float:
    world = World(5, delay=0.02, jitter=0.0, loss=0.1)
    waits: list[float] = []

    async def main() -> None:
        ada, bob = [await world.join(name, room="r") for name in ("ada", "bob")]
        here, there = ada.channel("x", delivery=delivery), bob.channel("x")
        await world.linked(ada, bob)
        await asyncio.sleep(1.0)

        async def read() -> None:
            async for message in there:
                assert isinstance(message.data, float)
                waits.append(world.time - message.data)

        reading = asyncio.create_task(read())
        for _ in range(_COUNT):
            await here.send(world.time)
            await asyncio.sleep(0.005)
        await here.flush()
        reading.cancel()

    world.run(main())
    assert len(waits) == _COUNT
    return median(waits[20:])


def test_large_messages_in_any_order_are_whole() -> None:
    """Up to 8 MiB; small ones between them do not wait for their ends."""
    world = World(6, delay=0.01, loss=0.05, rate_bytes=4_000_000.0)
    sizes = [8 * 1024 * 1024, 10, 1_000_000, 0, 70_000]
    arrived: list[bytes] = []

    async def main() -> None:
        ada, bob = [await world.join(name, room="r") for name in ("ada", "bob")]
        here, there = ada.channel("x", ordered=False), bob.channel("x")
        await world.linked(ada, bob)
        for number, size in enumerate(sizes):
            await here.send(bytes([number]) * size)
        while len(arrived) < len(sizes):
            message = await anext(aiter(there))
            assert isinstance(message.data, bytes)
            arrived.append(message.data)
        await here.flush()

    world.run(main())
    expected = sorted(bytes([number]) * size for number, size in enumerate(sizes))
    assert sorted(arrived) == expected


def test_who_does_not_read_keeps_the_newest() -> None:
    """Of what may be lost; its sender does not notice, and other channels go on."""
    world = World(9, jitter=0.0)

    async def main() -> None:
        ada, bob = [await world.join(name, room="r") for name in ("ada", "bob")]
        here, there = ada.channel("x", delivery="realtime"), bob.channel("x")
        other = there.subscribe()
        await world.linked(ada, bob)
        await asyncio.sleep(1.0)
        for number in range(PASSING + 500):
            await here.send(number)
            if number % 8 == 0:
                await asyncio.sleep(0.005)
        await asyncio.sleep(1.0)
        kept = [other.take_nowait() for _ in range(PASSING)]
        numbers = [each.data for each in kept if isinstance(each, Message)]
        assert numbers == list(range(500, PASSING + 500))
        assert other.take_nowait() is None
        assert other.skipped == 500
        await ada.send("still here")
        async for event in bob:
            if isinstance(event, Message):
                assert event.data == "still here"
                break

    world.run(main())


def test_a_burst_over_what_a_slow_link_takes_is_dropped_at_once() -> None:
    """So what arrives is never old, however much is sent."""
    world = World(10, delay=0.01, jitter=0.0, rate_bytes=50_000.0)
    waits: list[float] = []

    async def main() -> None:
        ada, bob = [await world.join(name, room="r") for name in ("ada", "bob")]
        here, there = ada.channel("x", delivery="realtime"), bob.channel("x")
        await world.linked(ada, bob)
        await asyncio.sleep(1.0)

        async def read() -> None:
            async for message in there:
                assert isinstance(message.data, str)
                waits.append(world.time - float(message.data))

        reading = asyncio.create_task(read())
        for _ in range(500):
            await here.send(f"{world.time:1000}")
            await asyncio.sleep(0.01)  # twice of what the link takes
        await asyncio.sleep(2.0)
        link = ada.link(bob.me)
        assert link is not None
        assert link.dropped > 100
        assert link.dropped + len(waits) == 500
        reading.cancel()

    world.run(main())
    assert max(waits) < 0.5  # 16 KiB and a datagram, at 50 kB/s


def test_options_that_contradict_each_other_are_refused() -> None:
    """And say what to do; as W3C's createDataChannel does."""
    world = World(11)

    refused: list[tuple[dict[str, Any], str]] = [
        ({"max_retransmits": 1, "max_packet_life_time": 1.0}, "not both"),
        ({"delivery": "reliable", "max_retransmits": 1}, "leave delivery out"),
        ({"delivery": "unordered", "max_packet_life_time": 1.0}, "leave delivery out"),
        ({"delivery": "reliable", "ordered": False}, "leave one"),
        ({"delivery": "unordered", "ordered": True}, "leave one"),
        ({"delivery": "late"}, "delivery is one of"),
        ({"ordered": 1.5}, "ordered"),
        ({"max_retransmits": -1}, "0 to 65535"),
        ({"max_retransmits": True}, "0 to 65535"),
        ({"max_retransmits": 1.5}, "0 to 65535"),
        ({"max_packet_life_time": 66.0}, "65.535"),
        ({"max_packet_life_time": "1"}, "65.535"),
        ({"max_packet_life_time": float("nan")}, "65.535"),
    ]

    async def main() -> None:
        ada = await world.join("ada", room="r")
        for options, hint in refused:
            with pytest.raises(InvalidArgument, match=hint):
                ada.channel("x", **options)
        channel = ada.channel("x", max_retransmits=3)
        assert ada.channel("x", delivery="realtime", ordered=True, max_retransmits=3) is channel
        with pytest.raises(InvalidArgument, match="other options"):
            ada.channel("x", max_retransmits=2)
        with pytest.raises(MessageTooLarge, match="1100"):
            await channel.send("x" * 1101)
        with pytest.raises(MessageTooLarge, match="1100"):
            channel.send_nowait("x" * 1101)
        await channel.send("x" * 1100)
        await channel.close()
        with pytest.raises(InvalidArgument, match="another delivery"):
            ada.channel("x")
        assert ada.channel("x", max_retransmits=3) is not channel
        assert ada.channel("y", ordered=False) is ada.channel("y", delivery="unordered")

    world.run(main())
