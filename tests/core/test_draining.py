"""The laws of the end of a server: everybody is asked to move, in time, and not all at once."""

from math import inf

import pytest

from tests.core.room_world import A, B, World, hello, introduction
from thkmesh.core.closing import CloseCode
from thkmesh.core.draining import PACE, Draining
from thkmesh.core.identity import SessionKey
from thkmesh.core.room_events import CreateRoom, Drain, HelloAccepted, Refused, RoomRules, Stop
from thkmesh.core.wire import Challenge, Error, Moving

MOVING = (CloseCode.RESTARTING, "moving")


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.5, 2.0, 5.0, 60.0])
@pytest.mark.parametrize("number", [0, 1, 10, 1000])
def test_clients_come_back_at_a_pace_however_short_the_end(seconds: float, number: int) -> None:
    """When each goes and how long it stays away add up to an even stream."""
    draining = Draining(range(number), seconds, 100.0)
    back: list[float] = []
    while draining.first < inf:
        now = draining.first
        assert now <= 100.0 + max(seconds, 0.0), "in time"
        back += [now + wait for _, wait in draining.due(now)]
    assert back == pytest.approx([100.0 + each / PACE for each in range(number)])


def test_nobody_goes_before_the_time() -> None:
    """Each in its turn, in the order in which they came."""
    draining = Draining([7, 8, 9], 60.0, 0.0)
    assert draining.due(0.0) == [(7, 0.0)]
    assert draining.due(0.0) == []
    assert [conn for conn, _ in draining.due(1.0)] == [8, 9]


def crowd(number: int) -> list[SessionKey]:
    """Return so many sessions."""
    return [SessionKey(f"{each:026d}", f"{each:016x}") for each in range(number)]


def test_a_draining_server_moves_everybody() -> None:
    """First a word, then 1012; each once, at its time; those who are left notice nothing."""
    world = World(RoomRules(max_peers=100))
    conns = [world.join(who) for who in crowd(100)]
    world.forget(conns)
    world.feed(Drain(0.25))
    assert world.closed == {conns[0]: MOVING}
    world.wait(0.1251)
    assert world.closed == dict.fromkeys(conns[:51], MOVING)
    world.wait(0.125)
    assert world.closed == dict.fromkeys(conns, MOVING)
    waits = []
    for conn in conns:
        [moving] = world.heard(conn)
        assert isinstance(moving, Moving)
        waits.append(moving.retry_after)
    assert waits == pytest.approx([each / 100 * 0.25 for each in range(100)], abs=0.001)


def test_who_is_in_the_middle_of_coming_goes_elsewhere() -> None:
    """Without a hello there is nothing to keep; a hello that came too late finds nobody."""
    world = World()
    a, early = world.join(A), world.open()
    world.forget([a])
    world.feed(Drain(10.0))
    assert world.closed == {a: MOVING, early: MOVING}
    assert world.heard(early) == [Challenge(f"nonce-{early}", "epoch", (1, 1)), Moving()]
    world.feed(HelloAccepted(early, hello(B), introduction(), "secret"))
    late = world.open()
    assert world.closed[late] == (CloseCode.RESTARTING, "restart")
    assert world.rooms.connection_count == 0


def test_a_session_keeps_its_place_while_it_moves() -> None:
    """Nobody is told that it left: it did not."""
    world = World()
    a, b = world.join(A), world.join(B)
    world.forget([a, b])
    world.feed(Drain(10.0))
    world.wait(1.0)
    assert world.heard(b) == [Moving()]
    view = world.rooms.inspect("lobby", world.now)
    assert view is not None
    assert [peer.state for peer in view.peers] == ["reconnecting", "reconnecting"]


def test_who_leaves_before_its_turn_is_not_asked() -> None:
    """Its number is used no more."""
    world = World(RoomRules(max_peers=100))
    conns = [world.join(who) for who in crowd(100)]
    world.feed(Drain(10.0))
    world.drop(conns[50])
    world.wait(1.0)
    assert set(conns) - set(world.closed) == {conns[50]}


def test_the_end_may_come_in_the_middle() -> None:
    """Whoever is left is closed at once, and nothing is due any more."""
    world = World(RoomRules(max_peers=100))
    conns = [world.join(who) for who in crowd(100)]
    world.feed(Drain(10.0))
    world.feed(Stop())
    assert world.closed[conns[0]] == MOVING
    assert world.closed[conns[99]] == (CloseCode.RESTARTING, "restart")
    assert world.rooms.deadline is None
    assert not world.rooms.has("lobby")


def test_a_limit_says_when_to_come_back() -> None:
    """The error carries it; the session keeps its place."""
    world = World()
    a = world.join(A)
    world.forget([a])
    world.feed(Refused(a, "rate-limited", "slower", CloseCode.RATE_LIMITED, 2.0))
    assert world.heard(a) == [Error("rate-limited", "slower", 2.0)]
    assert world.closed == {a: (CloseCode.RATE_LIMITED, "rate-limited")}
    world.feed(CreateRoom("other"))
    assert world.rooms.has("lobby")
    assert world.rooms.has("other")
    assert not world.rooms.has("none")
