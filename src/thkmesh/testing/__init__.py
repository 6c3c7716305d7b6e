"""A simulated world to test applications in: many peers, one seed, no waiting."""

from thkmesh.engines.simulated import Behaviour
from thkmesh.engines.simulated_network import Conditions
from thkmesh.testing.clock import Stuck, VirtualLoop, run
from thkmesh.testing.network import Direction
from thkmesh.testing.world import World

__all__ = ["Behaviour", "Conditions", "Direction", "Stuck", "VirtualLoop", "World", "run"]
