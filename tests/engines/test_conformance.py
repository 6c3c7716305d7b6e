"""Every engine keeps every law."""

import asyncio
from functools import partial

import pytest

from tests.engines.conformance import LAWS, Harness
from tests.engines.weather import keep_the_law
from tests.engines.world import Scenario
from thkmesh.core.engine import Capabilities
from thkmesh.engines.simulated import Behaviour
from thkmesh.engines.wrtc import WrtcEngine

SLOW = Behaviour(slow=0.3, slowness=(0.05, 0.3))
BARE = Capabilities(rollback=False, ice_restart=False, trickle=False, max_message_bytes=65_536)

HARNESSES = [
    Harness("wrtc", lambda scenario: asyncio.run(scenario(WrtcEngine))),
    Harness("simulated", partial(keep_the_law, seed=1, behaviour=Behaviour())),
    Harness("simulated-slow", partial(keep_the_law, seed=2, behaviour=SLOW)),
    Harness(
        "simulated-bare", partial(keep_the_law, seed=3, behaviour=Behaviour(capabilities=BARE))
    ),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.name)
def test_the_engine_keeps_the_law(harness: Harness, law: Scenario) -> None:
    """An engine may be anything inside, as long as this holds of it."""
    harness.check(law)
