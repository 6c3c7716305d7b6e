"""N4: stale lives are inert. D1: an hour of troubles. Simulated rooms, each from one seed."""

from collections.abc import Callable, Iterable

import pytest

from tests.testing.storm import Storm

SEEDS = 500
BATCH = 25
HOURS = 20


def blow(storms: Callable[[int], Storm], seeds: Iterable[int]) -> None:
    """Blow the storms of seeds; say which it was that failed."""
    for seed in seeds:
        try:
            storms(seed).blow()
        except BaseException as error:
            error.add_note(f"storm seed {seed}")
            raise


def short(seed: int) -> Storm:
    """Return a storm of a minute or two; one of ten is watched for longer after it."""
    return Storm(seed, linger=seed % 10 == 0)


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_after_a_storm_every_pair_converges(first: int) -> None:
    """N4: nothing stale is applied, nothing doubled, and after quiet all agree and talk."""
    blow(short, range(first, first + BATCH))


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 11_000, 500))
def test_after_ten_thousand_storms_every_pair_converges(first: int) -> None:
    """N4, nightly: the same law over ten thousand seeds."""
    blow(short, range(first, first + 500))


@pytest.mark.parametrize("first", range(0, HOURS, 2))
def test_an_hour_of_troubles_loses_nothing_untold(first: int) -> None:
    """D1: twenty hours in a room, with a trouble every five minutes."""
    blow(Storm.hour, range(first, first + 2))


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 4000, 100))
def test_thousands_of_hours_lose_nothing_untold(first: int) -> None:
    """D1, nightly: the same over three thousand hours."""
    blow(Storm.hour, range(first, first + 100))


@pytest.mark.parametrize("kind", [short, Storm.hour], ids=["storm", "hour"])
def test_a_seed_replays_to_the_identical_trace(kind: Callable[[int], Storm]) -> None:
    """D1: the same seed gives the same world to the byte; another seed another."""
    first, again, other = kind(8), kind(8), kind(9)
    assert first.blow() == again.blow() != other.blow()
    assert list(first.world.lines) == list(again.world.lines)
