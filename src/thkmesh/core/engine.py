"""What we ask of a WebRTC engine, in our own words.

An engine makes connections. A connection performs **one operation at a time**
(the negotiator sees to that) and reports everything that happens as events
through one callback, ``emit``, in order, on the loop that opened it, and never
from within a call into the connection. After ``close`` it emits nothing more.

==============  ===========================  ============  ==================
operation       legal in signaling state     leads to      result
==============  ===========================  ============  ==================
MakeOffer       stable                       have-local    OperationDone(sdp)
MakeAnswer      have-remote                  stable        OperationDone(sdp)
ApplyRemote     offer: stable                have-remote   OperationDone
ApplyRemote     answer: have-local           stable        OperationDone
RollBack        have-local                   stable        OperationDone
AddCandidate    a remote description is set  (same)        OperationDone
==============  ===========================  ============  ==================

An operation that cannot be done ends with ``OperationFailed`` and leaves the
signaling state as it was. MakeOffer and MakeAnswer create *and set* the local
description (W3C ``setLocalDescription()`` without arguments).

Every connection has the same three pre-negotiated data channels from the start
(``negotiated: true``, created before the first description): ``CONTROL`` and
messages, ``BULK`` for what may come in any order, and lossy ``REALTIME``. So no channel
is ever announced in band, and no announcement can be lost.

Source: W3C WebRTC 1.0, sections 4.3.1 (signaling states), 4.4.1.6
(setLocalDescription), 6.1 (RTCDataChannel); RFC 8831, RFC 8832.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from msgspec import Struct

__all__ = [
    "BULK",
    "CHANNELS",
    "CONTROL",
    "END_OF_CANDIDATES",
    "REALTIME",
    "AddCandidate",
    "ApplyRemote",
    "BufferLow",
    "Candidate",
    "CandidateFound",
    "Capabilities",
    "ChannelClosed",
    "ChannelOpened",
    "ChannelSpec",
    "Connection",
    "ConnectionConfig",
    "ConnectionState",
    "Description",
    "Engine",
    "EngineEvent",
    "FrameReceived",
    "IceServer",
    "MakeAnswer",
    "MakeOffer",
    "Operation",
    "OperationDone",
    "OperationFailed",
    "RollBack",
    "SdpType",
    "StateChanged",
    "Stats",
]

# --- data ---------------------------------------------------------------------


class SdpType(Enum):
    """The two kinds of description that travel."""

    OFFER = "offer"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Description:
    """A session description as it travels (RFC 8866 text)."""

    type: SdpType
    sdp: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An ICE candidate (RFC 8839); an empty ``candidate`` ends the candidates.

    ``ufrag`` names the ICE generation it belongs to and is never None here:
    adapters fill it in from their local description where the engine does not.
    """

    candidate: str
    mid: str | None
    mline_index: int | None
    ufrag: str


END_OF_CANDIDATES = ""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server (RFC 7064, RFC 7065 URLs)."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One pre-negotiated data channel."""

    id: int
    label: str
    ordered: bool = True
    max_retransmits: int | None = None


CONTROL = 0
BULK = 1
REALTIME = 2

CHANNELS = (
    ChannelSpec(CONTROL, "thkmesh-control"),
    ChannelSpec(BULK, "thkmesh-bulk", ordered=False),
    ChannelSpec(REALTIME, "thkmesh-realtime", ordered=False, max_retransmits=0),
)


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """What a connection is made from.

    Attributes:
        ice_servers: STUN and TURN servers; none by default, and it works without.
        relay_only: use TURN candidates only (hides our addresses).
        low_water_bytes: ``BufferLow`` is emitted when a channel's buffered
            amount falls to this or below from above; ``mark_low`` changes it.
    """

    ice_servers: tuple[IceServer, ...] = ()
    relay_only: bool = False
    low_water_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; the link does the rest by replacing connections."""

    rollback: bool
    ice_restart: bool
    trickle: bool
    max_message_bytes: int
    send_anywhere: bool = False
    """``Connection.send``, ``buffered_bytes`` and ``mark_low`` may be called on any thread.

    One at a time, that is.
    """


@dataclass(frozen=True, slots=True)
class Stats:
    """What an engine knows of a connection; None where it cannot tell.

    ``rtt`` is in seconds; ``local_type`` and ``remote_type`` are the ICE types
    of the selected pair (host, srflx, prflx, relay), ``protocol`` udp or tcp (for a
    relay, that of the way to it), ``ip_version`` 4 or 6. Of ICE's connectivity and
    consent checks (RFC 8445, RFC 7675) on that pair ``checks_sent`` have been sent, and
    ``checks_answered`` answered; nobody sends them again, so they tell of loss.
    """

    rtt: float | None = None
    local_type: str | None = None
    remote_type: str | None = None
    protocol: str | None = None
    ip_version: int | None = None
    checks_sent: int | None = None
    checks_answered: int | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None


class ConnectionState(Enum):
    """W3C RTCPeerConnectionState."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


# --- operations ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MakeOffer:
    """Create an offer and set it as local description."""

    ice_restart: bool = False


@dataclass(frozen=True, slots=True)
class MakeAnswer:
    """Create an answer and set it as local description."""


@dataclass(frozen=True, slots=True)
class ApplyRemote:
    """Set the remote description."""

    description: Description


@dataclass(frozen=True, slots=True)
class RollBack:
    """Withdraw our own outstanding offer."""


@dataclass(frozen=True, slots=True)
class AddCandidate:
    """Add one remote candidate."""

    candidate: Candidate


Operation: TypeAlias = MakeOffer | MakeAnswer | ApplyRemote | RollBack | AddCandidate

# --- events -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OperationDone:
    """The operation in flight succeeded; the description it made, if it made one."""

    operation: Operation
    description: Description | None = None


@dataclass(frozen=True, slots=True)
class OperationFailed:
    """The operation in flight had no effect; ``reason`` is for the log."""

    operation: Operation
    reason: str


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """ICE found a local candidate (or has no more, see ``Candidate``)."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The state of the whole connection changed."""

    state: ConnectionState


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """A channel can carry frames both ways."""

    channel: int


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """A channel will carry no more frames."""

    channel: int


class FrameReceived(Struct, frozen=True):
    """One datagram arrived; ``data`` is ours to keep."""

    channel: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BufferLow:
    """A channel's buffered amount fell to the low-water mark."""

    channel: int


EngineEvent: TypeAlias = (
    OperationDone
    | OperationFailed
    | CandidateFound
    | StateChanged
    | ChannelOpened
    | ChannelClosed
    | FrameReceived
    | BufferLow
)

# --- the protocol -------------------------------------------------------------


class Connection(Protocol):
    """One RTCPeerConnection with its three channels."""

    def perform(self, operation: Operation) -> None:
        """Begin an operation; exactly one result event follows, unless closed."""

    def send(self, channel: int, data: bytes) -> bool:
        """Hand one datagram to a channel.

        Returns False when the channel is not open or its buffer (16 MiB) is
        full; nothing was sent then. Never raises for what the network does.
        """
        ...

    def buffered_bytes(self, channel: int) -> int:
        """Return how many bytes wait in the engine's buffer of a channel."""
        ...

    def mark_low(self, channel: int, size_bytes: int) -> None:
        """Have another low-water mark from now on; no event comes of that alone."""

    def reconfigure(self, config: ConnectionConfig) -> None:
        """Gather candidates with other ICE servers from now on: at an ICE restart, that is.

        What is in use goes on. Never raises.
        """

    async def stats(self) -> Stats:
        """Return what the engine knows; never raises, fields may be None."""
        ...

    async def close(self, drain: float = 0.0) -> None:
        """Close; idempotent. Frames already sent get up to ``drain`` seconds to leave.

        No event is emitted from the moment this is called. The remote end is
        told as well as the engine can.
        """


class Engine(Protocol):
    """A maker of connections. One per loop; everything runs on that loop."""

    @property
    def name(self) -> str:
        """Return the name users choose it by."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Return what it can do."""
        ...

    def open(self, config: ConnectionConfig, emit: Callable[[EngineEvent], None]) -> Connection:
        """Make a connection that reports to ``emit``.

        Raises:
            EngineError: the engine can make no more connections.
        """
        ...

    async def close(self) -> None:
        """Close every connection that is still open and let go of the engine."""
