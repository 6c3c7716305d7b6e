"""The WebSocket endpoint: one client of the rooms a connection.

Each connection has a bounded queue of what it is to be sent and one task that
empties it, so a client that does not read stops nobody else. When the queue is
full the client is cut off (4431). Sealed frames have a queue of their own, and are
sent when that is empty; what does not fit there is dropped. However a connection
ends, its socket is free ``close_timeout`` later at the latest: where the server offers
the ASGI extension ``thkmesh.abort`` (ours does, see ``protocols``), a socket that takes
in nothing any more, not even the close frame, is aborted.

Where the server offers ``thkmesh.direct`` (ours does, see ``direct``), messages take a
shorter way in, and out as long as none waits.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from itertools import count
from math import ceil
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from thkmesh.core.admission import Denial, source_of
from thkmesh.core.closing import ABNORMAL
from thkmesh.server.direct import Write
from thkmesh.server.gate import Handshake
from thkmesh.server.service import Connection, RoomService, ServerSettings

__all__ = ["DENIED_STATUS", "Outlet", "WebSocketEndpoint", "origin_allowed"]

DENIED_STATUS = {
    "rate-limited": 429,
    "too-many-connections": 429,
    "server-full": 503,
    "moving": 503,
}
"""The HTTP status for each reason not to let somebody in (RFC 6585, RFC 9110)."""

Extensions: TypeAlias = dict[str, dict[str, Callable[..., Any]]]

_TURN = 16
"""After so many messages of one client it is the others' turn."""


def origin_allowed(headers: Headers, allowed: tuple[str, ...]) -> bool:
    """Tell whether a request comes from a page that may use this server.

    It may if no page is behind it (no ``Origin``), if it is one of ours (same host
    and port), or if the operator allowed its origin. Browsers enforce no
    same-origin policy on WebSockets, so the server has to (RFC 6455, section 10.2).
    """
    origin = headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return True
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(host) and host.lower() == headers.get("host", "").lower()


class Outlet:
    """What waits to be sent to one client, within limits."""

    def __init__(self, settings: ServerSettings, patience: asyncio.Timeout) -> None:
        """Start empty.

        Args:
            settings: the limits.
            patience: is given ``close_timeout`` seconds when the connection closes.
        """
        self._settings = settings
        self._patience = patience
        self._queue: deque[tuple[str, int]] = deque()
        self._bytes = 0
        self._sealed: deque[bytes] = deque()
        self._sealed_bytes = 0
        self._closing: tuple[int, str] | None = None
        self._more = asyncio.Event()
        self.write: Write | None = None
        """Sends at once, or says False; None where the server offers no such way."""

    def send(self, text: str) -> bool:
        """Take a message; False, and nothing is taken, when too much waits already."""
        if self.write is not None and not self._queue and self.write(text):
            return True
        size = len(text) if text.isascii() else len(text.encode())
        if (
            len(self._queue) >= self._settings.outgoing_messages
            or self._bytes + size > self._settings.outgoing_bytes
        ):
            return False
        self._queue.append((text, size))
        self._bytes += size
        self._more.set()
        return True

    def relay(self, frame: bytes) -> None:
        """Take a sealed frame, to be sent when no message waits; drop it if too much does."""
        waits = self._queue or self._sealed
        if self.write is not None and not waits and self.write(frame):
            return
        if self._sealed_bytes + len(frame) <= self._settings.outgoing_relay_bytes:
            self._sealed.append(frame)
            self._sealed_bytes += len(frame)
            self._more.set()

    def close(self, code: int, reason: str) -> None:
        """Close after what was sent; nothing follows."""
        self._closing = (code, reason)
        self._more.set()
        when = asyncio.get_running_loop().time() + self._settings.close_timeout
        self._patience.reschedule(when)

    async def pump(self, send: Send) -> None:
        """Send what there is, as fast as the client takes it, until closed."""
        try:
            while self._closing is None or self._queue:
                self._more.clear()
                while self._queue:
                    text, size = self._queue[0]
                    await send({"type": "websocket.send", "text": text})
                    self._queue.popleft()  # only now: nothing must overtake it
                    self._bytes -= size
                if self._sealed and self._closing is None:
                    frame = self._sealed[0]
                    await send({"type": "websocket.send", "bytes": frame})
                    self._sealed.popleft()
                    self._sealed_bytes -= len(frame)
                elif self._closing is None:
                    await self._more.wait()
            code, reason = self._closing
            await send({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:
            return  # The client is gone (ASGI, section "Send after disconnect"); so will we be.


class WebSocketEndpoint:
    """The ASGI application behind ``/ws``."""

    def __init__(self, service: RoomService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection from the handshake to its end."""
        await receive()  # websocket.connect, by definition
        if not origin_allowed(Headers(scope=scope), self._service.settings.allowed_origins):
            self._service.turnstile.denied["origin-refused"] += 1
            await send({"type": "websocket.close"})  # before accept: HTTP status 403
            return
        source = source_of(scope["client"][0] if scope.get("client") else None)
        denial = self._service.admit(source)
        if denial is not None:
            await _deny(denial, scope, send)
            return
        try:
            await send({"type": "websocket.accept"})
            await self._serve(scope, source, receive, send)
        finally:
            self._service.release(source)

    async def _serve(self, scope: Scope, source: str | None, receive: Receive, send: Send) -> None:
        extensions: Extensions = scope.get("extensions") or {}
        try:
            async with asyncio.timeout(None) as patience:
                outlet = Outlet(self._service.settings, patience)
                connection = self._service.open(outlet, source, Handshake(scope))
                await self._converse(connection, outlet, extensions, receive, send)
        except TimeoutError:
            if "thkmesh.abort" in extensions:
                extensions["thkmesh.abort"]["abort"]()

    async def _converse(
        self,
        connection: Connection,
        outlet: Outlet,
        extensions: Extensions,
        receive: Receive,
        send: Send,
    ) -> None:
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(outlet.pump(send))
            if "thkmesh.direct" in extensions:
                outlet.write = extensions["thkmesh.direct"]["attach"](connection.received)
            code = ABNORMAL
            try:
                for number in count(1):
                    message = await receive()
                    if message["type"] != "websocket.receive":
                        code = message.get("code", ABNORMAL)
                        break
                    text = message.get("text")
                    connection.received(message["bytes"] if text is None else text)
                    if number % _TURN == 0:
                        # Many may have come at once: those whom they are for take them in
                        # meanwhile, or their queues would be full though they do read.
                        await asyncio.sleep(0)
            finally:
                connection.dropped(code)
                pump.cancel()


async def _deny(denial: Denial, scope: Scope, send: Send) -> None:
    """Refuse a handshake, in words where the server can (ASGI, "WebSocket Denial Response")."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    body = json.dumps({"error": denial.reason, "message": denial.message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"retry-after", b"%d" % ceil(denial.retry_after)),
    ]
    status = DENIED_STATUS[denial.reason]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
