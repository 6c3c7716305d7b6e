"""Messages on their short way through the server: whole, in order, and none too many."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tests.server.raw import TEXT, UPGRADE, Closed, RawSocket
from tests.server.world import Client, Server, server, serving, until
from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.sealed import addressed
from thkmesh.core.wire import Ping, Pong, decode_to_client, encode
from thkmesh.server import create_app
from thkmesh.server.direct import DirectProtocol

_PING, _PONG = 9, 10
_MASK = b"\x37\xfa\x21\x3d"


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, mask: bytes = _MASK) -> bytes:
    """Return a frame as a client sends it."""
    size = len(payload)
    head = bytes((opcode | 0x80 * fin, 0x80 | min(size, 126)))
    if size >= 126:
        head += struct.pack("!H", size)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def ping(number: int) -> bytes:
    """Return a message that is answered."""
    return encode(Ping(number)).encode()


@asynccontextmanager
async def joined() -> AsyncIterator[RawSocket]:
    """Give a socket that is in a room."""
    async with server() as world:
        raw = await RawSocket.open(world.host)
        challenge = decode_to_client(await raw.receive())
        assert isinstance(challenge, wire.Challenge)
        raw.send(encode(Client("").hello(challenge.nonce)).encode())
        assert isinstance(decode_to_client(await raw.receive()), wire.Welcome)
        try:
            yield raw
        finally:
            raw.cut()


def served(world: Server, client: Client) -> DirectProtocol:
    """Return the server's end of a client's connection."""
    address = client.socket.transport.get_extra_info("sockname")
    protocols = [each for each in world.state.connections if isinstance(each, DirectProtocol)]
    return next(each for each in protocols if each.client == address)


async def answers(raw: RawSocket, count: int) -> list[int]:
    """Return the numbers of the pongs that come."""
    pongs = [decode_to_client(await raw.receive()) for _ in range(count)]
    return [pong.n for pong in pongs if isinstance(pong, Pong)]


def a_conversation() -> tuple[bytes, int]:
    """Return messages of all sizes, fragments and control frames; and how many want an answer."""
    said, count = b"", 0
    for padding in (0, 90, 200, 40_000):
        text = ping(count)[:-1] + b',"x":"' + b"y" * padding + b'"}'
        said += frame(text)
        count += 1
        text = ping(count)
        said += frame(text[:5], fin=False) + frame(b"hi", _PING)
        said += frame(text[5:9], 0, fin=False) + frame(b"", _PING) + frame(text[9:], 0)
        count += 1
        said += frame(ping(count))
        count += 1
    return said, count


@pytest.mark.parametrize("seed", range(3))
async def test_messages_arrive_however_they_are_cut(seed: int) -> None:
    """In pieces of any length, with fragments and control frames in between."""
    dice = random.Random(seed)
    said, count = a_conversation()
    async with joined() as raw:
        for longest in (len(said), 5000, 300, 30):
            at = 0
            while at < len(said):
                size = dice.randint(1, longest)
                raw.writer.write(said[at : at + size])
                at += size
                if dice.random() < 0.02:
                    await raw.writer.drain()
            assert await answers(raw, count) == [*range(count)]


async def test_messages_arrive_byte_by_byte() -> None:
    """So no place to cut at is worse than another."""
    async with server() as world:
        a = await world.joined()
        protocol = served(world, a)
        said = frame(ping(0)) + frame(ping(1)[:5], fin=False) + frame(ping(1)[5:], 0)
        said += frame(ping(2)[:-1] + b',"x":"' + b"y" * 200 + b'"}')
        for at in range(len(said)):
            protocol.data_received(said[at : at + 1])
        assert [await a.next() for _ in range(3)] == [Pong(0), Pong(1), Pong(2)]


async def test_what_comes_before_the_server_lets_in_is_heard() -> None:
    """A client that does not wait for the answer to its request is answered all the same."""
    async with server() as world:
        reader, writer = await asyncio.open_connection(*world.host.split(":"))
        raw = RawSocket(reader, writer)
        writer.write(UPGRADE)
        await until(
            lambda: any(isinstance(each, DirectProtocol) for each in world.state.connections)
        )
        raw.send(ping(1))
        await reader.readuntil(b"\r\n\r\n")
        assert isinstance(decode_to_client(await raw.receive()), wire.Challenge)
        assert isinstance(decode_to_client(await raw.receive()), wire.Error)
        with pytest.raises(Closed) as closed:
            await raw.receive()
        assert closed.value.code == CloseCode.INVALID
        raw.cut()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x81\x02{}", 1002),
        (b"\x81\x00", 1002),
        (frame(b"{}", TEXT | 0x40), 1002),
        (frame(b"{}", 0), 1002),
        (frame(b"{}", fin=False) + frame(b"{}"), 1002),
        (frame(b"{}", 3), 1002),
        (b"\x81\xff" + (65537).to_bytes(8, "big"), 1009),
        (b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + _MASK, 1009),
        (frame(b"y" * 40_000, fin=False) + frame(b"y" * 40_000, 0), 1009),
        (frame(b"\xff"), 1007),
        (frame(b"\xf0\x9f", fin=False) + frame(b"\xa6", 0), 1007),
    ],
)
async def test_what_breaks_websocket_is_refused(said: bytes, code: int) -> None:
    """With the code of RFC 6455, whatever came before in the same segment; nothing follows."""
    async with joined() as raw:
        raw.writer.write(frame(ping(7)) + said + frame(ping(8)))
        assert await answers(raw, 1) == [7]
        with pytest.raises(Closed) as closed:
            await raw.receive()
        assert closed.value.code == code


async def test_many_at_once_leave_the_others_their_turn() -> None:
    """However many come in one piece: or the queues of those they are for would overflow."""
    heard: list[str | bytes] = []

    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        scope["extensions"]["thkmesh.direct"]["attach"](heard.append)
        await receive()

    async with serving(listen) as (host, state):
        raw = await RawSocket.open(host)
        [protocol] = state.connections
        assert isinstance(protocol, DirectProtocol)
        texts = [str(number) for number in range(1000)]
        protocol.data_received(b"".join(frame(text.encode()) for text in texts))
        before = 0
        while before < len(texts):
            assert len(heard) - before <= 16
            before = len(heard)
            await asyncio.sleep(0)
        assert heard == texts
        raw.cut()


async def answered(raw: RawSocket, number: int) -> None:
    """Wait for an answer, whatever comes before."""
    while decode_to_client(await raw.receive()) != Pong(number):
        pass


def pieces(count: int) -> bytes:
    """Return a message in so many fragments, of which all but the last say nothing."""
    return frame(b"", fin=False) + frame(b"", 0, fin=False) * (count - 2) + frame(ping(5), 0)


@pytest.mark.parametrize(
    ("few", "many"),
    [
        (frame(b"", _PING) * 150, frame(b"", _PING) * 1000),
        (frame(b"x", _PONG) * 150, frame(b"x", _PONG) * 1000),
        (pieces(150), pieces(1000)),
        (pieces(3) * 50, pieces(3) * 400),
    ],
    ids=["pings", "pongs", "fragments", "fragmented messages"],
)
async def test_what_no_message_counts_is_limited_too(few: bytes, many: bytes) -> None:
    """Control frames and fragments: some are welcome, many cut off whoever sends them."""
    async with joined() as raw:
        raw.writer.write(few + frame(ping(6)))
        await answered(raw, 6)
    async with joined() as raw:
        raw.writer.write(many + frame(ping(6)))
        with pytest.raises(Closed) as closed:
            await answered(raw, 6)
        assert closed.value.code == 1006


async def test_fragments_that_are_empty_are_not_kept() -> None:
    """However many there are in the course of a day."""
    async with server() as world:
        a = await world.joined()
        protocol = served(world, a)
        protocol.data_received(pieces(150)[: -len(frame(ping(5), 0))])
        assert len(protocol.frames) == 1
        protocol.data_received(frame(ping(5), 0))
        assert await a.next() == Pong(5)


async def test_who_was_closed_for_a_flood_is_read_no_more() -> None:
    """Nor when the turn of the others is over, which came in the middle of it."""
    async with server() as world:
        a = await world.joined()
        protocol = served(world, a)
        protocol.data_received(b"".join(frame(ping(each)) for each in range(2000)))
        await until(lambda: protocol.close_sent)
        await until(lambda: not protocol._resting)  # noqa: SLF001
        assert not protocol.transport.is_reading()


async def test_who_breaks_off_in_the_middle_of_a_burst_is_forgotten() -> None:
    """What is left of it is nobody's."""
    async with server() as world:
        a = await world.joined()
        protocol = served(world, a)
        protocol.data_received(b"".join(frame(ping(each)) for each in range(100)))
        protocol.transport.abort()
        await until(lambda: world.service.connection_count == 0)


async def test_an_application_server_without_the_short_way_does_as_well() -> None:
    """As where the server is mounted in an application under its own uvicorn."""
    async with serving(create_app(), ws=WebSocketsSansIOProtocol) as (host, _):
        a, b = Client(f"ws://{host}/ws"), Client(f"ws://{host}/ws")
        await a.join()
        await b.join()
        await a.next()
        for seq in range(1, 50):
            await a.send(a.offer(b.key, seq))
        await a.send(addressed(b.key, bytes(30)))
        for seq in range(1, 50):
            assert await b.next() == a.offer(b.key, seq)
        assert await b.socket.recv() == addressed(a.key, bytes(30))
        await a.cut()
        await b.cut()
