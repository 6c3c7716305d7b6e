"""The laws of an allowance: it grows at its rate, up to the most, whoever takes or owes."""

import pytest

from thkmesh.core.allowance import Allowance
from thkmesh.core.identity import SessionKey

ADA, BOB, CEM = (SessionKey(letter * 26, "0" * 16) for letter in "abc")


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
    assert allowance.turn(ADA, 50.0)
    allowance.spend(1500, 50.0)
    assert allowance.due is None
    for now in (50.0, 54.0):
        assert not allowance.turn(ADA, now)
        assert allowance.due == pytest.approx(55.01)
        assert allowance.next(now) is None
    assert allowance.next(55.02) == ADA
    assert allowance.turn(ADA, 55.02)
    assert allowance.next(55.02) is None


def test_who_waits_longest_is_served_first() -> None:
    """A message each; who comes later waits although there is enough, and may give up."""
    allowance = Allowance(10, 1)
    allowance.spend(20, 50.0)
    assert not any(allowance.turn(who, 50.0) for who in (ADA, BOB, CEM, ADA))
    assert allowance.first == ADA
    assert not allowance.turn(BOB, 62.0)
    assert allowance.turn(ADA, 62.0)
    assert not allowance.turn(ADA, 62.0)
    allowance.withdraw(BOB)
    assert allowance.next(62.0) == CEM
    assert allowance.due == 62.0
    assert allowance.turn(CEM, 62.0)
    assert allowance.turn(ADA, 62.0)
    assert allowance.due is None


def test_nothing_comes_to_nobody() -> None:
    """Where there is nothing to be had, nothing is waited for."""
    allowance = Allowance(0, 0)
    assert not allowance.turn(ADA, 1.0)
    assert allowance.due is None
    assert allowance.next(1000.0) is None


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
