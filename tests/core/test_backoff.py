"""Retries spread over a ceiling that doubles, and never wait longer than the cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.backoff import full_jitter


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (10**9, 30.0)]
)
def test_the_ceiling_doubles_up_to_the_cap(attempt: int, ceiling: float) -> None:
    """The highest throw of the dice shows the ceiling, the lowest is no delay at all."""
    assert full_jitter(attempt, 1.0, base=0.5, cap=30.0) == ceiling
    assert full_jitter(attempt, 0.0, base=0.5, cap=30.0) == 0.0


def test_a_base_over_the_cap_is_capped() -> None:
    """The cap holds for the first delay too."""
    assert full_jitter(0, 1.0, base=5.0, cap=2.0) == 2.0


@given(
    attempt=st.integers(0, 10_000),
    dice=st.floats(0.0, 1.0, exclude_max=True),
    base=st.floats(1e-3, 1e3),
    cap=st.floats(1e-3, 1e3),
)
def test_a_delay_is_a_share_of_its_ceiling(
    attempt: int, dice: float, base: float, cap: float
) -> None:
    """The dice decide where between nothing and the ceiling, whatever the numbers."""
    delay = full_jitter(attempt, dice, base=base, cap=cap)
    assert 0.0 <= delay <= cap
    assert delay == dice * full_jitter(attempt, 1.0, base=base, cap=cap)
