"""Signals that arrive exactly once and in order, whatever the WebSockets do.

The problem: ``negotiation`` is right only over signaling that loses, doubles and
reorders nothing, and a signaling WebSocket does all three as soon as it breaks
and comes back. So the two sessions number their signals themselves.

The idea: one sequencer for each (own session, remote session). A signal has the
next number from 1 and is kept until acknowledged; acknowledgements are cumulative
and ride along with everything sent. The receiver delivers in order, drops what
it has had, and lets what came early wait.

===================  ==========================================================
signal ``seq``       what the receiver does (``n`` = the last delivered)
===================  ==========================================================
0                    a bare acknowledgement: nothing to deliver
1 .. n               drops it, and acknowledges again
n + 1                delivers it, and those that waited for it
n + 2 .. n + WINDOW  lets it wait; the first of them it answers with where it stands
beyond               refuses it: its sender may not have so many outstanding
===================  ==========================================================

Unacknowledged signals are sent again when the way is open again (``Resume``) and,
while it stays open, after 2, 4, 8 ... at most 30 seconds: the server may have
refused one, or lost it with a process. While it is closed (``Pause``) nothing is
sent. A bare acknowledgement leaves 200 ms after the first delivery that nothing
else has acknowledged; it is not numbered, so none answers another.

The server may have sent signals on a connection that was dead, and only who comes back
sees that some are missing. So an acknowledgement of nothing new, while something is
owed, is answered with all that is owed: once, until there is progress or the time comes,
and if it rides on a signal, which may have crossed ours, only a second after ours.

The caller keeps lives apart: what is from or for another session never gets here.
The sequencer keeps text and not signatures: signing again gives the same bytes
(Ed25519 is deterministic, RFC 8032), and the acknowledgement is not signed.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from thkmesh.core.machine import Ignored, Slept, Tick
from thkmesh.core.wire import Ack, Signal

__all__ = [
    "ACK_DELAY",
    "CROSSING",
    "RESEND_FIRST",
    "RESEND_LAST",
    "WINDOW",
    "Deliver",
    "Overflow",
    "Pause",
    "Received",
    "Resume",
    "Send",
    "Sequencer",
    "SequencingEvent",
    "SequencingOutput",
    "Snapshot",
    "Transmit",
]

CROSSING = 1.0
"""Seconds that signals may cross each other on their way."""

WINDOW = 256
"""How many signals may be unacknowledged, and how many may wait for an earlier one."""

ACK_DELAY = 0.2
"""Seconds after which a delivery is acknowledged on its own."""

RESEND_FIRST = 2.0
RESEND_LAST = 30.0
"""Seconds to the first resend, doubled for each further one up to the last."""

_Payload = TypeVar("_Payload")

# --- inputs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Send a signal: its envelope's type and its body, exactly as it will be signed."""

    envelope: type[Signal]
    body: str


@dataclass(frozen=True, slots=True)
class Received(Generic[_Payload]):
    """A verified signal has come in; ``payload`` is whatever is to be delivered."""

    seq: int
    ack: int
    payload: _Payload


@dataclass(frozen=True, slots=True)
class Resume:
    """The way to the other session is open (again): our WebSocket is back, or it is listed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """There is no way to the other session."""


SequencingEvent: TypeAlias = Send | Received[_Payload] | Resume | Pause

# --- outputs (besides Ignored) --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transmit:
    """Put this signal on the wire, signed anew. A bare acknowledgement has ``seq`` 0."""

    envelope: type[Signal]
    seq: int
    ack: int
    body: str


@dataclass(frozen=True, slots=True)
class Deliver(Generic[_Payload]):
    """The next signal, in order."""

    payload: _Payload


@dataclass(frozen=True, slots=True)
class Overflow:
    """The signal was not accepted: ``WINDOW`` others are still unacknowledged."""

    body: str


SequencingOutput: TypeAlias = Transmit | Deliver[_Payload] | Overflow | Ignored

# --- state --------------------------------------------------------------------

Snapshot: TypeAlias = tuple[object, ...]


class Sequencer(Generic[_Payload]):
    """One session's half of a numbered conversation with one other session."""

    def __init__(self, *, online: bool = True) -> None:
        """Start a conversation; with ``online`` False it waits for ``Resume``."""
        self._online = online
        self._sent = 0  # the last number given to a signal
        self._unacknowledged: deque[tuple[int, Send]] = deque()
        self._delivered = 0  # the last number delivered
        self._early: dict[int, _Payload] = {}
        self._ack_due: float | None = None
        self._resend_due: float | None = None
        self._resend_delay = RESEND_FIRST
        self._sent_at = 0.0  # when anything of what is owed was sent last
        self._repeated = False  # since there was progress, because the other side missed some

    @property
    def deadline(self) -> float | None:
        """When to acknowledge or to resend, in seconds; None while paused or at rest."""
        if not self._online:
            return None
        ack, resend = self._ack_due, self._resend_due
        if ack is None or resend is None:
            return resend if ack is None else ack
        return min(ack, resend)

    @property
    def unacknowledged(self) -> int:
        """How many signals the other session has not acknowledged."""
        return len(self._unacknowledged)

    def rest(self) -> None:
        """Pause, and keep the numbers only: what came early will be sent again."""
        self._online = False
        self._early.clear()

    def snapshot(self) -> Snapshot:
        """Return the whole state as a value, for tests."""
        return (
            self._online,
            self._sent,
            tuple(self._unacknowledged),
            self._delivered,
            tuple(sorted(self._early)),
            self._ack_due,
            self._resend_due,
            self._resend_delay,
            self._repeated,
        )

    def handle(
        self, event: SequencingEvent[_Payload] | Tick | Slept, now: float
    ) -> list[SequencingOutput[_Payload]]:
        """Settle what is due at ``now``, then ``event``; return what to do, in order."""
        if isinstance(event, Slept):
            self._sleep(event.duration)
        return [*self._settle(now), *self._take(event, now)]

    def _take(
        self, event: SequencingEvent[_Payload] | Tick | Slept, now: float
    ) -> Iterator[SequencingOutput[_Payload]]:
        match event:
            case Send():
                yield from self._accept(event, now)
            case Received(seq=seq, ack=ack, payload=payload):
                yield from self._acknowledge(ack, now, bare=seq == 0)
                yield from self._receive(seq, payload, now)
            case Resume():
                yield from self._resume(now)
            case Pause():
                self._online = False
            case Tick() | Slept():  # pragma: no branch - exhaustive
                pass

    # --- sending --------------------------------------------------------------

    def _accept(self, signal: Send, now: float) -> Iterator[SequencingOutput[_Payload]]:
        if len(self._unacknowledged) == WINDOW:
            yield Overflow(signal.body)
            return
        self._sent += 1
        self._unacknowledged.append((self._sent, signal))
        if self._online:
            self._sent_at = now
            yield self._transmit(self._sent, signal)
            if self._resend_due is None:
                self._resend_due = now + self._resend_delay

    def _transmit(self, seq: int, signal: Send) -> Transmit:
        self._ack_due = None
        return Transmit(signal.envelope, seq, self._delivered, signal.body)

    def _resend(self, now: float) -> Iterator[Transmit]:
        self._resend_due = now + self._resend_delay if self._unacknowledged else None
        self._sent_at = now
        for seq, signal in self._unacknowledged:
            yield self._transmit(seq, signal)

    def _acknowledge(self, ack: int, now: float, *, bare: bool) -> Iterator[Ignored | Transmit]:
        if ack > self._sent:
            yield Ignored("acknowledged-unsent", violation=True)
            return
        before = len(self._unacknowledged)
        nothing_new = bool(before) and ack == self._unacknowledged[0][0] - 1
        while self._unacknowledged and self._unacknowledged[0][0] <= ack:
            self._unacknowledged.popleft()
        if len(self._unacknowledged) < before:
            self._repeated = False
            self._resend_delay = RESEND_FIRST
            self._resend_due = now + self._resend_delay if self._unacknowledged else None
        elif (
            nothing_new
            and self._online
            and not self._repeated
            and (bare or now >= self._sent_at + CROSSING)
        ):
            self._repeated = True
            yield from self._resend(now)

    # --- receiving ------------------------------------------------------------

    def _receive(
        self, seq: int, payload: _Payload, now: float
    ) -> Iterator[SequencingOutput[_Payload]]:
        if seq == 0:
            return
        if seq > self._delivered + WINDOW:
            yield Ignored("beyond-window", violation=True)
        elif seq in self._early:
            yield Ignored("duplicate")
        elif seq <= self._delivered:
            yield Ignored("duplicate")
            self._owe_ack(now)
        else:
            if self._online and not self._early and seq > self._delivered + 1:
                yield self._bare_ack()
            self._early[seq] = payload
            while self._delivered + 1 in self._early:
                self._delivered += 1
                yield Deliver(self._early.pop(self._delivered))
                self._owe_ack(now)

    def _owe_ack(self, now: float) -> None:
        if self._ack_due is None:
            self._ack_due = now + ACK_DELAY

    # --- time -----------------------------------------------------------------

    def _resume(self, now: float) -> Iterator[Transmit]:
        """Send all that is owed at once: the former way may have lost any of it."""
        self._online = True
        self._repeated = False
        self._resend_delay = RESEND_FIRST
        yield from self._resend(now)
        if self._ack_due is not None:
            yield self._bare_ack()

    def _settle(self, now: float) -> Iterator[Transmit]:
        if not self._online:
            return
        if self._resend_due is not None and now >= self._resend_due:
            self._repeated = False
            self._resend_delay = min(2 * self._resend_delay, RESEND_LAST)
            yield from self._resend(now)
        if self._ack_due is not None and now >= self._ack_due:
            yield self._bare_ack()

    def _bare_ack(self) -> Transmit:
        self._ack_due = None
        return Transmit(Ack, 0, self._delivered, "")

    def _sleep(self, duration: float) -> None:
        """Give acknowledgements that came in meanwhile the time to be read."""
        if self._resend_due is not None:
            self._resend_due += duration
