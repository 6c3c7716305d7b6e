"""A WebSocket client without opinions: sends what it is told, and is cheap to open."""

import asyncio
import struct
from dataclasses import dataclass

__all__ = ["BINARY", "TEXT", "UPGRADE", "Closed", "RawSocket", "frame"]

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

TEXT, BINARY, CLOSE, PONG = 1, 2, 8, 10
_FIN, _MASKED = 0x80, 0x80


class Closed(Exception):
    """The server closed; ``code`` is 1006 if it said nothing."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def frame(payload: bytes, first: int, *, masked: bool = True, size: int | None = None) -> bytes:
    """Return one frame (RFC 6455, section 5.2), right or wrong.

    Args:
        payload: what follows the head.
        first: its first byte: FIN, reserved bits, opcode.
        masked: as what comes from a client must be; the mask is all zeros.
        size: what the head says of the payload's size; None means the truth.
    """
    size = len(payload) if size is None else size
    mask = _MASKED if masked else 0
    if size < 126:
        head = bytes((first, mask | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + bytes(4 if masked else 0) + payload


@dataclass
class RawSocket:
    """One WebSocket (RFC 6455, section 5), its mask all zeros."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, host: str) -> "RawSocket":
        """Connect and shake hands."""
        reader, writer = await asyncio.open_connection(*host.split(":"))
        writer.write(UPGRADE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return cls(reader, writer)

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send one frame."""
        self.writer.write(frame(payload, _FIN | opcode))

    async def receive(self) -> bytes:
        """Return the next message that is text.

        Raises:
            Closed: there is none.
        """
        try:
            first, size = await self.reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed(1006) from None
        if first == _FIN | CLOSE:
            raise Closed(int.from_bytes(payload[:2], "big"))
        if first in {_FIN | BINARY, _FIN | PONG}:
            return await self.receive()
        assert first == _FIN | TEXT
        return payload

    def cut(self) -> None:
        """Break it off."""
        self.writer.transport.abort()
