"""The laws of JSON that two languages hold alike."""

import math

import pytest

from thkmesh.core.ijson import encode_json
from thkmesh.errors import InvalidArgument


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
        {"\ud800": 1},
        ["\udfff"],
        object(),
    ],
)
def test_what_the_other_language_cannot_hold_is_refused(data: object) -> None:
    """Not JSON in both languages: a typed error at the sender, nothing sent."""
    with pytest.raises(InvalidArgument):
        encode_json(data)


def test_nesting_is_bounded() -> None:
    """JSON deeper than 64 is refused before it can exhaust the other's stack."""
    deep: object = 1
    for _ in range(65):
        deep = [deep]
    encode_json(deep[0])  # type: ignore[index]
    with pytest.raises(InvalidArgument, match="deeper"):
        encode_json([deep])
