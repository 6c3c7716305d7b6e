"""Signatures whose truth is known, because they were made here.

Most of what a simulated room would compute is whether signatures are true. In a
world whose keys all live in one process, a signature that one of them has made need
not be looked into: it is true. Any other is looked into as ever, so that a forged
one is found out just the same.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from thkmesh.keys import Identity, verify

__all__ = ["KnownIdentity", "Notary"]

_REMEMBERED = 4096


class Notary:
    """Remembers what was signed."""

    def __init__(self) -> None:
        """Begin without any signature."""
        # Signature to key and payload; the oldest is forgotten.
        self._made: dict[str, tuple[str, bytes]] = {}

    def note(self, public_key: str, signature: str, payload: bytes) -> None:
        """Take note of a signature that was just made."""
        self._made[signature] = (public_key, payload)
        if len(self._made) > _REMEMBERED:
            del self._made[next(iter(self._made))]

    def verify(self, public_key: str, signature: str, payload: bytes) -> bool:
        """Tell whether ``signature`` is that key's over ``payload``; see ``keys.verify``."""
        if self._made.get(signature) == (public_key, payload):
            return True
        return verify(public_key, signature, payload)


class KnownIdentity(Identity):
    """An identity that signs before a notary, and asks it about others."""

    def __init__(self, seed: bytes, notary: Notary) -> None:
        """Be the identity of a 32-byte seed (RFC 8032)."""
        super().__init__(Ed25519PrivateKey.from_private_bytes(seed))
        self._notary = notary

    def sign(self, payload: bytes) -> str:
        """Return the signature of ``payload``, and let the notary know of it."""
        signature = super().sign(payload)
        self._notary.note(self.public_key, signature, payload)
        return signature

    def verify(self, public_key: str, signature: str, payload: bytes) -> bool:
        """Tell whether ``signature`` is that key's over ``payload``; never raises."""
        return self._notary.verify(public_key, signature, payload)
