"""Streamed messages in a simulated world: whole, or broken and told so; in bounded memory."""

import asyncio
import gc
import hashlib
import io
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from random import Random

import pytest

import thkmesh
from thkmesh import (
    ByteStream,
    LinkState,
    Lost,
    Message,
    MessageTooLarge,
    PeerLagging,
    PeerLeft,
    Room,
    StreamBroken,
    Undelivered,
    UnknownPeer,
)
from thkmesh.core.credit import WINDOW_LIMIT_BYTES
from thkmesh.core.pieces import PIECE_BYTES, TRANSFER_LIMIT
from thkmesh.core.streams import LOG_BYTES
from thkmesh.testing import World

KIB = 1024
MIB = 1024 * KIB
SIZE = 10 * MIB


async def meet(world: World, *hosts: str) -> list[Room]:
    """Let hosts join a room; return their rooms once all are linked."""
    rooms = [await world.join(host, room="lobby") for host in hosts]
    await world.linked(*rooms)
    return rooms


async def next_stream(reader: AsyncIterable[thkmesh.Event]) -> ByteStream:
    """Return the next streamed message."""
    async for event in reader:
        if isinstance(event, Message) and isinstance(event.data, ByteStream):
            return event.data
    raise AssertionError("there was none")


async def parts(data: bytes, dice: Random, pause: float = 0.0) -> AsyncIterator[bytes]:
    """Yield data in chunks of all sizes."""
    at = 0
    while at < len(data):
        size = dice.choice([1, 100, 5_000, 100_000, 1_000_000])
        if pause and dice.random() < 0.3:
            await asyncio.sleep(dice.uniform(0.0, pause))
        yield data[at : at + size]
        at += size


async def endless(sent: list[int], chunk: bytes = bytes(50_000)) -> AsyncIterator[bytes]:
    """Yield chunks for ever; count their bytes."""
    sent.append(0)
    while True:
        sent[0] += len(chunk)
        yield chunk
        await asyncio.sleep(0.001)


async def broken(stream: ByteStream) -> tuple[bytes, str]:
    """Return what comes of a stream before it breaks, and why it does."""
    got = b""
    while True:
        try:
            got += await anext(stream)
        except StreamBroken as error:
            return got, str(error)


@pytest.mark.parametrize("direct", [False, True], ids=["to all", "to one"])
def test_streams_of_all_sizes_arrive_whole(direct: bool) -> None:
    """From nothing to megabytes, in chunks of any size, one behind the other."""
    world = World(3)
    dice = world.dice("data")
    sizes = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 300_000, 5 * MIB]
    sent = [dice.randbytes(size) for size in sizes]

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        to = bob.me if direct else None

        async def send() -> None:
            for data in sent:
                await ada.send(parts(data, dice), to=to)

        sending = world.spawn("ada", send())
        for data in sent:
            async for event in bob:
                if isinstance(event, Message):
                    assert isinstance(event.data, ByteStream)
                    assert event.direct is direct
                    assert await event.data.read_all() == data
                    break
        await sending

    world.run(main())


def test_files_and_iterators_are_streams() -> None:
    """Beside what is asynchronous, what is read without waiting."""
    world = World(3)
    data = bytes(range(256)) * 1000

    def generated() -> Iterator[bytes | bytearray]:
        yield data[:1000]
        yield bytearray(data[1000:])
        yield b""

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        for source in (io.BytesIO(data), generated(), iter([memoryview(data)])):
            sending = world.spawn("ada", ada.send(source))
            assert await (await next_stream(bob)).read_all() == data
            await sending
        for wrong in (iter(["text"]), iter([1]), io.StringIO("text")):
            with pytest.raises(thkmesh.InvalidArgument, match="made of bytes"):
                await ada.send(wrong)  # type: ignore[arg-type]
        for neither in ({1, 2}, object(), range(3)):
            with pytest.raises(thkmesh.InvalidArgument):
                await ada.send(neither)  # type: ignore[arg-type]
        with pytest.raises(thkmesh.InvalidArgument):
            ada.send_nowait(iter([b"x"]))  # type: ignore[arg-type]

    world.run(main())


def test_what_comes_without_waiting_shares_pieces() -> None:
    """A thousand small chunks are few pieces; what waits is not held back for more."""
    world = World(4)
    waited = 0.0

    async def lines() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield b"line %d\n" % number
        await asyncio.sleep(60.0)
        yield b"the end"

    async def main() -> int:
        nonlocal waited
        ada, bob = await meet(world, "ada", "bob")
        begun = world.time
        sending = world.spawn("ada", ada.send(lines()))
        stream = await next_stream(bob)
        count, size = 0, 0
        async for chunk in stream:
            count, size = count + 1, size + len(chunk)
            waited = waited or (size >= 8_890 and world.time - begun)
        await sending
        return count

    assert world.run(main()) <= 4
    assert 0.0 < waited < 1.0


def test_streams_and_messages_interleave() -> None:
    """Two at once on one channel, and small messages between: nobody waits for an end."""
    world = World(5, rate_bytes=4_000_000.0)
    order: list[str] = []

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        one = world.spawn("ada", ada.send(io.BytesIO(b"1" * SIZE)))
        two = world.spawn("ada", ada.send(io.BytesIO(b"2" * SIZE)))

        async def read(stream: ByteStream) -> None:
            data = await stream.read_all()
            assert len(data) == SIZE
            assert len(set(data)) == 1
            order.append("whole")

        reading: list[asyncio.Task[None]] = []
        async for event in bob:
            match event:
                case Message(data=ByteStream() as stream):
                    reading.append(world.spawn("bob", read(stream)))
                    if len(reading) == 2:
                        world.spawn("ada", ada.send("between"))
                case Message(data=str(text)):
                    order.append(text)
                    break
                case _:
                    pass
        await asyncio.gather(one, two, *reading)

    world.run(main())
    assert order == ["between", "whole", "whole"]


def storm(seed: int, *, transfers: int, kills: int, lull: float) -> None:
    """Send streams both ways and to all, while paths die under them."""
    world = World(seed, jitter=0.01, loss=0.01)
    dice = world.dice("transfers")
    hosts = ("ada", "bob", "cat")
    got: dict[tuple[str, str], list[str]] = {}
    sent: dict[tuple[str, str], list[str]] = {}

    async def send(room: Room, rooms: list[Room], name: str) -> None:
        own = world.dice(f"send {name}")
        for _ in range(transfers):
            data = own.randbytes(own.choice([0, 10, 70_000, 500_000, 2_000_000]))
            to = own.choice([None, *(each for each in rooms if each is not room)])
            for each in rooms:
                if each is not room and to in (None, each):
                    key = (room.me.name, each.me.name)
                    sent.setdefault(key, []).append(hashlib.sha256(data).hexdigest())
            await room.send(parts(data, own, 0.05), to=None if to is None else to.me)
            await asyncio.sleep(own.uniform(0.0, 0.3))

    async def digest(key: tuple[str, str], stream: ByteStream) -> None:
        hashing = hashlib.sha256()
        own = world.dice(f"digest {key}")
        async for chunk in stream:
            hashing.update(chunk)
            if own.random() < 0.1:
                await asyncio.sleep(own.uniform(0.0, 0.2))
        got.setdefault(key, []).append(hashing.hexdigest())

    async def read(room: Room, host: str) -> None:
        async with asyncio.TaskGroup() as group:
            async for event in room:
                match event:
                    case Message(peer=peer, data=ByteStream() as stream):
                        group.create_task(digest((peer.name, host), stream))
                    case Lost() | PeerLagging() | Undelivered() | PeerLeft():
                        raise AssertionError(event)
                    case _:
                        pass

    async def main() -> None:
        rooms = [await world.join(host, room="lobby", name=host) for host in hosts]
        await world.linked(*rooms)
        reading = [
            world.spawn(host, read(room, host)) for host, room in zip(hosts, rooms, strict=True)
        ]
        sending = [
            world.spawn(host, send(room, rooms, f"{host} {number}"))
            for host, room in zip(hosts, rooms, strict=True)
            for number in range(2)
        ]
        for kill in range(kills):
            await asyncio.sleep(dice.uniform(0.1, 2.0) * lull)
            one, other = dice.sample(hosts, 2)
            world.kill_path(one, other, silently=kill % 2 == 0)

        async def delivered() -> None:
            await asyncio.gather(*sending)
            for room in rooms:
                await room.flush()

        delivering = asyncio.create_task(delivered())
        done, _ = await asyncio.wait([delivering, *reading], return_when=asyncio.FIRST_COMPLETED)
        for each in done:  # whoever stops reading stops who sends to it
            await each
        await asyncio.sleep(30.0)
        assert {key: sorted(each) for key, each in got.items()} == {
            key: sorted(each) for key, each in sent.items()
        }
        for each in reading:
            each.cancel()
        await asyncio.wait(reading)

    world.run(main(), limit=3600.0)


def test_streams_survive_path_kills() -> None:
    """Hash for hash, whatever becomes of connections."""
    storm(7, transfers=8, kills=12, lull=0.5)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 120))
def test_streams_survive_many_path_kills(seed: int) -> None:
    """The same with other seeds, and longer."""
    storm(seed, transfers=25, kills=20, lull=6.0)


def test_who_does_not_read_stops_the_sender_and_that_channel_alone() -> None:
    """What lies here is bounded, other channels go on, and reading sets it going again."""
    world = World(8)
    sent: list[int] = []

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        here, there = ada.channel("film"), bob.channel("film")
        await asyncio.sleep(1.0)
        world.spawn("ada", here.send(endless(sent), to=bob.me))
        stream = await next_stream(there)
        await asyncio.sleep(60.0)
        stopped = sent[0]
        assert WINDOW_LIMIT_BYTES < stopped < WINDOW_LIMIT_BYTES + LOG_BYTES + MIB
        await ada.send("goes on")
        async for event in bob:
            if isinstance(event, Message):
                assert event.data == "goes on"
                break
        await asyncio.sleep(60.0)
        assert sent[0] == stopped
        size = 0
        async for chunk in stream:
            size += len(chunk)
            if size > 14 * MIB:
                break
        assert sent[0] > stopped + 4 * MIB

    world.run(main())


@pytest.mark.parametrize("how", ["closed", "dropped", "not asked for"])
def test_who_wants_no_more_is_not_waited_for(how: str) -> None:
    """A stream that was closed, or that nobody can reach any more, is sent to its end."""
    world = World(9)
    data = bytes(16 * MIB)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        sending = world.spawn("ada", ada.send(io.BytesIO(data), to=bob.me))
        if how == "not asked for":
            events = aiter(bob)
            while not isinstance(await anext(events), Message):
                pass
        else:
            stream = await next_stream(bob)
            assert await anext(stream)
            await asyncio.sleep(10.0)  # until its sender waits
            if how == "closed":
                await stream.aclose()
                assert [chunk async for chunk in stream] == []
            else:
                del stream
                gc.collect()
        await sending
        await ada.flush()

    world.run(main())


@pytest.mark.parametrize("how", ["raises", "cancelled", "no bytes"])
def test_a_stream_that_is_given_up_breaks(how: str) -> None:
    """What came first is there; then it is told. What is sent afterwards arrives."""
    world = World(10)

    async def source(go_on: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"a beginning"
        await go_on.wait()
        if how == "no bytes":
            yield "text"  # type: ignore[misc]
        raise ZeroDivisionError

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        go_on = asyncio.Event()
        sending = world.spawn("ada", ada.send(source(go_on)))
        stream = await next_stream(bob)
        if how == "cancelled":
            await asyncio.sleep(1.0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        else:
            go_on.set()
            kind = ZeroDivisionError if how == "raises" else thkmesh.InvalidArgument
            with pytest.raises(kind):
                await sending
        assert await broken(stream) == (b"a beginning", "its sender gave it up")
        await ada.send(io.BytesIO(b"whole"))
        assert await (await next_stream(bob)).read_all() == b"whole"

    world.run(main())


def test_a_source_that_fails_at_once_sends_nothing() -> None:
    """Its error is raised from ``send``."""
    world = World(10)

    async def source() -> AsyncIterator[bytes]:
        if world.time >= 0.0:
            raise ZeroDivisionError
        yield b"never"

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        with pytest.raises(ZeroDivisionError):
            await ada.send(source())
        with pytest.raises(UnknownPeer):
            await ada.send(io.BytesIO(b""), to="nobody")
        await ada.send("after")
        async for event in bob:
            if isinstance(event, Message):
                assert event.data == "after"
                break

    world.run(main())


@pytest.mark.parametrize("how", ["leaves", "dies"])
def test_a_sender_that_is_gone_breaks_its_streams(how: str) -> None:
    """Never silently short: who reads is told."""
    world = World(11)
    sent: list[int] = []

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        sending = world.spawn("ada", ada.send(endless(sent)))
        stream = await next_stream(bob)
        assert await anext(stream)
        await asyncio.sleep(1.0)
        leaving = None
        if how == "leaves":
            leaving = world.spawn("ada", ada.leave())
        else:
            world.kill("ada")
        got, reason = await broken(stream)
        assert got
        assert reason == "its sender is gone"
        if leaving is not None:
            await leaving
            with pytest.raises(thkmesh.RoomClosed):
                await sending
            with pytest.raises(thkmesh.RoomClosed):
                await ada.send(io.BytesIO(b"x"))

    world.run(main())


def test_a_reader_that_is_gone_ends_what_was_for_it_alone() -> None:
    """Of what is for all, those who remain get everything, and the loss is told."""
    world = World(12)
    data = bytes(10 * MIB)
    sent: list[int] = []

    async def main() -> None:
        ada, bob, cat = await meet(world, "ada", "bob", "cat")
        alone = world.spawn("ada", ada.send(endless(sent), to=cat.me))
        to_all = world.spawn("ada", ada.send(io.BytesIO(data)))

        async def count(room: Room) -> int:
            size = 0
            async for event in room:
                if isinstance(event, Message) and isinstance(event.data, ByteStream):
                    async for chunk in event.data:
                        size += len(chunk)
                    break
            return size

        counting = world.spawn("bob", count(bob))
        world.spawn("cat", count(cat))
        await asyncio.sleep(0.5)
        world.kill("cat")
        assert await counting == len(data)
        await to_all
        with pytest.raises(UnknownPeer):
            await alone
        told: list[thkmesh.Event] = []
        async for event in ada:
            told.append(event)
            if isinstance(event, PeerLeft):
                break
        assert [event for event in told if isinstance(event, Undelivered)]

    world.run(main())


def test_who_cannot_keep_up_is_cut_loose_and_told() -> None:
    """Nobody halts a room: the others get everything, and the slow one knows that it did not."""
    world = World(13)
    data = bytes(20 * MIB)

    async def main() -> None:
        ada, bob, cat = await meet(world, "ada", "bob", "cat")
        sending = world.spawn("ada", ada.send(io.BytesIO(data)))
        quick, slow = await next_stream(bob), await next_stream(cat)
        size = 0
        async for chunk in quick:
            size += len(chunk)
        assert size == len(data)
        await sending
        lagging = [event async for event in _until(ada, PeerLagging)]
        assert lagging[-1] == PeerLagging(cat.me, 1)
        got, reason = await broken(slow)
        assert 0 < len(got) < len(data)
        assert reason == "a part of it was lost"
        second = world.spawn("ada", ada.send(io.BytesIO(b"again")))
        assert await (await next_stream(cat)).read_all() == b"again"
        await second

    world.run(main())


async def _until(room: Room, kind: type[thkmesh.Event]) -> AsyncIterator[thkmesh.Event]:
    async for event in room:
        yield event
        if isinstance(event, kind):
            return


@pytest.mark.parametrize("how", ["room", "channel"])
def test_what_is_left_or_closed_breaks_what_is_under_way(how: str) -> None:
    """What had come can be read; what is whole remains so."""
    world = World(14)
    sent: list[int] = []

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        here, there = ada.channel("x"), bob.channel("x")
        await asyncio.sleep(1.0)
        await here.send(io.BytesIO(b"whole"))
        whole = await next_stream(there)
        sending = world.spawn("ada", here.send(endless(sent)))
        stream = await next_stream(there)
        await (bob.leave() if how == "room" else there.close())
        assert await whole.read_all() == b"whole"
        got, reason = await broken(stream)
        assert got
        assert reason == ("the room was left" if how == "room" else "the channel was closed")
        await here.close()
        with pytest.raises(thkmesh.ChannelClosed):
            await sending

    world.run(main())


def test_each_reader_has_its_own() -> None:
    """Several subscriptions read at their own pace; the slowest is waited for."""
    world = World(15)
    data = world.dice("data").randbytes(3 * MIB)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        one, two = bob.subscribe(), bob.subscribe()
        sending = world.spawn("ada", ada.send(io.BytesIO(data)))
        streams = [await next_stream(each) for each in (one, two)]
        first = await anext(streams[0])
        three = bob.subscribe(unread=True)
        four = bob.subscribe()
        assert first + await streams[0].read_all() == data
        assert await streams[1].read_all() == data
        await sending
        with pytest.raises(StreamBroken, match="nobody was reading here"):
            await (await next_stream(three)).read_all()
        four.close()
        await ada.send("after")

    world.run(main())


def test_who_subscribes_to_what_is_unread_shares_it() -> None:
    """What has come of a stream that nobody has taken is there for both."""
    world = World(16)
    data = world.dice("data").randbytes(3 * MIB)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        one = aiter(bob)
        while not isinstance(await anext(one), thkmesh.LinkChanged):
            pass
        sending = world.spawn("ada", ada.send(io.BytesIO(data)))
        await asyncio.sleep(5.0)
        other = bob.subscribe(unread=True)
        streams = [await next_stream(bob), await next_stream(other)]
        gathered = await asyncio.gather(*(each.read_all() for each in streams))
        assert gathered == [data, data]
        await sending

    world.run(main())


def test_reading_all_has_a_limit() -> None:
    """What is more raises, and is not waited for."""
    world = World(17)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        sending = world.spawn("ada", ada.send(io.BytesIO(bytes(20 * MIB)), to=bob.me))
        with pytest.raises(MessageTooLarge):
            await (await next_stream(bob)).read_all(limit=MIB)
        await sending
        await ada.flush()
        exact = world.spawn("ada", ada.send(io.BytesIO(bytes(1000))))
        assert len(await (await next_stream(bob)).read_all(limit=1000)) == 1000
        await exact

    world.run(main())


def test_so_many_at_once_and_no_more() -> None:
    """The next one is refused, until one has ended."""
    world = World(18)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        go_on = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            yield b"x"
            await go_on.wait()

        sending = [world.spawn("ada", ada.send(source())) for _ in range(TRANSFER_LIMIT)]
        streams = [await next_stream(bob) for _ in sending]
        with pytest.raises(thkmesh.WouldWait):
            await ada.send(source())
        go_on.set()
        await asyncio.gather(*sending)
        assert [await each.read_all() for each in streams] == [b"x"] * TRANSFER_LIMIT
        await ada.send(source())

    world.run(main())


def test_a_newcomer_is_owed_no_rest() -> None:
    """Who comes while a stream is under way gets the next one, and no half."""
    world = World(19)

    async def main() -> None:
        ada, bob = await meet(world, "ada", "bob")
        go_on = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            yield b"before "
            await go_on.wait()
            yield b"and after"

        sending = world.spawn("ada", ada.send(source()))
        stream = await next_stream(bob)
        cat = await world.join("cat", room="lobby")
        await world.linked(ada, bob, cat)
        go_on.set()
        assert await stream.read_all() == b"before and after"
        await sending
        world.spawn("ada", ada.send(io.BytesIO(b"for all")))
        assert await (await next_stream(cat)).read_all() == b"for all"
        assert cat.link(ada.me) is not None
        assert {LinkState.CONNECTED} == {
            view.state for peer in cat.peers if (view := cat.link(peer)) is not None
        }

    world.run(main())
