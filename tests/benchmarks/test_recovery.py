"""What `make bench BENCH=recovery` counts, and that it still runs."""

from typing import Any

import pytest

from benchmarks.recovery import percentiles
from benchmarks.recovery_lane import BOUND, Outcome, judge, opened
from benchmarks.recovery_outages import Cable


def end(**memory: Any) -> dict[str, Any]:  # noqa: ANN401 - see judge
    """Return what an end remembers that said a number each second, and heard nothing."""
    said = [1000.0 * second for second in range(100)]
    nothing = {"heard": [], "closings": [], "relays": [], "made": [0.0], "restarts": []}
    return {"said": said, **nothing, **memory}


def heard(*numbers: int, late: float = 0.0) -> list[tuple[int, float, float]]:
    """Return what is heard of that; what was said from 10 s on comes so many seconds later."""
    return [
        (number, 1000.0 * number, 1000.0 * (number + (late if number >= 10 else 0.0)))
        for number in numbers
    ]


def outcome(one: dict[str, Any], other: dict[str, Any]) -> Outcome:
    """Return what became of two that lost the path at 10 s, and had it back at 15 s."""
    return judge((one, other), 10_000.0, 15_000.0, 70_000.0)


def test_the_later_of_both_directions_counts() -> None:
    """Only once both hear what was said after the loss has a contestant recovered."""
    found = outcome(end(heard=heard(*range(30), late=6.0)), end(heard=heard(*range(30), late=8.0)))
    assert (found.recovered, found.back, found.lost, found.how) == (8.0, 5.0, 0, "same")


def test_what_never_came_is_lost_and_what_came_twice_is_told() -> None:
    """Of what was said between loss and recovery, on both sides."""
    found = outcome(
        end(heard=heard(*range(10), 14, 14, 15)), end(heard=heard(*range(30), late=4.0))
    )
    assert (found.recovered, found.said, found.lost, found.doubled) == (4.0, 10, 4, 1)


def test_who_hears_one_way_only_has_not_recovered() -> None:
    """That is no figure, and all that was not heard until the end is lost."""
    found = outcome(end(heard=heard(*range(10))), end(heard=heard(*range(70))))
    assert (found.recovered, found.said, found.lost) == (None, 122, 62)


@pytest.mark.parametrize(
    ("memory", "how"),
    [
        ({"made": [0.0, 12_000.0], "restarts": [11_000.0]}, "replaced"),
        ({"made": [0.0, 16_000.0], "restarts": [11_000.0]}, "restart"),
        ({"relays": [(12_000.0, True)]}, "relay"),
        ({"relays": [(12_000.0, True), (12_500.0, False)], "made": [0.0, 12_000.0]}, "replaced"),
        ({"closings": [12_000.0], "made": [0.0, 12_600.0]}, "called again"),
        ({"closings": [60_000.0]}, "same"),
    ],
)
def test_it_is_told_what_carried_the_first_message(memory: dict[str, Any], how: str) -> None:
    """By what was asked of the engine until then, and what the application was told."""
    both = heard(*range(30), late=4.0)
    assert outcome(end(heard=both, **memory), end(heard=both)).how == how


def test_percentiles_of_nothing_are_no_figures() -> None:
    """One figure is all of them."""
    assert percentiles([]) is None
    assert percentiles([3.0]) == (3.0, 3.0)
    assert percentiles([float(number) for number in range(1, 12)]) == (6.0, 10.5)


class Blink(Cable):
    """A cable that is out for a moment."""

    seconds = 0.3


@pytest.mark.nightly
async def test_two_programs_lose_the_path_and_find_it_again() -> None:
    """A whole round, without browsers: both are measured, and nothing is lost."""
    async with opened(Blink, browsers=False) as lane:
        outcomes = await lane.round(dict.fromkeys(lane.names, BOUND), warm=(0.2, 0.3))
    assert set(outcomes) == {"THKMesh, Python", "THKMesh, Python, no relay"}
    for found in outcomes.values():
        assert found.recovered is not None
        assert found.said > 0
        assert found.lost == found.doubled == 0
