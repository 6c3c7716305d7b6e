"""The world: one seed, one history; hosts whose processes stop, stall and die."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from tests.engines.world import End, Pair
from tests.testing.clients import Client
from thkmesh.core import wire
from thkmesh.core.engine import (
    CONTROL,
    ChannelClosed,
    ConnectionState,
    MakeAnswer,
    StateChanged,
)
from thkmesh.errors import ServerUnreachable
from thkmesh.events import Content, LinkState, Message
from thkmesh.room import Room
from thkmesh.signaling.transport import SocketClosed
from thkmesh.testing import Behaviour, World
from thkmesh.testing.network import SERVER


async def connected(world: World) -> Pair:
    """Return a connected pair of ends, on the hosts ``ada`` and ``bob``."""
    pair = Pair(End(world.engine("ada")), End(world.engine("bob")))
    await pair.connect()
    return pair


def states(end: End) -> list[ConnectionState]:
    """Return the states of an end since it was connected."""
    return [event.state for event in end.of(StateChanged)][2:]


def history(seed: int) -> World:
    """Live through an eventful minute; return the world it happened in."""
    world = World(seed, delay=0.05, jitter=0.05, loss=0.05, disconnect_every=20.0)

    async def chat(host: str) -> None:
        while True:
            client = Client(world, host)
            with contextlib.suppress(SocketClosed, ServerUnreachable):
                await client.enter()
                pinging = asyncio.create_task(client.ping(1000))
                await client.listen()
                pinging.cancel()

    async def main() -> None:
        for host in ("ada", "bob", "cem"):
            world.spawn(host, chat(host))
        pair = await connected(world)
        world.suspend("bob", 7)
        for number in range(300):
            pair.a.send(CONTROL, b"%d" % number)
            pair.b.send(CONTROL, b"%d" % number)
            await asyncio.sleep(0.1)
        world.stall("cem", 3)
        await asyncio.sleep(20)
        world.kill("cem")
        await asyncio.sleep(10)
        await pair.stop()

    world.run(main())
    return world


def test_a_seed_is_a_history() -> None:
    """Two worlds of one seed have one trace; another seed has another."""
    first, again, other = history(1), history(1), history(2)
    assert list(first.lines) == list(again.lines)
    assert first.trace_digest() == again.trace_digest() != other.trace_digest()
    assert len(first.lines) > 3000


def test_a_history_does_not_hang_on_the_hash_seed() -> None:
    """Another process, whose sets of strings have another order, sees the same trace."""
    program = (
        "from tests.testing.test_world import history; print(history(1).trace_digest(), end='')"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "4711")
    ]
    assert digests == [history(1).trace_digest()] * 2


def test_chance_comes_from_the_seed() -> None:
    """Identities, entropy and dice are the same for a seed and differ between seeds."""
    first, again, other = World(1), World(1), World(2)
    assert first.identity("ada").id == again.identity("ada").id == first.identity("ada").id
    assert first.identity("ada").id != other.identity("ada").id != other.identity("bob").id
    assert first.entropy(8) == again.entropy(8) != other.entropy(8)
    assert first.dice("x").random() == again.dice("x").random() != first.dice("x").random()


def test_a_world_runs_once() -> None:
    """What is over cannot go on: a second run is a mistake and says so."""
    world = World()
    world.run(asyncio.sleep(1))
    again = asyncio.sleep(1)
    with pytest.raises(AssertionError, match="once"):
        world.run(again)
    again.close()


def conversation(seed: int) -> World:
    """Let three rooms talk through an outage and a restart of the server."""
    world = World(seed, loss=0.02)

    async def read(room: Room, count: int) -> list[Content]:
        heard: list[Content] = []
        async for event in room:
            if isinstance(event, Message):
                heard.append(event.data)
                if len(heard) == count:
                    break
        return heard

    async def main() -> None:
        hosts = ("ada", "bob", "cem")
        rooms = [await world.join(host, room="lobby") for host in hosts]
        await asyncio.sleep(1)
        readers = [
            world.spawn(host, read(room, 40)) for host, room in zip(hosts, rooms, strict=True)
        ]
        for number in range(20):
            if number == 5:
                world.network.partition("ada", "bob")
                world.kill(SERVER)
            if number == 12:
                world.network.heal("ada", "bob")
                world.server.start()
            for room in rooms:
                await room.send(number)
            await asyncio.sleep(1)
        for reader in readers:
            assert sorted(await reader, key=str) == sorted([*range(20)] * 2, key=str)
        for room in rooms:
            await room.leave()

    world.run(main())
    return world


def test_real_rooms_live_in_a_simulated_world() -> None:
    """Joined rooms talk through troubles, at the same moments for the same seed."""
    first, again = conversation(3), conversation(3)
    assert list(first.lines) == list(again.lines)
    assert not first.illegal


def test_a_failure_names_its_seed() -> None:
    """Whoever reads the report of a failed run can run it again."""
    world = World("the seed", delay=1.0)

    async def main() -> None:
        await asyncio.sleep(2.5)
        raise KeyError("something")

    with pytest.raises(KeyError) as caught:
        world.run(main())
    assert caught.value.__notes__ == ["in World('the seed') after 2.5 s"]


def test_a_short_suspension_passes_unnoticed() -> None:
    """Three seconds of a closed lid cost three seconds, and no state changes."""
    world = World()

    async def main() -> None:
        pair = await connected(world)
        world.suspend("bob", 3)
        assert pair.a.send(CONTROL, b"good morning")
        await asyncio.sleep(2.9)
        assert not pair.b.frames(CONTROL)
        assert await pair.b.received(CONTROL, 1) == [b"good morning"]
        assert world.time < 6
        assert states(pair.a) == states(pair.b) == []
        await pair.stop()

    world.run(main())


def test_a_long_suspension_is_noticed_by_the_other_side_only() -> None:
    """Who slept did not see itself missing, and heals those who had given up."""
    world = World()

    async def main() -> None:
        pair = await connected(world)
        world.suspend("bob", 20)
        await asyncio.sleep(19)
        assert states(pair.a) == [ConnectionState.DISCONNECTED, ConnectionState.FAILED]
        await pair.exchange()
        assert states(pair.a)[-1] is ConnectionState.CONNECTED
        assert states(pair.b) == []
        await pair.stop()

    world.run(main())


def test_a_stalled_process_keeps_its_connections() -> None:
    """While Python code stands still, the engine's threads answer for it."""
    world = World()

    async def main() -> None:
        pair = await connected(world)
        world.stall("bob", 20)
        assert pair.a.send(CONTROL, b"hello?")
        await asyncio.sleep(19)
        assert not pair.b.frames(CONTROL)
        assert await pair.b.received(CONTROL, 1) == [b"hello?"]
        assert world.time < 21
        assert states(pair.a) == states(pair.b) == []
        await pair.stop()

    world.run(main())


def test_nobody_sends_for_a_stalled_process() -> None:
    """A message waits until the process runs again, whoever asked for it to be sent."""
    world = World()

    async def main() -> None:
        ada = await world.join("ada", room="lobby")
        bob = await world.join("bob", room="lobby")
        await asyncio.sleep(1)
        await ada.send("at once")
        world.stall("ada", 20)
        await ada.send("late")
        assert world.time > 20
        got = [event.data async for event in _messages(bob, 2)]
        assert got == ["at once", "late"]
        await ada.leave()
        await bob.leave()

    world.run(main())


async def _messages(room: Room, count: int) -> AsyncIterator[Message]:
    async for event in room:
        if isinstance(event, Message):
            yield event
            count -= 1
            if not count:
                return


def test_timers_of_a_stalled_process_come_late() -> None:
    """What a process waits for happens when it runs again, as late as it is."""
    world = World()

    async def wait() -> float:
        await asyncio.sleep(1)
        return world.time

    async def main() -> None:
        waits = {host: world.spawn(host, wait()) for host in ("ada", "bob")}
        await asyncio.sleep(0)
        world.stall("bob", 20)
        assert [await waits[host] for host in ("ada", "bob")] == [1, 20]

    world.run(main())


def test_a_killed_process_is_gone_and_its_host_is_not() -> None:
    """Its peers hear nothing, the server hears at once, and a new process can come."""
    world = World()

    async def main() -> None:
        pair = await connected(world)
        ada, bob = Client(world, "ada"), Client(world, "bob")
        await ada.enter()
        await bob.enter()
        forever = world.spawn("bob", asyncio.sleep(1))
        seen = len(pair.b.events)
        world.kill("bob")
        await asyncio.sleep(35)
        assert not forever.done()
        assert len(pair.b.events) == seen
        assert states(pair.a) == [ConnectionState.DISCONNECTED, ConnectionState.FAILED]
        assert not pair.a.of(ChannelClosed)
        assert (await ada.expect(wire.PeerLeft)).session == bob.session
        await Client(world, "bob").enter()
        again = await connected(world)
        await again.exchange()
        for each in (pair, again):
            await each.stop()

    world.run(main())


def test_a_process_killed_in_its_sleep_does_not_wake() -> None:
    """The end of a suspension finds a network that works, and nobody to use it."""
    world = World()

    async def main() -> None:
        sleeper = world.spawn("bob", asyncio.sleep(1))
        world.suspend("bob", 5)
        world.kill("bob")
        await asyncio.sleep(10)
        assert not sleeper.done()
        await Client(world, "bob").enter()

    world.run(main())


def test_a_power_cut_is_told_to_nobody() -> None:
    """Detached before it is killed, a host is silent for the server as well."""
    world = World()

    async def main() -> None:
        bob = Client(world, "bob")
        await bob.enter()
        world.network.detach("bob")
        world.kill("bob")
        await asyncio.sleep(20)
        assert world.server.service is not None
        assert world.server.service.connection_count == 1

    world.run(main())


def test_a_wrong_command_is_on_record() -> None:
    """An engine operation that is illegal shows in the world, whoever asked for it."""
    world = World(behaviour=Behaviour(operation=(1.0, 1.0)))

    async def main() -> None:
        end = End(world.engine("ada"))
        await end.refuses(MakeAnswer())
        assert world.time == 1.0
        assert len(world.illegal) == 1

    world.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_who_was_away_for_long_is_linked_again(seed: int) -> None:
    """The others gave the session up; it knows nothing of that and goes on where it was."""
    world = World(seed)

    async def main() -> None:
        ada = await world.join("ada", room="lobby")
        bob = await world.join("bob", room="lobby")
        await asyncio.sleep(10)
        world.network.detach("bob")
        await asyncio.sleep(100)
        assert ada.peers == ()
        world.network.attach("bob")
        await asyncio.sleep(30)
        for room, other in ((ada, bob), (bob, ada)):
            view = room.link(other.me)
            assert view is not None
            assert view.state is LinkState.CONNECTED
        await bob.send("back")
        await ada.send("welcome back")
        await asyncio.sleep(1)
        await asyncio.gather(ada.leave(), bob.leave())
        assert "back" in [event.data async for event in ada if isinstance(event, Message)]
        assert "welcome back" in [event.data async for event in bob if isinstance(event, Message)]

    world.run(main())
