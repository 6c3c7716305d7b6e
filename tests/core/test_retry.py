"""The laws of retrying: at once after a good connection, later and later after bad ones."""

import pytest

from thkmesh.core.retry import (
    HASTE,
    HUNG,
    RETRY_BASE,
    RETRY_CAP,
    SETTLE_TIMEOUT,
    STEADY,
    Retry,
)


def waits(retry: Retry, now: float, count: int) -> list[float | None]:
    """Fail so many times in a row; return how long each retry waits."""
    found: list[float | None] = []
    for _ in range(count):
        retry.failed(now, wanted=False)
        found.append(None if retry.at is None else retry.at - now)
        assert retry.take(now + 1e3)
    return found


def waiting(retry: Retry) -> bool:
    """Tell whether it has a time to wait for."""
    return retry.deadline is not None


def test_nothing_is_due_before_anything_began() -> None:
    """A link that has never tried waits for nothing."""
    retry = Retry(lambda: 0.5)
    retry.watch(0.0, settled=False, begun=False)
    retry.slept(1.0)
    retry.resumed(1.0)
    assert retry.deadline is None
    assert not retry.overdue(1e9)
    assert not retry.take(1e9)


def test_what_does_not_settle_in_time_is_overdue() -> None:
    """The time counts from the first look at it, until it has settled."""
    retry = Retry(lambda: 0.5)
    retry.watch(1.0, settled=False, begun=True)
    retry.watch(5.0, settled=False, begun=True)
    assert retry.deadline == 1.0 + SETTLE_TIMEOUT
    assert not retry.overdue(0.99 + SETTLE_TIMEOUT)
    assert retry.overdue(1.0 + SETTLE_TIMEOUT)
    retry.watch(6.0, settled=True, begun=True)
    assert not retry.overdue(1e9)
    assert not waiting(retry)


def test_neither_our_sleep_nor_a_lost_server_uses_up_the_time() -> None:
    """Sleep is given back; with the server's return the time begins anew."""
    retry = Retry(lambda: 0.5)
    retry.watch(0.0, settled=False, begun=True)
    retry.slept(100.0)
    assert retry.deadline == 100.0 + SETTLE_TIMEOUT
    retry.resumed(300.0)
    assert retry.deadline == 300.0 + SETTLE_TIMEOUT


def test_the_first_retry_is_immediate_and_later_ones_wait_longer() -> None:
    """The ceiling doubles from the second retry on, up to the cap."""
    dice = 0.75
    first, second, third, *_, last = waits(Retry(lambda: dice), 0.0, 12)
    assert [first, second, third] == [0.0, dice * RETRY_BASE, dice * 2 * RETRY_BASE]
    assert last == dice * RETRY_CAP


@pytest.mark.parametrize(("lived", "good"), [(STEADY, True), (0.9 * STEADY, False)])
def test_only_a_connection_that_lived_makes_the_next_retry_immediate(
    lived: float, *, good: bool
) -> None:
    """A connection that opens and breaks at once does not count, however often."""
    retry = Retry(lambda: 0.75)
    waits(retry, 0.0, 3)
    retry.connected(10.0)
    delay, _ = waits(retry, 10.0 + lived, 2)
    assert (delay == 0.0) is good


def test_one_failure_has_one_retry() -> None:
    """Whatever else fails until then neither moves it nor counts."""
    retry = Retry(lambda: 0.75)
    waits(retry, 0.0, 1)
    retry.failed(0.0, wanted=False)
    retry.watch(0.0, settled=False, begun=True)
    retry.failed(0.5, wanted=False)
    assert retry.at == retry.deadline == 0.75 * RETRY_BASE
    assert not retry.take(0.74 * RETRY_BASE)
    assert retry.take(0.75 * RETRY_BASE)
    assert retry.deadline == 0.75 * RETRY_BASE + SETTLE_TIMEOUT


def test_a_connection_that_is_wanted_comes_now_and_is_no_failure() -> None:
    """It does not wait for the retry that is due, and the next failure does not wait either."""
    retry = Retry(lambda: 0.75)
    retry.failed(3.0, wanted=True)
    assert retry.take(3.0)
    assert waits(retry, 4.0, 2) == [0.0, 0.75 * RETRY_BASE]
    retry.failed(5.0, wanted=False)
    retry.failed(5.0, wanted=True)
    assert retry.at == 5.0


def test_a_connection_that_came_without_us_ends_the_waiting() -> None:
    """Open, or opened in place of the former, it needs no retry."""
    retry = Retry(lambda: 0.5, at=0.0)
    assert waiting(retry)
    retry.connected(0.0)
    assert not waiting(retry)
    retry.watch(1.0, settled=False, begun=True)
    assert waiting(retry)
    retry.renewed()
    assert not waiting(retry)


def test_how_long_an_attempt_may_take_can_be_set() -> None:
    """It is overdue as long after its beginning as asked for."""
    retry = Retry(lambda: 0.5, timeout=4.0)
    retry.watch(1.0, settled=False, begun=True)
    assert retry.deadline == 5.0
    assert not retry.overdue(4.9)
    assert retry.overdue(5.0)


def test_a_change_of_the_network_ends_the_waiting() -> None:
    """The retry is due now, and the next failure is the first again."""
    retry = Retry(lambda: 0.75)
    waits(retry, 0.0, 6)
    retry.failed(2000.0, wanted=False)
    assert not retry.take(2000.0)
    assert not retry.hurry(2000.5)
    assert retry.take(2000.5)
    assert waits(retry, 2001.0, 2) == [0.0, 0.75 * RETRY_BASE]


def test_a_change_of_the_network_delays_nothing() -> None:
    """What was due already stays so."""
    retry = Retry(lambda: 0.5, at=1.0)
    retry.hurry(5.0)
    assert retry.at == 1.0


def test_what_hangs_as_the_network_changes_is_begun_anew() -> None:
    """It was made for addresses that are gone; what has just begun only has less time."""
    retry = Retry(lambda: 0.5)
    retry.watch(0.0, settled=False, begun=True)
    assert not retry.hurry(0.9 * HUNG)
    assert retry.deadline == 0.9 * HUNG + HASTE
    assert retry.hurry(1.9 * HUNG)
    assert retry.at == 1.9 * HUNG


def test_the_first_attempt_after_a_change_has_little_time() -> None:
    """It may have come too early; the one after it has all the time it needs."""
    retry = Retry(lambda: 0.5, at=9.0)
    retry.hurry(1.0)
    assert retry.take(1.0)
    assert retry.deadline == 1.0 + HASTE
    retry.failed(4.0, wanted=False)
    assert retry.take(4.0)
    assert retry.deadline == 4.0 + SETTLE_TIMEOUT


def test_time_is_only_taken_away() -> None:
    """Who is hastened again and again has no more time for it."""
    retry = Retry(lambda: 0.5)
    retry.hasten(0.0, 2.0)
    assert not waiting(retry)
    retry.watch(0.0, settled=False, begun=True)
    retry.hasten(1.0, 3.0)
    retry.hasten(2.0, 3.0)
    assert retry.deadline == 4.0
    retry.hasten(2.0, 1.0)
    assert retry.deadline == 3.0
    late = Retry(lambda: 0.5)
    late.watch(0.0, settled=False, begun=True)
    late.hasten(SETTLE_TIMEOUT - 0.5, 2.0)
    assert late.deadline == SETTLE_TIMEOUT


def test_nothing_that_waits_for_nothing_is_hurried() -> None:
    """Where all is well, or nothing was ever tried, a change begins nothing."""
    retry = Retry(lambda: 0.5)
    assert not retry.hurry(1.0)
    assert not waiting(retry)
