"""What a broker knows: seats, leases, who waits, hubs; see also ``test_shared_rooms``."""

from tests.core.room_world import A, B, C, another_life, ready
from thkmesh.core.identity import SessionKey
from thkmesh.core.registry import LEASE, Registry
from thkmesh.core.room_events import Command, News, RoomRules
from thkmesh.core.shared_events import (
    Away,
    Depart,
    Entrust,
    Join,
    Joined,
    Look,
    Looked,
    Posted,
    Returned,
    Went,
)
from thkmesh.core.wire import encode

RULES = RoomRules(max_peers=2, away_messages=2, away_bytes=10, grace=20, room_ttl=60)
ONE, OTHER = "1" * 16, "2" * 16


class Desk:
    """A registry with two nodes, and what they are told."""

    def __init__(self, rules: RoomRules = RULES) -> None:
        self.told: list[tuple[str, News]] = []
        self.deaf: set[str] = set()
        self.registry = Registry("epoch", rules, self.deliver)
        for node in (ONE, OTHER):
            self.registry.renew(node, 0)

    def deliver(self, node: str, news: News) -> bool:
        """Note what a node is told."""
        self.told.append((node, news))
        return node not in self.deaf

    def join(self, who: SessionKey, now: float, *, claim: bool = False) -> Joined:
        """Have the first node let somebody in."""
        join = Join(7, "lobby", who, encode(ready(who)), claim=claim)
        answer = self.registry.obey(ONE, join, now)
        assert isinstance(answer, Joined)
        return answer


def test_a_room_is_forgotten_some_time_after_its_last_member() -> None:
    """And with it its number, its hub, and that it wants to be found."""
    desk = Desk()
    assert desk.registry.create("lobby", 0, listed=True)
    assert not desk.registry.create("lobby", 59, listed=True)
    desk.registry.create("hidden", 59, listed=False)
    assert list(desk.registry.listed(59)) == [("lobby", 0)]
    assert desk.join(A, 59).version == 1
    desk.registry.obey(ONE, Depart("lobby", A, "left"), 500)
    record = desk.registry.room("lobby", 559)
    assert record is not None
    assert record.listed
    assert desk.registry.room("lobby", 560) is None
    assert list(desk.registry.listed(560)) == []


def test_a_room_has_one_hub() -> None:
    """The first assignment stands until the room is forgotten."""
    desk = Desk()
    assert desk.registry.assign_hub("lobby", "one", 0) == "one"
    assert desk.registry.assign_hub("lobby", "other", 1) == "one"
    assert desk.registry.assign_hub("lobby", "other", 61) == "other"


def test_nothing_is_said_of_what_is_not_known() -> None:
    """Rooms, sessions and commands that are none."""
    desk = Desk()
    assert desk.registry.obey(ONE, Look("lobby"), 0) == Looked("lobby", 0, ())
    assert desk.registry.obey(ONE, Command(), 0) is None
    for command in (Depart("lobby", A, "left"), Away("lobby", A)):
        assert desk.registry.obey(ONE, command, 0) is None
    refused = desk.registry.obey(ONE, Entrust("lobby", A, "x"), 0)
    assert refused == Returned("x", "unknown-session")
    desk.join(A, 0)
    for command in (Depart("lobby", A, "left"), Away("lobby", A)):
        desk.registry.obey(OTHER, command, 0)
    assert [each.away for each in desk.join(A, 0).members] == [False]
    refused = desk.registry.obey(ONE, Entrust("lobby", another_life(A), "x"), 0)
    assert refused == Returned("x", "unknown-session")


def test_what_waits_is_bounded_in_number_bytes_and_time() -> None:
    """What is more is refused, and what is too old is gone."""
    desk = Desk()
    desk.join(A, 0)
    for text in ("a", "b"):
        assert desk.registry.obey(ONE, Entrust("lobby", A, text), 0) is None
    full = desk.registry.obey(ONE, Entrust("lobby", A, "c"), 0)
    assert full == Returned("c", "queue-full")
    assert desk.join(A, 0).waiting == ("a", "b")
    assert desk.join(A, 0).waiting == ()
    full = desk.registry.obey(ONE, Entrust("lobby", A, "\N{EURO SIGN}" * 4), 0)
    assert isinstance(full, Returned)
    desk.registry.obey(ONE, Entrust("lobby", A, "a"), 1)
    desk.registry.renew(ONE, 34)
    desk.registry.obey(ONE, Entrust("lobby", A, "b"), 36)
    assert desk.join(A, 36).waiting == ("b",)
    desk.registry.obey(ONE, Entrust("lobby", A, "c"), 36)
    desk.registry.renew(ONE, 70)
    assert desk.join(A, 71).waiting == ()


def test_what_is_entrusted_goes_to_a_node_that_listens() -> None:
    """And waits where none does."""
    desk = Desk()
    desk.join(A, 0)
    desk.registry.obey(OTHER, Entrust("lobby", A, "a"), 0)
    [(node, news)] = desk.told
    assert node == ONE
    assert isinstance(news, Posted)
    desk.deaf.add(ONE)
    desk.registry.obey(OTHER, Entrust("lobby", A, "b"), 0)
    assert desk.join(A, 0).waiting == ("b",)


def test_a_dead_node_is_buried_once_its_members_have_had_their_grace() -> None:
    """By whoever renews; not before, and not if it renews in time."""
    desk = Desk()
    desk.join(A, 0)
    assert desk.registry.renew(OTHER, 19) == []
    desk.registry.bury(ONE, 19)
    assert desk.registry.known(ONE)
    assert desk.registry.renew(OTHER, 20.5) == [ONE]
    desk.registry.obey(OTHER, Join(1, "lobby", B, encode(ready(B))), 20)
    desk.told.clear()
    desk.registry.bury(ONE, 20.5)
    assert not desk.registry.known(ONE)
    assert desk.told == [(OTHER, Went("lobby", 3, A, "timeout"))]


def test_a_claim_takes_no_seat_from_a_node_that_lives() -> None:
    """One that has no lease is no such node; and a claim fits into a full room."""
    desk = Desk()
    desk.registry.obey(OTHER, Join(1, "lobby", A, encode(ready(A))), 0)
    assert desk.join(A, LEASE - 1, claim=True).verdict == "elsewhere"
    desk.registry.renew(ONE, LEASE)
    assert desk.join(A, LEASE + 1, claim=True).verdict == "resumed"
    assert desk.join(B, LEASE + 1).verdict == "new"
    assert desk.join(C, LEASE + 1).verdict == "full"
    assert desk.join(C, LEASE + 1, claim=True).verdict == "new"
