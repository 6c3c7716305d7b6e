"""What rooms tell of their links, in a world whose weather is known."""

import asyncio

import pytest

from thkmesh.events import Grade, LinkState, PathKind, QualityChanged
from thkmesh.peer import Peer
from thkmesh.room import Room
from thkmesh.runner import LinkView
from thkmesh.testing import Conditions, World


class Watched:
    """Two rooms, and the grades that one of them tells of the other."""

    def __init__(self, world: World) -> None:
        """Watch in a world."""
        self.world = world
        self.grades: list[Grade] = []
        self.ada: Room
        self.bob: Peer

    async def start(self) -> None:
        """Let both join, and be connected."""
        self.ada = await self.world.join("ada", room="lobby")
        bob = await self.world.join("bob", room="lobby")
        self.bob = bob.me
        self.world.spawn("ada", self._watch())
        await asyncio.sleep(10)

    async def _watch(self) -> None:
        async for event in self.ada:
            if isinstance(event, QualityChanged):
                self.grades.append(event.quality.grade)

    @property
    def link(self) -> LinkView:
        """How the link is now."""
        link = self.ada.link(self.bob)
        assert link is not None
        assert link.quality is not None
        return link


def test_a_delay_that_rises_and_falls_changes_the_grade_once_each_way() -> None:
    """The grade follows the network, and does not flap on its jitter."""
    world = World(1)

    async def main() -> None:
        watched = Watched(world)
        await watched.start()
        quality = watched.link.quality
        assert quality is not None
        assert 0.04 <= quality.rtt <= 0.06
        assert quality.path == PathKind("host", "host", "udp", 4)
        world.network.set_conditions("ada", "bob", Conditions(delay=0.09, jitter=0.01))
        await asyncio.sleep(120)
        world.network.set_conditions("ada", "bob", Conditions())
        await asyncio.sleep(120)
        assert watched.grades == [Grade.EXCELLENT, Grade.GOOD, Grade.EXCELLENT]

    world.run(main())


def test_what_the_checks_lose_is_told() -> None:
    """The loss of packets shows, though every message arrives."""
    world = World(2)

    async def main() -> None:
        watched = Watched(world)
        await watched.start()
        world.network.set_conditions("ada", "bob", Conditions(loss=0.2))
        await asyncio.sleep(200)
        quality = watched.link.quality
        assert quality is not None
        assert 0.1 < quality.loss < 0.6
        assert watched.grades[-1] in {Grade.POOR, Grade.BAD, Grade.FAIR}

    world.run(main())


@pytest.mark.parametrize("stop", ["stall", "suspend"])
def test_our_own_sleep_is_no_slow_link(stop: str) -> None:
    """A process that stood still for seconds finds its link as good as before."""
    world = World(3)

    async def main() -> None:
        watched = Watched(world)
        await watched.start()
        for _ in range(5):
            getattr(world, stop)("ada", 4.5)
            await asyncio.sleep(9)
        assert watched.link.state is LinkState.CONNECTED
        assert watched.grades == [Grade.EXCELLENT]

    world.run(main())


def test_a_file_in_the_queue_is_counted() -> None:
    """How much flows, and how long what is sent now will wait, is known while it flows."""
    world = World(4, rate_bytes=200_000.0)

    async def main() -> None:
        watched = Watched(world)
        await watched.start()
        await watched.ada.send(bytes(6_000_000))
        await asyncio.sleep(12)
        quality = watched.link.quality
        assert quality is not None
        assert 100_000 < quality.outgoing_rate_bytes < 220_000
        left = watched.link.waiting_bytes / 200_000
        assert left > 5
        assert 0.5 * left < quality.queue_delay < 2 * left
        assert watched.link.state is LinkState.CONNECTED

    world.run(main())
