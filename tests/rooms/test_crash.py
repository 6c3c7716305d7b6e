"""A peer's process dies without a word; the others notice, and it may come back."""

import asyncio
import time
from pathlib import Path

from tests.rooms.conftest import StartPeers, StartServer
from tests.rooms.figures import report
from tests.rooms.processes import PeerProcess, all_linked

NOTICED = 10.0
"""Seconds in which a crash is noticed by heartbeat, at the latest."""

LATE = 5.0
"""Seconds that a busy machine may add."""


async def test_a_crashed_peer_is_noticed_and_given_up(
    start_server: StartServer, start_peers: StartPeers
) -> None:
    """Its links reconnect within 10 s; it has left once the server's grace is over too."""
    short, long = await asyncio.gather(start_server(grace=1.0), start_server(grace=12.0))
    peers = await start_peers(6)
    rooms = {short.url: peers[:3], long.url: peers[3:]}
    for url, members in rooms.items():
        for peer in members:
            peer.join(url, "lobby")
    for members in rooms.values():
        await all_linked(members)
        for peer in members:
            peer.send("here")
        for peer in members:
            await peer.until(lambda: peer.heard_in_all == 2)  # noqa: B023 - not kept
    await asyncio.gather(
        crash(peers[0], peers[1:3], grace=1.0), crash(peers[3], peers[4:], grace=12.0)
    )


async def crash(victim: PeerProcess, others: list[PeerProcess], *, grace: float) -> None:
    """Kill a peer; see that the others notice when they should, and stay linked."""
    crashed = time.monotonic()
    await victim.kill()
    for peer in others:
        await peer.until(lambda: bool(peer.of("PeerLeft")))  # noqa: B023 - not kept
        [broken] = peer.of("LinkChanged", peer=victim.id, state="reconnecting")
        [left] = peer.of("PeerLeft", peer=victim.id, reason="timeout")
        noticed, given_up = broken["at"] - crashed, left["at"] - crashed
        report(f"grace {grace}: noticed after {noticed:.2f} s, given up after {given_up:.2f} s")
        assert noticed < NOTICED + LATE
        assert max(noticed, grace) <= given_up + 0.1
        assert given_up < max(noticed, grace) + LATE
        assert peer.linked() == {other.id for other in others} - {peer.id}
        assert not peer.of("Refused")
        # It may have said more than arrived: nobody knows how much.
        assert [line["count"] for line in peer.of("Lost", peer=victim.id)] == [None]


async def test_a_crashed_peer_that_rejoins_is_a_new_session(
    start_server: StartServer, start_peers: StartPeers, tmp_path: Path
) -> None:
    """It connects at once, while the others have not even noticed that it was gone."""
    server = await start_server()
    first, other, second = peers = await start_peers(3)
    key_file = str(tmp_path / "key")
    first.join(server.url, "lobby", key_file=key_file)
    other.join(server.url, "lobby")
    await all_linked([first, other])
    await first.kill()
    began = time.monotonic()
    second.join(server.url, "lobby", key_file=key_file)
    await all_linked([second, other])
    report(f"back after {time.monotonic() - began:.2f} s")
    assert first.id == second.id
    lives = other.of("PeerJoined", peer=first.id)
    assert len({line["sid"] for line in lives}) == 2
    assert other.of("PeerLeft") == other.of("PeerLeft", sid=lives[0]["sid"], reason="replaced")
    second.send("here again")
    await other.until(lambda: other.heard_in_all == 1)
    assert peers[1].heard(second, direct=False) == ["here again"]


async def test_leaving_does_not_wait_for_the_dead(
    start_server: StartServer, start_peers: StartPeers
) -> None:
    """With megabytes owed to a crashed peer, ``leave`` ends, and the living get everything."""
    server = await start_server()
    victim, leaver, witness = await start_peers(3)
    for peer in (victim, leaver, witness):
        peer.join(server.url, "lobby")
    await all_linked([victim, leaver, witness])
    await victim.kill()
    big = bytes(60_000)
    for _ in range(40):
        leaver.send(big)
    began = time.monotonic()
    await leaver.leave()
    report(f"left after {time.monotonic() - began:.2f} s")
    await witness.until(lambda: bool(witness.of("PeerLeft", peer=leaver.id)))
    assert witness.heard(leaver, direct=False) == [big] * 40
    assert witness.of("PeerLeft", peer=leaver.id)[0]["reason"] == "left"
