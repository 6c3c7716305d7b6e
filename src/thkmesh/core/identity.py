"""Names that prove themselves, and the exact bytes that are signed.

A peer has an Ed25519 key. Its id is the first 26 characters of the lower-case,
unpadded base32 (RFC 4648, section 6) of the SHA-256 of the 32-byte public key:
130 bits that anybody can check, so no server has to be trusted with it. A sid
is 64 random bits as 16 lower-case hexadecimal characters and names one life.
Both are ASCII, so Python and JavaScript order them alike.

What is signed is never JSON re-serialised, but a context, a zero byte, and each
field as a 32-bit big-endian length and its UTF-8 bytes:

========================  ====================================================
context                   fields
========================  ====================================================
``thkmesh-hello-v1``      room, id, sid, key, body
``thkmesh-proof-v1``      nonce, room, id, sid
``thkmesh-signal-v1``     room, from, from sid, to, to sid, sequence, body
``thkmesh-kicked-v1``     room, body; signed by the server, with the room's key
========================  ====================================================

Keys and signatures travel as unpadded base64url (RFC 4648, section 5). Signing
and verifying (RFC 8032) are done in the shells, by ``thkmesh.keys``.
"""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

__all__ = [
    "ID_LENGTH",
    "SessionKey",
    "decode_bytes",
    "encode_bytes",
    "hello_payload",
    "id_of_key",
    "is_id",
    "is_room",
    "is_sid",
    "kicked_payload",
    "proof_payload",
    "signal_payload",
    "signed_fields",
]

ID_LENGTH = 26

_ID = re.compile(r"[a-z2-7]{26}", re.ASCII)
_SID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_ROOM = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class SessionKey(NamedTuple):
    """Names one session; tuples of ASCII, so ``<`` orders alike everywhere.

    Of two sessions the lower is polite and makes the first offer.
    """

    id: str
    sid: str


def id_of_key(key: bytes) -> str:
    """Return the peer id of a 32-byte Ed25519 public key."""
    digest = hashlib.sha256(key).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:ID_LENGTH]


def is_id(text: str) -> bool:
    """Tell whether ``text`` has the form of a peer id."""
    return _ID.fullmatch(text) is not None


def is_sid(text: str) -> bool:
    """Tell whether ``text`` has the form of a session id."""
    return _SID.fullmatch(text) is not None


def is_room(text: str) -> bool:
    """Tell whether ``text`` may name a room: 1 to 64 of ``A-Za-z0-9._-``."""
    return _ROOM.fullmatch(text) is not None


def encode_bytes(data: bytes) -> str:
    """Return unpadded base64url text."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def decode_bytes(text: str, length: int) -> bytes | None:
    """Return ``length`` bytes from unpadded base64url text, None if it is not that.

    Only the canonical spelling is accepted, so equal bytes are equal text.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == length and encode_bytes(data) == text else None


def signed_fields(context: bytes, *fields: str) -> bytes:
    """Return a context, a zero byte, and each field behind its length."""
    parts = [context, b"\0"]
    for field in fields:
        data = field.encode()
        parts += (len(data).to_bytes(4, "big"), data)
    return b"".join(parts)


def hello_payload(room: str, key: SessionKey, public_key: str, body: str) -> bytes:
    """Return the bytes a peer signs to introduce itself to the room."""
    return signed_fields(b"thkmesh-hello-v1", room, key.id, key.sid, public_key, body)


def proof_payload(nonce: str, room: str, key: SessionKey) -> bytes:
    """Return the bytes a peer signs to show the server that it holds the key now."""
    return signed_fields(b"thkmesh-proof-v1", nonce, room, key.id, key.sid)


def signal_payload(room: str, source: SessionKey, to: SessionKey, seq: int, body: str) -> bytes:
    """Return the bytes a peer signs for one signal."""
    return signed_fields(
        b"thkmesh-signal-v1", room, source.id, source.sid, to.id, to.sid, str(seq), body
    )


def kicked_payload(room: str, body: str) -> bytes:
    """Return the bytes a server signs, with the room's key, to have a peer removed."""
    return signed_fields(b"thkmesh-kicked-v1", room, body)
