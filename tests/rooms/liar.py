"""A signaling server that lies: an honest one, and somebody on the way to it.

What a lying server can do to a client is to send it other messages than it should,
and to hear what the client says. So the lies are told between the clients' real
WebSockets and a real server, where messages can be changed, kept, and made up.
"""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from thkmesh.core.wire import Message, encode
from thkmesh.signaling.transport import Socket, SocketClosed
from thkmesh.signaling.websocket import WebSocketTransport

Words: TypeAlias = dict[str, Any]
"""A message on the wire, as JSON has it."""

Lie: TypeAlias = Callable[[Words], Sequence[Words]]
"""Gets what somebody should hear; returns what is heard in its place."""

_FINGERPRINT = re.compile(r"(a=fingerprint:\S+ )([0-9A-F:]+)")


def truth(words: Words) -> Sequence[Words]:
    """Tell no lie."""
    return (words,)


class LyingTransport:
    """One client's way to the server."""

    def __init__(self, down: Lie = truth, up: Lie = truth) -> None:
        """Tell the client the lies ``down``, and the server the lies ``up``."""
        self.passed: list[Words] = []
        """What the client should have heard."""
        self._down = down
        self._up = up
        self._socket: _LyingSocket
        self._loop: asyncio.AbstractEventLoop

    async def open(self, url: str) -> Socket:
        """Connect to the honest server."""
        self._loop = asyncio.get_running_loop()
        honest = await WebSocketTransport().open(url)
        self._socket = _LyingSocket(honest, self._heard, self._up)
        return self._socket

    def _heard(self, words: Words) -> Sequence[Words]:
        self.passed.append(words)
        return self._down(words)

    def inject(self, *messages: Words | Message) -> None:
        """Make the client hear something; on any thread."""
        for each in messages:
            text = encode(each) if isinstance(each, Message) else json.dumps(each)
            self._loop.call_soon_threadsafe(self._socket.inject, text)

    @property
    def signals(self) -> list[Words]:
        """The numbered signals that the client should have heard."""
        return [words for words in self.passed if is_signal(words)]

    @property
    def introductions(self) -> list[Words]:
        """The introductions that the client should have heard."""
        return [each for words in self.passed for each in introductions_in(words)]


class _LyingSocket:
    """A WebSocket with somebody in the middle."""

    def __init__(self, honest: Socket, down: Lie, up: Lie) -> None:
        self._honest = honest
        self._down = down
        self._up = up
        self._queue: asyncio.Queue[str | SocketClosed] = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            while True:
                for words in self._down(json.loads(await self._honest.receive())):
                    self._queue.put_nowait(json.dumps(words))
        except SocketClosed as closed:
            self._queue.put_nowait(closed)

    def inject(self, text: str) -> None:
        """Make the client hear something."""
        self._queue.put_nowait(text)

    def send(self, text: str) -> None:
        """Pass on what the client says."""
        for words in self._up(json.loads(text)):
            self._honest.send(json.dumps(words))

    def send_frame(self, frame: bytes) -> None:
        """Pass no sealed frame on: what these tests watch are direct paths."""

    async def receive(self) -> str:
        """Return what the client hears next."""
        item = await self._queue.get()
        if isinstance(item, SocketClosed):
            raise item
        return item

    async def close(self, code: int = 1000) -> None:
        """Close."""
        self._listening.cancel()
        await self._honest.close(code)


# --- lies -------------------------------------------------------------------------


def is_signal(words: Words) -> bool:
    """Tell whether a message is a numbered signal."""
    return str(words["type"]).startswith("webrtc-") and words.get("seq", 0) > 0


def introductions_in(words: Words) -> list[Words]:
    """Return the introductions in a message."""
    return [words] if words["type"] == "peer-ready" else words.get("peers", [])


def setting(field: str, value: object, kind: str = "") -> Lie:
    """Return the lie that changes a field of numbered signals of a kind.

    Args:
        field: its name on the wire.
        value: what it is set to, or a function of what it was; None takes it away.
        kind: which envelopes, such as "offer"; all of them if empty.
    """

    def lie(words: Words) -> Sequence[Words]:
        if is_signal(words) and kind in words["type"]:
            _set(words, field, value)
        return (words,)

    return lie


def introducing(field: str, value: object) -> Lie:
    """Return the lie that changes a field of every introduction; see ``setting``."""

    def lie(words: Words) -> Sequence[Words]:
        for each in introductions_in(words):
            _set(each, field, value)
        return (words,)

    return lie


def _set(words: Words, field: str, value: object) -> None:
    if value is None:
        del words[field]
    else:
        words[field] = value(words[field]) if callable(value) else value


def other_fingerprints(body: str) -> str:
    """Return a signal's body with the fingerprints of somebody else."""
    changed = _FINGERPRINT.sub(lambda found: found[1] + found[2][::-1], body)
    assert changed != body, "there is a fingerprint to rewrite"
    return changed
