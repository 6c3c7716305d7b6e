"""The laws of frames: what goes in comes out, and nothing else gets in."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.frames import (
    MESSAGE_LIMIT_BYTES,
    Bye,
    Content,
    Ping,
    Pong,
    decode,
    encode,
    encode_control,
)
from thkmesh.errors import InvalidArgument, InvalidMessage, MessageTooLarge

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(data=st.text() | st.binary() | json_values, direct=st.booleans())
def test_what_is_encoded_is_decoded(data: object, direct: bool) -> None:
    """A message comes out as it went in, with its type and address."""
    frame = encode(data, direct=direct)  # type: ignore[arg-type]
    content = decode(frame)
    assert isinstance(content, Content)
    assert content.data == data
    assert type(content.data) is type(data)
    assert content.direct is direct


@pytest.mark.parametrize("control", [Ping(1), Pong(2**40), Bye()])
def test_control_is_decoded(control: Ping | Pong | Bye) -> None:
    """A control message comes out as it went in."""
    assert decode(encode_control(control)) == control


def test_bytes_like_is_sent_as_bytes() -> None:
    """A bytearray and a memoryview arrive as bytes."""
    for data in (bytearray(b"ab"), memoryview(b"ab")):
        assert decode(encode(data)) == Content(b"ab", direct=False)


def test_a_tuple_arrives_as_a_list() -> None:
    """JSON has one kind of sequence."""
    assert decode(encode((1, 2))) == Content([1, 2], direct=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        math.nan,
        math.inf,
        [2**53],
        -(2**53),
        {1: "x"},
        {"a": object()},
        {"a": {1, 2}},
        "\ud800",
        {"\ud800": 1},
        ["\udfff"],
        object(),
    ],
)
def test_what_the_other_language_cannot_hold_is_refused(data: object) -> None:
    """Not JSON in both languages: a typed error at the sender, nothing sent."""
    with pytest.raises(InvalidArgument):
        encode(data)  # type: ignore[arg-type]


def test_nesting_is_bounded() -> None:
    """JSON deeper than 64 is refused before it can exhaust the other's stack."""
    deep: object = 1
    for _ in range(65):
        deep = [deep]
    encode(deep[0])  # type: ignore[index]
    with pytest.raises(InvalidArgument, match="deeper"):
        encode([deep])  # type: ignore[list-item]


@pytest.mark.parametrize("data", ["x", b"x"], ids=["text", "bytes"])
def test_the_limit_is_exact(data: str | bytes) -> None:
    """A payload of 65,536 bytes passes, one more is MessageTooLarge."""
    content = decode(encode(data * MESSAGE_LIMIT_BYTES))
    assert isinstance(content, Content)
    with pytest.raises(MessageTooLarge):
        encode(data * (MESSAGE_LIMIT_BYTES + 1))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x01",
        b"\x02\x00text",
        b"\x01\x00\xff",
        b"\x01\x02{",
        b"\x01\x02NaN",
        b"\x01\x02" + b"[" * 60_000,
        b"\x01\x04",
        b"\x01\x3f",
        b"\x01\x03[]",
        b"\x01\x03{",
        b"\x01\x03\xff",
        b"\x01\x01" + bytes(MESSAGE_LIMIT_BYTES + 1),
    ],
)
def test_malformed_frames_are_refused(frame: bytes) -> None:
    """What does not follow the protocol raises InvalidMessage and nothing else."""
    with pytest.raises(InvalidMessage):
        decode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x01\x80",
        b"\x01\xff???",
        b'\x01\x03{"type":"new"}',
        b"\x01\x03{}",
        b'\x01\x03{"type":"ping","n":-1}',
        b'\x01\x03{"type":"ping","n":9007199254740992}',
    ],
)
def test_what_may_be_skipped_is_skipped(frame: bytes) -> None:
    """Kinds from 0x80 and control messages of a later version are no error."""
    assert decode(frame) is None


@given(frame=st.binary(max_size=64) | st.binary(max_size=64).map(lambda rest: b"\x01" + rest))
def test_any_bytes_are_decoded_or_refused(frame: bytes) -> None:
    """No bytes a peer can send raise anything but InvalidMessage."""
    with contextlib.suppress(InvalidMessage):
        decode(frame)
