"""The laws of a budget: it fills at its rate, up to its burst, whoever takes or owes."""

import pytest

from thkmesh.core.budget import Budget


def test_what_is_not_there_is_not_taken() -> None:
    """Whole messages pass or do not, and a refused one costs nothing."""
    budget = Budget(100, 1000)
    assert budget.take(600, 50.0)
    assert not budget.take(600, 50.0)
    assert budget.take(400, 50.0)
    assert not budget.take(101, 51.0)
    assert budget.take(100, 51.0)
    assert not budget.take(1001, 1e6)


def test_who_paces_itself_owes_and_waits() -> None:
    """Spending is free while there is something; a debt is waited for."""
    budget = Budget(100, 1000)
    assert budget.free_at(50.0) == 50.0
    budget.spend(1500, 50.0)
    assert budget.free_at(50.0) == pytest.approx(55.01)
    assert budget.free_at(54.0) == pytest.approx(55.01)
    assert budget.free_at(55.02) == 55.02


def test_another_rate_takes_nothing_away_and_gives_nothing() -> None:
    """The first is full; a later one keeps what there is, within the new burst."""
    budget = Budget(0, 0)
    budget.set(100, 1000, 10.0)
    assert budget.take(1000, 10.0)
    budget.set(200, 500, 12.0)
    assert budget.take(200, 12.0)
    assert not budget.take(1, 12.0)
    assert budget.take(200, 13.0)
    assert not budget.take(501, 100.0)


def test_time_that_goes_back_gives_nothing() -> None:
    """An earlier time than before counts as no time."""
    budget = Budget(100, 100)
    assert budget.take(100, 10.0)
    assert not budget.take(1, 5.0)
