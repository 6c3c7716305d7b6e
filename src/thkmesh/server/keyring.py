"""The keys that tokens are signed with, and signing and checking with them.

A token is a JSON Web Signature (RFC 7515) over its claims. Its header names a key by
``kid``, or none, which names the server's own secret. **The algorithm is the key's**: what
the header says of it is compared and never followed, so that neither ``none`` nor a public
key taken for a secret can pass (RFC 8725, sections 3.1 and 3.2). So is the audience: what is
signed for one purpose is worth nothing for another.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from thkmesh.core.grants import AUDIENCE, Claims, Denied, unauthorized
from thkmesh.errors import InvalidArgument

__all__ = [
    "SECRET_LEAST_BYTES",
    "TICKET_KID",
    "Key",
    "Keyring",
    "checked_secret",
    "key_of",
    "secret_of",
    "ticket_key",
]

TICKET_KID: Final = "thkmesh-ticket"
"""The key of tickets, which only servers have; their audience has the same name."""

SECRET_LEAST_BYTES: Final = 32
"""RFC 7518, section 3.2: a key of HS256 has at least as many bits as its hash."""

_RSA_LEAST_BITS: Final = 2048
_KID_LIMIT: Final = 128

Algorithm: TypeAlias = Literal["HS256", "RS256", "ES256", "EdDSA"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: a secret that signs and checks, or a public key that checks.

    Attributes:
        kid: what tokens call it; empty for the one that they need not name.
        algorithm: the only one that it is ever used with.
        audience: for whom what it signs has to be.
    """

    kid: str
    algorithm: Algorithm
    material: "bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey" = field(repr=False)
    audience: str = AUDIENCE

    def sign(self, claims: Claims) -> str:
        """Return a token.

        Raises:
            InvalidArgument: this is a public key.
        """
        if not isinstance(self.material, bytes):
            raise InvalidArgument("a public key checks tokens and cannot sign any")
        headers = {"kid": self.kid} if self.kid else None
        said = {name: value for name, value in msgspec.to_builtins(claims).items() if value}
        return jwt.encode(
            said | {"grants": claims.grants}, self.material, self.algorithm, headers=headers
        )


def secret_of(text: bytes) -> bytes:
    """Return the secret that a file or a variable holds: without the space around it.

    Raises:
        InvalidArgument: it is too short to be one.
    """
    return checked_secret(text.strip())


def checked_secret(secret: bytes) -> bytes:
    """Return a secret as it is, whatever bytes it has.

    Raises:
        InvalidArgument: it is too short to be one.
    """
    if len(secret) < SECRET_LEAST_BYTES:
        raise InvalidArgument(
            f"a secret has at least {SECRET_LEAST_BYTES} bytes, and this has {len(secret)}: "
            "`openssl rand -hex 32` makes one"
        )
    return secret


def key_of(kid: str, text: bytes, audience: str = AUDIENCE) -> Key:
    """Return the key that a file holds: a public key or certificate in PEM, else a secret.

    Raises:
        InvalidArgument: it is none that is good enough, or has no name.
    """
    if not (kid.isascii() and kid.isprintable() and 0 < len(kid) <= _KID_LIMIT):
        raise InvalidArgument(f"a key's name is 1 to {_KID_LIMIT} printable ASCII characters")
    if kid == TICKET_KID:
        raise InvalidArgument(f"the name {TICKET_KID} is taken")
    if b"-----BEGIN" not in text:
        return Key(kid, "HS256", secret_of(text), audience)
    certified = b"BEGIN CERTIFICATE" in text
    public: object
    try:
        public = (
            load_pem_x509_certificate(text).public_key() if certified else load_pem_public_key(text)
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidArgument(f"no public key in PEM: {error}"[:200]) from error
    match public:
        case RSAPublicKey() if public.key_size >= _RSA_LEAST_BITS:
            return Key(kid, "RS256", public, audience)
        case EllipticCurvePublicKey() if isinstance(public.curve, SECP256R1):
            return Key(kid, "ES256", public, audience)
        case Ed25519PublicKey():
            return Key(kid, "EdDSA", public, audience)
        case _:
            raise InvalidArgument("use RSA of 2048 bits or more, P-256, or Ed25519")


def ticket_key(secret: bytes) -> Key:
    """Return the key of tickets: no other token was ever signed by it."""
    derived = hmac.digest(secret, TICKET_KID.encode() + b"-v1", hashlib.sha256)
    return Key(TICKET_KID, "HS256", derived, TICKET_KID)


class Keyring:
    """All keys that tokens may be signed with."""

    def __init__(self, keys: Iterable[Key]) -> None:
        """Take them.

        Raises:
            InvalidArgument: two have the same name.
        """
        self._keys: dict[str, Key] = {}
        for key in keys:
            if key.kid in self._keys:
                raise InvalidArgument(f"two keys are called {key.kid!r}")
            self._keys[key.kid] = key
        self._checker = jwt.PyJWS(options={"verify_signature": True})

    def key_for(self, token: str) -> Key | None:
        """Return the key that a text asks to be checked with; None if it is no token of ours."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        kid = header.get("kid", "")
        return self._keys.get(kid) if isinstance(kid, str) else None

    def open(self, token: str, key: Key) -> bytes | Denied:
        """Return what a token says, if the key has signed it; never raises."""
        try:
            payload: bytes = self._checker.decode_complete(
                token, key.material, algorithms=[key.algorithm]
            )["payload"]
        except (jwt.PyJWTError, ValueError, RecursionError):
            return unauthorized("the token is not signed by a key of this server")
        return payload
