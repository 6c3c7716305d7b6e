"""The scripts that Redis runs for us, what they answer, and what they publish.

Each script is one step: nobody sees Redis between its first command and its last. A
published payload is text, its fields on lines, the last one any text; or what several
sessions of a node are sent, in MessagePack, behind a ``P``. An ``L`` is a sign of life, which
each node is sent when it renews its lease.
"""

from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from thkmesh.core.identity import SessionKey
from thkmesh.core.room_events import News
from thkmesh.core.shared_events import (
    Came,
    Join,
    Joined,
    Looked,
    Member,
    Post,
    Posted,
    Told,
    Verdict,
    Went,
)

__all__ = [
    "CHANNEL",
    "SCRIPTS",
    "Script",
    "counted",
    "joined",
    "looked",
    "news",
    "posted",
    "renewed",
]

CHANNEL: Final = "thkmesh:n:"
"""Stands before a node's name in the name of its channel."""

Script: TypeAlias = Literal[
    "join", "depart", "away", "entrust", "tell", "look", "create", "listed", "hub", "renew", "bury"
]
_NAMES: Final[tuple[Script, ...]] = (
    "join",
    "depart",
    "away",
    "entrust",
    "tell",
    "look",
    "create",
    "listed",
    "hub",
    "renew",
    "bury",
)

_folder = files("thkmesh.server.broker")
_common = (_folder / "common.lua").read_text("utf-8")

SCRIPTS: Final[dict[Script, tuple[str, str]]] = {}
"""The text of each script, and the name that Redis gives it."""

for _name in _NAMES:
    _text = _common + (_folder / f"{_name}.lua").read_text("utf-8")
    SCRIPTS[_name] = (_text, sha1(_text.encode(), usedforsecurity=False).hexdigest())

_Reply: TypeAlias = Any
"""What a script returns, as redis-py has it: lists, bytes, integers."""

_encode_posts = msgspec.msgpack.Encoder().encode
_decode_posts = msgspec.msgpack.Decoder(list[Post]).decode


def posted(posts: list[Post]) -> bytes:
    """Return the payload that carries messages to sessions of one node."""
    return b"P" + _encode_posts(posts)


def _member(id: str, value: str, now_ms: int) -> Member:
    since, words = int(value[33:46]), value[46:]
    age = max(0.0, (now_ms - since) / 1000)
    return Member(id, value[:16], value[16:32], value[32] == "a", age, words)


def _members(flat: list[bytes], now_ms: int) -> tuple[Member, ...]:
    texts = [each.decode() for each in flat]
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return tuple(_member(id, value, now_ms) for id, value in pairs)


def joined(join: Join, reply: _Reply) -> Joined:
    """Return what ``join`` has answered."""
    verdict, version, now_ms, flat, waiting = reply
    return Joined(
        join.ticket,
        join.room,
        join.key,
        cast("Verdict", verdict.decode()),
        version,
        _members(flat, now_ms),
        tuple(text.decode() for text in waiting),
    )


def looked(room: str, reply: _Reply) -> tuple[Looked | None, bool]:
    """Return what ``look`` has answered, None for no room, and whether it is listed."""
    exists, version, now_ms, flat, listed = reply
    found = Looked(room, version, _members(flat, now_ms))
    return (found if exists else None), bool(listed)


def renewed(reply: _Reply) -> tuple[str, bool, list[str]]:
    """Return what ``renew`` has answered: epoch, whether we were known, who is dead."""
    epoch, known, dead = reply
    return epoch.decode(), bool(known), [node.decode() for node in dead]


def counted(reply: _Reply) -> list[tuple[str, int]]:
    """Return what ``listed`` has answered: rooms, and how many are there."""
    return [(name.decode(), count) for name, count in zip(reply[::2], reply[1::2], strict=True)]


def news(payload: bytes) -> News | None:
    """Return what was published to a node; None for a sign of life."""
    if payload[:1] == b"P":
        return Posted(_decode_posts(memoryview(payload)[1:]))
    kind, _, rest = payload.decode().partition("\n")
    match kind:
        case "C":
            room, version, now_ms, id, value = rest.split("\n", 4)
            return Came(room, int(version), _member(id, value, int(float(now_ms))))
        case "W":
            room, version, id, sid, reason = rest.split("\n", 4)
            why = cast("Literal['left', 'timeout', 'replaced']", reason)
            return Went(room, int(version), SessionKey(id, sid), why)
        case "S":
            room, id, sid, text = rest.split("\n", 3)
            return Posted((Post(room, id, sid, text),))
        case "T":
            return Told(*rest.split("\n", 1))
        case _:
            return None
