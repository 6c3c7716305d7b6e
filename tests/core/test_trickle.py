"""The laws of the trickle: candidates wait for each other, and never long."""

import pytest

from thkmesh.core.trickle import BATCH_LIMIT, BATCHING, FIRST_BATCHING, Trickle
from thkmesh.core.wire import CandidateInit


def found(text: str = "candidate:1") -> tuple[CandidateInit, ...]:
    """Return what an engine reports; the empty text ends its search."""
    return (CandidateInit(text, "mine", "0", 0),)


END = found("")


def test_nothing_is_due_before_anything_was_found() -> None:
    """An empty trickle waits for nothing and has nothing to carry."""
    trickle = Trickle()
    assert trickle.due is None
    assert not trickle.is_due(1e9)
    assert trickle.take(connected=False) == ()


def test_the_first_wait_less_than_later_ones_until_the_next_description() -> None:
    """The wait counts from the first of a batch, and the next description shortens it again."""
    trickle = Trickle()
    now = 10.0
    for wait in (FIRST_BATCHING, BATCHING, BATCHING):
        assert not trickle.collect(found(), now)
        assert not trickle.collect(found(), now + 0.5 * wait)
        assert trickle.due == pytest.approx(now + wait)
        assert not trickle.is_due(now + 0.9 * wait)
        assert trickle.is_due(now + wait)
        assert trickle.take(connected=False) == found() * 2
        assert trickle.due is None
        now += 1.0
    trickle.described()
    trickle.collect(found(), now)
    assert trickle.due == pytest.approx(now + FIRST_BATCHING)


def test_a_complete_or_full_batch_does_not_wait() -> None:
    """The end of the search, and the limit of a signal, end the waiting."""
    trickle = Trickle()
    assert trickle.collect(END, 0.0)
    assert trickle.take(connected=False) == END
    assert [trickle.collect(found(), 0.0) for _ in range(BATCH_LIMIT)] == [
        *[False] * (BATCH_LIMIT - 1),
        True,
    ]


def test_who_is_connected_is_not_told_of_the_end_alone() -> None:
    """The end of the search goes out only with candidates, and counts as none."""
    trickle = Trickle()
    trickle.collect(END, 0.0)
    assert trickle.take(connected=True) == ()
    trickle.collect(found(), 0.0)
    assert trickle.due == FIRST_BATCHING
    trickle.collect(END, 0.0)
    assert trickle.take(connected=True) == found() + END


def test_what_has_gathered_goes_with_its_connection() -> None:
    """After clear there is nothing to carry and no time to wait for."""
    trickle = Trickle()
    trickle.collect(found(), 0.0)
    trickle.clear()
    assert trickle.due is None
    assert trickle.take(connected=False) == ()
