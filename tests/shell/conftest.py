"""A server for all tests of a module, and a room of its own for each."""

import secrets
from collections.abc import Iterator

import pytest

from tests.shell.world import server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return the address of a running server."""
    with server() as running:
        yield running


@pytest.fixture
def room() -> str:
    """Return the name of a room that nobody is in."""
    return f"test-{secrets.token_hex(4)}"
