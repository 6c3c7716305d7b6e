"""What the server's rooms are told, and what they want done (see ``rooms``)."""

from dataclasses import dataclass
from typing import TypeAlias

from msgspec import Struct

from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import Permit
from thkmesh.core.identity import SessionKey
from thkmesh.core.wire import AnySignal, Hello, IceServer, Introduction, Kick, Kicked, Leave, Ping

__all__ = [
    "PEERS_LIMIT",
    "Close",
    "Command",
    "Condemn",
    "CreateRoom",
    "Drain",
    "Dropped",
    "Event",
    "Expel",
    "HelloAccepted",
    "News",
    "Opened",
    "Output",
    "Received",
    "Refused",
    "Relay",
    "RenewIce",
    "Renewed",
    "RoomRules",
    "Sealed",
    "Send",
    "Skipped",
    "Stop",
]

PEERS_LIMIT = 100
"""The largest room: so many introductions fit into one welcome."""


@dataclass(frozen=True, kw_only=True)
class RoomRules:
    """The limits and times of the rooms; times in seconds.

    Attributes:
        max_peers: sessions in a room, those that are away included; 1 to ``PEERS_LIMIT``.
        max_rooms: rooms in all; no more come into being beyond it.
        hello_timeout: how long a connection may take to introduce itself.
        idle_timeout: how long a session's connection may be silent.
        ping_interval: how often clients are asked to ping.
        relay_bytes: how many bytes a second of sealed frames each session may send
            through the server, where two find no direct path; 0 passes none on.
        relay_burst_bytes: how many at once; what is more is dropped.
        grace: how long a session keeps its place without a connection.
        room_ttl: how long a room outlives its last session.
        away_messages: how many signals wait for a session that is away.
        away_bytes: how many bytes of them.
        ice_servers: STUN and TURN servers that every welcome names.
        ice_rotation: how long those last that a connection is given beside these; then it
            gets others. 0 means that there are none, or that they need not change.
    """

    max_peers: int = 10
    max_rooms: int = 10_000
    hello_timeout: float = 10.0
    idle_timeout: float = 60.0
    ping_interval: float = 20.0
    relay_bytes: int = 64 * 1024
    relay_burst_bytes: int = 256 * 1024
    grace: float = 30.0
    room_ttl: float = 60.0
    away_messages: int = 256
    away_bytes: int = 256 * 1024
    ice_servers: tuple[IceServer, ...] = ()
    ice_rotation: float = 0


# --- events: two of them, and one output, a relayed message, hence the cheap structs -----


class Opened(Struct, frozen=True):
    """A WebSocket was accepted; ``nonce`` is fresh, for its challenge."""

    conn: int
    nonce: str


class HelloAccepted(Struct, frozen=True):
    """A genuine hello came in; the rest is for its welcome.

    ``resume`` is a fresh secret. ``permit`` is what its token, or whatever else admits
    here, is worth, and ``ice_servers`` are for it alone. ``room_key`` is the public half
    of the room's key, and ``time`` what the clock on the wall says, in milliseconds.
    """

    conn: int
    hello: Hello
    introduction: Introduction
    resume: str
    permit: Permit = Permit()
    ice_servers: tuple[IceServer, ...] = ()
    room_key: str = ""
    time: int = 0


class Withdrawn(Struct, frozen=True):
    """Whose hello is genuine leaves, before it is known whether it may come in."""

    conn: int
    hello: Hello


class Renewed(Struct, frozen=True):
    """A fresh token came in, for the same room and peer; what it is worth."""

    conn: int
    permit: Permit


class Renewing(Struct, frozen=True):
    """A fresh token came in, and it takes up to so many seconds to decide on it."""

    conn: int
    seconds: float


class Undecided(Struct, frozen=True):
    """Nobody could say what a fresh token is worth."""

    conn: int


class Received(Struct, frozen=True):
    """A message other than a hello came in; ``text`` is what it was decoded from."""

    conn: int
    message: Leave | Ping | Kick | AnySignal
    text: str


class Sealed(Struct, frozen=True):
    """A sealed frame came in for a session; ``rest`` is what stands behind its name."""

    conn: int
    to: SessionKey
    rest: bytes


class Skipped(Struct, frozen=True):
    """A message of a type unknown here came in."""

    conn: int


class Refused(Struct, frozen=True):
    """Something came in that the shell found to break the protocol."""

    conn: int
    reason: str
    message: str
    code: CloseCode
    retry_after: float | None = None


class Dropped(Struct, frozen=True):
    """A WebSocket is gone; ``leaving``: its page said that it goes away with it."""

    conn: int
    leaving: bool = False


class CreateRoom(Struct, frozen=True):
    """Somebody wants a room; without effect if there is one of that name."""

    room: str
    listed: bool = False


class Expel(Struct, frozen=True):
    """Keep a peer out of a room for ``duration`` seconds.

    ``statement`` says so, signed with the room's key; ``why`` is in words.
    """

    room: str
    user_id: str
    duration: float
    statement: Kicked
    why: str = ""


class Drain(Struct, frozen=True):
    """The server is about to stop, and has so many seconds to ask everybody to move."""

    seconds: float


class Stop(Struct, frozen=True):
    """The server stops."""


class News(Struct, frozen=True):
    """Something that a broker says, of which there are several (see ``shared_events``)."""


Event: TypeAlias = (
    Opened
    | HelloAccepted
    | Withdrawn
    | Renewed
    | Renewing
    | Undecided
    | Received
    | Sealed
    | Skipped
    | Refused
    | Dropped
    | CreateRoom
    | Expel
    | Drain
    | Stop
    | News
)

# --- outputs ----------------------------------------------------------------------


class Send(Struct, frozen=True):
    """Send a text message."""

    conn: int
    text: str


class Relay(Struct, frozen=True):
    """Send a sealed frame, behind whatever else waits; drop it where it cannot be sent soon."""

    conn: int
    frame: bytes


class Close(Struct, frozen=True):
    """Close, after what was sent; the number is not used again."""

    conn: int
    code: CloseCode
    reason: str


class Condemn(Struct, frozen=True):
    """Sign that a peer is removed from a room, and say so with ``Expel``."""

    room: str
    user_id: str
    duration: float
    why: str


class RenewIce(Struct, frozen=True):
    """Send credentials for TURN to a connection of that peer: its own end before long."""

    conn: int
    peer: str


class Command(Struct, frozen=True):
    """Something for a broker to do, of which there are several (see ``shared_events``)."""


Output: TypeAlias = Send | Relay | Close | Condemn | RenewIce | Command
