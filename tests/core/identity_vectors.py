"""Golden vectors of identity: ids, forms, order, signed bytes, signatures.

``python -m tests.core.identity_vectors`` writes ``spec/vectors/identity.json``;
``spec/vectors/README.md`` describes it. Everything follows from the fixed seeds
below: Ed25519 signatures are deterministic (RFC 8032).
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from thkmesh.core.identity import (
    SessionKey,
    decode_bytes,
    encode_bytes,
    hello_payload,
    id_of_key,
    is_id,
    is_room,
    is_sid,
    kicked_payload,
    proof_payload,
    signal_payload,
)
from thkmesh.core.secret import is_secret, membership_key, membership_proof
from thkmesh.errors import InvalidArgument
from thkmesh.invitation import parse_link
from thkmesh.keys import Identity, verify

PATH = Path(__file__).parents[2] / "spec" / "vectors" / "identity.json"

SEEDS = tuple(hashlib.sha256(b"thkmesh vector %d" % number).digest() for number in range(4))
"""Of four peers that are nobody."""

RFC_8032_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
"""The first test vector of RFC 8032, section 7.1: the signature of nothing."""

SIDS = ("0000000000000000", "0123456789abcdef", "ffffffffffffffff")
ROOMS = ("lobby", "A.room_of-64" + "x" * 52)
BODIES = ("", "{}", '{"kind":"hello","name":"Zoë \U0001f98a"}', "\0", "line\r\nline", "é" * 300)
NONCE = "00112233445566778899aabbccddeeff"

DIGIT = "\N{ARABIC-INDIC DIGIT THREE}"
"""A digit for Unicode, and for careless patterns."""

FORMS: dict[str, tuple[Callable[[str], bool], tuple[str, ...]]] = {
    "id": (
        is_id,
        (
            *("a" * 26, "abcdefghijklmnopqrstuvwxyz", "a2b3c4d5e6f7" + "z" * 14),
            *("", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "1", "a" * 25 + "8"),
            *("a" * 25 + "\n", "a" * 26 + "\n", "a" * 25 + DIGIT),
        ),
    ),
    "sid": (
        is_sid,
        (
            *SIDS,
            *("", "0" * 15, "0" * 17, "ABCDEF0123456789", "0" * 15 + "g", "0" * 16 + "\n"),
            DIGIT * 16,
        ),
    ),
    "secret": (
        is_secret,
        (
            *("a" * 22, "Zz0_-" * 5, "x" * 128),
            *("", "a" * 21, "x" * 129, "a" * 22 + "\n", "a" * 21 + "=", "a b" * 8, DIGIT * 22),
        ),
    ),
    "room": (
        is_room,
        (
            *ROOMS,
            *("a", ".", "-", "_"),
            *("", "x" * 65, "a b", "a/b", "\u00e4", "lobby\n", DIGIT, "a\0"),
        ),
    ),
}

SECRETS = ("0123456789abcdefghijkl", "Zz0_-" * 25)

LINKS = (
    "https://host/",
    "https://host:8443/mesh/",
    "https://host/?identity=stable",
    "https://host/#lobby",
    f"https://host/#lobby&secret={SECRETS[0]}",
    f"https://host/mesh/#room=lobby&secret={SECRETS[1]}",
    f"https://host/?room=lobby#secret={SECRETS[0]}",
    f"https://host/?room=elsewhere&identity=stable#lobby&x=1&secret={SECRETS[0]}",
    "https://host/?room=lobby",
    "https://host/#lob%62y",
    "https://host/#lobby&secret=",
    "https://host/#lobby&secret=0123456789",
    f"https://host/#secret={SECRETS[0]}",
    "https://host/#a b",
    "https://host/#a%",
    "https://host/#!lobby",
    "https://host/#x=lobby",
    "https://host/?room=",
)
"""What leads into a room, and what only seems to."""

ENCODED = (
    ("", 0),
    ("AA", 1),
    ("_-8", 2),
    ("AAAA", 3),
    ("A", 0),
    ("AB", 1),  # not canonical: bits that no byte has
    ("AA==", 1),
    ("+/8", 2),
    ("AA A", 3),
    ("AAAA\n", 3),
    ("é", 1),
    ("AAAA", 2),
    ("A" * 43, 32),
    ("A" * 42 + "B", 32),
)


def text() -> str:
    """Return the file as it should be."""
    peers = [Identity.from_seed(seed) for seed in SEEDS]
    sections = {
        "ids": _ids(),
        "forms": _forms(),
        "bytes": _bytes(),
        "order": _order(peers),
        "payloads": _payloads(peers),
        "memberships": _memberships(peers),
        "links": [{"link": link, "leads": _leads(link)} for link in LINKS],
        "signatures": _signatures(peers),
        "forgeries": _forgeries(peers),
    }
    return json.dumps(sections, indent=1) + "\n"


def _ids() -> list[dict[str, object]]:
    keys = [bytes(32), bytes(range(32)), b"\xff" * 32]
    return [{"key": encode_bytes(key), "id": id_of_key(key)} for key in keys]


def _forms() -> dict[str, object]:
    return {
        name: {
            "valid": [example for example in examples if check(example)],
            "invalid": [example for example in examples if not check(example)],
        }
        for name, (check, examples) in FORMS.items()
    }


def _bytes() -> list[dict[str, object]]:
    decoded = [(example, length, decode_bytes(example, length)) for example, length in ENCODED]
    return [
        {"text": example, "length": length, "hex": None if data is None else data.hex()}
        for example, length, data in decoded
    ]


def _order(peers: list[Identity]) -> list[SessionKey]:
    return sorted(SessionKey(peer.id, sid) for peer in peers for sid in SIDS)


def _payloads(peers: list[Identity]) -> list[dict[str, object]]:
    me, other = peers[0], peers[1]
    who, to = SessionKey(me.id, SIDS[1]), SessionKey(other.id, SIDS[2])
    vectors: list[dict[str, object]] = []
    for room in ROOMS:
        common = {"room": room, "id": who.id, "sid": who.sid}
        proof = proof_payload(NONCE, room, who)
        vectors.append({"context": "proof", "nonce": NONCE, **common, "hex": proof.hex()})
        for body in BODIES:
            vectors.append(_kicked(room, body))
            hello = hello_payload(room, who, me.public_key, body)
            key = me.public_key
            vectors.append(
                {"context": "hello", **common, "key": key, "body": body, "hex": hello.hex()}
            )
            signal = signal_payload(room, who, to, 2**53 - 1, body)
            addressee = {"toId": to.id, "toSid": to.sid, "seq": 2**53 - 1}
            vectors.append(
                {"context": "signal", **common, **addressee, "body": body, "hex": signal.hex()}
            )
    return vectors


def _kicked(room: str, body: str) -> dict[str, object]:
    payload = kicked_payload(room, body)
    return {"context": "kicked", "room": room, "body": body, "hex": payload.hex()}


def _memberships(peers: list[Identity]) -> list[dict[str, object]]:
    who, public_key = SessionKey(peers[0].id, SIDS[1]), peers[0].public_key
    vectors: list[dict[str, object]] = []
    for room in ROOMS:
        for secret in SECRETS:
            key = membership_key(secret, room)
            proof = membership_proof(key, room, who, public_key)
            vectors.append(
                {
                    "room": room,
                    "secret": secret,
                    "key": key.hex(),
                    "id": who.id,
                    "sid": who.sid,
                    "publicKey": public_key,
                    "proof": proof,
                }
            )
    return vectors


def _leads(link: str) -> dict[str, str | None] | None:
    try:
        return parse_link(link)._asdict()
    except InvalidArgument:
        return None


def _signatures(peers: list[Identity]) -> list[dict[str, object]]:
    signed = [(RFC_8032_SEED, Identity.from_seed(RFC_8032_SEED), b"")]
    for seed, peer in zip(SEEDS, peers, strict=True):
        who = SessionKey(peer.id, SIDS[1])
        payload = hello_payload("lobby", who, peer.public_key, BODIES[2])
        signed.append((seed, peer, payload))
    return [
        {
            "seed": seed.hex(),
            "key": peer.public_key,
            "id": peer.id,
            "payload": payload.hex(),
            "signature": peer.sign(payload),
        }
        for seed, peer, payload in signed
    ]


def _forgeries(peers: list[Identity]) -> list[dict[str, object]]:
    """Return what must not verify."""
    me, other, payload = peers[0], peers[1], b"thkmesh"
    genuine = me.sign(payload)
    flipped = ("A" if genuine[0] != "A" else "B") + genuine[1:]
    forged = [
        ("another key", other.public_key, genuine, payload),
        ("another payload", me.public_key, genuine, payload + b"\0"),
        ("one bit", me.public_key, flipped, payload),
        ("a short signature", me.public_key, genuine[:-2], payload),
        ("a padded signature", me.public_key, genuine + "==", payload),
        ("a short key", me.public_key[:-1], genuine, payload),
        ("a key that is no point", encode_bytes(b"\x02" + bytes(31)), genuine, payload),
        ("nothing", "", "", b""),
    ]
    for why, key, signature, data in forged:
        assert not verify(key, signature, data), why
    return [
        {"why": why, "key": key, "signature": signature, "payload": data.hex()}
        for why, key, signature, data in forged
    ]


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
