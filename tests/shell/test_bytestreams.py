"""Streams over a real engine: bounded memory, fair links, and the plain face."""

import asyncio
import hashlib
import io
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import thkmesh
from tests.shell.programs import run
from tests.shell.world import PATIENCE, heard, ready, received
from thkmesh import ByteStream, LinkChanged, LinkState, Message, Room, StreamBroken, sync

MIB = 2**20

GROWTH_MIB = 60
"""Measured: up to 24, for both ends, of which a window (8) and a log (4)."""

PROGRAM = """
import hashlib, json

SIZE = MIB * 2**20

async def source(hashing):
    left, number = SIZE, 0
    while left:
        chunk = number.to_bytes(8, "big") * 8192
        hashing.update(chunk)
        left -= len(chunk)
        number += 1
        yield chunk

def peak():
    status = dict(line.split(":\\t") for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) // 1024

async def main():
    async with thkmesh.join(url, room=room) as one, thkmesh.join(url, room=room) as other:
        await linked_async(one)
        await linked_async(other)
        before, begun = peak(), time.monotonic()
        ours, theirs = hashlib.sha256(), hashlib.sha256()
        sending = asyncio.create_task(one.send(source(ours)))
        size = 0
        async for event in other:
            if isinstance(event, Message):
                async for chunk in event.data:
                    theirs.update(chunk)
                    size += len(chunk)
                break
        await sending
        same = ours.digest() == theirs.digest()
        seconds = time.monotonic() - begun
        print(json.dumps(dict(size=size, same=same, growth=peak() - before, seconds=seconds)))

asyncio.run(main())
"""


def _carry(url: str, room: str, mib: int, patience: float) -> None:
    with run(f"MIB = {mib}\n{PROGRAM}", url, room) as program:
        told = program.value(patience=patience)
        assert program.end() == (0, "", "")
    assert told["size"] == mib * MIB
    assert told["same"]
    assert told["growth"] < GROWTH_MIB, told


def test_a_hundred_mebibytes_take_no_memory(url: str, room: str) -> None:
    """What is sent from a generator is never there as a whole, at neither end."""
    _carry(url, room, 100, 55.0)


@pytest.mark.nightly
def test_two_gibibytes_take_no_memory(url: str, room: str) -> None:
    """Nor is twenty times as much."""
    _carry(url, room, 2048, 1200.0)


async def filling(
    size: int, byte: bytes, go_on: asyncio.Event | None = None
) -> AsyncIterator[bytes]:
    """Yield so many bytes; wait before the last."""
    for left in range(size // 65_536, 0, -1):
        if left == 1 and go_on is not None:
            await go_on.wait()
        yield byte * 65_536


async def test_two_streams_and_a_conversation(two: tuple[Room, Room]) -> None:
    """All at once: a line of chat waits for no stream to end."""
    ada, bob = two
    size = 12 * MIB
    here, there = ada.channel("film", priority="low"), bob.channel("film")
    await ready(here, there)
    go_on = asyncio.Event()
    sending = [asyncio.create_task(here.send(filling(size, byte, go_on))) for byte in (b"1", b"2")]

    async def read(stream: ByteStream) -> tuple[int, set[int]]:
        total, seen = 0, set[int]()
        async for chunk in stream:
            total += len(chunk)
            seen |= set(chunk)
        return total, seen

    reading: list[asyncio.Task[tuple[int, set[int]]]] = []
    for _ in sending:
        message = await heard(there, Message)
        assert isinstance(message.data, ByteStream)
        reading.append(asyncio.create_task(read(message.data)))
    for number in range(10):
        await ada.send(number)
        assert (await heard(bob, Message)).data == number
    assert not any(each.done() for each in reading)
    go_on.set()
    assert sorted([await each for each in reading], key=str) == [(size, {49}), (size, {50})]
    await asyncio.gather(*sending)


# --- the plain face -------------------------------------------------------------------


@pytest.fixture
def plain(url: str, room: str) -> Iterator[tuple[sync.Room, sync.Room]]:
    """Return Ada's and Bob's view of one room, linked, without an event loop."""
    with ExitStack() as stack:
        ada = stack.enter_context(sync.join(url, room=room, name="Ada"))
        bob = stack.enter_context(sync.join(url, room=room, name="Bob"))
        for each in (ada, bob):
            received(each, LinkChanged, lambda event: event.state is LinkState.CONNECTED)
        yield ada, bob


def stream_of(reader: sync.Room) -> sync.ByteStream:
    """Return the next streamed message."""
    data = received(reader, Message).data
    assert isinstance(data, sync.ByteStream)
    return data


class Sender(threading.Thread):
    """Sends a source on another thread, and keeps what that raises."""

    def __init__(self, room: sync.Room, source: object) -> None:
        """Begin."""
        super().__init__()
        self._room = room
        self._source = source
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Send it."""
        try:
            self._room.send(self._source)  # type: ignore[arg-type]  # some are wrong on purpose
        except (thkmesh.MeshError, ZeroDivisionError) as error:
            self.error = error


def test_a_file_goes_from_script_to_script(
    plain: tuple[sync.Room, sync.Room], tmp_path: Path
) -> None:
    """Sent as it is read and written as it comes; the rest of the room goes on."""
    ada, bob = plain
    path = tmp_path / "film"
    path.write_bytes(bytes(range(256)) * 40_000)
    with path.open("rb") as file:
        sender = Sender(ada, file)
        hashing = hashlib.sha256()
        for chunk in stream_of(bob):
            hashing.update(chunk)
        sender.join(PATIENCE)
    assert sender.error is None
    assert hashing.digest() == hashlib.sha256(path.read_bytes()).digest()
    ada.channel("x")
    channel = bob.channel("x")
    sender = Sender(ada, iter([b"one ", b"", bytearray(b"two")]))
    assert stream_of(bob).read_all() == b"one two"
    sender.join(PATIENCE)
    channel.close()


def test_a_script_may_want_no_more(plain: tuple[sync.Room, sync.Room]) -> None:
    """What is closed, dropped or too large is sent to its end; what is given up breaks."""
    ada, bob = plain
    for how in ("closed", "dropped", "too large"):
        sender = Sender(ada, io.BytesIO(bytes(14 * MIB)))
        stream = stream_of(bob)
        if how == "closed":
            next(stream)
            stream.close()
            assert list(stream) == []
        elif how == "too large":
            with pytest.raises(thkmesh.MessageTooLarge):
                stream.read_all(limit=MIB)
        del stream
        sender.join(PATIENCE)
        assert not sender.is_alive()
        assert sender.error is None
    with pytest.raises(thkmesh.InvalidArgument):
        ada.send_nowait(iter([b"x"]))  # type: ignore[arg-type]


def test_a_source_of_a_script_that_fails_breaks_its_stream(
    plain: tuple[sync.Room, sync.Room],
) -> None:
    """Its error is raised from ``send``; what is no source is refused."""
    ada, bob = plain

    def failing() -> Iterator[bytes]:
        yield b"a beginning"
        raise ZeroDivisionError

    sender = Sender(ada, failing())
    stream = stream_of(bob)
    assert next(stream) == b"a beginning"
    with pytest.raises(StreamBroken, match="gave it up"):
        next(stream)
    sender.join(PATIENCE)
    assert isinstance(sender.error, ZeroDivisionError)
    for delivery in ("unordered", "latest", "realtime"):
        channel = ada.channel(delivery, delivery=delivery)
        with pytest.raises(thkmesh.InvalidArgument, match='delivery="reliable"'):
            channel.send(iter([b"x"]))
    with pytest.raises(thkmesh.InvalidArgument, match="no key"):
        ada.channel("reliable").send(iter([b"x"]), key="k")
    for wrong in (iter(["text"]), filling(1, b"x"), {1}, object()):
        sender = Sender(ada, wrong)
        sender.join(PATIENCE)
        assert isinstance(sender.error, thkmesh.InvalidArgument)


def test_a_loop_is_not_blocked_by_a_stream(plain: tuple[sync.Room, sync.Room]) -> None:
    """In a running event loop reading raises, and what came can be read afterwards."""
    ada, bob = plain
    gate = threading.Event()

    def waiting() -> Iterator[bytes]:
        yield b"x"
        gate.wait(PATIENCE)
        yield b"y"

    sender = Sender(ada, waiting())
    stream = stream_of(bob)

    async def inside() -> None:
        assert next(stream) == b"x"
        with pytest.raises(thkmesh.WrongContext):
            next(stream)

    asyncio.run(inside())
    gate.set()
    assert stream.read_all() == b"y"
    sender.join(PATIENCE)
