"""The laws of the heartbeat: never judge from silence alone, nor for our own sleep."""

from thkmesh.core.heartbeat import INTERVAL, PATIENCE, Heartbeat


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
