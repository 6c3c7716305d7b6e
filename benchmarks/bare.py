"""A WebRTC engine alone: two processes, and signals carried by hand over a socket pair.

It is the least that any library on top of that engine can cost: no server, no
identities, no signatures, no retries. What is the same as in THKMesh: two processes,
three negotiated channels, and candidates on their way as soon as they are found.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, Self, TypeAlias

__all__ = [
    "HIGH_WATER_BYTES",
    "LOW_WATER_BYTES",
    "Bare",
    "Batched",
    "Signal",
    "Wire",
    "engine",
    "installed",
]

LOW_WATER_BYTES = 256 * 1024
HIGH_WATER_BYTES = 1024 * 1024
"""``send`` waits when the engine holds more than this until it holds the lower."""

Signal: TypeAlias = dict[str, Any]

_LENGTH = struct.Struct("<I")

_PACKAGES = {"wrtc": "webrtc", "aiortc": "aiortc"}


class Bare(Protocol):
    """One connection of an engine, with three negotiated channels; the first is used."""

    opened: asyncio.Future[None]
    """Done when the first channel is open."""

    def __init__(self, signal: Callable[[Signal], None], received: Callable[[bytes], None]) -> None:
        """Make it.

        Args:
            signal: carries a signal to the other end.
            received: is given each message that arrives.
        """

    async def offer(self) -> None:
        """Make an offer and send it."""

    async def take(self, signal: Signal) -> None:
        """Act on a signal of the other end."""

    async def send(self, data: bytes) -> None:
        """Send a message, as soon as the engine holds little enough."""

    def send_nowait(self, data: bytes) -> None:
        """Send a message, whatever the engine holds."""

    async def close(self) -> None:
        """Close it."""


class Batched:
    """A connection on which small messages share datagrams, each behind its length.

    What is sent within one turn of the loop goes together, up to ``batch_bytes``; with 0
    each message has its own datagram, as it is.
    """

    def __init__(
        self,
        connect: "type[Bare]",
        signal: Callable[[Signal], None],
        received: Callable[[bytes], None],
        batch_bytes: int,
    ) -> None:
        """Make it; the arguments are those of ``Bare``, but for the first and the last."""
        self._received = received
        self._limit = batch_bytes
        self._bare = connect(signal, self._split if batch_bytes else received)
        self._parts: list[bytes] = []
        self._size = 0
        self.opened = self._bare.opened
        self.offer = self._bare.offer
        self.take = self._bare.take
        if not batch_bytes:
            self.send = self._bare.send  # type: ignore[method-assign]  # nothing between
            self.send_nowait = self._bare.send_nowait  # type: ignore[method-assign]  # as above

    async def send(self, data: bytes) -> None:
        """Send a message, as soon as the engine holds little enough."""
        self._put(data)
        if self._size >= self._limit:
            await self._bare.send(self._join())

    def send_nowait(self, data: bytes) -> None:
        """Send a message, whatever the engine holds."""
        self._put(data)

    def _put(self, data: bytes) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._flush)
        self._parts += (_LENGTH.pack(len(data)), data)
        self._size += len(data)

    def _flush(self) -> None:
        if self._parts:
            self._bare.send_nowait(self._join())

    def _join(self) -> bytes:
        joined = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return joined

    def _split(self, datagram: bytes) -> None:
        at = 0
        while at < len(datagram):
            (size,) = _LENGTH.unpack_from(datagram, at)
            at += _LENGTH.size
            self._received(datagram[at : at + size])
            at += size


class Wire:
    """One JSON object a line, over a stream socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use ``over``."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Return a wire over a connected socket."""
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, signal: Signal) -> None:
        """Send an object."""
        self._writer.write(json.dumps(signal).encode() + b"\n")

    async def receive(self) -> Signal:
        """Return the next object."""
        signal: Signal = json.loads(await self._reader.readline())
        return signal


def installed(name: str) -> bool:
    """Tell whether the package of an engine is there; if not, say so."""
    there = find_spec(_PACKAGES[name]) is not None
    if not there:
        print(f"bare {name} is left out: it is not installed (make bench installs it)")
    return there


def engine(name: str) -> type[Bare]:
    """Return the connections of an engine: "wrtc" or "aiortc"."""
    connection: type[Bare] = import_module(f"benchmarks.bare_{name}").Connection
    return connection
