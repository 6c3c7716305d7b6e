"""The demo peer: somebody who is always there, greets, and answers.

It is an ordinary member of the room, on the public API: nothing here could not be
in a program of yours. It speaks as it is spoken to, in chat messages or in plain
text; newcomers are greeted in plain text, which every program can print.
"""

import asyncio
import contextlib
import re
from datetime import UTC, datetime
from typing import Final

from thkmesh import MeshError, Peer, PeerJoined
from thkmesh.apps.chat import Chat, ChatMessage, displayed

__all__ = ["METADATA", "NAME", "ROOM", "attend"]

NAME: Final = "Demo"
ROOM: Final = "lobby"
METADATA: Final = {"bot": True}
"""Bots that say what they are do not answer each other for ever."""

_PATIENCE: Final = 5.0
_ECHO_LIMIT: Final = 2000
_GREETINGS: Final = frozenset({"hello", "hi", "hey", "hallo", "ciao", "hola", "salut"})
_HELP: Final = "Say hello, time, peers or help. Anything else I say back to you."


async def attend(chat: Chat) -> None:
    """Greet who comes and answer who speaks, until the room is left or ends.

    Raises:
        MeshError: the room ended without our leaving it.
    """
    async for entry in chat:
        match entry:
            case PeerJoined(peer=peer) if not _is_bot(peer):
                name = chat.name_of(peer)
                await _say(chat, f"Hello, {name}! I am a demo. {_HELP}", peer, plain=True)
            case ChatMessage(author=author) if not _is_bot(author):
                answer = _answer(chat, entry)
                await _say(chat, answer, author if entry.direct else None, plain=entry.plain)
            case _:
                pass


def _is_bot(peer: Peer) -> bool:
    return bool(peer.metadata.get("bot"))


async def _say(chat: Chat, text: str, to: Peer | None, *, plain: bool) -> None:
    """Say something, unless its reader is gone or takes nothing in."""
    with contextlib.suppress(MeshError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            if plain:
                await chat.room.send(text, to=to)
            else:
                await chat.say(text, to=to)


def _answer(chat: Chat, said: ChatMessage) -> str:
    text = displayed(said.content)
    name = chat.name_of(said.author)
    word = text.strip(" .,!?").casefold()
    match word:
        case _ if re.split(r"[ ,!]", word)[0] in _GREETINGS:
            return f"Hello, {name}! Nice to hear from you."
        case "time":
            return f"It is {datetime.now(UTC):%H:%M:%S} UTC."
        case "peers":
            here = [chat.name_of(peer) for peer in (*chat.room.peers, chat.room.me)]
            return f"Here are {', '.join(sorted(here, key=str.casefold))}."
        case "help":
            return _HELP
        case _ if len(text) > _ECHO_LIMIT:
            return f"You said: {text[:_ECHO_LIMIT]} ..."
        case _:
            return f"You said: {text}"
