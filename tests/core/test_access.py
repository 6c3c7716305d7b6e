"""Permits that end, and who is told of it when."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.access import LEAD, Access, Expired, Expiring, Rotated
from thkmesh.core.grants import OPEN, Permit


def test_what_is_granted_may_be_done_and_nothing_else() -> None:
    """A connection has its own grants; one that is unknown has none."""
    access = Access()
    access.grant(1, Permit(frozenset({"join"})), 0.0)
    assert (access.may(1, "join"), access.may(1, "send"), access.may(2, "join")) == (
        True,
        False,
        False,
    )
    assert (set(access.grants(1)), set(access.grants(2))) == ({"join"}, set())
    access.forget(1)
    access.forget(1)
    assert not access.may(1, "join")


def test_an_admission_without_end_is_never_due() -> None:
    """Nobody is warned of what does not end."""
    access = Access()
    access.grant(1, Permit(), 0.0)
    assert (access.first, access.left(1, 5.0), access.left(2, 5.0)) == (inf, None, None)


@pytest.mark.parametrize(("ttl", "lead"), [(600.0, LEAD), (90.0, 30.0), (3.0, 1.0)])
def test_who_is_granted_something_for_a_while_is_warned_in_time(ttl: float, lead: float) -> None:
    """A minute before the end, or when a third is left; at the end it is over."""
    access = Access()
    access.grant(1, Permit(OPEN, ttl), 100.0)
    assert access.left(1, 100.0) == ttl
    assert access.first == 100.0 + ttl - lead
    assert list(access.settle(access.first - 0.001)) == []
    [warning] = access.settle(access.first)
    assert isinstance(warning, Expiring)
    assert warning.conn == 1
    assert warning.left == pytest.approx(lead)
    assert access.first == pytest.approx(100.0 + ttl)
    assert access.may(1, "join")
    assert list(access.settle(access.first)) == [Expired(1)]
    assert access.first == inf


def test_a_fresh_admission_takes_the_place_of_the_old_one() -> None:
    """The old end is nobody's concern any more, warned of or not."""
    access = Access()
    access.grant(1, Permit(OPEN, 600.0), 0.0)
    assert list(access.settle(540.0)) == [Expiring(1, 60.0)]
    access.grant(1, Permit(frozenset({"join"}), 600.0), 550.0)
    assert list(access.settle(700.0)) == []
    assert access.left(1, 700.0) == 450.0
    access.grant(1, Permit(), 700.0)
    assert list(access.settle(9999.0)) == []


@pytest.mark.parametrize("asked", [545.0, 599.5])
def test_the_end_waits_for_a_decision_once(asked: float) -> None:
    """A token that came in time is decided on; more of them put off nothing more."""
    access = Access()
    access.grant(1, Permit(OPEN, 600.0), 0.0)
    assert list(access.settle(540.0)) == [Expiring(1, 60.0)]
    access.hold(1, 5.0, asked)
    access.hold(1, 5.0, 600.0)
    access.hold(2, 5.0, asked)
    end = max(600.0, asked + 5.0)
    assert access.left(1, 600.0) == end - 600.0
    assert list(access.settle(end - 0.1)) == []
    assert list(access.settle(end)) == [Expired(1)]
    access.grant(1, Permit(OPEN, 600.0), end)
    access.hold(1, 1000.0, end)
    assert list(access.settle(end + 540.0)) == [Expiring(1, 460.0)], "not put off is the warning"
    assert list(access.settle(end + 1000.0)) == [Expired(1)]


def test_what_could_not_be_decided_on_is_asked_for_again() -> None:
    """Some seconds later, and not more often; not if the permit has ended by then."""
    access = Access()
    access.grant(1, Permit(OPEN, 600.0), 0.0)
    access.grant(2, Permit(), 0.0)
    for _ in range(50):
        for conn in (1, 2, 3):
            access.ask_again(conn, 540.0)
    assert access.pending == 3
    assert list(access.settle(540.0)) == [Expiring(1, 60.0)]
    assert list(access.settle(544.9)) == []
    lapses = list(access.settle(545.0))
    assert lapses == [Expiring(1, 55.0), Expiring(2, inf)]
    for at in (545.0, 595.0):
        access.ask_again(1, at)
        lapses = list(access.settle(at + 5.0))
    assert lapses == [Expired(1)], "that is when it ends"


def test_who_slept_past_the_end_warns_first() -> None:
    """Those who were not warned in time get a moment, and then it is over."""
    access = Access()
    access.grant(1, Permit(OPEN, 600.0), 0.0)
    assert list(access.settle(5000.0)) == [Expiring(1, 5.0)]
    assert list(access.settle(5005.0)) == [Expired(1)]
    access.grant(2, Permit(OPEN, 3.0), 6000.0)
    assert list(access.settle(7000.0)) == [Expiring(2, 1.0)]


def test_who_is_gone_is_told_nothing() -> None:
    """A forgotten connection neither ends nor is warned."""
    access = Access(rotation=10.0)
    access.grant(1, Permit(OPEN, 600.0), 0.0)
    access.attach(1, 0.0)
    access.forget(1)
    assert list(access.settle(9999.0)) == []
    access.grant(2, Permit(OPEN, 600.0), 0.0)
    access.attach(2, 0.0)
    access.clear()
    assert (access.first, access.may(2, "join")) == (inf, False)
    plain = Access()
    plain.grant(3, Permit(OPEN, 1.0), 0.0)
    plain.clear()
    assert plain.first == inf


def test_credentials_are_changed_again_and_again() -> None:
    """Every rotation, for as long as the connection lasts; without a rotation never."""
    access = Access(rotation=10.0)
    access.grant(1, Permit(), 0.0)
    access.attach(1, 0.0)
    assert access.first == 10.0
    assert list(access.settle(10.0)) == [Rotated(1)]
    assert list(access.settle(19.0)) == []
    assert list(access.settle(20.0)) == [Rotated(1)]
    never = Access()
    never.attach(1, 0.0)
    assert never.first == inf


def test_a_connection_that_is_granted_anew_again_and_again_takes_no_more_room() -> None:
    """Ends that do not count any more are thrown out before they outnumber the others."""
    access = Access()
    access.grant(1, Permit(OPEN, 500.0), 0.0)
    for now in range(100):
        access.grant(2, Permit(OPEN, 900.0), now)
        assert access.pending <= 4 * 2 + 16
    assert list(access.settle(440.0)) == [Expiring(1, 60.0)]
    assert list(access.settle(500.0)) == [Expired(1)]
    assert list(access.settle(939.0)) == [Expiring(2, 60.0)]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(1, 1000)), max_size=300))
def test_what_was_granted_anew_leaves_little_behind(grants: list[tuple[int, float]]) -> None:
    """However often connections are granted anew, the one that is due first is the first."""
    access, ends = Access(), dict[int, float]()
    for now, (conn, ttl) in enumerate(grants):
        for lapse in access.settle(now):
            if isinstance(lapse, Expired):
                ends.pop(lapse.conn)
                access.forget(lapse.conn)
        access.grant(conn, Permit(OPEN, ttl), now)
        ends[conn] = now + ttl
    assert access.pending <= 4 * len(ends) + 17
    seen = set()
    for _ in range(access.pending + len(ends)):
        seen |= {lapse.conn for lapse in access.settle(access.first)}
    assert seen == set(ends)
