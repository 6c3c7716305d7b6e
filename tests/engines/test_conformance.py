"""Every engine keeps every law."""

import asyncio

import pytest

from tests.engines.conformance import LAWS, Harness
from tests.engines.world import Scenario
from thkmesh.engines.wrtc import WrtcEngine

HARNESSES = [
    Harness("wrtc", lambda scenario: asyncio.run(scenario(WrtcEngine))),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.name)
def test_the_engine_keeps_the_law(harness: Harness, law: Scenario) -> None:
    """An engine may be anything inside, as long as this holds of it."""
    harness.check(law)
