"""The laws of numbers on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core import varint
from thkmesh.errors import InvalidMessage


@given(number=st.integers(0, 2**53 - 1), before=st.binary(max_size=3), after=st.binary(max_size=3))
def test_what_is_written_is_read(number: int, before: bytes, after: bytes) -> None:
    """A number comes out as it went in, and its end is found, whatever stands around it."""
    written = varint.write(number)
    data = before + written + after
    assert varint.read(data, len(before)) == (number, len(before) + len(written))
    assert len(written) <= 8


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\xff" * 7,
        b"\xff" * 7 + b"\x7f",
        b"\x80" * 7 + b"\x10",
        b"\xff" * 9,
        b"\x80" * 8,
    ],
)
def test_what_is_no_number_is_refused(data: bytes) -> None:
    """Cut off, too long, or beyond 2**53 - 1."""
    with pytest.raises(InvalidMessage):
        varint.read(data, 0)


def test_the_largest_number_passes() -> None:
    """2**53 - 1 is what both languages hold exactly."""
    assert varint.read(varint.write(2**53 - 1), 0) == (2**53 - 1, 8)
