"""Failures in the laws say as much as failures in tests."""

import pytest

pytest.register_assert_rewrite(
    "tests.engines.world",
    "tests.engines.laws_negotiation",
    "tests.engines.laws_frames",
    "tests.engines.laws_close",
)
