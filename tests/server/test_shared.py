"""A service that shares its rooms, as its clients and REST see it, with a broker in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2

from tests.server.world import PATIENCE, Client, Server, server
from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import kicked_payload
from thkmesh.core.sealed import addressed
from thkmesh.core.wire import Error, Kicked, Leave, PeerLeft, PeerReady
from thkmesh.keys import verify
from thkmesh.server import ServerSettings
from thkmesh.server.broker.memory import MemoryBroker, MemoryCluster
from thkmesh.server.shared import SharedRoomService


@asynccontextmanager
async def shared(cluster: MemoryCluster) -> AsyncIterator[tuple[Server, Server]]:
    """Serve the rooms of a cluster with two servers."""
    async with AsyncExitStack() as stack:
        servers: list[Server] = []
        for _ in range(2):
            service = SharedRoomService(MemoryBroker(cluster), ServerSettings())
            await service.start()
            stack.push_async_callback(service.leave)
            servers.append(await stack.enter_async_context(server(service=service)))
        yield servers[0], servers[1]


async def meet(one: Server, other: Server) -> tuple[Client, Client]:
    """Return two clients in one room, the first at the first server."""
    a, b = await one.joined(), await other.joined()
    await a.expect(PeerReady)
    return a, b


async def test_two_servers_have_one_room() -> None:
    """Signals cross as the exact text, sealed frames with the sender's name, goodbyes as such."""
    async with shared(MemoryCluster()) as (one, other):
        a, b = await meet(one, other)
        text = " " + wire.encode(a.offer(b.key))
        await a.send(text)
        assert await b.text() == text
        await a.send(addressed(b.key, b"x" * 30))
        assert await b.socket.recv() == addressed(a.key, b"x" * 30)
        await b.send(Leave())
        assert await b.closed() is CloseCode.NORMAL
        assert await a.next() == PeerLeft("lobby", *b.key, "left")


async def test_a_session_goes_on_at_the_other_server() -> None:
    """With what waited for it."""
    async with shared(MemoryCluster()) as (one, other):
        a, b = await meet(one, other)
        await b.cut()
        await a.send(a.offer(b.key))
        b.url = one.ws
        assert (await b.join()).resumed
        assert await b.next() == a.offer(b.key)


async def test_who_is_removed_at_one_server_goes_at_the_other() -> None:
    """The statement is the same for all, under a key that all have, and holds everywhere."""
    async with shared(MemoryCluster()) as (one, other):
        a, b = await meet(one, other)
        keys = {each.service.keys.public_key("lobby") for each in (one, other)}
        assert len(keys) == 1
        one.service.kick("lobby", b.key.id, 60.0, "spam")
        said = await a.expect(Kicked)
        assert await b.expect(Kicked) == said
        assert verify(keys.pop(), said.signature, kicked_payload("lobby", said.body))
        assert await b.closed() is CloseCode.KICKED
        assert await a.next() == PeerLeft("lobby", *b.key, "timeout")
        for each in (one, other):
            b.url = each.ws
            challenge = await b.connect()
            await b.send(b.hello(challenge.nonce))
            assert (await b.expect(Error)).reason == "kicked"


async def test_nobody_new_gets_in_while_there_is_no_broker() -> None:
    """And is told when to come again; who is in stays in."""
    cluster = MemoryCluster()
    async with shared(cluster) as (one, other):
        a = await one.joined()
        c = await one.joined()
        await a.expect(PeerReady)
        cluster.stop()
        b = other.client()
        challenge = await b.connect()
        await b.send(b.hello(challenge.nonce))
        error = await b.expect(Error)
        assert (error.reason, error.retry_after) == ("unavailable", 1.0)
        assert await b.closed() is CloseCode.OVERLOADED
        await a.send(a.offer(c.key))
        assert await c.next() == a.offer(c.key)
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{one.http}/api/rooms/lobby")
        assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")


async def test_a_ticket_of_one_server_is_good_at_any_and_once() -> None:
    """Though nobody was given a secret."""
    async with (
        shared(MemoryCluster()) as (one, other),
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        answer = await http.post(f"{one.http}/api/tickets", json={"room": "lobby"})
        ticket = answer.json()["ticket"]
        await other.client().join(token=ticket)
        for server in (one, other):
            refused = await server.client().refused(token=ticket)
            assert refused == (CloseCode.UNAUTHORIZED, "unauthorized")


async def test_a_server_that_drains_waits_for_its_own_clients_only() -> None:
    """Not for those of other servers, with whom theirs were."""
    async with shared(MemoryCluster()) as (one, other):
        a, b = await meet(one, other)
        async with asyncio.timeout(PATIENCE):
            await one.service.drain()
        assert await a.closed() is CloseCode.RESTARTING
        a.url = other.ws
        assert (await a.join()).resumed
        await a.send(a.offer(b.key))
        assert await b.next() == a.offer(b.key)


async def test_every_server_shows_all_rooms() -> None:
    """Made, listed and looked into over HTTP at any of them."""
    async with (
        shared(MemoryCluster()) as (one, other),
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        made = await http.post(f"{one.http}/api/rooms", json={"room": "hall", "listed": True})
        assert made.status_code == 201
        again = await http.post(f"{other.http}/api/rooms", json={"room": "hall"})
        assert again.status_code == 409
        named = await http.post(f"{other.http}/api/rooms")
        assert named.status_code == 201
        a = other.client("hall")
        await a.join("Ada")
        listed = (await http.get(f"{one.http}/api/rooms")).json()["rooms"]
        assert listed == [{"room": "hall", "peers": 1, "maxPeers": 10}]
        hall = (await http.get(f"{one.http}/api/rooms/hall")).json()
        assert (hall["room"], hall["listed"], hall["maxPeers"]) == ("hall", True, 10)
        [peer] = hall["peers"]
        assert (peer["id"], peer["name"], peer["state"]) == (a.key.id, "Ada", "connected")
        assert (await http.get(f"{one.http}/api/rooms/nowhere")).status_code == 404
