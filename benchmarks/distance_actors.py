"""Who sends to whom in ``benchmarks.distance``.

Everywhere the same game. Both ends enter their namespaces and connect; each says "ready".
Told to go, the sender answers with the time (CLOCK_MONOTONIC, which all processes share)
and sends ``SIZE_BYTES`` at a time, as fast as it is allowed to, until it is killed. Asked,
the receiver answers with what has reached its application, and when.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import thkmesh
from benchmarks.bare import Wire, engine
from benchmarks.stage import Cue
from tests.namespaces import enter

__all__ = [
    "CONGESTION",
    "SIZE_BYTES",
    "Arrivals",
    "Certificate",
    "receive_bare",
    "receive_in_room",
    "receive_tls",
    "receive_transit",
    "send_bare",
    "send_in_room",
    "send_tls",
    "send_transit",
]

SIZE_BYTES = 64 * 1024

CONGESTION = "cubic"
"""What TCP takes for congestion, and does about it: what Linux has unless told otherwise."""

_KEY = bytes(range(32))
"""What a wormhole's two ends would have agreed on by their code words."""

Certificate: TypeAlias = tuple[Path, Path]
"""The files of a certificate, and of its key."""


class Arrivals:
    """What has reached an application, and when."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._seen: list[tuple[float, int]] = []

    def __call__(self, size_bytes: int) -> None:
        """Take note that so much has just arrived."""
        self._seen.append((time.monotonic(), size_bytes))

    async def tell(self, cue: Cue) -> None:
        """Answer each question with all until then."""
        cue.send("ready")
        while True:
            await cue.receive()
            cue.send(list(self._seen))


async def _go(cue: Cue) -> bytes:
    """Wait for the word to go; return what to send, which nobody can compress."""
    cue.send("ready")
    await cue.receive()
    data = os.urandom(SIZE_BYTES)
    cue.send(time.monotonic())
    return data


async def _pour(cue: Cue, send: Callable[[bytes], Awaitable[None]]) -> None:
    data = await _go(cue)
    while True:
        await send(data)


# ---- THKMesh -----------------------------------------------------------------


async def send_in_room(cue: Cue, where: str, url: str, name: str) -> None:
    """Send to a room of THKMesh in which there is one other."""
    enter(where)
    async with thkmesh.join(url, room=name, name="sender") as room:
        async for event in room:
            if isinstance(event, thkmesh.LinkChanged):
                break
        await _pour(cue, room.send)


async def receive_in_room(cue: Cue, where: str, url: str, name: str) -> None:
    """Be in that room."""
    enter(where)
    arrived = Arrivals()
    async with asyncio.TaskGroup() as group, thkmesh.join(url, room=name, name="receiver") as room:
        async for event in room:
            match event:
                case thkmesh.LinkChanged(state=thkmesh.LinkState.CONNECTED):
                    group.create_task(arrived.tell(cue))
                case thkmesh.Message(data=bytes(data)):
                    arrived(len(data))
                case _:
                    pass


# ---- its engine alone --------------------------------------------------------


async def send_bare(cue: Cue, where: str, end: socket.socket) -> None:
    """Send over the engine alone; signals go by hand."""
    enter(where)
    wire = await Wire.over(end)
    connection = engine("wrtc")(wire.send, lambda _: None)
    await connection.offer()
    async with asyncio.TaskGroup() as group:
        group.create_task(_follow(wire, connection.take))
        await connection.opened
        await _pour(cue, connection.send)


async def receive_bare(cue: Cue, where: str, end: socket.socket) -> None:
    """Be the other end."""
    enter(where)
    wire = await Wire.over(end)
    arrived = Arrivals()
    connection = engine("wrtc")(wire.send, lambda data: arrived(len(data)))
    async with asyncio.TaskGroup() as group:
        group.create_task(_follow(wire, connection.take))
        await connection.opened
        await arrived.tell(cue)


async def _follow(wire: Wire, take: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    while True:
        await take(await wire.receive())


# ---- TLS over TCP ------------------------------------------------------------


async def send_tls(cue: Cue, where: str, end: socket.socket, trusted: Path) -> None:
    """Send over TLS, by plain sockets and calls that wait; where to comes by hand."""
    enter(where)
    address = (await (await Wire.over(end)).receive())["address"]
    context = ssl.create_default_context(cafile=trusted)

    def pour(data: bytes) -> None:
        while True:
            connection.sendall(data)

    with socket.create_connection(tuple(address)) as plain:
        _prefer(plain)
        with context.wrap_socket(plain, server_hostname=address[0]) as connection:
            data = await _go(cue)
            await asyncio.to_thread(pour, data)


async def receive_tls(
    cue: Cue, where: str, end: socket.socket, host: str, certificate: Certificate
) -> None:
    """Listen for that."""
    enter(where)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    arrived = Arrivals()

    def read() -> None:
        plain, _ = listening.accept()
        buffer = bytearray(SIZE_BYTES)
        with context.wrap_socket(plain, server_side=True) as connection:
            while size := connection.recv_into(buffer):
                arrived(size)

    with socket.create_server((host, 0)) as listening:
        (await Wire.over(end)).send({"address": listening.getsockname()})
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(read))
            await arrived.tell(cue)


def _prefer(connection: socket.socket) -> None:
    """Have the congestion control that is usual, where this machine has another."""
    with suppress(OSError):  # it is said which one was used
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION.encode())


# ---- magic-wormhole ----------------------------------------------------------
#
# Its transit, as `wormhole send` uses it once both ends have agreed on a key: a producer
# that is asked for more whenever TCP has taken all, records sealed by NaCl. It runs on the
# reactor that Twisted chooses by itself, in a thread, so that the conductor is heard.


async def send_transit(cue: Cue, where: str, end: socket.socket) -> None:
    """Send through a wormhole; hints go by hand."""
    enter(where)
    from twisted.internet import reactor  # noqa: PLC0415 - which installs one
    from wormhole.transit import TransitSender  # noqa: PLC0415 - as above

    hints = (await (await Wire.over(end)).receive())["hints"]
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[Any] = loop.create_future()

    def begin() -> None:
        sender = TransitSender(None)
        sender.set_transit_key(_KEY)
        sender.get_connection_hints()
        sender.add_connection_hints(hints)
        sender.connect().addCallback(
            lambda pipe: loop.call_soon_threadsafe(connected.set_result, pipe)
        )

    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_react, reactor, begin))
        pipe = await connected
        _prefer(pipe.transport.getHandle())
        data = await _go(cue)
        reactor.callFromThread(lambda: pipe.registerProducer(_Producer(pipe, data), False))  # noqa: FBT003 - as its interface has it


async def receive_transit(cue: Cue, where: str, end: socket.socket) -> None:
    """Be the other end."""
    enter(where)
    from twisted.internet import reactor  # noqa: PLC0415 - which installs one
    from wormhole.transit import TransitReceiver  # noqa: PLC0415 - as above

    wire = await Wire.over(end)
    loop = asyncio.get_running_loop()
    connected = asyncio.Event()
    arrived = Arrivals()

    def begin() -> None:
        receiver = TransitReceiver(None)
        receiver.set_transit_key(_KEY)
        receiver.get_connection_hints().addCallback(
            lambda hints: loop.call_soon_threadsafe(wire.send, {"hints": hints})
        )
        receiver.connect().addCallback(take)

    def take(pipe: Any) -> None:  # noqa: ANN401 - without types
        pipe.connectConsumer(_Consumer(arrived))
        loop.call_soon_threadsafe(connected.set)

    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_react, reactor, begin))
        await connected.wait()
        await arrived.tell(cue)


def _react(reactor: Any, begin: Callable[[], None]) -> None:  # noqa: ANN401 - as above
    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)


class _Producer:
    """Twisted's IPullProducer: one more whenever there is room."""

    def __init__(self, pipe: Any, data: bytes) -> None:  # noqa: ANN401 - as above
        self._pipe = pipe
        self._data = data

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Send one more."""
        self._pipe.send_record(self._data)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Have no connection any more."""


class _Consumer:
    """Twisted's IConsumer: counts."""

    def __init__(self, arrived: Arrivals) -> None:
        self._arrived = arrived

    def registerProducer(self, producer: object, streaming: bool) -> None:  # noqa: FBT001, N802 - Twisted's interface
        """Take all that comes."""

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """Expect no more."""

    def write(self, data: bytes) -> None:
        """Take what has come."""
        self._arrived(len(data))
