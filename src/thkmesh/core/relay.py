"""The path through the signaling server, for when there is no other.

Where no direct path opens, and while a broken one is being repaired, the link's
streams go on over the signaling WebSocket: sealed end to end, within an allowance, and
only as long as needed. The server drops what is over that or what a slow reader cannot
take, so this path **may lose**; it needs its own repair:

::

    closed ──no direct path for 1 s──▶ asking ──answered──▶ in use
       ▲                                 ╰◀── 3 time-outs ────╯ │
       ╰────────── direct path opens, or the server is gone ◀───╯

``Resume``, with all that we listen to, is said until the other side has answered with
its own or with an acknowledgement; then sending goes on from what that expects. At
most ``WINDOW_BYTES`` are on their way. A receiver ignores what leaves a gap and says
again what it expects; a sender without progress for a while, in any one stream, starts
again from what is acknowledged (go-back-N), behind another ``Resume``, and names its
channels anew. A
``Resume`` is answered with all that is wanted and listened to, though not at once if that
has just been said. So every loss is repaired:
of fragments, names, skips and acknowledgements by the sender's time-out; of a grant, or
of the news that we listen to another channel, after ``KEEPALIVE`` at the latest.

Who still has a direct path answers, but sends nothing of its own here.

While in use it is pinged, as far as the allowance has something to spare, for its quality
alone: what is lost here is no sign of an end.
"""

from collections.abc import Iterable
from typing import Final

from thkmesh.core import frames
from thkmesh.core.allowance import Allowance
from thkmesh.core.streams import ACK_DELAY
from thkmesh.core.traffic import Traffic

__all__ = [
    "KEEPALIVE",
    "OVERHEAD_BYTES",
    "PING_INTERVAL",
    "RELAY_AFTER",
    "TIMEOUT",
    "TIMEOUT_MOST",
    "TRIES",
    "WINDOW_BYTES",
    "Relay",
]

RELAY_AFTER: Final = 1.0
"""Seconds without a direct path after which the relay is asked for."""

WINDOW_BYTES: Final = 64 * 1024
"""No more than this is on its way."""

TIMEOUT: Final = 1.0
TIMEOUT_MOST: Final = 8.0
"""Seconds without an answer after which all is sent again, at first and at most.

It is twice the round trip, measured by fragments that were sent once, and doubles each
time (RFC 6298, section 5).
"""

OVERHEAD_BYTES: Final = 67
"""What sealing and addressing add to a datagram."""

TRIES: Final = 3
"""So many time-outs in a row mean that the other side is not there."""

KEEPALIVE: Final = 10.0
"""Seconds after which it is asked whether it is still there."""

PING_INTERVAL: Final = 5.0
"""Seconds between two pings."""

PING_BYTES: Final = 32
"""What a ping or its answer takes."""

PONG_INTERVAL: Final = 1.0
"""Seconds between two answers, at least: each costs us what we may send."""


class Relay:
    """One link's path through the server.

    Attributes:
        usable: the server passes frames on, the other session is listed, keys are agreed.
        open: it is we who use it.
        answered: the other side is there.
        owes: what arrived came over this path, so its acknowledgement goes there too.
    """

    def __init__(self, traffic: Traffic, allowance: Allowance) -> None:
        """Begin closed.

        Args:
            traffic: what is carried.
            allowance: how many bytes our session may send through the server.
        """
        self.usable = self.open = self.answered = self.owes = False
        self._traffic = traffic
        self._outbox, self._inbox = traffic.outbox, traffic.inbox
        self._allowance = allowance
        self._since: float | None = None
        self._resuming = self._answering = False
        self._timeout = TIMEOUT
        self._tries = 0
        self._ask_at: float | None = None
        self._flight: dict[int, tuple[int, int]] = {}  # as it was when that was set
        self._probe: tuple[int, int, float] | None = None
        """A stream, how far it was sent, and when: how long does its answer take?"""
        self._repeated: dict[int, int] = {}
        """How far of each stream an answer may be one to what was sent before."""
        self._asking = False  # That is for want of an answer, not of anything to say.
        self._blocked = False  # There is something to say, and it is not our turn.
        self._answer_at = 0.0
        self._ping_at = self._pong_at = 0.0
        self._pings = 0

    @property
    def deadline(self) -> float | None:
        """When to tick at the latest."""
        times = [self._ask_at]
        if self._blocked:
            # Who is not the first is told when it is.
            first = self._allowance.first == self._traffic.to
            times.append(self._allowance.due if first else None)
        elif self._acknowledging:
            times.append(self._inbox.ack_due)
        if self._since is not None and not self.open:
            times.append(self._since + RELAY_AFTER)
        if self.open and self.answered:
            times.append(self._ping_at)
        return min((time for time in times if time is not None), default=None)

    def slept(self, duration: float) -> None:
        """Give back the time in which nothing could be answered."""
        if self._ask_at is not None:
            self._ask_at += duration

    def watch(self, now: float, *, wanted: bool) -> None:
        """Open or close; ``wanted`` while there is no direct path."""
        if not (self.usable and wanted):
            self._since = None
            self._close()
        elif self._since is None:
            self._since = now
        elif not self.open and now >= self._since + RELAY_AFTER:
            self._begin()
        if not self.usable:
            self.owes = self._resuming = self._answering = False

    # --- what arrives -----------------------------------------------------------------

    def resumed(self, resume: frames.Resume, now: float) -> None:
        """Take the other side's word for what it has; answer.

        Raises:
            InvalidMessage: it cannot have that.
        """
        self._inbox.begun = True
        if self._since is not None and not self.open:
            self._begin()
        answers = self.answered or not self.open
        self.acknowledged(resume.wants, now)
        if answers:
            self._answer(now)
        else:
            self._resuming = True

    def _answer(self, now: float) -> None:
        """Owe an answer, however often it is asked for."""
        due, owed = max(now, self._answer_at), self._inbox.ack_due
        self._inbox.tell(self._inbox.streams, due if owed is None else min(due, owed))
        self.owes = self._answering = True

    def acknowledged(self, wants: frames.Wants, now: float) -> None:
        """Take the other side's word for what it has, and go on from there.

        Raises:
            InvalidMessage: it cannot have that.
        """
        if self.open and not self.answered:
            self._outbox.resume(wants)
            self.answered = True
        else:
            self._outbox.acknowledge(wants)
        if not self.open:
            return
        self._tries = 0
        flight = self._outbox.flight
        self._measure(wants, flight, now)
        # One stream may go on while another has lost something.
        if all(
            stream not in self._flight or acked > self._flight[stream][0]
            for stream, (acked, _) in flight.items()
        ):
            self._asking = bool(flight)
            self._wait(now, self._timeout if flight else KEEPALIVE)

    def _measure(self, wants: frames.Wants, flight: Iterable[int], now: float) -> None:
        """Learn how long an answer takes."""
        if self._probe is None:
            return
        stream, number, since = self._probe
        want = wants.get(stream)
        if want is not None and want.number >= number:
            self._timeout = min(max(2 * (now - since), TIMEOUT), TIMEOUT_MOST)
            self._probe = None
        elif stream not in flight:  # It is not wanted any more.
            self._probe = None

    # --- what is said -----------------------------------------------------------------

    def spares(self, size: int, now: float) -> bool:
        """Tell whether there is something left for what need not arrive; if so, that is taken."""
        return self.open and self.answered and self._affords(size, now)

    def _affords(self, size: int, now: float) -> bool:
        if self._allowance.first is not None:
            return False
        return self._allowance.take(size + OVERHEAD_BYTES, now)

    def ping(self, now: float) -> int | None:
        """Return the number of a ping if it is time for one and there is room for it."""
        if not (self.open and self.answered) or now < self._ping_at:
            return None
        self._ping_at = now + PING_INTERVAL
        if not self._affords(PING_BYTES, now):
            return None
        self._pings += 1
        return self._pings

    def pongs(self, now: float) -> bool:
        """Tell whether to answer a ping; if so, what that costs is taken."""
        if now < self._pong_at or not self._affords(PING_BYTES, now):
            return False
        self._pong_at = now + PONG_INTERVAL
        return True

    def resume_again(self) -> None:
        """Say anew what we want to hear."""
        self._resuming = self.open

    def take(self, now: float) -> list[bytes]:
        """Return the datagrams that may leave now."""
        taken: list[bytes] = []
        self._blocked = False
        if self.open and self._ask_at is not None and now >= self._ask_at:
            self._ask_again()
        while self._resuming or self._acknowledges(now) or self._sends:
            if not self._allowance.turn(self._traffic.to, now):
                self._blocked = True
                return taken
            datagram = self._next(now)
            self._allowance.spend(len(datagram) + OVERHEAD_BYTES, now)
            taken.append(datagram)
        self._allowance.withdraw(self._traffic.to)
        return taken

    @property
    def _sends(self) -> bool:
        return self.open and self.answered and self._outbox.fits(WINDOW_BYTES)

    @property
    def _acknowledging(self) -> bool:
        """Tell whether acknowledgements, and grants, go this way."""
        return self.owes or self.open

    def _acknowledges(self, now: float) -> bool:
        due = self._inbox.ack_due
        return self._acknowledging and due is not None and now >= due

    def _next(self, now: float) -> bytes:
        if self._resuming:
            self._resuming = False
            if self._ask_at is None:
                self._wait(now, self._timeout)
            return frames.datagram(*self._traffic.resumption())
        if self._acknowledges(now):
            ack = self._inbox.acknowledge()
            assert ack is not None, "it is due"
            self._inbox.try_again(now)
            if not self.open:
                # It may be lost; and who hears us over a direct path asks for nothing again.
                self._inbox.tell(ack.wants, now)
            said = (ack, self._traffic.listening()) if self._answering else (ack,)
            if self._answering:
                self._answer_at = now + ACK_DELAY
            self.owes = self._answering = False
            return frames.datagram(*said)
        datagram, reached = self._outbox.take_one()
        if self._probe is None and reached is not None:
            stream, number = reached
            if number > self._repeated.get(stream, 0):
                self._probe = (stream, number, now)
        if not self._asking and self._outbox.flight:
            self._asking = True
            self._wait(now, self._timeout)
        return datagram

    def _wait(self, now: float, duration: float) -> None:
        """Wait for progress of all that is on its way."""
        self._ask_at = now + duration
        self._flight = self._outbox.flight

    def _ask_again(self) -> None:
        if self._asking:
            self._tries += 1
            self._timeout = min(2 * self._timeout, TIMEOUT_MOST)
        if self._tries >= TRIES:
            self.answered = False
            self._outbox.pause()
        self._repeat()
        self._outbox.rewind()
        self._resuming = self._asking = True
        self._ask_at = None  # until that has been said

    def _repeat(self) -> None:
        """Measure nothing by what is sent again (Karn's algorithm)."""
        self._probe = None
        for stream, (_, sent) in self._outbox.flight.items():
            self._repeated[stream] = max(sent, self._repeated.get(stream, 0))

    def _begin(self) -> None:
        self._repeat()
        self._outbox.pause()
        self.open = self._resuming = self._asking = True
        self._tries = 0
        self._timeout = TIMEOUT
        self._ask_at = None

    def _close(self) -> None:
        if self.open:
            self.open = self.answered = self._resuming = False
            self._ask_at = self._probe = None
