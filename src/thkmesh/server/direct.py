"""The short way of a message between a socket and the application.

uvicorn takes a message through a parser made of generators, a queue, two tasks, and a
stop and start of reading: more than half of what it costs to relay a signal. A whole
frame of text or bytes, which is all that clients send in practice, needs none of that.
So whoever serves a WebSocket may ask for the short way, by an ASGI extension::

    scope["extensions"]["thkmesh.direct"] = {"attach": attach}

    write = attach(deliver)         # after websocket.accept
    deliver(message)                # is called with each str or bytes, as it comes
    write(message) -> bool          # sends at once; False where the socket takes nothing now

From then on ``receive`` has what came before and then tells of the end alone. ``send``
still works, and waits where ``write`` says False.

Everything else goes the way of uvicorn, in whole frames, so that both keep in step:
control frames, fragments, and what breaks the protocol, which is refused there. Of these
the application hears nothing, and so cannot count them: who sends many is cut off here.
"""

from collections.abc import Callable
from typing import TypeAlias

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from thkmesh.core.allowance import Allowance

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without a C compiler
    from websockets.utils import apply_mask

__all__ = ["Deliver", "DirectProtocol", "Write"]

Deliver: TypeAlias = Callable[[str | bytes], None]
Write: TypeAlias = Callable[[str | bytes], bool]

_TEXT, _BINARY = 0x81, 0x82
"""The first byte of a whole message (RFC 6455, section 5.2)."""

_WHOLE = (_TEXT, _BINARY)

_TURN = 16
"""After so many messages of one client it is the others' turn."""


class DirectProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, with the extension ``thkmesh.direct``.

    Attributes:
        other_burst: control frames and fragments that may come at once.
        other_rate: and how many more a second.
        others: what is left of them.
    """

    other_burst = 200
    other_rate = 50.0

    others: Allowance
    _deliver: Deliver | None = None
    _frames: bytes | bytearray = b""
    """What came of a frame that is not whole; or more, while it is the others' turn."""
    _fragmented = False
    _resting = False
    _astray = False
    """Something came that the parser refuses, and all that follows is for it."""

    def handle_connect(self, event: Request) -> None:
        """Offer the extension to the application, which has not run yet."""
        self.others = Allowance(self.other_burst, self.other_rate)
        super().handle_connect(event)
        extensions = None if self.close_sent else self.scope.get("extensions")
        if extensions is not None:
            extensions["thkmesh.direct"] = {"attach": self._attach}

    def data_received(self, data: bytes) -> None:
        """Take in the request, and then frames."""
        if not self.handshake_initiated or self._astray:
            super().data_received(data)
        elif self._frames:
            self._frames += data
            if not self._resting:
                self._frames = self._frames[self._advance(self._frames) :]
        else:
            done = self._advance(data)
            if done < len(data):
                self._frames = bytearray(data[done:])

    def handle_cont(self, event: Frame) -> None:
        """Take in a fragment, unless it is nothing: so what is kept is bounded by its size."""
        if event.data or event.fin:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Deliver what was in fragments, too."""
        if self._deliver is None or self.close_sent or self.read_paused:
            super().send_receive_event_to_app()
            return
        data = b"".join(self.frames)
        self.frames = []
        self._deliver(data.decode() if self.curr_msg_data_type == "text" else data)

    @property
    def attached(self) -> bool:
        """Whether messages take the short way."""
        return self._deliver is not None

    def _attach(self, deliver: Deliver) -> Write:
        self._deliver = deliver
        return self._write

    def _write(self, data: str | bytes) -> bool:
        if (
            self.close_sent
            or self.disconnected
            or not self.writable.is_set()
            or self.transport.is_closing()
        ):
            return False
        first, payload = (_TEXT, data.encode()) if isinstance(data, str) else (_BINARY, data)
        size = len(payload)
        if size < 126:
            head = bytes((first, size))
        elif size < 65536:
            head = bytes((first, 126, size >> 8, size & 255))
        else:
            head = bytes((first, 127)) + size.to_bytes(8, "big")
        self.transport.write(head + payload)
        return True

    def _advance(self, data: bytes | bytearray) -> int:
        """Take in the whole frames; return where they end."""
        at, end, turn = 0, len(data), 0
        limit = self.config.ws_max_size
        while end - at >= 2:
            first, size = data[at], data[at + 1] & 127
            payload = at + 6
            if size >= 126:
                payload = at + (8 if size == 126 else 14)
                if end < payload:
                    break
                size = int.from_bytes(data[at + 2 : payload - 4], "big")
            if size > limit or data[at + 1] < 128:
                self._astray = True
                super().data_received(bytes(data[at:]))
                return end
            after = payload + size
            if end < after:
                break
            if first not in _WHOLE and not self.others.take(1, self.loop.time()):
                self.transport.abort()
                return end
            if self.close_sent and first & 15 <= 2:
                pass  # What is said after the end is worth no parsing.
            elif not self._take(first, data[payload:after], data[payload - 4 : payload]):
                super().data_received(bytes(data[at:after]))
                if first & 15 <= 2:
                    self._fragmented = first < 128
            at = after
            turn += 1
            if turn == _TURN and at < end:
                self._rest()
                break
        return at

    def _take(self, first: int, masked: bytes | bytearray, mask: bytes | bytearray) -> bool:
        """Deliver a message, if that is what a frame is."""
        if self._deliver is None or self._fragmented or self.read_paused:
            return False
        if first == _TEXT:
            try:
                text = apply_mask(masked, mask).decode()
            except UnicodeDecodeError:
                return False
            self._deliver(text)
        elif first == _BINARY:
            self._deliver(apply_mask(masked, mask))
        else:
            return False
        return True

    def _rest(self) -> None:
        """Go on when the others had their turn: they may have to take in what came."""
        self._resting = True
        if not self.read_paused:
            self.transport.pause_reading()
        self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        if self.disconnected or self.transport.is_closing():
            return
        if not self.read_paused:
            self.transport.resume_reading()
        self._frames = self._frames[self._advance(self._frames) :]
