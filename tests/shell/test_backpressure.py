"""Bounded memory between two programs: who sends too much waits, who reads too little is told."""

import asyncio

import pytest

import thkmesh
from tests.server.world import Client
from tests.shell.world import PATIENCE, heard, messages
from thkmesh import Lost, Message, Peer, PeerJoined, PeerLagging, Room, Undelivered
from thkmesh.core import wire
from thkmesh.core.credit import WINDOW_LIMIT_BYTES
from thkmesh.core.frames import MESSAGE_LIMIT_BYTES
from thkmesh.core.streams import LOG_BYTES

BLOCK = bytes(MESSAGE_LIMIT_BYTES)
BLOCKS = 2
"""So many blocks fill a log; the next message waits."""

SIZE = 65_536


def peer_of(client: Client) -> Peer:
    """Return how the others see a client."""
    return Peer(client.key.id, client.key.sid)


async def fill(ada: Room, to: Peer | None = None) -> None:
    """Fill the log of what goes to one peer, or to everybody."""
    for _ in range(BLOCKS):
        await ada.send(BLOCK, to=to)


async def test_a_full_log_makes_its_senders_wait(two: tuple[Room, Room], mute: Client) -> None:
    """Who writes to that peer waits; who writes to everybody or to another does not."""
    ada, bob = two
    peer = peer_of(mute)
    await heard(ada, PeerJoined)
    await fill(ada, peer)
    link = ada.link(peer)
    assert link is not None
    assert LOG_BYTES <= link.waiting_bytes < LOG_BYTES + MESSAGE_LIMIT_BYTES
    waiting = asyncio.create_task(ada.send("to the full one", to=peer))
    await ada.send("to all")
    await ada.send("to Bob", to=bob.me)
    assert await messages(bob, 2) == ["to all", "to Bob"]
    assert not waiting.done()
    await mute.send(wire.Leave())
    with pytest.raises(thkmesh.UnknownPeer):
        await waiting
    assert await heard(ada, Undelivered) == Undelivered(peer, BLOCKS + 1)


async def test_one_that_takes_in_nothing_halts_nobody(two: tuple[Room, Room], mute: Client) -> None:
    """Everybody waits for it for a while; then it goes without, and its senders are told."""
    ada, bob = two
    await heard(ada, PeerJoined)
    await fill(ada)
    async with asyncio.timeout(PATIENCE):
        await ada.send("goes on")
    assert await heard(ada, PeerLagging) == PeerLagging(peer_of(mute), BLOCKS)
    assert await messages(bob, BLOCKS + 1) == [BLOCK] * BLOCKS + ["goes on"]


async def test_a_cancelled_send_was_not_sent(two: tuple[Room, Room], mute: Client) -> None:
    """Given up while it waits, a message goes to nobody; those beside it go on."""
    ada, bob = two
    await heard(ada, PeerJoined)
    await fill(ada)
    sends = [asyncio.create_task(ada.send(number)) for number in range(10)]
    await ada.send("all ten have been tried by now", to=bob.me)
    for task in sends[::2]:
        task.cancel()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ada.send("too impatient")
    await asyncio.wait(sends[::2])
    await mute.send(wire.Leave())
    await asyncio.gather(*sends[1::2])
    await ada.send("after")
    got = await messages(bob, BLOCKS + 7)
    assert [each for each in got if each != BLOCK] == [
        "all ten have been tried by now",
        *(1, 3, 5, 7, 9),
        "after",
    ]


async def test_leaving_frees_who_waits(two: tuple[Room, Room], mute: Client) -> None:
    """A message that was not accepted before leaving is refused, and says so."""
    ada, bob = two
    await heard(ada, PeerJoined)
    await fill(ada)
    waiting = asyncio.create_task(ada.send("never sent"))
    await ada.send("posted after it", to=bob.me)
    await ada.leave(patience=0.1)
    with pytest.raises(thkmesh.RoomClosed, match="left"):
        await waiting


async def test_an_unread_room_stops_its_senders_and_loses_nothing(
    two: tuple[Room, Room],
) -> None:
    """What lies there is bounded; who sends waits, and all arrives once it is read (M4)."""
    ada, bob = two
    count = (LOG_BYTES + WINDOW_LIMIT_BYTES) // SIZE + 100
    sending = asyncio.create_task(pour(ada, bob.me, count))
    link = ada.link(bob.me)
    async with asyncio.timeout(PATIENCE):
        while link is None or link.waiting_bytes < LOG_BYTES:
            await asyncio.sleep(0.05)
            link = ada.link(bob.me)
        assert not sending.done()
        kept: list[int] = []
        async for event in bob:
            assert not isinstance(event, Lost)
            if isinstance(event, Message) and isinstance(event.data, bytes):
                kept.append(int.from_bytes(event.data[:4], "big"))
            if len(kept) == count:
                break
        await sending
    assert kept == list(range(count))


async def pour(room: Room, to: Peer, count: int) -> None:
    """Send numbered messages to a peer."""
    for number in range(count):
        await room.send(number.to_bytes(4, "big") + bytes(SIZE - 4), to=to)


async def test_who_reads_nothing_is_cut_loose_from_what_goes_to_all(
    two: tuple[Room, Room],
) -> None:
    """After a while its senders go on, and it is told exactly how much it lost (M6)."""
    ada, bob = two
    count = (LOG_BYTES + WINDOW_LIMIT_BYTES) // SIZE + 100
    for number in range(count):
        await ada.send(number)
        await ada.send(bytes(SIZE))
    lagging = await heard(ada, PeerLagging)
    await ada.send("the end", to=bob.me)
    kept: list[int] = []
    missing = 2 * count
    async with asyncio.timeout(PATIENCE):
        async for event in bob:
            match event:
                case Lost(count=int(lost), channel=""):
                    assert lost <= lagging.count
                    missing -= lost
                case Message(data=int(number)):
                    kept.append(number)
                    missing -= 1
                case Message(data=bytes()):
                    missing -= 1
                case _:
                    pass
            if not missing:
                break
    assert kept == sorted(set(kept))
