"""A real server on loopback, and clients that speak to it in the clear."""

import asyncio
import gc
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.types import ASGIApp
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import SessionKey, hello_payload, proof_payload, signal_payload
from thkmesh.core.wire import Challenge, Error, Hello, Message, Offer, ToClient, Welcome, encode
from thkmesh.keys import Identity
from thkmesh.server import AccessSettings, RoomService, ServerSettings, create_app
from thkmesh.server.protocols import HttpProtocol
from thkmesh.server.serve import configure

_M = TypeVar("_M", bound=Message)

PATIENCE = 20.0
"""Seconds after which something that should have come has not."""


@dataclass
class Server:
    """Where a server listens, and its rooms."""

    host: str
    service: RoomService
    state: ServerState
    clients: "list[Client]" = field(default_factory=list)

    @property
    def ws(self) -> str:
        """The address of its WebSocket."""
        return f"ws://{self.host}/ws"

    @property
    def http(self) -> str:
        """The address of the rest."""
        return f"http://{self.host}"

    @property
    def open_sockets(self) -> int:
        """How many TCP connections it holds."""
        return len(self.state.connections)

    def client(self, room: str = "lobby", **fields: Any) -> "Client":  # noqa: ANN401
        """Return a client that has not connected; it is cut when the server ends."""
        self.clients.append(Client(self.ws, room=room, **fields))
        return self.clients[-1]

    async def joined(self, room: str = "lobby", **fields: Any) -> "Client":  # noqa: ANN401
        """Return a client that is in the room."""
        client = self.client(room, **fields)
        await client.join()
        return client


class Errors(logging.Handler):
    """Notes what is logged as an error."""

    def __init__(self, faults: list[object]) -> None:
        super().__init__(logging.ERROR)
        self.faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        self.faults.append((record.getMessage(), record.exc_info))


@asynccontextmanager
async def serving(
    app: ASGIApp,
    http: type[HttpProtocol] = HttpProtocol,
    *,
    faultless: bool = True,
    **changes: object,
) -> AsyncIterator[tuple[str, ServerState]]:
    """Serve an application with our uvicorn on a free port; give ``host:port`` and its state.

    In the end nothing must have gone wrong unseen, or if not ``faultless`` something must.
    """
    config, state = configure(app), ServerState()
    for name, value in changes.items():
        setattr(config, name, value)
    config.load()
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    log = Errors(faults)
    logging.getLogger("uvicorn.error").addHandler(log)
    listening = await loop.create_server(
        lambda: http(config=config, server_state=state, app_state={}),
        "127.0.0.1",
        0,
    )
    host, port = listening.sockets[0].getsockname()
    try:
        yield f"{host}:{port}", state
    finally:
        listening.close()
        for connection in list(state.connections):
            connection.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while state.tasks:
                await asyncio.wait(state.tasks)
            await listening.wait_closed()
        gc.collect()
        logging.getLogger("uvicorn.error").removeHandler(log)
        assert (faults == []) == faultless, faults


@asynccontextmanager
async def server(
    settings: ServerSettings | None = None, access: AccessSettings | None = None
) -> AsyncIterator[Server]:
    """Serve the rooms."""
    app = create_app(settings, access=access)
    async with serving(app) as (host, state):
        running = Server(host, app.state.service, state)
        try:
            yield running
        finally:
            for client in running.clients:
                await client.cut()


@dataclass
class Client:
    """One session, with its key, on one WebSocket at a time."""

    url: str
    identity: Identity = field(default_factory=Identity.generate)
    sid: str = field(default_factory=lambda: secrets.token_hex(8))
    room: str = "lobby"
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = SessionKey(self.identity.id, self.sid)

    async def connect(self) -> Challenge:
        """Open the WebSocket; return what the server says first."""
        self.socket: ClientConnection = await connect(
            self.url,
            compression=None,
            ping_interval=None,
            proxy=None,
            max_size=None,
            **self.options,
        )
        return await self.expect(Challenge)

    async def join(self, name: str = "", **changes: Any) -> Welcome:  # noqa: ANN401
        """Connect and enter the room."""
        challenge = await self.connect()
        await self.send(self.hello(challenge.nonce, name, **changes))
        return await self.expect(Welcome)

    async def refused(self, **changes: Any) -> tuple[CloseCode, str]:  # noqa: ANN401
        """Connect and say hello; return how the server refuses that."""
        challenge = await self.connect()
        await self.send(self.hello(challenge.nonce, **changes))
        error = await self.expect(Error)
        return await self.closed(), error.reason

    def hello(self, nonce: str, name: str = "", **changes: Any) -> Hello:  # noqa: ANN401
        """Return a genuine hello, but for the changes."""
        body = wire.encode_body(wire.Introduction(protocol=wire.VERSIONS, name=name))
        body = changes.pop("body", body)
        key = self.identity.public_key
        fields: dict[str, Any] = {
            "room_id": self.room,
            "from_user_id": self.key.id,
            "from_sid": self.sid,
            "key": key,
            "body": body,
            "signature": self.identity.sign(hello_payload(self.room, self.key, key, body)),
            "proof": self.identity.sign(proof_payload(nonce, self.room, self.key)),
        }
        return Hello(**(fields | changes))

    def offer(self, to: SessionKey, seq: int = 1, body: str = "{}") -> Offer:
        """Return a signed signal."""
        return Offer(
            room_id=self.room,
            from_user_id=self.key.id,
            to_user_id=to.id,
            from_sid=self.sid,
            to_sid=to.sid,
            seq=seq,
            body=body,
            signature=self.identity.sign(signal_payload(self.room, self.key, to, seq, body)),
        )

    async def send(self, message: Message | str | bytes) -> None:
        """Send one message."""
        await self.socket.send(encode(message) if isinstance(message, Message) else message)

    async def text(self) -> str:
        """Return the next message as it came."""
        async with asyncio.timeout(PATIENCE):
            text = await self.socket.recv()
        assert isinstance(text, str)
        return text

    async def next(self) -> ToClient:
        """Return the next message."""
        return wire.decode_to_client(await self.text())

    async def expect(self, kind: type[_M]) -> _M:
        """Return the next message, which is of that kind."""
        message = await self.next()
        assert isinstance(message, kind), message
        return message

    async def closed(self) -> CloseCode:
        """Return why the server closed, after reading what it said before."""
        with suppress(ConnectionClosed):
            while True:
                await self.socket.recv()
        assert self.socket.close_code is not None
        return CloseCode(self.socket.close_code)

    async def cut(self) -> None:
        """Break the WebSocket off, without a close frame."""
        if hasattr(self, "socket"):
            self.socket.transport.abort()
            await self.socket.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
