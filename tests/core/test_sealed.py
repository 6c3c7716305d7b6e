"""The form of sealed frames; what is in them, tests/test_sealing.py has."""

import pytest

from thkmesh.core.identity import SessionKey
from thkmesh.core.sealed import (
    RELAY_LIMIT_BYTES,
    UnknownVersion,
    additional_data,
    addressed,
    addressee,
    claimed,
    key_info,
    nonce,
)
from thkmesh.errors import InvalidMessage

ADA = SessionKey("a" * 26, "0123456789abcdef")
BOB = SessionKey("b" * 26, "fedcba9876543210")
LEAST = bytes(8 + 16)


def test_a_frame_names_a_session() -> None:
    """What is addressed is read again, whatever stands behind."""
    for rest in (LEAST, bytes(range(200)), bytes(RELAY_LIMIT_BYTES - 43)):
        assert addressee(addressed(ADA, rest)) == (ADA, rest)
        assert claimed(addressed(ADA, rest)) == ADA


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x02" + addressed(ADA, LEAST)[1:],
    ],
)
def test_another_version_is_told_apart(frame: bytes) -> None:
    """It is none of ours, so nothing in it can be malformed."""
    with pytest.raises(UnknownVersion):
        addressee(frame)
    assert claimed(frame) is None


@pytest.mark.parametrize(
    "frame",
    [
        addressed(ADA, LEAST[1:]),
        addressed(ADA, bytes(RELAY_LIMIT_BYTES - 42)),
        b"\x01" + b"1" * 26 + addressed(ADA, LEAST)[27:],
        addressed(SessionKey(ADA.id, "g" * 16), LEAST),
        b"\x01" + b"\xff" * 200,
    ],
)
def test_a_malformed_frame_is_refused(frame: bytes) -> None:
    """Too short, too long, or naming what is no session."""
    with pytest.raises(InvalidMessage) as refused:
        addressee(frame)
    assert not isinstance(refused.value, UnknownVersion)


def test_each_direction_room_and_pair_has_its_own_words() -> None:
    """Nothing that is derived or authenticated is the same for any two of them."""
    infos = {
        key_info(room, *one, *other)
        for room in ("a", "b")
        for one, other in (((ADA, "K"), (BOB, "L")), ((BOB, "L"), (ADA, "K")))
    }
    data = {additional_data(room, *pair) for room in "ab" for pair in ((ADA, BOB), (BOB, ADA))}
    assert len(infos) == len(data) == 4
    assert not infos & data
    assert nonce(b"\x00" * 7 + b"\x05") == bytes(11) + b"\x05"
