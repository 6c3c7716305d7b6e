"""What happens in a room, as immutable values.

Iterating a room yields these; ``match`` on their types. They are the same words
in Python, in JavaScript (``event.type`` is the name in kebab case) and in logs.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self, TypeAlias

from msgspec import Struct

from thkmesh.errors import MeshError, PeerError
from thkmesh.peer import Peer

__all__ = [
    "READ_ALL_BYTES",
    "ByteStream",
    "Content",
    "Data",
    "Event",
    "Grade",
    "LeaveReason",
    "LinkChanged",
    "LinkState",
    "Lost",
    "Message",
    "Path",
    "PathChanged",
    "PathKind",
    "PeerJoined",
    "PeerKicked",
    "PeerLagging",
    "PeerLeft",
    "PlainByteStream",
    "Quality",
    "QualityChanged",
    "Refused",
    "ServerChanged",
    "ServerState",
    "Undelivered",
]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A JSON value. Integers stay within ±(2**53 - 1); NaN and infinities are refused."""

Data: TypeAlias = "str | bytes | Json"
"""What one message carries: text, bytes, or any other JSON value."""


class LinkState(Enum):
    """How it stands with the direct link to one peer."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class ServerState(Enum):
    """How it stands with the signaling server. Links live on without it."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


class LeaveReason(Enum):
    """Why a peer is no longer here."""

    LEFT = "left"
    """It said goodbye."""
    TIMEOUT = "timeout"
    """Neither the server nor its link has heard of it for the grace period."""
    REPLACED = "replaced"
    """A newer session of the same identity took its place."""
    KICKED = "kicked"
    """It was removed from the room: see ``PeerKicked``."""


class Grade(Enum):
    """How good a link is, in the words of ITU-T P.800; see ``thkmesh.core.quality``."""

    EXCELLENT = "excellent"
    """A message takes up to 50 ms: nobody notices."""
    GOOD = "good"
    """Up to 150 ms: fit for a conversation."""
    FAIR = "fair"
    """Up to 275 ms: felt in a conversation."""
    POOR = "poor"
    """Up to 400 ms: a conversation is laborious."""
    BAD = "bad"
    """More than that, or most of it is lost."""


@dataclass(frozen=True, slots=True)
class PathKind:
    """What kind of way the datagrams of a link take; None where the engine does not tell.

    Attributes:
        local: what our end is, an ICE candidate type (RFC 8445): "host", an address of
            this computer; "srflx" or "prflx", one that a NAT lends it; "relay", a TURN
            server.
        remote: the same of the other end.
        protocol: "udp" or "tcp".
        ip_version: 4 or 6.
    """

    local: str | None = None
    remote: str | None = None
    protocol: str | None = None
    ip_version: int | None = None

    @property
    def relayed(self) -> bool:
        """Whether a TURN server passes everything on."""
        return "relay" in (self.local, self.remote)


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a link is: measured by its heartbeat, so as fresh as the last ping.

    A ping goes out every ``heartbeat_interval``, also on an idle link; between two of
    them nothing changes but what an overdue answer tells. Figures are smoothed over the
    last dozens of pings.

    Attributes:
        grade: in a word. It changes with hysteresis: worse at once, better after 10 s.
        score: from 100 to 0; 20 for each grade.
        rtt: seconds there and back, smoothed (RFC 6298); the engine's until the first
            ping was answered.
        jitter: seconds by which one round trip differs from the next, smoothed (RFC 3550).
        loss: the part of the last pings that was not answered in time, from 0 to 1.
        queue_delay: seconds that what we send now waits for what we sent before.
        outgoing_rate_bytes: bytes a second that the other side has acknowledged, smoothed.
        incoming_rate_bytes: bytes a second that came, smoothed.
        path: what kind of way it is; None before the engine has told.
    """

    grade: Grade
    score: int
    rtt: float
    jitter: float = 0.0
    loss: float = 0.0
    queue_delay: float = 0.0
    outgoing_rate_bytes: float = 0.0
    incoming_rate_bytes: float = 0.0
    path: PathKind | None = None


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A peer is in the room; its link may still be connecting."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """A peer is gone; nothing more comes from it and nothing reaches it."""

    peer: Peer
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class PeerKicked:
    """The server removed a peer from the room, maybe us, and keeps it out for a while.

    Attributes:
        id: of the peer.
        until: when it may come back, in seconds since 1970 by the server's clock.
        why: what was said of it, maybe nothing.
        peer: its session, if it is here; ``PeerLeft`` follows. None if it is not.
    """

    id: str
    until: float
    why: str
    peer: Peer | None = None


READ_ALL_BYTES: Final = 64 * 1024 * 1024
"""What ``read_all`` of a stream returns at most, unless it is told otherwise."""


class ByteStream(AsyncIterator[bytes], ABC):
    """A streamed message, as it comes: iterate over it with ``async for``.

    It ends when it is whole. Else iterating raises ``StreamBroken``, after what came:
    its sender gave it up or is gone, we could not keep up, or the room or channel was left.
    What is not read waits, and so does its sender, and what else it sends on that channel.
    """

    @abstractmethod
    def __aiter__(self) -> Self:
        """Return itself; chunks are taken once."""

    @abstractmethod
    async def __anext__(self) -> bytes:
        """Return the next chunk; cancelling loses none.

        Raises:
            StopAsyncIteration: it is whole, or was closed.
            StreamBroken: it is not whole, and no more will come.
        """

    @abstractmethod
    async def read_all(self, limit: int = READ_ALL_BYTES) -> bytes:
        """Return all that is still to come.

        Raises:
            MessageTooLarge: that is more than ``limit`` bytes; the rest is not wanted then.
            StreamBroken: it is not whole, and no more will come.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Want nothing more of it: what comes is thrown away, and nobody waits."""

    @abstractmethod
    def let_go(self, reason: str) -> None:
        """Throw it away, as nobody may ever read it; called by the room."""

    @abstractmethod
    def share(self) -> Self:
        """Return another of which as much has been read; called by the room."""


class PlainByteStream(Iterator[bytes], ABC):
    """A streamed message in ``thkmesh.sync``: iterate over it; see ``ByteStream``."""

    @abstractmethod
    def __next__(self) -> bytes:
        """Return the next chunk, waiting for it.

        Raises:
            StopIteration: it is whole, or was closed.
            StreamBroken: it is not whole, and no more will come.
            WrongContext: inside a running event loop.
        """

    @abstractmethod
    def read_all(self, limit: int = READ_ALL_BYTES) -> bytes:
        """Return all that is still to come.

        Raises:
            MessageTooLarge: that is more than ``limit`` bytes; the rest is not wanted then.
            StreamBroken: it is not whole, and no more will come.
            WrongContext: inside a running event loop.
        """

    @abstractmethod
    def close(self) -> None:
        """Want nothing more of it: what comes is thrown away, and nobody waits."""

    @abstractmethod
    def let_go(self, reason: str) -> None:
        """Throw it away, as nobody may ever read it; called by the room."""

    @abstractmethod
    def share(self) -> Self:
        """Return another of which as much has been read; called by the room."""


Content: TypeAlias = "Data | ByteStream | PlainByteStream"
"""What a message carries when it arrives."""


class Message(Struct, frozen=True, gc=False):
    """A message from a peer: ``str``, ``bytes``, a JSON value, or a stream of bytes.

    ``direct`` is True when it was sent to us alone, False for the whole room.
    ``channel`` is the name of its channel, empty for that of the room itself. ``key`` says
    what it is the latest value of, on a channel of such values; None where there is none.
    """

    peer: Peer
    data: Content
    direct: bool = False
    channel: str = ""
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """``count`` messages of a peer will not come.

    We took in nothing for so long that the peer gave them up. None: the peer is gone
    without a goodbye, and may have sent more than arrived, on any channel. ``channel``
    is theirs: empty for that of the room itself.
    """

    peer: Peer
    count: int | None
    channel: str = ""


@dataclass(frozen=True, slots=True)
class PeerLagging:
    """Everybody waited for a peer that takes in nothing, so messages to it were given up.

    ``count`` of those to everybody are not known to have arrived. It is told how many
    it lost; what is sent from now on reaches it again. ``channel`` is theirs.
    """

    peer: Peer
    count: int
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """``count`` messages to a peer on a channel are not known to have arrived.

    It is gone; or it does not listen to that channel, which was not known yet.
    """

    peer: Peer
    count: int
    channel: str = ""


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The link to a peer connected, broke, or closed."""

    peer: Peer
    state: LinkState


class Path(Enum):
    """What carries messages to and from a peer."""

    DIRECT = "direct"
    """A WebRTC connection between the two."""
    RELAY = "relay"
    """The signaling server, which cannot read them: slowly, and only while needed."""


@dataclass(frozen=True, slots=True)
class PathChanged:
    """Messages to and from a peer now go another way.

    Told when the relay comes into use, and when it is left: ``path`` is then the direct
    one, or None where there is neither.
    """

    peer: Peer
    path: Path | None


@dataclass(frozen=True, slots=True)
class QualityChanged:
    """A connected link has its first grade, or another one, or goes another kind of way.

    Another version of IP makes no other kind.
    """

    peer: Peer
    quality: Quality


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """The connection to the signaling server changed.

    ``error`` says why, where the change was not asked for.
    """

    state: ServerState
    error: MeshError | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that arrived was refused and had no effect.

    ``peer`` is who it claims to come from, None where that is not known. A
    signaling server that tampers with signals shows itself here.
    """

    error: PeerError
    peer: Peer | None = None


Event: TypeAlias = (
    PeerJoined
    | PeerLeft
    | PeerKicked
    | Message
    | Lost
    | PeerLagging
    | Undelivered
    | LinkChanged
    | PathChanged
    | QualityChanged
    | ServerChanged
    | Refused
)
