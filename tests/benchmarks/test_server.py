"""What `make bench BENCH=server` counts, and that it still runs."""

import json
from collections.abc import Callable

import pytest

from benchmarks.server import contestants, running
from benchmarks.server_dialects import Dialect, PeerJs, ThkMesh
from thkmesh.core import wire


@pytest.mark.parametrize("size", [300, 1024])
@pytest.mark.parametrize("dialect", [ThkMesh, PeerJs])
def test_signals_have_the_size_that_is_said(dialect: Callable[[str], Dialect], size: int) -> None:
    """And are what the server they are for relays."""
    one, other = dialect("round-1-0"), dialect("round-1-0")
    text = one.signal(other, size)
    assert len(text) == size
    assert one.is_signal(text)
    assert isinstance(json.loads(text), dict)
    if dialect is ThkMesh:
        assert isinstance(wire.decode_to_server(text), wire.Signal)


def test_what_is_sent_comes_back_and_is_counted() -> None:
    """Through a real server: clients join, bounce, and are paced; its memory and time are known."""
    with running(contestants()["THKMesh"]) as server:
        crowd = server.crowd(4, "small")
        assert len(crowd.join(at_once=2)) == 4
        crowd.pair(300)
        crowd.kick_off()
        assert crowd.bounce(0.2) > 0
        crowd.drain()
        took = crowd.pace(rate=200, seconds=0.1)
        assert len(took) == 20
        assert took == sorted(took)
        assert took[0] > 0
        assert server.cpu > 0
        assert server.memory > 0
        crowd.close()
