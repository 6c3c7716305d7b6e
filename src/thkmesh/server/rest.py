"""The rooms over HTTP: make one, find one, look into one; tickets; and the server's health.

Answers are JSON. An error is ``{"error": word, "message": sentence}``: the word for
programs, the sentence for people.
"""

import asyncio
import hmac
from collections.abc import Mapping
from math import ceil
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from thkmesh.core.admission import Denial, source_of
from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import Denied, Grant, Permit, misplaced, not_granted
from thkmesh.core.identity import is_id, is_room
from thkmesh.core.wire import KICK_LIMIT
from thkmesh.server.broker import BrokerUnreachable
from thkmesh.server.gate import Asked, Handshake
from thkmesh.server.service import RoomService
from thkmesh.server.tickets import TICKET_TTL
from thkmesh.server.websocket import origin_allowed

__all__ = ["BODY_LIMIT_BYTES", "Refusal", "RestApi", "answer_error"]

BODY_LIMIT_BYTES = 4096
"""The largest request body."""

_STATUS = {CloseCode.NOT_GRANTED: 403, CloseCode.OVERLOADED: 503}
"""Of those who are denied something; all others have to say who they are."""

_encode = msgspec.json.Encoder().encode


class Refusal(HTTPException):
    """A request that is refused, with a word for programs."""

    def __init__(
        self, status: int, error: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Take the status, the word, the sentence, and more headers."""
        super().__init__(status, message, dict(headers or {}))
        self.error = error


class _NewRoom(Struct):
    room: Annotated[str, Meta(max_length=64)] | None = None
    listed: bool = False


class _NewTicket(Struct):
    room: Annotated[str, Meta(max_length=64)]
    id: Annotated[str, Meta(max_length=128)] = ""


class _Kick(Struct, rename="camel"):
    user_id: Annotated[str, Meta(max_length=128)]
    duration: Annotated[float, Meta(ge=1, le=KICK_LIMIT)] = 60.0
    reason: Annotated[str, Meta(max_length=200)] = ""


_Body = TypeVar("_Body", _NewRoom, _NewTicket, _Kick)


def _answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(_encode(content), status, headers, "application/json")


async def answer_error(_request: Request, error: Exception) -> Response:
    """Answer any error in the one form that errors have here."""
    if isinstance(error, BrokerUnreachable):
        error = Refusal(503, "unavailable", "what the servers share cannot be reached")
    if not isinstance(error, HTTPException):
        return _answer({"error": "internal", "message": "this is our fault"}, 500)
    words = {404: "not-found", 405: "method-not-allowed"}
    word = getattr(error, "error", None) or words.get(error.status_code, "http-error")
    return _answer({"error": word, "message": error.detail}, error.status_code, error.headers)


class RestApi:
    """The REST endpoints of a service."""

    def __init__(self, service: RoomService) -> None:
        self._service = service

    @property
    def routes(self) -> list[Route]:
        """What is to be found where."""
        return [
            Route("/api/rooms", self._rooms, methods=["GET", "POST"]),
            Route("/api/rooms/{room}", self._inspect_room),
            Route("/api/rooms/{room}/kick", self._kick, methods=["POST"]),
            Route("/api/tickets", self._create_ticket, methods=["POST"]),
            Route("/healthz", self._health),
            Route("/readyz", self._ready),
        ]

    async def _authorize(
        self, request: Request, grant: Grant, room: str = "", peer: str = ""
    ) -> Permit:
        """Return what a request may do, if it may do that."""
        handshake = Handshake(request.scope)
        # Nobody proves over HTTP who it is: ``peer`` is only claimed.
        asked = Asked(room, "", handshake.bearer, handshake)
        _check(self._service.guess_denied(asked, _source(request)))
        admitted = await self._service.gate.decide(asked)
        if isinstance(admitted, Permit):
            lacking = None if grant in admitted.grants else not_granted(grant)
            admitted = misplaced(admitted, room, peer) or lacking or admitted
        if isinstance(admitted, Denied):
            status = _STATUS.get(admitted.code, 401)
            # RFC 6750, section 3: whoever is refused for want of a token is told of which kind.
            challenge = {"www-authenticate": "Bearer"} if status == 401 else None
            raise Refusal(status, admitted.reason, admitted.message, challenge)
        return admitted

    def _check_origin(self, request: Request) -> None:
        if not origin_allowed(request.headers, self._service.settings.allowed_origins):
            raise Refusal(403, "origin-refused", "pages of this origin may not do that")

    async def _create_ticket(self, request: Request) -> Response:
        self._check_origin(request)
        wanted = await _read(_NewTicket, request, self._service.settings.request_timeout)
        _check_name(wanted.room)
        if wanted.id and not is_id(wanted.id):
            raise Refusal(400, "invalid-id", "a peer's id has 26 of a-z 2-7")
        permit = await self._authorize(request, "join", wanted.room, wanted.id)
        ticket = self._service.gate.ticket(wanted.room, permit, wanted.id)
        headers = {"cache-control": "no-store"}
        return _answer({"ticket": ticket, "expires": TICKET_TTL}, 201, headers)

    async def _rooms(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._create_room(request)
        await self._authorize(request, "list")
        max_peers = self._service.settings.max_peers
        rooms = [
            {"room": name, "peers": peers, "maxPeers": max_peers}
            for name, peers in await self._service.list_rooms()
        ]
        return _answer({"rooms": rooms})

    async def _create_room(self, request: Request) -> Response:
        self._check_origin(request)
        wanted = await _read(_NewRoom, request, self._service.settings.request_timeout)
        if wanted.room is not None:
            _check_name(wanted.room)
        self._check_limit(request, wanted.room)
        permit = await self._authorize(request, "create", wanted.room or "")
        name = wanted.room or permit.room or None
        view = await self._service.make_room(name, listed=wanted.listed)
        if view is not None:
            path = f"{request.scope.get('root_path', '')}/api/rooms/{view.room}"
            return _answer(view, 201, {"location": path})
        if self._service.full:
            raise Refusal(503, "too-many-rooms", "this server has its maximum of rooms")
        raise Refusal(409, "room-exists", "there is a room of that name")

    def _check_limit(self, request: Request, room: str | None) -> None:
        _check(self._service.room_denied(room or "", _source(request)))

    async def _inspect_room(self, request: Request) -> Response:
        name: str = request.path_params["room"]
        _check_name(name)
        await self._authorize(request, "list", name)
        view = await self._service.look_up(name)
        if view is None:
            raise Refusal(404, "unknown-room", "there is no room of that name")
        return _answer(view)

    async def _kick(self, request: Request) -> Response:
        self._check_origin(request)
        name: str = request.path_params["room"]
        _check_name(name)
        if not self._by_operator(request):
            await self._authorize(request, "kick", name)
        wanted = await _read(_Kick, request, self._service.settings.request_timeout)
        if not is_id(wanted.user_id):
            raise Refusal(400, "invalid-request", "userId is the id of a peer: 26 characters")
        until = self._service.kick(name, wanted.user_id, wanted.duration, wanted.reason)
        return _answer({"room": name, "userId": wanted.user_id, "until": until})

    def _by_operator(self, request: Request) -> bool:
        """Tell whether the server's own secret was shown (RFC 6750)."""
        secret = self._service.secret
        shown = Handshake(request.scope).bearer.encode()
        return bool(secret) and hmac.compare_digest(shown, secret)

    async def _health(self, request: Request) -> Response:
        counts = {
            "status": "ok",
            "epoch": self._service.epoch,
            "rooms": self._service.room_count,
            "connections": self._service.connection_count,
            "skippedMessages": self._service.counts.skipped,
        }
        return _answer(counts)

    async def _ready(self, request: Request) -> Response:
        """Tell a balancer whether to send clients here."""
        if self._service.turnstile.draining:
            raise Refusal(503, "moving", "this server is about to stop")
        return _answer({"status": "ready"})


def _source(request: Request) -> str | None:
    return source_of(request.client.host if request.client else None)


def _check(denial: Denial | None) -> None:
    if denial is not None:
        wait = {"retry-after": str(ceil(denial.retry_after))}
        raise Refusal(429, denial.reason, denial.message, wait)


def _check_name(name: str) -> None:
    if not is_room(name):
        raise Refusal(400, "invalid-room", "a room's name is 1 to 64 of A-Z a-z 0-9 . _ -")


async def _read(kind: type[_Body], request: Request, timeout: float) -> _Body:
    """Return what a request asks for; without a body, what there is to ask for by default."""
    body = await _body(request, timeout)
    json = request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
    if body and not json:
        raise Refusal(415, "not-json", "the body's content type must be application/json")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Refusal(400, "invalid-request", str(error)[:256]) from None


async def _body(request: Request, timeout: float) -> bytes:
    """Return the body, if it is small and comes soon."""
    body = b""
    try:
        async with asyncio.timeout(timeout):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    limit = f"a body has at most {BODY_LIMIT_BYTES} bytes"
                    raise Refusal(413, "too-large", limit)
    except TimeoutError:
        raise Refusal(408, "timeout", "the body took too long") from None
    except ClientDisconnect:
        raise Refusal(400, "disconnected", "the body did not come") from None
    return body
