"""What the tests in the fault lab share."""

from collections.abc import AsyncIterator

import pytest

from tests.faults.lab import Lab, opened


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """An internet of our own, without hosts yet."""
    async with opened() as lab:
        yield lab
