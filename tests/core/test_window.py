"""The laws of a window: as deep as the link is fast, whoever is slow or has little to say."""

import pytest

from thkmesh.core.frames import FRAGMENT_BYTES
from thkmesh.core.window import AHEAD, LEAST_BYTES, LONGEST, MOST_BYTES, SendWindow

MB = 1_000_000.0
STEP = 100 * 1024.0
"""Of progress libwebrtc tells in steps, or when nothing is left."""

LATE = 0.001
"""Seconds from an engine's word that it runs low until we have heard it."""


class Engine:
    """An engine that sends at a rate, and we who fill it."""

    def __init__(self, rate_bytes: float, late: float = LATE, step_bytes: float = 0.0) -> None:
        """Begin empty, at a time of no meaning; it tells of progress step by step."""
        self.window = SendWindow()
        self.now = 1000.0
        self.rate_bytes = rate_bytes
        self.late = late
        self.step_bytes = step_bytes
        self.told_bytes = 0.0
        self.held_bytes = 0.0
        self.open_bytes = 0.0
        """How much it takes in at once, to have it on its way."""
        self.most_bytes = 0.0
        """The most that it held."""
        self.waited = 0.0
        """Seconds for which it had nothing although there was something to send."""

    def send(self, total_bytes: float, part_bytes: int = FRAGMENT_BYTES) -> None:
        """Let all of that go through, as a link does it."""
        while total_bytes > 0:
            self._measure()
            while total_bytes > 0 and not self.window.full:
                total_bytes -= part_bytes
                self._give(part_bytes)
            if total_bytes > 0:
                self.window.filled(self.now)
            self._measure()
            if self.window.full:
                self._until_low()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        sent = self.rate_bytes * seconds
        self.waited += max(0.0, sent - self.held_bytes) / self.rate_bytes
        self.held_bytes = max(0.0, self.held_bytes - sent)

    def _give(self, size_bytes: int) -> None:
        self.window.held_bytes += size_bytes
        at_once = min(self.open_bytes, size_bytes)
        self.open_bytes -= at_once
        self.held_bytes += size_bytes - at_once
        self.told_bytes += size_bytes
        self.most_bytes = max(self.most_bytes, self.held_bytes)

    def _measure(self) -> None:
        if not self.held_bytes or self.told_bytes - self.held_bytes >= self.step_bytes:
            self.told_bytes = self.held_bytes
        self.window.measured(int(self.told_bytes), self.now)

    def _until_low(self) -> None:
        """Wait for the mark, or for an acknowledgement, which comes sooner on a slow link."""
        mark = min(self.window.low_water_bytes, max(0.0, self.told_bytes - self.step_bytes))
        left = max(0.0, self.held_bytes - mark)
        self.run(min(left / self.rate_bytes, 0.03) + self.late)
        self._measure()


@pytest.mark.parametrize("step", [0.0, STEP])
def test_on_a_slow_link_little_lies_ahead(step: float) -> None:
    """From the first byte on: hardly more than the least, and a fragment."""
    engine = Engine(0.25 * MB, step_bytes=step)
    engine.send(8 * MB)
    assert engine.window.size_bytes == LEAST_BYTES
    assert engine.most_bytes < LEAST_BYTES + FRAGMENT_BYTES
    assert engine.waited < 0.2


@pytest.mark.parametrize("rate", [1 * MB, 2 * MB, 4 * MB])
def test_in_between_it_is_what_the_link_carries_in_a_moment(rate: float) -> None:
    """However far from it the window began."""
    for size in (LEAST_BYTES, MOST_BYTES):
        engine = Engine(rate)
        engine.window.size_bytes = size
        engine.send(8 * MB)
        assert engine.window.size_bytes == pytest.approx(rate * AHEAD, rel=0.1)


@pytest.mark.parametrize("step", [0.0, STEP])
def test_a_fast_link_has_all_of_it_soon(step: float) -> None:
    """Before it has sent two megabytes, and never waits long for us."""
    engine = Engine(100 * MB, step_bytes=step)
    engine.send(2 * MB)
    assert engine.window.size_bytes == MOST_BYTES
    engine.send(100 * MB)
    assert engine.window.size_bytes == MOST_BYTES
    assert engine.waited < 0.01


@pytest.mark.parametrize(("late", "size"), [(0.04, LEAST_BYTES), (0.5, MOST_BYTES)])
def test_that_we_are_late_is_not_the_engines_fault(late: float, size: int) -> None:
    """A window that cannot bridge it grows, and one that was larger does not shrink."""
    engine = Engine(50 * MB, late)
    engine.window.size_bytes = size
    engine.send(20 * MB)
    assert engine.window.size_bytes == MOST_BYTES


def test_a_link_that_is_slow_all_at_once_is_found_out_by_one_full_buffer() -> None:
    """Not even progress need be seen: that the mark is not reached says enough."""
    engine = Engine(100 * MB, step_bytes=2 * MOST_BYTES)
    engine.send(20 * MB)
    assert engine.window.size_bytes == MOST_BYTES
    engine.rate_bytes = 0.25 * MB
    engine.send(2 * MB)
    assert engine.window.size_bytes < 2 * LEAST_BYTES


def test_it_follows_a_link_that_changes() -> None:
    """To a tenth of the rate, and back."""
    engine = Engine(10 * MB)
    sizes = []
    for rate in (10 * MB, 1 * MB, 10 * MB):
        engine.rate_bytes = rate
        engine.send(10 * MB)
        sizes.append(engine.window.size_bytes)
    assert sizes == [pytest.approx(rate * AHEAD, rel=0.1) for rate in (10 * MB, 1 * MB, 10 * MB)]


@pytest.mark.parametrize("size", [LEAST_BYTES, MOST_BYTES // 2])
def test_who_has_little_to_say_learns_nothing(size: int) -> None:
    """On any link, however long it goes on: small messages, and now and then a burst."""
    for rate in (0.25 * MB, 100 * MB):
        engine = Engine(rate)
        engine.window.size_bytes = size
        for number in range(2000):
            engine.send(20_000 if number % 10 == 0 else 500, 500)
            engine.run(0.1)
        assert engine.window.size_bytes == size


def test_what_is_taken_in_at_once_says_little_of_the_rate() -> None:
    """SCTP may have room for a quarter of a megabyte; the wait after that is bounded."""
    engine = Engine(0.25 * MB)
    engine.open_bytes = 250_000.0
    engine.send(8 * MB)
    assert engine.most_bytes < 300_000
    assert engine.window.size_bytes == LEAST_BYTES


def test_the_least_and_the_most_are_never_passed() -> None:
    """Whatever is measured; and an engine that has enough is above its mark."""
    window = SendWindow()
    for held, now in ((10**9, 1.0), (0, 1.0), (1, 0.5), (10**9, 2.0), (5, 9.0), (-7, 9.1)):
        for _ in range(9):
            window.filled(now)
            window.measured(held, now)
            assert LEAST_BYTES <= window.size_bytes <= MOST_BYTES
            assert not window.full or window.held_bytes > window.low_water_bytes


def test_messages_are_cut_as_finely_as_the_window_is_narrow() -> None:
    """Two fragments fill it; a fast link has them as large as any path takes."""
    engine = Engine(0.25 * MB)
    assert engine.window.fragment_bytes == LEAST_BYTES // 2
    engine.send(1 * MB)
    assert engine.window.fragment_bytes == LEAST_BYTES // 2
    engine = Engine(100 * MB)
    engine.send(20 * MB)
    assert engine.window.fragment_bytes == FRAGMENT_BYTES


def bursts(window: SendWindow, trip: float, count: int) -> None:
    """Have the engine take in all that it is given once in a round trip, when answers come."""
    now = 0.0
    for _ in range(count):
        window.held_bytes = window.size_bytes
        window.filled(now)
        now += trip
        window.measured(0, now)


@pytest.mark.parametrize("trip", [0.1, 0.3, LONGEST])
def test_on_a_long_path_it_grows_as_fast_as_sctp_begins(trip: float) -> None:
    """Who takes in all at once in each round trip is given twice as much for the next."""
    window = SendWindow()
    window.crossed(trip)
    for size in (LEAST_BYTES << doubled for doubled in range(1, 6)):
        bursts(window, trip, 1)
        assert window.size_bytes == min(size, MOST_BYTES)


def test_the_first_answers_of_a_burst_do_not_shrink_it() -> None:
    """A little progress after a round trip of silence may be the beginning of much more."""
    window = SendWindow()
    window.crossed(0.3)
    bursts(window, 0.3, 4)
    size = window.held_bytes = window.size_bytes
    window.filled(5.0)
    window.measured(size - 4096, 5.3)
    assert window.size_bytes == size


@pytest.mark.parametrize(("trip", "ahead"), [(0.3, 0.6), (9.0, 2 * LONGEST), (0.04, AHEAD)])
def test_on_a_slow_long_path_two_round_trips_lie_ahead(trip: float, ahead: float) -> None:
    """No more than that has to go before a line of chat, however long the path is said to be."""
    engine = Engine(0.5 * MB)
    engine.window.crossed(trip)
    engine.send(8 * MB)
    assert engine.window.size_bytes == pytest.approx(0.5 * MB * ahead, rel=0.1)


def test_the_shortest_round_trip_counts() -> None:
    """A later one may have waited in a queue; who has seen none says nothing."""
    window = SendWindow()
    for trip in (0.3, 0.02, None, 0.3):
        window.crossed(trip)
    bursts(window, 0.3, 9)
    assert window.size_bytes == LEAST_BYTES
