"""The signaling server dies and comes back; nobody who talks notices (promise R1)."""

import asyncio
import secrets
import time
from itertools import permutations

import pytest

from tests.rooms.conftest import StartPeers
from tests.rooms.figures import percentile, report, summary
from tests.rooms.processes import PeerProcess, Server, all_linked

MEMBERS = 5
SOME = 25
"""Numbers that everybody hears from each, on average, while the server is down."""

REJOIN_LIMIT = 25.0
"""Seconds; we promise five."""


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.nightly)])
async def test_killing_the_server_disturbs_nobody(
    server: Server, start_peers: StartPeers, kills: int
) -> None:
    """Messages go on with none missing, no link breaks, the room re-forms, newcomers get in."""
    room = secrets.token_hex(8)
    *peers, newcomer = await start_peers(MEMBERS + 1)
    for peer in peers:
        peer.join(server.url, room)
    await all_linked(peers)
    for peer in peers:
        peer.tell("talk")
    rejoined: list[float] = []
    for _ in range(kills):
        rejoined += await kill_and_restart(server, peers, room)
    report(f"rejoined: {summary(rejoined)}")
    newcomer.join(server.url, room)
    await all_linked([*peers, newcomer])
    for peer in peers:
        await newcomer.until(lambda: bool(newcomer.heard(peer, direct=False)))  # noqa: B023
    for peer in peers:
        await hush(peer)
    for sender, receiver in permutations(peers, 2):
        said = sender.of("Hushed")[0]["said"]
        await receiver.until(lambda: len(receiver.heard(sender, direct=False)) >= said)  # noqa: B023
        assert receiver.heard(sender, direct=False) == list(range(said))
    for peer in peers:
        assert len(peer.of("LinkChanged")) == MEMBERS, "each link connected once"
        assert not peer.of("PeerLeft") + peer.of("Lost") + peer.of("Refused")
    assert percentile(rejoined, 99) < REJOIN_LIMIT


async def hush(peer: PeerProcess) -> None:
    """Have a peer talk no more."""
    peer.tell("hush")
    await peer.until(lambda: bool(peer.of("Hushed")))


async def kill_and_restart(server: Server, peers: list[PeerProcess], room: str) -> list[float]:
    """Kill the server, let the peers talk without it, restart it; return how long each took."""
    await server.kill()
    for peer in peers:
        await peer.until(lambda: server_state(peer) == "reconnecting")  # noqa: B023
    enough = {peer: peer.heard_in_all + SOME * (MEMBERS - 1) for peer in peers}
    for peer in peers:
        await peer.until(lambda: peer.heard_in_all >= enough[peer])  # noqa: B023
    await server.start()
    back = time.monotonic()
    for peer in peers:
        await peer.until(lambda: server_state(peer) == "connected")  # noqa: B023
    async with asyncio.timeout(REJOIN_LIMIT):
        assert await server.members(room) == len(peers)
    return [peer.of("ServerChanged")[-1]["at"] - back for peer in peers]


def server_state(peer: PeerProcess) -> str:
    """Return how a peer stands with the server."""
    return str(peer.of("ServerChanged")[-1]["state"])
