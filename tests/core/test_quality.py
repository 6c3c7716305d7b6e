"""The laws of the meter: worse is never better, nothing flaps, and our sleep is our own."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.engine import Stats
from thkmesh.core.quality import (
    HOLD,
    MARGIN,
    QUEUE_LIMIT,
    Counts,
    Meter,
    RoundTrips,
    expected_delay,
    grade_of,
    score_of,
)
from thkmesh.events import Grade, PathKind, Quality

INTERVAL = 2.0
HOST = Stats(rtt=0.01, local_type="host", remote_type="prflx", protocol="udp", ip_version=4)

seconds = st.floats(0.0, 5.0)
parts = st.floats(0.0, 1.0)


class Life:
    """A meter whose pings go out every ``INTERVAL``, and what it has told."""

    def __init__(self) -> None:
        """Begin with a connection that has just opened."""
        self.meter = Meter()
        self.meter.start(0.0, Counts())
        self.now = 0.0
        self.n = 0
        self.asked = 0
        self.told: list[Quality] = []

    @property
    def quality(self) -> Quality:
        """What is known now."""
        assert self.meter.quality is not None
        return self.meter.quality

    def ping(self, rtt: float | None, counts: Counts | None = None) -> None:
        """Send a ping that is answered after ``rtt``, within the interval; None means never."""
        self.n += 1
        self.now += INTERVAL
        self.asked += self.meter.pinged(self.n, counts or Counts(), self.now)
        self.note()
        if rtt is not None:
            self.meter.answered(self.n, self.now + rtt)
            self.note()

    def pings(self, rtts: Iterable[float | None]) -> Quality:
        """Send many; return what is known then."""
        for rtt in rtts:
            self.ping(rtt)
        return self.quality

    def note(self) -> None:
        """Take note of what the meter tells, if it does."""
        news = self.meter.news()
        if news is not None:
            self.told.append(news)


# --- scores and grades ------------------------------------------------------------


@given(
    st.tuples(seconds, seconds, parts, seconds, seconds),
    st.tuples(seconds, seconds, parts, seconds, seconds),
)
def test_worse_figures_never_score_better(
    some: tuple[float, ...], others: tuple[float, ...]
) -> None:
    """The score falls, or stays, as any of the figures rises."""
    best = (min(pair) for pair in zip(some, others, strict=True))
    worst = (max(pair) for pair in zip(some, others, strict=True))
    assert score_of(expected_delay(*best)) >= score_of(expected_delay(*worst))


@pytest.mark.parametrize(
    ("delay", "score", "grade"),
    [
        (0.0, 100, Grade.EXCELLENT),
        (0.049, 80, Grade.EXCELLENT),
        (0.06, 78, Grade.GOOD),
        (0.149, 60, Grade.GOOD),
        (0.16, 58, Grade.FAIR),
        (0.28, 39, Grade.POOR),
        (0.45, 18, Grade.BAD),
        (1.0, 0, Grade.BAD),
        (9.0, 0, Grade.BAD),
    ],
)
def test_the_bounds_are_those_of_the_table(delay: float, score: int, grade: Grade) -> None:
    """The seconds that a message takes have the score and the word that we say they have."""
    assert score_of(delay) == score
    assert grade_of(score) is grade


# --- round trips --------------------------------------------------------------------


def test_smoothing_is_that_of_the_rfcs() -> None:
    """The first three samples give what RFC 6298 and RFC 3550 say, worked out by hand."""
    trips = RoundTrips()
    for n, rtt in enumerate((0.4, 0.8, 0.8)):
        trips.sent(n, 10.0 * n)
        assert trips.answered(n, 10.0 * n + rtt)
    # 0.4; then 7/8 * 0.4 + 1/8 * 0.8 = 0.45; then 7/8 * 0.45 + 1/8 * 0.8 = 0.49375
    assert trips.rtt == pytest.approx(0.49375)
    # 0.2; 3/4 * 0.2 + 1/4 * 0.4 = 0.25; 3/4 * 0.25 + 1/4 * 0.35 = 0.275
    assert trips.rto == pytest.approx(0.49375 + 4 * 0.275)
    # 0; 0.4 / 16 = 0.025; 15/16 * 0.025
    assert trips.jitter == pytest.approx(0.0234375)


def test_an_answer_counts_once_and_only_to_what_was_asked() -> None:
    """A peer that answers twice, or what nobody asked, changes nothing."""
    trips = RoundTrips()
    trips.sent(1, 0.0)
    assert not trips.answered(2, 0.1)
    assert trips.answered(1, 0.1)
    assert not trips.answered(1, 0.2)
    assert trips.rtt == 0.1


def test_what_is_remembered_is_bounded() -> None:
    """However many pings stay unanswered, the oldest are forgotten."""
    trips = RoundTrips()
    for n in range(100):
        trips.sent(n, 0.0)
    assert not trips.answered(83, 0.1)
    assert trips.answered(84, 0.1)


@given(st.floats(0.0, 0.3), st.lists(st.booleans(), min_size=1, max_size=60), st.data())
def test_more_lost_pings_never_score_better(
    rtt: float, lost: list[bool], data: st.DataObject
) -> None:
    """Of two links that differ in some pings being lost on one, that one is not the better."""
    more = [each or data.draw(st.booleans()) for each in lost]
    worse, better = Life(), Life()
    for life, losses in ((worse, more), (better, lost)):
        life.pings([rtt, *(None if each else rtt for each in losses)])
        life.meter.pinged(999, Counts(), life.now + 60.0)
    assert worse.quality.score <= better.quality.score
    assert worse.quality.loss >= better.quality.loss


@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=40), st.floats(0.0, 0.4))
def test_a_longer_way_never_scores_better(rtts: list[float], more: float) -> None:
    """The same answers, each as much later, do not make a better link."""
    near, far = Life().pings(rtts), Life().pings([rtt + more for rtt in rtts])
    assert far.score <= near.score
    assert far.rtt >= near.rtt


def test_one_lost_ping_is_no_slow_link() -> None:
    """A packet that had to be sent again costs little, and is no round trip (Karn)."""
    life = Life()
    life.pings([0.01] * 20)
    quality = life.pings([1.3, 0.01])  # late: the RTO is a second
    assert quality.rtt == pytest.approx(0.01)
    assert 0.02 < quality.loss < 0.04
    assert quality.grade is Grade.EXCELLENT


def test_a_way_that_has_become_long_is_noticed() -> None:
    """Answers that all come after the RTO are samples once it has doubled often enough."""
    life = Life()
    life.pings([0.01] * 10)
    quality = life.pings([1.5] * 10)
    assert quality.rtt > 0.5
    assert quality.grade is Grade.BAD


def test_silence_shows_before_anything_comes() -> None:
    """Pings without answer make a link worse while it is still connected."""
    life = Life()
    life.pings([0.01] * 5)
    quality = life.pings([None] * 3)
    assert quality.score < 70
    assert quality.grade is not Grade.EXCELLENT


# --- hysteresis ---------------------------------------------------------------------


@given(st.lists(st.floats(-MARGIN / 400, MARGIN / 400), min_size=5, max_size=60))
def test_a_score_about_a_bound_does_not_flap(noise: list[float]) -> None:
    """Whatever happens within the margin of a bound, the grade changes at most once."""
    life = Life()
    for part in noise:
        life.meter.reported(replace(HOST, rtt=0.1 + part), life.now)
        life.now += INTERVAL
        life.note()
    assert len(life.told) <= 2


def test_a_delay_that_rises_and_falls_changes_the_grade_once_each_way() -> None:
    """Worse is told soon, better after it has lasted."""
    life = Life()
    life.pings([0.02] * 10)
    life.pings([0.2] * 30)
    risen = life.now
    life.pings([0.02] * 60)
    assert [each.grade for each in life.told] == [Grade.EXCELLENT, Grade.GOOD, Grade.EXCELLENT]
    assert life.now - risen > HOLD


def test_better_is_told_once_it_has_lasted() -> None:
    """A link that is better for a moment only is not said to be."""
    life = Life()
    for rtt, grade in ((0.4, Grade.FAIR), (0.02, Grade.FAIR), (0.4, Grade.FAIR)):
        life.meter.reported(replace(HOST, rtt=rtt), life.now)
        life.now += HOLD - 1
        assert life.quality.grade is grade
    grades = []
    for passed in (0.0, HOLD - 0.1, 0.1):
        life.now += passed
        life.meter.reported(replace(HOST, rtt=0.02), life.now)
        grades.append(life.quality.grade)
    assert grades == [Grade.FAIR, Grade.FAIR, Grade.EXCELLENT]


def test_worse_is_told_at_once() -> None:
    """As soon as the score is a margin below the bound."""
    life = Life()
    life.meter.reported(HOST, 0.0)
    life.meter.reported(replace(HOST, rtt=0.7), 0.0)
    assert life.quality.grade is Grade.POOR


# --- counts ------------------------------------------------------------------------


def test_rates_are_bytes_a_second() -> None:
    """What flows steadily has its rate, each way; what flows no more has none soon."""
    life = Life()
    for n in range(1, 41):
        life.ping(0.01, Counts(1_000 * n, 500 * n))
    assert life.quality.outgoing_rate_bytes == pytest.approx(500, rel=0.01)
    assert life.quality.incoming_rate_bytes == pytest.approx(250, rel=0.01)
    for _ in range(20):
        life.ping(0.01, Counts(40_000, 20_000))
    assert life.quality.outgoing_rate_bytes < 5


def test_a_queue_delays_by_the_rate_at_which_it_drains() -> None:
    """What waits takes its bytes by the measured rate; before that, as long as it has waited."""
    life = Life()
    assert life.meter.quality is None
    life.ping(0.01, Counts(0, 0, 50_000))
    assert life.quality.queue_delay == 0.0
    life.ping(0.01, Counts(0, 0, 90_000))
    assert life.quality.queue_delay == INTERVAL
    for n in range(1, 60):
        life.ping(0.01, Counts(20_000 * n, 0, 30_000))
    assert life.quality.queue_delay == pytest.approx(3.0, rel=0.01)
    life.ping(0.01, Counts(20_000 * 60, 0, 0))
    assert life.quality.queue_delay == 0.0
    life.ping(0.01, Counts(20_000 * 60 + 1, 0, 30_000))
    life.ping(0.01, Counts(20_000 * 60 + 1, 0, 0))  # so little, for there was so little to send
    life.ping(0.01, Counts(20_000 * 60 + 1, 0, 30_000))
    assert life.quality.queue_delay == pytest.approx(3.0, rel=0.01)


def test_being_used_makes_no_bad_link() -> None:
    """However much waits, a good link stays fair; for a moment, it stays what it is."""
    life = Life()
    life.pings([0.01] * 5)
    life.ping(0.01, Counts(0, 0, 10**9))
    before = life.quality
    for n in range(30):
        life.ping(0.01, Counts(n, 0, 10**9))
    assert life.quality.queue_delay > 100 * QUEUE_LIMIT
    assert (before.grade, life.quality.grade) == (Grade.EXCELLENT, Grade.FAIR)


# --- sleep, and the end -------------------------------------------------------------


def test_our_sleep_is_no_slow_link() -> None:
    """A ping that waited for a sleeping process is neither a sample nor lost."""
    life = Life()
    before = life.pings([0.01] * 10)
    life.ping(None)
    life.now += 3600.0
    life.meter.slept()
    life.meter.answered(life.n, life.now)
    life.ping(0.01, Counts(10**9, 10**9))
    assert (life.quality.score, life.quality.loss) == (before.score, 0.0)
    assert life.quality.rtt == pytest.approx(0.01)
    assert life.quality.outgoing_rate_bytes == 0.0


def test_without_a_connection_there_is_no_quality() -> None:
    """Before it opens, and after it closed, nothing is known and nothing is told."""
    meter = Meter()
    assert not meter.pinged(1, Counts(), 99.0)
    meter.answered(1, 99.0)
    assert meter.quality is None
    meter.start(0.0, Counts())
    meter.reported(HOST, 0.0)
    assert meter.news() is not None
    meter.stop()
    meter.reported(HOST, 0.0)
    meter.answered(1, 0.0)
    assert meter.quality is None
    assert meter.news() is None


def test_a_new_connection_begins_anew() -> None:
    """What was known of the former does not count."""
    life = Life()
    life.pings([None, 0.9, None, 0.9])
    life.meter.stop()
    life.meter.start(life.now, Counts())
    assert life.meter.quality is None
    quality = life.pings([0.01])
    assert (quality.grade, quality.jitter, quality.loss) == (Grade.EXCELLENT, 0.0, 0.0)


# --- what the engine tells ----------------------------------------------------------


def test_the_engine_tells_the_path_and_the_first_round_trip() -> None:
    """Its round trip counts until the first ping has been answered."""
    life = Life()
    life.meter.reported(Stats(), 0.0)
    assert life.meter.news() is None
    life.meter.reported(HOST, 0.0)
    path = life.quality.path
    assert path is not None
    assert path == PathKind("host", "prflx", "udp", 4)
    assert not path.relayed
    assert life.quality.rtt == 0.01
    quality = life.pings([0.03])
    assert quality.rtt == pytest.approx(0.03)
    life.meter.reported(HOST, life.now)
    assert life.quality.rtt == pytest.approx(0.03)


def test_another_path_is_told() -> None:
    """A change of kind is told though the grade is the same; the same kind is not."""
    life = Life()
    life.meter.reported(HOST, 0.0)
    assert life.meter.news() is not None
    life.meter.reported(replace(HOST, ip_version=6), 1.0)
    assert life.meter.news() is None
    assert life.quality.path == PathKind("host", "prflx", "udp", 6)
    life.meter.reported(replace(HOST, local_type="relay"), 2.0)
    news = life.meter.news()
    assert news is not None
    assert news.path is not None
    assert news.path.relayed


def test_the_engine_is_asked_seldom() -> None:
    """Every ten seconds, and sooner only while the path is not known."""
    life = Life()
    life.pings([0.01] * 5)
    assert life.asked == 5
    life.meter.reported(HOST, life.now)
    life.pings([0.01] * 50)
    assert life.asked == 5 + 10


def test_lost_checks_count() -> None:
    """The loss that ICE sees is ours if it is higher; one check may be under way."""
    life = Life()
    for answered, loss in ((0, 0.0), (10, 0.0), (19, 0.0), (20, 9 / 30), (40, 0.0)):
        sent = {0: 0, 10: 10, 19: 20, 20: 30, 40: 3}[answered]
        life.meter.reported(replace(HOST, checks_sent=sent, checks_answered=answered), 0.0)
        assert life.quality.loss == pytest.approx(loss)
    life.meter.reported(replace(HOST, protocol="tcp", checks_sent=99, checks_answered=0), 0.0)
    assert life.quality.loss == 0.0


def test_two_pings_at_once_tell_no_rate() -> None:
    """Where no time has passed nothing is divided by it."""
    life = Life()
    life.ping(0.01, Counts(100, 100))
    before = life.quality
    life.meter.pinged(99, Counts(10**6, 10**6), life.now)
    assert life.quality.outgoing_rate_bytes == before.outgoing_rate_bytes
