"""What the tests of rooms measure; ``pytest -rP`` shows it."""

import sys
from collections.abc import Iterable
from math import ceil


def report(figure: str) -> None:
    """Write a line where pytest captures it."""
    sys.stdout.write(figure + "\n")


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def summary(seconds: list[float]) -> str:
    """Return count, median, 99th percentile and maximum, in words."""
    p50, p99 = (percentile(seconds, percent) for percent in (50, 99))
    return f"n={len(seconds)} p50={p50:.3f} s p99={p99:.3f} s max={max(seconds):.3f} s"
