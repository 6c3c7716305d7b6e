"""Every broker does what the registry says: the same suite for memory and a real Redis."""

import pytest

from tests.core.room_world import A, B, C, another_life, ready
from tests.server.broker.conftest import BrokerCluster, Ear
from tests.server.world import PATIENCE
from thkmesh.core.identity import SessionKey
from thkmesh.core.shared_events import (
    Away,
    Came,
    Depart,
    Down,
    Entrust,
    Join,
    Joined,
    Look,
    Looked,
    Post,
    Posted,
    Returned,
    Tell,
    Told,
    Up,
    Went,
)
from thkmesh.core.wire import encode
from thkmesh.server.broker import BrokerUnreachable


async def join(ear: Ear, who: SessionKey, *, claim: bool = False, name: str = "") -> Joined:
    """Have a node let somebody in."""
    words = encode(ready(who, name=name))
    ear.broker.submit(Join(7, "lobby", who, words, claim=claim))
    return await ear.next(Joined)


async def pair(cluster: BrokerCluster) -> tuple[Ear, Ear]:
    """Return two nodes; A is on the first, B on the other."""
    one, other = await cluster.node(), await cluster.node()
    assert (await one.next(Up)) == (await other.next(Up))
    await join(one, A)
    await join(other, B)
    await one.next(Came)
    return one, other


async def test_members_come_change_and_go(cluster: BrokerCluster) -> None:
    """Each change has the next number; nodes with members hear of it, the causing one does not."""
    one, other = await pair(cluster)
    empty = await cluster.node()
    await empty.next(Up)
    answer = await join(one, A)
    assert (answer.verdict, answer.version, answer.ticket) == ("resumed", 2, 7)
    assert {(each.key, each.node) for each in answer.members} == {
        (A, one.broker.node),
        (B, other.broker.node),
    }
    answer = await join(one, A, name="Ad\N{LATIN SMALL LETTER A WITH DIAERESIS}")
    came = await other.next(Came)
    assert (came.room, came.version, came.member.key) == ("lobby", 3, A)
    assert came.member.words == encode(ready(A, name="Ad\N{LATIN SMALL LETTER A WITH DIAERESIS}"))
    assert not came.member.away
    assert 0 <= came.member.age < PATIENCE
    assert (await join(other, A)).version == 4
    assert (await one.next(Came)).member.node == other.broker.node
    other.broker.submit(Depart("lobby", A, "left"))
    other.broker.submit(Look("lobby"))
    seen = await other.next(Looked)
    assert (seen.version, [each.key for each in seen.members]) == (5, [B])
    assert one.news == empty.news == []


async def test_the_other_nodes_hear_why_somebody_went(cluster: BrokerCluster) -> None:
    """Left, and replaced by one that came."""
    one, other = await pair(cluster)
    one.broker.submit(Depart("lobby", A, "left"))
    assert await other.next(Went) == Went("lobby", 3, A, "left")
    await join(one, A)
    await other.next(Came)
    anew = await join(other, another_life(A))
    assert anew.verdict == "new"
    assert (await one.next(Came)).member.key == another_life(A)
    one.broker.submit(Depart("lobby", A, "left"))
    assert {each.key for each in (await join(other, B)).members} == {another_life(A), B}


async def test_there_are_so_many_seats(cluster: BrokerCluster) -> None:
    """A claim sits down nevertheless, unless somebody sits there."""
    one, other = await pair(cluster)
    full = await join(one, C)
    assert (full.verdict, full.version, len(full.members)) == ("full", 2, 2)
    assert (await join(other, A, claim=True)).verdict == "elsewhere"
    assert (await join(one, C, claim=True)).verdict == "new"
    assert (await other.next(Came)).member.key == C


async def test_messages_go_to_the_nodes_of_sessions(cluster: BrokerCluster) -> None:
    """Signals and sealed frames, in order, whatever is in them."""
    one, other = await pair(cluster)
    texts = [f"{number}\n\N{EURO SIGN}\0" for number in range(50)]
    for text in texts:
        one.broker.post(other.broker.node, Post("lobby", *B, text))
    one.broker.post(other.broker.node, Post("lobby", *B, "", b"\0\xff"))
    posts: list[Post] = []
    while len(posts) < 51:
        posts += (await other.next(Posted)).posts
    assert [(post.room, post.to) for post in posts] == [("lobby", B)] * 51
    assert [post.text for post in posts] == [*texts, ""]
    assert [post.frame for post in posts] == [b""] * 50 + [b"\0\xff"]


async def test_what_is_said_to_a_room_is_heard_by_its_nodes(cluster: BrokerCluster) -> None:
    """By the others, and by none that has no member."""
    one, other = await pair(cluster)
    empty = await cluster.node()
    await empty.next(Up)
    one.broker.submit(Tell("lobby", "kicked\nout"))
    assert await other.next(Told) == Told("lobby", "kicked\nout")
    one.broker.submit(Tell("attic", "anybody?"))
    await join(one, A)
    assert one.news == empty.news == []


async def test_what_waits_is_bounded_and_comes_once(cluster: BrokerCluster) -> None:
    """In order, with whoever comes back, whichever node it is."""
    one, other = await pair(cluster)
    one.broker.submit(Away("lobby", A))
    for text in ("1\n", "\N{EURO SIGN}", "x"):
        one.broker.submit(Entrust("lobby", A, text))
    assert await one.next(Returned) == Returned("x", "queue-full")
    record = await other.broker.look("lobby")
    assert record is not None
    assert {each.key: each.away for each in record.members} == {A: True, B: False}
    back = await join(other, A)
    assert (back.verdict, back.waiting) == ("resumed", ("1\n", "\N{EURO SIGN}"))
    await one.next(Came)
    assert (await join(other, A)).waiting == ()
    other.broker.submit(Entrust("lobby", A, "1234567890\N{EURO SIGN}"))
    assert (await other.next(Returned)).reason == "queue-full"


async def test_what_is_entrusted_finds_its_session(cluster: BrokerCluster) -> None:
    """On the node that has it; or nowhere."""
    one, other = await pair(cluster)
    one.broker.submit(Entrust("lobby", B, "text\n"))
    assert await other.next(Posted) == Posted((Post("lobby", *B, "text\n"),))
    one.broker.submit(Entrust("lobby", C, "text"))
    assert await one.next(Returned) == Returned("text", "unknown-session")
    one.broker.submit(Entrust("lobby", another_life(B), "text"))
    assert await one.next(Returned) == Returned("text", "unknown-session")


async def test_what_a_node_that_is_gone_does_not_take_in_waits(cluster: BrokerCluster) -> None:
    """For the session to come back through another; sealed frames do not."""
    one, other = await pair(cluster)
    await other.broker.stop()
    one.broker.post(other.broker.node, Post("lobby", *B, "signal"))
    one.broker.post(other.broker.node, Post("lobby", *B, "", b"frame"))
    one.broker.submit(Look("lobby"))
    await one.next(Looked)
    one.broker.submit(Look("lobby"))
    await one.next(Looked)
    back = await join(one, B)
    assert (back.verdict, back.waiting) == ("resumed", ("signal",))


async def test_rooms_can_be_made_found_and_looked_into(cluster: BrokerCluster) -> None:
    """From every node."""
    one, other = await pair(cluster)
    assert await one.broker.create("hall", listed=True)
    assert not await other.broker.create("hall", listed=True)
    assert await other.broker.create("attic", listed=False)
    assert await other.broker.listed() == [("hall", 0)]
    assert (await other.broker.look("nowhere")) is None
    hall, lobby = await other.broker.look("hall"), await other.broker.look("lobby")
    assert hall is not None
    assert lobby is not None
    assert (hall.members, hall.listed, lobby.listed) == ((), True, False)
    assert {each.key for each in lobby.members} == {A, B}


async def test_a_room_is_brought_into_being_by_who_may(cluster: BrokerCluster) -> None:
    """Others are told that it is missing, until it is there; a claim is no arrival."""
    one = await cluster.node()
    await one.next(Up)

    async def verdict(who: SessionKey, *, claim: bool = False) -> str:
        words = encode(ready(who))
        one.broker.submit(Join(7, "lobby", who, words, claim=claim, may_create=False))
        return (await one.next(Joined)).verdict

    assert await verdict(A) == "missing"
    assert await one.broker.look("lobby") is None
    assert await one.broker.create("lobby", listed=False)
    assert await verdict(A) == "new"
    one.broker.submit(Depart("lobby", A, "left"))
    await cluster.restart()
    await one.next(Down)
    await one.next(Up)
    assert await verdict(B, claim=True) == "new"


async def test_a_ticket_is_used_once(cluster: BrokerCluster) -> None:
    """At whatever node."""
    one, other = await cluster.node(), await cluster.node()
    assert await one.broker.use_ticket("first")
    assert not await other.broker.use_ticket("first")
    assert not await one.broker.use_ticket("first")
    assert await other.broker.use_ticket("second")


async def test_all_nodes_have_one_secret(cluster: BrokerCluster) -> None:
    """That of the first; also those that come after all else was forgotten."""
    one, other = await cluster.node(), await cluster.node()
    assert await one.broker.share_secret(b"1" * 32) == b"1" * 32
    assert await other.broker.share_secret(b"2" * 32) == b"1" * 32
    await one.next(Up)
    await cluster.restart()
    await one.next(Down)
    await one.next(Up)
    later = await cluster.node()
    assert await later.broker.share_secret(b"3" * 32) == b"1" * 32


async def test_a_room_has_one_hub(cluster: BrokerCluster) -> None:
    """Whoever asks, and whether anybody is there or not."""
    one, other = await pair(cluster)
    for room in ("lobby", "attic"):
        assert await one.broker.assign_hub(room, "hub-1") == "hub-1"
        assert await other.broker.assign_hub(room, "hub-2") == "hub-1"


async def test_what_was_forgotten_is_another_epoch(cluster: BrokerCluster) -> None:
    """Nodes are told that it is away, and that it is back; then they can claim."""
    one, other = await pair(cluster)
    before = (await one.broker.look("lobby")) is not None
    await cluster.restart()
    await one.next(Down)
    await other.next(Down)
    assert await one.next(Up) == await other.next(Up)
    assert before
    assert await one.broker.look("lobby") is None
    claimed = await join(one, A, claim=True)
    assert (claimed.verdict, claimed.version) == ("new", 1)


async def test_what_is_not_there_cannot_be_asked(cluster: BrokerCluster) -> None:
    """Nor can a node begin without it."""
    one, _ = await pair(cluster)
    await cluster.stop()
    await one.next(Down)
    with pytest.raises(BrokerUnreachable):
        await one.broker.look("lobby")
    with pytest.raises(BrokerUnreachable):
        await one.broker.create("lobby", listed=True)
    with pytest.raises(BrokerUnreachable):
        await cluster.node()
