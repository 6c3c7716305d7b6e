"""A server process dies, and so does Redis; rooms that talk do not notice (promise S4)."""

import asyncio
import secrets
from itertools import permutations

from tests.rooms.conftest import StartPeers
from tests.rooms.processes import all_linked
from tests.server.cluster import eventually, server_cluster

MEMBERS = 4


async def test_a_room_on_three_processes_survives_two_of_them_and_redis(
    start_peers: StartPeers,
) -> None:
    """No link breaks, nobody leaves, all come back, and a newcomer finds everybody."""
    async with server_cluster(3) as cluster:
        room = secrets.token_hex(8)
        *peers, newcomer = await start_peers(MEMBERS + 1)
        for peer in peers:
            peer.join(cluster.url, room)
        await all_linked(peers)
        for peer in peers:
            peer.tell("talk")
        for _ in range(2):
            cluster.kill_worker(max(cluster.workers, key=cluster.connections).pid)
            await eventually(lambda: cluster.serving == 3)
            await eventually(lambda: sum(map(cluster.connections, cluster.workers)) == MEMBERS)
        await cluster.redis.kill()
        await asyncio.sleep(0.5)  # so long it is away
        await cluster.redis.start()
        newcomer.join(cluster.url, room)
        await all_linked([*peers, newcomer])
        for peer in peers:
            peer.tell("hush")
            await peer.until(lambda: bool(peer.of("Hushed")))  # noqa: B023 - not kept
        for sender, receiver in permutations(peers, 2):
            said = sender.of("Hushed")[0]["said"]
            await receiver.until(lambda: len(receiver.heard(sender, direct=False)) >= said)  # noqa: B023
            assert receiver.heard(sender, direct=False) == list(range(said))
        for peer in peers:
            assert len(peer.of("LinkChanged")) == MEMBERS, "each link connected once"
            assert not peer.of("PeerLeft") + peer.of("Lost") + peer.of("Refused")
