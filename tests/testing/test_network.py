"""The simulated WebSockets and the server behind them."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from tests.testing.clients import Client, until
from thkmesh.core import wire
from thkmesh.errors import ServerUnreachable
from thkmesh.signaling.transport import ABNORMAL
from thkmesh.testing import Direction, World
from thkmesh.testing.network import SERVER


def connections(world: World) -> int:
    """Return how many clients the server believes to have."""
    assert world.server.service is not None
    return world.server.service.connection_count


def test_who_enters_is_announced() -> None:
    """The real rooms answer: a welcome with who is there, and word to the others."""
    world = World()

    async def main() -> None:
        ada, bob = Client(world, "ada"), Client(world, "bob")
        assert (await ada.enter()).peers == ()
        assert [peer.session for peer in (await bob.enter()).peers] == [ada.session]
        assert (await ada.expect(wire.PeerReady)).session == bob.session

    world.run(main())


def test_messages_arrive_once_and_in_order() -> None:
    """Delay, jitter and loss make a WebSocket slow, never wrong."""
    world = World(delay=0.1, jitter=0.2, loss=0.3)

    async def main() -> None:
        ada = Client(world, "ada")
        await ada.enter()
        listening = asyncio.create_task(ada.listen())
        await ada.ping(500)
        await until(lambda: len(ada.pongs) == 500)
        assert ada.pongs == list(range(500))
        listening.cancel()

    world.run(main())


# --- opening --------------------------------------------------------------------------


def test_a_server_that_is_down_refuses_at_once() -> None:
    """A host without the server says so in one round trip."""
    world = World()

    async def main() -> None:
        world.server.kill()
        with pytest.raises(ServerUnreachable, match="refused"):
            await world.transport("ada").open(world.url)
        assert world.time < 0.1

    world.run(main())


@pytest.mark.parametrize("obstacle", ["partition", "suspension"])
def test_a_silent_server_is_given_up_after_ten_seconds(obstacle: str) -> None:
    """Whether the network or the server is mute, opening does not wait for ever."""
    world = World()

    async def main() -> None:
        if obstacle == "partition":
            world.network.partition("ada", SERVER)
        else:
            world.suspend(SERVER, 60)
        with pytest.raises(ServerUnreachable, match="no answer"):
            await world.transport("ada").open(world.url)
        assert world.time == 10
        world.network.heal("ada", SERVER)
        await asyncio.sleep(52)
        assert connections(world) == 0

    world.run(main())


def test_opening_outlasts_a_short_outage() -> None:
    """When the path heals in time, the connection comes about."""
    world = World()

    async def main() -> None:
        world.network.partition("ada", SERVER)
        world.loop.call_later(5, world.network.heal, "ada", SERVER)
        await Client(world, "ada").enter()

    world.run(main())


def test_an_opening_that_is_cancelled_leaves_nothing() -> None:
    """Neither end keeps a connection that nobody waited for."""
    world = World()

    async def main() -> None:
        for delay in (0.0, 0.01, 0.03, 0.039):
            opening = asyncio.create_task(world.transport("ada").open(world.url))
            await asyncio.sleep(delay)
            opening.cancel()
        await asyncio.sleep(5)
        assert connections(world) == 0

    world.run(main())


# --- ending ---------------------------------------------------------------------------


def test_a_killed_server_breaks_every_connection() -> None:
    """Clients hear 1006, and the next life has another epoch."""
    world = World()

    async def main() -> None:
        ada = Client(world, "ada")
        before = await ada.enter()
        world.kill(SERVER)
        assert (await ada.listen()).code == ABNORMAL
        with pytest.raises(ServerUnreachable):
            await ada.enter()
        world.server.start()
        after = await ada.enter()
        assert before.epoch != after.epoch

    world.run(main())


def test_a_server_that_stops_says_why() -> None:
    """A proper stop sends the code that asks clients to come back."""
    world = World()

    async def main() -> None:
        ada = Client(world, "ada")
        await ada.enter()
        world.server.stop()
        assert (await ada.listen()).code == 1012

    world.run(main())


def test_a_client_that_closes_is_let_go() -> None:
    """What was sent before still counts; afterwards both ends know."""
    world = World()

    async def main() -> None:
        ada, bob = Client(world, "ada"), Client(world, "bob")
        await ada.enter()
        await bob.enter()
        ada.say(wire.Leave())
        await ada.socket.close()
        assert (await ada.listen()).code == 1000
        assert (await bob.expect(wire.PeerLeft)).reason == "left"
        assert connections(world) == 1
        await ada.socket.close()

    world.run(main())


def test_broken_connections_are_noticed_at_both_ends() -> None:
    """With breaks ordered every ten seconds they come about as often, and for all."""
    world = World(disconnect_every=10.0)

    async def main() -> None:
        breaks = 0
        while world.time < 1000:
            ada = Client(world, "ada")
            await ada.enter()
            assert (await ada.listen()).code == ABNORMAL
            breaks += 1
            await asyncio.sleep(1)
            assert connections(world) == 0
        assert 60 < breaks < 130

    world.run(main())


def test_a_client_that_does_not_read_is_cut_off() -> None:
    """A bounded number of messages waits for it; then the server lets go, and goes on."""
    world = World()

    async def main() -> None:
        ada, bob = Client(world, "ada"), Client(world, "bob")
        await ada.enter()
        await bob.enter()
        world.server.tamper = _multiply_for("bob")
        for number in range(100):
            bob.say(wire.Ping(n=number))
            await asyncio.sleep(0.1)
        assert connections(world) == 1
        assert (await bob.listen()).code == 4431
        ada.say(wire.Ping(n=1))
        assert (await ada.expect(wire.Pong)).n == 1

    world.run(main())


def _multiply_for(victim: str) -> Callable[[Direction, str, str], Sequence[str]]:
    def tamper(direction: Direction, host: str, text: str) -> Sequence[str]:
        return [text] * (20 if direction is Direction.TO_CLIENT and host == victim else 1)

    return tamper


def test_a_client_that_sends_into_the_void_breaks_off() -> None:
    """What cannot be sent waits within bounds, and the sender is never blocked."""
    world = World()

    async def main() -> None:
        ada = Client(world, "ada")
        await ada.enter()
        world.network.partition("ada", SERVER)
        await ada.ping(5000, interval=0.01)
        world.network.heal("ada", SERVER)
        assert (await ada.listen()).code == ABNORMAL

    world.run(main())


# --- outages --------------------------------------------------------------------------


def test_an_outage_delays_and_loses_nothing() -> None:
    """While nobody loses patience, what was sent meanwhile arrives after it."""
    world = World()

    async def main() -> None:
        ada = Client(world, "ada")
        await ada.enter()
        listening = asyncio.create_task(ada.listen())
        pinging = asyncio.create_task(ada.ping(100))
        await asyncio.sleep(2)
        world.network.partition("ada", SERVER)
        await asyncio.sleep(20)
        assert len(ada.pongs) < 25
        world.network.heal("ada", SERVER)
        await pinging
        await until(lambda: len(ada.pongs) == 100)
        assert ada.pongs == list(range(100))
        assert not listening.done()
        listening.cancel()

    world.run(main())


def test_a_moved_client_is_heard_no_more() -> None:
    """A connection does not survive a change of address, and nobody says so."""
    world = World()

    async def main() -> None:
        ada = Client(world, "ada")
        await ada.enter()
        world.network.move("ada", SERVER)
        listening = asyncio.create_task(ada.listen())
        await ada.ping(10)
        await asyncio.sleep(30)
        assert not listening.done()
        assert not ada.pongs
        listening.cancel()
        await ada.enter()

    world.run(main())


# --- a lying server -------------------------------------------------------------------


def _drop(direction: Direction, host: str, text: str) -> Sequence[str]:
    return () if '"ping"' in text and '"n":3' in text else (text,)


def _double(direction: Direction, host: str, text: str) -> Sequence[str]:
    return (text, text) if direction is Direction.TO_CLIENT else (text,)


def _rewrite(direction: Direction, host: str, text: str) -> Sequence[str]:
    return (text.replace('"n":3', '"n":33') if direction is Direction.TO_CLIENT else text,)


def _swap() -> Callable[[Direction, str, str], Sequence[str]]:
    kept: list[str] = []

    def tamper(direction: Direction, host: str, text: str) -> Sequence[str]:
        if direction is Direction.TO_SERVER and '"n":3' in text:
            kept.append(text)
            return ()
        taken, kept[:] = kept[:], []
        return (text, *taken)

    return tamper


@pytest.mark.parametrize(
    ("tamper", "pongs"),
    [
        (_drop, [1, 2, 4, 5]),
        (_double, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        (_rewrite, [1, 2, 33, 4, 5]),
        (_swap(), [1, 2, 4, 3, 5]),
    ],
    ids=["drop", "double", "rewrite", "swap"],
)
def test_messages_can_be_tampered_with(
    tamper: Callable[[Direction, str, str], Sequence[str]], pongs: list[int]
) -> None:
    """A tampering server drops, doubles, rewrites and swaps what a test tells it to."""
    world = World()

    async def main() -> None:
        ada = Client(world, "ada")
        await ada.enter()
        world.server.tamper = tamper
        listening = asyncio.create_task(ada.listen())
        for number in range(1, 6):
            ada.say(wire.Ping(n=number))
            await asyncio.sleep(0.5)
        assert ada.pongs == pongs
        listening.cancel()

    world.run(main())
