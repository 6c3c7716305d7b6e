"""Channels of latest values in a simulated world: everybody ends with what everybody says."""

import asyncio
from dataclasses import dataclass, field

import pytest

from thkmesh import Channel, Lost, MeshError, Message, Peer, PeerLagging, Refused, Room, Undelivered
from thkmesh.testing import World

KEYS = 8
SIZES = (0, 0, 0, 100, 2_000, 60_000)
"""All keys with large values are more than one window."""


Slot = tuple[Peer, bool, str | None]
"""Who said a value, whether to one alone, and under which key."""


@dataclass
class Life:
    """One session: what it says, and what it knows of others."""

    host: str
    room: Room
    channel: Channel
    asleep: asyncio.Event
    """Set when it reads; some do not before the storm is over."""
    said: dict[str | None, int] = field(default_factory=dict)
    whispered: dict[Peer, dict[str | None, int]] = field(default_factory=dict)
    known: dict[Slot, int] = field(default_factory=dict)
    faults: list[object] = field(default_factory=list)

    def hear(self, message: Message, heard: dict[Slot, int]) -> None:
        """Take note of a value; to one reader none of a key is older than the one before."""
        slot = (message.peer, message.direct, message.key)
        assert isinstance(message.data, str)
        version = int(message.data.split()[0])
        if version < heard.get(slot, 0):
            self.faults.append(f"{version} after {heard[slot]} of {slot}")
        heard[slot] = version
        self.known[slot] = max(version, self.known.get(slot, 0))


class Storm:
    """Some who change values at random while everything goes wrong; some join in between."""

    def __init__(self, seed: int) -> None:
        """Make the world of a seed."""
        self.world = World(seed, delay=0.02, jitter=0.03)
        self.dice = self.world.dice("latest")
        self.hosts = [f"h{number}" for number in range(4)]
        self.lives: dict[str, Life] = {}
        self.over: list[Life] = []
        self.version = 0

    def blow(self) -> None:
        """Run it, and see that everybody ends with the current values of everybody."""
        self.world.run(self._blow(), limit=7200.0)

    async def _blow(self) -> None:
        for host in self.hosts[:2]:
            await self._live(host)
        for _ in range(12):
            await asyncio.sleep(self.dice.expovariate(1 / 3.0))
            await self._trouble()
            for _ in range(20):
                self._change()
        self.world.heal()
        for host in self.hosts:
            if host not in self.lives:
                await self._live(host)
        await asyncio.sleep(60.0)
        for life in self.lives.values():
            waiting = len(aiter(life.channel).unread())
            assert waiting <= 2 * (KEYS + 1) * (len(self.lives) + len(self.over))
            life.asleep.set()
        for _ in range(600):
            if self._settled():
                break
            await asyncio.sleep(1.0)
        self._check()

    async def _live(self, host: str) -> None:
        room = await self.world.join(host, room="r")
        channel = room.channel("state", delivery="latest")
        life = Life(host, room, channel, asyncio.Event())
        self.lives[host] = life
        if self.dice.random() < 0.7:
            life.asleep.set()
        self.world.spawn(host, self._read(life, life.channel))
        self.world.spawn(host, self._watch(life))

    async def _read(self, life: Life, channel: Channel) -> None:
        pauses = self.world.dice(f"{life.host}/{self.version}")
        heard: dict[Slot, int] = {}
        async for message in channel:
            await life.asleep.wait()
            life.hear(message, heard)
            if pauses.random() < 0.02:
                await asyncio.sleep(pauses.uniform(0.0, 5.0))

    async def _watch(self, life: Life) -> None:
        async for event in life.room:
            match event:
                case PeerLagging() | Undelivered() | Refused() | Lost(count=int()):
                    life.faults.append(event)
                case _:
                    pass

    def _change(self) -> None:
        life = self.dice.choice([self.lives[host] for host in sorted(self.lives)])
        key = self.dice.choice([None, *(f"k{number}" for number in range(KEYS))])
        peers = sorted(life.room.peers, key=lambda peer: peer.name)
        to = self.dice.choice(peers) if peers and self.dice.random() < 0.3 else None
        size = self.dice.choice(SIZES)
        self.world.spawn(life.host, self._say(life, to, key, size))

    async def _say(self, life: Life, to: Peer | None, key: str | None, size: int) -> None:
        self.version += 1
        version = self.version
        try:
            await life.channel.send(f"{version} ".ljust(size, "x"), to=to, key=key)
        except MeshError:
            return
        said = life.said if to is None else life.whispered.setdefault(to, {})
        # It may hear of that only after a later one has been accepted.
        said[key] = max(version, said.get(key, 0))

    async def _trouble(self) -> None:
        world, dice = self.world, self.dice
        host, other = dice.sample(self.hosts, 2)
        match dice.randrange(9):
            case 0:
                world.stall(host, dice.uniform(0.5, 8.0))
            case 1:
                world.suspend(host, dice.uniform(0.5, 8.0))
            case 2 | 3:
                world.partition(host, other)
            case 4:
                world.heal(host, other)
            case 5:
                world.server.disconnect(host)
            case 6:
                world.kill_path(host, other, silently=dice.random() < 0.5)
            case 7 if host in self.lives and len(self.lives) > 1:
                self.over.append(self.lives.pop(host))
                world.kill(host)
            case 7 | 8 if host not in self.lives:
                await self._live(host)
            case _ if host in self.lives and not self.lives[host].channel.closed:
                world.spawn(host, self._reopen(self.lives[host]))
            case _:
                pass

    async def _reopen(self, life: Life) -> None:
        """Hear no more once all have everything, and then again: all current values come again."""
        await life.channel.close()
        life.channel = life.room.channel("state", delivery="latest")
        await self._read(life, life.channel)

    def _settled(self) -> bool:
        try:
            self._check()
        except AssertionError:
            return False
        return True

    def _check(self) -> None:
        for life in self.lives.values():
            assert life.faults == [], f"{life.host}: {life.faults}"
            for other in self.lives.values():
                if other is life:
                    continue
                for direct, said in (
                    (False, other.said),
                    (True, other.whispered.get(life.room.me, {})),
                ):
                    known = {
                        slot[2]: version
                        for slot, version in life.known.items()
                        if slot[:2] == (other.room.me, direct)
                    }
                    assert known == said, f"{life.host} of {other.host}, {direct}: {known}, {said}"


SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(6, 300))]


@pytest.mark.parametrize("seed", SEEDS)
def test_everybody_ends_with_the_current_values_of_everybody(seed: int) -> None:
    """Whatever was superseded on the way; and who never reads holds no more than that."""
    Storm(seed).blow()
