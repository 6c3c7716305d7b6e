"""What a simulated host does that is told of another network (promise R3)."""

import asyncio

import pytest

from tests.testing.storm import Storm
from thkmesh import LinkChanged, LinkState, Message, Room
from thkmesh.testing import World

PROMISED = 5.0
"""Seconds from the network's return to the first message: promise R3."""


async def first_message(world: World, reader: Room, sent: str) -> float:
    """Wait for a message; return when it came."""
    async with asyncio.timeout(60.0):
        async for event in reader:
            if isinstance(event, Message) and event.data == sent:
                break
    return world.time


async def linked(room: Room) -> None:
    """Wait for a link."""
    async for event in room:
        if isinstance(event, LinkChanged) and event.state is LinkState.CONNECTED:
            return


async def meet(world: World) -> tuple[Room, Room]:
    """Return two rooms that are linked."""
    ada = await world.join("ada", room="lobby")
    bob = await world.join("bob", room="lobby")
    await asyncio.gather(linked(ada), linked(bob))
    return ada, bob


@pytest.mark.parametrize("outage", [0.5, 5.0, 12.0, 30.0, 60.0])
@pytest.mark.parametrize("seed", range(8))
def test_r3_messages_pass_soon_after_an_outage(seed: int, outage: float) -> None:
    """However long it lasted, and whichever of the two was cut off."""
    world = World(seed)

    async def main() -> None:
        ada, bob = await meet(world)
        await asyncio.sleep(5.0 + seed / 3)
        world.network.detach("ada")
        world.change_network("ada")
        await asyncio.sleep(1.0)
        world.spawn("ada", ada.send("from ada"))
        await asyncio.sleep(outage - 0.5)
        world.network.attach("ada")
        world.change_network("ada")
        back = world.time
        world.spawn("bob", bob.send("to all"))
        heard = [await first_message(world, bob, "from ada")] if outage < 30 else []
        await asyncio.sleep(PROMISED - (world.time - back))
        (peer,) = ada.peers
        view = ada.link(peer)
        assert view is not None
        assert view.state is LinkState.CONNECTED
        assert all(at - back < PROMISED for at in heard)

    world.run(main())


@pytest.mark.parametrize("seed", range(8))
def test_r3_messages_pass_soon_on_another_address(seed: int) -> None:
    """What was under way is lost, nobody says goodbye, and the WebSocket leads nowhere."""
    world = World(seed)

    async def main() -> None:
        ada, bob = await meet(world)
        await asyncio.sleep(5.0 + seed / 3)
        for other in ("bob", "server"):
            world.network.move("ada", other)
        world.change_network("ada")
        moved = world.time
        world.spawn("ada", ada.send("from ada"))
        assert await first_message(world, bob, "from ada") - moved < PROMISED

    world.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_r4_no_healthy_link_is_replaced(seed: int) -> None:
    """Told of changes that change nothing, held up and put to sleep: the connection is the same."""
    world = World(seed)

    async def main() -> None:
        ada, _bob = await meet(world)
        (peer,) = ada.peers
        for number in range(20):
            world.change_network("ada")
            world.change_network("bob")
            await asyncio.sleep(number / 10)
        world.stall("ada", 5.0)
        await asyncio.sleep(20.0)
        world.suspend("ada", 15.0)
        await asyncio.sleep(25.0)
        view = ada.link(peer)
        assert view is not None
        assert (view.state, view.generation) == (LinkState.CONNECTED, 1)

    world.run(main())


class _Nomads(Storm):
    """A storm in which hosts are told of other networks, too, rightly or not."""

    async def _trouble(self) -> None:
        host = self.dice.choice(self.members).host
        if self.dice.random() < 0.5:
            self.world.change_network(host)
            return
        if self.dice.random() < 0.5:
            for other in ("server", *(each.host for each in self.members)):
                if other != host:
                    self.world.network.move(host, other)
            self.world.change_network(host)
            return
        await super()._trouble()


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_networks_leaves_the_room_whole(seed: int) -> None:
    """Whatever else happens meanwhile, the laws of a room hold afterwards."""
    _Nomads(seed, troubles=12).blow()
