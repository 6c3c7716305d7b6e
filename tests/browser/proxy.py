"""A lying signaling server for pages: an honest one, and a proxy on the way to it.

The lies are those of ``tests/rooms/liar.py``; here they are told on a real WebSocket,
because a page opens its own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from tests.rooms.liar import Lie, Words, introductions_in, is_signal, truth

__all__ = ["Proxy", "proxied"]


class Proxy:
    """Somebody on the way of all who join through him."""

    def __init__(self, server: str, lie: Lie) -> None:
        """Know the honest server, and what lie its clients hear."""
        self.passed: list[Words] = []
        """What the clients should have heard."""
        self._honest = server.replace("http", "ws", 1).rstrip("/") + "/ws"
        self._lie = lie
        self._clients: list[ServerConnection] = []
        self._listening: Server

    @property
    def url(self) -> str:
        """What clients take for the server."""
        port = next(iter(self._listening.sockets)).getsockname()[1]
        return f"http://127.0.0.1:{port}"

    @property
    def signals(self) -> list[Words]:
        """The numbered signals that the clients should have heard."""
        return [words for words in self.passed if is_signal(words)]

    @property
    def introductions(self) -> list[Words]:
        """The introductions that the clients should have heard."""
        return [each for words in self.passed for each in introductions_in(words)]

    async def inject(self, *messages: Words) -> None:
        """Make the clients hear something."""
        for client in self._clients:
            for words in messages:
                await client.send(json.dumps(words))

    async def open(self) -> None:
        """Listen."""
        self._listening = await serve(self._converse, "127.0.0.1", 0, compression=None)

    async def close(self) -> None:
        """Cut everybody off."""
        self._listening.close()
        await self._listening.wait_closed()

    async def _converse(self, client: ServerConnection) -> None:
        assert client.request is not None
        # The page says where it is from, and the honest server believes its own pages only.
        origin = Origin(client.request.headers["Origin"])
        async with connect(self._honest, origin=origin, compression=None, proxy=None) as server:
            self._clients.append(client)
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._down(server, client))
                both_ways.create_task(self._up(client, server))

    async def _down(self, server: ClientConnection, client: ServerConnection) -> None:
        try:
            async for text in server:
                if isinstance(text, bytes):
                    continue  # No sealed frame passes: what these tests watch is direct paths.
                words = json.loads(text)
                # A copy: a lie changes what it is given.
                self.passed.append(json.loads(text))
                for heard in self._lie(words):
                    await client.send(json.dumps(heard))
        except ConnectionClosed:
            pass
        await client.close()

    async def _up(self, client: ServerConnection, server: ClientConnection) -> None:
        try:
            async for text in client:
                await server.send(text)
        except ConnectionClosed:
            pass
        await server.close()


@asynccontextmanager
async def proxied(server: str, lie: Lie = truth) -> AsyncIterator[Proxy]:
    """Have a proxy on the way to a server."""
    proxy = Proxy(server, lie)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
