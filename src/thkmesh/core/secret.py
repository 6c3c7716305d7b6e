"""The secret of a private room, and how a hello proves that its peer knows it.

A server introduces whomever it likes. In a room with a secret that is not enough: each
hello carries, in its signed body, an HMAC-SHA-256 (RFC 2104) over the room, the id, the
sid and the key that it introduces, in the form of all that is signed (see ``identity``).
The key of the HMAC is made of the secret and the room's name by HKDF (RFC 5869, without
salt). The secret itself stands in a link behind ``#``, which browsers send to nobody.

A proof is worth nothing to who sees it: it is of one key alone. But who sees one can try
secrets against it, and HKDF takes no time. So a secret is no password: it is drawn, from
``SECRET_BYTES`` of randomness, never thought up.
"""

import hashlib
import hmac
import re
from typing import Final

from thkmesh.core.identity import SessionKey, encode_bytes, signed_fields

__all__ = [
    "RULE",
    "SECRET_BYTES",
    "derived_key",
    "is_secret",
    "membership_key",
    "membership_proof",
    "proves",
]

SECRET_BYTES: Final = 16
"""So much randomness a secret is made of: 22 characters of base64url."""

RULE: Final = (
    "a secret has 22 to 128 of A-Z a-z 0-9 _ - and is drawn at random, not thought up: use one "
    "of new_secret()"
)

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{22,128}", re.ASCII)
_BLOCK: Final = hashlib.sha256().digest_size


def is_secret(text: str) -> bool:
    """Tell whether ``text`` has the form of a secret."""
    return _SECRET.fullmatch(text) is not None


def derived_key(secret: bytes, info: bytes) -> bytes:
    """Return 32 bytes of HKDF-SHA-256 without salt: one block of RFC 5869, section 2.3."""
    extracted = hmac.digest(bytes(_BLOCK), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def membership_key(secret: str, room: str) -> bytes:
    """Return what proofs of a room with that secret are made with."""
    return derived_key(secret.encode(), signed_fields(b"thkmesh-membership-v1", room))


def membership_proof(key: bytes, room: str, who: SessionKey, public_key: str) -> str:
    """Return the proof that a session's peer knows the secret, 43 characters of base64url."""
    payload = signed_fields(b"thkmesh-member-v1", room, who.id, who.sid, public_key)
    return encode_bytes(hmac.digest(key, payload, "sha256"))


def proves(proof: str, key: bytes, room: str, who: SessionKey, public_key: str) -> bool:
    """Tell whether that is the proof."""
    expected = membership_proof(key, room, who, public_key)
    return hmac.compare_digest(expected.encode(), proof.encode())
