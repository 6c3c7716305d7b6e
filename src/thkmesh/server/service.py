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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from time import monotonic
from typing import Protocol

import msgspec

from thkmesh.core.admission import AdmissionRules, Denial, Pace, Turnstile
from thkmesh.core.bans import BANS_IN_ROOM
from thkmesh.core.closing import ABNORMAL, GOING_AWAY, CloseCode
from thkmesh.core.envelope import EnvelopeDecoder
from thkmesh.core.grants import Denied, Permit
from thkmesh.core.ice_url import is_ice_url, needs_credentials
from thkmesh.core.identity import ID_LENGTH
from thkmesh.core.room_events import (
    PEERS_LIMIT,
    Close,
    Command,
    Condemn,
    CreateRoom,
    Drain,
    Dropped,
    Event,
    Expel,
    HelloAccepted,
    Opened,
    Output,
    Received,
    Refused,
    Relay,
    Renewed,
    RenewIce,
    Renewing,
    RoomRules,
    Sealed,
    Send,
    Skipped,
    Stop,
    Undecided,
    Withdrawn,
)
from thkmesh.core.room_state import Counts, RoomView
from thkmesh.core.rooms import Rooms
from thkmesh.core.sealed import RELAY_LIMIT_BYTES, UnknownVersion, addressee
from thkmesh.core.wire import (
    KICKED_LIMIT_BYTES,
    PEER_READY_LIMIT_BYTES,
    SIGNALING_LIMIT_BYTES,
    WELCOME_LIMIT_BYTES,
    Hello,
    IceServer,
    IceServers,
    Leave,
    RenewToken,
    UnknownType,
    encode,
)
from thkmesh.driver import Driver
from thkmesh.errors import (
    InvalidArgument,
    InvalidMessage,
    PeerError,
)
from thkmesh.keys import verify
from thkmesh.server.decisions import Decisions
from thkmesh.server.gate import AccessSettings, Asked, Gate, Handshake
from thkmesh.server.greeting import Verify, check_hello, code_of
from thkmesh.server.names import readable_name
from thkmesh.server.proxies import ProxyHeader, TrustedProxies
from thkmesh.server.room_keys import RoomKeys
from thkmesh.server.turn import Turn

__all__ = [
    "Connection",
    "Outbound",
    "RoomService",
    "ServerSettings",
    "rules_of",
]

logger = logging.getLogger("thkmesh.server")

_WELCOME_REST_BYTES = 4096
"""What a welcome takes beside the introductions."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings(RoomRules, AdmissionRules):
    """What an operator may choose: the rules of rooms and of admission, and the shell's.

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
        trusted_proxies: addresses and networks of the proxies before the server, which
            say who a client is; ``*`` is whoever connects.
        proxy_header: where they say it; the other header is never looked at.
        drain: seconds within which all clients are asked to move when the server ends.
        turn: TURN servers for which every peer gets credentials of its own.
    """

    allowed_origins: tuple[str, ...] = ()
    outgoing_messages: int = 512
    outgoing_bytes: int = 1024 * 1024
    outgoing_relay_bytes: int = 256 * 1024
    close_timeout: float = 5.0
    request_timeout: float = 10.0
    trusted_proxies: tuple[str, ...] = ()
    proxy_header: ProxyHeader = "x-forwarded-for"
    drain: float = 2.0
    turn: Turn | None = None

    def __post_init__(self) -> None:
        """Check what has to fit into what.

        Raises:
            InvalidArgument: a welcome could not hold a full room, a client that was
                away would be cut off on its return, no browser could use a server
                of ``ice_servers``, or one of ``trusted_proxies`` is no address.
        """
        TrustedProxies(self.trusted_proxies)
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
        turn = () if self.turn is None else self.turn.servers("x" * ID_LENGTH, 0)
        welcome_bytes += len(msgspec.json.encode(self.ice_servers + turn))
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


def rules_of(settings: ServerSettings) -> RoomRules:
    """Return the rules of the rooms of a server."""
    turn = settings.turn
    return settings if turn is None else replace(settings, ice_rotation=turn.rotation)


class Outbound(Protocol):
    """The way to one client."""

    def send(self, text: str) -> bool:
        """Take a message; False, and nothing is taken, when too much waits already."""
        ...

    def relay(self, frame: bytes) -> None:
        """Take a sealed frame, to be sent when no message waits; drop it if too much does."""

    def close(self, code: int, reason: str) -> None:
        """Close after what was sent; nothing follows."""


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


class RoomService:
    """All rooms of this process, on the event loop that first uses them."""

    def __init__(
        self,
        settings: ServerSettings | None = None,
        *,
        access: AccessSettings | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        verify: Verify = verify,
        rooms: Rooms | None = None,
    ) -> None:
        """Make a server without clients.

        Args:
            settings: None means the defaults.
            access: who may do what; None means everything but to kick, for everybody.
            entropy: returns that many random bytes; the operating system's unless
                a simulation wants to be repeatable.
            verify: does what ``keys.verify`` does.
            rooms: None means those of one process alone.
        """
        self.verify = verify
        self.settings = settings or ServerSettings()
        self.entropy = entropy
        self.turnstile = Turnstile(self.settings)
        self.gate = Gate(access, entropy)
        self.decisions = Decisions(self.gate)
        self._rooms = rooms or Rooms(entropy(8).hex(), rules_of(self.settings))
        self._numbers = count(1)
        self._outbounds: dict[int, Outbound] = {}
        self._names: dict[int, dict[str, str]] = {}
        """Who has joined over which connection, for the log."""
        self.closed: Counter[tuple[CloseCode, str]] = Counter()
        """How many connections were closed, by code and reason."""
        self.welcomed: Callable[[float], None] = lambda _: None
        """Is told how long each hello took."""
        self._alone = asyncio.Event()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @cached_property
    def _driver(self) -> Driver[Event, Output]:
        return Driver(self._rooms, self._perform, logger=logger, loop=self._loop)

    @property
    def secret(self) -> bytes:
        """What an operator shows to be let do anything; empty where nobody knows it."""
        return self.gate.settings.secret or b""

    # --- clients ---

    def admit(self, source: str | None) -> Denial | None:
        """Count a client in, or return why it may not come; ``release`` counts it out.

        ``source`` is what ``source_of`` makes of its address.
        """
        return self.turnstile.enter(source, self.now)

    def release(self, source: str | None) -> None:
        """Count a client out."""
        self.turnstile.leave(source, self.now)

    def open(
        self, outbound: Outbound, source: str | None = None, handshake: Handshake | None = None
    ) -> "Connection":
        """Take in a client; its challenge has been sent when this returns."""
        number = next(self._numbers)
        nonce = self.entropy(16).hex()
        self._outbounds[number] = outbound
        self.feed(Opened(number, nonce))
        return Connection(self, number, nonce, source, handshake or Handshake())

    def is_open(self, number: int) -> bool:
        """Tell whether a client is still spoken with; for this module's connections."""
        return number in self._outbounds

    def feed(self, event: Event) -> None:
        """Hand the machine an event; for this module's connections."""
        self._driver.feed(event)

    @property
    def now(self) -> float:
        """What the clock of the event loop says."""
        return self._loop.time()

    @property
    def client_count(self) -> int:
        """How many clients are spoken with."""
        return len(self._outbounds)

    async def drain(self) -> None:
        """Take nobody in, ask all clients to move, and return when they have been asked.

        It takes at most ``settings.drain`` seconds; ``stop`` ends it.
        """
        self.turnstile.draining = True
        logger.info("draining %d connections", self.client_count)
        self.feed(Drain(self.settings.drain))
        while self.client_count:
            self._alone.clear()
            await self._alone.wait()

    def stop(self) -> None:
        """Close every connection with 1012, forget everything, take nobody in."""
        logger.info("stopping with %d connections", self.client_count)
        self.turnstile.draining = True
        self.feed(Stop())

    async def leave(self) -> None:
        """Let go of what is shared with other processes, after ``stop``; here nothing."""

    def name(self, number: int, hello: Hello) -> None:
        """Say in the log who a client is; for this module's connections."""
        who = hello.session
        self._names[number] = {"room": hello.room_id, "peer": who.id, "session": who.sid}
        self._log(number, "hello")

    def _log(self, number: int, event: str, **fields: object) -> None:
        logger.info(event, extra={"connection": number, **self._names.get(number, {}), **fields})

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
            case RenewIce(conn=number, peer=peer):
                servers = self.settings.ice_servers + self.ice_servers(peer)
                self._perform(Send(number, encode(IceServers(servers))))
            case Command():
                self._command(output)

    def _command(self, command: Command) -> None:
        """Do what a broker is for; rooms that are not shared have nothing to do."""

    def ice_servers(self, peer: str) -> tuple[IceServer, ...]:
        """Return the servers that a peer gets credentials of its own for."""
        turn = self.settings.turn
        return () if turn is None else turn.servers(peer, self.gate.settings.today())

    def _close(self, number: int, code: CloseCode, reason: str) -> None:
        self.decisions.forget(number)
        outbound = self._outbounds.pop(number, None)
        if outbound is not None:
            self._log(number, "closed", code=int(code), reason=reason)
            self._names.pop(number, None)
            self.closed[code, reason] += 1
            outbound.close(code, reason)
            if not self.client_count:
                self._alone.set()

    def forget(self, number: int, *, leaving: bool) -> None:
        """Let go of a client that is gone; for this module's connections."""
        self.decisions.forget(number)
        if self._outbounds.pop(number, None) is not None:
            self._log(number, "gone" if leaving else "dropped")
            self._names.pop(number, None)
            self.feed(Dropped(number, leaving))
            if not self.client_count:
                self._alone.set()

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
    def peer_count(self) -> int:
        """How many sessions are in rooms, those that are away included."""
        return self._rooms.peer_count

    @property
    def counts(self) -> Counts:
        """What has happened in the rooms, in numbers."""
        return self._rooms.counts

    @property
    def full(self) -> bool:
        """Tell whether no more rooms can come into being."""
        return self._rooms.full

    def room_denied(self, room: str, source: str | None) -> Denial | None:
        """Return why there may be no such room yet; None if there may, or is one."""
        return None if self._rooms.has(room) else self.turnstile.make_room(source, self.now)

    def guess_denied(self, asked: Asked, source: str | None) -> Denial | None:
        """Return why somebody may not try a password yet; None if it may, or tries none."""
        return self.turnstile.guess(source, self.now) if self.gate.guesses(asked) else None

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

    # The same questions, for rooms that may be shared with other processes.

    async def look_up(self, room: str) -> RoomView | None:
        """Return what is known of a room, None if there is no such room."""
        return self.inspect(room)

    async def list_rooms(self) -> list[tuple[str, int]]:
        """Return the rooms that want to be found, and how many are there."""
        return [(view.room, len(view.peers)) for view in self.listed()]

    async def make_room(self, room: str | None = None, *, listed: bool = False) -> RoomView | None:
        """Do what ``create`` does."""
        return self.create(room, listed=listed)

    @cached_property
    def keys(self) -> RoomKeys:
        """What signs who is removed; asked for first when the secret is known."""
        return RoomKeys(self.gate.secret)

    @property
    def now_ms(self) -> int:
        """What time it is, in milliseconds since 1970.

        The wall is looked at once: should that clock jump, everybody would have another idea
        of when a ban ends.
        """
        return int((self._began + self._loop.time()) * 1000)

    @cached_property
    def _began(self) -> float:
        return self.gate.settings.today() - self._loop.time()

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

    def __init__(
        self,
        service: RoomService,
        number: int,
        nonce: str,
        source: str | None,
        handshake: Handshake,
    ) -> None:
        """Made by ``RoomService.open``."""
        self._service = service
        self._source = source
        self._pace = Pace(service.settings, service.settings.max_peers)
        self._number = number
        self._nonce = nonce
        self._handshake = handshake
        self._hello: Hello | None = None
        self._entered = False
        self._decoder = EnvelopeDecoder()

    def received(self, data: str | bytes) -> None:
        """Take in one message; it has been acted upon when this returns."""
        if not self._service.is_open(self._number):
            return  # Closed, and what comes until the client knows is worth no work.
        if isinstance(data, bytes):
            self._sealed(data)
            return
        denial = self._pace.message(self._service.now)
        if denial is not None:
            self._deny(denial)
            return
        if _size(data) > SIGNALING_LIMIT_BYTES:
            limit = f"a message has at most {SIGNALING_LIMIT_BYTES} bytes"
            self._refuse("too-large", limit, CloseCode.TOO_LARGE)
            return
        try:
            message = self._decoder.decode(data)
        except UnknownType:
            self._service.feed(Skipped(self._number))
        except InvalidMessage as error:
            self._refuse(error.reason, str(error), CloseCode.INVALID)
        else:
            if isinstance(message, Hello):
                self._greeted(message)
            elif isinstance(message, RenewToken):
                self._renewed(message.token)
            elif isinstance(message, Leave) and self._hello is not None and not self._entered:
                self._service.feed(Withdrawn(self._number, self._hello))
            else:
                self._service.feed(Received(self._number, message, data))

    def _sealed(self, frame: bytes) -> None:
        denial = self._pace.frame(self._service.now)
        if denial is not None:
            self._deny(denial)
            return
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
        began = monotonic()
        introduction = check_hello(hello, self._nonce, self._service.verify)
        if isinstance(introduction, PeerError):
            self._refuse(introduction.reason, str(introduction), code_of(introduction))
            return
        if self._hello is not None:
            self._refuse("already-joined", "one hello is enough", CloseCode.INVALID)
            return
        denial = self._service.room_denied(hello.room_id, self._source)
        if denial is not None:
            self._deny(denial)
            return
        self._hello = hello

        def enter(permit: Permit) -> None:
            self._entered = True
            self._service.name(self._number, hello)
            resume = self._service.entropy(16).hex()
            servers = self._service.ice_servers(hello.from_user_id)
            accepted = HelloAccepted(
                *(self._number, hello, introduction, resume),
                permit=permit,
                ice_servers=servers,
                room_key=self._service.keys.public_key(hello.room_id),
                time=self._service.now_ms,
            )
            self._service.feed(accepted)
            self._service.welcomed(monotonic() - began)

        self._admit(hello, hello.token, enter)

    def _renewed(self, token: str) -> None:
        if self._hello is None:
            text = "a hello must come first, not token"
            self._refuse("hello-expected", text, CloseCode.INVALID)
        elif not self._service.decisions.pending(self._number):  # else they would pile up
            self._admit(
                self._hello, token, lambda found: self._service.feed(Renewed(self._number, found))
            )
            if self._service.decisions.pending(self._number):
                patience = self._service.gate.settings.authenticate_timeout
                self._service.feed(Renewing(self._number, patience))

    def _admit(self, hello: Hello, token: str, then: Callable[[Permit], None]) -> None:
        """Go on if what was shown admits to the room; else say why it does not."""

        def decided(found: Permit | Denied) -> None:
            if not isinstance(found, Denied):
                then(found)
            elif self._entered and found.code == CloseCode.OVERLOADED:
                self._service.feed(Undecided(self._number))
            else:
                self._refuse(found.reason, found.message, found.code)

        asked = Asked(hello.room_id, hello.from_user_id, token, self._handshake)
        denial = self._service.guess_denied(asked, self._source)
        if denial is not None:
            self._deny(denial)
            return
        self._service.decisions.decide(self._number, asked, decided)

    def _deny(self, denial: Denial) -> None:
        self._service.turnstile.denied[denial.reason] += 1
        code, wait = CloseCode.RATE_LIMITED, denial.retry_after
        self._service.feed(Refused(self._number, denial.reason, denial.message, code, wait))

    def _refuse(self, reason: str, message: str, code: CloseCode) -> None:
        self._service.feed(Refused(self._number, reason, message[:256], code))
