"""The simulated way to a signaling server: WebSockets in memory, a server to kill.

The server is a host like any other, called ``server``: partitions, delays and
suspension apply to it. Its WebSockets are over something like TCP: what is sent
arrives in order, and an outage only delays it, until one end loses patience or
the connection breaks. What breaks loses what was under way, both ways.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from enum import Enum
from typing import TypeAlias
from zlib import crc32

from thkmesh.engines.simulated_network import Pipe, SimulatedNetwork
from thkmesh.errors import ServerUnreachable
from thkmesh.server import RoomService
from thkmesh.server.service import Connection
from thkmesh.signaling.transport import ABNORMAL, Socket, SocketClosed

__all__ = ["SERVER", "Direction", "SignalingServer", "SimulatedTransport", "Tamper"]

SERVER = "server"
"""The host that the signaling server is on."""

_OPEN_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 1.0
_QUEUE = 4096
_FRAMES = 64
"""With so many messages on their way no binary one is sent."""
_UNREAD = 256
"""Messages that a client takes in without reading them."""


class Direction(Enum):
    """Which way a message goes."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


Tamper: TypeAlias = Callable[[Direction, str, str], Sequence[str]]
"""Gets direction, client's host and text; returns what travels on in its place."""


class SignalingServer:
    """A server machine: starts, answers, is killed, comes back as another."""

    def __init__(
        self,
        network: SimulatedNetwork,
        make: Callable[[], RoomService],
        *,
        context: Callable[[], Context],
        disconnect_every: float | None = None,
    ) -> None:
        """Be switched off; ``start`` starts it.

        Args:
            network: what lies between it and its clients.
            make: makes the service of one life of the server.
            context: returns the context of the process it runs in.
            disconnect_every: seconds after which a WebSocket breaks on average;
                None means never.
        """
        self.network = network
        self.service: RoomService | None = None
        """What runs on it at the moment."""
        self.context = context
        self.tamper: Tamper | None = None
        """Rewrites, drops or doubles what passes; a lying server, or a bad one."""
        self.tamper_frame: Callable[[bytes], Sequence[bytes]] = lambda frame: (frame,)
        """The same for the sealed frames that it passes on."""
        self._make = make
        self._disconnect_every = disconnect_every
        self._dice = network.dice("websockets")
        self._sockets: dict[int, _WebSocket] = {}

    def start(self) -> None:
        """Begin a life: another epoch, and nothing remembered."""
        assert self.service is None, "it runs already"
        self.network.trace("server starts")
        self.service = self._make()

    def kill(self) -> None:
        """End at once; the clients' connections break."""
        self.network.trace("server is killed")
        self.service = None
        self.disconnect()

    def stop(self) -> None:
        """Close every connection with 1012, and end."""
        assert self.service is not None, "it does not run"
        self.network.trace("server stops")
        self.service.stop()
        self.service = None

    def disconnect(self, host: str | None = None) -> None:
        """Break the WebSockets of a host, None for all; the server lives on."""
        for socket in tuple(self._sockets.values()):
            if host in {None, socket.host}:
                socket.break_off()

    def transport(self, host: str, context: Context) -> "SimulatedTransport":
        """Return what opens WebSockets from a host, in the context of a process."""
        return SimulatedTransport(self, host, context)

    def passed(self, direction: Direction, host: str, text: str) -> Sequence[str]:
        """Return what becomes of a message."""
        texts = (text,) if self.tamper is None else self.tamper(direction, host, text)
        for each in texts:
            self.network.trace(f"{host} {direction.value} {crc32(each.encode()):08x} {len(each)}")
        return texts

    def connect(self, host: str, context: Context) -> "_WebSocket":
        """Begin to connect a client; for transports."""
        number = self.network.number("websocket")
        socket = _WebSocket(self, host, context, forget=lambda: self._sockets.pop(number, None))
        self._sockets[number] = socket
        if self._disconnect_every is not None:
            life = self._dice.expovariate(1 / self._disconnect_every)
            asyncio.get_running_loop().call_later(life, socket.break_off, context=Context())
        return socket


class SimulatedTransport:
    """Opens simulated WebSockets; see ``thkmesh.signaling.transport.Transport``."""

    def __init__(self, server: SignalingServer, host: str, context: Context) -> None:
        """Use ``SignalingServer.transport``."""
        self._server = server
        self._host = host
        self._context = context

    async def open(self, url: str) -> Socket:
        """Connect; where ``url`` leads does not matter, there is one server.

        Raises:
            ServerUnreachable: it is down, or did not answer in ten seconds.
        """
        socket = self._server.connect(self._host, self._context)
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                await socket.opened()
        except TimeoutError:
            socket.break_off()
            raise ServerUnreachable(f"no answer from {url}") from None
        except asyncio.CancelledError:
            socket.break_off()
            raise
        return socket


class _Frame(Enum):
    """What travels beside messages."""

    OPEN = "open"
    CLOSE = "close"


_Up: TypeAlias = str | bytes | _Frame
_Down: TypeAlias = _Up | SocketClosed


class _WebSocket:
    """One connection: the client's end, and what the server sees of it."""

    def __init__(
        self,
        server: SignalingServer,
        host: str,
        context: Context,
        forget: Callable[[], object],
    ) -> None:
        self.host = host
        self._server = server
        self._network = server.network
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._dice = self._network.dice("websocket")
        self._route = self._network.route(host, SERVER)
        self._service: RoomService | None = None
        """The life of the server that took us in."""
        self._connection: Connection | None = None
        self._inbox: deque[str | bytes] = deque()
        self._news = asyncio.Event()
        self._open = False
        self._end: SocketClosed | None = None
        """What the client has heard, or said, last."""
        self._hung_up = False
        """Whether the server sends nothing more."""
        self._done = False
        self._up = Pipe[_Up](self._at_server, self._passes, server.context())
        self._down = Pipe[_Down](self._at_client, self._listens, context)
        self._unwatch = self._network.watch(self._resume)
        self._put_up(_Frame.OPEN)

    # --- the client's end ---

    async def opened(self) -> None:
        """Wait until the server has taken us in.

        Raises:
            ServerUnreachable: it runs no more.
        """
        while not self._open and self._end is None:
            await self._wait()
        if self._end is not None:
            raise ServerUnreachable(self._end.reason)

    def send(self, text: str) -> None:
        """Queue a message; a queue that is full breaks the connection."""
        if self._end is not None:
            return
        if self._up.overdue > _QUEUE:
            self.break_off()
            return
        for each in self._server.passed(Direction.TO_SERVER, self.host, text):
            self._put_up(each)

    def send_frame(self, frame: bytes) -> None:
        """Queue a binary message; it is dropped where many wait."""
        if self._end is None and self._up.overdue <= _FRAMES:
            self._network.trace(f"{self.host} to server sealed {crc32(frame):08x} {len(frame)}")
            self._put_up(frame)

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            SocketClosed: there will be no more.
        """
        while not self._inbox:
            if self._end is not None:
                raise self._end
            await self._wait()
        if len(self._inbox) == _UNREAD:
            self._loop.call_soon(self._down.resume)
        return self._inbox.popleft()

    async def close(self, code: int = 1000) -> None:
        """Send what is queued, then close; waits a second for the other end."""
        if self._end is not None:
            return
        self._end = SocketClosed(code, "")
        self._news.set()
        self._put_up(_Frame.CLOSE)
        trip = 2 * self._network.transit(self.host, SERVER)
        await asyncio.sleep(trip if self._passes() else _CLOSE_TIMEOUT)

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _at_client(self, item: _Down) -> None:
        match item:
            case str() | bytes():
                self._inbox.append(item)
            case SocketClosed():
                self._end = self._end or item
                self._finish()
            case _:
                self._open = True
        self._news.set()

    # --- the server's end ---

    def _at_server(self, item: _Up) -> None:
        if item is _Frame.OPEN:
            self._accept()
        elif self._connection is None or self._service is not self._server.service:
            self._finish()
        elif isinstance(item, str | bytes):
            self._connection.received(item)
        else:
            self._hung_up = True
            self._finish()
            self._connection.dropped()

    def _accept(self) -> None:
        service = self._server.service
        if service is None:
            self.hang_up(ABNORMAL, "connection refused")
            return
        self._service = service
        self._put_down(_Frame.OPEN)
        self._connection = service.open(_Outbound(self))

    def answer(self, text: str) -> bool:
        """Send to the client; False when too much waits for it."""
        assert self._service is not None
        if self._down.overdue > self._service.settings.outgoing_messages:
            return False
        if not self._hung_up:
            for each in self._server.passed(Direction.TO_CLIENT, self.host, text):
                self._put_down(each)
        return True

    def relay(self, frame: bytes) -> None:
        """Send a sealed frame to the client, unless too much waits for it."""
        if self._hung_up or self._down.overdue > _FRAMES:
            return
        for each in self._server.tamper_frame(frame):
            self._network.trace(f"{self.host} to client sealed {crc32(each):08x} {len(each)}")
            self._put_down(each)

    def hang_up(self, code: int, reason: str) -> None:
        """Close after what was sent."""
        if not self._hung_up:
            self._hung_up = True
            self._put_down(SocketClosed(code, reason))

    # --- the wire ---

    def break_off(self) -> None:
        """Lose the connection and what is under way; each end notices when it can."""
        if self._done:
            return
        self._network.trace(f"{self.host} websocket breaks")
        self._up.clear()
        self._down.clear()
        self._hung_up = True
        self._put_up(_Frame.CLOSE)
        self._put_down(SocketClosed(ABNORMAL, "the connection broke"))

    def _finish(self) -> None:
        """Let go, once either end knows that it is over."""
        self._done = True
        self._forget()
        self._unwatch()

    def _put_up(self, item: _Up) -> None:
        self._up.put(item, self._arrival(self.host, SERVER, item))

    def _put_down(self, item: _Down) -> None:
        self._down.put(item, self._arrival(SERVER, self.host, item))

    def _arrival(self, source: str, target: str, item: _Down) -> float:
        size = len(item) if isinstance(item, str | bytes) else 0
        return self._loop.time() + self._network.reliable_transit(source, target, size)

    def _passes(self) -> bool:
        return self._network.reaches(self.host, SERVER) and (
            self._network.route(self.host, SERVER) == self._route
        )

    def _listens(self) -> bool:
        return len(self._inbox) < _UNREAD and self._passes()

    def _resume(self) -> None:
        if self._passes():
            # TCP has backed off; it tries again when its timer says so.
            delay = self._dice.uniform(0.1, 1.3)
            self._up.resume(delay)
            self._down.resume(delay)


class _Outbound:
    """What a service sends to one client with."""

    def __init__(self, socket: _WebSocket) -> None:
        self._socket = socket

    def send(self, text: str) -> bool:
        return self._socket.answer(text)

    def relay(self, frame: bytes) -> None:
        self._socket.relay(frame)

    def close(self, code: int, reason: str) -> None:
        self._socket.hang_up(code, reason)
