"""Running and stopping the server."""

import asyncio
import signal
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.process import server_process
from tests.server.world import PATIENCE, Client
from thkmesh.core.closing import CloseCode
from thkmesh.core.wire import Ping, Pong
from thkmesh.server.serve import serve
from thkmesh.server.tls import write_self_signed


@asynccontextmanager
async def served(host: str = "127.0.0.1", **options: Any) -> AsyncIterator[int]:  # noqa: ANN401
    """Serve on this loop; give the port; stop by cancelling."""
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(host, 0, on_ready=ready.set_result, **options))
    async with asyncio.timeout(PATIENCE):
        port = await ready
    try:
        yield port
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_gracefully(sent: signal.Signals) -> None:
    """All clients are closed with 1012, and the program goes on within two seconds."""
    async with server_process() as server:
        clients = [Client(server.ws) for _ in range(5)]
        for client in clients:
            await client.join()
        loop = asyncio.get_running_loop()
        began = loop.time()
        server.process.send_signal(sent)
        for client in clients:
            assert await client.closed() is CloseCode.RESTARTING
        assert await server.ended() == (0, "done")
        assert loop.time() - began < 2


async def test_a_stuck_client_does_not_hold_up_the_end() -> None:
    """Somebody who reads nothing is left behind; it still takes less than two seconds."""
    async with server_process("message_rate=0") as server:
        stuck, sender = Client(server.ws), Client(server.ws)
        await stuck.join()
        await sender.join()
        stuck.socket.transport.pause_reading()
        for seq in range(1, 400):
            await sender.send(sender.offer(stuck.key, seq, "x" * 40_000))
        await sender.send(Ping(1))
        while await sender.next() != Pong(1):
            pass
        loop = asyncio.get_running_loop()
        began = loop.time()
        server.process.send_signal(signal.SIGTERM)
        assert await sender.closed() is CloseCode.RESTARTING
        assert (await server.ended())[0] == 0
        assert loop.time() - began < 2
        await stuck.cut()


async def test_a_restarted_server_knows_nobody() -> None:
    """It has another epoch, and a return is an arrival."""
    client = Client("")
    epochs: list[str] = []
    for _ in range(2):
        async with server_process() as server:
            client.url = server.ws
            welcome = await client.join()
            assert not welcome.resumed
            epochs.append(welcome.epoch)
            await client.cut()
    assert epochs[0] != epochs[1]


async def test_a_server_that_was_stopped_judges_nobody() -> None:
    """After SIGSTOP for longer than any time-out all connections still stand."""
    async with server_process("idle_timeout=1.0, hello_timeout=1.0") as server:
        clients = [Client(server.ws, room=room) for room in "abc"]
        for client in clients:
            await client.join()
        server.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3)  # the real clock is what this is about
        for client in clients:
            await client.send(Ping(1))
        server.process.send_signal(signal.SIGCONT)
        for client in clients:
            assert await client.next() == Pong(1)
            await client.cut()


async def test_cancelling_ends_it_gracefully() -> None:
    """A server inside another program closes its clients with 1012, too."""
    async with served() as port:
        client = Client(f"ws://127.0.0.1:{port}/ws")
        await client.join()
    assert await client.closed() is CloseCode.RESTARTING


async def test_all_addresses_of_a_name_are_listened_on() -> None:
    """On one port."""
    loop = asyncio.get_running_loop()
    async with served("localhost") as port:
        for family, *_, address in await loop.getaddrinfo(
            "localhost", port, type=socket.SOCK_STREAM
        ):
            host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
            client = Client(f"ws://{host}:{port}/ws")
            await client.join()
            await client.cut()


async def test_a_taken_port_is_an_error() -> None:
    """The caller is told, as of any other socket."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        await serve("127.0.0.1", taken.getsockname()[1])


async def test_a_certificate_of_its_own_is_good_for_this_machine() -> None:
    """Clients that trust it find the names they asked for in it."""
    async with served("127.0.0.1", tls_self_signed=True) as port:
        blind = ssl.create_default_context()
        blind.check_hostname = False
        blind.verify_mode = ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=blind)
        seen = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        trusting = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(seen))
        for host in ("127.0.0.1", "localhost"):
            client = Client(f"wss://{host}:{port}/ws", options={"ssl": trusting})
            await client.join()
            await client.cut()


async def test_a_given_certificate_is_served(tmp_path: Path) -> None:
    """The operator's own files are used."""
    cert, key = write_self_signed(tmp_path, "mesh.example")
    async with served(tls_cert=cert, tls_key=key) as port:
        trusting = ssl.create_default_context(cafile=cert)
        options = {"ssl": trusting, "server_hostname": "mesh.example"}
        client = Client(f"wss://127.0.0.1:{port}/ws", options=options)
        await client.join()
        await client.cut()


async def test_files_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    """A certificate and another one's key end it before it has begun."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    cert, _ = write_self_signed(tmp_path / "one", "localhost")
    _, key = write_self_signed(tmp_path / "other", "localhost")
    with pytest.raises(ssl.SSLError):
        await serve(port=0, tls_cert=cert, tls_key=key)


def test_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    """No other user of the machine can read it."""
    for path in write_self_signed(tmp_path, "localhost"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
