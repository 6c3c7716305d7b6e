"""Real WebSockets (RFC 6455), by the websockets library."""

import asyncio
import re
import ssl
from collections import deque

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from thkmesh.core.closing import UNTRUSTED, CloseCode
from thkmesh.core.wire import WELCOME_LIMIT_BYTES
from thkmesh.errors import ServerUnreachable
from thkmesh.signaling.failure import reason_of
from thkmesh.signaling.transport import ABNORMAL, SocketClosed

__all__ = ["WebSocketTransport"]

OPEN_TIMEOUT = 10.0
CLOSE_TIMEOUT = 1.0
_QUEUE = 4096
_FRAMES_BYTES = 256 * 1024
"""More binary messages than this do not wait."""

_BUSY = {429: CloseCode.RATE_LIMITED, 503: CloseCode.OVERLOADED}
"""What would have been the close code, had the server let us in."""

_MISCONFIGURED = (ImportError, ValueError, RuntimeError)
"""What else comes of proxies and host names: SOCKS without python-socks, malformed names."""


class WebSocketTransport:
    """Opens WebSockets over TCP, or TLS for ``wss:`` URLs."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Take the TLS settings for ``wss:``; None means the system's authorities."""
        self._tls = tls

    async def open(self, url: str) -> "WebSocket":
        """Connect.

        Raises:
            ServerUnreachable: there is no server, it refused, or TLS failed.
            SocketClosed: its certificate is not trusted (1015), or it turned us away for
                now (4429, 1013).
        """
        try:
            connection = await connect(
                url,
                ssl=(self._tls or True) if url.startswith("wss:") else None,
                compression=None,
                max_size=WELCOME_LIMIT_BYTES,
                # Ours: pages cannot send WebSocket pings, so the protocol has its own.
                ping_interval=None,
                open_timeout=OPEN_TIMEOUT,
                close_timeout=CLOSE_TIMEOUT,
            )
        except ssl.SSLCertVerificationError as error:
            text = f"no signaling server at {url}: {reason_of(error, url)}"
            raise SocketClosed(UNTRUSTED, text) from error
        except (OSError, WebSocketException, *_MISCONFIGURED) as error:
            if isinstance(error, InvalidStatus) and error.response.status_code in _BUSY:
                raise _turned_away(error, url) from error
            text = f"no signaling server at {url}: {reason_of(error, url)}"
            raise ServerUnreachable(text) from error
        return WebSocket(connection)


def _turned_away(error: InvalidStatus, url: str) -> SocketClosed:
    """Return what a server means that takes nobody in at the moment (RFC 6585, section 4)."""
    answer = error.response
    wait = answer.headers.get("retry-after", "")
    seconds = float(wait) if re.fullmatch(r"[0-9]{1,9}", wait) else None
    text = f"{url} takes us in later (HTTP status {answer.status_code})"
    return SocketClosed(_BUSY[answer.status_code], text, seconds)


class WebSocket:
    """One connected WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        """Start the one task that writes."""
        self._connection = connection
        self._queue: deque[str] = deque()
        self._frames: deque[bytes] = deque()
        self._frames_bytes = 0
        self._wake = asyncio.Event()
        self._done = False
        self._writer = asyncio.create_task(self._write())

    def send(self, text: str) -> None:
        """Queue a message; a queue that is full drops the connection."""
        if self._done:
            return
        if len(self._queue) >= _QUEUE:
            # The server does not read. What is lost is sent again over the next one.
            self._connection.transport.abort()
            return
        self._queue.append(text)
        self._wake.set()

    def send_frame(self, frame: bytes) -> None:
        """Queue a binary message behind all others; it is dropped where too many wait."""
        if not self._done and self._frames_bytes + len(frame) <= _FRAMES_BYTES:
            self._frames.append(frame)
            self._frames_bytes += len(frame)
            self._wake.set()

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            SocketClosed: there will be no more.
        """
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            frame = closed.rcvd
            if frame is None:
                raise SocketClosed(ABNORMAL, "the connection broke") from None
            raise SocketClosed(frame.code, frame.reason) from None

    async def close(self, code: int = 1000) -> None:
        """Send what is queued, then close."""
        self._done = True
        self._wake.set()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._writer
        except TimeoutError:
            pass
        await self._connection.close(code)

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    await self._connection.send(self._queue.popleft())
                if self._frames:
                    frame = self._frames.popleft()
                    self._frames_bytes -= len(frame)
                    await self._connection.send(frame)
                    continue
                if self._done:
                    return
                self._wake.clear()
                await self._wake.wait()
        except ConnectionClosed:
            self._done = True
