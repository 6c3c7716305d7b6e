"""The laws of credit: windows come out of one budget, and something always remains."""

from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.credit import (
    BUDGET_BYTES,
    WINDOW_BYTES,
    WINDOW_LIMIT_BYTES,
    Budget,
    Credit,
)
from thkmesh.core.frames import FRAGMENT_BYTES, LEAST_FRAGMENT_BYTES, MESSAGE_LIMIT_BYTES

COST = FRAGMENT_BYTES + 64
FINEST = MESSAGE_LIMIT_BYTES + MESSAGE_LIMIT_BYTES // LEAST_FRAGMENT_BYTES * 64
WHOLE = FINEST // COST * COST
"""What a message of that size takes if it is cut finely, in whole fragments."""


def fill(credit: Credit, *, assembling: bool = False) -> int:
    """Send as much as the credit lets us, asking for more each time; return how much."""
    before = credit.position
    credit.grant(0)
    while credit.take(COST):
        credit.grant(credit.position - before if assembling else 0)
    return credit.position - before


def test_an_unread_stream_takes_its_window_and_no_more() -> None:
    """However often it is granted; what is read comes back."""
    budget = Budget()
    credit = Credit(budget, 0)
    assert fill(credit) <= WINDOW_LIMIT_BYTES
    assert budget.promised == WINDOW_LIMIT_BYTES
    credit.read(10 * COST)
    assert fill(credit) == 10 * COST


def test_fifty_unread_streams_stay_within_the_budget() -> None:
    """Each later one gets less, and all of them something (promise M4b)."""
    budget = Budget()
    held = [fill(Credit(budget, 0)) for _ in range(50)]
    assert held == sorted(held, reverse=True)
    assert min(held) >= WINDOW_BYTES - COST
    assert sum(held) <= budget.promised <= BUDGET_BYTES
    assert max(held) <= BUDGET_BYTES // 4


def test_a_message_larger_than_the_window_gets_what_it_needs() -> None:
    """Once; behind it nothing more comes before it has been read."""
    budget = Budget()
    credit = Credit(budget, 0)
    whole = fill(credit, assembling=True)
    assert whole == WHOLE
    assert credit.grant(0) == credit.limit
    assert not credit.take(COST)
    credit.read(whole)
    assert fill(credit) >= WINDOW_LIMIT_BYTES - COST


def test_the_reserve_is_for_one_at_a_time() -> None:
    """Where the budget does not suffice; who waits for it gets it when it is given back."""
    budget = Budget(0)
    first, second = Credit(budget, 0), Credit(budget, 0)
    whole = fill(first, assembling=True)
    stuck = fill(second, assembling=True)
    assert whole == WHOLE
    assert stuck <= WINDOW_BYTES
    waiting = [second.waiting]
    first.read(whole)
    second.grant(stuck)
    waiting.append(second.waiting)
    assert waiting == [True, False]
    while second.take(COST):
        second.grant(second.position)
    assert second.position == WHOLE
    second.close(0)
    assert budget.drawing is None
    second.reopen()


def test_streams_that_rest_do_not_keep_the_reserve() -> None:
    """However many have had their windows, a large message passes, and then another."""
    budget = Budget()
    for _ in range(200):
        rested = Credit(budget, 0)
        assert rested.take(COST)
        rested.read(COST)
        rested.grant(0)
    assert budget.free == 0
    for _ in range(3):
        credit = Credit(budget, 0)
        for size in (1_000_000, 5_000_000, 8_000_000):
            begun = credit.position
            while credit.position - begun < size:
                assert credit.take(COST)
                credit.grant(credit.position - begun)
            credit.read(credit.position - begun)
            credit.grant(0)
        assert budget.drawing is None


def test_who_was_moved_on_before_the_first_fragment_may_go_on() -> None:
    """Where it is now, it has the window of a beginning."""
    credit = Credit(Budget(), 0)
    credit.jump(10_000_000)
    assert credit.grant(0) == 10_000_000 + WINDOW_BYTES
    assert credit.take(COST)


def test_who_is_thrown_away_half_way_gives_back_the_reserve() -> None:
    """Nobody listens any more to the channel of a message that was coming."""
    budget = Budget(0)
    credit = Credit(budget, 0)
    fill(credit, assembling=True)
    other = Credit(budget, 0)
    assert fill(other, assembling=True) <= WINDOW_BYTES
    credit.discard()
    other.grant(other.position)
    assert not other.waiting


def test_what_is_thrown_away_counts_for_nothing() -> None:
    """And does not stop its sender, who may not know yet that nobody listens."""
    budget = Budget()
    credit = Credit(budget, 0)
    for _ in range(100):
        assert credit.take(COST)
        credit.discard()
        assert budget.promised == 0
        credit.grant(0)
    assert credit.take(COST)
    assert budget.promised > 0


def test_a_message_behind_unread_ones_gets_nothing_extra() -> None:
    """Else a channel that nobody reads would take the whole budget, message by message."""
    credit = Credit(Budget(), 0)
    for _ in range(10):
        credit.take(COST)
    credit.read(8 * COST)
    limit = credit.grant(0)
    while credit.take(COST):
        assert credit.grant(credit.position - 10 * COST) <= limit + 8 * COST
    assert credit.unread <= WINDOW_LIMIT_BYTES


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 200_000))))
def test_the_budget_adds_up(steps: list[tuple[int, int, int]]) -> None:
    """What is promised is what all streams may have lying here, whatever happens to them."""
    budget = Budget()
    used: set[Credit] = set()
    streams = [Credit(budget, 100 * number) for number in range(4)]
    for which, what, size in steps:
        credit = streams[which]
        match what:
            case 0 | 1:
                if credit.take(size):
                    used.add(credit)
            case 2:
                credit.read(size)
            case 3:
                credit.grant(min(size, credit.unread))
            case 4:
                credit.jump(credit.position + size)
                credit.begin(credit.position)
            case _:
                credit.close(min(size, credit.unread))
                credit.reopen()
        assert credit.position <= credit.limit
        held = sum(each.limit - each.position + each.unread for each in used)
        assert budget.promised == held
