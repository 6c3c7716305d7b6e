"""The laws of the heartbeat: never judge from silence alone, nor for our own sleep."""

from thkmesh.core.heartbeat import (
    DOUBT,
    DOUBT_INTERVAL,
    DOUBT_PATIENCE,
    INTERVAL,
    LONGEST,
    PATIENCE,
    Heartbeat,
)


def test_it_begins_stopped() -> None:
    """Without a connection nothing is asked and nothing stalls."""
    heart = Heartbeat()
    assert heart.deadline is None
    assert heart.ping(1e9) is None
    assert not heart.stalled(1e9)
    heart.slept(1.0)
    assert heart.deadline is None


def test_it_asks_at_every_interval() -> None:
    """Pings are numbered and an interval apart."""
    heart = Heartbeat()
    heart.start(0.0)
    assert heart.deadline == INTERVAL
    assert heart.ping(INTERVAL - 0.01) is None
    assert heart.ping(INTERVAL) == 1
    heart.heard()
    assert heart.ping(2 * INTERVAL) == 2


def test_an_unanswered_ping_is_a_stall() -> None:
    """Patience counts from the first unanswered ping, however many follow."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.ping(INTERVAL)
    heart.ping(2 * INTERVAL)
    assert not heart.stalled(INTERVAL + PATIENCE - 0.01)
    assert heart.stalled(INTERVAL + PATIENCE)
    heart.ping(INTERVAL + PATIENCE - 0.5)
    assert heart.deadline == INTERVAL + PATIENCE


def test_silence_without_a_question_is_no_stall() -> None:
    """Who was not asked need not answer."""
    heart = Heartbeat()
    heart.start(0.0)
    assert not heart.stalled(1e9)


def test_anything_heard_answers() -> None:
    """Any frame that arrives ends the waiting."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.ping(INTERVAL)
    heart.heard()
    assert not heart.stalled(1e9)


def test_our_sleep_is_not_their_silence() -> None:
    """The patience is prolonged by the time that we slept."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.ping(INTERVAL)
    heart.slept(100.0)
    assert not heart.stalled(100.0 + INTERVAL + PATIENCE - 0.01)
    assert heart.stalled(100.0 + INTERVAL + PATIENCE)


def test_a_stopped_heart_asks_no_more() -> None:
    """After stop there is no deadline."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.ping(INTERVAL)
    heart.stop()
    assert heart.deadline is None


def test_interval_and_patience_can_be_set() -> None:
    """Pings are as far apart as asked for, and a stall is as long."""
    heart = Heartbeat(interval=10.0, patience=1.0)
    heart.start(0.0)
    assert heart.deadline == 10.0
    assert heart.ping(10.0) == 1
    assert heart.deadline == 11.0
    assert heart.stalled(11.0)


def test_a_doubted_path_is_asked_at_once_and_often() -> None:
    """For a while, and then as ever."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.doubt(1.0)
    asked = []
    while (due := heart.deadline) is not None and due < 10.0:
        assert not heart.stalled(due)
        heart.ping(due)
        heart.heard()
        asked.append(due)
    urgent = [1.0 + DOUBT_INTERVAL * n for n in range(int(DOUBT / DOUBT_INTERVAL))]
    assert asked == [*urgent, 4.0, 6.0, 8.0]


def test_who_is_doubted_has_little_time_to_answer() -> None:
    """It counts from the first ping that went out in doubt, not from those before."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.ping(2.0)
    heart.doubt(5.0)
    assert heart.ping(5.0) == 2
    assert not heart.stalled(5.0 + DOUBT_PATIENCE - 0.01)
    assert heart.stalled(5.0 + DOUBT_PATIENCE)


def test_doubt_without_end_is_no_more_patient_than_none() -> None:
    """A network that changes all the time does not keep a dead path alive."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.ping(2.0)
    for number in range(60):
        now = 2.0 + number / 10
        assert not heart.stalled(now)
        heart.doubt(now)
        heart.ping(now)
    assert heart.stalled(2.0 + PATIENCE)


def test_an_answer_to_the_first_question_does_not_end_the_doubt() -> None:
    """It may have been under way before the network changed; the next ping is to be answered."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.doubt(1.0)
    heart.ping(1.0)
    heart.heard()
    heart.ping(1.0 + DOUBT_INTERVAL)
    assert heart.stalled(1.0 + DOUBT_INTERVAL + DOUBT_PATIENCE)


def test_who_usually_takes_long_has_longer() -> None:
    """Four times the usual; one slow answer is none, and patience has its end."""
    heart = Heartbeat()
    for trip, patience in ((0.1, 1.5), (0.5, 2.0), (4.0, 16.0), (9.0, LONGEST)):
        heart = Heartbeat()
        heart.start(0.0)
        for number in range(5):
            now = 10.0 * (number + 1)
            n = number + 1
            assert heart.ping(now) == n
            late = 9.9 if number == 3 else trip
            heart.answered(n, now + late)
            heart.heard()
        heart.doubt(100.0)
        heart.ping(100.0)
        assert heart.deadline is not None
        heart.ping(heart.deadline)
        assert not heart.stalled(100.0 + patience - 0.01)
        assert heart.stalled(100.0 + patience)


def test_a_slow_path_is_no_dead_one() -> None:
    """Without a doubt, too, it has four times the usual, but never less than ``patience``."""
    for trip, patience in ((0.1, 6.0), (1.4, 6.0), (2.5, 10.0), (9.0, LONGEST)):
        heart = Heartbeat(interval=10.0)
        heart.start(0.0)
        for n in range(1, 6):
            assert heart.ping(10.0 * n) == n
            heart.answered(n, 10.0 * n + trip)
            heart.heard()
        heart.ping(60.0)
        assert not heart.stalled(60.0 + patience - 0.01)
        assert heart.stalled(60.0 + patience)


def test_only_the_answer_to_the_timed_ping_is_measured() -> None:
    """Others, and those that our own sleep delayed, say nothing of the path."""
    heart = Heartbeat()
    heart.answered(1, 0.0)
    heart.start(0.0)
    heart.ping(2.0)
    heart.ping(4.0)
    heart.answered(2, 9.0)
    heart.slept(5.0)
    heart.answered(1, 9.0)
    assert heart.doubt_patience == DOUBT_PATIENCE


def test_our_sleep_is_not_their_silence_in_doubt_either() -> None:
    """The short patience is prolonged by the time that we slept, too."""
    heart = Heartbeat()
    heart.start(0.0)
    heart.doubt(1.0)
    heart.ping(1.0)
    heart.slept(50.0)
    assert not heart.stalled(51.0 + DOUBT_PATIENCE - 0.01)
    assert heart.stalled(51.0 + DOUBT_PATIENCE)


def test_nobody_is_doubted_who_is_not_asked() -> None:
    """Before there is a connection, or after it, there is nothing to ask."""
    heart = Heartbeat()
    heart.doubt(1.0)
    assert heart.deadline is None
