"""The signaling server, asked by two sessions that meet in a room of their own."""

import asyncio
import secrets
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, TypeVar

from thkmesh.core import wire
from thkmesh.core.engine import IceServer
from thkmesh.core.identity import SessionKey, hello_payload, proof_payload
from thkmesh.core.sealed import addressed
from thkmesh.doctor.calls import Call
from thkmesh.errors import InvalidMessage, ServerUnreachable
from thkmesh.keys import Identity
from thkmesh.settings import RoomSettings
from thkmesh.signaling.tokens import TokenSource
from thkmesh.signaling.transport import Socket, SocketClosed, Transport

__all__ = ["Entrance", "enter"]

_M = TypeVar("_M", bound=wire.Message)

PATIENCE: Final = 10.0
_SEALED_BYTES: Final = 64


@dataclass(frozen=True)
class Entrance:
    """What came of joining.

    Attributes:
        reason: why nobody can join; empty if one can.
        seconds: how long joining took.
        ice_servers: what the server offers.
        relay: the relay through the server; sealed frames, as a link without a path has them.
    """

    reason: str
    seconds: float | None = None
    ice_servers: tuple[IceServer, ...] = ()
    relay: Call = field(default_factory=lambda: Call("server", "nobody could join", tried=False))

    @property
    def works(self) -> bool:
        """Whether one can join."""
        return not self.reason


class _Refused(Exception):
    """The server did not let us in; or says what no server of ours does."""


@dataclass(frozen=True)
class _Session:
    key: SessionKey
    socket: Socket
    welcome: wire.Welcome


async def enter(settings: RoomSettings) -> Entrance:
    """Join twice; never raises for what a server or a network does."""
    started = monotonic()
    sessions: list[_Session] = []
    try:
        async with asyncio.timeout(PATIENCE):
            transport = settings.transport()
            sessions.append(await _join(settings, transport))
            seconds = round(monotonic() - started, 3)
            sessions.append(await _join(settings, transport))
    except TimeoutError:
        return Entrance(f"{settings.url} does not answer")
    except (ServerUnreachable, _Refused) as error:
        return Entrance(str(error))
    except SocketClosed as closed:
        return Entrance(closed.reason or f"the connection was closed with code {closed.code}")
    else:
        one, other = sessions
        servers = tuple(
            IceServer(each.urls, each.username, each.credential) for each in one.welcome.ice_servers
        )
        return Entrance("", seconds, servers, await _relay(one, other))
    finally:
        for session in sessions:
            session.socket.send(wire.encode(wire.Leave()))
            await session.socket.close()


async def _join(settings: RoomSettings, transport: Transport) -> _Session:
    """Enter the room with a fresh key.

    Raises:
        ServerUnreachable: there is no server.
        SocketClosed: it, or something in between, hung up.
        _Refused: it does not let us in, and says why.
    """
    identity = Identity.generate()
    key = SessionKey(identity.id, secrets.token_hex(8))
    socket = await transport.open(settings.websocket_url)
    try:
        challenge = await _expect(socket, wire.Challenge)
        public, room = identity.public_key, settings.room
        body = wire.encode_body(wire.Introduction(protocol=wire.VERSIONS, name="doctor"))
        token = await TokenSource(settings.password or settings.token).fetch()
        hello = wire.Hello(
            room,
            key.id,
            key.sid,
            public,
            body,
            identity.sign(hello_payload(room, key, public, body)),
            identity.sign(proof_payload(challenge.nonce, room, key)),
            token=token,
        )
        socket.send(wire.encode(hello))
        return _Session(key, socket, await _expect(socket, wire.Welcome))
    except BaseException:
        await socket.close()
        raise


async def _expect(socket: Socket, kind: type[_M]) -> _M:
    """Return the next message, which is to be of that kind."""
    try:
        message = wire.decode_to_client(await socket.receive())
    except InvalidMessage as error:
        raise _Refused(f"it is no THKMesh server: {error}") from error
    if isinstance(message, wire.Error):
        raise _Refused(f"it does not let us in: {message.message or message.reason}")
    if not isinstance(message, kind):
        raise _Refused(f"it says {message.__struct_config__.tag} where it should not")
    return message


async def _relay(one: _Session, other: _Session) -> Call:
    """Send what looks like a sealed frame from one to the other."""
    if not one.welcome.relay_bytes:
        return Call("server", "the server relays nothing", tried=False)
    started = monotonic()
    sealed = secrets.token_bytes(_SEALED_BYTES)
    one.socket.send_frame(addressed(other.key, sealed))
    expected = addressed(one.key, sealed)
    try:
        async with asyncio.timeout(PATIENCE):
            while await other.socket.receive() != expected:
                pass
    except (TimeoutError, SocketClosed):
        return Call("server", "what was sent did not arrive")
    return Call("server", seconds=round(monotonic() - started, 3))
