"""A WebRTC engine alone: two processes, and signals carried by hand over a socket pair.

It is the least that any library on top of that engine can cost: no server, no
identities, no signatures, no retries. What is the same as in THKMesh: two processes,
three negotiated channels, and candidates on their way as soon as they are found.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, Self, TypeAlias

__all__ = ["HIGH_WATER_BYTES", "LOW_WATER_BYTES", "Bare", "Signal", "Wire", "engine", "installed"]

LOW_WATER_BYTES = 256 * 1024
HIGH_WATER_BYTES = 1024 * 1024
"""``send`` waits when the engine holds more than this until it holds the lower."""

Signal: TypeAlias = dict[str, Any]

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

    async def close(self) -> None:
        """Close it."""


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
