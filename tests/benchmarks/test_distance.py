"""What `make bench BENCH=distance` counts, and that it still runs."""

import pytest

from benchmarks.distance import Cell, measure, rate


def test_only_what_came_in_time_counts() -> None:
    """A rate is what arrived before time was up, over the time until the last of it came."""
    seen = [(10.5, 1_000_000), (12.0, 3_000_000), (13.1, 9_000_000)]
    found = rate(seen, began=10.0, seconds=3.0, cpu=0.4)
    assert (found.megabytes, found.rate, found.cpu) == (4.0, 2.0, 0.4)


def test_nothing_in_time_is_a_rate_of_nothing() -> None:
    """Who delivers nothing has no rate, and does not end the run."""
    assert rate([(14.0, 1)], began=10.0, seconds=3.0, cpu=0.4).rate == 0.0


@pytest.mark.nightly
async def test_everybody_gets_something_through() -> None:
    """On a wire of 20 ms all that are installed deliver, and the wire's ceiling is known."""
    cell = Cell(trip_ms=20, loss=0.0, seconds=0.5)
    figures = (await measure((cell,), runs=1, flood_seconds=0.1))[cell]
    assert {"THKMesh", "bare wrtc", "TLS over TCP"} <= set(figures.transfers)
    assert all(figures.rate(name) > 0.0 for name in figures.transfers)
    assert figures.share("THKMesh") == figures.rate("THKMesh") / figures.ceilings[0]
