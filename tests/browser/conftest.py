"""What tests with pages share."""

from collections.abc import Iterator

import pytest

from tests.browser.firefox import SHOWN_ADDRESSES, Firefox
from tests.browser.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """One Chromium in a network of its own, and servers and peers where they are wanted."""
    stage = Stage()
    stage.open()
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def firefox(stage: Stage) -> Iterator[Firefox]:
    """One Firefox on the stage, which starts slowly; who uses it loads a page of its own."""
    firefox = stage.perform(Firefox.start(SHOWN_ADDRESSES))
    yield firefox
    stage.perform(firefox.close())
