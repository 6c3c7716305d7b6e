"""The seam to whatever carries signaling text: real WebSockets, or simulated ones."""

from typing import Protocol

__all__ = ["ABNORMAL", "Socket", "SocketClosed", "Transport"]

ABNORMAL = 1006
"""The code of a connection that ended without a close frame (RFC 6455, 7.1.5)."""


class SocketClosed(Exception):
    """The WebSocket has ended; ``code`` and ``reason`` are those of its close frame.

    One that was refused with HTTP may know when to come back: ``retry_after``, in seconds.
    """

    def __init__(self, code: int, reason: str, retry_after: float | None = None) -> None:
        """Keep the code, the reason and the time."""
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class Socket(Protocol):
    """One WebSocket to a signaling server."""

    def send(self, text: str) -> None:
        """Queue a message; never raises for the network, bounded inside."""

    def send_frame(self, frame: bytes) -> None:
        """Queue a binary message behind all others; it is dropped where too many wait."""

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            SocketClosed: there will be no more; 1006 when the network broke.
        """
        ...

    async def close(self, code: int = 1000) -> None:
        """Close; idempotent."""


class Transport(Protocol):
    """Opens WebSockets."""

    async def open(self, url: str) -> Socket:
        """Connect.

        Raises:
            ServerUnreachable: there is no server, or it refused.
            SocketClosed: there is one, and we do not trust it (1015), or it has too much
                to do (4429, 1013).
        """
        ...
