"""Messages of STUN and TURN, down to their bytes (RFC 8489, RFC 8656, RFC 5780).

As much of them as asking takes: no DTLS, no message of a server's own making.
"""

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum
from hashlib import md5
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple, TypeAlias

__all__ = [
    "Address",
    "Attribute",
    "Kind",
    "Message",
    "Method",
    "decode",
    "encode",
    "long_term_key",
    "pack_address",
    "size_of",
    "unpack_address",
]

_COOKIE: Final = 0x2112A442
_HEADER: Final = struct.Struct("!HHI12s")
_UDP: Final = 17

Attributes: TypeAlias = tuple[tuple[int, bytes], ...]


class Address(NamedTuple):
    """Where something is reached."""

    host: str
    port: int


class Method(IntEnum):
    """What is asked for."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008


class Kind(IntEnum):
    """The class of a message, as it stands in its first two bytes."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Attribute(IntEnum):
    """What a message says."""

    MAPPED_ADDRESS = 0x0001
    CHANGE_REQUEST = 0x0003
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_TRANSPORT = 0x0019
    XOR_MAPPED_ADDRESS = 0x0020
    OTHER_ADDRESS = 0x802C


CHANGE_PORT: Final = b"\0\0\0\x02"
CHANGE_BOTH: Final = b"\0\0\0\x06"
OVER_UDP: Final = bytes((_UDP, 0, 0, 0))
NO_LIFETIME: Final = bytes(4)


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        method: what it is about.
        kind: its class.
        transaction: 96 bits that an answer repeats.
        attributes: by their number, in order.
    """

    method: int
    kind: int
    transaction: bytes
    attributes: Attributes = ()

    def get(self, attribute: Attribute) -> bytes | None:
        """Return the first attribute of that number."""
        return next((value for number, value in self.attributes if number == attribute), None)

    def address(self, attribute: Attribute) -> Address | None:
        """Return the first attribute of that number as an address; None if it is none."""
        value = self.get(attribute)
        if value is None:
            return None
        plain = attribute in {Attribute.MAPPED_ADDRESS, Attribute.OTHER_ADDRESS}
        return unpack_address(value, None if plain else self.transaction)

    @property
    def error(self) -> int | None:
        """The code of an error, such as 401."""
        value = self.get(Attribute.ERROR_CODE)
        if self.kind != Kind.ERROR or value is None or len(value) < 4:
            return None
        return (value[2] & 7) * 100 + value[3]

    @property
    def mapped(self) -> Address | None:
        """The address from which the server saw us."""
        return self.address(Attribute.XOR_MAPPED_ADDRESS) or self.address(Attribute.MAPPED_ADDRESS)


def long_term_key(username: str, realm: bytes, password: str) -> bytes:
    """Return the key of long-term credentials (RFC 8489, section 9.2.2)."""
    words = username.encode(), realm, password.encode()
    return md5(b":".join(words), usedforsecurity=False).digest()


def encode(message: Message, key: bytes | None = None) -> bytes:
    """Return a message's bytes, with MESSAGE-INTEGRITY if there is a key."""
    body = b"".join(_attribute(*each) for each in message.attributes)
    if key is not None:
        signed = _header(message, len(body) + 24) + body
        body += _attribute(Attribute.MESSAGE_INTEGRITY, hmac.digest(key, signed, "sha1"))
    return _header(message, len(body)) + body


def _header(message: Message, length: int) -> bytes:
    # All methods here fit into the lowest four bits, where the class does not reach.
    return _HEADER.pack(message.method | message.kind, length, _COOKIE, message.transaction)


def _attribute(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)


def size_of(header: bytes) -> int | None:
    """Return the length of a message from its first 20 bytes; None if it is none."""
    if len(header) < _HEADER.size or header[0] & 0xC0:
        return None
    _, length, cookie, _ = _HEADER.unpack_from(header)
    return _HEADER.size + int(length) if cookie == _COOKIE and length % 4 == 0 else None


def decode(data: bytes) -> Message | None:
    """Return what came; None if it is no message of STUN, or cut off."""
    if size_of(data) != len(data):
        return None
    first, _, _, transaction = _HEADER.unpack_from(data)
    attributes: list[tuple[int, bytes]] = []
    place = _HEADER.size
    while place < len(data):
        number, length = struct.unpack_from("!HH", data, place)
        place += 4
        if place + length > len(data):
            return None
        attributes.append((number, data[place : place + length]))
        place += length + -length % 4
    return Message(first & 0x3EEF, first & 0x110, transaction, tuple(attributes))


def _mask(transaction: bytes | None) -> bytes:
    return bytes(16) if transaction is None else struct.pack("!I", _COOKIE) + transaction


def pack_address(address: Address, transaction: bytes | None) -> bytes:
    """Return an address as in XOR-PEER-ADDRESS; plain without a transaction."""
    mask = _mask(transaction)
    host = ip_address(address.host)
    packed = bytes(a ^ b for a, b in zip(host.packed, mask, strict=False))
    port = address.port ^ int.from_bytes(mask[:2], "big")
    return struct.pack("!BBH", 0, 1 if host.version == 4 else 2, port) + packed


def unpack_address(value: bytes, transaction: bytes | None) -> Address | None:
    """Return the address that ``pack_address`` was given; None if it is malformed."""
    sizes = {1: 8, 2: 20}
    if len(value) < 4 or sizes.get(value[1]) != len(value):
        return None
    mask = _mask(transaction)
    port = int.from_bytes(value[2:4], "big") ^ int.from_bytes(mask[:2], "big")
    packed = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
    host = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
    return Address(str(host), port)
