"""What a client of each signaling server says, for the generator of ``benchmarks.server``."""

import json
import secrets
from abc import ABC, abstractmethod

from tests.server.world import Client
from thkmesh.core import wire
from thkmesh.core.wire import Ack, CandidateInit, CandidatesBody, IceCandidate
from thkmesh.keys import Identity

__all__ = ["Dialect", "PeerJs", "ThkMesh"]

_CANDIDATE = (
    "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 "
)


class Dialect(ABC):
    """One client, in the words of its server.

    Attributes:
        path: where the WebSocket is.
    """

    path: str

    @abstractmethod
    def answer(self, text: bytes) -> bytes | None:
        """Return what to say to the server's first words; None once it has let us in."""

    @abstractmethod
    def signal(self, to: "Dialect", size: int) -> bytes:
        """Return a signal of ``size`` bytes, to be relayed to ``to``."""

    @abstractmethod
    def is_signal(self, text: bytes) -> bool:
        """Tell whether that is a signal from another client, not a word of the server's own."""


class ThkMesh(Dialect):
    """A peer of ours. Its key is made with it, for that is no work of the server's."""

    path = "/ws"

    def __init__(self, room: str) -> None:
        self._client = Client("", Identity.generate(), room=room)

    def answer(self, text: bytes) -> bytes | None:
        """Prove the key, and be welcomed."""
        match wire.decode_to_client(text):
            case wire.Challenge(nonce=nonce):
                return wire.encode(self._client.hello(nonce)).encode()
            case wire.Welcome():
                return None
            case message:
                raise AssertionError(message)

    def signal(self, to: Dialect, size: int) -> bytes:
        """Return candidates; below what their envelope takes, a padded acknowledgement."""
        assert isinstance(to, ThkMesh)
        me, other = self._client.key, to._client.key  # noqa: SLF001 - of this class
        envelope = (self._client.room, me.id, other.id, me.sid, other.sid, 1, 1)
        init = CandidateInit("", "9dLk", sdp_mid="0", sdp_m_line_index=0)
        body = wire.encode_body(CandidatesBody(generation=1, candidates=(init,)))
        signature = self._client.offer(other, body=body).signature
        text = wire.encode(IceCandidate(*envelope, body, signature)).encode()
        if len(text) <= size:
            return _filled(text, size, b'\\"candidate\\":\\"')
        text = wire.encode(Ack(*envelope)).encode()[:-1] + b',"padding":""}'
        return _filled(text, size, b'"padding":"')

    def is_signal(self, text: bytes) -> bool:
        """Tell by the type, which comes first."""
        return text.startswith(b'{"type":"webrtc-')


class PeerJs(Dialect):
    """A client of peerjs-server, which knows no rooms and trusts every id."""

    def __init__(self, _room: str) -> None:
        self._id = secrets.token_hex(13)
        self.path = f"/peers/peerjs?key=peerjs&id={self._id}&token={secrets.token_hex(5)}"

    def answer(self, text: bytes) -> bytes | None:
        """Say nothing: the URL has said all."""
        assert json.loads(text) == {"type": "OPEN"}, text
        return None

    def signal(self, to: Dialect, size: int) -> bytes:
        """Return a candidate as PeerJS sends it."""
        assert isinstance(to, PeerJs)
        candidate = {"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0}
        payload = {"candidate": candidate, "type": "data", "connectionId": "dc_" + "x" * 11}
        message = {"type": "CANDIDATE", "payload": payload, "dst": to._id}  # noqa: SLF001 - as above
        text = json.dumps(message, separators=(",", ":")).encode()
        return _filled(text, size, b'"candidate":{"candidate":"')

    def is_signal(self, text: bytes) -> bool:
        """Tell by the type, which comes first."""
        return text.startswith(b'{"type":"CANDIDATE"')


def _filled(text: bytes, size: int, place: bytes) -> bytes:
    """Put a candidate into a place, so long that all has that size."""
    at = text.index(place) + len(place)
    missing = size - len(text)
    filling = (_CANDIDATE * (missing // len(_CANDIDATE) + 1))[:missing]
    return text[:at] + filling.encode() + text[at:]
