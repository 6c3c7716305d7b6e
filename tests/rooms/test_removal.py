"""Removing a peer from a real room: by the operator, by a peer, and by nobody else."""

import secrets
import time

import httpx2
import pytest

from tests.rooms.conftest import StartServer
from tests.rooms.liar import LyingTransport
from tests.rooms.members import Member, admission, connected
from tests.rooms.processes import Server
from tests.rooms.test_lies import SOON, refusals, still_talking
from tests.server.mint import minted
from thkmesh import (
    InvalidSignature,
    Kicked,
    LeaveReason,
    NotGranted,
    PeerKicked,
    PeerLeft,
    ServerChanged,
    ServerState,
)
from thkmesh.core.identity import kicked_payload
from thkmesh.core.link_events import Tell
from thkmesh.core.wire import Expulsion, encode_body
from thkmesh.core.wire import Kicked as KickedMessage
from thkmesh.keys import Identity
from thkmesh.server.room_keys import RoomKeys

OPERATOR = "what only the operator of this server knows"


async def kick(server: Server, room: str, user_id: str, **fields: object) -> float:
    """Remove a peer as operators do; return until when."""
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
        answer = await client.post(
            f"/api/rooms/{room}/kick",
            json={"userId": user_id, **fields},
            headers={"authorization": f"Bearer {OPERATOR}"},
        )
    assert answer.status_code == 200, answer.text
    until: float = answer.json()["until"]
    return until


def told(member: Member) -> list[tuple[str, str]]:
    """Return whom a member was told to be removed, and why."""
    return [(event.id, event.why) for event in member.of(PeerKicked)]


async def test_the_operator_removes_a_peer(start_server: StartServer) -> None:
    """Everybody cuts the link, the peer is told and stays out, and the others go on."""
    server = await start_server(secret=OPERATOR)
    room = secrets.token_hex(8)
    place = {"url": server.url, "room": room}
    async with admission() as admit:
        own = Identity.generate()
        ada, bob = [await admit(**place) for _ in range(2)]
        cat = await admit(**place, identity=own)
        await connected(ada, bob, cat)
        with pytest.raises(NotGranted, match="the grant kick is missing"):
            await ada.room.kick(cat.me)
        until = await kick(server, room, cat.me.id, duration=3600, reason="spam")
        assert time.time() + 3500 < until < time.time() + 3700
        for member in (ada, bob):
            gone = PeerLeft(cat.me, LeaveReason.KICKED)
            await member.until(lambda: gone in member.events, SOON)  # noqa: B023
            assert told(member) == [(cat.me.id, "spam")]
            assert cat.me not in member.room.peers
        await cat.room.wait_closed()
        assert isinstance(cat.room.error, Kicked)
        assert (cat.room.error.why, cat.room.error.until) == ("spam", until)
        assert told(cat) == [(cat.me.id, "spam")]
        assert cat.of(ServerChanged)[-1].state is ServerState.CLOSED
        with pytest.raises(Kicked, match="spam"):
            await admit(**place, identity=own)
        await still_talking(ada, bob)
        await still_talking(bob, ada)
    assert not refusals(ada) + refusals(bob)


async def test_a_peer_removes_another_if_its_token_says_so(start_server: StartServer) -> None:
    """Who has the grant ``kick`` in that room; nobody else, and who is removed stays out."""
    server = await start_server(secret=OPERATOR)
    room = secrets.token_hex(8)
    place = {"url": server.url, "room": room}
    async with admission() as admit:
        ada = await admit(**place, token=minted(room, secret=OPERATOR.encode()))
        own = Identity.generate()
        bob, cat = [await admit(**place), await admit(**place, identity=own)]
        await connected(ada, bob, cat)
        assert ("kick" in ada.room.grants, "kick" in bob.room.grants) == (True, False)
        with pytest.raises(NotGranted, match="the grant kick is missing"):
            await bob.room.kick(cat.me)
        await ada.room.kick(cat.me, reason="spam")
        for member in (ada, bob):
            await member.until(lambda: bool(told(member)), SOON)  # noqa: B023
            assert told(member) == [(cat.me.id, "spam")]
        await cat.room.wait_closed()
        for again in ("", minted(room, secret=OPERATOR.encode())):
            with pytest.raises(Kicked, match="spam"):
                await admit(**place, identity=own, token=again)
        await still_talking(ada, bob)


def forge(room: str, user_id: str, *, by: str) -> KickedMessage:
    """Return a statement that must have no effect; or one that must, as the server makes it."""
    now = int(time.time() * 1000)
    keys = RoomKeys(OPERATOR.encode())
    match by:
        case "nobody":
            body = encode_body(Expulsion(user_id, now, now + 60_000))
            signature = Identity.generate().sign(kicked_payload(room, body))
            return KickedMessage(room, body, signature)
        case "another room":
            other = keys.statement("elsewhere", user_id, now, now + 60_000, "")
            return KickedMessage(room, other.body, other.signature)
        case "the past":
            return keys.statement(room, user_id, now - 70_000, now - 10_000, "")
        case "another server":
            changed = RoomKeys(b"its key has changed")
            return changed.statement(room, user_id, now, now + 60_000, "")
        case _:
            return keys.statement(room, user_id, now, now + 60_000, "")


@pytest.mark.parametrize("by", ["nobody", "another room", "the past", "another server"])
async def test_what_the_server_did_not_say_now_and_here_is_inert(
    start_server: StartServer, by: str
) -> None:
    """Forged, of another room, over, or with another key: from wherever it comes."""
    server = await start_server(secret=OPERATOR)
    room = secrets.token_hex(8)
    way = LyingTransport()
    async with admission() as admit:
        victim = await admit(url=server.url, room=room, transport=way)
        ada, bob = [await admit(url=server.url, room=room) for _ in range(2)]
        await connected(victim, ada, bob)
        statement = forge(room, bob.me.id, by=by)
        ada.to_link(victim, Tell(statement.body, statement.signature))
        await still_talking(ada, victim)
        assert not refusals(victim), "it is no fault of who passes it on"
        way.inject(statement)
        if by != "the past":
            await victim.until(lambda: bool(refusals(victim)), SOON)
            assert refusals(victim) == [InvalidSignature]
        await still_talking(bob, victim)
        await still_talking(victim, bob)
        assert not told(victim)


async def test_one_who_heard_it_is_enough(start_server: StartServer) -> None:
    """The server's own statement is obeyed, though it comes over a link alone."""
    server = await start_server(secret=OPERATOR)
    room = secrets.token_hex(8)
    async with admission() as admit:
        ada, bob, cat = [await admit(url=server.url, room=room) for _ in range(3)]
        await connected(ada, bob, cat)
        statement = forge(room, cat.me.id, by="the server")
        ada.to_link(bob, Tell(statement.body, statement.signature))
        await bob.until(lambda: PeerLeft(cat.me, LeaveReason.KICKED) in bob.events, SOON)
        await cat.room.wait_closed()
        assert isinstance(cat.room.error, Kicked)
        await still_talking(ada, bob)
