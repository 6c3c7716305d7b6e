"""Limits on by default (S2): one test for each, against a real server.

Clients come through a proxy that the server trusts, so that each has an address of its
own; from the machine itself nobody would be counted.
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.raw import UPGRADE, RawSocket
from tests.server.world import Client, Server, server, until
from thkmesh.core.allowance import Allowance
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import SessionKey
from thkmesh.core.sealed import addressed
from thkmesh.core.wire import SIGNALING_LIMIT_BYTES, Error, Ping, Pong
from thkmesh.server import AccessSettings, Password, ServerSettings
from thkmesh.server.app import create_app
from thkmesh.server.direct import DirectProtocol
from thkmesh.signaling.transport import SocketClosed
from thkmesh.signaling.websocket import WebSocketTransport

STRANGER = SessionKey("z" * 26, "0" * 16)


def behind_a_proxy(**changes: Any) -> ServerSettings:  # noqa: ANN401 - as ServerSettings has them
    """Return settings of a server that believes this machine."""
    return ServerSettings(trusted_proxies=("127.0.0.0/8",), **changes)


def sent_by(address: str) -> Mapping[str, str]:
    """Return what a proxy adds for a client of that address."""
    return {"x-forwarded-for": address}


def client_at(world: Server, address: str, room: str = "lobby") -> Client:
    """Return a client with an address of its own."""
    return world.client(room, options={"additional_headers": sent_by(address)})


async def refused(client: Client) -> tuple[int, int]:
    """Return with which status, and for how long, a handshake is refused."""
    with pytest.raises(InvalidStatus) as refusal:
        await client.connect()
    answer = refusal.value.response
    return answer.status_code, int(answer.headers["retry-after"])


async def cut_off(client: Client) -> tuple[CloseCode, list[Error]]:
    """Return why a client is closed, and the errors that it was told before."""
    errors: list[Error] = []
    try:
        while True:
            message = await client.next()
            errors += [message] if isinstance(message, Error) else []
    except ConnectionClosed:
        return CloseCode(client.socket.close_code or 0), errors


# --- what one connection may do ------------------------------------------------------


def test_the_defaults_are_what_is_promised() -> None:
    """S2 word by word; that each of them holds is for the tests here and beside this file."""
    settings = ServerSettings()
    assert SIGNALING_LIMIT_BYTES == 64 * 1024
    assert settings.hello_timeout == 10.0
    assert (settings.message_rate, settings.message_burst) == (60.0, 120)
    assert settings.address_connections == 20
    assert settings.outgoing_bytes == 1024 * 1024
    assert settings.max_connections
    assert settings.address_arrivals
    assert settings.address_rooms
    assert settings.address_guesses


async def test_a_flood_of_messages_is_cut_off() -> None:
    """After the burst: a typed error that says when to come back, and 4429."""
    async with server() as world:
        flood = await world.joined()
        for number in range(1, 500):
            await flood.send(Ping(number))
        code, errors = await cut_off(flood)
        assert code is CloseCode.RATE_LIMITED
        [error] = errors
        assert (error.reason, error.retry_after) == ("rate-limited", 2.0)
        assert not (await world.joined(identity=flood.identity, sid=flood.sid)).socket.close_code
        assert world.service.turnstile.denied == {"rate-limited": 1}


async def test_a_flood_of_sealed_frames_is_cut_off() -> None:
    """They are small, and dropped at once; but they are many."""
    async with server(ServerSettings(frame_rate=10, frame_burst=50)) as world:
        flood = await world.joined()
        for _ in range(60):
            await flood.send(addressed(STRANGER, b"x" * 40))
        code, [error] = await cut_off(flood)
        assert (code, error.reason) == (CloseCode.RATE_LIMITED, "rate-limited")


async def test_a_large_room_may_be_joined() -> None:
    """Who greets ninety-nine sends more at once than who greets nine."""
    async with server(ServerSettings(max_peers=100)) as world:
        busy = await world.joined()
        for number in range(1, 1001):
            await busy.send(Ping(number))
        for number in range(1, 1001):
            assert await busy.next() == Pong(number)


async def test_pongs_do_not_pile_up_for_who_does_not_read() -> None:
    """WebSocket pings are answered as long as the answers are taken in."""
    async with server() as world:
        end = socket.socket()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        end.setblocking(False)  # noqa: FBT003 - as the system calls it
        host, port = world.host.split(":")
        await asyncio.get_running_loop().sock_connect(end, (host, int(port)))
        stuck = RawSocket(*await asyncio.open_connection(sock=end))
        stuck.writer.write(UPGRADE)
        await stuck.reader.readuntil(b"challenge")
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        [held] = world.state.connections
        assert isinstance(held, DirectProtocol)
        held.others = Allowance(1e9, 0)  # else so many pings would end it
        waiting = held.transport.get_write_buffer_size
        for _ in range(100):
            for _ in range(1000):
                stuck.send(b"x" * 125, 9)
            await stuck.writer.drain()
            if waiting() > 60_000:
                break
        assert 0 < waiting() < 1_000_000
        before = waiting()
        for _ in range(10_000):
            stuck.send(b"x" * 125, 9)
        await stuck.writer.drain()
        assert waiting() < before + 200_000
        stuck.cut()


# --- what one address may do ----------------------------------------------------------


async def test_an_address_has_twenty_connections() -> None:
    """The next is refused with 429 until one of them ends; other addresses are not."""
    async with server(behind_a_proxy()) as world:
        here = [client_at(world, "192.0.2.1") for _ in range(21)]
        for each in here[:20]:
            await each.connect()
        assert await refused(here[20]) == (429, 10)
        await client_at(world, "192.0.2.2").connect()
        await here[0].cut()
        await until(lambda: world.service.turnstile.open == 20)
        await here[20].connect()


async def test_an_ipv6_network_counts_as_one_address() -> None:
    """Whoever has one address of a /64 has all of them."""
    async with server(behind_a_proxy(address_connections=2)) as world:
        for host in "12":
            await client_at(world, f"2001:db8:0:1::{host}").connect()
        assert (await refused(client_at(world, "2001:db8:0:1:ffff::3")))[0] == 429
        await client_at(world, "2001:db8:0:2::1").connect()


async def test_an_address_opens_so_many_connections_in_time() -> None:
    """Coming and going costs a signature check each time."""
    settings = behind_a_proxy(address_arrivals=0.01, address_arrivals_burst=3)
    async with server(settings) as world:
        for _ in range(3):
            client = client_at(world, "192.0.2.1")
            await client.connect()
            await client.cut()
        assert await refused(client_at(world, "192.0.2.1")) == (429, 100)
        await client_at(world, "192.0.2.2").connect()


async def test_an_address_makes_so_many_rooms_in_time() -> None:
    """By joining and by REST; whoever joins rooms that are there does not count."""
    settings = behind_a_proxy(address_rooms=0.01, address_rooms_burst=2)
    async with server(settings) as world, httpx2.AsyncClient(base_url=world.http) as rest:
        await client_at(world, "192.0.2.1", "one").join()
        answer = await rest.post("/api/rooms", headers=sent_by("192.0.2.1"))
        assert answer.status_code == 201
        await client_at(world, "192.0.2.1", "one").join()
        third = client_at(world, "192.0.2.1", "three")
        challenge = await third.connect()
        await third.send(third.hello(challenge.nonce))
        code, [error] = await cut_off(third)
        assert (code, error.reason, error.retry_after) == (4429, "rate-limited", 100.0)
        answer = await rest.post("/api/rooms", headers=sent_by("192.0.2.1"))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "100")
        assert answer.json()["error"] == "rate-limited"
        await client_at(world, "192.0.2.2", "three").join()


async def test_who_is_on_the_machine_itself_is_not_counted() -> None:
    """Neither alone nor through a proxy; what it says of others nobody believes unasked."""
    async with server(ServerSettings(address_connections=1)) as world:
        for _ in range(3):
            await world.client().connect()
            await client_at(world, "192.0.2.1").connect()
    async with server(behind_a_proxy(address_connections=1)) as world:
        for _ in range(3):
            await client_at(world, "::1").connect()


# --- what all together may do ---------------------------------------------------------


async def test_there_are_so_many_connections_in_all() -> None:
    """The next is refused with 503, whoever it is."""
    async with server(ServerSettings(max_connections=2)) as world:
        first, second, third = world.client(), world.client(), world.client()
        await first.connect()
        await second.connect()
        assert await refused(third) == (503, 10)
        await first.cut()
        await until(lambda: world.service.turnstile.open == 1)
        await third.connect()


@pytest.mark.parametrize("offered", [True, False])
async def test_a_denial_needs_no_extension(*, offered: bool) -> None:
    """Servers that cannot refuse in words refuse with 403."""
    said: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - of ASGI
        said.append(message["type"])

    app = create_app(ServerSettings(max_connections=1))
    assert app.state.service.admit(None) is None
    scope: dict[str, Any] = {"type": "websocket", "path": "/ws", "scheme": "ws", "headers": []}
    scope["extensions"] = {"websocket.http.response": {}} if offered else None
    await app(scope, receive, send)
    denied = ["websocket.http.response.start", "websocket.http.response.body"]
    assert said == (denied if offered else ["websocket.close"])


async def test_our_client_waits_as_long_as_it_is_told() -> None:
    """What HTTP says of the time reaches whoever opens the WebSocket."""
    async with server(ServerSettings(max_connections=1)) as world:
        await world.client().connect()
        with pytest.raises(SocketClosed) as closed:
            await WebSocketTransport().open(world.ws)
        assert (closed.value.code, closed.value.retry_after) == (CloseCode.OVERLOADED, 10.0)


async def test_an_address_guesses_at_the_password_so_often() -> None:
    """By joining and by REST alike; those who say what was right are not guessing."""
    settings = behind_a_proxy(address_guesses=0.01, address_guesses_burst=3)
    access = AccessSettings(password=Password.of("open sesame"))

    async def tried(client: Client, guess: str) -> CloseCode:
        return (await client.refused(token=guess))[0]

    async with server(settings, access) as world:
        here = "192.0.2.1"
        assert await tried(client_at(world, here), "a") is CloseCode.UNAUTHORIZED
        assert await tried(client_at(world, here), "b") is CloseCode.UNAUTHORIZED
        async with httpx2.AsyncClient(base_url=world.http, trust_env=False) as http:

            async def listed(shown: str) -> httpx2.Response:
                headers = {"authorization": f"Bearer {shown}", **sent_by(here)}
                return await http.get("/api/rooms", headers=headers)

            assert (await listed("c")).status_code == 401
            answer = await listed("d")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "100")
            assert await tried(client_at(world, here), "e") is CloseCode.RATE_LIMITED
            assert await tried(client_at(world, here), "open sesame") is CloseCode.RATE_LIMITED
            await client_at(world, "192.0.2.2").join(token="open sesame")
            assert (await listed("open sesame")).status_code == 200
        await client_at(world, here).join(token="open sesame")


async def test_a_school_that_comes_at_once_guesses_once() -> None:
    """All say the same: one hash, and nobody is taken for somebody who tries words."""
    settings = behind_a_proxy(address_guesses=0.01, address_guesses_burst=2, max_peers=20)
    access = AccessSettings(password=Password.of("open sesame"))
    async with server(settings, access) as world:
        pupils = [client_at(world, "192.0.2.1") for _ in range(20)]
        await asyncio.gather(*(each.join(token="open sesame") for each in pupils))
