"""What uvicorn's protocols leave open (measured with uvicorn 0.54).

- A TCP connection that never completes a request's head is never closed, and its
  head may grow without bound.
- A WebSocket whose peer takes in nothing any more is never freed: closing waits
  for the flush, also after the keepalive time-out and at shutdown.
- All that one read brings is parsed before anybody else's turn: ten thousand small
  messages, a tenth of a second. And who was closed may go on talking for as long as
  its socket stands.
- Pongs pile up for a peer that pings and reads nothing.
- Every message that is no UTF-8 puts a traceback into the log.
"""

import asyncio

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from websockets.http11 import Request

from thkmesh.core.closing import CloseCode
from thkmesh.server.direct import DirectProtocol

__all__ = ["HttpProtocol", "WebSocketProtocol"]

_SLICE = 4096
"""Bytes that are parsed at once."""


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1, with limits on the time and size of a request's head."""

    head_timeout = 10.0
    head_limit_bytes = 64 * 1024

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take in data, unless it is too much of a head."""
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.head_limit_bytes:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """Expect the rest of a head, also of a second request."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """Be content with a head."""
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go."""
        self._stop_timer()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._stop_timer()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_timeout, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class WebSocketProtocol(DirectProtocol):
    """WebSocket, whose socket is freed in bounded time however the peer behaves.

    It offers the ASGI extensions ``thkmesh.abort``: ``{"abort": function}``, and
    ``thkmesh.direct`` (see ``direct``).

    Attributes:
        patience: seconds for the answer to a close frame.
        flush_timeout: seconds for the last bytes to leave.
    """

    patience = 5.0
    flush_timeout = 0.5

    _held = memoryview(b"")
    """What has been read and not parsed: the messages before it have not been taken."""
    _flooded = False
    """It said too much, and nothing more is read."""

    def handle_connect(self, event: Request) -> None:
        """Offer the extension to the application, which has not run yet."""
        super().handle_connect(event)
        self.close_timeout = self.patience
        extensions = None if self.close_sent else self.scope.get("extensions")
        if extensions is not None:
            extensions["thkmesh.abort"] = {"abort": self.transport.abort}

    def data_received(self, data: bytes) -> None:
        """Parse a little; the rest when what was found in it has been taken.

        What takes the short way is seen to there.
        """
        if (self.attached or len(data) <= _SLICE) and not self._held:
            super().data_received(data)
            return
        self._held = memoryview(bytes(self._held) + data if self._held else data)
        self._parse_held()
        if self._held and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message; parse, or read, when there is none left behind it."""
        message = await self.queue.get()
        if self.queue.empty():
            self._parse_held()
            if self.read_paused and self.queue.empty() and not self._flooded:
                self.read_paused = False
                self.transport.resume_reading()
        return message

    def _parse_held(self) -> None:
        while self._held and self.queue.empty() and not self.close_sent:
            piece, self._held = self._held[:_SLICE], self._held[_SLICE:]
            super().data_received(bytes(piece))

    def handle_ping(self) -> None:
        """Answer, but for a peer that takes in no answers."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def send_receive_event_to_app(self) -> None:
        """Close with 1007 on text that is none; uvicorn would log a traceback each time."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def keepalive_timeout(self) -> None:
        """Close, and do not wait for a peer that is silent anyway."""
        super().keepalive_timeout()
        self._abort_after(self.flush_timeout)

    def shutdown(self) -> None:
        """Close with 1012, and do not wait long."""
        super().shutdown()
        self._abort_after(self.flush_timeout)

    async def send(self, message: ASGISendEvent) -> None:
        """Send, and after a close frame wait only so long for the answer."""
        if self.close_sent:
            # The keepalive or the parser has closed; uvicorn would blame the application.
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            # uvicorn 0.54 would log that there was no handshake.
            self.handshake_complete = True
        if message["type"] == "websocket.close":
            flood = message.get("code") == CloseCode.RATE_LIMITED
            if flood:
                self._flooded = self.read_paused = True
                self.transport.pause_reading()
            self._abort_after(self.flush_timeout + (0 if flood else self.patience))

    def _abort_after(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.transport.abort)
