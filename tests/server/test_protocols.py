"""Sockets that say nothing, or take in nothing, are freed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
from uvicorn._types import ASGIReceiveEvent

from tests.server.raw import UPGRADE, RawSocket, frame
from tests.server.world import PATIENCE, Client, serving, until
from thkmesh.core.wire import Challenge, Ping, Pong, decode_to_client, encode
from thkmesh.server import ServerSettings, create_app
from thkmesh.server.protocols import HttpProtocol, WebSocketProtocol


class Hasty(HttpProtocol):
    """Waits only a moment for a head."""

    head_timeout = 0.05


class HastyWebSocket(WebSocketProtocol):
    """Waits only a moment for the last words to leave."""

    patience = 0.05
    flush_timeout = 0.05


class Patient(WebSocketProtocol):
    """Waits long for the last words to leave."""

    flush_timeout = PATIENCE


@asynccontextmanager
async def talking(host: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a raw connection."""
    reader, writer = await asyncio.open_connection(*host.split(":"))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nX: y", b"GET /healthz HTTP/1.1\r\n\r\nGET /"],
    ids=["nothing", "half a line", "half a head", "half of a second head"],
)
async def test_who_never_completes_a_head_is_cut_off(said: bytes) -> None:
    """However far it came, in time its socket is free."""
    async with serving(create_app(), Hasty) as (host, state), talking(host) as (reader, writer):
        writer.write(said)
        with suppress(ConnectionResetError):
            async with asyncio.timeout(PATIENCE):
                while await reader.read(4096):
                    pass
        await until(lambda: not state.connections)


async def test_who_never_ends_a_head_is_cut_off() -> None:
    """A head of more than 64 KiB is not kept, however it is cut into pieces."""
    async with serving(create_app()) as (host, state), talking(host) as (_, writer):
        await until(lambda: len(state.connections) == 1)
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        while state.connections:
            writer.write(b"y" * 1000)
            await asyncio.sleep(0)


async def test_who_completes_heads_is_not() -> None:
    """A slow body and a pause between requests are not a slow head."""
    async with (
        serving(create_app(), Hasty) as (host, _),
        httpx2.AsyncClient(base_url=f"http://{host}", trust_env=False) as client,
    ):

        async def slow() -> AsyncIterator[bytes]:
            for piece in (b'{"room"', b":", b'"x"}'):
                await asyncio.sleep(Hasty.head_timeout)
                yield piece

        headers = {"content-type": "application/json"}
        assert (await client.post("/api/rooms", content=slow(), headers=headers)).status_code == 201
        assert (await client.get("/api/rooms/x")).status_code == 200


async def test_a_peer_that_answers_no_ping_is_freed() -> None:
    """Though it reads nothing, and so never sees the close frame."""
    async with (
        serving(create_app(), ws=HastyWebSocket, ws_ping_interval=0.05, ws_ping_timeout=0.05) as (
            host,
            state,
        ),
        talking(host) as (reader, writer),
    ):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        assert len(state.connections) == 1
        await until(lambda: not state.connections)


async def test_a_peer_that_answers_no_close_frame_is_freed() -> None:
    """Its socket does not outlive the server's close frame for long."""
    async with (
        serving(create_app(), ws=HastyWebSocket) as (host, state),
        talking(host) as (reader, writer),
    ):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x82\x81\0\0\0\0\x01")  # a sealed frame that is cut off: refused
        await until(lambda: not state.connections)


async def test_what_is_sent_to_a_peer_given_up_is_lost_quietly() -> None:
    """Until its last bytes have left, or time is up, signals for it are no fault of ours."""
    settings = ServerSettings(message_rate=0)
    async with serving(create_app(settings), ws=Patient) as (host, state):
        a, b = Client(f"ws://{host}/ws"), Client(f"ws://{host}/ws")
        await b.join()
        [ending] = state.connections
        assert isinstance(ending, Patient)
        await a.join()
        b.socket.transport.pause_reading()
        seq = 0
        while not ending.transport.get_write_buffer_size():
            seq += 1
            await a.send(a.offer(b.key, seq, "x" * 30_000))
            await a.send(Ping(seq))
            assert await a.next() == Pong(seq)
        ending.keepalive_timeout()
        assert ending.writable.is_set()
        await a.send(a.offer(b.key, seq + 1))
        await a.send(Ping(0))
        assert await a.next() == Pong(0)
        await b.cut()
        await a.cut()


class Watched(WebSocketProtocol):
    """Notes how much has been parsed that nobody has taken yet."""

    most = 0

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message."""
        type(self).most = max(self.most, self.queue.qsize())
        return await super().receive()


async def test_many_small_messages_are_parsed_a_few_at_a_time() -> None:
    """However many one read brings: all are answered, in order, and others get their turns."""
    number = 5000
    settings = ServerSettings(message_rate=0, outgoing_messages=2 * number)
    async with serving(create_app(settings), ws=Watched) as (host, _):
        honest = Client(f"ws://{host}/ws", room="other")
        await honest.join()
        socket = await RawSocket.open(host)
        challenge = decode_to_client(await socket.receive())
        assert isinstance(challenge, Challenge)
        socket.send(encode(Client("").hello(challenge.nonce)).encode())
        await socket.receive()
        pings = (encode(Ping(each)).encode() for each in range(1, number + 1))
        socket.writer.write(b"".join(frame(each, 0x81) for each in pings))
        await honest.send(Ping(1))
        assert await honest.next() == Pong(1)
        for each in range(1, number + 1):
            assert decode_to_client(await socket.receive()) == Pong(each)
        assert Watched.most < 200, "a frame has more than 20 bytes, and 4,096 are parsed at once"
        socket.cut()
        await honest.cut()
