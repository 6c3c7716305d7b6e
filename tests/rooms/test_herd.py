"""A thousand clients whose server restarts come back, and not all at once (R2)."""

import asyncio

import pytest

from thkmesh.core.draining import PACE
from thkmesh.events import ServerState
from thkmesh.server import RoomService, ServerSettings
from thkmesh.testing import World

HERD = 1000
BACK_WITHIN = 30.0
"""Seconds from the moment when a server is there again."""


def peak(comings: list[float], window: float) -> int:
    """Return the largest number that came within such a time."""
    return max(sum(start <= each < start + window for each in comings) for start in comings)


def note_comings(world: World, service: RoomService) -> list[float]:
    """Return when each hello came to a server, as they come."""
    comings: list[float] = []
    service.welcomed = lambda _: comings.append(world.time)
    return comings


async def herd_returns(world: World, *, drained: bool, downtime: float) -> list[float]:
    """Restart a server with a thousand clients; return when each of them came, all being back."""
    rooms = [await world.join(f"host-{n}", room=f"room-{n}") for n in range(HERD)]
    await asyncio.sleep(10.0)
    assert world.server.service is not None
    if drained:
        await world.server.service.drain()
    world.restart_server(downtime)
    await asyncio.sleep(downtime + 0.001)
    began = world.time
    comings = note_comings(world, world.server.service)
    async with asyncio.timeout(BACK_WITHIN):
        while not all(room.server is ServerState.CONNECTED for room in rooms):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.1)
    assert len(comings) == HERD, "each came once"
    return [each - began for each in comings]


@pytest.mark.parametrize(
    ("downtime", "most"),
    [
        pytest.param(0.5, 4 * HERD, marks=pytest.mark.nightly),  # they have just begun to wait
        (5.0, HERD),  # they wait for up to five seconds
    ],
)
def test_a_herd_comes_back_spread(downtime: float, most: float) -> None:
    """After a crash: full jitter, over longer the longer the server was away."""
    world = World(seed=5, settings=ServerSettings(max_rooms=HERD))
    comings = world.run(herd_returns(world, drained=False, downtime=downtime))
    assert peak(comings, 0.1) < most * 0.1


def test_a_herd_that_was_asked_to_move_comes_back_at_a_pace() -> None:
    """After SIGTERM: as many in a second as was asked for, but for the jitter."""
    world = World(seed=5, settings=ServerSettings(max_rooms=HERD, drain=0.5))
    comings = world.run(herd_returns(world, drained=True, downtime=0.1))
    assert peak(comings, 1.0) < 2 * PACE
