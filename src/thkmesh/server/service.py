"""The rooms on an event loop: what every way of reaching them shares.

``RoomService`` owns the one ``Rooms`` machine. It knows neither sockets nor ASGI:
whoever has a client calls ``open`` with something to send to, and hands in what
the client says. The ASGI app does so for WebSockets, ``thkmesh.testing`` for its
simulated network on virtual time.

Hellos are checked here, before the machine sees them (``check_hello``): what is
in the machine has proved that it holds the key that its id is the hash of.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Protocol, TypeAlias

import msgspec

from thkmesh.core.bans import BANS_IN_ROOM, nobody
from thkmesh.core.closing import ABNORMAL, GOING_AWAY, CloseCode
from thkmesh.core.ice_url import is_ice_url, needs_credentials
from thkmesh.core.identity import decode_bytes, hello_payload, id_of_key, is_id, proof_payload
from thkmesh.core.room_events import (
    PEERS_LIMIT,
    Close,
    Condemn,
    CreateRoom,
    Dropped,
    Event,
    Expel,
    HelloAccepted,
    Opened,
    Output,
    Received,
    Refused,
    Relay,
    RoomRules,
    Sealed,
    Send,
    Skipped,
    Stop,
)
from thkmesh.core.room_state import RoomView, Session
from thkmesh.core.rooms import Rooms
from thkmesh.core.sealed import RELAY_LIMIT_BYTES, UnknownVersion, addressee
from thkmesh.core.wire import (
    KICKED_LIMIT_BYTES,
    PEER_READY_LIMIT_BYTES,
    SIGNALING_LIMIT_BYTES,
    VERSIONS,
    WELCOME_LIMIT_BYTES,
    Hello,
    IceServer,
    Introduction,
    UnknownType,
    decode_introduction,
    decode_to_server,
)
from thkmesh.driver import Driver
from thkmesh.errors import (
    IdentityMismatch,
    InvalidArgument,
    InvalidMessage,
    InvalidSignature,
    PeerError,
)
from thkmesh.keys import verify
from thkmesh.server.names import readable_name
from thkmesh.server.room_keys import RoomKeys

__all__ = [
    "Connection",
    "NoCommonVersion",
    "Outbound",
    "RoomService",
    "ServerSettings",
    "check_hello",
]

logger = logging.getLogger("thkmesh.server")

_WELCOME_REST_BYTES = 4096
"""What a welcome takes beside the introductions."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings(RoomRules):
    """What an operator may choose: the rules of the rooms, and the limits of the shell.

    Attributes:
        allowed_origins: pages of other origins that may use the server, such as
            ``https://example.org``; ``*`` allows all. Pages that the server's own
            host serves, and programs that are no browsers, always may.
        outgoing_messages: how many messages may wait for a client to read them; more
            than may wait for one that is away, for these come all at once.
        outgoing_bytes: how many bytes of them; beyond either the client is cut off.
        outgoing_relay_bytes: how many bytes of sealed frames may wait behind them; what
            is more is dropped.
        close_timeout: seconds that a client gets to take in what is left and the
            close code, before its socket is freed whatever it does.
        request_timeout: seconds that the body of a REST request may take to come.
        secret: what the rooms' keys are made of, and what operators authorize themselves
            with; the same for all processes of a server. Empty: drawn anew each time, so
            that nobody knows it.
    """

    allowed_origins: tuple[str, ...] = ()
    outgoing_messages: int = 512
    outgoing_bytes: int = 1024 * 1024
    outgoing_relay_bytes: int = 256 * 1024
    close_timeout: float = 5.0
    request_timeout: float = 10.0
    secret: str = ""

    def __post_init__(self) -> None:
        """Check what has to fit into what.

        Raises:
            InvalidArgument: a welcome could not hold a full room, a client that was
                away would be cut off on its return, or no browser could use a server
                of ``ice_servers``.
        """
        for server in self.ice_servers:
            _check_ice_server(server)
        if self.relay_bytes and self.relay_burst_bytes < max(
            2 * RELAY_LIMIT_BYTES, 3 * self.relay_bytes
        ):
            raise InvalidArgument("relay_burst_bytes must be 3 seconds of relay_bytes, and 131072")
        if not 1 <= self.max_peers <= PEERS_LIMIT:
            raise InvalidArgument(f"max_peers is {self.max_peers}: use 1 to {PEERS_LIMIT}")
        welcome_bytes = self.max_peers * PEER_READY_LIMIT_BYTES + _WELCOME_REST_BYTES
        welcome_bytes += BANS_IN_ROOM * KICKED_LIMIT_BYTES
        welcome_bytes += len(msgspec.json.encode(self.ice_servers))
        if welcome_bytes > WELCOME_LIMIT_BYTES:
            raise InvalidArgument("a welcome cannot hold so many ice_servers")
        if (
            self.outgoing_messages < self.away_messages + 2
            or self.outgoing_bytes < self.away_bytes + welcome_bytes
        ):
            raise InvalidArgument("outgoing limits must hold a welcome and what waits for the away")


def _check_ice_server(server: IceServer) -> None:
    if not server.urls:
        raise InvalidArgument("an IceServer needs a URL")
    for url in server.urls:
        if not is_ice_url(url):
            raise InvalidArgument(f"{url!r:.80} is no URL like stun:host or turn:host:3478")
        if needs_credentials(url) and (server.username is None or server.credential is None):
            raise InvalidArgument(f"{url:.80} needs a username and a credential")


class Outbound(Protocol):
    """The way to one client."""

    def send(self, text: str) -> bool:
        """Take a message; False, and nothing is taken, when too much waits already."""
        ...

    def relay(self, frame: bytes) -> None:
        """Take a sealed frame, to be sent when no message waits; drop it if too much does."""

    def close(self, code: int, reason: str) -> None:
        """Close after what was sent; nothing follows."""


class NoCommonVersion(InvalidMessage):
    """A peer speaks no version of the protocol that we speak."""

    reason = "protocol-mismatch"


Verify: TypeAlias = Callable[[str, str, bytes], bool]


def check_hello(hello: Hello, nonce: str, verify: Verify = verify) -> Introduction | PeerError:
    """Return what a genuine hello says, or what is wrong with it; never raises."""
    who = hello.session
    key = decode_bytes(hello.key, 32)
    if key is None or not is_id(who.id) or id_of_key(key) != who.id:
        return IdentityMismatch("the id is not the hash of the key")
    said = hello_payload(hello.room_id, who, hello.key, hello.body)
    if not verify(hello.key, hello.signature, said):
        return InvalidSignature("the introduction is not signed by its key")
    if not verify(hello.key, hello.proof, proof_payload(nonce, hello.room_id, who)):
        return InvalidSignature("the challenge is not signed by the key")
    try:
        introduction = decode_introduction(hello.body)
    except InvalidMessage as error:
        return error
    lowest, highest = introduction.protocol
    if highest < VERSIONS[0] or VERSIONS[1] < lowest:
        return NoCommonVersion(f"this server speaks versions {VERSIONS[0]} to {VERSIONS[1]}")
    return introduction


def _code_of(error: PeerError) -> CloseCode:
    match error:
        case NoCommonVersion():
            return CloseCode.PROTOCOL_MISMATCH
        case InvalidMessage():
            return CloseCode.INVALID
        case _:
            return CloseCode.UNAUTHORIZED


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


class RoomService:
    """All rooms of this process, on the event loop that first uses them."""

    def __init__(
        self,
        settings: ServerSettings | None = None,
        *,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        verify: Verify = verify,
        clock: Callable[[], float] = time.time,
        may_kick: Callable[[Session], bool] = nobody,
    ) -> None:
        """Make a server without clients.

        Args:
            settings: None means the defaults.
            entropy: returns that many random bytes; the operating system's unless
                a simulation wants to be repeatable.
            verify: does what ``keys.verify`` does.
            clock: returns the seconds since 1970.
            may_kick: tells whether a session may remove others from its room.
        """
        self.verify = verify
        self.settings = settings or ServerSettings()
        self.entropy = entropy
        self._clock = clock
        self._rooms = Rooms(entropy(8).hex(), self.settings, may_kick)
        self.keys = RoomKeys(self.secret or entropy(32))
        self._numbers = count(1)
        self._outbounds: dict[int, Outbound] = {}

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @cached_property
    def _driver(self) -> Driver[Event, Output]:
        return Driver(self._rooms, self._perform, logger=logger, loop=self._loop)

    @property
    def secret(self) -> bytes:
        """What operators show to be let do what nobody else may; empty if nobody may."""
        return self.settings.secret.encode()

    # --- clients ---

    def open(self, outbound: Outbound) -> "Connection":
        """Take in a client; its challenge has been sent when this returns."""
        number = next(self._numbers)
        nonce = self.entropy(16).hex()
        self._outbounds[number] = outbound
        self.feed(Opened(number, nonce))
        return Connection(self, number, nonce)

    def is_open(self, number: int) -> bool:
        """Tell whether a client is still spoken with; for this module's connections."""
        return number in self._outbounds

    def feed(self, event: Event) -> None:
        """Hand the machine an event; for this module's connections."""
        self._driver.feed(event)

    def stop(self) -> None:
        """Close every connection with 1012, forget everything, take nobody in."""
        logger.info("stopping with %d connections", len(self._outbounds))
        self.feed(Stop())

    def _perform(self, output: Output) -> None:
        match output:
            case Send(conn=number, text=text):
                outbound = self._outbounds.get(number)
                if outbound is not None and not outbound.send(text):
                    self._close(number, CloseCode.SLOW_CONSUMER, "slow-consumer")
                    self.feed(Dropped(number))
            case Relay(conn=number, frame=frame):
                outbound = self._outbounds.get(number)
                if outbound is not None:
                    outbound.relay(frame)
            case Close(conn=number, code=code, reason=reason):
                self._close(number, code, reason)
            case Condemn(room=room, user_id=user_id, duration=duration, why=why):
                self.kick(room, user_id, duration, why)

    def _close(self, number: int, code: CloseCode, reason: str) -> None:
        outbound = self._outbounds.pop(number, None)
        if outbound is not None:
            logger.info("connection %d: closed with %d %s", number, code, reason)
            outbound.close(code, reason)

    def forget(self, number: int, *, leaving: bool) -> None:
        """Let go of a client that is gone; for this module's connections."""
        if self._outbounds.pop(number, None) is not None:
            logger.info("connection %d: %s", number, "gone" if leaving else "dropped")
            self.feed(Dropped(number, leaving))

    # --- rooms ---

    @property
    def epoch(self) -> str:
        """Names this life of the server."""
        return self._rooms.epoch

    @property
    def connection_count(self) -> int:
        """How many clients there are."""
        return self._rooms.connection_count

    @property
    def room_count(self) -> int:
        """How many rooms there are."""
        return self._rooms.room_count

    @property
    def skipped(self) -> int:
        """How many messages of unknown types came in."""
        return self._rooms.skipped

    @property
    def full(self) -> bool:
        """Tell whether no more rooms can come into being."""
        return self._rooms.full

    def inspect(self, room: str) -> RoomView | None:
        """Return what is known of a room, None if there is no such room."""
        return self._rooms.inspect(room, self._loop.time())

    def listed(self) -> list[RoomView]:
        """Return the rooms that want to be found."""
        return list(self._rooms.listed(self._loop.time()))

    def create(self, room: str | None = None, *, listed: bool = False) -> RoomView | None:
        """Make a room, under a readable name if it is given none.

        Returns None when it exists already or there can be no more rooms (see
        ``full``). ``room`` must have the form of a room's name.
        """
        while room is None:
            name = readable_name(self.entropy)
            room = name if self.inspect(name) is None else None
        if self.inspect(room) is not None:
            return None
        self.feed(CreateRoom(room, listed))
        return self.inspect(room)

    @property
    def now_ms(self) -> int:
        """What time it is, in milliseconds since 1970.

        The wall is looked at once: should that clock jump, everybody would have another idea
        of when a ban ends.
        """
        return int((self._began + self._loop.time()) * 1000)

    @cached_property
    def _began(self) -> float:
        return self._clock() - self._loop.time()

    def kick(self, room: str, user_id: str, duration: float, why: str = "") -> float:
        """Remove a peer from a room, and keep it out for a while.

        Args:
            room: its name; there need not be one of it now.
            user_id: of the peer, which need not be there.
            duration: seconds, from 1 to a year.
            why: what everybody is told, up to 200 characters.

        Returns:
            Until when, in seconds since 1970.
        """
        at = self.now_ms
        until = at + int(duration * 1000)
        logger.info("room %s: %s is removed for %g s", room, user_id, duration)
        statement = self.keys.statement(room, user_id, at, until, why)
        self.feed(Expel(room, user_id, duration, statement, why))
        return until / 1000


class Connection:
    """One client, as it reaches the rooms."""

    def __init__(self, service: RoomService, number: int, nonce: str) -> None:
        """Made by ``RoomService.open``."""
        self._service = service
        self._number = number
        self._nonce = nonce

    def received(self, data: str | bytes) -> None:
        """Take in one message; it has been acted upon when this returns."""
        if not self._service.is_open(self._number):
            return  # Closed, and what comes until the client knows is worth no work.
        if isinstance(data, bytes):
            self._sealed(data)
            return
        if _size(data) > SIGNALING_LIMIT_BYTES:
            limit = f"a message has at most {SIGNALING_LIMIT_BYTES} bytes"
            self._refuse("too-large", limit, CloseCode.TOO_LARGE)
            return
        try:
            message = decode_to_server(data)
        except UnknownType:
            self._service.feed(Skipped(self._number))
        except InvalidMessage as error:
            self._refuse(error.reason, str(error), CloseCode.INVALID)
        else:
            if isinstance(message, Hello):
                self._greeted(message)
            else:
                self._service.feed(Received(self._number, message, data))

    def _sealed(self, frame: bytes) -> None:
        if len(frame) > RELAY_LIMIT_BYTES:
            limit = f"a sealed frame has at most {RELAY_LIMIT_BYTES} bytes"
            self._refuse("too-large", limit, CloseCode.TOO_LARGE)
            return
        try:
            to, rest = addressee(frame)
        except UnknownVersion:
            self._service.feed(Skipped(self._number))
        except InvalidMessage as error:
            self._refuse(error.reason, str(error), CloseCode.INVALID)
        else:
            self._service.feed(Sealed(self._number, to, rest))

    def dropped(self, code: int = ABNORMAL) -> None:
        """Tell that the client is gone; nothing is sent to it any more.

        Args:
            code: of its close frame; without one, 1006.
        """
        self._service.forget(self._number, leaving=code == GOING_AWAY)

    def _greeted(self, hello: Hello) -> None:
        introduction = check_hello(hello, self._nonce, self._service.verify)
        if isinstance(introduction, PeerError):
            self._refuse(introduction.reason, str(introduction), _code_of(introduction))
            return
        logger.info("connection %d: hello from %s.%s", self._number, *hello.session)
        resume = self._service.entropy(16).hex()
        shown = self._service.keys.public_key(hello.room_id), self._service.now_ms
        self._service.feed(HelloAccepted(self._number, hello, introduction, resume, *shown))

    def _refuse(self, reason: str, message: str, code: CloseCode) -> None:
        self._service.feed(Refused(self._number, reason, message[:256], code))
