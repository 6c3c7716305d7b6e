"""Who may in: the one place where a server decides what somebody may do.

Whoever wants something shows what it has, in the first message (``token``), in the address
of the WebSocket (``ticket``), in the header ``Authorization``, or as a cookie that the
application's own hook understands. It is looked at in this order, and the first that
applies decides; nothing that was shown and is wrong is ever passed over:

1. a ticket: it is used up by this; in the address of a WebSocket nothing else is taken;
2. the application's hook, if there is one, decides alone;
3. a token that names a key of ours, or none;
4. the password, if there is one;
5. nothing at all: enough for an open server.

What takes time (the hook, a password, used tickets of several processes) is awaited while
others go on, and ends after ``authenticate_timeout``.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import inf
from typing import Final, TypeAlias

from starlette.requests import HTTPConnection
from starlette.types import Scope

from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import (
    ALL,
    AUDIENCE,
    LEEWAY,
    Claims,
    Denied,
    Grant,
    Permit,
    judge,
    misplaced,
    sorted_grants,
    unauthorized,
)
from thkmesh.errors import InvalidArgument
from thkmesh.server.clock import today
from thkmesh.server.keyring import TICKET_KID, Key, Keyring, checked_secret, ticket_key
from thkmesh.server.password import Password
from thkmesh.server.tickets import TICKET_TTL, MemoryUsedTickets, UsedTickets

__all__ = ["AccessSettings", "Asked", "Authenticate", "Gate", "Handshake", "Verdict"]

logger = logging.getLogger("thkmesh.server")

_UNAVAILABLE: Final = Denied("unavailable", "who you are cannot be checked now", CloseCode(1013))


def _known(words: Collection[str]) -> frozenset[Grant]:
    """Return words as grants.

    Raises:
        InvalidArgument: one of them is none.
    """
    grants = frozenset(sorted_grants(words))
    if len(grants) != len(set(words)):
        raise InvalidArgument(f"grants are {', '.join(ALL)}; not {', '.join(words)}")
    return grants


class Handshake:
    """What came with an HTTP request or a WebSocket's handshake."""

    def __init__(self, scope: Scope | None = None) -> None:
        """Take the ASGI scope; None where there was no HTTP."""
        self._scope: Scope = scope or {"type": "http", "headers": []}

    @cached_property
    def _request(self) -> HTTPConnection:
        return HTTPConnection(self._scope)

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers; names in lower case."""
        return self._request.headers

    @property
    def cookies(self) -> Mapping[str, str]:
        """Its cookies."""
        return self._request.cookies

    @property
    def address(self) -> str:
        """Where it came from; empty if that is not known."""
        client = self._request.client
        return client.host if client else ""

    @property
    def ticket(self) -> str:
        """The ticket in its address; empty if there is none."""
        if b"ticket=" not in self._scope.get("query_string", b""):
            return ""
        return self._request.query_params.get("ticket", "")

    @property
    def bearer(self) -> str:
        """The token in its header ``Authorization`` (RFC 6750); empty if there is none."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        # A password may be of any letters; ASGI has headers in Latin-1.
        said = token.strip().encode("latin-1").decode(errors="replace")
        return said if kind.lower() == "bearer" else ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants into a room: all that is known of it.

    Attributes:
        room: which one; empty where it is about no single one, as in a list of rooms.
        id: the peer's, which it has proved; empty over HTTP, where nobody can prove one.
        token: what it showed: a token, a password, or nothing.
        handshake: what came with it: ``headers``, ``cookies``, ``address``.
    """

    room: str
    id: str
    token: str = field(repr=False)
    handshake: Handshake = field(repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the request; names in lower case."""
        return self.handshake.headers

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies of the request."""
        return self.handshake.cookies

    @property
    def address(self) -> str:
        """Where the request came from; empty if that is not known."""
        return self.handshake.address


Verdict: TypeAlias = Permit | Collection[str] | None
"""What a hook says: a permit, or grants without an end; None refuses."""

_Decided: TypeAlias = Permit | Denied

Authenticate: TypeAlias = Callable[[Asked], Awaitable[Verdict]]


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """Who may do what at a server.

    Attributes:
        secret: signs tickets, and checks the tokens that name no key; 32 bytes or more.
            None: a random one, which no token is signed with and no other process has,
            unless they share their rooms.
        keys: further keys that tokens may be signed with (``keyring.key_of``).
        audience: whom tokens that name no key have to be for.
        require_token: whoever shows nothing is refused.
        password: whoever shows it gets all grants but ``kick``, in every room.
        authenticate: the application's hook: an async function of ``Asked``.
        authenticate_timeout: seconds that it may take, or a password.
        leeway: seconds that the clocks of who signs tokens may differ from ours.
        used_tickets: shared by all processes that share the secret; None means that
            this process remembers them alone, or the broker where rooms are shared.
        today: returns the seconds since 1970.
    """

    secret: bytes | None = field(default=None, repr=False)
    keys: tuple[Key, ...] = ()
    audience: str = AUDIENCE
    require_token: bool = False
    password: Password | None = None
    authenticate: Authenticate | None = None
    authenticate_timeout: float = 5.0
    leeway: float = LEEWAY
    used_tickets: UsedTickets | None = None
    today: Callable[[], float] = today

    def __post_init__(self) -> None:
        """Check what has to go together.

        Raises:
            InvalidArgument: the secret is too short, two keys have one name, or nobody
                could ever show a token.
        """
        if self.secret is not None:
            checked_secret(self.secret)
        Keyring(self.keys)
        if self.require_token and not (self.secret or self.keys or self.authenticate):
            raise InvalidArgument("whoever requires tokens needs a secret or a key to check them")


class Gate:
    """Decides who may in, by its settings."""

    def __init__(
        self,
        settings: AccessSettings | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Open the gate; None means to everybody.

        Args:
            settings: None means the defaults.
            entropy: returns that many random bytes.
        """
        self.settings = settings or AccessSettings()
        self._entropy = entropy
        used = self.settings.used_tickets
        self._used: UsedTickets = MemoryUsedTickets() if used is None else used

    @cached_property
    def secret(self) -> bytes:
        """The server's secret; a random one where it was given none."""
        return self.settings.secret or self._entropy(32)

    def adopt(self, secret: bytes) -> None:
        """Have the random secret of other processes in place of ours, before the first use."""
        self.secret = secret

    @cached_property
    def _tickets(self) -> Key:
        return ticket_key(self.secret)

    @cached_property
    def _keyring(self) -> Keyring:
        settings = self.settings
        # Nobody has signed anything by a secret that nobody knows.
        own = (Key("", "HS256", self.secret, settings.audience),) if settings.secret else ()
        return Keyring((*own, *settings.keys, self._tickets))

    def admit(self, asked: Asked) -> "Permit | Denied | Coroutine[None, None, Permit | Denied]":
        """Return what somebody may do, or what to await to know it; never raises."""
        token = asked.token or asked.handshake.ticket
        key = self._keyring.key_for(token) if token else None
        if key is not None and key.kid == TICKET_KID:
            if not asked.id:
                return unauthorized("a ticket is for a room, and for nothing else")
            return self._patiently(partial(self._take_ticket, asked, token, key))
        if token and not asked.token:
            return unauthorized("what is in the address is no ticket")
        if self.settings.authenticate is not None:
            return self._patiently(partial(self._ask, self.settings.authenticate, asked))
        if key is not None:
            return self._judged(asked, token, key)
        if self.settings.password is not None:
            if not token:
                return Denied("password-required", "a password is needed")
            self.settings.password.expect(token)
            return self._patiently(partial(self._compare, self.settings.password, token))
        if token:
            return unauthorized("the token is not signed by a key of this server")
        if self.settings.require_token:
            return unauthorized("a token is needed")
        return Permit()

    def guesses(self, asked: Asked) -> bool:
        """Tell whether somebody shows what can only be a password that is not known yet."""
        settings = self.settings
        if settings.password is None or settings.authenticate is not None:
            return False
        text = asked.token or asked.handshake.ticket
        if not text or self._keyring.key_for(text) is not None:
            return False
        return not settings.password.knows(text)

    async def decide(self, asked: Asked) -> Permit | Denied:
        """Return what somebody may do, waiting for it if need be; never raises."""
        found = self.admit(asked)
        return found if isinstance(found, Permit | Denied) else await found

    def ticket(self, room: str, permit: Permit, peer: str = "") -> str:
        """Return a ticket for what somebody was admitted to.

        Args:
            room: the one that it is for.
            permit: what was granted there; one for a single peer makes a ticket for that.
            peer: the id of the only one that may use it, if the permit leaves that open.
        """
        now = self.settings.today()
        claims = Claims(
            aud=TICKET_KID,
            exp=now + TICKET_TTL,
            room=room,
            grants=sorted_grants(permit.grants),
            sub=permit.peer or peer,
            jti=self._entropy(16).hex(),
            until=0 if permit.ttl is None else now + permit.ttl,
        )
        return self._tickets.sign(claims)

    async def _patiently(self, work: "Callable[[], Awaitable[_Decided]]") -> "_Decided":
        """Wait for a decision as long as we may; whatever goes wrong admits nobody."""
        try:
            async with asyncio.timeout(self.settings.authenticate_timeout):
                return await work()
        except TimeoutError:
            logger.warning("authentication took too long")
        except Exception:
            logger.exception("authentication failed")
        return _UNAVAILABLE

    def _judge(
        self, asked: Asked, token: str, key: Key, leeway: float
    ) -> tuple[Claims, Permit] | Denied:
        payload = self._keyring.open(token, key)
        if isinstance(payload, Denied):
            return payload
        return judge(
            payload,
            audience=key.audience,
            room=asked.room,
            peer=asked.id,
            today=self.settings.today(),
            leeway=leeway,
        )

    def _judged(self, asked: Asked, token: str, key: Key) -> Permit | Denied:
        judged = self._judge(asked, token, key, self.settings.leeway)
        return judged if isinstance(judged, Denied) else judged[1]

    async def _take_ticket(self, asked: Asked, token: str, key: Key) -> Permit | Denied:
        judged = self._judge(asked, token, key, leeway=0)
        if isinstance(judged, Denied):
            return judged
        claims, permit = judged
        left = claims.until - self.settings.today() if claims.until else None
        if left is not None and left <= 0:
            return unauthorized("what the ticket stands for has expired")
        if not claims.jti or not await self._used.use(claims.jti):
            return unauthorized("the ticket has been used")
        return replace(permit, ttl=left)

    async def _ask(self, authenticate: Authenticate, asked: Asked) -> Permit | Denied:
        verdict = await authenticate(asked)
        match verdict:
            case None:
                return unauthorized("the application refuses")
            case Permit(grants=grants, ttl=ttl):
                if ttl is not None and not 0 < ttl < inf:
                    raise InvalidArgument("a permit lasts some seconds, or ttl is None")
                found = replace(verdict, grants=_known(grants))
                return misplaced(found, asked.room, asked.id) or found
            case str():
                raise InvalidArgument("authenticate returns a set of grants, not a text")
            case _:
                return Permit(_known(verdict))

    async def _compare(self, password: Password, text: str) -> Permit | Denied:
        if await password.matches(text):
            return Permit()
        return Denied("password-wrong", "that is not the password")
