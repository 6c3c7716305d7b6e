"""What the rooms refuse to who has no grant for it, and what ends when."""

from tests.core.room_world import A, B, World, hello, introduction, offer
from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import ALL, OPEN, Grant, Permit
from thkmesh.core.identity import SessionKey
from thkmesh.core.machine import Tick
from thkmesh.core.room_events import (
    HelloAccepted,
    Renewed,
    RenewIce,
    Renewing,
    RoomRules,
    Stop,
    Undecided,
)
from thkmesh.core.wire import Admitted, Error, IceServer

TURN = IceServer(("turn:turn.example.org",), "1:a", "secret")
NOT_GRANTED = "not-granted"


def without(*grants: Grant) -> Permit:
    """Return a permit that lacks some of what is usual."""
    return Permit(OPEN - set(grants))


def enter(
    world: World,
    who: SessionKey,
    permit: Permit,
    servers: tuple[IceServer, ...] = (),
) -> int:
    """Accept a WebSocket and a hello that was admitted; return its number."""
    conn = world.open()
    world.feed(HelloAccepted(conn, hello(who), introduction(), "secret", permit, servers))
    return conn


def test_who_may_not_join_is_closed() -> None:
    """Without join there is no way in, not even back into one's own session."""
    world = World()
    conn = enter(world, A, without("join"))
    assert world.closed[conn] == (CloseCode.NOT_GRANTED, NOT_GRANTED)
    inside = world.join(A)
    again = enter(world, A, without("join"))
    assert world.closed[again] == (CloseCode.NOT_GRANTED, NOT_GRANTED)
    assert inside not in world.closed
    assert [type(said) for said in world.heard(again)] == [wire.Challenge, Error]


def test_a_room_is_made_by_who_may() -> None:
    """Without create one may enter a room that exists, and no other."""
    world = World()
    conn = enter(world, A, without("create"))
    assert world.closed[conn] == (CloseCode.NOT_GRANTED, NOT_GRANTED)
    assert world.rooms.room_count == 0
    world.join(B)
    assert enter(world, A, without("create")) not in world.closed


def test_signals_pass_for_who_may_send() -> None:
    """Others are told that they may not, and stay; who they are for hears nothing."""
    world = World()
    a, b = enter(world, A, without("send")), world.join(B)
    world.forget((a, b))
    world.say(a, offer(A, B))
    [refused] = world.heard(a)
    assert isinstance(refused, Error)
    assert refused.reason == NOT_GRANTED
    assert "send" in refused.message
    assert world.heard(b) == []
    text = world.say(b, offer(B, A))
    assert world.texts[a] == [text]
    assert not world.closed


def test_sealed_frames_pass_for_who_may_relay() -> None:
    """Others are told in the welcome that nothing is passed on, and when they try."""
    world = World()
    a, b = enter(world, A, without("relay")), world.join(B)
    assert world.welcomed(a).relay_bytes == 0
    assert world.welcomed(b).relay_bytes == world.rules.relay_bytes
    assert not world.seal(a, B, b"x")
    assert [said.reason for said in world.heard(a) if isinstance(said, Error)] == [NOT_GRANTED]
    assert world.rooms.counts.dropped == 1
    assert world.seal(b, A, b"x")


def test_the_welcome_says_what_one_may_do_and_how_long() -> None:
    """All grants in their order; and nothing where there is no end."""
    world = World()
    a = enter(world, A, Permit(frozenset(ALL), 600.0))
    b = enter(world, B, Permit())
    welcomes = [world.welcomed(a), world.welcomed(b)]
    assert [(each.grants, each.expires) for each in welcomes] == [
        (ALL, 600.0),
        (tuple(each for each in ALL if each != "kick"), None),
    ]


def test_an_admission_ends_after_a_warning() -> None:
    """A minute before it one is asked for a fresh token; then it is over, but the seat is kept."""
    world = World(RoomRules(idle_timeout=1000.0))
    a, b = enter(world, A, Permit(OPEN, 600.0)), world.join(B)
    world.wait(539.0)
    world.forget((a, b))
    assert world.heard(a) == []
    world.wait(1.0)
    assert world.heard(a) == [Admitted(60.0, renew=True)]
    world.wait(59.0)
    assert a not in world.closed
    world.wait(1.0)
    assert world.closed == {a: (CloseCode.TOKEN_EXPIRED, "token-expired")}
    world.forget((b,))
    again = enter(world, A, Permit(OPEN, 600.0))
    assert world.welcomed(again).resumed
    assert world.heard(b) == [], "the others notice nothing"


def chatter(world: World, conn: int, seconds: int) -> None:
    """Let time pass, with a ping now and then."""
    for _ in range(seconds // 30):
        world.say(conn, wire.Ping())
        world.wait(30.0)


def test_a_fresh_token_prolongs_and_may_change_the_grants() -> None:
    """The answer says until when; what was granted before and is not now is refused."""
    world = World()
    a = enter(world, A, Permit(OPEN, 600.0))
    world.join(B)
    chatter(world, a, 570)
    world.forget((a,))
    world.feed(Renewed(a, Permit(frozenset({"join"}), 600.0)))
    assert world.heard(a) == [Admitted(600.0, ("join",))]
    chatter(world, a, 510)
    world.forget((a,))
    world.say(a, offer(A, B))
    assert [said.reason for said in world.heard(a) if isinstance(said, Error)] == [NOT_GRANTED]
    chatter(world, a, 90)
    assert world.closed[a] == (CloseCode.TOKEN_EXPIRED, "token-expired")


def test_a_fresh_token_without_join_ends_it() -> None:
    """Who may not be here any more is closed; a connection that is not in a room has no token."""
    world = World()
    a, greeted = world.join(A), world.open()
    world.feed(Renewed(a, without("join")))
    assert world.closed[a] == (CloseCode.NOT_GRANTED, NOT_GRANTED)
    world.feed(Renewed(greeted, Permit()))
    world.feed(Renewed(99, Permit()))
    assert greeted not in world.closed


def test_a_permit_lasts_while_it_is_decided_on_another() -> None:
    """What cannot be decided is asked for again, and ends nothing before its time."""
    world = World(RoomRules(idle_timeout=1000.0))
    a, b, greeted = enter(world, A, Permit(OPEN, 600.0)), world.join(B), world.open()
    world.wait(540.0)
    world.feed(Undecided(a))
    world.feed(Undecided(greeted))
    world.feed(Renewing(greeted, 5.0))
    world.forget((a, b))
    world.wait(5.0)
    assert world.heard(a) == [Admitted(55.0, renew=True)]
    world.wait(54.5)
    world.feed(Renewing(a, 5.0))
    world.wait(4.5)
    assert a not in world.closed
    world.wait(0.5)
    assert world.closed[a] == (CloseCode.TOKEN_EXPIRED, "token-expired")
    world.feed(Undecided(b))
    world.wait(5.0)
    assert world.heard(b) == [Admitted(None, renew=True)]


def test_credentials_are_in_the_welcome_and_change_in_time() -> None:
    """Each connection's own, beside those for all; others are asked for every rotation."""
    stun = IceServer(("stun:stun.example.org",))
    world = World(RoomRules(ice_servers=(stun,), ice_rotation=30.0, idle_timeout=1000.0))
    a = enter(world, A, Permit(), (TURN,))
    assert world.welcomed(a).ice_servers == (stun, TURN)
    world.wait(29.0)
    asked: list[RenewIce] = []
    for _ in range(2):
        world.now = world.rooms.deadline or 0.0
        asked += [each for each in world.feed(Tick()) if isinstance(each, RenewIce)]
    assert asked == [RenewIce(a, A.id)] * 2
    assert world.now == 1060.0
    world.drop(a)
    assert world.rooms.deadline == 1090.0, "the grace period, and nothing else"


def test_a_stop_forgets_all_admissions() -> None:
    """Nothing is due when the server has stopped."""
    world = World(RoomRules(ice_rotation=30.0))
    enter(world, A, Permit(OPEN, 600.0))
    world.feed(Stop())
    assert world.rooms.deadline is None
