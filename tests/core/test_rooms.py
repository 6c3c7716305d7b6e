"""The server's mind: one law a test."""

import msgspec
import pytest

from tests.core.room_world import (
    A,
    B,
    C,
    D,
    World,
    another_life,
    hello,
    introduction,
    offer,
    ready,
)
from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.room_events import (
    PEERS_LIMIT,
    CreateRoom,
    Dropped,
    HelloAccepted,
    Opened,
    Refused,
    RoomRules,
    Sealed,
    Skipped,
    Stop,
    Withdrawn,
)
from thkmesh.core.room_state import PeerView, RoomView
from thkmesh.core.rooms import Rooms
from thkmesh.core.sealed import addressed
from thkmesh.core.wire import (
    PEER_READY_LIMIT_BYTES,
    Ack,
    Challenge,
    Error,
    Leave,
    PeerLeft,
    Ping,
    Pong,
    SignalRefused,
    Welcome,
    decode_to_client,
    encode,
)

# --- coming -----------------------------------------------------------------------


def test_a_connection_is_challenged() -> None:
    """The server speaks first: nonce, epoch, versions."""
    world = World()
    conn = world.open()
    assert world.heard(conn) == [Challenge(f"nonce-{conn}", "epoch", wire.VERSIONS)]


def test_a_newcomer_is_told_of_the_others_and_they_of_it() -> None:
    """A welcome lists everybody else; everybody else gets one peer-ready."""
    world = World()
    a = world.join(A, name="Ada")
    assert world.welcomed(a) == Welcome("lobby", "epoch", "secret-0", relay_bytes=65_536)
    b = world.join(B, name="Bob")
    assert world.welcomed(b).peers == (ready(A, name="Ada"),)
    assert world.heard(a) == [ready(B, name="Bob")]


def test_a_welcome_carries_the_rules() -> None:
    """ICE servers, the number of seats and the ping interval are the server's choice."""
    stun = wire.IceServer(("stun:stun.example.org",))
    world = World(RoomRules(ice_servers=(stun,), max_peers=3, ping_interval=7.0))
    welcome = world.welcomed(world.join(A))
    assert (welcome.ice_servers, welcome.max_peers, welcome.ping_interval) == ((stun,), 3, 7.0)


def test_rooms_are_isolated() -> None:
    """Neither comings, goings nor signals pass from one room to another."""
    world = World()
    a, b = world.join(A, "left"), world.join(B, "right")
    assert world.welcomed(b).peers == ()
    world.forget([a])
    world.say(b, offer(B, A, room="right"))
    assert world.heard(b) == [SignalRefused(*A, 1, "unknown-session")]
    world.say(b, Leave())
    assert world.heard(a) == []


def test_one_peer_may_be_in_two_rooms() -> None:
    """Sessions belong to rooms; the same identity in another room replaces nothing."""
    world = World()
    world.join(A, "left")
    world.join(A, "right")
    assert world.closed == {}


def test_a_full_room_takes_no_more() -> None:
    """Beyond max_peers a newcomer is told so, and nobody else notices."""
    world = World(RoomRules(max_peers=2))
    a, b = world.join(A), world.join(B)
    world.forget([a, b])
    c = world.join(C)
    assert isinstance(error := world.heard(c)[-1], Error)
    assert error.reason == "room-full"
    assert world.closed[c] == (CloseCode.ROOM_FULL, "room-full")
    assert world.heard(a) == world.heard(b) == []


def test_no_rooms_beyond_the_maximum() -> None:
    """Beyond max_rooms none comes into being, joined or created; existing ones take peers."""
    world = World(RoomRules(max_rooms=1))
    world.join(A, "one")
    assert world.rooms.full
    world.feed(CreateRoom("two"))
    b = world.join(B, "two")
    assert world.closed == {b: (CloseCode.OVERLOADED, "too-many-rooms")}
    world.join(B, "one")
    assert world.rooms.room_count == 1


def test_introductions_are_small() -> None:
    """What everybody will be told of everybody must fit into one welcome."""
    world = World()
    world.join(C, body="x")
    [small] = world.welcomed(world.join(D)).peers
    space = PEER_READY_LIMIT_BYTES - len(encode(small).encode()) + 1
    fits = world.join(A, body="x" * space)
    assert fits not in world.closed
    beyond = world.join(B, body="x" * (space + 1))
    assert world.closed[beyond] == (CloseCode.INVALID, "introduction-too-large")


@pytest.mark.parametrize(
    ("peers", "limit"), [(10, wire.SIGNALING_LIMIT_BYTES), (PEERS_LIMIT, wire.WELCOME_LIMIT_BYTES)]
)
def test_the_largest_introductions_fit_into_a_welcome(peers: int, limit: int) -> None:
    """A room cannot be made unenterable by those who are in it."""
    world = World(RoomRules(max_peers=peers))
    space = PEER_READY_LIMIT_BYTES - len(encode(ready(A)).encode())
    for number in range(peers - 1):
        world.join(A._replace(id=f"{number:026}"), body="x" * space)
    last = world.join(A._replace(id="z" * 26))
    welcome = len(world.texts[last][-1].encode())
    assert len(world.welcomed(last).peers) == peers - 1
    assert 0.97 * (peers - 1) * PEER_READY_LIMIT_BYTES < welcome < limit


# --- before and instead of the hello ----------------------------------------------------


def test_the_hello_must_come_in_time() -> None:
    """Ten seconds after the challenge the connection is closed, not earlier."""
    world = World()
    conn = world.open()
    world.wait(9.9)
    assert conn not in world.closed
    world.wait(0.1)
    assert isinstance(error := world.heard(conn)[-1], Error)
    assert error.reason == "hello-timeout"
    assert world.closed[conn] == (CloseCode.HELLO_TIMEOUT, "hello-timeout")


def test_the_hello_must_come_first() -> None:
    """Any other known message before it is an error."""
    world = World()
    conn = world.open()
    world.say(conn, Ping(1))
    assert world.closed[conn] == (CloseCode.INVALID, "hello-expected")


def test_one_hello_a_connection() -> None:
    """A second hello is an error; the session may come back."""
    world = World()
    conn = world.join(A)
    world.enter(conn, A)
    assert world.closed[conn] == (CloseCode.INVALID, "already-joined")
    assert world.welcomed(world.join(A)).resumed


def test_unknown_messages_are_counted_and_skipped() -> None:
    """They keep a session alive, but are no hello."""
    world = World(RoomRules(idle_timeout=15))
    a, stranger = world.join(A), world.open()
    for _ in range(3):
        world.wait(6)
        world.feed(Skipped(a))
        world.feed(Skipped(stranger))
    assert world.rooms.counts.skipped == 6
    assert world.closed == {stranger: (CloseCode.HELLO_TIMEOUT, "hello-timeout")}


def test_what_the_shell_refuses_is_told_and_closed() -> None:
    """The reason goes out as an error and as the close reason."""
    world = World()
    conn = world.open()
    world.feed(Refused(conn, "invalid-signature", "no", CloseCode.UNAUTHORIZED))
    assert world.heard(conn)[-1] == Error("invalid-signature", "no")
    assert world.closed[conn] == (CloseCode.UNAUTHORIZED, "invalid-signature")


# --- the same identity twice ----------------------------------------------------------


def test_the_newest_session_wins() -> None:
    """The older one is told and closed; the others see it go and the newer come."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.forget([a, b])
    newer = another_life(A)
    again = world.join(newer)
    assert world.closed == {a: (CloseCode.REPLACED, "replaced")}
    assert [type(message) for message in world.heard(a)] == [Error]
    assert world.heard(b) == [PeerLeft("lobby", *A, "replaced"), ready(newer)]
    assert world.welcomed(again).peers == (ready(B),)
    assert not world.welcomed(world.join(C)).resumed


def test_a_newer_session_replaces_one_that_is_away() -> None:
    """Its seat is taken, what waited for it is void, and its grace ends nothing."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.drop(a)
    world.say(b, offer(B, A))
    world.forget([b])
    newer = another_life(A)
    again = world.join(newer)
    assert world.heard(b) == [PeerLeft("lobby", *A, "replaced"), ready(newer)]
    assert [type(message) for message in world.heard(again)] == [Challenge, Welcome]
    for _ in range(4):
        world.wait(10)
        world.say(b, Ping(1))
        world.say(again, Ping(1))
    assert {type(message) for message in world.heard(b)} == {Pong}


def test_replacing_oneself_needs_no_free_seat() -> None:
    """A full room takes a newer session of somebody who is in it."""
    world = World(RoomRules(max_peers=2))
    world.join(A)
    world.join(B)
    again = world.join(another_life(A))
    assert again not in world.closed


def test_the_same_session_takes_over_from_its_own_older_connection() -> None:
    """The older one is closed as superseded; nobody else is told anything."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.forget([b])
    again = world.join(A)
    assert world.closed == {a: (CloseCode.SUPERSEDED, "superseded")}
    assert world.welcomed(again).resumed
    assert world.heard(b) == []
    world.feed(Dropped(a))
    text = world.say(b, offer(B, A))
    assert world.texts[again] == [text]


# --- going and coming back -------------------------------------------------------------


def test_a_return_within_the_grace_period_is_invisible() -> None:
    """Nobody is told; what was sent meanwhile follows the welcome, in order, as it was."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.drop(a)
    world.forget([b])
    sent = [world.say(b, offer(B, A, seq)) for seq in range(1, 4)]
    world.wait(29.9)
    again = world.join(A)
    challenge, welcome, *rest = world.texts[again]
    assert decode_to_client(challenge) == Challenge(f"nonce-{again}", "epoch", wire.VERSIONS)
    assert decode_to_client(welcome) == Welcome(
        "lobby",
        "epoch",
        f"secret-{again}",
        resumed=True,
        peers=(ready(B),),
        relay_bytes=65_536,
    )
    assert rest == sent
    assert world.heard(b) == []
    after = world.say(b, offer(B, A, 4))
    assert world.texts[again][-1] == after
    world.forget([b])
    world.wait(31)
    assert world.heard(b) == []


def test_a_page_that_goes_away_takes_its_session_with_it() -> None:
    """Nobody waits for who cannot come back; who comes back nevertheless arrives."""
    world = World(RoomRules(max_peers=2))
    a, b = world.join(A), world.join(B)
    world.forget([b])
    world.feed(Dropped(a, leaving=True))
    assert world.heard(b) == [PeerLeft("lobby", *A, "timeout")]
    world.feed(Dropped(a))
    world.feed(Dropped(world.open(), leaving=True))
    again = world.join(A)
    assert not world.welcomed(again).resumed
    assert world.heard(b) == [ready(A)]


def test_the_last_page_that_goes_away_leaves_an_empty_room() -> None:
    """The room vanishes a minute after it, as after any other."""
    world = World()
    world.feed(Dropped(world.join(A), leaving=True))
    world.wait(59.9)
    assert world.rooms.room_count == 1
    world.wait(0.1)
    assert world.rooms.room_count == 0


def test_a_return_with_other_words_is_told() -> None:
    """A session that introduces itself anew is announced anew."""
    world = World()
    a, b = world.join(A, name="Ada"), world.join(B)
    world.drop(a)
    world.forget([b])
    world.join(A, name="Countess")
    assert world.heard(b) == [ready(A, name="Countess")]


def test_after_the_grace_period_a_session_is_gone() -> None:
    """The others are told; what waited for it is void; a return is a new arrival."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.drop(a)
    world.say(b, offer(B, A))
    world.forget([b])
    world.wait(30)
    assert world.heard(b) == [PeerLeft("lobby", *A, "timeout")]
    again = world.join(A)
    assert [type(message) for message in world.heard(again)] == [Challenge, Welcome]
    assert world.heard(b) == [ready(A)]


def test_leaving_is_immediate() -> None:
    """The others are told at once, and the connection is closed normally."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.forget([b])
    world.say(a, Leave())
    assert world.closed == {a: (CloseCode.NORMAL, "left")}
    assert world.heard(b) == [PeerLeft("lobby", *A, "left")]


@pytest.mark.parametrize("away", [True, False])
def test_leaving_waits_for_no_decision(away: bool) -> None:
    """A genuine hello is enough to give up one's place; a newcomer has none to give up."""
    world = World()
    a, b = world.join(A), world.join(B)
    if away:
        world.drop(b)
    world.heard(a)
    for who, room in (
        (C, "lobby"),
        (another_life(B), "lobby"),
        (B, "hall"),
        (B, "lobby"),
        (B, "lobby"),
    ):
        again = world.open()
        world.feed(Withdrawn(again, hello(who, room)))
        assert world.closed[again] == (CloseCode.NORMAL, "left")
    assert world.heard(a) == [PeerLeft("lobby", *B, "left")]
    assert world.closed.get(b) == (None if away else (CloseCode.SUPERSEDED, "superseded"))
    assert (world.rooms.room_count, world.rooms.peer_count) == (1, 1)
    assert world.rooms.connection_count == 1


def test_silence_closes_a_connection_but_not_a_session() -> None:
    """After 60 s without a word the connection goes; 30 s later the session does."""
    world = World()
    a, b = world.join(A), world.join(B)
    for n in range(4):
        world.say(b, Ping(n))
        world.wait(14.9)
    assert world.closed == {}
    world.say(b, Ping(4))
    world.wait(0.5)
    assert world.closed == {a: (CloseCode.IDLE, "idle")}
    world.forget([b])
    world.wait(30)
    assert world.heard(b) == [PeerLeft("lobby", *A, "timeout")]


def test_the_away_are_not_told_what_their_welcome_will_say() -> None:
    """Comings and goings do not wait for a session that is away; its welcome is enough."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.drop(a)
    world.say(b, Leave())
    world.join(C)
    again = world.join(A)
    challenge, welcome = world.heard(again)
    assert isinstance(challenge, Challenge)
    assert isinstance(welcome, Welcome)
    assert welcome.peers == (ready(C),)


# --- signals --------------------------------------------------------------------------


def test_a_signal_is_forwarded_as_the_exact_text() -> None:
    """Spaces, order and unknown fields included; to its addressee alone."""
    world = World()
    a, b, c = world.join(A), world.join(B), world.join(C)
    world.forget([a, b, c])
    world.say(a, offer(A, B, 7))
    assert world.heard(b) == [offer(A, B, 7)]
    assert world.heard(a) == world.heard(c) == []


@pytest.mark.parametrize("to", [another_life(B), D])
def test_a_signal_for_nobody_is_refused(to: tuple[str, str]) -> None:
    """Another life of a peer, or a stranger: the sender learns that it is still owed."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.forget([a, b])
    world.say(a, offer(A, type(A)(*to), 5))
    assert world.heard(a) == [SignalRefused(*to, 5, "unknown-session")]
    assert world.heard(b) == []


@pytest.mark.parametrize(
    "forged",
    [offer(B, C), offer(another_life(A), C), offer(A, C, room="elsewhere")],
    ids=["another id", "another sid", "another room"],
)
def test_nobody_speaks_for_another(forged: wire.Offer) -> None:
    """A signal that is not from the connection's own session is fatal, and not forwarded."""
    world = World()
    a, _, c = world.join(A), world.join(B), world.join(C)
    world.forget([a, c])
    world.say(a, forged)
    assert world.closed == {a: (CloseCode.INVALID, "not-yours")}
    assert world.heard(c) == []


@pytest.mark.parametrize(
    "unsigned",
    [
        wire.Offer("lobby", A.id, B.id, offer=wire.SeedDescription("offer", "v=0")),
        wire.Offer("lobby", A.id, B.id, A.sid, B.sid, 1, body="{}"),
        wire.Offer("lobby", A.id, B.id, A.sid, B.sid, 1, signature="s" * 86),
        Ack("lobby", A.id, B.id, "", B.sid, ack=1),
        Ack("lobby", A.id, B.id, A.sid, ack=1),
    ],
    ids=["seed", "no signature", "no body", "ack without from-sid", "ack without to-sid"],
)
def test_unsigned_signals_are_refused_gently(unsigned: wire.AnySignal) -> None:
    """The seed's form gets an error and goes nowhere; the connection stands."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.forget([a, b])
    world.say(a, unsigned)
    assert isinstance(error := world.heard(a)[0], Error)
    assert error.reason == "unsigned"
    assert world.closed == {}
    assert world.heard(b) == []


def test_a_bare_acknowledgement_needs_no_body() -> None:
    """It has no sequence number and nothing to sign."""
    world = World()
    a, b = world.join(A), world.join(B)
    text = world.say(a, Ack("lobby", *(A.id, B.id, A.sid, B.sid), ack=3))
    assert world.texts[b][-1] == text


@pytest.mark.parametrize(
    "rules",
    [RoomRules(away_messages=3), RoomRules(away_bytes=3 * len(encode(offer(B, A, 1))))],
    ids=["messages", "bytes"],
)
def test_what_waits_for_the_away_is_bounded(rules: RoomRules) -> None:
    """Beyond the limit the newest is refused, and still owed by its sender."""
    world = World(rules)
    a, b = world.join(A), world.join(B)
    world.drop(a)
    sent = [world.say(b, offer(B, A, seq)) for seq in range(1, 6)]
    refused = [SignalRefused(*A, seq, "queue-full") for seq in (4, 5)]
    assert [m for m in world.heard(b) if isinstance(m, SignalRefused)] == refused
    again = world.join(A)
    assert world.texts[again][2:] == sent[:3]
    world.drop(again)
    world.say(b, offer(B, A, 6))
    assert world.heard(b) == []


def test_a_ping_is_answered() -> None:
    """With its own number."""
    world = World()
    a = world.join(A)
    world.forget([a])
    world.say(a, Ping(42))
    assert world.heard(a) == [Pong(42)]


# --- rooms ------------------------------------------------------------------------


def test_an_empty_room_vanishes_in_time() -> None:
    """Sixty seconds after its last session went, unless somebody comes."""
    world = World()
    world.say(world.join(A), Leave())
    world.wait(59.9)
    assert world.rooms.inspect("lobby", world.now) is not None
    b = world.join(B)
    world.wait(30)
    assert world.rooms.room_count == 1
    world.say(b, Leave())
    world.wait(60)
    assert world.rooms.inspect("lobby", world.now) is None
    assert world.rooms.deadline is None


def test_a_room_can_be_made_before_anybody_comes() -> None:
    """It keeps its listing when joined, and vanishes when nobody comes."""
    world = World()
    world.feed(CreateRoom("stage", listed=True))
    world.feed(CreateRoom("hidden"))
    world.feed(CreateRoom("stage", listed=False))
    world.join(A, "stage", "Ada")
    world.wait(59)
    assert [room.room for room in world.rooms.listed(world.now)] == ["stage"]
    world.wait(2)
    assert world.rooms.inspect("hidden", world.now) is None
    assert world.rooms.inspect("stage", world.now) is not None


def test_a_room_can_be_looked_into() -> None:
    """Who is there, since when, and whether they are connected just now."""
    world = World()
    a = world.join(A, name="Ada")
    world.wait(2.5)
    world.join(B, name="Bob")
    world.drop(a)
    world.wait(1)
    assert world.rooms.connection_count == 1
    assert world.rooms.inspect("lobby", world.now) == RoomView(
        "lobby",
        listed=False,
        max_peers=10,
        peers=(
            PeerView(A.id, "Ada", 3.5, "reconnecting"),
            PeerView(B.id, "Bob", 1.0, "connected"),
        ),
    )


# --- time and the end ------------------------------------------------------------------


def test_our_own_sleep_judges_nobody() -> None:
    """After the server slept everybody has their time again."""
    world = World()
    a, stranger = world.join(A), world.open()
    world.now += 3600
    world.feed(Slept(3600))
    world.feed(Tick())
    assert world.closed == {}
    world.wait(10)
    assert list(world.closed) == [stranger]
    world.wait(50)
    assert list(world.closed) == [stranger, a]


def test_after_sleep_nobody_is_judged_before_being_heard() -> None:
    """What waits to be read comes in one by one; the first must not end the others."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.now += 3600
    world.feed(Slept(3540))
    world.now += 0.05
    world.say(b, Ping(1))
    world.say(a, Ping(2))
    assert world.closed == {}
    assert (world.heard(a)[-1], world.heard(b)[-1]) == (Pong(2), Pong(1))


def test_a_late_event_finds_what_was_due_settled() -> None:
    """Time comes first: who was due is gone before the event is looked at."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.drop(a)
    world.forget([b])
    world.now += 31
    world.join(A)
    assert world.heard(b) == [PeerLeft("lobby", *A, "timeout"), ready(A)]


def test_a_stopping_server_sends_everybody_away() -> None:
    """Everybody is closed with 1012; whoever comes later is, too; no timer remains."""
    world = World()
    a, stranger = world.join(A), world.open()
    world.feed(Stop())
    late = world.open()
    gone = (CloseCode.RESTARTING, "restart")
    assert world.closed == {a: gone, stranger: gone, late: gone}
    assert world.rooms.deadline is None
    world.feed(CreateRoom("late"))
    assert world.rooms.room_count == world.rooms.connection_count == 0


def test_what_comes_after_the_end_is_without_effect() -> None:
    """Events of a connection that is closed already do nothing."""
    rooms = Rooms("epoch")
    rooms.handle(Opened(1, "nonce"), 0)
    rooms.handle(Refused(1, "binary", "no", CloseCode.UNSUPPORTED), 0)
    world = World()
    for event in (
        HelloAccepted(1, hello(A), introduction(), "secret"),
        Withdrawn(1, hello(A)),
        Refused(1, "binary", "no", CloseCode.UNSUPPORTED),
        Skipped(1),
        Dropped(1),
    ):
        assert rooms.handle(event, 1) == []
    a = world.join(A)
    world.say(a, Leave())
    world.say(a, Ping(1))
    assert rooms.room_count == 0


# --- sealed frames ------------------------------------------------------------------

REST = bytes(range(100))


def test_a_sealed_frame_names_its_sender_in_the_end() -> None:
    """It goes to the session that it names, behind the name of the one it is from."""
    world = World()
    a, b, _ = (world.join(who) for who in (A, B, C))
    assert world.seal(a, B, REST)
    assert world.frames == [(b, addressed(A, REST))]
    assert (world.rooms.counts.relayed, world.rooms.counts.dropped) == (1, 0)


def test_what_cannot_be_passed_on_is_dropped_without_a_word() -> None:
    """For another life, another room, nobody, or who is away; nothing waits and nobody is told."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.join(C, room="elsewhere")
    world.drop(b)
    world.forget([a])
    for to in (B, another_life(B), C, D):
        assert not world.seal(a, to, REST)
    assert world.heard(a) == []
    assert a not in world.closed
    assert world.rooms.counts.dropped == 4
    back = world.join(B)
    assert world.frames == []
    assert world.seal(a, B, REST)
    assert [conn for conn, _ in world.frames] == [back]


def test_each_session_has_a_budget_that_no_reconnection_fills() -> None:
    """What is over it is dropped, of whatever it is for; time gives it back."""
    rules = RoomRules(relay_bytes=1000, relay_burst_bytes=2000)
    world = World(rules)
    a, b = world.join(A), world.join(B)
    rest = bytes(1000 - 43)
    assert [world.seal(a, B, rest) for _ in range(3)] == [True, True, False]
    assert world.seal(b, A, rest), "each has its own"
    a = world.join(A)
    assert not world.seal(a, B, rest)
    assert a not in world.closed
    world.wait(1.0)
    assert [world.seal(a, B, rest) for _ in range(2)] == [True, False]
    world.wait(50.0)
    assert [world.seal(a, B, rest) for _ in range(3)] == [True, True, False]


def test_a_server_may_pass_nothing_on() -> None:
    """It says so in its welcome, and drops what comes nevertheless."""
    world = World(RoomRules(relay_bytes=0))
    a = world.join(A)
    assert world.welcomed(a).relay_bytes == 0
    world.join(B)
    assert not world.seal(a, B, REST)
    other = World()
    assert other.welcomed(other.join(A)).relay_bytes == RoomRules().relay_bytes


def test_a_sealed_frame_is_a_sign_of_life_but_no_hello() -> None:
    """It keeps a session from being idle, and is refused before one has come."""
    world = World()
    a, stranger = world.join(A), world.open()
    world.wait(6.0)
    for _ in range(20):
        world.seal(a, B, REST)
        world.wait(5.0)
    assert a not in world.closed
    early = world.open()
    world.feed(Sealed(early, A, REST))
    assert world.closed[early] == (CloseCode.INVALID, "hello-expected")
    assert world.closed[stranger][0] is CloseCode.HELLO_TIMEOUT
    world.rooms.handle(Sealed(early, A, REST), world.now)
    assert world.frames == []


def test_what_passes_is_counted() -> None:
    """Signals at once and later, in bytes; who is away is still in its room."""
    world = World(RoomRules(away_messages=1))
    a, b = world.join(A), world.join(B)
    now = world.say(a, offer(A, B))
    world.drop(b)
    later = world.say(a, msgspec.structs.replace(offer(A, B, 2), body="später"))
    world.say(a, offer(A, B, 3))
    counts = world.rooms.counts
    assert (counts.signals, counts.signal_bytes) == (2, len(now) + len(later.encode()))
    assert world.rooms.peer_count == 2
    world.wait(30.0)
    assert world.rooms.peer_count == 1
