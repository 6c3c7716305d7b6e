"""Chat: lines of text among the peers of a room.

::

    chat = Chat(room)
    await chat.say("hello, everyone")
    async for entry in chat:
        match entry:
            case ChatMessage(author=author, content=content):
                print(chat.name_of(author), "says", content)
            case thkmesh.PeerJoined(peer=peer):
                print(chat.name_of(peer), "joined")

Two JSON messages, the first as in the dashboard this project grew out of::

    {"type": "chat-message", "id": "msg_4f1c9a02b7de_1763718900000",
     "roomId": "lobby", "authorId": "...", "authorName": "Alice",
     "content": "Hello, world!", "timestamp": "2025-11-21T09:55:00.000Z"}

    {"type": "chat-typing", "typing": true}

Plain text, as ``room.send("hello")`` sends it, counts as said too: whoever has no
chat can talk with those who have one. What it does not bring along is made up here,
an id and the time. A room carries other messages too; those are left alone.

Nobody can speak for somebody else: ``authorId`` must be the id of the peer whose
link the message came over, and the name shown is the one that peer introduced itself
with.
"""

import asyncio
import re
import secrets
import unicodedata
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from thkmesh import (
    ByteStream,
    Event,
    InvalidArgument,
    LinkChanged,
    Lost,
    Message,
    MessageTooLarge,
    PathChanged,
    Peer,
    PeerJoined,
    PeerKicked,
    PeerLagging,
    PeerLeft,
    QualityChanged,
    Refused,
    Room,
    ServerChanged,
    Subscription,
    Undelivered,
)

__all__ = [
    "CONTENT_LIMIT_BYTES",
    "HISTORY_LENGTH",
    "PLAIN_LIMIT",
    "TYPING_EXPIRY",
    "TYPING_INTERVAL",
    "Chat",
    "ChatEntry",
    "ChatMessage",
    "TypingChanged",
    "displayed",
]

HISTORY_LENGTH: Final = 1000
"""How many of the newest entries are remembered."""

PLAIN_LIMIT: Final = 4096
"""Characters that plain text may have to be something said; what is longer is data."""

TYPING_EXPIRY: Final = 5.0
"""Seconds after which who types is taken to have stopped, unless told anew."""

TYPING_INTERVAL: Final = 2.0
"""Seconds between two notices of the same typing."""

CONTENT_LIMIT_BYTES: Final = 64 * 1024
"""The longest text, in UTF-8: what is longer is no chat, and a history has a thousand."""

_ID_LIMIT: Final = 128
_BREAKS: Final = re.compile("\r\n|[\t\n\v\f\r\x85\u2028\u2029]")
_INVISIBLE: Final = frozenset({"Cc", "Cs"})
_BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e") | frozenset(
    "\u2066\u2067\u2068\u2069"
)
_UNSEEN: Final = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),  # combining grapheme joiner
        (0x115F, 0x1160),  # Hangul fillers
        (0x17B4, 0x17B5),  # Khmer inherent vowels
        (0x180B, 0x180F),  # Mongolian variation selectors
        (0x2800, 0x2800),  # the empty Braille pattern
        (0x3164, 0x3164),  # Hangul filler
        (0xFE00, 0xFE0F),  # variation selectors
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)
"""What takes part in a name and leaves nothing on a screen, beside the format characters."""

_SUFFIXED: Final = re.compile("#[a-z2-7]{4}$")


class ChatMessage(Struct, frozen=True, kw_only=True):
    """Something that was said.

    Attributes:
        id: names the message; chosen by its author.
        author: who said it, proven by the link it came over.
        content: the text as it was sent; for a screen, see ``displayed``.
        timestamp: when, in UTC, by the author's clock.
        direct: it was said to us alone, or by us to one peer.
        plain: it came as plain text, so the id and the time are ours.
    """

    id: str
    author: Peer
    content: str
    timestamp: datetime
    direct: bool = False
    plain: bool = False


class TypingChanged(Struct, frozen=True):
    """A peer began or stopped typing. ``TYPING_EXPIRY`` passing is not told; see ``typing``."""

    peer: Peer
    typing: bool


ChatEntry: TypeAlias = (
    ChatMessage
    | TypingChanged
    | PeerJoined
    | PeerLeft
    | PeerKicked
    | LinkChanged
    | PathChanged
    | QualityChanged
    | Lost
    | PeerLagging
    | Undelivered
    | ServerChanged
    | Refused
)
"""What iterating a chat yields: the room's events, with what was said decoded."""


class _WireMessage(Struct, rename="camel", tag_field="type", tag="chat-message"):
    """``chat-message``."""

    id: Annotated[str, Meta(min_length=1, max_length=_ID_LIMIT)]
    room_id: str
    author_id: str
    author_name: str
    content: str
    timestamp: Annotated[datetime, Meta(tz=True)]


class _WireTyping(Struct, tag_field="type", tag="chat-typing"):
    """``chat-typing``."""

    typing: bool


def displayed(text: str) -> str:
    """Return a text as one line that can do nothing to a screen but be read.

    Line breaks and tabs become spaces. Control characters, lone surrogates and what
    turns the direction of writing around are left out.
    """
    return "".join(
        char
        for char in _BREAKS.sub(" ", text)
        if unicodedata.category(char) not in _INVISIBLE and char not in _BIDI_CONTROLS
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _stamp() -> tuple[str, datetime]:
    """Return the id and the time of something that is said now."""
    now = datetime.now(UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return f"msg_{secrets.token_hex(6)}_{int(now.timestamp() * 1000)}", now


def _compared(name: str) -> str:
    """Return what people see of a name: those for whom it is the same seem to be the same.

    Without regard to case; upper first, so that ß and SS are one. It is "" if nothing
    can be seen of it.
    """
    text = unicodedata.normalize("NFKC", displayed(name))
    seen = "".join(
        char for char in text if unicodedata.category(char) != "Cf" and char not in _UNSEEN
    )
    return " ".join(unicodedata.normalize("NFKC", seen.upper().lower()).split())


def _is_something(content: object) -> bool:
    """Tell whether a caller, perhaps without a type checker, passed text to say."""
    return isinstance(content, str) and not content.isspace() and content != ""


class Chat:
    """The conversation of a room, as one reader sees it.

    It has no task of its own: entries are taken from the room while it is iterated,
    and ``history`` and ``typing`` tell of what has been taken so far.

    Attributes:
        room: the room that is talked in.
        malformed: how many chat messages were ignored for their form.
        forged: how many were refused because they name another author.
    """

    def __init__(self, room: Room, events: AsyncIterator[Event] | None = None) -> None:
        """Begin to listen.

        Args:
            room: where to talk.
            events: where to read what happens; None means a subscription of its own,
                which begins with what nobody has read of the room so far. Where
                chatting is all that is done with the room, ``aiter(room)`` spares
                keeping everything for a second reader who never comes.
        """
        self.room = room
        self.malformed = 0
        self.forged = 0
        self._own: Subscription[Event] | None = None
        if events is None:
            events = self._own = room.subscribe(unread=True)
        self._events = events
        self._history: deque[ChatEntry] = deque(maxlen=HISTORY_LENGTH)
        self._typing: dict[Peer, float] = {}
        self._told_typing: float | None = None

    # --- looking --------------------------------------------------------------------

    @property
    def history(self) -> tuple[ChatEntry, ...]:
        """What was said, who came and who went; the newest ``HISTORY_LENGTH`` of them."""
        return tuple(self._history)

    @property
    def typing(self) -> tuple[Peer, ...]:
        """Who is typing right now."""
        now = self._now()
        return tuple(peer for peer, until in self._typing.items() if until > now)

    def name_of(self, peer: Peer) -> str:
        """Return what to call a peer on a screen.

        Where two of those present share a name, each has the start of its id added.
        That tells two Adas apart; it does not prove which of them is which. Names are
        the same that look the same, as far as Unicode tells. Who is called "You", or
        as if the start of an id had been added, has it added too.
        """
        compared = _compared(peer.name)
        if not compared:
            return peer.id[:8]
        present = (*self.room.peers, self.room.me)
        shared = any(
            compared == (_compared(other.name) or other.id[:8])
            for other in present
            if other.id != peer.id
        )
        name = displayed(peer.name).strip()
        if shared or compared == "you" or _SUFFIXED.search(compared):
            return f"{name}#{peer.id[:4]}"
        return name

    # --- speaking -------------------------------------------------------------------

    async def say(self, content: str, *, to: Peer | str | None = None) -> ChatMessage:
        """Say something to everybody in the room, or to one peer; return it.

        It waits, is delivered and is cancelled as by ``Room.send``.

        Args:
            content: some text; up to 64 KiB in UTF-8.
            to: a peer or a peer's id; None means everybody.

        Raises:
            InvalidArgument: there is nothing in ``content``, or it is no text.
            MessageTooLarge: it is over the limit.
            UnknownPeer: ``to`` is not in the room.
            RoomClosed: the room was left, or has ended.
        """
        if not _is_something(content):
            raise InvalidArgument("say some text: there is nothing in it")
        if _size(content) > CONTENT_LIMIT_BYTES:
            raise MessageTooLarge(f"{_size(content)} bytes; a line has {CONTENT_LIMIT_BYTES}")
        me = self.room.me
        name, now = _stamp()
        said = ChatMessage(
            id=name, author=me, content=content, timestamp=now, direct=to is not None
        )
        self._told_typing = None
        await self.room.send(
            {
                "type": "chat-message",
                "id": said.id,
                "roomId": self.room.name,
                "authorId": me.id,
                "authorName": str(me),
                "content": content,
                "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            },
            to=to,
        )
        self._history.append(said)
        return said

    async def show_typing(self, *, typing: bool = True) -> None:
        """Let the others see that we are typing, or no longer.

        Call it at every key: it sends at most one notice in ``TYPING_INTERVAL``, and
        none that says nothing new. What is said ends the typing by itself.

        Raises:
            RoomClosed: the room was left, or has ended.
        """
        now = self._now()
        age = None if self._told_typing is None else now - self._told_typing
        if typing and age is not None and age < TYPING_INTERVAL:
            return
        if not typing and (age is None or age >= TYPING_EXPIRY):
            return
        self._told_typing = now if typing else None
        await self.room.send({"type": "chat-typing", "typing": typing})

    # --- listening ------------------------------------------------------------------

    def __aiter__(self) -> "Chat":
        """Return itself; entries are taken once. What we say ourselves is not among them."""
        return self

    async def __anext__(self) -> ChatEntry:
        """Return the next entry; cancelling loses none.

        Raises:
            StopAsyncIteration: the room was left.
            MeshError: the room ended for another reason.
        """
        while True:
            entry = self._entry(await anext(self._events))
            if entry is not None:
                return entry

    def close(self) -> None:
        """End our own subscription; the room stays as it is."""
        if self._own is not None:
            self._own.close()

    def _entry(self, event: Event) -> ChatEntry | None:
        """Return what an event is to this chat; None if nothing."""
        match event:
            case Message(peer=peer, data=str(text), direct=direct):
                return self._remembered(self._said_plainly(peer, text, direct=direct))
            case Message(peer=peer, data={"type": "chat-message"} as data, direct=direct):
                return self._remembered(self._said(peer, data, direct=direct))
            case Message(peer=peer, data={"type": "chat-typing"} as data):
                return self._typed(peer, data)
            case Message(data=ByteStream() as stream):
                stream.let_go("a chat has no use for it")  # or its sender would wait for us
                return None
            case Message():
                return None
            case PeerJoined() | Lost() | PeerLagging() | Undelivered():
                self._history.append(event)
            case PeerLeft(peer=peer):
                self._typing.pop(peer, None)
                self._history.append(event)
            case _:
                pass
        return event

    def _remembered(self, said: ChatMessage | None) -> ChatMessage | None:
        """Take note of what a peer said, if it said something."""
        if said is not None:
            self._typing.pop(said.author, None)
            self._history.append(said)
        return said

    @staticmethod
    def _said_plainly(peer: Peer, text: str, *, direct: bool) -> ChatMessage | None:
        if len(text) > PLAIN_LIMIT or not displayed(text).strip():
            return None
        name, now = _stamp()
        return ChatMessage(
            id=name, author=peer, content=text, timestamp=now, direct=direct, plain=True
        )

    def _said(self, peer: Peer, data: Any, *, direct: bool) -> ChatMessage | None:  # noqa: ANN401
        try:
            said = msgspec.convert(data, _WireMessage)
            timestamp = said.timestamp.astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            self.malformed += 1
            return None
        if said.room_id != self.room.name or _size(said.content) > CONTENT_LIMIT_BYTES:
            self.malformed += 1
            return None
        if said.author_id != peer.id:
            self.forged += 1
            return None
        return ChatMessage(
            id=said.id, author=peer, content=said.content, timestamp=timestamp, direct=direct
        )

    def _typed(self, peer: Peer, data: Any) -> TypingChanged | None:  # noqa: ANN401
        try:
            typing = msgspec.convert(data, _WireTyping).typing
        except msgspec.ValidationError:
            self.malformed += 1
            return None
        now = self._now()
        changed = typing is not (self._typing.get(peer, now) > now)
        if typing:
            self._typing[peer] = now + TYPING_EXPIRY
        else:
            self._typing.pop(peer, None)
        return TypingChanged(peer, typing) if changed else None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
