"""Keys and tokens, right and wrong, as somebody who attacks a server would make them."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from thkmesh.core.grants import AUDIENCE, OPEN, Claims
from thkmesh.server.clock import today
from thkmesh.server.gate import Asked, Verdict
from thkmesh.server.keyring import Key

SECRET = b"a secret of the tests, of 32 bytes and more"
MODERATOR = "who shows that may remove others"
ALL = ("join", "send", "relay", "create", "kick", "list")


def b64(data: bytes | dict[str, object]) -> str:
    """Return bytes, or an object in JSON, as tokens have it."""
    raw = json.dumps(data).encode() if isinstance(data, dict) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(room: str = "lobby", **changes: object) -> dict[str, object]:
    """Return claims that admit, but for the changes; ``...`` takes one out."""
    now = today()
    right = {
        "aud": AUDIENCE,
        "exp": now + 600,
        "nbf": now,
        "room": room,
        "grants": list(ALL),
    }
    return {name: value for name, value in (right | changes).items() if value is not ...}


def token(said: dict[str, object] | None = None, secret: bytes = SECRET, **header: object) -> str:
    """Return a token signed by HMAC, whatever its header says."""
    head = {"alg": "HS256", "typ": "JWT"} | header
    signed = f"{b64(head)}.{b64(claims() if said is None else said)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def minted(
    room: str = "lobby",
    grants: tuple[str, ...] = ALL,
    ttl: float = 600,
    sub: str = "",
    secret: bytes = SECRET,
) -> str:
    """Return a token as the server's own tool makes it."""
    now = today()
    said = Claims(aud=AUDIENCE, exp=now + ttl, nbf=now, room=room, grants=grants, sub=sub)
    return Key("", "HS256", secret).sign(said)


async def moderated(asked: Asked) -> Verdict:
    """Let in everybody, and let who shows ``MODERATOR`` remove others."""
    return ALL if asked.token == MODERATOR else OPEN


@dataclass
class Signer:
    """A pair of keys of one algorithm, whose public half the server knows."""

    kid: str
    algorithm: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey = field(
        repr=False
    )

    @property
    def pem(self) -> bytes:
        """The public key, in PEM."""
        return self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )


def signers() -> list[Signer]:
    """Return one of each algorithm."""
    return [
        Signer("rsa", "RS256", rsa.generate_private_key(65537, 2048)),
        Signer("ec", "ES256", ec.generate_private_key(ec.SECP256R1())),
        Signer("ed", "EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ]
