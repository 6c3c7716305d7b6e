"""What happens in a room, as immutable values.

Iterating a room yields these; ``match`` on their types. They are the same words
in Python, in JavaScript (``event.type`` is the name in kebab case) and in logs.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from thkmesh.errors import MeshError, PeerError
from thkmesh.peer import Peer

__all__ = [
    "Data",
    "Event",
    "LeaveReason",
    "LinkChanged",
    "LinkState",
    "Lost",
    "Message",
    "PeerJoined",
    "PeerLagging",
    "PeerLeft",
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
class Message:
    """A message from a peer: ``str``, ``bytes``, or a JSON value.

    ``direct`` is True when it was sent to us alone, False for the whole room.
    ``channel`` is the name of its channel, empty for that of the room itself.
    """

    peer: Peer
    data: Data
    direct: bool = False
    channel: str = ""


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
    | Message
    | Lost
    | PeerLagging
    | Undelivered
    | LinkChanged
    | ServerChanged
    | Refused
)
