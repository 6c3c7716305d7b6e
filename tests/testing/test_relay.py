"""The path through the server, in the simulated world: bridged, left, and never losing."""

import asyncio
import random
from collections import Counter

import pytest

from thkmesh.core.relay import RELAY_AFTER
from thkmesh.errors import InvalidMessage, InvalidSignature
from thkmesh.events import (
    LeaveReason,
    LinkChanged,
    Lost,
    Message,
    Path,
    PathChanged,
    PeerLeft,
    Refused,
    Undelivered,
)
from thkmesh.room import Room
from thkmesh.server import ServerSettings
from thkmesh.testing import World

PATIENCE = 60.0


class Ear:
    """A room, and all that it has told."""

    def __init__(self, room: Room) -> None:
        """Begin to listen."""
        self.room = room
        self.events: list[object] = []
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self.room:
            self.events.append(event)
            self._news.set()

    @property
    def data(self) -> list[object]:
        """What others said."""
        return [event.data for event in self.events if isinstance(event, Message)]

    @property
    def paths(self) -> list[Path | None]:
        """The ways that messages went."""
        return [event.path for event in self.events if isinstance(event, PathChanged)]

    def of(self, kind: type) -> list[object]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def more(self) -> None:
        """Wait until something happens."""
        self._news.clear()
        await self._news.wait()

    async def until(self, *data: object, within: float = PATIENCE) -> None:
        """Wait until just this has been said."""
        async with asyncio.timeout(within):
            while len(self.data) < len(data):
                await self.more()
        assert self.data == list(data)


async def two(world: World) -> tuple[Ear, Ear]:
    """Let two peers join."""
    rooms = [await world.join(host, room="r") for host in ("ada", "bob")]
    ears = (Ear(rooms[0]), Ear(rooms[1]))
    while not rooms[0].peers:
        await ears[0].more()
    return ears


def path(one: Ear, other: Ear) -> Path | None:
    """Return what carries messages from one to the other."""
    link = one.room.link(other.room.me)
    assert link is not None
    return link.path


def test_who_finds_no_direct_path_talks_through_the_server() -> None:
    """Both hear everything in order, soon, and are told by what way."""
    world = World(3)
    world.network.partition("ada", "bob")

    async def main() -> None:
        ada, bob = await two(world)
        await ada.room.send("hello")
        await bob.room.send({"to": "you"}, to=ada.room.me)
        await bob.until("hello", within=RELAY_AFTER + 1.0)
        await ada.until({"to": "you"}, within=1.0)
        assert path(ada, bob) is path(bob, ada) is Path.RELAY
        assert ada.paths == bob.paths == [Path.RELAY]
        assert not ada.of(LinkChanged)
        big = bytes(range(256)) * 800
        await ada.room.send(big)
        await bob.until("hello", big)
        await ada.room.leave()
        assert ada.of(Refused) == bob.of(Refused) == []

    world.run(main())


def test_who_leaves_has_what_it_has_read() -> None:
    """Its goodbye says so: nobody is told of a loss that there was not."""
    world = World(3)
    world.network.partition("ada", "bob")

    async def main() -> None:
        ada, bob = await two(world)
        await ada.room.send("hello")
        await bob.until("hello")
        await asyncio.sleep(3.0)
        await bob.room.send("last", to=ada.room.me)
        await ada.until("last")
        await ada.room.leave()
        await asyncio.sleep(5.0)
        assert bob.of(PeerLeft)
        assert bob.of(Undelivered) == bob.of(Lost) == []

    world.run(main())


def test_a_line_of_chat_does_not_wait_for_all_that_goes_to_another() -> None:
    """Who shares what the server passes on takes turns."""
    world = World(4)
    for pair in (("ada", "bob"), ("ada", "cem"), ("bob", "cem")):
        world.network.partition(*pair)

    async def main() -> None:
        ada, bob, cem = [Ear(await world.join(host, room="r")) for host in ("ada", "bob", "cem")]
        await asyncio.sleep(3.0)
        await ada.room.send("hello")
        await cem.until("hello")
        for _ in range(4):
            await ada.room.send(bytes(1 << 20), to=bob.room.me)
        await asyncio.sleep(3.0)
        for number in range(3):
            await ada.room.send(number, to=cem.room.me)
            await cem.until("hello", *range(number + 1), within=3.0)
        assert len(bob.data) < 4

    world.run(main())


def test_a_broken_path_is_bridged_and_the_relay_left() -> None:
    """What is said meanwhile arrives before the repair; after it nothing comes twice."""
    world = World(5)

    async def main() -> None:
        ada, bob = await two(world)
        await ada.room.send(0)
        await bob.until(0)
        assert path(ada, bob) is Path.DIRECT
        assert not ada.paths
        world.network.partition("ada", "bob")
        said = [0]
        for number in range(1, 31):
            await ada.room.send(number)
            said.append(number)
            await asyncio.sleep(0.5)
        await bob.until(*said, within=5.0)
        assert path(ada, bob) is Path.RELAY
        world.network.heal("ada", "bob")
        async with asyncio.timeout(PATIENCE):
            while path(ada, bob) is not Path.DIRECT or path(bob, ada) is not Path.DIRECT:
                await ada.room.send(len(said))
                said.append(len(said))
                await asyncio.sleep(0.1)
        await ada.room.send("direct again")
        await bob.until(*said, "direct again")
        assert ada.paths == bob.paths == [Path.RELAY, Path.DIRECT]
        assert ada.of(Refused) == bob.of(Refused) == bob.of(Lost) == []

    world.run(main())


def test_what_the_server_drops_is_sent_again() -> None:
    """A server that passes on little drops frames, cuts nobody off, and costs no message."""
    settings = ServerSettings(relay_bytes=20_000, relay_burst_bytes=131_072)
    world = World(7, settings=settings)
    world.network.partition("ada", "bob")
    dice = random.Random(7)
    frames: Counter[bool] = Counter()

    def strict(frame: bytes) -> tuple[bytes, ...]:
        """Drop a third, as a server does that is stricter than it says."""
        passed = dice.random() > 1 / 3
        frames[passed] += 1
        return (frame,) if passed else ()

    async def main() -> None:
        ada, bob = await two(world)
        assert world.server.service is not None
        service = world.server.service
        world.server.tamper_frame = strict
        said = [bytes([number]) * 5_000 for number in range(40)]
        for each in said:
            await ada.room.send(each)
            await bob.room.send(each)
        await bob.until(*said, within=600.0)
        await ada.until(*said, within=600.0)
        assert frames[False] > 10
        assert service.connection_count == 2
        assert ada.of(Refused) == bob.of(Refused) == []

    world.run(main())


def test_forged_and_replayed_frames_are_told_of_and_harm_nothing() -> None:
    """Each kind has its error, names whom it claims to be from, and costs no message."""
    world = World(19)
    world.network.partition("ada", "bob")
    former: list[bytes] = []

    def lie(frame: bytes) -> list[bytes]:
        forged = frame[:-1] + bytes([frame[-1] ^ 1])
        ahead = frame[:43] + b"\xff" * 8 + frame[51:]
        elsewhere = frame[:1] + b"z" * 26 + frame[27:]
        malformed = frame[:50]
        replayed = former[-1:]
        former.append(frame)
        return [forged, ahead, elsewhere, malformed, *replayed, frame, frame]

    async def main() -> None:
        ada, bob = await two(world)
        world.server.tamper_frame = lie
        said = [f"message {number}" for number in range(20)]
        for each in said:
            await ada.room.send(each)
            await asyncio.sleep(0.1)
        await bob.until(*said)
        refused = [event for event in bob.events if isinstance(event, Refused)]
        assert {type(event.error) for event in refused} == {InvalidMessage, InvalidSignature}
        assert {event.peer for event in refused} == {None, ada.room.me}
        assert bob.paths == [Path.RELAY]

    world.run(main())


@pytest.mark.parametrize("unwilling", ["ada", "bob"])
def test_nothing_is_relayed_to_who_does_not_want_it(unwilling: str) -> None:
    """One who has switched it off is enough; then a message waits for a direct path."""
    world = World(11)
    world.network.partition("ada", "bob")

    async def main() -> None:
        rooms = [
            await world.join(host, room="r", relay=host != unwilling) for host in ("ada", "bob")
        ]
        ada, bob = map(Ear, rooms)
        await asyncio.sleep(1.0)
        await ada.room.send("waits")
        await asyncio.sleep(20.0)
        assert not bob.data
        assert path(ada, bob) is None
        world.network.heal("ada", "bob")
        await bob.until("waits")
        assert ada.paths == bob.paths == []

    world.run(main())


def test_the_relay_ends_with_the_server() -> None:
    """Without the server nothing is carried; when it is back it goes on where it was."""
    world = World(13)
    world.network.partition("ada", "bob")

    async def main() -> None:
        ada, bob = await two(world)
        await ada.room.send(1)
        await bob.until(1)
        world.server.kill()
        await asyncio.sleep(5.0)
        assert path(ada, bob) is None
        await ada.room.send(2)
        world.server.start()
        await bob.until(1, 2)
        assert ada.paths == [Path.RELAY, None, Path.RELAY]

    world.run(main())


def test_a_goodbye_through_the_server_comes_last() -> None:
    """Who leaves over the relay delivers what is queued first."""
    world = World(17)
    world.network.partition("ada", "bob")

    async def main() -> None:
        ada, bob = await two(world)
        await ada.room.send("first")
        await bob.until("first")
        said = [bytes([number]) * 20_000 for number in range(8)]
        for each in said:
            await ada.room.send(each)
        await ada.room.leave(patience=60.0)
        await bob.until("first", *said)
        await asyncio.sleep(1.0)
        assert not bob.of(Lost)
        assert [e.reason for e in bob.events if isinstance(e, PeerLeft)] == [LeaveReason.LEFT]

    world.run(main())
