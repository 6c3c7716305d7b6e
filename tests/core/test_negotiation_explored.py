"""Promise N1: a collision never wedges a pair. All interleavings, of the shipped class.

``python -m tests.core.explorer`` prints the number of states of each world.
"""

from array import array

import pytest

from tests.core.explorer import explore, refuse_cycles
from tests.core.negotiation_model import Fault
from tests.core.negotiation_worlds import WORLDS, World


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_every_interleaving_converges(world: World) -> None:
    """Whatever happens in whatever order, both sides end stable, paired, with nothing owed."""
    report = explore(world)
    assert report.fault is None, report
    assert report.states > 100, "the world is too small to say anything"


def test_a_cycle_is_refused() -> None:
    """A run that can go on for ever is a fault; one that splits and meets again is none."""
    refuse_cycles(degrees=array("L", [2, 1, 1, 0]), targets=array("L", [1, 2, 3, 3]))
    with pytest.raises(Fault, match="endless"):
        refuse_cycles(degrees=array("L", [1, 1, 1]), targets=array("L", [1, 2, 1]))
