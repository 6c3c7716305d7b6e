"""The laws of an allowance: it grows at its rate, up to the most, whoever takes or owes."""

import pytest

from thkmesh.core.allowance import Allowance


def test_so_many_at_once_and_then_one_from_time_to_time() -> None:
    """Never more than at first, however long nobody asked."""
    allowance = Allowance(3, 0.5)
    assert [allowance.take(1, 100.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.take(1, 101.0)
    assert allowance.take(1, 102.0)
    assert [allowance.take(1, 1000.0) for _ in range(4)] == [True, True, True, False]


def test_what_is_not_there_is_not_taken() -> None:
    """Whole messages pass or do not, and a refused one costs nothing."""
    allowance = Allowance(1000, 100)
    assert allowance.take(600, 50.0)
    assert not allowance.take(600, 50.0)
    assert allowance.take(400, 50.0)
    assert not allowance.take(101, 51.0)
    assert allowance.take(100, 51.0)
    assert not allowance.take(1001, 1e6)


def test_who_paces_itself_owes_and_waits() -> None:
    """Spending is free while there is something; a debt is waited for."""
    allowance = Allowance(1000, 100)
    assert allowance.free_at(50.0) == 50.0
    allowance.spend(1500, 50.0)
    assert allowance.free_at(50.0) == pytest.approx(55.01)
    assert allowance.free_at(54.0) == pytest.approx(55.01)
    assert allowance.free_at(55.02) == 55.02


def test_another_rate_takes_nothing_away_and_gives_nothing() -> None:
    """The first is all there; a later one keeps what there is, within the new most."""
    allowance = Allowance(0, 0)
    allowance.set(1000, 100, 10.0)
    assert allowance.take(1000, 10.0)
    allowance.set(500, 200, 12.0)
    assert allowance.take(200, 12.0)
    assert not allowance.take(1, 12.0)
    assert allowance.take(200, 13.0)
    assert not allowance.take(501, 100.0)


def test_time_that_goes_back_gives_nothing() -> None:
    """An earlier time than before counts as no time."""
    allowance = Allowance(1, 0.5)
    assert allowance.take(1, 10.0)
    assert not allowance.take(1, 5.0)
    assert not allowance.take(1, 6.0)
    assert allowance.take(1, 7.0)
