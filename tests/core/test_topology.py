"""The law of the mesh."""

from thkmesh.core.identity import SessionKey
from thkmesh.core.topology import Topology, links_wanted


def test_in_a_mesh_everybody_links_to_everybody_else() -> None:
    """A mesh wants a link to each session but one's own."""
    a, b, c = (SessionKey(name, "0") for name in "abc")
    assert links_wanted(Topology.MESH, a, [a, b, c]) == {b, c}
