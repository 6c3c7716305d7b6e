"""A client of the signaling server that does what a test tells it, word by word."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from thkmesh.core import wire
from thkmesh.core.identity import SessionKey, hello_payload, proof_payload
from thkmesh.signaling.transport import Socket, SocketClosed
from thkmesh.testing import World

_T = TypeVar("_T", bound=wire.Message)

ROOM = "lobby"


class Client:
    """One host's way to the server."""

    def __init__(self, world: World, host: str) -> None:
        """Be on a host, with the identity that has its name."""
        self.world = world
        self.host = host
        self.identity = world.identity(host)
        self.session = SessionKey(self.identity.id, world.entropy(8).hex())
        self.heard: list[wire.ToClient] = []
        self.socket: Socket

    async def enter(self) -> wire.Welcome:
        """Connect, introduce ourselves, and return the welcome."""
        self.socket = await self.world.transport(self.host).open(self.world.url)
        challenge = await self.expect(wire.Challenge)
        body = wire.encode_body(wire.Introduction(protocol=wire.VERSIONS, name=self.host))
        key = self.identity.public_key
        proof = proof_payload(challenge.nonce, ROOM, self.session)
        self.say(
            wire.Hello(
                room_id=ROOM,
                from_user_id=self.session.id,
                from_sid=self.session.sid,
                key=key,
                body=body,
                signature=self.identity.sign(hello_payload(ROOM, self.session, key, body)),
                proof=self.identity.sign(proof),
            )
        )
        return await self.expect(wire.Welcome)

    def say(self, message: wire.Message) -> None:
        """Send a message."""
        self.socket.send(wire.encode(message))

    async def hear(self) -> wire.ToClient:
        """Return the next message."""
        message = wire.decode_to_client(await self.socket.receive())
        self.heard.append(message)
        return message

    async def expect(self, kind: type[_T]) -> _T:
        """Return the next message of a kind; what comes before it is only noted."""
        while not isinstance(message := await self.hear(), kind):
            pass
        return message

    async def listen(self) -> SocketClosed:
        """Hear everything until the end; return how it ended."""
        try:
            while True:
                await self.hear()
        except SocketClosed as closed:
            return closed

    async def ping(self, count: int, interval: float = 0.1) -> None:
        """Send so many pings."""
        for number in range(count):
            self.say(wire.Ping(n=number))
            await asyncio.sleep(interval)

    @property
    def pongs(self) -> list[int]:
        """The pings that were answered."""
        return [message.n for message in self.heard if isinstance(message, wire.Pong)]


async def until(holds: Callable[[], bool], interval: float = 0.05) -> None:
    """Wait until something holds; virtual time makes looking free."""
    while not holds():  # noqa: ASYNC110 - what it looks at is no event
        await asyncio.sleep(interval)
