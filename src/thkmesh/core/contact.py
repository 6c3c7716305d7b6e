"""Keeping in contact with the signaling server.

One WebSocket at a time: open it, wait for the challenge, say hello, be welcomed,
ping. If it is lost, try again after a while chosen by full jitter, so that a
thousand clients of a restarted server do not come back in the same moment; for
as long as it takes, unless the close code says that coming back is of no use.

A server that asks for patience (``retryAfter`` of an error, or of ``moving``) gets it,
within reason: not before that does the wait begin.

When the network has changed, what was lost is tried again at once, and what seems to
be there is asked whether it is: a WebSocket from an address that is gone would be
missed half a minute later.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from thkmesh.core import wire
from thkmesh.core.backoff import full_jitter
from thkmesh.core.closing import ABNORMAL, UNTRUSTED, CloseCode
from thkmesh.errors import (
    JoinError,
    Kicked,
    MeshError,
    NotGranted,
    ProtocolMismatch,
    Replaced,
    RoomClosed,
    RoomFull,
    ServerUnreachable,
    Unauthorized,
)
from thkmesh.events import ServerState

__all__ = [
    "CloseSocket",
    "Contact",
    "ContactOutput",
    "OpenSocket",
    "RenewPermit",
    "SayHello",
    "SendToServer",
]

RETRY_BASE: Final = 0.25
RETRY_CAP: Final = 5.0
"""Seconds of the first and the longest wait before the WebSocket is opened again."""

RETRY_AFTER_MOST: Final = 60.0
"""Seconds for which a server may have us stay away, whatever it asks for."""

STEADY: Final = 5.0
"""Seconds after which a connection was a good one: the next loss is the first again."""

GREETING_TIMEOUT: Final = 10.0
"""Seconds from opening the WebSocket to the welcome."""

PING_LEAST: Final = 1.0
PING_MOST: Final = 60.0
"""Seconds between pings, whatever a server asks for: none may have us do nothing else."""

PONG_TIMEOUT: Final = 10.0
"""Seconds that a ping may stay unanswered by anything."""

DOUBT_TIMEOUT: Final = 1.5
"""The same after the network has changed, unless the last answer took a quarter of it."""

HUNG: Final = 1.0
"""Seconds after which an attempt that is still under way as the network changes is begun anew."""


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """Open the WebSocket."""


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close the WebSocket; nothing more comes from it."""


@dataclass(frozen=True, slots=True)
class SayHello:
    """Sign and send the hello, with proof over ``nonce``."""

    nonce: str
    resume: str


@dataclass(frozen=True, slots=True)
class RenewPermit:
    """Get a fresh token and show it: the permit ends before long."""


@dataclass(frozen=True, slots=True)
class SendToServer:
    """Send a message that needs no signature."""

    message: wire.Leave | wire.Ping | wire.Kick


ContactOutput: TypeAlias = OpenSocket | CloseSocket | SayHello | RenewPermit | SendToServer

_ERRORS: Final[dict[int, type[MeshError]]] = {
    CloseCode.UNAUTHORIZED: Unauthorized,
    CloseCode.NOT_GRANTED: NotGranted,
    CloseCode.PROTOCOL_MISMATCH: ProtocolMismatch,
    CloseCode.REPLACED: Replaced,
    CloseCode.ROOM_FULL: RoomFull,
}


class Contact:
    """The client's side of the conversation with the server.

    Attributes:
        state: connecting until the first welcome, then connected or reconnecting.
        error: why the conversation is over for good; None while it is not.
        relay_bytes: how much the server passes on in a second; 0 if nothing.
        grants: what the server lets us do, by its last word.
        room_key: what the server signs with who is removed; empty if it does not.
    """

    def __init__(self, dice: Callable[[], float]) -> None:
        """Begin without a WebSocket; ``dice`` returns random numbers in [0, 1)."""
        self.state = ServerState.CONNECTING
        self.error: MeshError | None = None
        self.relay_bytes = 0
        self.grants: tuple[str, ...] = ()
        self.room_key = ""
        self._complaint = ""
        """What the server said last of what we did wrong."""
        self._dice = dice
        self._resume = ""
        self._failures = 0
        self._welcomed_at: float | None = None
        self._opened_at = 0.0
        self._pings = 0
        self._pinged_at = 0.0
        self._trip = 0.0
        """Seconds that the last answer to a ping took."""
        self._ping_interval = 20.0
        self._retry_at: float | None = None
        self._not_before = 0.0
        """Until when the server does not want to see us."""
        self._ping_at: float | None = None
        self._silent_at: float | None = None
        """When silence means that the WebSocket is dead."""
        self._known = False
        """Whether the server has been told who we are, welcomed or not yet."""

    @property
    def deadline(self) -> float | None:
        """When to tick at the latest."""
        times = (self._retry_at, self._ping_at, self._silent_at)
        return min([time for time in times if time is not None], default=None)

    def start(self, now: float) -> list[ContactOutput]:
        """Open the first WebSocket."""
        return self._open(now)

    def heard(self, message: wire.ToClient, now: float) -> list[ContactOutput]:
        """Take note of any message; answer a challenge, keep what a welcome says."""
        if self._silent_at is None:
            return []
        if isinstance(message, wire.Error):
            self._complaint = message.message
        match message:
            case wire.Challenge(nonce=nonce, protocol=(low, high)):
                if not low <= wire.PROTOCOL <= high:
                    text = f"the server speaks protocol {low} to {high}, we speak {wire.PROTOCOL}"
                    return self._end(ProtocolMismatch(text))
                self._known = True
                return [SayHello(nonce, self._resume)]
            case wire.Welcome():
                self.state = ServerState.CONNECTED
                self._known = True
                self._resume = message.resume
                self.relay_bytes = message.relay_bytes
                self.grants = message.grants
                self.room_key = message.room_key
                self._welcomed_at = now
                self._ping_interval = min(max(message.ping_interval, PING_LEAST), PING_MOST)
                self._ping_at = now + self._ping_interval
                self._silent_at = self._ping_at + PONG_TIMEOUT
            case _:
                return self._noted(message, now)
        return []

    def _noted(self, message: wire.ToClient, now: float) -> list[ContactOutput]:
        if isinstance(message, wire.Error | wire.Moving) and message.retry_after is not None:
            self._not_before = now + min(message.retry_after, RETRY_AFTER_MOST)
        if self._ping_at is not None:
            self._silent_at = self._ping_at + PONG_TIMEOUT
            if message == wire.Pong(self._pings):
                self._trip = now - self._pinged_at
            if isinstance(message, wire.Admitted):
                self.grants = message.grants
                return [RenewPermit()] if message.renew else []
        return []

    def lost(self, code: int, reason: str, now: float) -> list[ContactOutput]:
        """Take note that the WebSocket ended; come back later, or never."""
        joined = self.state is not ServerState.CONNECTING
        if code == UNTRUSTED and not joined:
            # What we are told to trust does not change. Later it may be the network
            # that somebody walked into, and another one comes.
            return self._end(ServerUnreachable(reason))
        if code == CloseCode.KICKED:
            return self._end(Kicked(self._complaint or reason))
        known = code in set(CloseCode)
        if known and CloseCode(code).final and not self._returning(code):
            text = reason or CloseCode(code).name.lower().replace("_", " ")
            kind = _ERRORS.get(code, RoomClosed if joined else JoinError)
            return self._end(kind(f"the signaling server closed with {code}: {text}"))
        if joined:
            self.state = ServerState.RECONNECTING
        if self._welcomed_at is not None and now - self._welcomed_at >= STEADY:
            self._failures = 0
        self._welcomed_at = None
        self._known = False
        self._ping_at = self._silent_at = None
        self._retry_at = self._return_at(now)
        self._failures += 1
        return []

    def _returning(self, code: int) -> bool:
        """Tell whether the server has no place for us now, though we were in before.

        Others may leave a full room, and one that went with its server may be made by who is
        allowed to. Who is told on a connection that was welcomed has lost the grant to join.
        """
        if code == CloseCode.NOT_GRANTED and self._welcomed_at is not None:
            return False
        back = {CloseCode.ROOM_FULL, CloseCode.NOT_GRANTED}
        return self.state is not ServerState.CONNECTING and code in back

    def network_changed(self, now: float) -> list[ContactOutput]:
        """Come back at once; or ask whether the WebSocket still leads to the server."""
        self._failures = 0
        if self._retry_at is not None:
            self._retry_at = min(self._retry_at, self._return_at(now))
        elif self._ping_at is not None:
            self._silent_at = self._doubt(now)
            return [self._ping(now)]
        elif self._silent_at is not None:
            if now >= self._opened_at + HUNG:
                return [CloseSocket(), *self.lost(ABNORMAL, "the network has changed", now)]
            self._silent_at = min(self._silent_at, self._doubt(now))
        return []

    def _doubt(self, now: float) -> float:
        """Return until when something must be heard after the network has changed."""
        return now + min(max(DOUBT_TIMEOUT, 4 * self._trip), PONG_TIMEOUT)

    def _return_at(self, now: float) -> float:
        delay = full_jitter(self._failures, self._dice(), base=RETRY_BASE, cap=RETRY_CAP)
        return max(now, self._not_before) + delay

    def settle(self, now: float) -> list[ContactOutput]:
        """Do what is due."""
        if self._silent_at is not None and now >= self._silent_at:
            return [CloseSocket(), *self.lost(ABNORMAL, "the server fell silent", now)]
        if self._retry_at is not None and now >= self._retry_at:
            return self._open(now)
        if self._ping_at is not None and now >= self._ping_at:
            return [self._ping(now)]
        return []

    def _ping(self, now: float) -> ContactOutput:
        self._pings += 1
        self._pinged_at = now
        self._ping_at = now + self._ping_interval
        return SendToServer(wire.Ping(self._pings))

    def slept(self, duration: float) -> None:
        """Give back the time that we did not listen."""
        self._opened_at += duration
        self._pinged_at += duration
        if self._silent_at is not None:
            self._silent_at += duration

    def dismiss(self, error: MeshError) -> list[ContactOutput]:
        """End it for good: we have been told that we are removed."""
        return self._end(error)

    def leave(self) -> list[ContactOutput]:
        """Say goodbye and close."""
        goodbye: list[ContactOutput] = []
        if self._known:
            goodbye.append(SendToServer(wire.Leave()))
        return goodbye + self._end(None)

    def _open(self, now: float) -> list[ContactOutput]:
        self._retry_at = None
        self._known = False
        self._opened_at = now
        self._silent_at = now + GREETING_TIMEOUT
        return [OpenSocket()]

    def _end(self, error: MeshError | None) -> list[ContactOutput]:
        self.state = ServerState.CLOSED
        self.error = error
        self._retry_at = self._ping_at = self._silent_at = None
        return [CloseSocket()]
