"""The laws of an allowance."""

from thkmesh.core.allowance import Allowance


def test_so_many_at_once_and_one_more_after_each_interval() -> None:
    """It is used up, grows with time, and never beyond what it began with."""
    allowance = Allowance(3, 2.0)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.take(101.0)
    assert allowance.take(102.0)
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_time_that_goes_back_gives_nothing() -> None:
    """An earlier time than before counts as no time."""
    allowance = Allowance(1, 2.0)
    assert allowance.take(10.0)
    assert not allowance.take(5.0)
    assert not allowance.take(6.0)
    assert allowance.take(7.0)
