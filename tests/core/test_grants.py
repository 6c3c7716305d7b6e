"""What tokens are worth: every claim has to be there and be right."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import (
    ALL,
    OPEN,
    Claims,
    Denied,
    Permit,
    judge,
    lacking_to_enter,
    misplaced,
    not_granted,
    sorted_grants,
)

PEER, OTHER = "a" * 26, "b" * 26
NOW = 1_790_000_000.0
RIGHT: dict[str, object] = {
    "aud": "thkmesh",
    "exp": NOW + 600,
    "nbf": NOW,
    "room": "lobby",
    "grants": ["send", "join"],
    "sub": PEER,
}


def judged(
    wanted: str = "lobby", peer: str = PEER, leeway: float = 10.0, **changes: object
) -> Permit | Denied:
    """Return what a token with these claims is worth; ``...`` takes one out."""
    claims = {name: value for name, value in (RIGHT | changes).items() if value is not ...}
    found = judge(
        json.dumps(claims).encode(),
        audience="thkmesh",
        room=wanted,
        peer=peer,
        today=NOW,
        leeway=leeway,
    )
    return found if isinstance(found, Denied) else found[1]


def test_right_claims_admit_for_as_long_as_they_say() -> None:
    """The permit has the grants, the room, the peer, and the time until the token ends."""
    assert judged() == Permit(frozenset({"join", "send"}), 610.0, "lobby", PEER)
    assert judged(leeway=0) == Permit(frozenset({"join", "send"}), 600.0, "lobby", PEER)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW, "leeway": 0},
        {"exp": NOW - 10},
        {"exp": 0},
        {"exp": ...},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": 2**53},
        {"exp": -1},
        {"nbf": NOW + 11},
        {"nbf": NOW + 1, "leeway": 0},
        {"nbf": "soon"},
        {"aud": "another"},
        {"aud": []},
        {"aud": ...},
        {"aud": None},
        {"aud": ["x", "thkmes"]},
        {"room": "Lobby"},
        {"room": ""},
        {"room": "*"},
        {"room": ...},
        {"room": ["lobby"]},
        {"room": "lobby\n"},
        {"peer": OTHER},
        {"sub": OTHER},
        {"sub": "*", "peer": ""},
        {"sub": None},
        {"grants": "join"},
        {"grants": ...},
        {"grants": {"join": True}},
        {"grants": [1]},
        {"grants": ["join"] * 65},
    ],
    ids=str,
)
def test_a_wrong_claim_admits_nobody(changes: dict[str, object]) -> None:
    """One claim that is missing, malformed or another one is enough."""
    found = judged(**changes)  # type: ignore[arg-type]
    assert isinstance(found, Denied)
    assert (found.reason, found.code) == ("unauthorized", CloseCode.UNAUTHORIZED)
    assert 0 < len(found.message) <= 256


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 9},
        {"nbf": NOW + 10},
        {"nbf": ...},
        {"aud": ["x", "thkmesh"]},
        {"sub": ...},
        {"sub": ""},
        {"peer": ""},
        {"room": "hall", "wanted": "", "peer": ""},
        {"surprise": {"grants": ["kick"]}},
    ],
    ids=str,
)
def test_what_is_right_enough_admits(changes: dict[str, object]) -> None:
    """Clocks may differ, audiences be many, and a token do for whoever has it."""
    found = judged(**changes)  # type: ignore[arg-type]
    assert isinstance(found, Permit)
    assert found.grants == {"join", "send"}


@given(st.binary(max_size=64))
def test_no_bytes_raise(payload: bytes) -> None:
    """Whatever is signed is worth something or nothing; nothing is raised."""
    found = judge(payload, audience="thkmesh", room="lobby", peer=PEER, today=NOW)
    assert isinstance(found, Denied)


def test_words_that_are_no_grants_mean_nothing() -> None:
    """Grants are told once each, in their own order; later words do no harm."""
    assert judged(grants=["levitate"]) == Permit(frozenset(), 610.0, "lobby", PEER)
    assert sorted_grants(["list", "join", "fly", "join"]) == ("join", "list")
    assert sorted_grants(OPEN) == tuple(each for each in ALL if each != "kick")


def test_entering_takes_join_and_making_a_room_takes_create() -> None:
    """Who lacks either is told which."""
    joins = Permit(frozenset({"join"}))
    assert lacking_to_enter(joins, new=False) is None
    assert lacking_to_enter(joins, new=True) == not_granted("create")
    assert lacking_to_enter(Permit(OPEN - {"join"}), new=False) == not_granted("join")
    assert lacking_to_enter(Permit(), new=True) is None


def test_a_permit_is_for_one_room_and_peer_or_for_any() -> None:
    """Where it is about no single room, or nobody has an id, there is nothing to compare."""
    own = Permit(room="lobby", peer=PEER)
    for permit, room, peer in (
        (own, "lobby", PEER),
        (own, "", PEER),
        (own, "lobby", ""),
        (Permit(), "hall", OTHER),
    ):
        assert misplaced(permit, room, peer) is None
    for permit, room, peer in ((own, "hall", PEER), (own, "lobby", OTHER), (own, "", OTHER)):
        denied = misplaced(permit, room, peer)
        assert denied is not None
        assert denied.code == CloseCode.UNAUTHORIZED


def test_claims_have_no_more_than_they_must() -> None:
    """What a token need not say has a value that says nothing."""
    bare = Claims(aud="a", exp=1, room="r", grants=())
    assert (bare.nbf, bare.sub, bare.jti, bare.until) == (0, "", "", 0)
