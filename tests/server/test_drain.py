"""The end of a server that others go on for (S4): nobody's joining is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.process import ServerProcess, server_process
from tests.server.world import PATIENCE, Client, Server, server
from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.wire import Moving, Welcome
from thkmesh.server import ServerSettings


async def moved(client: Client) -> Moving:
    """Return what a client is told before it is closed with 1012."""
    last: wire.ToClient | None = None
    try:
        while True:
            last = await client.next()
    except ConnectionClosed:
        assert client.socket.close_code == CloseCode.RESTARTING
    assert isinstance(last, Moving)
    return last


async def status(host: str, path: str) -> int:
    """Return how an HTTP request is answered; 0 if it is not."""
    try:
        reader, writer = await asyncio.open_connection(*host.split(":"))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    except ConnectionError:
        return 0
    writer.close()
    return int(answer.split()[1]) if answer else 0


async def test_a_draining_server_takes_nobody_and_lets_all_go() -> None:
    """``/readyz`` says no, handshakes get 503; who is there is asked to move, by and by."""
    settings = ServerSettings(drain=0.5, max_peers=100)
    async with server(settings) as world:
        clients = [await world.joined() for _ in range(100)]
        early = world.client()
        await early.connect()
        assert await status(world.host, "/readyz") == 200
        draining = asyncio.create_task(world.service.drain())
        assert await moved(early) == Moving()
        assert await status(world.host, "/readyz") == 503
        assert await status(world.host, "/healthz") == 200
        with pytest.raises(InvalidStatus) as refused:
            await world.client().connect()
        assert refused.value.response.status_code == 503
        waits = [(await moved(client)).retry_after for client in clients]
        await draining
        assert max(waits) == 0.0, "half a second is enough for a hundred"


async def test_where_time_is_short_clients_come_back_spread() -> None:
    """All go at once, and are told to come back at a pace."""
    async with server(ServerSettings(drain=0.0, max_peers=100)) as world:
        clients = [await world.joined() for _ in range(100)]
        await world.service.drain()
        waits = [(await moved(client)).retry_after for client in clients]
        assert waits == sorted(waits)
        assert len(set(waits)) == 100
        assert 0.4 < max(waits) < 0.5


class Balancer:
    """One address for several servers: each connection goes to one that says it is ready."""

    def __init__(self, servers: list[ServerProcess]) -> None:
        self.servers = servers
        self._writers: list[asyncio.StreamWriter] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on, both ways."""
        self._writers.append(writer)
        for each in self.servers:
            if await status(each.host, "/readyz") == 200:
                up, down = await asyncio.open_connection(*each.host.split(":"))
                self._writers.append(down)
                await asyncio.gather(_pipe(reader, down), _pipe(up, writer))
                return
        writer.close()

    async def end(self) -> None:
        """Let go of all connections."""
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def balanced(*servers: ServerProcess) -> AsyncIterator[Server]:
    """Give the one address."""
    balancer = Balancer(list(servers))
    listening = await asyncio.start_server(balancer.connected, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    world = Server(f"{host}:{port}", None, None)  # type: ignore[arg-type]
    try:
        yield world
    finally:
        for client in world.clients:
            await client.cut()
        listening.close()
        await balancer.end()


async def joined_somewhere(client: Client) -> str:
    """Join, coming back as often as it takes; return the epoch of the server that took us in.

    A hello is never left without an answer: a welcome, or that we should go elsewhere.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                challenge = await client.connect()
            except (InvalidStatus, OSError, ConnectionClosed, EOFError):
                await asyncio.sleep(0.01)
                continue
            except AssertionError as said:
                assert isinstance(said.args[0], Moving)  # noqa: PT017 - what else was said
                continue
            try:
                await client.send(client.hello(challenge.nonce))
                answer = await client.next()
            except ConnectionClosed:
                assert client.socket.close_code == CloseCode.RESTARTING
                continue
            if isinstance(answer, Welcome):
                return answer.epoch
            assert isinstance(answer, Moving)


async def test_no_join_is_lost_when_one_of_two_servers_ends() -> None:
    """Who was welcome is asked to move, everybody else gets in elsewhere, at one address."""
    async with (
        server_process("drain=0.3") as old,
        server_process() as new,
        balanced(old, new) as world,
    ):
        first = [world.client(room=f"r{number}") for number in range(20)]
        epochs = {await joined_somewhere(client) for client in first}
        assert len(epochs) == 1
        comers = [world.client(room=f"s{number}") for number in range(40)]

        async def come(number: int, client: Client) -> str:
            await asyncio.sleep(number * 0.01)
            return await joined_somewhere(client)

        coming = [asyncio.create_task(come(*each)) for each in enumerate(comers)]
        await asyncio.sleep(0.2)
        old.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*map(moved, first))
        here = await asyncio.gather(*coming)
        assert await old.ended() == (0, "done")
        for client, epoch in zip(comers, here, strict=True):
            if epoch in epochs:
                await moved(client)
                assert await joined_somewhere(client) not in epochs
        assert {await joined_somewhere(client) for client in first}.isdisjoint(epochs)
