"""Sealed frames: what passes through the server in binary, and what seals it.

Two sessions agree on keys by X25519 (RFC 7748): each hello carries a fresh public
key in its signed body. HKDF-SHA256 (RFC 5869, no salt) makes one AES-256-GCM key for
each direction; its ``info`` names the room, both sessions and both public keys. The
nonce is a counter that a session never repeats, whoever it seals for; the additional
data are the room, the sender and the recipient. Receivers take only counters above
the last one, so nothing can be replayed.

::

    version (1) | id (26) | sid (16) | counter (8, big-endian) | ciphertext and tag

On its way to the server a frame names its recipient, on its way from there its
sender: the server puts one in the other's place, and sees nothing but sizes and
times. Sealing and opening are done in the shells, by ``thkmesh.sealing``.
"""

from typing import Final

from thkmesh.core.identity import SessionKey, is_id, is_sid, signed_fields
from thkmesh.errors import InvalidMessage

__all__ = [
    "RELAY_LIMIT_BYTES",
    "UnknownVersion",
    "additional_data",
    "addressed",
    "addressee",
    "claimed",
    "key_info",
    "nonce",
]

RELAY_LIMIT_BYTES: Final = 65_536
"""The largest sealed frame, header included."""

VERSION: Final = 1
_ID_END: Final = 27
_SID_END: Final = 43
_LEAST: Final = _SID_END + 8 + 16


class UnknownVersion(InvalidMessage):
    """A sealed frame of another version; it is skipped."""

    reason = "unknown-version"


def addressed(session: SessionKey, sealed: bytes) -> bytes:
    """Return a frame to a session, or from it: its header, counter and ciphertext."""
    return bytes((VERSION,)) + f"{session.id}{session.sid}".encode("ascii") + sealed


def addressee(data: bytes) -> tuple[SessionKey, bytes]:
    """Return whom a frame names, and its counter and ciphertext.

    Raises:
        UnknownVersion: it is of a later protocol.
        InvalidMessage: it is malformed, or too large.
    """
    if data[:1] != bytes((VERSION,)):
        raise UnknownVersion("a sealed frame of another version")
    if not _LEAST <= len(data) <= RELAY_LIMIT_BYTES:
        raise InvalidMessage(f"a sealed frame of {len(data)} bytes")
    key = SessionKey(data[1:_ID_END].decode("latin-1"), data[_ID_END:_SID_END].decode("latin-1"))
    if not (is_id(key.id) and is_sid(key.sid)):
        raise InvalidMessage("a sealed frame that names no session")
    return key, data[_SID_END:]


def claimed(data: bytes) -> SessionKey | None:
    """Return whom a frame names, None if nobody; for telling of it."""
    try:
        return addressee(data)[0]
    except InvalidMessage:
        return None


def key_info(room: str, source: SessionKey, source_key: str, to: SessionKey, to_key: str) -> bytes:
    """Return the ``info`` of HKDF for what one session seals for another."""
    return signed_fields(b"thkmesh-relay-v1", room, *source, source_key, *to, to_key)


def additional_data(room: str, source: SessionKey, to: SessionKey) -> bytes:
    """Return what is authenticated beside the ciphertext."""
    return signed_fields(b"thkmesh-sealed-v1", room, *source, *to)


def nonce(counter: bytes) -> bytes:
    """Return the 12-byte nonce of an 8-byte counter."""
    return bytes(4) + counter
