"""A WebSocket client without opinions: sends what it is told, and is cheap to open."""

import asyncio
import struct
from dataclasses import dataclass

__all__ = ["BINARY", "TEXT", "UPGRADE", "Closed", "RawSocket"]

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_FIN, _MASKED = 0x80, 0x80


class Closed(Exception):
    """The server closed; ``code`` is 1006 if it said nothing."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


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
        size = len(payload)
        if size < 126:
            head = bytes((_FIN | opcode, _MASKED | size))
        elif size < 65536:
            head = struct.pack("!BBH", _FIN | opcode, _MASKED | 126, size)
        else:
            head = struct.pack("!BBQ", _FIN | opcode, _MASKED | 127, size)
        self.writer.write(head + bytes(4) + payload)

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
        if first == _FIN | PING:
            self.send(payload, PONG)
        if first in {_FIN | BINARY, _FIN | PING}:
            return await self.receive()
        assert first == _FIN | TEXT
        return payload

    def cut(self) -> None:
        """Break it off."""
        self.writer.transport.abort()
