"""What a link is told, and what it wants done.

What there is one of for every message, or datagram, is a struct, the rest are data
classes: those take several times as long to make.
"""

from dataclasses import dataclass
from typing import TypeAlias

from msgspec import Struct

from thkmesh.core import engine, wire
from thkmesh.core.deflate import Deflated
from thkmesh.core.identity import SessionKey
from thkmesh.core.negotiation import Begin, Change
from thkmesh.core.pieces import Ending
from thkmesh.errors import PeerError
from thkmesh.events import Data, LinkState, Path, Quality

__all__ = [
    "Abandon",
    "Alleged",
    "Appended",
    "AskStats",
    "CloseConnection",
    "ContentArrived",
    "CutLoose",
    "Depart",
    "Dropped",
    "Enqueue",
    "FromEngine",
    "Garbled",
    "Graded",
    "Hasten",
    "Lagged",
    "LinkEvent",
    "LinkOutput",
    "Listening",
    "MarkLow",
    "MeasureBuffer",
    "Measured",
    "MessagesLost",
    "Misbehaved",
    "Moved",
    "NetworkChanged",
    "Offline",
    "Online",
    "OpenConnection",
    "Opened",
    "Passing",
    "Perform",
    "PieceArrived",
    "Read",
    "Relayed",
    "Renew",
    "Rerouted",
    "SaidGoodbye",
    "SendFrame",
    "SendRelayed",
    "SignalArrived",
    "StatsArrived",
    "Tell",
    "TransfersBroken",
    "TransmitSignal",
]

# --- inputs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Online:
    """Signals can reach the other session now.

    ``relay``: so can sealed datagrams.
    """

    relay: bool = False


@dataclass(frozen=True, slots=True)
class Offline:
    """Signals cannot reach it, until ``Online``."""


@dataclass(frozen=True, slots=True)
class SignalArrived:
    """A verified signal from the other session.

    ``body`` is None in a bare acknowledgement, and for a kind we do not know.
    """

    seq: int
    ack: int
    body: wire.SignalBody | None


@dataclass(frozen=True, slots=True)
class Relayed:
    """A datagram came through the server, whole and sealed by the other session."""

    data: bytes


class FromEngine(Struct, frozen=True):
    """Something a connection of this link reported."""

    number: int
    event: engine.EngineEvent


class Measured(Struct, frozen=True):
    """The answer to ``MeasureBuffer``."""

    number: int
    held_bytes: int
    channel: int = engine.CONTROL


@dataclass(frozen=True, slots=True)
class StatsArrived:
    """The answer to ``AskStats``."""

    number: int
    stats: engine.Stats


class Enqueue(Struct, frozen=True):
    """A message to send to this session alone, now or when the link is up."""

    channel: str
    kind: int
    payload: bytes


class Passing(Struct, frozen=True):
    """A message that need not arrive; ``number`` is that for everybody, None to this one alone."""

    channel: str
    number: int | None
    kind: int
    payload: bytes


class Hasten(Struct, frozen=True):
    """Messages to send now or not at all."""

    messages: tuple[Passing, ...]


class Appended(Struct, frozen=True):
    """There is more in a log of what goes to everybody."""


@dataclass(frozen=True, slots=True)
class CutLoose:
    """Give up what was sent to everybody and has not arrived: others wait for it."""

    channel: str


@dataclass(frozen=True, slots=True)
class Opened:
    """We have another channel."""

    channel: str


@dataclass(frozen=True, slots=True)
class Listening:
    """We want to hear of other channels than before."""


class Read(Struct, frozen=True):
    """The application has read so much of what came on a stream (see ``credit``)."""

    stream: int
    size: int


@dataclass(frozen=True, slots=True)
class Garbled:
    """What a message of the other session says cannot be made out; why not."""

    reason: str


@dataclass(frozen=True, slots=True)
class Renew:
    """Give up this connection and make another (the seed's Reconnect button)."""


@dataclass(frozen=True, slots=True)
class NetworkChanged:
    """What we reach others by may be something else now: ask at once whether it still works."""


@dataclass(frozen=True, slots=True)
class Depart:
    """Say goodbye after what is queued, then close when it has arrived."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """The other session is gone, or time is up: close now.

    ``drain``: seconds that what the engine holds still has.
    """

    drain: float = 0.0


@dataclass(frozen=True, slots=True)
class Tell:
    """Pass on what the server says of who is removed, if that is possible now."""

    body: str
    signature: str


LinkEvent: TypeAlias = (
    Online
    | Offline
    | SignalArrived
    | Relayed
    | FromEngine
    | Measured
    | StatsArrived
    | Enqueue
    | Hasten
    | Appended
    | CutLoose
    | Opened
    | Listening
    | Read
    | Garbled
    | Begin
    | Change
    | Renew
    | NetworkChanged
    | Depart
    | Abandon
    | Tell
)

# --- outputs ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """Have the engine make a connection; its events come as ``FromEngine(number)``."""

    to: SessionKey
    number: int


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Close a connection, with ``drain`` seconds to deliver what it holds."""

    to: SessionKey
    number: int
    drain: float = 0.0


@dataclass(frozen=True, slots=True)
class Perform:
    """Begin an operation on a connection."""

    to: SessionKey
    number: int
    operation: engine.Operation


class SendFrame(Struct, frozen=True):
    """Hand a datagram to a channel."""

    to: SessionKey
    number: int
    channel: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class SendRelayed:
    """Seal a datagram and send it through the server; it may be lost."""

    to: SessionKey
    datagram: bytes


class MarkLow(Struct, frozen=True):
    """Have the engine say ``BufferLow`` when a channel that loses nothing holds this or less."""

    to: SessionKey
    number: int
    size_bytes: int


class MeasureBuffer(Struct, frozen=True):
    """Ask how much the engine holds; answered by ``Measured``.

    ``channel``: ``CONTROL`` for both channels that lose nothing, or ``REALTIME``.
    """

    to: SessionKey
    number: int
    channel: int = engine.CONTROL


@dataclass(frozen=True, slots=True)
class AskStats:
    """Ask what the engine knows of a connection; answered by ``StatsArrived``."""

    to: SessionKey
    number: int


@dataclass(frozen=True, slots=True)
class TransmitSignal:
    """Sign a signal and send it through the server; ``seq`` 0 is a bare ack."""

    to: SessionKey
    envelope: type[wire.Signal]
    seq: int
    ack: int
    body: str


class ContentArrived(Struct, frozen=True, gc=False):
    """An application message came in.

    Attributes:
        channel: the name of its channel.
        data: what it says, maybe deflated still.
        stream: what it came on; the odd ones are for us alone.
        cost: what must be ``Read`` of the stream for its sender to send more; 0 of what need
            not arrive: for that nobody waits.
        key: what it is the latest value of, maybe empty; None for any other message.
    """

    channel: str
    data: "Data | Deflated"
    stream: int
    cost: int
    key: str | None = None


class PieceArrived(Struct, frozen=True):
    """A piece of a transfer came in, or is missed (see ``pieces``).

    Attributes:
        channel: the name of its channel.
        stream: what it came on; the odd ones are for us alone.
        transfer: which one, of that stream.
        begins: whether it is the first of it.
        ending: how it stands with the transfer now.
        cost: what must be ``Read`` of the stream for its sender to send more.
    """

    channel: str
    stream: int
    transfer: int
    begins: bool
    payload: bytes
    ending: Ending
    cost: int


class TransfersBroken(Struct, frozen=True):
    """All transfers that were under way on a stream of the other session are broken."""

    sender: SessionKey
    stream: int


@dataclass(frozen=True, slots=True)
class Alleged:
    """The other session passed on that somebody is removed; that may be forged."""

    sender: SessionKey
    body: str
    signature: str


@dataclass(frozen=True, slots=True)
class MessagesLost:
    """So many messages of the other session will not come: it could not wait for us."""

    sender: SessionKey
    channel: str
    count: int


@dataclass(frozen=True, slots=True)
class Lagged:
    """So many messages of ours are not known to have arrived, and were given up."""

    to: SessionKey
    channel: str
    count: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """So many messages to the other session alone: it does not listen to that channel."""

    to: SessionKey
    channel: str
    count: int


@dataclass(frozen=True, slots=True)
class Moved:
    """The link's state is now another."""

    to: SessionKey
    state: LinkState


@dataclass(frozen=True, slots=True)
class Rerouted:
    """The relay came into use, or was left for this path."""

    to: SessionKey
    path: Path | None


@dataclass(frozen=True, slots=True)
class Graded:
    """The link has another grade, or goes another kind of way."""

    to: SessionKey
    quality: Quality


@dataclass(frozen=True, slots=True)
class SaidGoodbye:
    """The other session said that it leaves."""

    sender: SessionKey


@dataclass(frozen=True, slots=True)
class Misbehaved:
    """The other session broke the protocol; what it sent had no effect."""

    sender: SessionKey
    error: PeerError


LinkOutput: TypeAlias = (
    OpenConnection
    | CloseConnection
    | Perform
    | SendFrame
    | SendRelayed
    | MarkLow
    | MeasureBuffer
    | AskStats
    | TransmitSignal
    | ContentArrived
    | PieceArrived
    | TransfersBroken
    | MessagesLost
    | Lagged
    | Dropped
    | Moved
    | Rerouted
    | Graded
    | SaidGoodbye
    | Alleged
    | Misbehaved
)
