"""A client of TURN, down to its bytes (RFC 8656), to ask for what a browser never would."""

import hmac
import secrets
import socket
import struct
from dataclasses import dataclass, field
from hashlib import md5
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

__all__ = ["Answer", "TurnClient"]

Address: TypeAlias = IPv4Address | IPv6Address

_COOKIE: Final = 0x2112A442
_UDP: Final = 17
_PATIENCE: Final = 5.0

ALLOCATE: Final = 0x003
CREATE_PERMISSION: Final = 0x008
CONNECT: Final = 0x00A

USERNAME: Final = 0x0006
INTEGRITY: Final = 0x0008
ERROR: Final = 0x0009
PEER_ADDRESS: Final = 0x0012
REALM: Final = 0x0014
NONCE: Final = 0x0015
FAMILY: Final = 0x0017
TRANSPORT: Final = 0x0019


@dataclass(frozen=True)
class Answer:
    """What the server says.

    Attributes:
        error: its code; None means success.
        attributes: by type, the last of each.
    """

    error: int | None
    attributes: dict[int, bytes] = field(default_factory=dict[int, bytes])


class TurnClient:
    """One five-tuple, so one allocation."""

    def __init__(self, sending: socket.socket, username: str, credential: str) -> None:
        """Take a connected socket of UDP."""
        sending.settimeout(_PATIENCE)
        self._socket = sending
        self._username = username
        self._credential = credential
        self._realm = b""
        self._nonce = b""

    def allocate(self, version: int = 4) -> Answer:
        """Ask for a relay; the first answer is a challenge, which is met."""
        family = bytes([1 if version == 4 else 2, 0, 0, 0])
        wanted = [(TRANSPORT, bytes([_UDP, 0, 0, 0])), (FAMILY, family)]
        challenge = self._ask(ALLOCATE, wanted)
        if challenge.error != 401:
            return challenge
        self._realm = challenge.attributes[REALM]
        self._nonce = challenge.attributes[NONCE]
        return self._ask(ALLOCATE, wanted)

    def permit(self, peer: Address) -> Answer:
        """Ask that a peer may send to our relay, and we to it."""
        return self._ask(CREATE_PERMISSION, [], peer)

    def connect(self, peer: Address) -> Answer:
        """Ask for a connection of TCP to a peer (RFC 6062)."""
        return self._ask(CONNECT, [], peer)

    def _ask(
        self, method: int, attributes: list[tuple[int, bytes]], peer: Address | None = None
    ) -> Answer:
        transaction = secrets.token_bytes(12)
        if peer is not None:
            attributes = [*attributes, (PEER_ADDRESS, _masked(peer, 9, transaction))]
        if self._realm:
            user = (USERNAME, self._username.encode())
            attributes = [*attributes, user, (REALM, self._realm), (NONCE, self._nonce)]
        body = b"".join(_attribute(*each) for each in attributes)
        if self._realm:
            words = (self._username, self._realm.decode(), self._credential)
            key = md5(":".join(words).encode()).digest()
            signed = _header(method, len(body) + 24, transaction) + body
            body += _attribute(INTEGRITY, hmac.digest(key, signed, "sha1"))
        self._socket.send(_header(method, len(body), transaction) + body)
        while True:
            answer = self._socket.recv(2048)
            if answer[8:20] == transaction:
                return _read(answer)


def _header(method: int, length: int, transaction: bytes) -> bytes:
    return struct.pack("!HHI12s", method, length, _COOKIE, transaction)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _masked(address: Address, port: int, transaction: bytes) -> bytes:
    """Return an address as in XOR-PEER-ADDRESS (RFC 8489, section 14.2)."""
    mask = struct.pack("!I", _COOKIE) + transaction
    packed = bytes(a ^ b for a, b in zip(address.packed, mask, strict=False))
    return struct.pack("!BBH", 0, 1 if address.version == 4 else 2, port ^ _COOKIE >> 16) + packed


def _read(answer: bytes) -> Answer:
    attributes: dict[int, bytes] = {}
    place = 20
    while place < len(answer):
        kind, length = struct.unpack_from("!HH", answer, place)
        attributes[kind] = answer[place + 4 : place + 4 + length]
        place += 4 + length + -length % 4
    error = attributes.get(ERROR)
    return Answer(None if error is None else error[2] * 100 + error[3], attributes)
