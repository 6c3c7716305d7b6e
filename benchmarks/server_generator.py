"""Many WebSocket clients in one thread, at so little cost that the server is the bottleneck.

Bare sockets behind epoll; every frame is made and masked before it is needed, and what
comes is looked at only as far as counting takes. Each client has a partner: what one
sends, the server relays to the other.
"""

import json
import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence

from benchmarks.server_dialects import Dialect

__all__ = ["Crowd"]

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_PATIENCE = 60.0
_CHUNK = 65536


class _Line:
    """One client and its socket."""

    __slots__ = ("_head", "_rest", "dialect", "due", "joined", "signal", "sock", "whole")

    def __init__(self, dialect: Dialect, host: str, sock: socket.socket) -> None:
        self.dialect = dialect
        self.sock = sock
        self.joined = False
        self.signal = b""
        self.whole = 0
        """The length of the frame in which a signal comes from the server."""
        self.due: deque[float] = deque()
        """When the signals should have been sent that are under way to this one."""
        self._rest = b""
        self._head = (
            f"GET {dialect.path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ).encode()

    def knock(self) -> None:
        """Ask for a WebSocket, now that there is a connection."""
        self.sock.send(self._head)

    def enter(self) -> bool:
        """Do what comes next on the way in; tell whether this was the last step."""
        data = self._rest + self.sock.recv(_CHUNK)
        if self._head:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return False
            assert head.startswith(b"HTTP/1.1 101 "), head
            self._head = b""
        self._rest = data
        for text in self._frames():
            if not self.joined:
                answer = self.dialect.answer(text)
                self.joined = answer is None
                if answer is not None:
                    self.sock.send(_frame(_TEXT, answer))
        return self.joined

    def signals(self, data: bytes) -> int:
        """Tell how many signals are in what came."""
        self._rest += data
        return sum(map(self.dialect.is_signal, self._frames()))

    def _frames(self) -> Iterator[bytes]:
        """Yield the whole messages that came, and answer pings."""
        data = self._rest
        while len(data) >= 2:
            opcode, size, start = data[0] & 15, data[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(data[2:start], "big")
            if len(data) < start + size:
                break
            payload, data = data[start : start + size], data[start + size :]
            self._rest = data
            assert opcode != _CLOSE, payload
            if opcode == _PING:
                self.sock.send(_frame(_PONG, payload))
            elif opcode == _TEXT:
                self.whole = start + size if self.dialect.is_signal(payload) else self.whole
                yield payload


class Crowd:
    """Clients of one server."""

    def __init__(self, host: str, port: int, dialects: Sequence[Dialect]) -> None:
        self._address = host, port
        self._dialects = dialects
        self._lines: dict[int, _Line] = {}
        self._poll = select.epoll()

    def close(self) -> None:
        """Break all off."""
        for line in self._lines.values():
            line.sock.close()
        self._poll.close()

    def join(self, at_once: int) -> list[float]:
        """Connect and enter, so many at once; return the seconds that each took, sorted."""
        began: dict[int, float] = {}
        took: list[float] = []
        coming = iter(self._dialects)
        give_up = time.perf_counter() + _PATIENCE
        while len(took) < len(self._dialects):
            while len(began) < at_once and (dialect := next(coming, None)) is not None:
                began[self._connect(dialect)] = time.perf_counter()
            assert time.perf_counter() < give_up, f"{len(took)} of {len(self._dialects)} came in"
            for fd, event in self._poll.poll(1):
                line = self._lines[fd]
                if event & select.EPOLLOUT:
                    self._poll.modify(fd, select.EPOLLIN)
                    line.knock()
                elif line.joined:
                    line.signals(line.sock.recv(_CHUNK))
                elif line.enter():
                    took.append(time.perf_counter() - began.pop(fd))
        return sorted(took)

    def _connect(self, dialect: Dialect) -> int:
        sock = socket.socket()
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(self._address)
        self._lines[sock.fileno()] = _Line(dialect, "localhost", sock)
        self._poll.register(sock.fileno(), select.EPOLLOUT)
        return sock.fileno()

    def idle(self, seconds: float) -> None:
        """Stay, and answer pings."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for fd, _ in self._poll.poll(0.1):
                line = self._lines[fd]
                line.signals(line.sock.recv(_CHUNK))

    def pair(self, size: int) -> None:
        """Let every two be partners, and prepare their signals."""
        lines = list(self._lines.values())
        for one, other in zip(lines[::2], lines[1::2], strict=True):
            for me, partner in ((one, other), (other, one)):
                text = me.dialect.signal(partner.dialect, size)
                assert len(text) == size
                assert isinstance(json.loads(text), dict)
                me.signal = _frame(_TEXT, text)

    def kick_off(self) -> None:
        """Put a signal under way in each pair, for ``bounce``."""
        for line in list(self._lines.values())[::2]:
            line.sock.send(line.signal)

    def bounce(self, seconds: float) -> int:
        """Answer every signal with one; return how many came."""
        lines, poll = self._lines, self._poll
        count = 0
        now = time.perf_counter()
        end = now + seconds
        while now < end:
            for fd, _ in poll.poll(0.1):
                line = lines[fd]
                data = line.sock.recv(_CHUNK)
                came = 1 if len(data) == line.whole else line.signals(data)
                for _ in range(came):
                    line.sock.send(line.signal)
                count += came
            now = time.perf_counter()
        return count

    def drain(self) -> None:
        """Take in what is under way, and answer nothing."""
        while events := self._poll.poll(0.2):
            for fd, _ in events:
                line = self._lines[fd]
                line.signals(line.sock.recv(_CHUNK))
                line.due.clear()

    def pace(self, rate: float, seconds: float) -> list[float]:
        """Send at a rate, whatever comes back; return the seconds until each came, sorted.

        They count from when a signal should have been sent, so that a generator or a
        server that stops for a moment hides nothing of it.
        """
        lines = list(self._lines.values())
        took: list[float] = []
        start = time.perf_counter()
        sent, total = 0, int(rate * seconds)
        give_up = start + seconds + _PATIENCE
        while len(took) < total:
            now = time.perf_counter()
            assert now < give_up, f"{len(took)} of {total} signals came"
            while sent < total and (due := start + sent / rate) <= now:
                index = sent % len(lines)
                lines[index ^ 1].due.append(due)
                lines[index].sock.send(lines[index].signal)
                sent += 1
            for fd, _ in self._poll.poll(0):
                line = self._lines[fd]
                data = line.sock.recv(_CHUNK)
                now = time.perf_counter()
                took += (now - line.due.popleft() for _ in range(line.signals(data)))
        return sorted(took)


def _frame(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame (RFC 6455, section 5.2), masked as it has to be."""
    size = len(payload)
    assert size < 65536
    head = bytes((0x80 | opcode, 0x80 | min(size, 126)))
    if size >= 126:
        head += size.to_bytes(2, "big")
    mask = os.urandom(4)
    repeated = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + mask + masked.to_bytes(size, "big")
