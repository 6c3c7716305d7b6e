"""Channels in a simulated world: bounded memory, fair links, and storms."""

import asyncio

import pytest

from thkmesh import (
    Channel,
    LinkState,
    Lost,
    Message,
    PeerLagging,
    Refused,
    Room,
    Undelivered,
)
from thkmesh.testing import World


async def linked(*rooms: Room) -> None:
    """Wait until everybody is connected to everybody."""
    while True:
        views = [room.link(peer) for room in rooms for peer in room.peers]
        states = {None if view is None else view.state for view in views}
        if len(views) == len(rooms) * (len(rooms) - 1) and states == {LinkState.CONNECTED}:
            return
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("priority", ["normal", "low"])
def test_a_line_of_chat_does_not_wait_for_a_file(priority: str) -> None:
    """On a link that takes half a minute for a file, a small message passes in a moment."""
    world = World(5, delay=0.02, jitter=0.0, rate_bytes=250_000.0)
    waits: list[float] = []

    async def main() -> None:
        ada, bob = [await world.join(name, room="r") for name in ("ada", "bob")]
        here = ada.channel("file", priority=priority)
        there = bob.channel("file")
        await linked(ada, bob)
        await asyncio.sleep(1.0)
        await here.send(bytes(8_000_000))
        for number in range(5):
            await asyncio.sleep(1.0)
            begun = world.time
            await ada.send(number)
            while True:
                event = await anext(aiter(bob))
                if isinstance(event, Message):
                    assert event.data == number
                    break
            waits.append(world.time - begun)
        message = await anext(aiter(there))
        assert isinstance(message.data, bytes)
        assert len(message.data) == 8_000_000

    world.run(main())
    assert max(waits) < 0.4  # what the engine is given ahead takes 0.13 s


class Storm:
    """Three who talk on channels while everything goes wrong; some do not read for a while."""

    NAMES = ("", "x", "y")

    def __init__(self, seed: int) -> None:
        """Make the world of a seed."""
        self.world = World(seed, delay=0.02, jitter=0.03)
        self.dice = self.world.dice("channels")
        self.rooms: list[Room] = []
        self.sent: dict[tuple[int, int | None, str], int] = {}
        self.got: dict[tuple[int, int, str, bool], list[int]] = {}
        self.lost: dict[tuple[int, int, str], int] = {}
        self.faults: list[object] = []

    def blow(self) -> None:
        """Run it and see that nothing is missing that was not told."""
        self.world.run(self._blow(), limit=7200.0)

    async def _blow(self) -> None:
        hosts = [f"h{number}" for number in range(3)]
        self.rooms = [await self.world.join(host, room="r") for host in hosts]
        for number, room in enumerate(self.rooms):
            for name in self.NAMES:
                reader = room if name == "" else room.channel(name, compress=False)
                self.world.spawn(hosts[number], self._read(number, name, reader))
        await linked(*self.rooms)
        await asyncio.sleep(2.0)
        for _ in range(8):
            await asyncio.sleep(self.dice.expovariate(1 / 3.0))
            self._trouble(hosts)
            for _ in range(30):
                self._say(hosts)
        for a in hosts:
            for b in hosts:
                if a < b:
                    self.world.network.heal(a, b)
        await asyncio.sleep(60.0)
        for _ in range(3):
            for number in range(3):
                for name in self.NAMES:
                    await self._send(number, None, name, 10)
        await asyncio.sleep(10.0)
        self._check()

    async def _read(self, me: int, name: str, reader: Room | Channel) -> None:
        pauses = self.world.dice(f"{me}/{name}")
        async for event in reader:
            match event:
                case Message(peer=peer, data=str(data), direct=direct, channel=channel):
                    assert channel == name
                    source = self._index(peer.name)
                    number = int(data.split()[0])
                    self.got.setdefault((me, source, name, direct), []).append(number)
                    if pauses.random() < 0.02:
                        await asyncio.sleep(pauses.uniform(0.0, 5.0))
                case Lost(peer=peer, count=int(count), channel=channel):
                    key = (me, self._index(peer.name), channel)
                    self.lost[key] = self.lost.get(key, 0) + count
                case Undelivered() | PeerLagging() | Refused() | Lost():
                    if not isinstance(event, PeerLagging):
                        self.faults.append(event)
                case _:
                    pass

    def _index(self, name: str) -> int:
        return int(name[1:])

    def _trouble(self, hosts: list[str]) -> None:
        host, other = self.dice.sample(hosts, 2)
        match self.dice.randrange(5):
            case 0:
                self.world.stall(host, self.dice.uniform(0.5, 8.0))
            case 1:
                self.world.suspend(host, self.dice.uniform(0.5, 8.0))
            case 2:
                self.world.network.partition(host, other)
            case 3:
                self.world.network.heal(host, other)
            case _:
                self.world.server.disconnect(host)

    def _say(self, hosts: list[str]) -> None:
        number = self.dice.randrange(3)
        to = self.dice.choice([None, *(each for each in range(3) if each != number)])
        name = self.dice.choice(self.NAMES)
        size = self.dice.choice([10, 10, 1_000, 70_000, 400_000])
        self.world.spawn(hosts[number], self._send(number, to, name, size))

    async def _send(self, number: int, to: int | None, name: str, size: int) -> None:
        room = self.rooms[number]
        key = (number, to, name)
        self.sent[key] = self.sent.get(key, 0) + 1
        text = f"{self.sent[key]} ".ljust(size, "x")
        where = room if name == "" else room.channel(name, compress=False)
        await where.send(text, to=None if to is None else self.rooms[to].me)

    def _check(self) -> None:
        assert self.faults == []
        for me in range(3):
            for source in range(3):
                if source == me:
                    continue
                for name in self.NAMES:
                    missing = 0
                    for direct in (False, True):
                        got = self.got.get((me, source, name, direct), [])
                        assert got == sorted(set(got)), f"{me} of {source} on {name!r}: {got}"
                        wanted = self.sent.get((source, me if direct else None, name), 0)
                        assert not direct or len(got) == wanted
                        missing += wanted - len(got)
                    told = self.lost.get((me, source, name), 0)
                    assert missing == told, f"{me} of {source} on {name!r}: {missing}, not {told}"


SEEDS = [*range(12), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(12, 200))]


@pytest.mark.parametrize("seed", SEEDS)
def test_storms_lose_nothing_that_is_not_told(seed: int) -> None:
    """On each channel all arrives once and in order, or ``Lost`` says exactly how much not."""
    Storm(seed).blow()
