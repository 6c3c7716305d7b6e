"""The laws of deflated messages: smaller or as they are, and harmless whatever they expand to."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.deflate import PROBE_BYTES, THRESHOLD_BYTES, Deflated, deflate
from thkmesh.core.frames import DEFLATED, MESSAGE_LIMIT_BYTES, Kind, encode
from thkmesh.core.latest import unwrap
from thkmesh.core.packing import PLAIN, Packing
from thkmesh.errors import InvalidMessage
from thkmesh.events import Data

NOISE = random.Random(1).randbytes(100_000)
TEXT = b"so it goes, line after line. " * 1000


def raw(payload: bytes) -> bytes:
    """Return it deflated as much as it can be, by whoever means us ill."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(payload) + engine.flush()


@given(st.text(max_size=50), st.integers(1, 400))
def test_what_is_deflated_is_smaller_and_says_the_same(word: str, count: int) -> None:
    """Else it is sent as it is."""
    said: Data = [word for _ in range(count)]
    kind, payload = encode(said)
    small_kind, small = deflate(kind, payload)
    if small_kind == kind:
        assert small is payload
    else:
        assert small_kind == kind | DEFLATED
        assert len(small) * 8 < len(payload) * 7
        assert Deflated(kind, small).expand() == said


def test_only_what_may_pay_is_deflated() -> None:
    """Text and JSON above a size; bytes where they were to be; nothing where nothing was."""
    for kind in Kind:
        assert deflate(kind, TEXT[:THRESHOLD_BYTES], wanted=True)[0] == kind
        assert deflate(kind, TEXT, wanted=True)[0] == kind | DEFLATED
        assert deflate(kind, TEXT, wanted=False) == (kind, TEXT)
        assert (deflate(kind, TEXT)[0] == kind) == (kind is Kind.BYTES)
    assert PLAIN.pack(TEXT.decode())[0] == Kind.TEXT | DEFLATED
    assert PLAIN.pack(TEXT) == (Kind.BYTES, TEXT)


def test_a_beginning_that_does_not_shrink_ends_it() -> None:
    """What does not shrink as a whole is sent as it is, too."""
    for payload in (NOISE, NOISE[:PROBE_BYTES] + TEXT, NOISE[:2000]):
        assert deflate(Kind.BYTES, payload, wanted=True) == (Kind.BYTES, payload)
    mixed = TEXT[:PROBE_BYTES] + NOISE
    assert deflate(Kind.BYTES, mixed, wanted=True) == (Kind.BYTES, mixed)


def test_the_key_of_a_value_is_not_deflated() -> None:
    """Whoever keeps values must know which one it supersedes."""
    kind, value = Packing(latest=True).pack(TEXT.decode(), "key")
    key, payload = unwrap(value)
    assert (kind, key) == (Kind.TEXT | DEFLATED, "key")
    assert Deflated(Kind.TEXT, payload).expand() == TEXT.decode()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xff",
        raw(TEXT)[:-1],
        raw(TEXT) + b"\0",
        raw(bytes(MESSAGE_LIMIT_BYTES + 1)),
        raw(b"\xff"),
    ],
    ids=["empty", "nonsense", "cut off", "more behind it", "a bomb", "no text"],
)
def test_what_is_malformed_or_expands_to_too_much_is_refused(payload: bytes) -> None:
    """With no more memory than a message may have."""
    with pytest.raises(InvalidMessage):
        Deflated(Kind.TEXT, payload).expand()


def test_the_largest_message_expands() -> None:
    """The limit is that of what it says, not of what travels."""
    payload = raw(bytes(MESSAGE_LIMIT_BYTES))
    assert len(payload) < 10_000
    assert Deflated(Kind.BYTES, payload).expand() == bytes(MESSAGE_LIMIT_BYTES)
