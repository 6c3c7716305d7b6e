"""A simulated world to test applications in: many peers, one seed, no waiting."""

from thkmesh.engines.simulated import Behaviour
from thkmesh.engines.simulated_network import Conditions
from thkmesh.testing.clock import Step, Stuck, VirtualLoop, run
from thkmesh.testing.network import SERVER, Direction
from thkmesh.testing.scrambler import Scrambler
from thkmesh.testing.witness import Witness
from thkmesh.testing.world import World

__all__ = [
    "SERVER",
    "Behaviour",
    "Conditions",
    "Direction",
    "Scrambler",
    "Step",
    "Stuck",
    "VirtualLoop",
    "Witness",
    "World",
    "run",
]
