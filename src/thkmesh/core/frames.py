"""What one datagram on a data channel says.

A datagram is the version, 1, and any number of frames behind it; a number is a
varint (see ``varint``).

===========  ====================================================================
first byte   the frame
===========  ====================================================================
0x00 - 0x07  a fragment of a message: stream, number, length, payload. Bits 0 and
             1 are the message's kind, 0 text, 1 bytes, 2 JSON; bit 2 is set on
             its last fragment
0x40         control: length, and a small JSON object (``ping``, ``pong``, ``bye``)
0x41         acknowledgement: how many, and for each a stream and the number of
             the fragment that is expected next
0x42         resume: how many streams the sender has, and for each its id, the
             number of the first fragment that is owed, and how many messages
             came before that; then an acknowledgement
0x43         skip: stream, the number of the next fragment that will come, and
             how many messages came before it
0x80 - 0xFF  length, and what may be skipped by who does not know it
===========  ====================================================================

Anything else, and what is cut off, is an error, and the connection is replaced.
Streams are ``BROADCAST`` and ``DIRECT``; what they promise is in ``streams``.

JSON here is what both languages agree on (I-JSON, RFC 7493): no NaN or infinity,
no lone surrogates, integers within ±(2**53 - 1), string keys.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from thkmesh.core import varint
from thkmesh.core.ijson import encode_json
from thkmesh.errors import InvalidArgument, InvalidMessage, MessageTooLarge
from thkmesh.events import Data

__all__ = [
    "BROADCAST",
    "DIRECT",
    "FRAGMENT_BYTES",
    "MESSAGE_LIMIT_BYTES",
    "Ack",
    "Begin",
    "Bye",
    "Control",
    "Fragment",
    "Frame",
    "Kind",
    "Ping",
    "Pong",
    "Resume",
    "Skip",
    "content",
    "datagram",
    "encode",
    "fragment",
    "parse",
]

VERSION: Final = b"\x01"
BROADCAST: Final = 0
DIRECT: Final = 1
_STREAMS: Final = 2

MESSAGE_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""The largest message."""

FRAGMENT_BYTES: Final = 60 * 1024
"""The largest fragment: any way takes it, with what stands around it."""

DATAGRAM_LIMIT_BYTES: Final = 64 * 1024
"""The largest datagram."""

_LAST: Final = 0x04
_CONTROL: Final = 0x40
_ACK: Final = 0x41
_RESUME: Final = 0x42
_SKIP: Final = 0x43
_SKIPPABLE: Final = 0x80


class Kind(IntEnum):
    """The kinds of message."""

    TEXT = 0
    BYTES = 1
    JSON = 2


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


class Fragment(msgspec.Struct, frozen=True, gc=False):
    """A part of a message, or the whole of a small one."""

    stream: int
    number: int
    kind: int
    last: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """By stream, the number of the fragment that is expected next."""

    expected: dict[int, int]


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a stream begins for its receiver: a number, and the messages before it."""

    number: int
    messages: int


@dataclass(frozen=True, slots=True)
class Resume:
    """A new connection: where each stream began, and what is expected of yours."""

    begins: dict[int, Begin]
    expected: dict[int, int]


@dataclass(frozen=True, slots=True)
class Skip:
    """What lies before a place in a stream will not come any more."""

    stream: int
    to: Begin


Frame: TypeAlias = Fragment | Control | Ack | Resume | Skip

_control_encoder = msgspec.json.Encoder()
_json: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder()
_control: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)

# --- messages -------------------------------------------------------------------


def encode(data: "Data | bytearray | memoryview") -> tuple[Kind, bytes]:
    """Return the kind and the payload of a message.

    Raises:
        InvalidArgument: it is neither text, bytes nor a JSON value.
        MessageTooLarge: its payload is over ``MESSAGE_LIMIT_BYTES``.
    """
    if isinstance(data, str):
        kind = Kind.TEXT
        try:
            payload = data.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument("text has lone surrogates and cannot be sent") from error
    elif isinstance(data, bytes | bytearray | memoryview):
        kind, payload = Kind.BYTES, bytes(data)
    else:
        kind, payload = Kind.JSON, encode_json(data)
    if len(payload) > MESSAGE_LIMIT_BYTES:
        message = f"{len(payload)} bytes; a message may have {MESSAGE_LIMIT_BYTES}"
        raise MessageTooLarge(message)
    return kind, payload


def content(kind: int, payload: bytes) -> Data:
    """Return what a message says.

    Raises:
        InvalidMessage: it is malformed.
    """
    try:
        match kind:
            case Kind.TEXT:
                return payload.decode()
            case Kind.BYTES:
                return payload
            case _:
                data: Data = _json.decode(payload)
                return data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(f"a malformed message of kind {kind}: {error}") from None


# --- frames ---------------------------------------------------------------------


def fragment(stream: int, number: int, kind: int, payload: bytes, *, last: bool) -> bytes:
    """Return the frame of a fragment."""
    head = bytes((kind | _LAST if last else kind, stream))
    return b"".join((head, varint.write(number), varint.write(len(payload)), payload))


def datagram(*frames: Frame) -> bytes:
    """Return a datagram of frames."""
    return VERSION + b"".join(map(_frame, frames))


def _frame(frame: Frame) -> bytes:
    match frame:
        case Fragment(stream=stream, number=number, kind=kind, last=last, payload=payload):
            return fragment(stream, number, kind, payload, last=last)
        case Ack(expected=expected):
            return _numbers(_ACK, len(expected), *_flat(expected))
        case Resume(begins=begins, expected=expected):
            starts = [each for s, at in begins.items() for each in (s, at.number, at.messages)]
            return _numbers(_RESUME, len(begins), *starts, len(expected), *_flat(expected))
        case Skip(stream=stream, to=to):
            return _numbers(_SKIP, stream, to.number, to.messages)
        case _:
            text = _control_encoder.encode(frame)
            return _numbers(_CONTROL, len(text)) + text


def _flat(expected: dict[int, int]) -> Iterable[int]:
    return (each for pair in expected.items() for each in pair)


def _numbers(head: int, *numbers: int) -> bytes:
    return bytes((head,)) + b"".join(map(varint.write, numbers))


def parse(data: bytes) -> Iterator[Frame]:
    """Yield what a datagram says, frame by frame; what may be skipped is left out.

    Raises:
        InvalidMessage: it does not follow the protocol; what came before that counts.
    """
    if data[:1] != VERSION:
        raise InvalidMessage(f"a datagram of version {data[0]}" if data else "an empty datagram")
    if len(data) > DATAGRAM_LIMIT_BYTES:
        raise InvalidMessage(f"a datagram of {len(data)} bytes")
    at, end = 1, len(data)
    while at < end:
        head = data[at]
        if head < _CONTROL:
            stream, at = _stream(data, at + 1)
            number, at = varint.read(data, at)
            payload, at = _sized(data, at)
            kind = head & ~_LAST
            if kind > Kind.JSON:
                raise InvalidMessage(f"a fragment of unknown kind {kind}")
            yield Fragment(stream, number, kind, head != kind, payload)
        elif head >= _SKIPPABLE:
            _, at = _sized(data, at + 1)
        elif head == _CONTROL:
            text, at = _sized(data, at + 1)
            control = _decode_control(text)
            if control is not None:
                yield control
        else:
            frame, at = _bookkeeping(head, data, at + 1)
            yield frame


def _stream(data: bytes, at: int) -> tuple[int, int]:
    stream, at = varint.read(data, at)
    if stream >= _STREAMS:
        raise InvalidMessage(f"an unknown stream, {stream}")
    return stream, at


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the bytes whose length stands at a place, and where they end."""
    length, at = varint.read(data, at)
    if at + length > len(data):
        raise InvalidMessage("a frame that is cut off")
    return data[at : at + length], at + length


def _bookkeeping(head: int, data: bytes, at: int) -> tuple[Frame, int]:
    match head:
        case 0x41:
            expected, at = _expected(data, at)
            return Ack(expected), at
        case 0x42:
            begins: dict[int, Begin] = {}
            count, at = varint.read(data, at)
            if count > _STREAMS:
                raise InvalidMessage(f"{count} streams")
            for _ in range(count):
                stream, at = _stream(data, at)
                begins[stream], at = _begin(data, at)
            expected, at = _expected(data, at)
            return Resume(begins, expected), at
        case 0x43:
            stream, at = _stream(data, at)
            to, at = _begin(data, at)
            return Skip(stream, to), at
        case _:
            raise InvalidMessage(f"a frame of unknown kind {head}")


def _begin(data: bytes, at: int) -> tuple[Begin, int]:
    number, at = varint.read(data, at)
    messages, at = varint.read(data, at)
    return Begin(number, messages), at


def _expected(data: bytes, at: int) -> tuple[dict[int, int], int]:
    expected: dict[int, int] = {}
    count, at = varint.read(data, at)
    if count > _STREAMS:
        raise InvalidMessage(f"{count} streams")
    for _ in range(count):
        stream, at = _stream(data, at)
        expected[stream], at = varint.read(data, at)
    return expected, at


def _decode_control(payload: bytes) -> Control | None:
    try:
        value = _json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(f"a malformed control message: {error}") from None
    if not isinstance(value, dict):
        raise InvalidMessage("a control message that is no object")
    try:
        return _control.decode(payload)
    except msgspec.ValidationError:
        return None
