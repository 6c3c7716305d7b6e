"""Golden vectors of chat: what a message is worth, and what a screen shows of a text.

``python -m tests.apps.chat_vectors`` writes ``spec/vectors/chat.json``;
``spec/vectors/README.md`` describes it. A chat in a simulated room is the judge.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from thkmesh import Room
from thkmesh.apps.chat import PLAIN_LIMIT, Chat, ChatEntry, ChatMessage, TypingChanged, displayed
from thkmesh.testing import World

PATH = Path(__file__).parents[2] / "spec" / "vectors" / "chat.json"
ROOM = "room_xyz789_1234567890"

CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"colour": "green"},
    {"authorName": "Bob"},
    {"authorName": ""},
    {"authorName": ["Ada"]},
    {"authorId": "a" * 26},
    {"authorId": None},
    {"roomId": "another"},
    {"roomId": 5},
    {"content": ""},
    {"content": "line\nbreak \U0001f600"},
    {"content": 5},
    {"content": None},
    {"content": ["text"]},
    {"id": ""},
    {"id": "\U0001f600" * 128},
    {"id": "x" * 129},
    {"id": 7},
    {"type": "chat-Message"},
    {"type": ["chat-message"]},
    {"type": None},
    *(
        {"timestamp": timestamp}
        for timestamp in (
            "2025-11-21T09:55:00Z",
            "2025-11-21t09:55:00.5z",
            "2025-11-21 09:55:00.123456Z",
            "2025-11-21T09:55:00+01:30",
            "2025-11-21T09:55:00-0130",
            "2025-11-21T09:55:00-00:00",
            "2024-02-29T23:59:59.999+23:59",
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00-14:00",
            "9999-12-31T23:59:59.999Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "0000-06-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-11-00T00:00:00Z",
            "2025-11-21T24:00:00Z",
            "2025-11-21T09:60:00Z",
            "2025-11-21T09:55:60Z",
            "2025-11-21T09:55:00+24:00",
            "2025-11-21T09:55:00+01:60",
            "2025-11-21T09:55:00+01",
            "2025-11-21T09:55:00",
            "2025-11-21T09:55Z",
            "2025-11-21T09:55:00.Z",
            "2025-11-21T09:55:00,5Z",
            " 2025-11-21T09:55:00Z",
            "2025-11-21T09:55:00Z\n",
            "+02025-11-21T09:55:00Z",
            "2025-11-21",
            "yesterday",
            "",
            1763718900,
            None,
        )
    ),
)
PLAIN = (
    "text",
    "line\nbreak \U0001f600",
    " \ufeff ",
    '{"type": "chat-message"}',
    "\U0001f600" + "x" * (PLAIN_LIMIT - 1),
    "\U0001f600" + "x" * PLAIN_LIMIT,
    "",
    " ",
    "\r\n\t \x85\u2028",
    "\x1b\x1c\x1f\x00",
    "\u00a0\u1680\u2003\u202f\u205f\u3000",
    "\u202e\u2066 \u200f",
)
OTHERS: tuple[Any, ...] = (5, None, [], ["chat-message"], {}, {"type": "move"})
TYPING: tuple[Any, ...] = (
    {"type": "chat-typing", "typing": True},
    {"type": "chat-typing", "typing": False, "more": 1},
    {"type": "chat-typing", "typing": 1},
    {"type": "chat-typing", "typing": "true"},
    {"type": "chat-typing", "typing": None},
    {"type": "chat-typing"},
)
TEXTS = (
    "plain",
    "  two  spaces ",
    "a\r\nb\nc\rd\te\vf\fg\x85h\u2028i\u2029j",
    "\x1b[31mred\x1b[0m\x07\x00\x7f\x9b",
    "\u202egnp.exe \u2066a\u2069 \u200eb\u200f \u061cc",
    "Zo\u00eb \U0001f469\u200d\U0001f52c \u00a0\u3000 \ufeff",
    "\ud800 \udfff",
)
MEETINGS = (
    ("Ada", " ada\x1b ", "Bob", ""),
    ("Stra\u00dfe", "STRASSE", "stra\u017f\u017fe", "Strase"),
    ("Ada", "A\u200bda", "\uff21\uff44\uff41", "\u2800Ada\u3164", "Ad\u0430"),
    ("Zo\u00eb", "Zoe\u0308", "Zoe", "ZO\u00cb\ufe0f"),
    ("\u3164", "\u200b\u115f", "\u2800 \u2800", "\U000e0020", "\ufeff", "\u00a0"),
    ("You", "yo\u200bu", "\uff39\uff2f\uff35 ", "Young"),
    ("Ada#aaaa", "Ada#AAAA", "Ada\uff03b2c3", "Ada#1234", "Ada#aaaaa"),
    ("Ada Lovelace", "Ada\u3000 Lovelace", "AdaLovelace"),
    ("\u03a3\u0399\u03a3", "\u03c3\u03b9\u03c2", "\u03c3\u03b9\u03c3"),
    ("\u0130", "i\u0307", "I", "\u0131"),
    ("\ufb01ne", "FINE", "fine"),
    ("\u0301", "\U0001f469\u200d\U0001f52c", "\U0001f469\U0001f52c"),
)
"""The names of those who are in a room together."""


def _message(author: Room, content: str = "Hello, world!") -> dict[str, Any]:
    """Return the message of the design that this project began with, from an author."""
    return {
        "type": "chat-message",
        "id": "msg_abc123_1234567890",
        "roomId": ROOM,
        "authorId": author.me.id,
        "authorName": "Alice",
        "content": content,
        "timestamp": "2025-11-21T09:55:00.000Z",
    }


def _shown(entry: ChatEntry) -> dict[str, Any]:
    """Return what JavaScript is to show of an entry; its times end at milliseconds.

    The id and the time of plain text are the reader's, and other ones each time.
    """
    match entry:
        case ChatMessage(plain=True, content=content, direct=direct):
            return {"type": "chat-message", "content": content, "direct": direct, "plain": True}
        case ChatMessage(id=name, content=content, timestamp=timestamp, direct=direct):
            return {
                "type": "chat-message",
                "id": name,
                "content": content,
                "timestamp": timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "direct": direct,
                "plain": False,
            }
        case TypingChanged(typing=typing):
            return {"type": "typing-changed", "typing": typing}
        case _:
            raise AssertionError(f"nobody sent {entry}")


async def _judged(
    speaker: Room,
    listener: Room,
    data: Any,  # noqa: ANN401 - any JSON
) -> dict[str, Any]:
    """Return a message with what a chat that has just begun makes of it."""
    chat = Chat(listener, listener.subscribe())
    await speaker.send(data)
    await speaker.send(_message(speaker, "the end"))
    entries: list[dict[str, Any]] = []
    async for entry in chat:
        if isinstance(entry, ChatMessage) and entry.content == "the end":
            break
        entries.append(_shown(entry))
    chat.close()
    return {
        "data": data,
        "entries": entries,
        "malformed": chat.malformed,
        "forged": chat.forged,
    }


async def _called(world: World, number: int, names: tuple[str, ...]) -> list[dict[str, str]]:
    """Return who is in a room, with what a chat calls each."""
    rooms = [
        await world.join(
            f"{number}-{place}",
            room=f"room-{number}",
            name=name,
            identity=world.identity(f"{number}-{place}"),
        )
        for place, name in enumerate(names)
    ]
    await asyncio.sleep(1.0)
    chat = Chat(rooms[0])
    called = [
        {"id": room.me.id, "name": room.me.name, "called": chat.name_of(room.me)} for room in rooms
    ]
    chat.close()
    for room in rooms:
        await room.leave()
    return called


def text() -> str:
    """Return the file."""
    world = World(seed="chat vectors")

    async def main() -> dict[str, Any]:
        ada = await world.join("ada", room=ROOM, identity=world.identity("ada"))
        bob = await world.join("bob", room=ROOM, identity=world.identity("bob"))
        await asyncio.sleep(1.0)
        messages = [_message(ada) | change for change in CHANGES]
        judged = [await _judged(ada, bob, data) for data in (*messages, *PLAIN, *OTHERS, *TYPING)]
        await ada.leave()
        await bob.leave()
        meetings = [await _called(world, number, names) for number, names in enumerate(MEETINGS)]
        return {"room": ROOM, "author": ada.me.id, "messages": judged, "names": meetings}

    vectors = world.run(main())
    vectors["displayed"] = [{"text": each, "shown": displayed(each)} for each in TEXTS]
    return json.dumps(vectors, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
