"""M1, M3 to M6: nothing is lost, doubled or reordered, or both ends are told how much.

On virtual time and a simulated network; real engines keep the same promises in
``tests/rooms``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from thkmesh import (
    LeaveReason,
    LinkState,
    Lost,
    Message,
    Peer,
    PeerLagging,
    PeerLeft,
    Room,
    Undelivered,
)
from thkmesh.core.session import PATIENCE
from thkmesh.core.streams import LOG_BYTES
from thkmesh.testing import Witness, World

MIB = 2**20


async def meet(world: World, *hosts: str) -> list[Room]:
    """Let hosts join a room; return their rooms once all are linked."""
    rooms = [await world.join(host, room="lobby") for host in hosts]
    await world.linked(*rooms)
    return rooms


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; virtual time makes looking free."""
    while not holds():  # noqa: ASYNC110 - what it looks at is no event
        await asyncio.sleep(0.005)


async def reconnected(world: World, room: Room, other: Room) -> None:
    """Wait until a connection that was killed is noticed, and is whole again or has an heir."""
    view = room.link(other.me)
    assert view is not None
    killed = view.generation

    def noticed() -> bool:
        now = room.link(other.me)
        return now is None or now.state is not LinkState.CONNECTED or now.generation > killed

    await until(noticed)
    await world.linked(room, other)


def kinds(witness: Witness, kind: type) -> list[object]:
    """Return the events of a kind."""
    return [event for event in witness.events if isinstance(event, kind)]


# --- M1: path kills -------------------------------------------------------------------


def flood(seed: int, *, messages: int, kills: int) -> None:
    """Send many messages, to all and to one in turn, over paths that die under them."""
    world = World(seed, jitter=0.02, loss=0.01, reorder=0.01)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        reading = world.spawn("bob", read(bob))
        dice = world.dice("kills")
        every = messages // kills
        fatal = {kill * every + dice.randrange(every): kill for kill in range(kills)}
        dying: asyncio.Task[None] | None = None
        for number in range(messages):
            if number in fatal:
                if dying is not None:
                    await dying
                await asyncio.sleep(dice.uniform(0.0, 0.2))
                dying = asyncio.create_task(reconnected(world, ada, bob))
                world.kill_path("ada", "bob", silently=fatal[number] % 2 == 0)
            await ada.send(number, to=bob.me if number % 2 else None)
            if number % 20 == 0:
                await asyncio.sleep(0.002)
        assert await reading == messages
        # The relay may have brought the last ones while the path was still dead.
        if dying is not None:
            await dying
        view = ada.link(bob.me)
        assert view is not None
        assert view.generation > kills // 2  # What died silently is mended by an ICE restart.

    async def read(room: Room) -> int:
        expected = {False: 0, True: 1}
        async for event in room:
            assert not isinstance(event, Lost), event
            if isinstance(event, Message):
                assert event.data == expected[event.direct]
                expected[event.direct] += 2
                if sum(expected.values()) == 2 * messages + 1:
                    break
        return messages

    world.run(main(), limit=100_000)


def test_nothing_is_lost_when_paths_die() -> None:
    """M1: 50,000 messages arrive once and in order through 40 path kills."""
    flood(1, messages=50_000, kills=40)


@pytest.mark.nightly
def test_nothing_is_lost_when_paths_die_two_hundred_times() -> None:
    """M1, nightly: 1,000,000 messages arrive once and in order through 200 path kills."""
    flood(2, messages=1_000_000, kills=200)


# --- M3: reconnect during replay --------------------------------------------------------


def test_a_replay_may_be_cut_off_anywhere_and_twice() -> None:
    """M3: killed at each message of a 100-message replay, twice in a row: 0 lost."""
    count, world = 100, World(3)
    # So large that no two share a datagram: each travels alone.
    filler = bytes(8 * 1024)
    heard: list[int] = []
    fatal: list[int] = []
    kills = 0

    async def read(room: Room) -> None:
        nonlocal kills
        async for event in room:
            assert not isinstance(event, Lost), event
            if isinstance(event, Message):
                assert isinstance(event.data, bytes)
                heard.append(int.from_bytes(event.data[:4]))
                if heard[-1] in fatal:
                    fatal.remove(heard[-1])
                    kills += 1
                    world.kill_path("ada", "bob", silently=False)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        world.spawn("bob", read(bob))
        for place in range(count):
            first = place * count
            world.kill_path("ada", "bob", silently=False)
            # The second replay begins behind what came of the first.
            fatal[:] = [first + place, first + min(place + 1 + place // 2, count - 1)]
            for number in range(first, first + count):
                await ada.send(number.to_bytes(4) + filler)
            await until(lambda: heard[-1:] == [first + count - 1])  # noqa: B023 - awaited at once
            await world.linked(ada, bob)

    world.run(main())
    assert heard == list(range(count * count))
    assert kills >= 2 * count - 2


# --- M4: one slow peer --------------------------------------------------------------------


def test_one_stalled_peer_halts_nobody_for_longer_than_patience() -> None:
    """M4: its sender's memory is bounded, the others get everything, and both are told."""
    world, size = World(4, rate_bytes=8_000_000.0), 16_000
    arrivals: list[float] = []
    waiting: list[int] = []

    async def read(room: Room) -> None:
        async for event in room:
            assert not isinstance(event, Lost | PeerLagging), event
            if isinstance(event, Message):
                assert isinstance(event.data, bytes)
                assert int.from_bytes(event.data[:4]) == len(arrivals)
                arrivals.append(world.time)

    async def main() -> None:
        ada, bob, cem = await meet(world, "ada", "bob", "cem")
        there, stalled = world.watch("ada", ada), world.watch("cem", cem)
        world.spawn("bob", read(bob))
        world.stall("cem", 40.0)
        sent = 0
        until = world.time + 15.0
        while world.time < until:
            await ada.send(sent.to_bytes(4) + bytes(size))
            sent += 1
            waiting.append(
                max(view.waiting_bytes for peer in ada.peers if (view := ada.link(peer)))
            )
        await asyncio.sleep(60.0)
        assert len(arrivals) == sent
        assert max(waiting) <= 1.1 * LOG_BYTES
        halts = [after - before for before, after in pairwise(arrivals)]
        assert max(halts) < PATIENCE + 1.0
        lags = [event for event in there.events if isinstance(event, PeerLagging)]
        assert {lag.peer for lag in lags} == {cem.me}
        # All that the log took, each fragment with an overhead of 64 bytes.
        assert lags[0].count == -(-LOG_BYTES // (4 + size + 64))
        # Halted once; after that nobody waits for it until it takes in something again.
        assert sum(halt > 1.0 for halt in halts) == 1, lags
        heard = stalled.said_by(ada.me)
        assert stalled.lost(ada.me) == sent - len(heard)
        assert there.lagging(cem.me) >= stalled.lost(ada.me) > 0

    world.run(main())


# --- M5: close delivers -------------------------------------------------------------------


def test_what_is_queued_when_we_leave_arrives() -> None:
    """M5: 20 MiB wait when the room is left, and all of them are received."""
    world = World(5)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        there = world.watch("bob", bob)
        for number in range(10):
            await ada.send(bytes([number]) * MIB)
            await ada.send(bytes([number]) * MIB, to=bob.me)
        view = ada.link(bob.me)
        assert view is not None
        assert view.waiting_bytes > 18 * MIB
        await ada.leave()
        await asyncio.sleep(1.0)
        for direct in (False, True):
            said = there.said_by(ada.me, direct=direct)
            assert said == [bytes([number]) * MIB for number in range(10)]
        assert kinds(there, PeerLeft) == [PeerLeft(ada.me, LeaveReason.LEFT)]
        assert not kinds(there, Lost)

    world.run(main())


# --- M6: honest failure ---------------------------------------------------------------------

Story = Callable[[World, Room, Room, Witness, Witness], Awaitable[None]]


def tell(story: Story) -> None:
    """Let two meet, exchange a line each, and part for one of them to send ten more."""
    world = World(6)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        here, there = world.watch("ada", ada), world.watch("bob", bob)
        await ada.send(0)
        await bob.send(0)
        await asyncio.sleep(1.0)
        await story(world, ada, bob, here, there)

    world.run(main())


async def speak(room: Room, numbers: range, *, to: Peer | None = None) -> None:
    """Send numbers."""
    for number in numbers:
        await room.send(number, to=to)


def test_a_killed_recipient_is_told_of_to_the_message() -> None:
    """M6, restarted: what it cannot have got is undelivered, and its heir gets only what is new."""

    async def story(world: World, ada: Room, bob: Room, here: Witness, there: Witness) -> None:
        world.partition("ada", "bob")
        await speak(ada, range(1, 7))
        await speak(ada, range(7, 11), to=bob.me)
        world.kill("bob")
        world.heal()
        again = await world.join("bob", room="lobby")
        heir = world.watch("bob", again)
        await until(lambda: bool(kinds(here, Undelivered)))
        await world.linked(ada, again)
        await ada.send(11)
        await asyncio.sleep(1.0)
        assert kinds(here, Undelivered) == [Undelivered(bob.me, 10)]
        assert heir.said_by(ada.me) == [11]
        assert heir.lost(ada.me) == 0
        assert there.said_by(ada.me) == [0]

    tell(story)


def test_an_evicted_recipient_that_returns_is_told_to_the_message() -> None:
    """M6, evicted: its sender knows how many it owed, and it how many it missed."""

    async def story(world: World, ada: Room, bob: Room, here: Witness, there: Witness) -> None:
        world.partition("bob")
        await speak(ada, range(1, 7))
        await speak(ada, range(7, 11), to=bob.me)
        await until(lambda: bool(kinds(here, PeerLeft)))
        assert kinds(here, Undelivered) == [Undelivered(bob.me, 10)]
        world.heal()
        await until(lambda: bob.me in ada.peers)
        await world.linked(ada, bob)
        await ada.send(11)
        await ada.send(12, to=bob.me)
        await asyncio.sleep(1.0)
        assert there.said_by(ada.me) == [0, 11]
        assert there.said_by(ada.me, direct=True) == [12]
        assert there.lost(ada.me) == 10

    tell(story)


def test_who_is_evicted_before_it_was_ever_linked_is_told_as_well() -> None:
    """M6: it was owed what was sent since it was announced, and returns as the same session."""
    world = World(23)

    async def main() -> None:
        world.partition("ada", "bob")
        ada = await world.join("ada", room="lobby", relay=False)
        here = world.watch("ada", ada)
        bob = await world.join("bob", room="lobby", relay=False)
        there = world.watch("bob", bob)
        await until(lambda: bob.me in ada.peers)
        await speak(ada, range(6))
        await speak(ada, range(6, 8), to=bob.me)
        world.partition("bob")
        await until(lambda: bool(kinds(here, PeerLeft)))
        assert kinds(here, Undelivered) == [Undelivered(bob.me, 8)]
        world.heal()
        await until(lambda: bob.me in ada.peers)
        await world.linked(ada, bob)
        await ada.send(8)
        await until(lambda: bool(there.said_by(ada.me)))
        assert there.said_by(ada.me) == [8]
        assert there.lost(ada.me) == 8

    world.run(main())


def test_what_a_killed_sender_may_have_said_is_told_of() -> None:
    """M6: nobody knows how many messages died with it, and that is what the receiver is told."""

    async def story(world: World, ada: Room, bob: Room, here: Witness, there: Witness) -> None:
        world.partition("ada", "bob")
        await speak(ada, range(1, 11))
        world.kill("ada")
        await until(lambda: bool(kinds(there, PeerLeft)))
        assert kinds(there, Lost) == [Lost(ada.me, None)]
        assert kinds(there, PeerLeft) == [PeerLeft(ada.me, LeaveReason.TIMEOUT)]
        assert there.said_by(ada.me) == [0]

    tell(story)


def test_a_server_that_restarts_costs_no_message() -> None:
    """M6: what is sent while it is away, and when it knows nobody, arrives."""

    async def story(world: World, ada: Room, bob: Room, here: Witness, there: Witness) -> None:
        world.restart_server(downtime=20.0)
        await speak(ada, range(1, 6))
        world.kill_path("ada", "bob")
        await speak(ada, range(6, 11))
        await asyncio.sleep(60.0)
        assert there.said_by(ada.me) == list(range(11))
        assert not kinds(there, Lost)
        assert not kinds(here, Undelivered)

    tell(story)
