"""What tests with pages share."""

from collections.abc import Iterator

import pytest

from tests.browser.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """One Chromium in a network of its own, and servers and peers where they are wanted."""
    stage = Stage()
    stage.open()
    yield stage
    stage.close()
