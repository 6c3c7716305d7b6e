"""The laws of membership: two witnesses, and a goodbye is final."""

from thkmesh.core.identity import SessionKey
from thkmesh.core.membership import (
    MEMBER_LIMIT,
    PARTING,
    RETURN_GRACE,
    Arrived,
    Departed,
    Membership,
)
from thkmesh.events import LeaveReason
from thkmesh.peer import Peer

ME = SessionKey("m" * 26, "0" * 16)
ADA = Peer("a" * 26, "1" * 16, "Ada")
BOB = Peer("b" * 26, "2" * 16, "Bob")


def key(peer: Peer) -> SessionKey:
    """Return the session of a peer."""
    return SessionKey(peer.id, peer.sid)


def in_room(*peers: Peer, epoch: str = "one") -> Membership:
    """Return a membership that was welcomed with these."""
    members = Membership(ME)
    members.welcome(epoch, list(peers), 0.0)
    return members


def test_the_listed_arrive_once() -> None:
    """A peer arrives when it is first listed, and not again."""
    members = Membership(ME)
    assert members.welcome("one", [ADA], 0.0) == [Arrived(ADA)]
    assert members.ready(ADA) == []
    assert members.welcome("one", [ADA], 1.0) == []
    assert members.peers == (ADA,)
    assert key(ADA) in members
    assert members.peer(key(ADA)) == ADA
    assert members.listed(key(ADA))
    assert not members.listed(key(BOB))
    assert members.peer(key(BOB)) is None


def test_i_am_not_among_the_others() -> None:
    """A list that has me in it does not make me my own peer."""
    assert in_room(Peer(ME.id, ME.sid)).peers == ()


def test_there_are_so_many_and_no_more() -> None:
    """Others beyond the limit are ignored, until somebody goes; who is here may be replaced."""
    crowd = [Peer(f"{number:026}", "1" * 16) for number in range(MEMBER_LIMIT + 1)]
    members = in_room(*crowd)
    assert members.peers == tuple(crowd[:-1])
    assert members.ready(crowd[-1]) == []
    again = Peer(crowd[0].id, "2" * 16)
    assert members.ready(again) == [Departed(crowd[0], LeaveReason.REPLACED), Arrived(again)]
    members.goodbye(key(crowd[1]))
    assert members.ready(crowd[-1]) == [Arrived(crowd[-1])]


def test_a_goodbye_is_final() -> None:
    """Who said goodbye is gone at once, and no late list brings it back."""
    members = in_room(ADA, BOB)
    members.link(key(ADA), 0.0, alive=True)
    assert members.goodbye(key(ADA)) == [Departed(ADA, LeaveReason.LEFT)]
    assert members.left(key(ADA), LeaveReason.LEFT, 1.0) == []
    members.left(key(BOB), LeaveReason.LEFT, 1.0)
    assert members.goodbye(key(BOB)) == [Departed(BOB, LeaveReason.LEFT)]
    assert members.goodbye(key(BOB)) == []
    assert members.welcome("one", [ADA, BOB], 2.0) == []
    assert members.ready(ADA) == members.ready(BOB) == []


def test_last_words_are_waited_for() -> None:
    """The server's word of a goodbye is faster than the link: the link's counts, or its end."""
    for ending in ("goodbye", "end of the link", "late link", "time"):
        members = in_room(ADA)
        members.link(key(ADA), 0.0, alive=ending != "late link")
        assert members.left(key(ADA), LeaveReason.LEFT, 10.0) == []
        assert members.peers == (ADA,)
        assert members.deadline == 10.0 + PARTING
        members.slept(0.5)
        assert members.settle(10.0 + PARTING) == []
        match ending:
            case "goodbye":
                departed = members.goodbye(key(ADA))
            case "time":
                departed = members.settle(10.5 + PARTING)
            case _:
                assert members.link(key(ADA), 10.9, alive=True) == []
                departed = members.link(key(ADA), 10.9, alive=False)
        assert departed == [Departed(ADA, LeaveReason.LEFT)]


def test_who_is_parting_is_not_replaced() -> None:
    """The next life of a peer does not cut off the last words of the one that left."""
    members = in_room(ADA)
    members.link(key(ADA), 0.0, alive=True)
    members.left(key(ADA), LeaveReason.LEFT, 1.0)
    again = Peer(ADA.id, "9" * 16, "Ada")
    assert members.ready(again) == [Arrived(again)]
    assert members.peers == (ADA, again)
    assert members.goodbye(key(ADA)) == [Departed(ADA, LeaveReason.LEFT)]


def test_goodbyes_are_remembered_in_bounded_memory() -> None:
    """After a thousand goodbyes the oldest is forgotten."""
    members = in_room()
    for n in range(1025):
        members.left(SessionKey(ADA.id, f"{n:016x}"), LeaveReason.LEFT, 0.0)
    assert members.ready(Peer(ADA.id, f"{0:016x}")) != []
    assert members.ready(Peer(ADA.id, f"{1:016x}")) == []


def test_a_newer_session_replaces_the_older() -> None:
    """One peer is here once: its newest session."""
    members = in_room(ADA)
    again = Peer(ADA.id, "9" * 16, "Ada")
    assert members.ready(again) == [Departed(ADA, LeaveReason.REPLACED), Arrived(again)]


def test_the_replaced_are_gone_at_once() -> None:
    """The server's word that a session was replaced counts, whatever its link says."""
    members = in_room(ADA)
    members.link(key(ADA), 0.0, alive=True)
    changes = members.left(key(ADA), LeaveReason.REPLACED, 1.0)
    assert changes == [Departed(ADA, LeaveReason.REPLACED)]
    assert members.ready(ADA) == []


def test_a_living_link_keeps_a_peer_the_server_lost() -> None:
    """The server's time-out does not remove a peer whose link lives; the link's end does."""
    members = in_room(ADA, BOB)
    members.link(key(ADA), 0.0, alive=True)
    assert members.left(key(ADA), LeaveReason.TIMEOUT, 1.0) == []
    assert members.left(key(BOB), LeaveReason.TIMEOUT, 1.0) == [Departed(BOB, LeaveReason.TIMEOUT)]
    assert members.peers == (ADA,)
    assert members.link(key(ADA), 2.0, alive=False) == [Departed(ADA, LeaveReason.TIMEOUT)]
    assert members.link(key(ADA), 2.0, alive=False) == []
    assert members.left(key(ADA), LeaveReason.TIMEOUT, 3.0) == []


def test_a_listed_peer_stays_without_a_link() -> None:
    """A broken link alone removes nobody."""
    members = in_room(ADA)
    members.link(key(ADA), 0.0, alive=True)
    assert members.link(key(ADA), 1.0, alive=False) == []


def test_after_a_server_restart_peers_have_time_to_come_back() -> None:
    """A new epoch with an empty list removes nobody for the grace period."""
    members = in_room(ADA, BOB)
    assert members.welcome("two", [], 100.0) == []
    deadlines = [members.deadline]
    assert members.ready(ADA) == []
    assert members.settle(100.0 + RETURN_GRACE) == [Departed(BOB, LeaveReason.TIMEOUT)]
    deadlines.append(members.deadline)
    assert deadlines == [100.0 + RETURN_GRACE, None]
    assert members.peers == (ADA,)


def test_after_the_grace_a_living_link_still_counts() -> None:
    """Unlisted and unforgiven, a peer stays as long as its link lives."""
    members = in_room(ADA)
    members.link(key(ADA), 0.0, alive=True)
    members.welcome("two", [], 100.0)
    assert members.settle(100.0 + RETURN_GRACE) == []
    assert members.link(key(ADA), 200.0, alive=False) == [Departed(ADA, LeaveReason.TIMEOUT)]


def test_the_same_server_life_forgives_nothing() -> None:
    """Missing in a list of the same epoch means gone, unless linked."""
    members = in_room(ADA)
    assert members.welcome("one", [], 1.0) == [Departed(ADA, LeaveReason.TIMEOUT)]


def test_sleep_prolongs_forgiveness() -> None:
    """Time in which we did not listen is not held against who comes back."""
    members = in_room(ADA, BOB)
    members.welcome("two", [BOB], 100.0)
    members.slept(50.0)
    assert members.deadline == 150.0 + RETURN_GRACE
