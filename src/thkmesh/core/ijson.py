"""JSON that Python and JavaScript both hold exactly (I-JSON, RFC 7493).

No NaN or infinity, no lone surrogates, integers within ±(2**53 - 1), text for
keys, and no deeper nesting than both can bear.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final, cast

import msgspec

from thkmesh.errors import InvalidArgument

__all__ = ["encode_json"]

_LARGEST_INTEGER: Final = 2**53 - 1
_DEEPEST: Final = 64

_encoder = msgspec.json.Encoder()


def _check_json(value: object, depth: int = 0) -> None:
    """Refuse what the other language could not hold; see the module's text."""
    if value is None or isinstance(value, bool | str):
        return
    if depth > _DEEPEST:
        message = f"JSON nested deeper than {_DEEPEST}: send it as text"
        raise InvalidArgument(message)
    match value:
        case int():
            if abs(value) > _LARGEST_INTEGER:
                message = f"{value} is beyond 2**53 - 1: send it as text"
                raise InvalidArgument(message)
        case float():
            if not math.isfinite(value):
                message = f"{value} is not JSON: send None or text"
                raise InvalidArgument(message)
        case list() | tuple():
            for item in cast("Iterable[object]", value):
                _check_json(item, depth + 1)
        case dict():
            for key, item in cast("Mapping[object, object]", value).items():
                if not isinstance(key, str):
                    message = f"JSON keys are text, not {type(key).__name__}"
                    raise InvalidArgument(message)
                _check_json(item, depth + 1)
        case _:
            message = f"a message is str, bytes or a JSON value, not {type(value).__name__}"
            raise InvalidArgument(message)


def encode_json(value: object) -> bytes:
    """Return the JSON text of a value both languages can hold.

    Raises:
        InvalidArgument: it has something in it that they cannot.
    """
    _check_json(value)
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as error:
        message = "text has lone surrogates and cannot be sent"
        raise InvalidArgument(message) from error
