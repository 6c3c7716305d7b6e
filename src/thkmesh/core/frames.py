"""What one datagram on a data channel says.

A datagram is the version, 1, and any number of frames behind it; a number is a
varint (see ``varint``).

===========  ====================================================================
first byte   the frame
===========  ====================================================================
0x00 - 0x1f  a fragment of a message: stream, number, length, payload. Bits 0 and
             1 are the message's kind, 0 text, 1 bytes, 2 JSON, 3 a piece of a
             streamed message (see ``pieces``); bit 2 is set on its last fragment, bit 3
             if the message is deflated (see ``deflate``), bit 4 on its first where they
             come in any order
0x40         control: length, and a small JSON object (``ping``, ``pong``, ``bye``,
             ``signal``, ``kicked``)
0x41         acknowledgement: how many, and for each a stream, the number of the
             fragment that is expected next, and the position up to which
             fragments may be sent
0x42         resume: as an acknowledgement, of all streams of the other side
0x43         skip: stream, and the place where it goes on
0x44         name: channel, delivery rule, its name, and for each of its two
             streams the place where what is owed begins
0x45         listen: how often that changed, how many, and the names of all channels
             that are listened to
0x46         lossy: a kind as of a fragment, with bit 2 set if a report is wanted, stream,
             number, how many before it may still come, length, payload. Kind 3 has
             neither length nor payload: nothing before that number will come
0x47         report: stream, the number that is expected next, length, and a bit for each
             number behind that, the lowest first: set if it has come
0x80 - 0xFF  length, and what may be skipped by who does not know it
===========  ====================================================================

Anything else, and what is cut off, is an error, and the connection is replaced.
A channel has two streams, one to everybody and one to a single session, numbered
``2 * channel`` and one more; those of the room itself are ``BROADCAST`` and ``DIRECT``.
What they promise is in ``streams``. A place in a stream is three numbers (``Begin``).

JSON here is what both languages agree on (I-JSON, RFC 7493): no NaN or infinity,
no lone surrogates, integers within ±(2**53 - 1), string keys.
"""

import re
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
    "CHANNEL_LIMIT",
    "CHANNEL_NAME",
    "DEFLATED",
    "DIRECT",
    "FORWARD",
    "FRAGMENT_BYTES",
    "LEAST_FRAGMENT_BYTES",
    "LOSSY_LIMIT_BYTES",
    "MESSAGE_LIMIT_BYTES",
    "OVERHEAD_BYTES",
    "REPORT_BITS",
    "Ack",
    "Begin",
    "Bye",
    "Control",
    "Fragment",
    "Frame",
    "Kicked",
    "Kind",
    "Listen",
    "Lossy",
    "Name",
    "Ping",
    "Pong",
    "Report",
    "Resume",
    "Signal",
    "Skip",
    "Want",
    "Wants",
    "content",
    "datagram",
    "encode",
    "fragment",
    "parse",
    "write",
]

VERSION: Final = b"\x01"
BROADCAST: Final = 0
DIRECT: Final = 1

CHANNEL_LIMIT: Final = 256
"""So many channels a session has at most, that of the room itself included."""

CHANNEL_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a channel's name looks like; the room's own has none."""

MESSAGE_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""The largest message."""

FRAGMENT_BYTES: Final = 60 * 1024
"""The largest fragment: any way takes it, with what stands around it."""

LEAST_FRAGMENT_BYTES: Final = 8 * 1024
"""Messages are cut no finer than this."""

OVERHEAD_BYTES: Final = 64
"""What an empty fragment counts, so that a million of them are not free."""

LOSSY_LIMIT_BYTES: Final = 1100
"""The largest message that need not arrive: it fits one packet."""

REPORT_BITS: Final = 256
"""So many numbers behind the one that is expected a report tells of at most."""

FORWARD: Final = 3
"""In place of a kind: no message, only that nothing before will come."""

DATAGRAM_LIMIT_BYTES: Final = 64 * 1024
"""The largest datagram."""

DEFLATED: Final = 0x08
"""What is added to the kind of a message that is deflated."""

_LAST: Final = 0x04
_FIRST: Final = 0x10
_WANTED: Final = 0x04
_CONTROL: Final = 0x40
_ACK: Final = 0x41
_RESUME: Final = 0x42
_SKIP: Final = 0x43
_NAME: Final = 0x44
_LISTEN: Final = 0x45
_LOSSY: Final = 0x46
_REPORT: Final = 0x47
_SKIPPABLE: Final = 0x80


class Kind(IntEnum):
    """The kinds of message."""

    TEXT = 0
    BYTES = 1
    JSON = 2
    PIECE = 3
    """A part of a message that is handed on as it comes."""


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


class Signal(_Record, frozen=True, tag="signal"):
    """What also goes through the server, where that may not come: see ``sequencing``."""

    seq: _Count
    ack: _Count
    body: str


class Kicked(_Record, frozen=True, tag="kicked"):
    """What a server said of who is removed from the room, passed on: see ``expulsion``."""

    body: str
    signature: str


Control: TypeAlias = Ping | Pong | Bye | Signal | Kicked


class Fragment(msgspec.Struct, frozen=True, gc=False):
    """A part of a message, or the whole of a small one."""

    stream: int
    number: int
    kind: int
    last: bool
    payload: bytes
    first: bool = False
    """Set on the first fragment of a message, where they come in any order."""


class Lossy(msgspec.Struct, frozen=True, gc=False):
    """A message that need not arrive.

    Attributes:
        floor: the lowest number that may still come.
        kind: as of a fragment, or ``FORWARD``.
        report: its sender wants to know what has come.
    """

    stream: int
    number: int
    floor: int
    kind: int
    payload: bytes
    report: bool


class Begin(msgspec.Struct, frozen=True, gc=False):
    """A place in a stream.

    Attributes:
        number: that of the next fragment.
        messages: how many end before it.
        position: how many bytes lie before it, with ``OVERHEAD_BYTES`` for each fragment.
    """

    number: int
    messages: int
    position: int


class Want(msgspec.Struct, frozen=True, gc=False):
    """What a receiver wants of a stream: what comes next, and how far it may go.

    Attributes:
        number: that of the fragment which is expected next.
        limit: no fragment may end behind this position.
    """

    number: int
    limit: int


Wants: TypeAlias = dict[int, Want]
"""What is wanted, by stream."""


@dataclass(frozen=True, slots=True)
class Ack:
    """What has arrived, and how much more may come."""

    wants: Wants


@dataclass(frozen=True, slots=True)
class Resume:
    """A new connection: what is expected of yours."""

    wants: Wants


@dataclass(frozen=True, slots=True)
class Skip:
    """What lies before a place in a stream will not come any more."""

    stream: int
    to: Begin


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a channel of the sender, and where its streams begin for its receiver."""

    channel: int
    rule: int
    name: str
    everybody: Begin
    alone: Begin


@dataclass(frozen=True, slots=True)
class Listen:
    """All channels that the sender wants to hear of, beside the room's own.

    ``revision``: how often that has changed. Over two paths an older one may come later.
    """

    names: tuple[str, ...]
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What has come of messages that need not arrive.

    Attributes:
        stream: which.
        expected: nothing before this number is wanted any more.
        later: what has come behind it, in order; at most ``REPORT_BITS`` behind.
    """

    stream: int
    expected: int
    later: tuple[int, ...]


Frame: TypeAlias = Fragment | Control | Ack | Resume | Skip | Name | Listen | Lossy | Report

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


def fragment(
    stream: int, number: int, kind: int, payload: bytes, *, last: bool, first: bool = False
) -> bytes:
    """Return the frame of a fragment."""
    flags = (_LAST if last else 0) | (_FIRST if first else 0)
    head = bytes((kind | flags,)) + varint.write(stream)
    return b"".join((head, varint.write(number), varint.write(len(payload)), payload))


def datagram(*frames: Frame) -> bytes:
    """Return a datagram of frames."""
    return VERSION + b"".join(map(write, frames))


def write(frame: Frame) -> bytes:
    """Return the bytes of a frame."""
    match frame:
        case Fragment(stream=stream, number=number, kind=kind, last=last, payload=payload):
            return fragment(stream, number, kind, payload, last=last, first=frame.first)
        case Lossy():
            return _write_lossy(frame)
        case Report():
            return _write_report(frame)
        case Ack(wants=wants):
            return _numbers(_ACK, len(wants), *_flat(wants))
        case Resume(wants=wants):
            return _numbers(_RESUME, len(wants), *_flat(wants))
        case Skip(stream=stream, to=to):
            return _numbers(_SKIP, stream, *_place(to))
        case Name(channel=channel, rule=rule, name=name, everybody=everybody, alone=alone):
            places = b"".join(map(varint.write, (*_place(everybody), *_place(alone))))
            return _numbers(_NAME, channel, rule) + _text(name) + places
        case Listen(names=names, revision=revision):
            return _numbers(_LISTEN, revision, len(names)) + b"".join(map(_text, names))
        case _:
            text = _control_encoder.encode(frame)
            return _numbers(_CONTROL, len(text)) + text


def _write_lossy(frame: Lossy) -> bytes:
    flags = frame.kind | (_WANTED if frame.report else 0)
    before = frame.number - frame.floor
    head = bytes((_LOSSY, flags)) + varint.write(frame.stream) + varint.write(frame.number)
    if frame.kind == FORWARD:
        return head + varint.write(before)
    size = len(frame.payload)
    return b"".join((head, varint.write(before), varint.write(size), frame.payload))


def _write_report(report: Report) -> bytes:
    bits = sum(1 << (number - report.expected - 1) for number in report.later)
    came = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    return _numbers(_REPORT, report.stream, report.expected, len(came)) + came


def _flat(wants: Wants) -> Iterable[int]:
    return (each for stream, want in wants.items() for each in (stream, want.number, want.limit))


def _place(place: Begin) -> tuple[int, int, int]:
    return place.number, place.messages, place.position


def _text(name: str) -> bytes:
    return varint.write(len(name)) + name.encode()


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
            kind = head & ~_LAST & ~_FIRST
            if kind > Kind.PIECE and kind & ~DEFLATED > Kind.JSON:
                raise InvalidMessage(f"a fragment of unknown kind {kind}")
            last, first = head & _LAST != 0, head & _FIRST != 0
            yield Fragment(stream, number, kind, last, payload, first)
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
    if stream >= 2 * CHANNEL_LIMIT:
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
            wants, at = _wants(data, at)
            return Ack(wants), at
        case 0x42:
            wants, at = _wants(data, at)
            return Resume(wants), at
        case 0x43:
            stream, at = _stream(data, at)
            to, at = _begin(data, at)
            return Skip(stream, to), at
        case 0x44:
            return _naming(data, at)
        case 0x45:
            revision, at = varint.read(data, at)
            count, at = _count(data, at, CHANNEL_LIMIT - 1)
            names: list[str] = []
            for _ in range(count):
                name, at = _name(data, at)
                names.append(name)
            return Listen(tuple(names), revision), at
        case 0x46:
            return _lossy(data, at)
        case 0x47:
            return _report(data, at)
        case _:
            raise InvalidMessage(f"a frame of unknown kind {head}")


def _lossy(data: bytes, at: int) -> tuple[Lossy, int]:
    flags, at = _count(data, at, _WANTED | FORWARD)
    stream, at = _stream(data, at)
    number, at = varint.read(data, at)
    before, at = _count(data, at, number)
    kind, report = flags & ~_WANTED, flags & _WANTED != 0
    payload = b""
    if kind != FORWARD:
        payload, at = _sized(data, at)
    if len(payload) > LOSSY_LIMIT_BYTES:
        raise InvalidMessage(f"a lossy message of {len(payload)} bytes")
    return Lossy(stream, number, number - before, kind, payload, report), at


def _report(data: bytes, at: int) -> tuple[Report, int]:
    stream, at = _stream(data, at)
    expected, at = varint.read(data, at)
    came, at = _sized(data, at)
    if 8 * len(came) > REPORT_BITS:
        raise InvalidMessage(f"a report of {len(came)} bytes")
    bits = int.from_bytes(came, "little")
    later = [expected + 1 + each for each in range(8 * len(came)) if bits >> each & 1]
    return Report(stream, expected, tuple(later)), at


def _naming(data: bytes, at: int) -> tuple[Name, int]:
    channel, at = _count(data, at, CHANNEL_LIMIT - 1)
    rule, at = varint.read(data, at)
    if channel:
        name, at = _name(data, at)
    else:
        empty, at = _sized(data, at)
        if empty or rule:
            raise InvalidMessage("a name for the room itself")
        name = ""
    everybody, at = _begin(data, at)
    alone, at = _begin(data, at)
    return Name(channel, rule, name, everybody, alone), at


def _name(data: bytes, at: int) -> tuple[str, int]:
    text, at = _sized(data, at)
    name = text.decode("latin-1")
    if not CHANNEL_NAME.fullmatch(name):
        raise InvalidMessage(f"{name!r:.80} is no name of a channel")
    return name, at


def _begin(data: bytes, at: int) -> tuple[Begin, int]:
    number, at = varint.read(data, at)
    messages, at = varint.read(data, at)
    position, at = varint.read(data, at)
    return Begin(number, messages, position), at


def _count(data: bytes, at: int, limit: int) -> tuple[int, int]:
    count, at = varint.read(data, at)
    if count > limit:
        raise InvalidMessage(f"{count}, where {limit} is the most")
    return count, at


def _wants(data: bytes, at: int) -> tuple[Wants, int]:
    wants: Wants = {}
    count, at = _count(data, at, 2 * CHANNEL_LIMIT)
    for _ in range(count):
        stream, at = _stream(data, at)
        number, at = varint.read(data, at)
        limit, at = varint.read(data, at)
        wants[stream] = Want(number, limit)
    return wants, at


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
