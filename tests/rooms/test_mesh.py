"""Rooms full of real processes with real engines: everybody hears everybody."""

import asyncio
import secrets
import time
from itertools import permutations

import pytest

from tests.rooms.conftest import StartPeers
from tests.rooms.figures import report, summary
from tests.rooms.members import admission, connected
from tests.rooms.processes import PeerProcess, Server, all_linked
from thkmesh import Data

LARGEST = 65_536
JOIN_LIMIT = 10.0
"""Seconds; we aim for two."""

SAMPLES: list[Data] = [
    "plain",
    "",
    b"",
    "\U0001f426 \U0001d11e \U0010ffff \x00",
    bytes(range(256)),
    {"nested": [1, -2.5, None, True, {"é": "\U0001f426"}], "": []},
    2**53 - 1,
    None,
    b"\xff" * LARGEST,
    "\U0001f426" * (LARGEST // 4),
]


def unicasts(sender: PeerProcess, receiver: PeerProcess) -> list[Data]:
    """Return what one peer sends to another alone: no two pairs the same."""
    return [f"{sender.name} to {receiver.name}", *SAMPLES]


async def test_seven_processes_hear_each_other(server: Server, start_peers: StartPeers) -> None:
    """All 21 pairs connect; each message arrives once, unchanged, in order, at its addressee."""
    peers = await start_peers(7)
    room = secrets.token_hex(8)
    for peer in peers:
        peer.join(server.url, room)
    await all_linked(peers)
    for peer in peers:
        for data in SAMPLES:
            peer.send(data)
    for sender, receiver in permutations(peers, 2):
        for data in unicasts(sender, receiver):
            sender.send(data, receiver)
    for peer in peers:
        peer.send("the end")
    for sender, receiver in permutations(peers, 2):
        await receiver.until(lambda: "the end" in receiver.heard(sender, direct=False))  # noqa: B023
    for peer in peers:
        await peer.leave()
    for sender, receiver in permutations(peers, 2):
        assert receiver.heard(sender, direct=False) == [*SAMPLES, "the end"]
        assert receiver.heard(sender, direct=True) == unicasts(sender, receiver)
    for peer in peers:
        assert peer.heard_in_all == 6 * (2 * len(SAMPLES) + 2)
        assert not peer.of("Refused") + peer.of("Lost")


@pytest.mark.parametrize("runs", [5, pytest.param(30, marks=pytest.mark.nightly)])
async def test_ten_processes_join_at_once(
    server: Server, start_peers: StartPeers, runs: int
) -> None:
    """From the word go, ten warm processes have all their 45 links within seconds."""
    peers = await start_peers(10)
    taken = [await time_to_mesh(server, peers) for _ in range(runs)]
    report(f"ten processes joined: {summary(taken)}")
    assert max(taken) < JOIN_LIMIT


async def time_to_mesh(server: Server, peers: list[PeerProcess]) -> float:
    """Have peers join a new room, all at once, and leave; return the seconds to the last link."""
    room = secrets.token_hex(8)
    for peer in peers:
        peer.forget()
    go = time.monotonic()
    for peer in peers:
        peer.join(server.url, room)
    await all_linked(peers)
    ends = [line["at"] for peer in peers for line in peer.of("LinkChanged", state="connected")]
    assert len(ends) == len(peers) * (len(peers) - 1), "a link connected twice"
    await asyncio.gather(*(peer.leave() for peer in peers))
    return float(max(ends) - go)


async def test_rooms_of_every_size_up_to_the_limit(server: Server) -> None:
    """In a room of two to ten members of one process, each hears each once."""
    for size in range(2, 11):
        async with admission() as admit:
            fields = {"url": server.url, "room": f"size-{size}"}
            members = await asyncio.gather(*(admit(**fields, name=f"{n}") for n in range(size)))
            await connected(*members)
            for member in members:
                await member.room.send(f"from {member.me.name}")
            for sender, receiver in permutations(members, 2):
                await receiver.until(lambda: bool(receiver.heard(sender)))  # noqa: B023
        for sender, receiver in permutations(members, 2):
            assert receiver.heard(sender) == [f"from {sender.me.name}"]
