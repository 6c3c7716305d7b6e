"""Golden vectors of sealing: keys agreed, frames sealed, and what must be refused.

``python -m tests.sealing_vectors`` writes ``spec/vectors/sealing.json``;
``spec/vectors/README.md`` describes it. All keys come from fixed seeds, and nonces are
counters, so sealing is deterministic here.
"""

import hashlib
import json
from pathlib import Path

from thkmesh.core.identity import SessionKey, encode_bytes
from thkmesh.errors import PeerError
from thkmesh.sealing import Sealer

__all__ = ["LOW_ORDER", "PATH", "ROOM", "SESSIONS", "sealers", "seed_of", "text"]

PATH = Path(__file__).parents[1] / "spec" / "vectors" / "sealing.json"

ROOM = "lobby"
SESSIONS = tuple(SessionKey(letter * 26, f"{number:016x}") for number, letter in enumerate("abc"))

LOW_ORDER = tuple(
    encode_bytes(bytes.fromhex(point))
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
"""Points with which every secret is zero (RFC 7748, section 6.1; cr.yp.to/ecdh.html)."""

DATAGRAMS = (b"", b"\x01", b"hello", bytes(range(256)), b"\0" * 1000)


def seed_of(number: int) -> bytes:
    """Return what a session's key is made of."""
    return hashlib.sha256(b"thkmesh sealing %d" % number).digest()


def sealers() -> list[Sealer]:
    """Return everybody's sealer, with keys agreed between the first two."""
    made = [Sealer(ROOM, key, seed_of(number)) for number, key in enumerate(SESSIONS)]
    assert made[0].agree(SESSIONS[1], made[1].public_key)
    assert made[1].agree(SESSIONS[0], made[0].public_key)
    return made


def _as_passed_on(frame: bytes, source: SessionKey) -> bytes:
    """Do the server's part."""
    return frame[:1] + f"{source.id}{source.sid}".encode() + frame[43:]


def _flipped(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


def _refusals(good: bytes) -> list[dict[str, object]]:
    """Return frames for the second session that it must refuse, ``good`` being the first."""
    third = Sealer(ROOM, SESSIONS[2], seed_of(2))
    first = sealers()[0]
    third.agree(SESSIONS[1], sealers()[1].public_key)
    foreign = third.seal(SESSIONS[1], b"unknown")
    elsewhere = Sealer("elsewhere", SESSIONS[0], seed_of(0))
    elsewhere.agree(SESSIONS[1], sealers()[1].public_key)
    other_room = elsewhere.seal(SESSIONS[1], b"from elsewhere")
    assert foreign is not None
    assert other_room is not None
    first.agree(SESSIONS[2], third.public_key)
    to_another = first.seal(SESSIONS[2], b"to another")
    assert to_another is not None
    frames = {
        "replayed": good,
        "from who has no keys": _as_passed_on(foreign, SESSIONS[2]),
        "in the name of another": _as_passed_on(foreign, SESSIONS[0]),
        "of another room": _as_passed_on(other_room, SESSIONS[0]),
        "for another": _as_passed_on(to_another, SESSIONS[0]),
        "another counter": _flipped(good, 50),
        "another text": _flipped(good, 51),
        "another tag": _flipped(good, len(good) - 1),
        "cut off": good[:-1],
        "empty": b"",
        "of another version": b"\x02" + good[1:],
        "too short": good[: 43 + 8 + 15],
        "too large": good + bytes(65_536),
        "naming nobody": good[:1] + b"1" * 26 + good[27:],
        "of no session": good[:27] + b"G" * 16 + good[43:],
        "all of one byte": b"\x01" * 100,
    }
    refused: list[dict[str, object]] = []
    for why, frame in frames.items():
        receiver = sealers()[1]
        receiver.open(good)
        try:
            receiver.open(frame)
        except PeerError as error:
            shown: object = (
                frame.hex() if len(frame) < 2000 else {"hex": good.hex(), "zeros": 65_536}
            )
            refused.append({"why": why, "frame": shown, "error": type(error).__name__})
        else:
            raise AssertionError(why)
    return refused


def text() -> str:
    """Return the file's text."""
    made = sealers()
    sealed: list[dict[str, object]] = []
    for datagram in DATAGRAMS:
        for source, to in ((0, 1), (1, 0)):
            frame = made[source].seal(SESSIONS[to], datagram)
            assert frame is not None
            passed = _as_passed_on(frame, SESSIONS[source])
            assert made[to].open(passed) == (SESSIONS[source], datagram)
            sealed.append(
                {
                    "from": source,
                    "to": to,
                    "datagram": datagram.hex(),
                    "frame": frame.hex(),
                    "passedOn": passed.hex(),
                }
            )
    first = sealers()[0].seal(SESSIONS[1], b"hello")
    assert first is not None
    good = _as_passed_on(first, SESSIONS[0])
    vectors = {
        "room": ROOM,
        "sessions": [
            {
                "session": ".".join(key),
                "seed": seed_of(number).hex(),
                "publicKey": made[number].public_key,
            }
            for number, key in enumerate(SESSIONS)
        ],
        "sealed": sealed,
        "good": good.hex(),
        "refused": _refusals(good),
        "notKeys": ["", "AAAA", "!" * 43, *LOW_ORDER],
    }
    return json.dumps(vectors, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
