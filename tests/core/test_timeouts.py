"""Many deadlines of one duration."""

from math import inf

from thkmesh.core.timeouts import Timeouts


def test_keys_come_due_in_the_order_they_were_started() -> None:
    """A key is due a duration after its last start, and not before."""
    timeouts: Timeouts[str] = Timeouts(10)
    timeouts.start("a", 0)
    timeouts.start("b", 1)
    timeouts.start("c", 2)
    timeouts.start("a", 3)
    assert timeouts.first == 11
    assert list(timeouts.expired(10.9)) == []
    assert list(timeouts.expired(12)) == ["b", "c"]
    assert list(timeouts.expired(13)) == ["a"]
    assert timeouts.first == inf


def test_a_stopped_key_does_not_come_due() -> None:
    """Stopping forgets a key, also one that was never started."""
    timeouts: Timeouts[str] = Timeouts(10)
    timeouts.start("a", 0)
    timeouts.start("b", 0)
    timeouts.stop("a")
    timeouts.stop("x")
    assert len(timeouts) == 1
    assert list(timeouts.expired(10)) == ["b"]
    timeouts.start("c", 10)
    timeouts.clear()
    assert len(timeouts) == 0


def test_postponing_keeps_the_order_and_gives_no_more_than_a_fresh_start() -> None:
    """After a sleep every key has its time again, and the first is still the first."""
    timeouts: Timeouts[str] = Timeouts(10)
    timeouts.start("old", 0)
    timeouts.start("fresh", 9)
    timeouts.postpone(5, 9)
    assert list(timeouts.expired(14.9)) == []
    assert list(timeouts.expired(15)) == ["old"]
    assert list(timeouts.expired(19)) == ["fresh"]


def test_the_first_can_be_taken_before_its_time() -> None:
    """It does not come due any more."""
    timeouts: Timeouts[str] = Timeouts(10)
    timeouts.start("a", 0)
    timeouts.start("b", 1)
    assert timeouts.pop() == "a"
    assert list(timeouts.expired(20)) == ["b"]
