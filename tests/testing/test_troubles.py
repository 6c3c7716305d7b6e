"""Everything that can be made to go wrong in a world goes wrong in just that way."""

import asyncio
from datetime import timedelta

import pytest

from tests.engines.world import End, Pair
from thkmesh import LinkState, Room, ServerState
from thkmesh.core.engine import CONTROL, REALTIME, ConnectionState, StateChanged
from thkmesh.testing import SERVER, World


async def meet(world: World) -> tuple[Room, Room]:
    """Return two rooms that are linked."""
    ada, bob = await world.join("ada", room="lobby"), await world.join("bob", room="lobby")
    await world.linked(ada, bob)
    return ada, bob


def state(room: Room, other: Room) -> LinkState | None:
    """Return how the link of one to the other is."""
    view = room.link(other.me)
    return view.state if view else None


@pytest.mark.parametrize(
    ("cut", "healed"),
    [(("ada", "bob"), ()), (("ada", "bob"), ("bob", "ada")), (("ada",), ("ada",))],
)
def test_what_was_parted_can_be_healed(cut: tuple[str, ...], healed: tuple[str, ...]) -> None:
    """Two hosts or one; by naming them, whichever first, or all at once."""
    world = World()

    async def main() -> None:
        ada, bob = await meet(world)
        heard = world.watch("bob", bob)
        world.partition(*cut)
        await ada.send("hello")
        await asyncio.sleep(10)
        assert state(ada, bob) is LinkState.RECONNECTING
        assert heard.said_by(ada.me) == []
        world.heal(*healed)
        await world.linked(ada, bob)
        await asyncio.sleep(1)
        assert heard.said_by(ada.me) == ["hello"]

    world.run(main())


def test_the_server_is_a_host_to_be_parted_from() -> None:
    """Links live on without it, and it is found again."""
    world = World()

    def servers(*rooms: Room) -> list[ServerState]:
        return [room.server for room in rooms]

    async def main() -> None:
        ada, bob = await meet(world)
        world.partition("ada", SERVER)
        await asyncio.sleep(60)
        assert servers(ada, bob) == [ServerState.RECONNECTING, ServerState.CONNECTED]
        assert state(ada, bob) is LinkState.CONNECTED
        world.heal()
        await asyncio.sleep(30)
        assert servers(ada, bob) == [ServerState.CONNECTED] * 2

    world.run(main())


@pytest.mark.parametrize("silently", [True, False])
def test_a_killed_path_is_noticed_late_or_at_once_and_mended(*, silently: bool) -> None:
    """Silently, a ping has to stay unanswered first; else both see it fail."""
    world = World()

    async def main() -> None:
        ada, bob = await meet(world)
        other = await world.join("cem", room="lobby")
        await world.linked(ada, bob, other)
        world.kill_path("ada", "bob", silently=silently)
        await asyncio.sleep(0.01)
        assert (state(ada, bob) is LinkState.CONNECTED) is silently
        assert state(ada, other) is LinkState.CONNECTED
        await asyncio.sleep(20)
        view = ada.link(bob.me)
        assert view is not None
        assert view.state is LinkState.CONNECTED
        assert view.generation == (1 if silently else 2)  # ICE restart, or another

    world.run(main())


def test_what_is_under_way_on_a_torn_path_is_lost_at_both_ends() -> None:
    """Engines see a failure, and no frame after it."""
    world = World()

    async def main() -> None:
        pair = Pair(End(world.engine("ada")), End(world.engine("bob")))
        await pair.connect()
        assert pair.a.send(CONTROL, b"lost")
        world.kill_path("ada", "bob", silently=False)
        await asyncio.sleep(30)
        assert not pair.b.frames(CONTROL)
        for end in (pair.a, pair.b):
            assert end.of(StateChanged)[-1].state is ConnectionState.FAILED
        await pair.stop()

    world.run(main())


def test_reordered_packets_overtake_on_the_lossy_channel_alone() -> None:
    """Reliable channels are only later for it."""
    world = World(jitter=0.0, reorder=0.2)

    async def main() -> None:
        pair = Pair(End(world.engine("ada")), End(world.engine("bob")))
        await pair.connect()
        sent = [b"%03d" % number for number in range(200)]
        for each in sent:
            assert pair.a.send(CONTROL, each)
            assert pair.a.send(REALTIME, each)
            await asyncio.sleep(0.001)
        assert await pair.b.received(CONTROL, 200) == sent
        await asyncio.sleep(1)
        arrived = pair.b.frames(REALTIME)
        assert arrived != sorted(arrived) == sent
        await pair.stop()

    world.run(main())


def test_a_server_that_restarts_is_another() -> None:
    """It is away for as long as was said, and then knows nobody until they come back."""
    world = World()

    def epoch() -> str | None:
        return world.server.service.epoch if world.server.service else None

    def servers(*rooms: Room) -> list[ServerState]:
        return [room.server for room in rooms]

    async def main() -> None:
        ada, bob = await meet(world)
        before = epoch()
        world.restart_server(downtime=5.0)
        await asyncio.sleep(4.9)
        assert epoch() is None
        assert servers(ada, bob) == [ServerState.RECONNECTING] * 2
        await asyncio.sleep(30)
        assert epoch() not in (None, before)
        assert servers(ada, bob) == [ServerState.CONNECTED] * 2
        assert ada.peers == (bob.me,)

    world.run(main())


def test_a_clock_on_a_wall_may_be_wrong_and_nobody_minds() -> None:
    """A jump of a day, either way, is seen on that host alone, and no link is replaced."""
    world = World()

    async def main() -> None:
        ada, bob = await meet(world)
        start = world.wall_clock("bob")
        for seconds in (86_400.0, -2 * 86_400.0):
            world.jump_clock("ada", seconds)
            await asyncio.sleep(20)
        assert world.wall_clock("bob") - start == timedelta(seconds=40)
        assert world.wall_clock("bob") - world.wall_clock("ada") == timedelta(days=1)
        view = ada.link(bob.me)
        assert view is not None
        assert (view.state, view.generation) == (LinkState.CONNECTED, 1)

    world.run(main())


def test_a_slow_reader_gets_everything_later() -> None:
    """An application that takes its time has the same events in the same order."""
    world = World()

    async def main() -> None:
        ada, bob = await meet(world)
        slow = world.watch("bob", bob, pause=1.0)
        for number in range(100):
            await ada.send(number)
        await asyncio.sleep(50)
        assert 20 < len(slow.said_by(ada.me)) < 60
        await asyncio.sleep(100)
        assert slow.said_by(ada.me) == list(range(100))
        assert slow.lost(ada.me) == 0

    world.run(main())


def test_a_world_can_be_taken_step_by_step() -> None:
    """Time stands still between two steps, and what was begun goes on with the next."""
    world = World("steps")
    with world.steps() as step:
        ada = step(world.join("ada", room="lobby"))
        bob = step(world.join("bob", room="lobby"))
        now = world.time
        step(world.linked(ada, bob))
        assert world.time > now
        heard = world.watch("bob", bob)
        step(ada.send("hello"))
        assert heard.said_by(ada.me) == []
        step(asyncio.sleep(1))
        assert heard.said_by(ada.me) == ["hello"]
    assert world.loop.is_closed()


def test_a_step_that_fails_names_its_seed() -> None:
    """As a whole run does."""
    world = World("the seed")

    async def fail() -> None:
        raise KeyError

    def live() -> None:
        with world.steps() as step:
            step(asyncio.sleep(2))
            step(fail())

    with pytest.raises(KeyError) as caught:
        live()
    assert caught.value.__notes__ == ["in World('the seed') after 2.0 s"]
