"""The rooms over HTTP: make one, find one, look into one; and the server's health.

Answers are JSON. An error is ``{"error": word, "message": sentence}``: the word for
programs, the sentence for people.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from thkmesh.core.identity import is_id, is_room
from thkmesh.core.wire import KICK_LIMIT
from thkmesh.server.service import RoomService
from thkmesh.server.websocket import origin_allowed

__all__ = ["BODY_LIMIT_BYTES", "Refusal", "RestApi", "answer_error"]

BODY_LIMIT_BYTES = 4096
"""The largest request body."""

_T = TypeVar("_T")

_encode = msgspec.json.Encoder().encode


class Refusal(HTTPException):
    """A request that is refused, with a word for programs."""

    def __init__(self, status: int, error: str, message: str) -> None:
        """Take the status, the word and the sentence."""
        super().__init__(status, message)
        self.error = error


class Unauthorized(Refusal):
    """A request that needs the server's secret."""

    def __init__(self) -> None:
        """Say how it is shown."""
        super().__init__(401, "unauthorized", "this needs the server's secret, as a bearer token")
        self.headers = {"www-authenticate": "Bearer"}


class _NewRoom(Struct):
    room: Annotated[str, Meta(max_length=64)] | None = None
    listed: bool = False


class _Kick(Struct, rename="camel"):
    user_id: Annotated[str, Meta(max_length=128)]
    duration: Annotated[float, Meta(ge=1, le=KICK_LIMIT)] = 60.0
    reason: Annotated[str, Meta(max_length=200)] = ""


_decode_new_room = msgspec.json.Decoder(_NewRoom).decode
_decode_kick = msgspec.json.Decoder(_Kick).decode


def _answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(_encode(content), status, headers, "application/json")


async def answer_error(_request: Request, error: Exception) -> Response:
    """Answer any error in the one form that errors have here."""
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
            Route("/healthz", self._health),
        ]

    async def _rooms(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._create_room(request)
        rooms = [
            {"room": room.room, "peers": len(room.peers), "maxPeers": room.max_peers}
            for room in self._service.listed()
        ]
        return _answer({"rooms": rooms})

    async def _create_room(self, request: Request) -> Response:
        if not origin_allowed(request.headers, self._service.settings.allowed_origins):
            raise Refusal(403, "origin-refused", "pages of this origin may not do that")
        wanted = await _new_room(request, self._service.settings.request_timeout)
        if wanted.room is not None:
            _check_name(wanted.room)
        view = self._service.create(wanted.room, listed=wanted.listed)
        if view is not None:
            path = f"{request.scope.get('root_path', '')}/api/rooms/{view.room}"
            return _answer(view, 201, {"location": path})
        if self._service.full:
            raise Refusal(503, "too-many-rooms", "this server has its maximum of rooms")
        raise Refusal(409, "room-exists", "there is a room of that name")

    async def _inspect_room(self, request: Request) -> Response:
        name: str = request.path_params["room"]
        _check_name(name)
        view = self._service.inspect(name)
        if view is None:
            raise Refusal(404, "unknown-room", "there is no room of that name")
        return _answer(view)

    async def _kick(self, request: Request) -> Response:
        name: str = request.path_params["room"]
        self._authorize(request)
        _check_name(name)
        body = await _json_body(request, self._service.settings.request_timeout)
        wanted = _decoded(_decode_kick, body)
        if not is_id(wanted.user_id):
            raise Refusal(400, "invalid-request", "userId is the id of a peer: 26 characters")
        until = self._service.kick(name, wanted.user_id, wanted.duration, wanted.reason)
        return _answer({"room": name, "userId": wanted.user_id, "until": until})

    def _authorize(self, request: Request) -> None:
        """Let in who knows the server's secret (RFC 6750)."""
        secret = self._service.secret
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        genuine = hmac.compare_digest(token.strip().encode(), secret)
        if not (secret and scheme.lower() == "bearer" and genuine):
            raise Unauthorized

    async def _health(self, request: Request) -> Response:
        counts = {
            "status": "ok",
            "epoch": self._service.epoch,
            "rooms": self._service.room_count,
            "connections": self._service.connection_count,
            "skippedMessages": self._service.skipped,
        }
        return _answer(counts)


def _check_name(name: str) -> None:
    if not is_room(name):
        raise Refusal(400, "invalid-room", "a room's name is 1 to 64 of A-Z a-z 0-9 . _ -")


async def _new_room(request: Request, timeout: float) -> _NewRoom:
    body = await _json_body(request, timeout)
    return _decoded(_decode_new_room, body) if body else _NewRoom()


async def _json_body(request: Request, timeout: float) -> bytes:
    body = await _body(request, timeout)
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if body and kind != "application/json":
        raise Refusal(415, "not-json", "the body's content type must be application/json")
    return body


def _decoded(decode: Callable[[bytes], _T], body: bytes) -> _T:
    try:
        return decode(body)
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
