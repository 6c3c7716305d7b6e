"""The laws of the budget for candidates."""

from thkmesh.core.candidates import CANDIDATE_LIMIT, CandidateBudget
from thkmesh.core.engine import (
    AddCandidate,
    ApplyRemote,
    Candidate,
    Description,
    MakeAnswer,
    SdpType,
)


def candidate(number: int, rest: str = "") -> str:
    """Return one of many candidates."""
    return f"candidate:{number} 1 udp 2122194687 192.0.2.1 {number} typ host{rest}"


def add(number: int) -> AddCandidate:
    """Return the operation that adds it alone."""
    return AddCandidate(Candidate(candidate(number, " ufrag abcd network-id 1"), "0", 0, "abcd"))


def apply(ufrag: str, count: int) -> ApplyRemote:
    """Return the operation that applies a description with so many."""
    lines = ["v=0", f"a=ice-ufrag:{ufrag}", *(f"a={candidate(n)}" for n in range(count)), ""]
    return ApplyRemote(Description(SdpType.OFFER, "\r\n".join(lines)))


def test_candidates_are_allowed_up_to_the_limit() -> None:
    """Of different ones, those beyond it are not; other operations always are."""
    budget = CandidateBudget()
    assert budget.allows(apply("abcd", 0))
    allowed = [budget.allows(add(number)) for number in range(2 * CANDIDATE_LIMIT)]
    assert allowed == [True] * CANDIDATE_LIMIT + [False] * CANDIDATE_LIMIT
    assert budget.allows(MakeAnswer())


def test_a_candidate_counts_once() -> None:
    """However often it comes, alone or in a description, as after each renegotiation."""
    budget = CandidateBudget()
    for _ in range(10):
        assert budget.allows(apply("abcd", CANDIDATE_LIMIT))
        assert budget.allows(add(0))
    assert not budget.allows(add(CANDIDATE_LIMIT))


def test_candidates_in_descriptions_count() -> None:
    """A description with too many is refused, and so is one that adds too many."""
    budget = CandidateBudget()
    assert not budget.allows(apply("abcd", CANDIDATE_LIMIT + 1))
    assert budget.allows(apply("abcd", CANDIDATE_LIMIT))
    assert not budget.allows(add(CANDIDATE_LIMIT))


def test_a_restart_of_ice_starts_from_nothing() -> None:
    """The engine forgets the candidates of the former ICE generation."""
    budget = CandidateBudget()
    assert budget.allows(apply("abcd", CANDIDATE_LIMIT))
    assert not budget.allows(add(CANDIDATE_LIMIT))
    assert budget.allows(apply("efgh", 0))
    assert budget.allows(add(CANDIDATE_LIMIT))
