"""What happens in a chat, in lines for people."""

import os
import zlib
from typing import Final

from thkmesh import (
    LeaveReason,
    LinkChanged,
    LinkState,
    Lost,
    NotAMember,
    Path,
    PathChanged,
    Peer,
    PeerJoined,
    PeerKicked,
    PeerLagging,
    PeerLeft,
    Refused,
    SecretWanted,
    ServerChanged,
    ServerState,
    Undelivered,
)
from thkmesh.apps.chat import Chat, ChatEntry, ChatMessage, displayed

__all__ = ["Narrator"]

_COLOURS: Final = (31, 32, 33, 34, 35, 36)
_DIM: Final = 2
_BOLD: Final = 1


class Narrator:
    """Finds the words, and the colours where there are any (https://no-color.org)."""

    def __init__(self, chat: Chat) -> None:
        """Tell of one chat."""
        self._chat = chat
        self._colour = not os.environ.get("NO_COLOR")
        self._found: set[Peer] = set()
        self._away: set[Peer] = set()
        self._server_away = False

    def welcome(self) -> str:
        """Return who we are and whom we found."""
        room = self._chat.room
        self._found.update(room.peers)
        others = ", ".join(map(self.name, room.peers)) or "nobody else yet"
        return f"You are {self.name(room.me)} in {room.name}; here: {others}. " + self.aside(
            "/help lists the commands."
        )

    def own(self, said: ChatMessage) -> str:
        """Return the line for what we said."""
        alone = "" if self._chat.room.peers else self.aside(" (nobody else is here)")
        return f"{self.name(said.author)}: {displayed(said.content)}{alone}"

    def line(self, entry: ChatEntry) -> str | None:
        """Return the line for an entry; None where it needs none."""
        match entry:
            case ChatMessage(author=author, content=content, direct=direct):
                to_us = self.aside(" to you") if direct else ""
                return f"{self.name(author)}{to_us}: {displayed(content)}"
            case PeerJoined(peer=peer) if peer in self._found:
                self._found.discard(peer)
                return None
            case PeerJoined(peer=peer):
                return f"{self.name(peer)} {self.aside('joined')}"
            case PeerKicked(peer=Peer() as peer, why=why):
                what = "was removed from the room" + (f": {displayed(why)}" if why else "")
                return f"{self.name(peer)} {self.aside(what)}"
            case PeerLeft(peer=peer, reason=LeaveReason.KICKED):
                self._away.discard(peer)
                return None
            case PeerLeft(peer=peer, reason=reason):
                self._away.discard(peer)
                what = "left" if reason is LeaveReason.LEFT else f"is gone ({reason.value})"
                return f"{self.name(peer)} {self.aside(what)}"
            case LinkChanged(peer=peer, state=LinkState.RECONNECTING):
                self._away.add(peer)
                return f"{self.name(peer)} {self.aside('is reconnecting')}"
            case LinkChanged(peer=peer, state=LinkState.CONNECTED) if peer in self._away:
                self._away.discard(peer)
                return f"{self.name(peer)} {self.aside('is back')}"
            case PathChanged(peer=peer, path=Path.RELAY):
                return f"{self.name(peer)} {self.aside('is relayed by the server, sealed')}"
            case Lost(peer=peer, count=None):
                return f"messages from {self.name(peer)} may have been lost"
            case Lost(peer=peer, count=count):
                return f"{count} messages from {self.name(peer)} were lost"
            case PeerLagging(peer=peer, count=count):
                return f"{self.name(peer)} took in nothing, and has missed up to {count} messages"
            case Undelivered(peer=peer, count=count):
                return f"{count} messages may not have reached {self.name(peer)}"
            case Refused():
                return self.aside(self._refusal(entry))
            case ServerChanged(state=ServerState.RECONNECTING):
                self._server_away = True
                return self.aside("the server is away; links live on without it")
            case ServerChanged(state=ServerState.CONNECTED) if self._server_away:
                self._server_away = False
                return self.aside("the server is back")
            case _:
                return None

    def _refusal(self, refused: Refused) -> str:
        """Return what is said of something that was refused."""
        error, peer = refused.error, refused.peer
        match error:
            case NotAMember():
                return f"kept out of this private room: {displayed(str(error))}"
            case SecretWanted():
                text = displayed(str(error))
                return f"this room is private, so nobody connects to you: {text}"
            case _:
                who = self._chat.name_of(peer) if peer else "somebody"
                return f"refused something that claims to come from {who}: {error}"

    def typing(self) -> str:
        """Return who is typing, in words; empty if nobody is."""
        names = [self._chat.name_of(peer) for peer in self._chat.typing]
        match names:
            case []:
                return ""
            case [name]:
                return f"{name} is typing ..."
            case [one, other]:
                return f"{one} and {other} are typing ..."
            case _:
                return "several people are typing ..."

    def peers(self) -> list[str]:
        """Return a line for everybody in the room, ourselves included."""
        room = self._chat.room
        lines = [f"  {self.name(room.me)} {self.aside(f'{room.me.id} you')}"]
        for peer in room.peers:
            link = room.link(peer)
            state = link.state.value if link else "no link"
            if link and link.path is Path.RELAY:
                state = "relayed by the server"
            lines.append(f"  {self.name(peer)} {self.aside(f'{peer.id} {state}')}")
        return lines

    def name(self, peer: Peer) -> str:
        """Return a peer's name, in its colour."""
        colour = _COLOURS[zlib.crc32(peer.id.encode()) % len(_COLOURS)]
        return self._styled(self._chat.name_of(peer), _BOLD, colour)

    def aside(self, text: str) -> str:
        """Return what matters less, dimmed."""
        return self._styled(text, _DIM)

    def _styled(self, text: str, *codes: int) -> str:
        if not self._colour:
            return text
        return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m"
