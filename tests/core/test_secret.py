"""The secret of a private room, and what proves that it is known."""

import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from tests.core.identity_vectors import PATH
from thkmesh import new_secret
from thkmesh.core.identity import SessionKey, encode_bytes, signed_fields
from thkmesh.core.secret import derived_key, is_secret, membership_key, membership_proof, proves

VECTORS: list[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))["memberships"]


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_keys_are_derived_as_the_rfc_says(secret: bytes, info: bytes) -> None:
    """As another implementation of HKDF does, without salt."""
    assert derived_key(secret, info) == HKDF(SHA256(), 32, None, info).derive(secret)


def test_a_proof_is_over_all_that_is_introduced() -> None:
    """The room, the session and the key, by HMAC-SHA-256."""
    for each in VECTORS:
        key, who = bytes.fromhex(each["key"]), SessionKey(each["id"], each["sid"])
        assert key == membership_key(each["secret"], each["room"])
        fields = signed_fields(b"thkmesh-member-v1", each["room"], *who, each["publicKey"])
        proof = membership_proof(key, each["room"], who, each["publicKey"])
        digest = hmac.new(key, fields, hashlib.sha256).digest()
        assert proof == each["proof"] == encode_bytes(digest)
        assert proves(proof, key, each["room"], who, each["publicKey"])


def test_a_proof_is_of_nobody_else() -> None:
    """Whatever of it differs, it proves nothing; nor does what is no proof."""
    key, who, public = membership_key("s" * 22, "lobby"), SessionKey("a" * 26, "0" * 16), "k" * 43
    proof = membership_proof(key, "lobby", who, public)
    assert not proves(proof, membership_key("t" * 22, "lobby"), "lobby", who, public)
    assert not proves(proof, membership_key("s" * 22, "other"), "lobby", who, public)
    assert not proves(proof, key, "other", who, public)
    assert not proves(proof, key, "lobby", SessionKey("b" * 26, who.sid), public)
    assert not proves(proof, key, "lobby", SessionKey(who.id, "1" * 16), public)
    assert not proves(proof, key, "lobby", who, "l" * 43)
    for nothing in ("", proof[:-1], proof + "=", "\N{GRINNING FACE}"):
        assert not proves(nothing, key, "lobby", who, public)


def test_secrets_are_drawn_and_differ() -> None:
    """Each has the form of one, and no two are the same."""
    drawn = {new_secret() for _ in range(100)}
    assert len(drawn) == 100
    assert all(map(is_secret, drawn))
