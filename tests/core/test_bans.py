"""Who is removed from a room, and kept out: the server's side."""

from tests.core.room_world import A, B, C, World, another_life, hello, introduction, kicked, offer
from thkmesh.core.bans import BANS_IN_ROOM, Ban, Bans
from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import ALL, Permit
from thkmesh.core.room_events import Condemn, Dropped, HelloAccepted, Renewed
from thkmesh.core.wire import Error, Kick, PeerLeft, SignalRefused


def test_who_is_removed_hears_why_and_is_closed() -> None:
    """Everybody hears the statement, then the others that it is gone."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.heard(a)
    statement = world.expel(B, 60.0, why="spam")
    assert world.heard(a) == [statement, PeerLeft("lobby", *B, "timeout")]
    assert world.heard(b)[-2:] == [statement, Error("kicked", "spam", 60.0)]
    assert world.closed == {b: (CloseCode.KICKED, "kicked")}
    world.say(a, offer(A, B))
    assert world.heard(a) == [SignalRefused(*B, 1)]
    assert not world.seal(a, B, b"x" * 24)


def test_who_is_removed_while_away_does_not_come_back() -> None:
    """Neither the same session nor another of that peer, before its time."""
    world = World()
    world.join(A)
    b = world.join(B)
    world.feed(Dropped(b))
    world.expel(B, 60.0)
    for who in (B, another_life(B)):
        conn = world.join(who)
        assert world.heard(conn)[-1] == Error("kicked", "come back in 60 s")
        assert world.closed[conn] == (CloseCode.KICKED, "kicked")
    world.wait(59.5)
    conn = world.join(B)
    assert world.heard(conn)[-1] == Error("kicked", "come back in 1 s")
    world.wait(0.5)
    assert world.welcomed(world.join(B)).kicked == ()


def test_a_ban_is_of_one_room_and_outlives_it() -> None:
    """Elsewhere the peer is welcome; the room's name keeps it out when the room is gone."""
    world = World()
    world.join(A)
    world.expel(B, 1000.0, why="noise")
    world.expel(C, 1000.0, room="empty")
    assert world.welcomed(world.join(B, room="elsewhere")).room_id == "elsewhere"
    for conn in range(2):
        world.feed(Dropped(conn, leaving=True))
    world.wait(200.0)
    assert world.rooms.room_count == 0
    conn = world.join(B)
    assert world.heard(conn)[-1] == Error("kicked", "come back in 800 s (noise)")
    assert world.join(C, room="empty") in world.closed


def test_a_welcome_names_who_is_kept_out() -> None:
    """So who was away when it was said knows it, too; with the key, and the time."""
    world = World()
    statement = world.expel(B, 60.0)
    conn = world.open()
    said = hello(A), introduction()
    world.feed(HelloAccepted(conn, *said, "secret", room_key="k" * 43, time=1234))
    welcome = world.welcomed(conn)
    assert (welcome.kicked, welcome.room_key, welcome.time) == ((statement,), "k" * 43, 1234)
    world.wait(60.0)
    assert world.welcomed(world.join(C)).kicked == ()


def test_nobody_removes_others_unless_that_is_granted() -> None:
    """Who may not is told so, by the number of its request; who may has it signed."""
    world = World()
    a = world.join(A)
    world.heard(a)
    world.say(a, Kick(B.id, 60.0, "spam", 7))
    [error] = world.heard(a)
    assert isinstance(error, Error)
    assert (error.reason, error.n) == ("not-granted", 7)
    assert world.condemned == []
    b = world.join(B)
    world.feed(Renewed(a, Permit(frozenset(ALL))))
    world.say(b, Kick(A.id, 60.0))
    world.say(a, Kick(B.id, 60.0, "spam", 7))
    assert world.condemned == [Condemn("lobby", B.id, 60.0, "spam")]
    assert not world.closed


def test_a_ban_may_be_prolonged_and_shortened() -> None:
    """Of one peer the latest counts."""
    known = Bans()
    for until in (10.0, 30.0, 20.0):
        known.add("lobby", B.id, Ban(until, kicked(B), ""), 0.0)
    assert len(known) == 1
    assert known.of("lobby", B.id, 19.9) is not None
    assert known.of("lobby", B.id, 20.0) is None
    assert len(known) == 0


def test_bans_of_a_room_are_bounded() -> None:
    """What ends first gives way."""
    known = Bans()
    for number in range(BANS_IN_ROOM + 3):
        known.add("lobby", f"{number:03}", Ban(1000.0 - number, kicked(A), ""), 0.0)
    assert len(known) == BANS_IN_ROOM
    for number in range(3):
        assert known.of("lobby", f"{BANS_IN_ROOM - 1 + number:03}", 0.0) is None
    assert known.of("lobby", f"{BANS_IN_ROOM + 2:03}", 0.0) is not None
    assert known.of("lobby", "000", 0.0) is not None


def test_bans_in_all_are_bounded() -> None:
    """What is over goes first, then what ends first, whichever room it is of."""
    known = Bans(limit=3)
    for room, until in (("a", 10.0), ("b", 40.0), ("c", 30.0)):
        known.add(room, A.id, Ban(until, kicked(A, room), ""), 0.0)
    known.add("d", A.id, Ban(50.0, kicked(A, "d"), ""), 10.0)
    assert [known.of(room, A.id, 10.0) is not None for room in "abcd"] == [False, True, True, True]
    known.add("b", B.id, Ban(60.0, kicked(B, "b"), ""), 10.0)
    assert [known.of(room, A.id, 10.0) is not None for room in "abcd"] == [False, True, False, True]
    assert known.statements("b", 10.0) == (kicked(A, "b"), kicked(B, "b"))
    assert len(known) == 3
