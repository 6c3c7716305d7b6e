"""What it costs the signaling server that somebody joins."""

import asyncio
from contextlib import AsyncExitStack

import pytest

import thkmesh
from tests.shell.counting import CountingTransport
from tests.shell.world import PATIENCE
from thkmesh import LinkChanged, LinkState, Room
from thkmesh.core.sequencing import ACK_DELAY
from thkmesh.engines.simulated import Behaviour
from thkmesh.host import InlineHost, Lease
from thkmesh.settings import RoomSettings
from thkmesh.signaling.websocket import WebSocketTransport
from thkmesh.testing.world import World

OTHERS = 9
LIMIT = 60


async def all_linked(room: Room) -> None:
    """Wait until a room has a link to every other."""
    linked = 0
    async for event in room:
        linked += isinstance(event, LinkChanged) and event.state is LinkState.CONNECTED
        if linked == OTHERS:
            return


def cost(world: World) -> CountingTransport:
    """Let somebody join nine others; return what that cost until all was acknowledged."""

    async def main() -> CountingTransport:
        for number in range(OTHERS):
            await world.join(f"peer-{number}", room="lobby")
        transport = CountingTransport(world.transport("newcomer"))
        settings = RoomSettings(
            url=world.url, room="lobby", identity=world.identity("newcomer"), sid="0" * 16
        )
        host = InlineHost(world.engine("newcomer"), world.dice("newcomer").random)
        room = Room(settings, host, transport)
        await room.enter()
        await all_linked(room)
        await asyncio.sleep(ACK_DELAY + 1.0)  # virtual time
        return transport

    return world.run(main())


@pytest.mark.parametrize("seed", range(5))
def test_joining_nine_peers_costs_at_most_sixty_messages(seed: int) -> None:
    """Both ways, from the challenge to the last acknowledgement."""
    found = cost(World(seed, behaviour=Behaviour(candidate=(0.0, 0.002))))
    assert found.total <= LIMIT, (seed, found.sent, found.received)


@pytest.mark.parametrize("seed", range(5))
def test_candidates_that_dribble_in_cost_few_signals_more(seed: int) -> None:
    """Where a STUN server takes its time, a link costs three more, both sides together."""
    found = cost(World(seed))
    assert found.total <= LIMIT + 3 * OTHERS, (seed, found.sent, found.received)


async def test_a_real_engine_needs_no_more(url: str, room: str) -> None:
    """As libwebrtc finds its candidates, and when each link ends with a bare acknowledgement."""
    transport = CountingTransport(WebSocketTransport())
    async with AsyncExitStack() as stack:
        for _ in range(OTHERS):
            await stack.enter_async_context(thkmesh.join(url, room=room))
        lease = Lease()
        settings = RoomSettings(url=url, room=room)
        newcomer = Room(settings, lease.host, transport, lease.release)
        stack.push_async_callback(newcomer.leave)
        await newcomer.enter()
        async with asyncio.timeout(PATIENCE):
            await all_linked(newcomer)
        counted = transport.sent + transport.received
    assert counted["webrtc-offer"] == counted["webrtc-answer"] == OTHERS
    numbered = counted.total() - counted["webrtc-ack"]
    assert numbered + OTHERS <= LIMIT, counted
