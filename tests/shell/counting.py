"""A transport that counts what its WebSockets carry, by type."""

import json
from collections import Counter

from thkmesh.signaling.transport import Socket, Transport

__all__ = ["CountingTransport"]


class CountingTransport:
    """Opens the WebSockets of another transport, and counts their messages."""

    def __init__(self, transport: Transport) -> None:
        """Begin at nothing."""
        self._transport = transport
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many messages there were, both ways."""
        return self.sent.total() + self.received.total()

    async def open(self, url: str) -> Socket:
        """Connect, and count from then on."""
        return _CountingSocket(await self._transport.open(url), self.sent, self.received)


class _CountingSocket:
    def __init__(self, socket: Socket, sent: Counter[str], received: Counter[str]) -> None:
        self._socket = socket
        self._sent = sent
        self._received = received

    def send(self, text: str) -> None:
        self._sent[json.loads(text)["type"]] += 1
        self._socket.send(text)

    def send_frame(self, frame: bytes) -> None:
        # Not counted: a machine too slow to connect within a second relays meanwhile.
        self._socket.send_frame(frame)

    async def receive(self) -> str | bytes:
        text = await self._socket.receive()
        if isinstance(text, str):
            self._received[json.loads(text)["type"]] += 1
        return text

    async def close(self, code: int = 1000) -> None:
        await self._socket.close(code)
