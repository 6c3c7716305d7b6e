"""Signals that are doubled, dropped, held back and replayed."""

from random import Random

import pytest

from thkmesh import LinkState
from thkmesh.testing import Direction, Scrambler, World

SIGNAL = '{"type":"webrtc-offer"}'
UP, DOWN = Direction.TO_SERVER, Direction.TO_CLIENT


def scrambler(**fates: float) -> Scrambler:
    """Return one of known dice."""
    return Scrambler(Random(1), **fates)


def test_each_fate_is_what_it_says() -> None:
    """Twice, never, behind the next, and again later."""
    assert scrambler(doubled=1.0)(UP, "ada", SIGNAL) == [SIGNAL, SIGNAL]
    assert scrambler(dropped=1.0)(UP, "ada", SIGNAL) == []
    holding = scrambler(held=1.0)
    assert holding(DOWN, "ada", SIGNAL) == []
    assert holding(DOWN, "bob", "other") == ["other"]
    assert holding(DOWN, "ada", "next") == ["next", SIGNAL]
    assert holding(UP, "ada", SIGNAL) == [SIGNAL]
    replaying = scrambler(replayed=1.0)
    assert replaying(DOWN, "ada", SIGNAL) == [SIGNAL]
    assert replaying(DOWN, "bob", SIGNAL + " ") == [SIGNAL + " ", SIGNAL]


def test_what_the_server_says_itself_passes() -> None:
    """Only signals are scrambled, and none while it is not active."""
    dropping = scrambler(dropped=1.0)
    assert dropping(DOWN, "ada", '{"type":"welcome"}') == ['{"type":"welcome"}']
    dropping.active = False
    assert dropping(DOWN, "ada", SIGNAL) == [SIGNAL]


def test_what_was_held_is_not_dropped_with_what_follows() -> None:
    """Each signal has its own fate."""
    both = Scrambler(Random(1), held=1.0)
    assert both(DOWN, "ada", SIGNAL) == []
    both.active = False
    assert both(DOWN, "ada", "next") == ["next", SIGNAL]


def test_fates_exclude_each_other() -> None:
    """More than certain is a mistake of whoever asks for it."""
    with pytest.raises(AssertionError, match="one fate"):
        scrambler(doubled=0.6, dropped=0.6)


@pytest.mark.parametrize("seed", range(5))
def test_rooms_form_over_scrambled_signaling(seed: int) -> None:
    """Half of all signals go wrong, and three peers are linked with each other."""
    world = World(seed)
    world.server.tamper = Scrambler(
        world.dice("scrambler"), doubled=0.15, dropped=0.15, held=0.1, replayed=0.1
    )

    async def main() -> None:
        rooms = [await world.join(host, room="lobby") for host in ("ada", "bob", "cem")]
        await world.linked(*rooms)
        for room in rooms:
            views = [room.link(peer) for peer in room.peers]
            assert [view and view.state for view in views] == [LinkState.CONNECTED] * 2

    world.run(main())
    assert not world.illegal
