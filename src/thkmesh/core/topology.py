"""Who links to whom.

In a mesh everybody links to everybody: N peers have N(N-1)/2 links, which is
fine up to about ten (the seed's limit). Above that a hub carries the traffic; a
topology is only a hint, and delivery never depends on agreement about it.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from thkmesh.core.identity import SessionKey

__all__ = ["MESH_LIMIT", "Topology", "links_wanted"]

MESH_LIMIT: Final = 10
"""Peers a room holds as a mesh, ourselves included."""


class Topology(Enum):
    """The shapes a room can have."""

    MESH = "mesh"


def links_wanted(
    topology: Topology, me: SessionKey, members: Iterable[SessionKey]
) -> frozenset[SessionKey]:
    """Return the sessions that ``me`` keeps a direct link to."""
    match topology:
        case Topology.MESH:  # pragma: no branch - the only one so far
            return frozenset(member for member in members if member != me)
