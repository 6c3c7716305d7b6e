"""How good is a link?

The problem: a link that is up may still be slow, unsteady or choked, and the figures
that tell are many. People want a word, programs a number, and neither wants it to
flap.

The idea: whatever is wrong with a link, what it costs is time. So all that is
measured is turned into one figure, the seconds that a small message sent now is to be
expected to take, and that into a score:

======================  ==========================================================
half the round trip     measured by the heartbeat's pings, smoothed as in RFC 6298
twice the jitter        RFC 3550, 6.4.1, with round trips for transit times
loss, times the RTO     what is lost comes again after a retransmission time-out
                        (RFC 9260, 6.3), at least a second
our own queue           what waits here, by the rate at which it drains; it costs
                        ``QUEUE_LIMIT`` at most, and that only if it lasts, because
                        being used is no fault
======================  ==========================================================

=========  ============  =====  ==================================================
grade      takes up to   score  why there
=========  ============  =====  ==================================================
excellent  50 ms         80     what Microsoft asks of networks for Teams, one way
good       150 ms        60     ITU-T G.114: essentially transparent
fair       275 ms        40     the middle
poor       400 ms        20     ITU-T G.114: the limit for planning networks
bad        (1 s: 0)      0      a train of thought breaks (Nielsen, 1993)
=========  ============  =====  ==================================================

The words are those of ITU-T P.800. Between the rows the score is linear.

A ping is *lost* when it is not answered within the RTO at its sending. Then the RTO
doubles (RFC 6298, 5.5), and what is answered late is no sample (Karn): one packet that
is lost and sent again makes no slow link, but several in a row do. Where the engine
counts ICE's own checks, which nobody sends again, their loss counts if it is higher.

What a process that slept finds unanswered says nothing of the link: forgotten
(``slept``). If the *other* process sleeps, its link is as slow as it looks.

Hysteresis: a grade changes only once the score is ``MARGIN`` beyond its bound, for the
worse at once, for the better after it has stayed there for ``HOLD`` seconds.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from itertools import pairwise
from math import floor
from typing import Final

from thkmesh.core.engine import Stats
from thkmesh.events import Grade, PathKind, Quality

__all__ = [
    "HOLD",
    "MARGIN",
    "QUEUE_LIMIT",
    "STATS_INTERVAL",
    "Counts",
    "Meter",
    "RoundTrips",
    "expected_delay",
    "grade_of",
    "score_of",
]

MARGIN: Final = 4
"""Points beyond its bound at which a grade changes."""

HOLD: Final = 10.0
"""Seconds that a link has to be better before it is said to be."""

QUEUE_LIMIT: Final = 0.2
"""Seconds that waiting in our own queue counts at most."""

STATS_INTERVAL: Final = 10.0
"""Seconds until the engine is asked again; it takes a millisecond of its time."""

FIRST_INTERVAL: Final = 2.0
"""The same the first time, when ICE may have found a better pair, and until it tells one."""

RTO_MIN: Final = 1.0
RTO_MAX: Final = 60.0
"""RFC 6298, 2.4 and 2.5."""

PINGS: Final = 16
"""Pings of which it is remembered that they are unanswered."""

CHECKS: Final = 7
"""Reports over which ICE's checks are counted: about a minute."""

FEWEST_CHECKS: Final = 8
"""So many checks must have been sent to tell of loss."""

_GRADES: Final = tuple(Grade)[::-1]
"""From bad to excellent: 20 points each."""

_SCALE: Final = ((0.0, 100), (0.05, 80), (0.15, 60), (0.275, 40), (0.4, 20), (1.0, 0))
"""Seconds that a message takes, and points."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a link has carried so far, in bytes.

    Attributes:
        acknowledged: how much the other side has said to have.
        received: how much came.
        waiting: how much waits here, not yet with the engine.
    """

    acknowledged: int = 0
    received: int = 0
    waiting: int = 0


# --- from figures to a word -----------------------------------------------------


def expected_delay(rtt: float, jitter: float, loss: float, rto: float, queue_cost: float) -> float:
    """Return how many seconds a small message is to be expected to take; see the module."""
    return rtt / 2 + 2 * jitter + loss * rto + queue_cost


def score_of(delay: float) -> int:
    """Return the points, 100 to 0, for messages that take ``delay`` seconds."""
    for (start, best), (end, worst) in pairwise(_SCALE):
        if delay < end:
            return floor(best - (best - worst) * (delay - start) / (end - start) + 0.5)
    return 0


def grade_of(score: int) -> Grade:
    """Return the word for a score, without hysteresis."""
    return _GRADES[min(max(score, 0) // 20, 4)]


class _Judge:
    """Turns scores into grades that do not flap."""

    def __init__(self) -> None:
        """Know of no score."""
        self.grade: Grade | None = None
        self._better_since: float | None = None

    def take(self, score: int, now: float) -> Grade:
        """Take a score; return the grade from now on."""
        if self.grade is None:
            self.grade = grade_of(score)
            return self.grade
        place = _GRADES.index(self.grade)
        better, worse = grade_of(score - MARGIN), grade_of(score + MARGIN)
        if _GRADES.index(better) <= place:
            self._better_since = None
            if _GRADES.index(worse) < place:
                self.grade = worse
        elif self._better_since is None:
            self._better_since = now
        elif now - self._better_since >= HOLD:
            self._better_since = None
            self.grade = better
        return self.grade


# --- what is measured -----------------------------------------------------------


class RoundTrips:
    """What pings tell: round trip, its variation, and how many are lost.

    Attributes:
        rtt: seconds, smoothed; None before the first answer.
        jitter: seconds.
        loss: from 0 to 1.
        rto: seconds within which the next ping has to be answered.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.rtt: float | None = None
        self.jitter = 0.0
        self.loss = 0.0
        self.rto = RTO_MIN
        self._variance = 0.0
        self._last = 0.0
        self._pending: OrderedDict[int, float] = OrderedDict()
        """By number, when each ping was sent."""
        self._overdue: OrderedDict[int, float] = OrderedDict()
        """By number, until when each has to be answered, if it is not lost yet."""

    def sent(self, n: int, now: float) -> None:
        """Take note of a ping."""
        self._pending[n] = now
        self._overdue[n] = now + self.rto
        if len(self._pending) > PINGS:
            number, _ = self._pending.popitem(last=False)
            self._overdue.pop(number, None)

    def settle(self, now: float) -> bool:
        """Give up what is overdue; tell whether anything was."""
        late = [n for n, due in self._overdue.items() if now >= due]
        for n in late:
            del self._overdue[n]
            self.loss += (1.0 - self.loss) / 32
            self.rto = min(2 * self.rto, RTO_MAX)
        return bool(late)

    def answered(self, n: int, now: float) -> bool:
        """Take note of an answer, after ``settle``; tell whether it is a sample."""
        at = self._pending.pop(n, None)
        if at is None or self._overdue.pop(n, None) is None:
            return False  # nobody asked, or it came too late
        self.loss -= self.loss / 32
        self._sample(now - at)
        return True

    def forget(self) -> None:
        """Expect no answer to what was sent: nobody was here to hear it."""
        self._pending.clear()
        self._overdue.clear()

    def _sample(self, rtt: float) -> None:
        if self.rtt is None:
            self.rtt, self._variance = rtt, rtt / 2
        else:
            self._variance += (abs(self.rtt - rtt) - self._variance) / 4
            self.rtt += (rtt - self.rtt) / 8
            self.jitter += (abs(rtt - self._last) - self.jitter) / 16
        self._last = rtt
        self.rto = min(max(self.rtt + 4 * self._variance, RTO_MIN), RTO_MAX)


class _Rates:
    """What the counts tell: how much a second, and how long the queue is."""

    def __init__(self, now: float, counts: Counts) -> None:
        """Count from now on."""
        self.outgoing = 0.0
        self.incoming = 0.0
        self.queue_delay = 0.0
        self.queue_cost = 0.0
        """The same within ``QUEUE_LIMIT``, smoothed."""
        self._drain: float | None = None
        self._at = now
        self._counts = counts
        self._waiting_since: float | None = None

    def take(self, counts: Counts, now: float) -> None:
        """Take the figures of now."""
        before, passed = self._counts, now - self._at
        if passed > 0:
            sent = (counts.acknowledged - before.acknowledged) / passed
            came = (counts.received - before.received) / passed
            self.outgoing += (sent - self.outgoing) / 4
            self.incoming += (came - self.incoming) / 4
            if before.waiting and counts.waiting:  # it could not have been more
                self._drain = (
                    sent if self._drain is None else self._drain + (sent - self._drain) / 4
                )
        self.restart(counts, now)
        self.queue_delay = self._delay(now)
        self.queue_cost += (min(self.queue_delay, QUEUE_LIMIT) - self.queue_cost) / 4

    def restart(self, counts: Counts, now: float) -> None:
        """Count from now on, keeping what is known."""
        self._counts, self._at = counts, now
        if not counts.waiting:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now

    def _delay(self, now: float) -> float:
        if self._waiting_since is None:
            return 0.0
        if self._drain:
            return self._counts.waiting / self._drain
        return now - self._waiting_since


class _Checks:
    """What ICE's own checks tell: how many are lost."""

    def __init__(self) -> None:
        """Know of none."""
        self._reports: deque[tuple[int, int]] = deque(maxlen=CHECKS)

    def take(self, stats: Stats) -> None:
        """Take the counts of the current pair."""
        if stats.checks_sent is None or stats.checks_answered is None:
            return
        if self._reports and stats.checks_sent < self._reports[-1][0]:
            self._reports.clear()  # another pair
        self._reports.append((stats.checks_sent, stats.checks_answered))

    def forget(self) -> None:
        """Begin anew."""
        self._reports.clear()

    @property
    def loss(self) -> float:
        """The part that was lost, from 0 to 1; one may still be under way."""
        if not self._reports:
            return 0.0
        (sent_first, answered_first), (sent, answered) = self._reports[0], self._reports[-1]
        asked = sent - sent_first
        if asked < FEWEST_CHECKS:
            return 0.0
        return min(max(asked - (answered - answered_first) - 1, 0) / asked, 1.0)


# --- a link's meter ---------------------------------------------------------------


class Meter:
    """Measures one link.

    Attributes:
        quality: how good it is; None while nothing carries messages, or nothing is known.
    """

    def __init__(self) -> None:
        """Begin stopped."""
        self._running = False
        self._reset(0.0, Counts())

    def _reset(self, now: float, counts: Counts) -> None:
        self.quality: Quality | None = None
        self._told: Quality | None = None
        self._trips = RoundTrips()
        self._rates = _Rates(now, counts)
        self._checks = _Checks()
        self._judge = _Judge()
        self._path: PathKind | None = None
        self._engine_rtt: float | None = None
        self._asked_at = now
        self._asked = False
        self._slept = False

    def start(self, now: float, counts: Counts) -> None:
        """Begin anew, with a path that has just opened; of a direct one ask the engine."""
        self._running = True
        self._reset(now, counts)

    def stop(self) -> None:
        """Measure no more: there is no connection."""
        self._running = False
        self.quality = self._told = None

    def slept(self) -> None:
        """Judge nobody by the time that we did not listen."""
        self._trips.forget()
        self._slept = True

    def pinged(self, n: int, counts: Counts, now: float) -> bool:
        """Take note of a ping, and of the counts; tell whether to ask the engine."""
        if not self._running:
            return False
        self._trips.settle(now)
        if self._slept:
            self._rates.restart(counts, now)
        else:
            self._rates.take(counts, now)
        self._slept = False
        self._trips.sent(n, now)
        self._assess(now)
        known = self._asked and self._path is not None
        if now - self._asked_at < (STATS_INTERVAL if known else FIRST_INTERVAL):
            return False
        self._asked_at = now
        self._asked = True
        return True

    def answered(self, n: int, now: float) -> None:
        """Take note of an answer."""
        if self._running and (self._trips.settle(now) | self._trips.answered(n, now)):
            self._assess(now)

    def reported(self, stats: Stats, now: float) -> None:
        """Take what the engine knows."""
        if not self._running:
            return
        if stats.local_type is not None:
            path = PathKind(stats.local_type, stats.remote_type, stats.protocol, stats.ip_version)
            if path != self._path:
                self._path = path
                self._checks.forget()
        if stats.rtt is not None:
            self._engine_rtt = stats.rtt
        self._checks.take(stats)
        self._assess(now)

    def news(self) -> Quality | None:
        """Return the quality if its grade or kind of path is another than when this last did."""
        now, told = self.quality, self._told
        if now is None or (told and now.grade is told.grade and _alike(now.path, told.path)):
            return None
        self._told = now
        return now

    def _assess(self, now: float) -> None:
        trips, rates = self._trips, self._rates
        rtt = self._engine_rtt if trips.rtt is None else trips.rtt
        if rtt is None:
            return
        loss = max(trips.loss, self._checks.loss)
        score = score_of(expected_delay(rtt, trips.jitter, loss, trips.rto, rates.queue_cost))
        self.quality = Quality(
            grade=self._judge.take(score, now),
            score=score,
            rtt=rtt,
            jitter=trips.jitter,
            loss=loss,
            queue_delay=rates.queue_delay,
            outgoing_rate_bytes=rates.outgoing,
            incoming_rate_bytes=rates.incoming,
            path=self._path,
        )


def _alike(a: PathKind | None, b: PathKind | None) -> bool:
    """Tell whether two ways differ by the version of IP at most, which ICE changes at will."""
    return a == b or (a is not None and b is not None and replace(a, ip_version=b.ip_version) == b)
