"""What a session is told, and what it wants done.

What there is one of for every message, or datagram, is a struct, the rest are data
classes: those take several times as long to make.
"""

from dataclasses import dataclass
from typing import TypeAlias

from msgspec import Struct

from thkmesh.core import link_events as link
from thkmesh.core import wire
from thkmesh.core.channels import ROOM, Delivery, Priority
from thkmesh.core.contact import ContactOutput
from thkmesh.core.expulsion import Statement
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import NetworkChanged
from thkmesh.core.realtime import Limits
from thkmesh.errors import MeshError, PeerError
from thkmesh.events import Event, Message
from thkmesh.peer import Peer

__all__ = [
    "AbortTransfer",
    "Accepted",
    "Cancel",
    "CheckStatement",
    "CloseChannel",
    "Deliver",
    "DeliverPiece",
    "Emit",
    "Ended",
    "Expelled",
    "Flush",
    "FromLink",
    "Heard",
    "Introduced",
    "Kick",
    "Leave",
    "NetworkChanged",
    "OpenChannel",
    "Send",
    "SendAll",
    "SendPiece",
    "SessionEvent",
    "SessionOutput",
    "SignalVerified",
    "SocketLost",
    "Start",
    "Suspected",
    "Unsendable",
    "Welcomed",
]

# --- inputs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Enter the room."""


@dataclass(frozen=True, slots=True)
class SocketLost:
    """The WebSocket ended or could not be opened; 1006 where nobody said why."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of the server's own, which nobody signs."""

    message: wire.ToClient


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The welcome, with the peers whose introductions proved true.

    ``sealed``: those of them with whom keys for the relay are agreed.
    """

    message: wire.Welcome
    peers: tuple[Peer, ...]
    sealed: tuple[SessionKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Introduced:
    """A peer is in the room, and its introduction proved true.

    ``sealed``: keys for the relay are agreed with it.
    """

    peer: Peer
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class SignalVerified:
    """A signal to me whose signature is its sender's."""

    source: SessionKey
    signal: link.SignalArrived


@dataclass(frozen=True, slots=True)
class Suspected:
    """Something came that was not what it claims to be, and was dropped."""

    claimed: SessionKey | None
    error: PeerError


@dataclass(frozen=True, slots=True)
class Expelled:
    """The server's own statement that somebody is removed, whoever passed it on."""

    statement: Statement


@dataclass(frozen=True, slots=True)
class Kick:
    """Have the server remove a peer, and keep it out for ``duration`` seconds."""

    token: int
    user_id: str
    duration: float
    why: str


class FromLink(Struct, frozen=True):
    """What the shell has to tell a link."""

    to: SessionKey
    event: link.LinkEvent


class Send(Struct, frozen=True):
    """A message for everybody (``to`` None) or one session; ``token`` is the sender's."""

    token: int
    to: SessionKey | None
    kind: int
    payload: bytes
    channel: str = ROOM


class SendPiece(Struct, frozen=True):
    """A piece of a transfer, as ``Send``.

    ``transfer``: the sender's own number for it; a new one begins one.
    """

    token: int
    to: SessionKey | None
    transfer: int
    payload: bytes
    last: bool
    channel: str = ROOM


class AbortTransfer(Struct, frozen=True):
    """Give up a transfer of that number, if it has begun and not ended."""

    transfer: int


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """Have a channel; ``listen`` tells whether we want to hear of it, too.

    ``limits`` are those of a channel whose messages need not arrive.
    """

    name: str
    delivery: Delivery
    priority: Priority
    listen: bool
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class CloseChannel:
    """Hear of a channel no longer."""

    name: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Accept that token once all that was sent on a channel has arrived, or cannot."""

    token: int
    channel: str


class SendAll(Struct, frozen=True):
    """Messages for everybody that have been accepted already: channel, kind and payload.

    They came too fast, one behind the other, to be handled one by one; as there was room
    for the first, and as they are little, they exceed no limit by much.
    """

    messages: tuple[tuple[str, int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """The sender does not want to wait any longer; if it still waits, it was not sent."""

    token: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Say goodbye; what is queued has ``patience`` seconds to be sent."""

    patience: float


SessionEvent: TypeAlias = (
    Start
    | SocketLost
    | Heard
    | Welcomed
    | Introduced
    | SignalVerified
    | Suspected
    | Expelled
    | Kick
    | FromLink
    | Send
    | SendAll
    | SendPiece
    | AbortTransfer
    | Cancel
    | NetworkChanged
    | OpenChannel
    | CloseChannel
    | Flush
    | Leave
)

# --- outputs (besides those of links and of the contact) ------------------------


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the application."""

    event: Event


class Deliver(Struct, frozen=True, gc=False):
    """Tell the application of a message, maybe ``Deflated``; what it has read is reported.

    ``FromLink(source, Read(stream, cost))`` does that, for one or for many. Where the cost
    is 0, nobody waits: the oldest may be dropped for a newer one. ``latest``: what the same
    sender said under that key before, and nobody has read yet, has no value now.
    """

    message: Message
    source: SessionKey
    stream: int
    cost: int
    latest: bool = False


class DeliverPiece(Struct, frozen=True):
    """Tell the application of a piece of a transfer; what it has read is reported likewise."""

    peer: Peer
    source: SessionKey
    piece: link.PieceArrived


class CheckStatement(Struct, frozen=True):
    """See whether a statement is the server's; if so, ``Expelled`` says what it is."""

    body: str
    signature: str


class Accepted(Struct, frozen=True):
    """The message of that token is now ours to deliver; or the ``Flush`` is done."""

    token: int


@dataclass(frozen=True, slots=True)
class Unsendable:
    """The message of that token was not sent."""

    token: int
    error: MeshError


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; ``error`` says why, None after ``Leave``."""

    error: MeshError | None


_Inner: TypeAlias = (
    link.OpenConnection
    | link.CloseConnection
    | link.Perform
    | link.SendFrame
    | link.SendRelayed
    | link.MarkLow
    | link.MeasureBuffer
    | link.AskStats
    | link.TransmitSignal
)

SessionOutput: TypeAlias = (
    _Inner
    | ContactOutput
    | Emit
    | Deliver
    | DeliverPiece
    | link.TransfersBroken
    | CheckStatement
    | Accepted
    | Unsendable
    | Ended
)
