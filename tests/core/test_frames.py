"""The laws of frames: what goes in comes out, and nothing else gets in."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.frames import (
    FORWARD,
    LOSSY_LIMIT_BYTES,
    MESSAGE_LIMIT_BYTES,
    REPORT_BITS,
    Ack,
    Begin,
    Bye,
    Fragment,
    Frame,
    Kind,
    Listen,
    Lossy,
    Name,
    Ping,
    Pong,
    Report,
    Resume,
    Skip,
    Want,
    content,
    datagram,
    encode,
    parse,
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
numbers = st.integers(0, 2**53 - 1)
streams = st.integers(0, 511)
begins = st.builds(Begin, numbers, numbers, numbers)
wants = st.dictionaries(streams, st.builds(Want, numbers, numbers))
names = st.text("abcXYZ019._-", min_size=1, max_size=64)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        Fragment,
        streams,
        numbers,
        st.integers(0, 2),
        last=st.booleans(),
        payload=st.binary(),
        first=st.booleans(),
    ),
    st.builds(
        lambda stream, floor, before, kind, payload, report: Lossy(
            stream, floor + before, floor, kind, payload if kind != FORWARD else b"", report
        ),
        streams,
        st.integers(0, 2**52),
        st.integers(0, 2**52 - 1),
        st.integers(0, 3),
        st.binary(max_size=LOSSY_LIMIT_BYTES),
        st.booleans(),
    ),
    st.builds(
        lambda stream, expected, later: Report(
            stream, expected, tuple(expected + each for each in sorted(later))
        ),
        streams,
        st.integers(0, 2**52),
        st.sets(st.integers(1, REPORT_BITS)),
    ),
    st.builds(Ack, wants),
    st.builds(Resume, wants),
    st.builds(Skip, streams, begins),
    st.builds(Name, st.integers(1, 255), numbers, names, begins, begins),
    st.builds(Name, st.just(0), st.just(0), st.just(""), begins, begins),
    st.lists(names).map(tuple).map(Listen),
    st.builds(Ping, numbers),
    st.builds(Pong, numbers),
    st.just(Bye()),
)

# --- messages -------------------------------------------------------------------


@given(data=st.text() | st.binary() | json_values)
def test_what_is_encoded_is_decoded(data: object) -> None:
    """A message comes out as it went in, with its type."""
    decoded = content(*encode(data))  # type: ignore[arg-type]
    assert decoded == data
    assert type(decoded) is type(data)


def test_bytes_like_is_sent_as_bytes() -> None:
    """A bytearray and a memoryview arrive as bytes."""
    for data in (bytearray(b"ab"), memoryview(b"ab")):
        assert encode(data) == (Kind.BYTES, b"ab")


def test_a_tuple_arrives_as_a_list() -> None:
    """JSON has one kind of sequence."""
    assert content(*encode((1, 2))) == [1, 2]  # type: ignore[arg-type]


@pytest.mark.parametrize("data", ["\ud800", ["\udfff"], object()])
def test_what_cannot_be_sent_is_refused(data: object) -> None:
    """Text with lone surrogates, and what is no message: a typed error, nothing sent."""
    with pytest.raises(InvalidArgument):
        encode(data)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", ["x", b"x"], ids=["text", "bytes"])
def test_the_limit_is_exact(data: str | bytes) -> None:
    """A payload of 8 MiB passes, one byte more is MessageTooLarge."""
    assert len(encode(data * MESSAGE_LIMIT_BYTES)[1]) == MESSAGE_LIMIT_BYTES == 8_388_608
    with pytest.raises(MessageTooLarge):
        encode(data * (MESSAGE_LIMIT_BYTES + 1))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.TEXT, b"\xff"),
        (Kind.JSON, b"{"),
        (Kind.JSON, b"NaN"),
        (Kind.JSON, b"[" * 60_000),
        (Kind.JSON, b"\xff"),
    ],
)
def test_malformed_messages_are_refused(kind: int, payload: bytes) -> None:
    """What is no text, or no JSON, raises InvalidMessage and nothing else."""
    with pytest.raises(InvalidMessage):
        content(kind, payload)


# --- frames ---------------------------------------------------------------------


@given(sent=st.lists(frames, max_size=8))
def test_frames_come_out_as_they_went_in(sent: list[Frame]) -> None:
    """Any number of them in one datagram."""
    assert list(parse(datagram(*sent))) == sent


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02",
        b"\x01\x0b\x00\x00\x00",
        b"\x01\x04\x80\x04\x00\x00",
        b"\x01\x04\x00",
        b"\x01\x04\x00\x00",
        b"\x01\x04\x00\x00\x05abcd",
        b"\x01\x3f\x00\x00\x00",
        b"\x01\x40\x02[]",
        b"\x01\x40\x01{",
        b"\x01\x40\x01\xff",
        b"\x01\x40\x09{}",
        b"\x01\x41\x81\x04",
        b"\x01\x41\x01\x80\x04\x00\x00",
        b"\x01\x41\x01\x00\x00",
        b"\x01\x42\x01",
        b"\x01\x43\x80\x04\x00\x00\x00",
        b"\x01\x43\x00\x00\x00",
        b"\x01\x44\x80\x02\x00\x01x" + bytes(6),
        b"\x01\x44\x01\x00\x00" + bytes(6),
        b"\x01\x44\x01\x00\x01/" + bytes(6),
        b"\x01\x44\x01\x00\x41" + b"x" * 65 + bytes(6),
        b"\x01\x44\x00\x00\x01x" + bytes(6),
        b"\x01\x44\x00\x01\x00" + bytes(6),
        b"\x01\x44\x01\x00\x01x" + bytes(5),
        b"\x01\x45\x80\x02",
        b"\x01\x45\x01\x01\xff",
        b"\x01\x23\x00\x00\x00",
        b"\x01\x46",
        b"\x01\x46\x08\x00\x00\x00\x00",
        b"\x01\x46\x00\x80\x04\x00\x00\x00",
        b"\x01\x46\x00\x00\x01\x02\x00",
        b"\x01\x46\x00\x00\x01\x01\x01",
        b"\x01\x46\x00\x00\x00\x00\xcd\x08" + bytes(1101),
        b"\x01\x47\x00\x00",
        b"\x01\x47\x00\x00\x21" + bytes(33),
        b"\x01\x48",
        b"\x01\x80",
        b"\x01\x80\x05abc",
        b"\x01\x01\x00\x00\x80\x80\x04" + bytes(65_536),
        b"\x01\x40\x80\xea\x03" + b"[" * 62_720,
    ],
)
def test_malformed_datagrams_are_refused(data: bytes) -> None:
    """What does not follow the protocol raises InvalidMessage and nothing else."""
    with pytest.raises(InvalidMessage):
        list(parse(data))


def test_what_came_before_the_fault_counts() -> None:
    """Frames are handed out one by one."""
    found = parse(datagram(Ping(1), Bye()) + b"\x46")
    assert (next(found), next(found)) == (Ping(1), Bye())
    with pytest.raises(InvalidMessage):
        next(found)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x00",
        b"\xff\x03???",
        b'\x40\x0e{"type":"new"}',
        b"\x40\x02{}",
        b'\x40\x16{"type":"ping","n":-1}',
        b'\x40\x24{"type":"ping","n":9007199254740992}',
    ],
)
def test_what_may_be_skipped_is_skipped(data: bytes) -> None:
    """Frames from 0x80 and control messages of a later version are no error."""
    assert list(parse(b"\x01" + data + datagram(Bye())[1:])) == [Bye()]


@given(data=st.binary(max_size=64) | st.binary(max_size=64).map(lambda rest: b"\x01" + rest))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    """No bytes a peer can send raise anything but InvalidMessage."""
    with contextlib.suppress(InvalidMessage):
        for frame in parse(data):
            if isinstance(frame, Fragment):
                content(frame.kind, frame.payload)
