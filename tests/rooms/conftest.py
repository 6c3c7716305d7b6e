"""Processes for the tests of rooms; whatever happens, none outlives its test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from tests.rooms.processes import PeerProcess, Server

StartPeers: TypeAlias = Callable[[int], Awaitable[list[PeerProcess]]]
StartServer: TypeAlias = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Return what starts a server with some settings."""
    servers: list[Server] = []

    async def start(**settings: object) -> Server:
        server = Server(**settings)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.kill()


@pytest.fixture
async def server(start_server: StartServer) -> Server:
    """Return a running server."""
    return await start_server()


@pytest.fixture
async def start_peers() -> AsyncIterator[StartPeers]:
    """Return what starts so many warm peer processes, in no room yet."""
    peers: list[PeerProcess] = []

    async def start(count: int) -> list[PeerProcess]:
        names = [f"peer-{len(peers) + n}" for n in range(count)]
        started = await asyncio.gather(*map(PeerProcess.start, names))
        peers.extend(started)
        return started

    yield start
    for peer in peers:
        await peer.kill()
