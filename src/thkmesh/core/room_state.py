"""Rooms and sessions as the signaling server holds them, and as it shows them."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from thkmesh.core.allowance import Allowance
from thkmesh.core.identity import SessionKey
from thkmesh.core.room_events import RoomRules
from thkmesh.core.wire import PeerReady

__all__ = ["Counts", "PeerView", "Room", "RoomView", "Session"]


class PeerView(Struct, frozen=True, rename="camel"):
    """One session, as told to people; ``connected_for`` is in seconds."""

    id: str
    name: str
    connected_for: float
    state: Literal["connected", "reconnecting"]


class RoomView(Struct, frozen=True, rename="camel"):
    """One room, as told to people."""

    room: str
    listed: bool
    max_peers: int
    peers: tuple[PeerView, ...]


@dataclass(slots=True)
class Counts:
    """What has happened in a server's rooms, in numbers.

    Attributes:
        skipped: messages of unknown types that came in.
        signals: signals that were passed on, at once or later.
        signal_bytes: bytes of them.
        relayed: sealed frames that were passed on.
        relayed_bytes: bytes of them.
        dropped: sealed frames that were not.
    """

    skipped: int = 0
    signals: int = 0
    signal_bytes: int = 0
    relayed: int = 0
    relayed_bytes: int = 0
    dropped: int = 0

    def signal(self, text: str) -> None:
        """Count a signal that is passed on."""
        self.signals += 1
        self.signal_bytes += len(text) if text.isascii() else len(text.encode())


@dataclass(eq=False, slots=True)
class Session:
    """One life of a peer in a room; ``conn`` is None while it is away.

    Attributes:
        since: when it came into the room.
        ready: its introduction, as the others are told it.
        waiting: the signals that came in while it was away, oldest first.
        relay: how many bytes of sealed frames it may still send.
    """

    key: SessionKey
    room: "Room"
    since: float
    name: str
    ready: PeerReady
    relay: Allowance
    conn: int | None = None
    waiting: deque[str] = field(default_factory=deque[str])
    waiting_bytes: int = 0

    def keep(self, text: str, rules: RoomRules) -> bool:
        """Keep a signal until the session is back; False when there is no space."""
        size = self.waiting_bytes + len(text.encode())
        if len(self.waiting) >= rules.away_messages or size > rules.away_bytes:
            return False
        self.waiting.append(text)
        self.waiting_bytes = size
        return True

    def take_waiting(self) -> tuple[str, ...]:
        """Hand out what was kept, and keep it no longer."""
        texts = tuple(self.waiting)
        self.waiting.clear()
        self.waiting_bytes = 0
        return texts

    def view(self, now: float) -> PeerView:
        """Return what people may know of it."""
        state: Literal["connected", "reconnecting"]
        state = "reconnecting" if self.conn is None else "connected"
        return PeerView(self.key.id, self.name, round(now - self.since, 3), state)


@dataclass(eq=False, slots=True)
class Room:
    """One room; ``sessions`` by the peer's id, of which there is one each."""

    name: str
    listed: bool
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])

    def view(self, max_peers: int, now: float) -> RoomView:
        """Return what people may know of it."""
        peers = tuple(session.view(now) for session in self.sessions.values())
        return RoomView(self.name, self.listed, max_peers, peers)
