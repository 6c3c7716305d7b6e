"""What one client sends to the server, decoded at less cost from the second time on.

Half of what decoding a signal takes goes into three patterns: the room's name and the
two sids. But a client is in one room, in one session, and speaks with few others. So a
text is decoded without patterns first; if its signal names nothing but what stood in a
signal of the same client before, whose patterns were looked at, then it is well-formed.
Otherwise it is decoded anew, with all patterns. So the outcome is that of
``decode_to_server``, with one exception that hurts nobody: where a name stands twice in
an object, the quick way looks at the last alone, as ``JSON.parse`` does.

The body is no more than a string here: what is in it is between the clients.
"""

from functools import reduce
from typing import Any, cast, get_args

import msgspec
from msgspec import defstruct

from thkmesh.core.wire import AnySignal, Short, Signal, ToServer, decode_to_server

__all__ = ["EnvelopeDecoder"]

_KNOWN_LIMIT = 128
"""More names are forgotten, and looked at again: only a flood of them is that varied."""

_NAMES: list[tuple[str, object] | tuple[str, object, object]] = [
    ("room_id", Short),
    ("from_sid", Short, ""),
    ("to_sid", Short, ""),
]

_WITHOUT_PATTERNS: list[Any] = [
    defstruct(each.__name__, _NAMES, bases=(each,), frozen=True, tag=each.__struct_config__.tag)
    for each in get_args(AnySignal)
]

_quick: msgspec.json.Decoder[Signal] = msgspec.json.Decoder(
    reduce(lambda one, other: one | other, _WITHOUT_PATTERNS)
)


class EnvelopeDecoder:
    """Decodes what one client sends."""

    __slots__ = ("_rooms", "_sids")

    def __init__(self) -> None:
        self._rooms: set[str] = set()
        self._sids: set[str] = set()

    def decode(self, text: str) -> ToServer:
        """Do what ``decode_to_server`` does.

        Raises:
            UnknownType: its ``type`` is not one of ours; skip it.
            InvalidMessage: it is not JSON, or a field is missing or out of range.
        """
        rooms, sids = self._rooms, self._sids
        if rooms:
            try:
                signal = _quick.decode(text)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                return decode_to_server(text)
            if signal.room_id in rooms and signal.from_sid in sids and signal.to_sid in sids:
                return cast("AnySignal", signal)
        message = decode_to_server(text)
        if isinstance(message, Signal):
            if len(rooms) + len(sids) >= _KNOWN_LIMIT:
                rooms.clear()
                sids.clear()
            rooms.add(message.room_id)
            sids.update((message.from_sid, message.to_sid))
            sids.discard("")  # a sid may be missing, but not be empty
        return message
