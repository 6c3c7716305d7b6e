"""Rooms that several nodes share: whoever is where, it is one room."""

import pytest

from tests.core.room_world import A, B, C, D, another_life, hello, offer, ready
from tests.core.shared_world import Cluster
from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import Permit
from thkmesh.core.identity import SessionKey
from thkmesh.core.machine import Tick
from thkmesh.core.room_events import (
    CreateRoom,
    Drain,
    Dropped,
    Expel,
    News,
    RoomRules,
    Stop,
    Withdrawn,
)
from thkmesh.core.sealed import addressed
from thkmesh.core.shared_events import Came, Member, Post, Posted, Returned, Tell, Told, Went
from thkmesh.core.shared_rooms import EARLY_LIMIT, RETRY_AFTER
from thkmesh.core.wire import (
    Challenge,
    Error,
    Expulsion,
    Kicked,
    Leave,
    Offer,
    PeerLeft,
    Ping,
    Pong,
    SignalRefused,
    Welcome,
    encode,
    encode_body,
)


def two(rules: RoomRules | None = None) -> tuple[Cluster, int, int]:
    """Return a cluster with A on the first node and B on the second, all told."""
    world = Cluster(rules=rules)
    a, b = world.join(0, A), world.join(1, B)
    world.heard(a)
    world.heard(b)
    return world, a, b


# --- one room on two nodes ----------------------------------------------------------


def test_two_nodes_have_one_room() -> None:
    """Welcome, peer-ready, signals, sealed frames and peer-left cross from node to node."""
    world = Cluster()
    a = world.join(0, A, name="Ada")
    challenge, welcome = world.heard(a)
    assert isinstance(challenge, Challenge)
    assert isinstance(welcome, Welcome)
    assert (challenge.epoch, welcome.epoch, welcome.peers) == ("epoch-1", "epoch-1", ())
    b = world.join(1, B, name="Bob")
    assert world.welcomed(b).peers == (ready(A, name="Ada"),)
    assert world.heard(a) == [ready(B, name="Bob")]
    world.say(a, offer(A, B))
    world.say(b, offer(B, A))
    world.seal(a, B, b"sealed")
    world.settle()
    assert world.heard(b) == [offer(A, B)]
    assert world.heard(a) == [offer(B, A)]
    assert world.frames == [(b, addressed(A, b"sealed"))]
    world.say(b, Leave())
    world.settle()
    assert world.heard(a) == [PeerLeft("lobby", *B, "left")]
    assert world.nodes[0].mounts == {}


def test_members_of_one_node_need_nobody() -> None:
    """A signal between them is handed over at once, whatever the broker does."""
    world = Cluster()
    a, b = world.join(0, A), world.join(0, B)
    world.lose()
    world.heard(b)
    world.say(a, offer(A, B))
    assert world.heard(b) == [offer(A, B)]


def test_a_node_forgets_rooms_in_which_nobody_is_its() -> None:
    """With its last member go the room, the mounts, and what is told of it later."""
    world, a, b = two()
    world.say(a, Leave())
    assert world.nodes[0].rooms.room_count == 0
    assert world.nodes[0].mounts == {}
    late = Member(C.id, C.sid, world.nodes[1].name, away=False, age=0, words=encode(ready(C)))
    world.feed(world.nodes[0], Came("lobby", 9, late))
    world.settle()
    assert world.heard(b) == [PeerLeft("lobby", *A, "left")]
    assert world.nodes[0].rooms.deadline is None


def test_the_maximum_of_peers_holds_over_all_nodes() -> None:
    """Two that come at the same time through two nodes do not both get the last seat."""
    world = Cluster(rules=RoomRules(max_peers=2))
    world.join(0, A)
    b, c = world.open(0), world.open(1)
    world.enter(b, B)
    world.enter(c, C)
    world.settle()
    [refused] = [conn for conn in (b, c) if conn in world.closed]
    assert world.closed[refused] == (CloseCode.ROOM_FULL, "room-full")


def test_a_newer_session_replaces_the_older_on_another_node() -> None:
    """The newest wins everywhere, and everybody is told that, and why."""
    world, a, b = two()
    c = world.join(0, C)
    world.heard(a)
    world.heard(b)
    anew = world.join(0, another_life(B))
    assert world.closed[b] == (CloseCode.REPLACED, "replaced")
    assert not world.welcomed(anew).resumed
    assert world.heard(a) == [PeerLeft("lobby", *B, "replaced"), ready(another_life(B))]
    again = world.join(1, B)
    assert world.closed[anew] == (CloseCode.REPLACED, "replaced")
    assert again not in world.closed
    assert world.heard(a) == [PeerLeft("lobby", *another_life(B), "replaced"), ready(B)]
    assert c not in world.closed


def test_a_newer_session_replaces_the_older_on_the_same_node() -> None:
    """As it does where there is one node only."""
    world, a, b = two()
    anew = world.join(1, another_life(B))
    assert world.closed[b] == (CloseCode.REPLACED, "replaced")
    assert not world.welcomed(anew).resumed
    assert world.heard(a) == [PeerLeft("lobby", *B, "replaced"), ready(another_life(B))]


def test_a_third_node_hears_of_a_replacement() -> None:
    """One word of who is gone, one of who came, wherever both were."""
    world, a, b = two()
    world.add()
    world.join(2, another_life(B))
    assert world.heard(a) == [PeerLeft("lobby", *B, "replaced"), ready(another_life(B))]
    assert world.closed[b] == (CloseCode.REPLACED, "replaced")
    assert len(world.nodes[0].mounts) == 1


def test_a_changed_introduction_is_told_on_all_nodes() -> None:
    """Who comes back under another name is introduced again, and is no newcomer."""
    world, a, b = two()
    world.drop(b)
    b = world.join(1, B, name="Robert")
    assert world.welcomed(b).resumed
    assert world.heard(a) == [ready(B, name="Robert")]


def test_a_statement_for_the_room_reaches_all_nodes() -> None:
    """What the others of a room are told, other than comings and goings, goes everywhere."""
    world, a, b = two()
    world.feed(world.nodes[0], Told("lobby", encode(Pong(1))))
    assert world.texts[a] == [encode(Pong(1))]
    world.nodes[0].commands.append(Tell("lobby", encode(Pong(2))))
    world.settle()
    assert world.texts[b] == [encode(Pong(2))]
    world.nodes[0].commands.append(Tell("nowhere", "to nobody"))
    world.feed(world.nodes[0], Told("nowhere", "to nobody"))
    world.settle()


# --- away and back --------------------------------------------------------------------


def test_who_comes_back_through_another_node_is_resumed() -> None:
    """With all that waited, in order, once; and nobody hears that it was away."""
    world, a, b = two()
    c = world.join(0, C)
    world.heard(a)
    world.heard(c)
    world.drop(b)
    world.settle()
    for seq in (1, 2):
        world.say(a, offer(A, B, seq))
    world.settle()
    back = world.join(0, B)
    assert world.welcomed_first(back).resumed
    assert world.heard(back) == [offer(A, B, 1), offer(A, B, 2)]
    assert world.heard(a) == world.heard(c) == []
    world.say(a, offer(A, B, 3))
    assert world.heard(back) == [offer(A, B, 3)]


def test_a_connection_that_is_not_known_to_be_dead_is_superseded() -> None:
    """The newer connection counts, whichever node it comes to."""
    world, a, b = two()
    back = world.join(0, B)
    assert world.closed[b] == (CloseCode.SUPERSEDED, "superseded")
    assert world.welcomed(back).resumed
    there = world.join(1, B)
    assert world.closed[back] == (CloseCode.SUPERSEDED, "superseded")
    assert there not in world.closed
    assert world.heard(a) == []


def test_a_session_that_does_not_come_back_is_gone_after_its_grace() -> None:
    """Its node says so, and the others are told."""
    world, a, b = two()
    world.drop(b)
    world.wait(29)
    assert world.heard(a) == []
    world.wait(2)
    assert world.heard(a) == [PeerLeft("lobby", *B, "timeout")]


def test_signals_for_who_is_away_are_bounded() -> None:
    """Beyond the limits they are refused, wherever their sender is."""
    world, a, b = two(RoomRules(away_messages=1))
    c = world.join(1, C)
    world.heard(a)
    world.drop(b)
    world.settle()
    for seq in (1, 2):
        world.say(a, offer(A, B, seq))
    world.settle()
    assert world.heard(a) == [SignalRefused(*B, 2, "queue-full")]
    world.heard(c)
    world.say(c, offer(C, B, 1))
    world.settle()
    assert world.heard(c) == [SignalRefused(*B, 1, "queue-full")]


def test_signals_that_cross_a_return_arrive_after_what_waited() -> None:
    """What comes for a session while the broker is asked waits until it has answered."""
    world, a, b = two()
    c = world.join(1, C)
    world.heard(a)
    world.drop(b)
    world.settle()
    world.say(c, offer(C, B, 1))
    world.settle()
    back = world.open(1)
    world.enter(back, B)
    world.say(c, offer(C, B, 2))
    world.say(a, offer(A, B, 1))
    world.settle()
    assert [each.seq for each in world.signals(back) if each.source == C] == [1, 2]
    assert world.heard(back) == []


def test_what_comes_behind_a_hello_waits_for_the_answer() -> None:
    """A client need not know that its server asks somebody; up to a limit."""
    world, _, b = two()
    c = world.open(0)
    world.enter(c, C)
    world.say(c, Ping(1))
    world.say(c, offer(C, B))
    world.seal(c, B, b"sealed")
    world.settle()
    assert world.heard(c)[-1] == Pong(1)
    assert world.heard(b)[-1] == offer(C, B)
    assert world.frames == [(b, addressed(C, b"sealed"))]
    d = world.open(0)
    world.enter(d, D)
    for _ in range(EARLY_LIMIT + 1):
        world.say(d, Ping(1))
    assert world.closed[d] == (CloseCode.INVALID, "hello-expected")
    for seal_first in (True, False):
        silent = world.open(0)
        if seal_first:
            world.seal(silent, B, b"sealed")
        else:
            world.say(silent, Ping(1))
        assert world.closed[silent] == (CloseCode.INVALID, "hello-expected")
    world.settle()


def test_goodbye_behind_a_hello_is_heard() -> None:
    """What is left of the early messages goes nowhere."""
    world, a, _ = two()
    c = world.open(0)
    world.enter(c, C)
    world.say(c, Leave())
    world.say(c, Ping(1))
    world.settle()
    assert world.closed[c] == (CloseCode.NORMAL, "left")
    assert world.heard(a) == [ready(C), PeerLeft("lobby", *C, "left")]


def test_one_hello_is_enough() -> None:
    """A second one is refused, before the answer and after."""
    world = Cluster()
    a = world.open(0)
    world.enter(a, A)
    world.enter(a, A)
    assert world.closed[a] == (CloseCode.INVALID, "already-joined")
    world.settle()


@pytest.mark.parametrize("known", [False, True], ids=["newcomer", "returning"])
def test_who_gives_up_before_the_answer_may_come_back(known: bool) -> None:
    """It has a seat by then, keeps it for its grace, and what waited waits on."""
    world, a, b = two()
    if known:
        world.drop(b)
        world.settle()
        world.say(a, offer(A, B))
        world.settle()
    who = B if known else C
    conn = world.open(0)
    world.enter(conn, who)
    world.drop(conn)
    world.settle()
    back = world.join(1, who)
    assert world.welcomed_first(back).resumed
    assert world.heard(back) == ([offer(A, B)] if known else [])
    assert world.heard(a) == ([] if known else [ready(C)])


def test_giving_up_a_second_connection_leaves_the_first() -> None:
    """A session that is connected here does not become away by it."""
    world = Cluster()
    a = world.join(0, A)
    second = world.open(0)
    world.enter(second, A)
    world.drop(second)
    world.settle()
    world.heard(a)
    world.say(a, Ping(1))
    assert world.heard(a) == [Pong(1)]


def test_no_rooms_beyond_the_maximum_of_a_node() -> None:
    """Its memory is its own."""
    world = Cluster(rules=RoomRules(max_rooms=1))
    world.join(0, A, "one")
    b = world.join(0, B, "two")
    assert world.closed[b] == (CloseCode.OVERLOADED, "too-many-rooms")
    world.feed(world.nodes[1], CreateRoom("three"))
    assert world.nodes[1].rooms.full


# --- a node dies ----------------------------------------------------------------------


def test_signals_for_members_of_a_dead_node_wait_for_their_return() -> None:
    """Nobody has to notice that it is dead for them to be kept."""
    world, a, b = two()
    world.add()
    world.kill(world.nodes[1])
    world.say(a, offer(A, B, 1))
    world.settle()
    back = world.join(2, B)
    assert world.welcomed_first(back).resumed
    assert world.heard(back) == [offer(A, B, 1)]
    assert world.heard(a) == []
    world.say(a, offer(A, B, 2))
    world.settle()
    assert world.heard(back) == [offer(A, B, 2)]
    assert b in world.closed


def test_sealed_frames_for_members_of_a_dead_node_are_dropped() -> None:
    """Nobody counts on them."""
    world, a, _ = two()
    world.kill(world.nodes[1])
    world.seal(a, B, b"sealed")
    world.settle()
    assert world.frames == []


def test_members_of_a_dead_node_are_gone_after_their_grace() -> None:
    """Counted from its last renewal; whoever renews first buries it."""
    world, a, _ = two()
    world.kill(world.nodes[1])
    world.wait(25)
    assert world.heard(a) == []
    world.wait(15)
    assert world.heard(a) == [PeerLeft("lobby", *B, "timeout")]


def test_members_of_a_dead_node_hold_no_seat_beyond_their_grace() -> None:
    """Whoever joins need not wait until somebody has buried it."""
    world = Cluster(rules=RoomRules(max_peers=1))
    world.join(1, B)
    world.kill(world.nodes[1])
    world.now += 31
    a = world.join(0, A)
    assert world.welcomed(a).peers == ()


def test_a_node_that_was_thought_dead_claims_its_members() -> None:
    """It hears that they are gone, knows better, and they are back."""
    world, a, b = two()
    node = world.nodes[1]
    world.feed(node, Went("lobby", 9, B, "timeout"))
    world.settle()
    assert isinstance(world.heard(b)[-1], Welcome)
    world.drop(b)
    world.feed(node, Went("lobby", 19, B, "timeout"))
    world.settle()
    back = world.join(0, B)
    assert world.welcomed(back).resumed
    assert world.heard(a) == []


# --- the broker is away ---------------------------------------------------------------


def test_nobody_new_is_let_in_while_the_broker_is_away() -> None:
    """1013 with a time to come back; who is asked about at that moment as well."""
    world, _, b = two()
    c = world.open(0)
    world.enter(c, C)
    given_up = world.open(0)
    world.enter(given_up, D)
    world.drop(given_up)
    world.lose()
    d = world.join(0, D)
    for conn in (c, d):
        assert isinstance(error := world.heard(conn)[-1], Error)
        assert (error.reason, error.retry_after) == ("unavailable", RETRY_AFTER)
        assert world.closed[conn] == (CloseCode.OVERLOADED, "unavailable")
    elsewhere = world.join(0, B)
    assert elsewhere in world.closed
    assert b not in world.closed


def test_who_is_away_may_come_back_to_its_node_while_the_broker_is_away() -> None:
    """With what waited there, which goes to the broker if it comes back later."""
    world = Cluster()
    a, b = world.join(0, A), world.join(0, B)
    world.lose()
    world.drop(b)
    world.say(a, offer(A, B, 1))
    back = world.join(0, B)
    assert world.heard(back)[-1] == offer(A, B, 1)
    world.drop(back)
    world.say(a, offer(A, B, 2))
    world.start()
    world.settle()
    there = world.join(1, B)
    assert world.signals(there) == [offer(A, B, 2)]


def test_signals_of_other_nodes_wait_while_the_broker_is_away() -> None:
    """What has arrived is kept for who is away here; what is for nobody here is not."""
    world, _, b = two()
    world.lose()
    world.drop(b)
    posts = [each.posts for each in [Posted(()), _posted(B, offer(A, B, 1))]]
    for each in posts:
        world.feed(world.nodes[1], Posted(each))
    world.feed(world.nodes[1], _posted(C, offer(A, C, 1)))
    world.feed(world.nodes[1], _sealed(B))
    back = world.join(1, B)
    assert world.signals(back) == [offer(A, B, 1)]


def _posted(who: SessionKey, signal: Offer) -> Posted:
    return Posted((Post("lobby", *who, encode(signal)),))


def _sealed(who: SessionKey) -> Posted:
    return Posted((Post("lobby", *who, "", b"sealed"),))


def test_a_broker_that_is_back_changes_nothing() -> None:
    """Everybody is welcomed again, in the same epoch, and signals go on."""
    world, a, b = two()
    for node in world.nodes:
        world.disconnect(node)
    for node in world.nodes:
        world.connect(node)
    world.settle()
    [welcome] = world.heard(a)
    assert isinstance(welcome, Welcome)
    assert (welcome.epoch, welcome.resumed, welcome.peers) == ("epoch-1", True, (ready(B),))
    world.heard(b)
    world.say(a, offer(A, B))
    world.settle()
    assert world.heard(b) == [offer(A, B)]


def test_who_left_while_a_node_had_no_broker_is_gone_when_it_is_back() -> None:
    """The broker knew, and the list that comes with the claim is the whole truth."""
    world, a, b = two()
    world.disconnect(world.nodes[0])
    world.say(b, Leave())
    world.settle()
    world.connect(world.nodes[0])
    world.settle()
    assert PeerLeft("lobby", *B, "timeout") in world.heard(a)


def test_a_broker_that_has_forgotten_everything_learns_it_again() -> None:
    """A new epoch, every client welcomed in it, and nobody is told that anybody left."""
    world, a, b = two(RoomRules(idle_timeout=1000))
    world.lose()
    world.start()
    world.settle()
    for conn, other in ((a, B), (b, A)):
        [welcome] = world.heard(conn)
        assert isinstance(welcome, Welcome)
        assert (welcome.epoch, welcome.resumed) == ("epoch-2", True)
        assert welcome.peers == (ready(other),)
    world.say(a, offer(A, B))
    world.settle()
    assert world.heard(b) == [offer(A, B)]
    world.wait(60)
    assert world.heard(a) == []


def test_who_is_still_missing_after_a_grace_is_gone() -> None:
    """A node that died with the broker's memory is not waited for any longer."""
    world, a, _ = two()
    world.kill(world.nodes[1])
    world.lose()
    world.start()
    world.wait(29)
    assert [type(each) for each in world.heard(a)] == [Welcome]
    world.wait(2)
    assert world.heard(a) == [PeerLeft("lobby", *B, "timeout")]


def test_a_list_that_comes_too_late_is_without_effect() -> None:
    """Nobody of ours is in the room by then."""
    world, a, _ = two()
    world.lose()
    world.start()
    world.settle()
    world.heard(a)
    world.now += 31
    world.feed(world.nodes[0], Tick())
    world.say(a, Leave())
    world.settle()
    assert world.nodes[0].rooms.room_count == 0


def test_no_broker_is_asked_while_there_is_none() -> None:
    """The time of forgiving may end while it is away again; the next list is as good."""
    world, a, _ = two(RoomRules(idle_timeout=1000))
    world.kill(world.nodes[1])
    world.lose()
    world.start()
    world.settle()
    world.lose()
    world.wait(40)
    world.start()
    world.settle()
    world.wait(31)
    assert world.heard(a)[-1] == PeerLeft("lobby", *B, "timeout")


def test_a_session_on_two_nodes_is_the_first_claimant_s() -> None:
    """The other connection is closed so that its client comes back, if there is one."""
    world, a, b = two()
    third = world.add()
    world.disconnect(world.nodes[1])
    back = world.join(2, B)
    world.connect(world.nodes[1])
    world.settle()
    assert world.closed[b] == (CloseCode.RESTARTING, "moved")
    assert back not in world.closed
    assert world.nodes[1].rooms.room_count == 0
    world.disconnect(third)
    world.drop(back)
    there = world.join(0, B)
    world.connect(third)
    world.settle()
    assert there not in world.closed
    assert third.rooms.room_count == 0
    assert world.heard(a)[-1:] == []


def test_a_claim_that_comes_too_late_is_without_effect() -> None:
    """Who has left meanwhile stays away."""
    world, a, b = two()
    for node in world.nodes:
        world.disconnect(node)
        world.connect(node)
    world.say(b, Leave())
    world.settle()
    assert world.heard(a)[-1] == PeerLeft("lobby", *B, "left")
    c = world.join(0, C)
    assert world.welcomed(c).peers == (ready(A),)


def test_refusals_that_nobody_waits_for_are_dropped() -> None:
    """Their sender has gone, or it was no signal."""
    world, a, b = two()
    node = world.nodes[0]
    world.feed(node, Returned(encode(offer(C, B)), "unknown-session"))
    world.feed(node, Returned(encode(offer(A, B, room="nowhere")), "unknown-session"))
    world.feed(node, Returned(encode(Ping(1)), "unknown-session"))
    world.feed(node, Returned(encode(offer(B, C)), "unknown-session"))
    world.settle()
    assert world.heard(b) == [SignalRefused(*C, 1, "unknown-session")]
    world.drop(b)
    world.feed(world.nodes[1], Returned(encode(offer(B, A)), "unknown-session"))
    assert world.heard(a) == []


def test_signals_for_who_is_not_claimed_yet_may_be_sent_again() -> None:
    """They are not refused as if it were not there, which its sender would not doubt."""
    world, a, _ = two()
    world.lose()
    for node in world.nodes:
        node.dead = node is world.nodes[1]
    world.start()
    world.settle()
    world.heard(a)
    world.say(a, offer(A, B))
    world.settle()
    assert world.heard(a) == [SignalRefused(*B, 1, "unavailable")]


def test_signals_for_who_has_gone_are_refused() -> None:
    """A signal that crosses a goodbye is not lost without a word."""
    world, a, b = two()
    world.join(1, C)
    world.say(a, offer(A, B))
    world.say(b, Leave())
    world.obey(world.nodes[1])
    world.settle()
    assert SignalRefused(*B, 1, "unknown-session") in world.heard(a)


def test_news_that_an_answer_has_told_already_are_old() -> None:
    """Nobody hears of anything twice."""
    world, a, _ = two()
    c = world.open(0)
    world.enter(c, C)
    d = world.open(1)
    world.enter(d, D)
    world.obey(world.nodes[1])
    world.obey(world.nodes[0])
    world.settle()
    assert [each for each in world.heard(a) if each == ready(D)] == [ready(D)]
    node = world.nodes[0]
    world.feed(node, Went("lobby", 99, C, "timeout"))
    world.feed(node, Went("lobby", 1, D, "timeout"))
    world.feed(node, Went("lobby", 100, another_life(D), "timeout"))
    world.settle()
    assert PeerLeft("lobby", *D, "timeout") not in world.heard(a)


def test_what_no_broker_says_is_ignored() -> None:
    """News of a kind unknown here do nothing."""
    world = Cluster(1)
    assert world.feed(world.nodes[0], News()) == []
    assert (
        world.feed(world.nodes[0], Came("x", 1, Member("", "", "", away=False, age=0, words="")))
        == []
    )


def test_a_node_that_stops_leaves_its_sessions_their_seats() -> None:
    """They come back through another and are resumed."""
    world, a, b = two()
    world.feed(world.nodes[1], Stop())
    assert world.closed[b] == (CloseCode.RESTARTING, "restart")
    world.settle()
    back = world.join(0, B)
    assert world.welcomed(back).resumed
    assert world.heard(a) == []


def test_a_page_that_goes_away_takes_its_session_with_it() -> None:
    """As it does from a single node."""
    world, a, b = two()
    world.feed(world.nodes[1], Dropped(b, leaving=True))
    world.settle()
    assert world.heard(a) == [PeerLeft("lobby", *B, "timeout")]


@pytest.mark.parametrize("goodbye", [True, False], ids=["leaves", "drops"])
def test_the_end_of_a_connection_is_not_that_of_a_newer_one(goodbye: bool) -> None:
    """Which the broker has let in before it could be told of the end of the older."""
    world, a, b = two()
    d = world.join(1, D)
    newer = world.open(1)
    world.enter(newer, B)
    if goodbye:
        world.say(b, Leave())
    else:
        world.drop(b)
    world.settle()
    assert newer not in world.closed
    c = world.join(0, C)
    assert {each.session for each in world.welcomed(c).peers} == {A, B, D}
    told = [PeerLeft("lobby", *B, "left"), ready(B)] if goodbye else []
    assert [each for each in world.heard(d)[2:] if each != ready(C)] == told
    assert PeerLeft("lobby", *B, "left") not in world.heard(a)


def test_of_two_lives_that_come_at_once_the_later_stays() -> None:
    """Though the end of the earlier one is told of while the later is on its way in."""
    world = Cluster()
    conns = [world.open(0) for _ in range(3)]
    for conn, who in zip(conns, (A, another_life(A), A), strict=True):
        world.enter(conn, who)
    world.settle()
    assert [conn in world.closed for conn in conns] == [True, True, False]
    b = world.join(1, B)
    assert [each.session for each in world.welcomed(b).peers] == [A]


def test_who_is_let_in_while_the_answer_is_lost_holds_no_seat_for_good() -> None:
    """It is taken out again, unless it has been here already."""
    world, a, b = two()
    c, again = world.open(1), world.open(1)
    world.enter(c, C)
    world.enter(again, B)
    world.obey(world.nodes[1])
    world.obey(world.nodes[1])
    world.disconnect(world.nodes[1])
    world.connect(world.nodes[1])
    world.settle()
    assert world.heard(a) == [ready(C), PeerLeft("lobby", *C, "timeout")]
    assert b not in world.closed
    assert {c, again} <= world.closed.keys()


# --- what somebody may do -----------------------------------------------------------


def test_a_room_is_there_for_who_may_not_create_it_wherever_it_was_made() -> None:
    """The broker knows; who is refused leaves no room behind, and may give up before."""
    guest = Permit(frozenset({"join", "send"}))
    world = Cluster()
    refused = world.join(1, B, permit=guest)
    assert world.closed[refused] == (CloseCode.NOT_GRANTED, "not-granted")
    gone = world.open(1)
    world.enter(gone, B, permit=guest)
    world.drop(gone)
    world.settle()
    assert world.registry is not None
    assert world.registry.room("lobby", world.now) is None
    assert world.nodes[1].rooms.room_count == 0
    a, b = world.join(0, A), world.join(1, B, permit=guest)
    assert world.welcomed(b).grants == ("join", "send")
    world.seal(b, A, b"sealed")
    world.say(b, offer(B, A))
    world.settle()
    assert offer(B, A) in world.heard(a)
    assert world.frames == []


def test_nobody_is_asked_about_who_may_not_join() -> None:
    """Also not where its session is already."""
    world, _, b = two()
    again = world.open(1)
    world.enter(again, B, permit=Permit(frozenset({"send"})))
    assert world.closed[again] == (CloseCode.NOT_GRANTED, "not-granted")
    assert not world.nodes[1].commands
    assert b not in world.closed


def test_whoever_leaves_at_another_node_waits_for_no_decision() -> None:
    """Its session is gone in time, for its own node; nothing is said of it before."""
    world, a, b = two()
    world.drop(b)
    again = world.open(0)
    world.feed(world.nodes[0], Withdrawn(again, hello(B)))
    world.settle()
    assert world.closed[again] == (CloseCode.NORMAL, "left")
    assert world.heard(a) == []
    world.wait(31.0)
    world.settle()
    assert world.heard(a) == [PeerLeft("lobby", *B, "timeout")]
    assert not world.nodes[1].commands


@pytest.mark.parametrize("rotation", [0, 600])
def test_a_second_welcome_says_what_is_true_then(rotation: float) -> None:
    """How long the permit lasts from now on, and credentials for TURN that are good."""
    world = Cluster(rules=RoomRules(ice_rotation=rotation))
    a = world.join(0, A, permit=Permit(frozenset({"join", "send", "create"}), ttl=100.0))
    assert world.welcomed(a).expires == 100.0
    world.lose()
    world.wait(20.0)
    world.start()
    world.settle()
    welcome = world.welcomed(a)
    assert (welcome.expires, welcome.relay_bytes) == (80.0, 0)
    assert welcome.grants == ("join", "send", "create")
    assert world.rotated == ([a] if rotation else [])


def test_a_node_counts_its_own_members() -> None:
    """So that the sum over all nodes counts everybody once."""
    world, _, _ = two()
    world.join(1, C)
    assert [node.rooms.peer_count for node in world.nodes] == [1, 2]


def test_a_node_that_drains_leaves_its_sessions_their_seats() -> None:
    """They come back through another node, and nobody is told that they were away."""
    world, a, b = two()
    waiting = world.open(0)
    world.enter(waiting, C)
    world.feed(world.nodes[0], Drain(0.0))
    world.settle()
    assert world.closed[a] == world.closed[waiting] == (CloseCode.RESTARTING, "moving")
    world.heard(b)
    again = world.join(1, A)
    assert world.welcomed(again).resumed
    assert world.heard(b) == []


# --- removal ------------------------------------------------------------------------


def removal(who: SessionKey, seconds: int = 60) -> Expel:
    """Return a statement that somebody is removed."""
    body = encode_body(Expulsion(who.id, 1_000_000, 1_000_000 + 1000 * seconds, "spam"))
    return Expel("lobby", who.id, seconds, Kicked("lobby", body, "s" * 86), "spam")


def test_who_is_removed_goes_wherever_it_is() -> None:
    """Everybody is told once; its own node closes, and no node that heard of it lets it in."""
    world = Cluster(3)
    a, b, c = world.join(0, A), world.join(1, B), world.join(2, C)
    for conn in (a, b, c):
        world.heard(conn)
    event = removal(C)
    world.feed(world.nodes[0], event)
    world.settle()
    assert world.heard(a) == [event.statement, PeerLeft("lobby", *C, "timeout")]
    assert world.heard(b) == [event.statement, PeerLeft("lobby", *C, "timeout")]
    assert world.heard(c) == [event.statement, Error("kicked", "spam", 60.0)]
    assert world.closed[c] == (CloseCode.KICKED, "kicked")
    for node in range(3):
        again = world.join(node, C)
        assert world.closed[again] == (CloseCode.KICKED, "kicked")
    assert world.heard(a) == world.heard(b) == []


def test_who_is_removed_does_not_stay_where_nobody_has_heard_of_it() -> None:
    """Those who know say so again when it comes in there."""
    world, a, b = two()
    world.feed(world.nodes[0], removal(C))
    world.settle()
    world.heard(a)
    late = world.nodes.index(world.add())
    c = world.join(late, C)
    world.settle()
    assert world.closed[c] == (CloseCode.KICKED, "kicked")
    assert world.heard(a)[-1] == world.heard(b)[-1] == PeerLeft("lobby", *C, "timeout")


def test_a_removal_that_is_told_again_ends_as_it_was_said() -> None:
    """Where it is heard late less of it is left; of what is over nothing."""
    world, _, _ = two()
    event = removal(C)
    world.feed(world.nodes[0], event)
    world.wait(40.0)
    late = world.nodes.index(world.add())
    c = world.join(late, C)
    world.settle()
    assert world.closed[c] == (CloseCode.KICKED, "kicked")
    world.wait(21.0)
    again = world.join(late, C)
    world.feed(world.nodes[0], Told("lobby", encode(event.statement)))
    assert again not in world.closed
