"""Ed25519 keys (RFC 8032): the one place that does cryptography on identities."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature as _Invalid
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from thkmesh.core.identity import decode_bytes, encode_bytes, id_of_key
from thkmesh.errors import InvalidArgument

__all__ = ["Identity", "verify"]

_KEY_BYTES = 32
_SIGNATURE_BYTES = 64


class Identity:
    """A peer's key pair; ``id`` is the hash of its public half."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Wrap a private key; use ``generate`` or ``load``."""
        self._private = private
        public = private.public_key().public_bytes_raw()
        self.public_key = encode_bytes(public)
        self.id = id_of_key(public)

    @classmethod
    def generate(cls) -> "Identity":
        """Return a fresh identity that lives as long as the process."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> "Identity":
        """Return the identity of a 32-byte RFC 8032 seed."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path) -> "Identity":
        """Return the identity kept in a file, made (mode 0600) if it is missing.

        Raises:
            InvalidArgument: the file is not one of ours (43 characters of base64url).
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            text = path.read_text(encoding="ascii", errors="replace").strip()
            seed = decode_bytes(text, _KEY_BYTES)
            if seed is None:
                message = f"{path} is not a key file: it should hold 43 base64url characters"
                raise InvalidArgument(message) from None
            return cls.from_seed(seed)
        seed = os.urandom(_KEY_BYTES)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(encode_bytes(seed) + "\n")
        return cls.from_seed(seed)

    def sign(self, payload: bytes) -> str:
        """Return the signature of ``payload``, 86 characters of base64url."""
        return encode_bytes(self._private.sign(payload))

    def verify(self, public_key: str, signature: str, payload: bytes) -> bool:
        """Tell whether ``signature`` is that key's over ``payload``; never raises."""
        return verify(public_key, signature, payload)


def verify(public_key: str, signature: str, payload: bytes) -> bool:
    """Tell whether ``signature`` is that key's over ``payload``; never raises."""
    key = decode_bytes(public_key, _KEY_BYTES)
    raw = decode_bytes(signature, _SIGNATURE_BYTES)
    if key is None or raw is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(raw, payload)
    except (_Invalid, ValueError):
        return False
    return True
