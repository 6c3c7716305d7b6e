"""A server for all tests of a module, and a room of its own for each."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

import thkmesh
from tests.server.world import Client
from tests.shell.world import heard, server
from thkmesh import LinkChanged, LinkState, Room, sync


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return the address of a running server."""
    with server() as running:
        yield running


@pytest.fixture
def room() -> str:
    """Return the name of a room that nobody is in."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
async def two(url: str, room: str) -> AsyncIterator[tuple[Room, Room]]:
    """Return Ada's and Bob's view of one room, linked."""
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(thkmesh.join(url, room=room, name="Ada"))
        bob = await stack.enter_async_context(thkmesh.join(url, room=room, name="Bob"))
        for each in (ada, bob):
            await heard(each, LinkChanged, lambda event: event.state is LinkState.CONNECTED)
        yield ada, bob


@pytest.fixture
async def mute(url: str, room: str) -> AsyncIterator[Client]:
    """Return somebody in the room who never links to anybody."""
    client = Client(url.replace("http", "ws") + "/ws", room=room)
    await client.join("mute")
    yield client
    await client.cut()


@pytest.fixture
def watcher(url: str, room: str) -> Iterator[sync.Room]:
    """Return somebody in the room who sees who comes and goes."""
    with sync.join(url, room=room, name="watcher") as joined:
        yield joined
