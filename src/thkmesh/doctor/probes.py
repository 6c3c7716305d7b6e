"""Asking STUN and TURN servers: over UDP, TCP and TLS.

A question over UDP is sent again until it is answered, as any may be lost (RFC 8489,
section 6.2.1). Nothing here raises for what a network does: what fails says why.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qs

from thkmesh.core.engine import IceServer
from thkmesh.doctor import stun
from thkmesh.doctor.stun import Address, Attribute, Kind, Message, Method

__all__ = [
    "Asking",
    "Probed",
    "Relay",
    "Target",
    "UdpSocket",
    "allocated",
    "opened_udp",
    "probe",
    "resolve",
    "targets",
]

PATIENCE: Final = 3.0
"""Seconds in which a server that can be reached has answered."""

_PRIVATE: Final = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1")
"""Of loopback, of private networks, and where clouds keep secrets (RFC 6890)."""

_FIRST_RESEND: Final = 0.2
_REFUSALS: Final = {
    400: "it finds the request malformed",
    401: "it does not accept the name and the password",
    403: "it forbids this",
    437: "it finds the allocation amiss",
    441: "it does not accept the name and the password",
    442: "it does not relay UDP",
    486: "it has no more relays for this user: its quota is used up",
    508: "it has no more relays: its ports or its bandwidth are used up",
}


@dataclass(frozen=True)
class Target:
    """One server, over one transport.

    Attributes:
        url: as it was offered.
        transport: udp, tcp or tls.
        turn: whether it is to relay, and not only to tell our address.
    """

    url: str
    host: str
    port: int
    transport: str
    turn: bool
    username: str = ""
    credential: str = field(default="", repr=False)


def targets(servers: tuple[IceServer, ...]) -> list[Target]:
    """Return what to ask, each once."""
    found: dict[Target, None] = {}
    for server in servers:
        for url in server.urls:
            scheme, _, rest = url.partition(":")
            place, _, query = rest.partition("?")
            host, port = _split(place)
            secure = scheme.endswith("s")
            wanted = parse_qs(query).get("transport", ["tcp" if secure else "udp"])[0]
            turn = scheme.startswith("turn")
            target = Target(
                url,
                host,
                port or (5349 if secure else 3478),
                "tls" if secure else wanted,
                turn,
                (server.username or "") if turn else "",
                (server.credential or "") if turn else "",
            )
            found.setdefault(target)
    return list(found)


def _split(place: str) -> tuple[str, int | None]:
    """Return host and port of ``host``, ``host:port`` or ``[v6]:port``."""
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        return host, int(rest[1:]) if rest else None
    host, _, port = place.partition(":")
    return host, int(port) if port else None


@dataclass(frozen=True)
class Probed:
    """What came of asking a server.

    Attributes:
        reason: why it failed; empty if it did not.
        rtt: seconds until the first answer.
        mapped: the address from which it saw us.
        answered: whether it said anything at all.
        exposed: addresses that it would relay to though they are not of the internet.
    """

    target: Target
    reason: str
    rtt: float | None = None
    mapped: Address | None = None
    answered: bool = False
    exposed: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether it does what it is for."""
        return not self.reason


class Asking(Protocol):
    """A way to a server."""

    async def ask(self, message: Message, key: bytes | None = None) -> Message | None:
        """Return the answer; None if none came in time, or the way broke."""
        ...


def request(method: Method, *attributes: tuple[int, bytes], kind: Kind = Kind.REQUEST) -> Message:
    """Return a message with a transaction of its own."""
    return Message(method, kind, secrets.token_bytes(12), attributes)


# --- UDP ----------------------------------------------------------------------


class UdpSocket(asyncio.DatagramProtocol):
    """One socket of UDP, so one mapping of a router; use ``opened_udp``."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[Message]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self.heard: Callable[[Message | bytes, Address], None] = lambda _message, _source: None
        """Is told of everything that is no answer to a question."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        # It is one, though before Python 3.12 not by its class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    @property
    def local(self) -> Address:
        """Where it is bound."""
        assert self._transport is not None
        return Address(*self._transport.get_extra_info("sockname")[:2])

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Take in an answer, or something else."""
        message = stun.decode(data)
        waiting = self._waiting.get(message.transaction) if message else None
        if message is not None and waiting is not None and not waiting.done():
            waiting.set_result(message)
        else:
            self.heard(message or data, Address(*addr[:2]))

    def error_received(self, exc: Exception) -> None:
        """Go on: ICMP errors are about one address only."""

    def send(self, data: bytes, to: Address) -> None:
        """Send once."""
        assert self._transport is not None
        self._transport.sendto(data, to)

    def close(self) -> None:
        """Close."""
        if self._transport is not None:
            self._transport.close()

    async def ask(
        self, message: Message, to: Address, key: bytes | None = None, patience: float = PATIENCE
    ) -> Message | None:
        """Return the answer; None if none came in time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message] = loop.create_future()
        self._waiting[message.transaction] = answer
        data = stun.encode(message, key)
        end, pause = loop.time() + patience, _FIRST_RESEND
        try:
            while (left := end - loop.time()) > 0:
                self.send(data, to)
                done, _ = await asyncio.wait({answer}, timeout=min(pause, left))
                if done:
                    return answer.result()
                pause *= 2
            return None
        finally:
            del self._waiting[message.transaction]


@dataclass(frozen=True)
class _Udp:
    """A server over UDP."""

    socket: UdpSocket
    to: Address

    async def ask(self, message: Message, key: bytes | None = None) -> Message | None:
        """Return the answer; None if none came in time."""
        return await self.socket.ask(message, self.to, key)


@asynccontextmanager
async def opened_udp(version: int = 4) -> AsyncGenerator[UdpSocket, None]:
    """Have a socket on a port of its own.

    Raises:
        OSError: this machine has no such addresses.
    """
    loop = asyncio.get_running_loop()
    where = ("0.0.0.0" if version == 4 else "::", 0)  # noqa: S104 - the kernel knows the way out
    _, protocol = await loop.create_datagram_endpoint(UdpSocket, local_addr=where)
    try:
        yield protocol
    finally:
        protocol.close()


async def resolve(host: str, port: int) -> Address:
    """Return an address of a server; of IPv4 if it has one.

    Raises:
        OSError: the name cannot be found.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port)
    hosts = sorted((str(each[4][0]) for each in found), key=lambda each: ":" in each)
    return Address(hosts[0], port)


# --- TCP and TLS --------------------------------------------------------------


@dataclass(frozen=True)
class _Stream:
    """A server over TCP, or TLS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, message: Message, key: bytes | None = None) -> Message | None:
        """Return the answer; None if none came in time, or the connection broke."""
        try:
            async with asyncio.timeout(PATIENCE):
                self.writer.write(stun.encode(message, key))
                while True:
                    header = await self.reader.readexactly(20)
                    size = stun.size_of(header)
                    if size is None:
                        return None
                    answer = stun.decode(header + await self.reader.readexactly(size - 20))
                    if answer is not None and answer.transaction == message.transaction:
                        return answer
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return None


@asynccontextmanager
async def _opened(target: Target, tls: ssl.SSLContext | None) -> AsyncGenerator[Asking, None]:
    """Have a way to a server.

    Raises:
        OSError: there is none; or ssl.SSLError, which is one, or TimeoutError, another.
    """
    if target.transport == "udp":
        to = await resolve(target.host, target.port)
        async with opened_udp(6 if ":" in to.host else 4) as sock:
            yield _Udp(sock, to)
        return
    context = None
    if target.transport == "tls":
        context = tls or ssl.create_default_context()
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    try:
        yield _Stream(reader, writer)
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await writer.wait_closed()


# --- what is asked ------------------------------------------------------------


async def probe(target: Target, tls: ssl.SSLContext | None = None) -> Probed:
    """See whether a server does what it is for; never raises."""
    try:
        async with _opened(target, tls) as way:
            if not target.turn:
                return await _bind(target, way)
            started = monotonic()
            relay, answered = await _allocate(target, way)
            rtt = monotonic() - started if answered else None
            if isinstance(relay, str):
                return Probed(target, relay, rtt, answered=answered)
            exposed = [each for each in _PRIVATE if await relay.permit(Address(each, 9))]
            await relay.free()
            found = tuple(exposed)
            return Probed(target, "", rtt, relay.mapped, answered=True, exposed=found)
    except ssl.SSLCertVerificationError as error:
        return Probed(target, f"its certificate is not trusted ({error.verify_message})")
    except TimeoutError:
        return Probed(target, "no answer")
    except OSError as error:
        return Probed(target, error.strerror or str(error))


async def _bind(target: Target, way: Asking) -> Probed:
    started = monotonic()
    answer = await way.ask(request(Method.BINDING))
    if answer is None:
        return Probed(target, "no answer")
    rtt = monotonic() - started
    reason = "" if answer.mapped else "it does not tell our address"
    return Probed(target, reason, rtt, answer.mapped, answered=True)


@dataclass(frozen=True)
class Relay:
    """An allocation of TURN.

    Attributes:
        relayed: where others reach us through it.
        mapped: from where the server saw us.
    """

    way: Asking
    relayed: Address
    mapped: Address | None
    credentials: tuple[tuple[int, bytes], ...]
    key: bytes

    async def permit(self, peer: Address) -> bool:
        """Let a peer send to us, and us to it."""
        wanted = request(Method.CREATE_PERMISSION)
        packed = stun.pack_address(peer, wanted.transaction)
        attributes = ((Attribute.XOR_PEER_ADDRESS, packed), *self.credentials)
        wanted = Message(wanted.method, wanted.kind, wanted.transaction, attributes)
        answer = await self.way.ask(wanted, self.key)
        return answer is not None and answer.kind == Kind.SUCCESS

    async def free(self) -> None:
        """Give it back; it would end by itself."""
        lifetime = (Attribute.LIFETIME, stun.NO_LIFETIME)
        await self.way.ask(request(Method.REFRESH, lifetime, *self.credentials), self.key)


async def _allocate(target: Target, way: Asking) -> tuple[Relay | str, bool]:
    """Return a relay, or why there is none; and whether the server said anything."""
    transport = (Attribute.REQUESTED_TRANSPORT, stun.OVER_UDP)
    challenge = await way.ask(request(Method.ALLOCATE, transport))
    if challenge is None:
        return "no answer", False
    realm, nonce = challenge.get(Attribute.REALM), challenge.get(Attribute.NONCE)
    if challenge.error != 401 or realm is None or nonce is None:
        return _refusal(challenge), True
    credentials = (
        (Attribute.USERNAME, target.username.encode()),
        (Attribute.REALM, realm),
        (Attribute.NONCE, nonce),
    )
    key = stun.long_term_key(target.username, realm, target.credential)
    answer = await way.ask(request(Method.ALLOCATE, transport, *credentials), key)
    if answer is None:
        return "it answers, and then no more", True
    relayed = answer.address(Attribute.XOR_RELAYED_ADDRESS)
    if answer.kind != Kind.SUCCESS or relayed is None:
        return _refusal(answer), True
    return Relay(way, relayed, answer.mapped, credentials, key), True


def _refusal(answer: Message) -> str:
    if answer.error is None:
        return "it is no TURN server"
    return f"{_REFUSALS.get(answer.error, 'it refuses')} (error {answer.error})"


async def allocated(target: Target, sock: UdpSocket, to: Address) -> Relay | None:
    """Return a relay over a socket of UDP that is there already; None if there is none."""
    relay, _ = await _allocate(target, _Udp(sock, to))
    return None if isinstance(relay, str) else relay
