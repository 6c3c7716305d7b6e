"""What one datagram on a data channel says.

====  ===============================================================
byte  meaning
====  ===============================================================
0     version, 1
1     kind: 0 text, 1 bytes, 2 JSON, 3 control; bit 0x40 is set where
      a message was sent to this peer alone, and not to the whole room
2...  payload: UTF-8 text, bytes, or JSON; up to 65,536 bytes
====  ===============================================================

Kinds from 0x80 may be skipped by who does not know them; any other unknown kind
or version is an error, and the link is replaced. Control payloads are small JSON
objects (``ping``, ``pong``, ``bye``); unknown ones are skipped.

JSON here is what both languages agree on (I-JSON, RFC 7493): no NaN or infinity,
no lone surrogates, integers within ±(2**53 - 1), string keys.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Final, TypeAlias, cast

import msgspec

from thkmesh.errors import InvalidArgument, InvalidMessage, MessageTooLarge
from thkmesh.events import Data

__all__ = [
    "MESSAGE_LIMIT_BYTES",
    "Bye",
    "Content",
    "Control",
    "Kind",
    "Ping",
    "Pong",
    "decode",
    "encode",
    "encode_control",
]

VERSION: Final = 1
MESSAGE_LIMIT_BYTES: Final = 64 * 1024
_DIRECT: Final = 0x40
_SKIPPABLE: Final = 0x80
_HEADER_BYTES: Final = 2
_LARGEST_INTEGER: Final = 2**53 - 1
_DEEPEST: Final = 64


class Kind(IntEnum):
    """The kinds of frame."""

    TEXT = 0
    BYTES = 1
    JSON = 2
    CONTROL = 3


@dataclass(frozen=True, slots=True)
class Content:
    """An application message."""

    data: Data
    direct: bool


_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Record(msgspec.Struct, frozen=True, tag_field="type"):
    """A control message; ``type`` on the wire is its tag."""


class Ping(_Record, frozen=True, tag="ping"):
    """Are you there?"""

    n: _Count


class Pong(_Record, frozen=True, tag="pong"):
    """The answer to the ping of that number."""

    n: _Count


class Bye(_Record, frozen=True, tag="bye"):
    """I am leaving the room; nothing more comes."""


Control: TypeAlias = Ping | Pong | Bye

_encoder = msgspec.json.Encoder()
_json: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder()
_control: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


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


def encode(data: "Data | bytearray | memoryview", *, direct: bool = False) -> bytes:
    """Return the frame of a message.

    Raises:
        InvalidArgument: it is neither text, bytes nor a JSON value.
        MessageTooLarge: its payload is over ``MESSAGE_LIMIT_BYTES``.
    """
    if isinstance(data, str):
        kind = Kind.TEXT
        try:
            payload = data.encode()
        except UnicodeEncodeError as error:
            message = "text has lone surrogates and cannot be sent"
            raise InvalidArgument(message) from error
    elif isinstance(data, bytes | bytearray | memoryview):
        kind, payload = Kind.BYTES, bytes(data)
    else:
        kind, payload = Kind.JSON, encode_json(data)
    if len(payload) > MESSAGE_LIMIT_BYTES:
        message = f"{len(payload)} bytes; a message may have {MESSAGE_LIMIT_BYTES}"
        raise MessageTooLarge(message)
    return bytes((VERSION, kind | _DIRECT if direct else kind)) + payload


def encode_control(control: Control) -> bytes:
    """Return the frame of a control message."""
    return bytes((VERSION, Kind.CONTROL)) + _encoder.encode(control)


def decode(frame: bytes) -> Content | Control | None:
    """Return what a frame says; None where it may be skipped.

    Raises:
        InvalidMessage: it does not follow the protocol.
    """
    if len(frame) < _HEADER_BYTES or frame[0] != VERSION:
        message = f"a frame of version {frame[0]}" if frame else "an empty frame"
        raise InvalidMessage(message)
    if len(frame) > _HEADER_BYTES + MESSAGE_LIMIT_BYTES:
        message = f"a frame of {len(frame)} bytes"
        raise InvalidMessage(message)
    kind, direct = frame[1] & ~_DIRECT, bool(frame[1] & _DIRECT)
    payload = frame[_HEADER_BYTES:]
    try:
        match kind:
            case Kind.TEXT:
                return Content(payload.decode(), direct)
            case Kind.BYTES:
                return Content(payload, direct)
            case Kind.JSON:
                return Content(_json.decode(payload), direct)
            case Kind.CONTROL:
                return _decode_control(payload)
            case _:
                pass
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"a malformed frame of kind {kind}: {error}"
        raise InvalidMessage(message) from None
    if kind & _SKIPPABLE:
        return None
    message = f"a frame of unknown kind {kind}"
    raise InvalidMessage(message)


def _decode_control(payload: bytes) -> Control | None:
    try:
        return _control.decode(payload)
    except msgspec.ValidationError:
        if isinstance(_json.decode(payload), dict):
            return None
        raise
