"""Examples of negotiation, one law each; `test_negotiation_explored` has all interleavings."""

from collections.abc import Sequence

import pytest

from thkmesh.core.engine import (
    AddCandidate,
    ApplyRemote,
    Candidate,
    CandidateFound,
    Description,
    MakeAnswer,
    MakeOffer,
    Operation,
    OperationDone,
    OperationFailed,
    RollBack,
    SdpType,
)
from thkmesh.core.machine import Ignored, Machine, Slept, Tick
from thkmesh.core.negotiation import (
    INBOX_LIMIT,
    Begin,
    Broken,
    Change,
    NegotiationEvent,
    NegotiationOutput,
    Negotiator,
    OpenConnection,
    Received,
    Replace,
    SendBody,
    ufrags_of,
)
from thkmesh.core.wire import (
    AnswerBody,
    CandidateInit,
    CandidatesBody,
    OfferBody,
    RestartBody,
    SeedDescription,
)

STALE = Ignored("stale-generation")


def sdp(ufrag: str) -> str:
    """Return the part of a description that negotiation reads."""
    return f"v=0\r\na=ice-ufrag:{ufrag}\r\n"


def offer(generation: int, round_: int, ufrag: str) -> OfferBody:
    """Return an offer as it travels."""
    return OfferBody(generation, round_, SeedDescription("offer", sdp(ufrag)))


def answer(generation: int, round_: int, ufrag: str) -> AnswerBody:
    """Return an answer as it travels."""
    return AnswerBody(generation, round_, SeedDescription("answer", sdp(ufrag)))


def candidates(generation: int, *ufrags: str) -> CandidatesBody:
    """Return candidates as they travel, one for each ufrag."""
    return CandidatesBody(generation, tuple(CandidateInit("udp", u, "0", 0) for u in ufrags))


def candidate(ufrag: str) -> Candidate:
    """Return the same candidate as the engine knows it."""
    return Candidate("udp", "0", 0, ufrag)


def offered(ufrag: str) -> ApplyRemote:
    """Return the operation that applies such an offer."""
    return ApplyRemote(Description(SdpType.OFFER, sdp(ufrag)))


def answered(ufrag: str) -> ApplyRemote:
    """Return the operation that applies such an answer."""
    return ApplyRemote(Description(SdpType.ANSWER, sdp(ufrag)))


def made(operation: Operation, ufrag: str) -> OperationDone:
    """Return the engine's result of making a description."""
    kind = SdpType.ANSWER if isinstance(operation, MakeAnswer) else SdpType.OFFER
    return OperationDone(operation, Description(kind, sdp(ufrag)))


def run(negotiator: Negotiator, *events: NegotiationEvent) -> Sequence[NegotiationOutput]:
    """Feed events; return what the last one led to."""
    outputs: Sequence[NegotiationOutput] = ()
    for event in events:
        outputs = negotiator.handle(event, 0.0)
    return outputs


def lower(**lacks: bool) -> Negotiator:
    """Return the lower side of a settled pair, in generation 1; the ufrags are a1 and b1."""
    negotiator = Negotiator(polite=True, **lacks)
    run(
        negotiator,
        Begin(),
        made(MakeOffer(), "a1"),
        Received(answer(1, 1, "b1")),
        OperationDone(answered("b1")),
    )
    assert negotiator.settled
    return negotiator


def higher(**lacks: bool) -> Negotiator:
    """Return the higher side of the same pair."""
    negotiator = Negotiator(polite=False, **lacks)
    run(
        negotiator,
        Received(offer(1, 1, "a1")),
        OperationDone(offered("a1")),
        made(MakeAnswer(), "b1"),
    )
    assert negotiator.settled
    return negotiator


# ---- the ordinary way ----------------------------------------------------------


def test_the_lower_makes_the_first_offer() -> None:
    """The lower opens generation 1, offers, and is settled once the answer is applied."""
    machine: Machine[NegotiationEvent, NegotiationOutput] = (negotiator := Negotiator(polite=True))
    assert machine.deadline is None
    assert run(negotiator, Begin()) == [OpenConnection(1), MakeOffer()]
    assert run(negotiator, made(MakeOffer(), "a1")) == [SendBody(offer(1, 1, "a1"))]
    assert not negotiator.settled
    assert run(negotiator, Received(answer(1, 1, "b1"))) == [answered("b1")]
    assert run(negotiator, OperationDone(answered("b1"))) == []
    assert negotiator.settled


def test_the_higher_creates_nothing_before_the_offer() -> None:
    """The higher does nothing on Begin, and answers the offer in its generation and round."""
    negotiator = Negotiator(polite=False)
    assert run(negotiator, Begin(), Change()) == []
    assert run(negotiator, Received(offer(1, 7, "a1"))) == [OpenConnection(1), offered("a1")]
    assert run(negotiator, OperationDone(offered("a1"))) == [MakeAnswer()]
    sent = run(negotiator, made(MakeAnswer(), "b1"))
    assert sent == [SendBody(answer(1, 7, "b1")), MakeOffer()]


def test_time_alone_changes_nothing() -> None:
    """Ticks and sleep are inert: the engine and the link have the time-outs."""
    negotiator = lower()
    before = negotiator.snapshot()
    assert negotiator.handle(Tick(), 1e9) == negotiator.handle(Slept(60.0), 1e9) == []
    assert negotiator.snapshot() == before


def test_changes_coalesce_until_stable() -> None:
    """However many changes come while an offer is out, one offer follows; begin is inert."""
    negotiator = lower()
    assert run(negotiator, Begin()) == []
    assert run(negotiator, Change()) == [MakeOffer()]
    assert run(negotiator, Change(), Change(ice_restart=True), Change()) == []
    run(negotiator, made(MakeOffer(), "a1"), Received(answer(1, 2, "b1")))
    assert run(negotiator, OperationDone(answered("b1"))) == [MakeOffer(ice_restart=True)]


def test_what_waits_is_judged_when_the_engine_is_free() -> None:
    """An offer that follows the answer waits until the answer is applied."""
    negotiator = lower()
    run(negotiator, Change(), made(MakeOffer(), "a1"))
    assert run(negotiator, Received(answer(1, 2, "b1"))) == [answered("b1")]
    assert run(negotiator, Received(offer(1, 1, "b1"))) == []
    assert not negotiator.settled
    assert run(negotiator, OperationDone(answered("b1"))) == [offered("b1")]


def test_a_snapshot_is_the_whole_state() -> None:
    """What is restored from a snapshot goes on exactly as the original does."""
    negotiator = lower()
    run(negotiator, Change(), made(MakeOffer(), "a1"), Received(offer(1, 1, "b1")))
    restored = Negotiator.restore(negotiator.snapshot())
    assert hash(restored.snapshot()) == hash(negotiator.snapshot())
    event = OperationDone(RollBack())
    assert restored.handle(event, 0.0) == negotiator.handle(event, 0.0) == [offered("b1")]
    assert restored.snapshot() == negotiator.snapshot()


# ---- glare ---------------------------------------------------------------------


def test_the_impolite_ignores_a_crossing_offer() -> None:
    """In glare the higher goes on waiting for the answer to its own offer."""
    negotiator = higher()
    run(negotiator, Change(), made(MakeOffer(), "b1"))
    assert run(negotiator, Received(offer(1, 2, "a1"))) == [Ignored("glare")]
    assert run(negotiator, Received(answer(1, 1, "a1"))) == [answered("a1")]


def test_the_polite_rolls_back_answers_and_offers_again() -> None:
    """In glare the lower withdraws its offer, and still owes what it was for."""
    negotiator = lower()
    run(negotiator, Change(ice_restart=True), made(MakeOffer(ice_restart=True), "a2"))
    assert run(negotiator, Received(offer(1, 1, "b1"))) == [RollBack()]
    assert run(negotiator, OperationDone(RollBack())) == [offered("b1")]
    assert run(negotiator, OperationDone(offered("b1"))) == [MakeAnswer()]
    assert run(negotiator, made(MakeAnswer(), "a1")) == [
        SendBody(answer(1, 1, "a1")),
        MakeOffer(ice_restart=True),
    ]
    assert run(negotiator, made(MakeOffer(ice_restart=True), "a3")) == [SendBody(offer(1, 3, "a3"))]


def test_a_first_offer_is_never_rolled_back() -> None:
    """When both offer first, the lower answers on a fresh connection of the same generation."""
    negotiator = Negotiator(polite=True)
    run(negotiator, Change(), Begin(), made(MakeOffer(), "a1"))
    assert run(negotiator, Received(offer(1, 1, "b1"))) == [OpenConnection(1), offered("b1")]
    assert run(negotiator, OperationDone(offered("b1"))) == [MakeAnswer()]
    sent = run(negotiator, made(MakeAnswer(), "a2"))
    assert sent == [SendBody(answer(1, 1, "a2")), MakeOffer()], "the change is still owed"


def test_the_higher_may_be_made_to_offer_first_too() -> None:
    """A forced higher opens generation 1, and ignores the lower's first offer as glare."""
    negotiator = Negotiator(polite=False)
    assert run(negotiator, Begin(force=True)) == [OpenConnection(1), MakeOffer()]
    run(negotiator, made(MakeOffer(), "b1"))
    assert run(negotiator, Received(offer(1, 1, "a1"))) == [Ignored("glare")]
    assert run(negotiator, Received(answer(1, 1, "a2"))) == [answered("a2")]


def test_the_lower_adopts_generation_one_while_it_has_none() -> None:
    """A first offer of the higher is answered if we have not begun; Begin is then inert."""
    negotiator = Negotiator(polite=True)
    assert run(negotiator, Received(offer(1, 1, "b1"))) == [OpenConnection(1), offered("b1")]
    assert run(negotiator, Begin()) == []


def test_without_rollback_the_polite_opens_a_generation() -> None:
    """An engine that cannot roll back gets a new connection, whose offer says everything."""
    negotiator = lower(can_rollback=False)
    run(negotiator, Change(), made(MakeOffer(), "a1"))
    assert run(negotiator, Received(offer(1, 1, "b1"))) == [
        STALE,
        OpenConnection(2),
        MakeOffer(),
    ]
    assert run(negotiator, made(MakeOffer(), "a2")) == [SendBody(offer(2, 3, "a2"))]


# ---- generations -----------------------------------------------------------------


def test_replace_does_not_wait_for_the_engine() -> None:
    """The lower opens the next generation at once; the operation in flight is forgotten."""
    negotiator = lower()
    run(negotiator, Change(), Received(candidates(1, "b1")))
    assert run(negotiator, Replace()) == [STALE, OpenConnection(2), MakeOffer()]
    assert run(negotiator, made(MakeOffer(), "a2")) == [SendBody(offer(2, 3, "a2"))]


def test_the_higher_asks_for_a_new_generation_and_stays() -> None:
    """The higher wishes once for each time it is asked, and goes on until the offer comes."""
    negotiator = higher()
    wish = SendBody(RestartBody(2))
    assert run(negotiator, Replace()) == run(negotiator, Replace()) == [wish]
    assert not negotiator.settled
    assert run(negotiator, Change()) == [MakeOffer()]
    run(negotiator, made(MakeOffer(), "b1"))
    assert run(negotiator, Received(offer(2, 2, "a2"))) == [OpenConnection(2), offered("a2")]
    run(negotiator, OperationDone(offered("a2")))
    sent = run(negotiator, made(MakeAnswer(), "b2"))
    assert sent == [SendBody(answer(2, 2, "b2")), MakeOffer()], "the change is still owed"


def test_what_was_negotiated_is_not_owed_again() -> None:
    """A new generation brings back only the changes that were still under way."""
    negotiator = higher()
    run(negotiator, Change(), made(MakeOffer(), "b1"), Received(answer(1, 1, "a1")))
    run(negotiator, OperationDone(answered("a1")), Received(offer(2, 2, "a2")))
    run(negotiator, OperationDone(offered("a2")))
    assert run(negotiator, made(MakeAnswer(), "b2")) == [SendBody(answer(2, 2, "b2"))]


def test_a_new_generation_does_not_wait_for_a_hung_engine() -> None:
    """The offer of a newer generation takes effect whatever is in flight or waiting."""
    negotiator = higher()
    run(negotiator, Change(), Received(candidates(1, "a1")))
    assert run(negotiator, Received(offer(2, 2, "a2"))) == [
        STALE,
        OpenConnection(2),
        offered("a2"),
    ]


def test_an_ice_restart_is_done_by_a_new_connection() -> None:
    """Neither an engine that cannot restart ICE nor a fresh connection is asked to."""
    assert run(lower(can_restart_ice=False), Change(ice_restart=True)) == [
        OpenConnection(2),
        MakeOffer(),
    ]
    assert run(higher(can_restart_ice=False), Change(ice_restart=True)) == [
        SendBody(RestartBody(2))
    ]
    negotiator = Negotiator(polite=True)
    assert run(negotiator, Change(ice_restart=True), Begin())[-1] == MakeOffer()


def test_their_ice_restart_is_ours_too() -> None:
    """When both restart ICE at once, one restart serves both."""
    negotiator = lower()
    run(negotiator, Change(ice_restart=True), made(MakeOffer(ice_restart=True), "a2"))
    run(negotiator, Received(offer(1, 1, "b2")), OperationDone(RollBack()))
    run(negotiator, OperationDone(offered("b2")))
    assert run(negotiator, made(MakeAnswer(), "a3")) == [SendBody(answer(1, 1, "a3"))]
    assert negotiator.settled


def test_a_wish_opens_exactly_the_next_generation() -> None:
    """A wish already granted is inert; one for what cannot be is a violation."""
    negotiator = lower()
    assert run(negotiator, Received(RestartBody(1))) == [Ignored("stale-restart")]
    violation = Ignored("impossible-restart", violation=True)
    assert run(negotiator, Received(RestartBody(3))) == [violation]
    assert run(higher(), Received(RestartBody(2))) == [violation]
    assert run(negotiator, Received(RestartBody(2))) == [OpenConnection(2), MakeOffer()]


def test_a_forced_generation_may_be_given_up_unseen() -> None:
    """A wish for generation 2 counts even if the higher's own first never reached us."""
    negotiator = Negotiator(polite=True)
    assert run(negotiator, Received(RestartBody(2))) == [OpenConnection(2), MakeOffer()]


def test_older_generations_are_inert() -> None:
    """Nothing that belongs to a former connection has an effect."""
    negotiator = lower()
    run(negotiator, Replace(), made(MakeOffer(), "a2"))
    for body in (offer(1, 1, "b1"), answer(1, 2, "b1"), candidates(1, "b1")):
        assert run(negotiator, Received(body)) == [STALE]


def test_only_the_lower_opens_generations() -> None:
    """What speaks of a generation that the lower has not opened is a violation."""
    violation = Ignored("unopened-generation", violation=True)
    for body in (offer(2, 1, "b1"), answer(2, 1, "b1"), candidates(2, "b1")):
        assert run(lower(), Received(body)) == [violation]
    assert run(Negotiator(polite=True), Received(offer(2, 1, "b1"))) == [violation]
    assert run(higher(), Received(answer(2, 1, "a1"))) == [violation]


def test_an_answer_is_applied_to_its_own_round_only() -> None:
    """Answers to a former round are inert; those to offers never made are violations."""
    negotiator = lower()
    assert run(negotiator, Received(answer(1, 1, "b1"))) == [Ignored("stale-round")]
    run(negotiator, Change(), made(MakeOffer(), "a1"))
    assert run(negotiator, Received(answer(1, 1, "b1"))) == [Ignored("stale-round")]
    assert run(negotiator, Received(answer(1, 3, "b1"))) == [
        Ignored("answer-to-no-offer", violation=True)
    ]
    assert run(negotiator, Received(answer(1, 2, "b1"))) == [answered("b1")]


# ---- candidates --------------------------------------------------------------------


def test_candidates_of_the_remote_description_are_added_one_by_one() -> None:
    """Each candidate is one operation; one the engine refuses harms nothing."""
    negotiator = lower()
    first = AddCandidate(candidate("b1"))
    assert run(negotiator, Received(candidates(1, "b1", "b1"))) == [first]
    assert run(negotiator, OperationFailed(first, "bad")) == [
        Ignored("candidate refused: bad"),
        first,
    ]
    assert not negotiator.settled
    assert run(negotiator, OperationDone(first)) == []
    assert negotiator.settled


def test_candidates_of_an_ignored_offer_are_foreign() -> None:
    """An ignored ICE restart's candidates are dropped by their ufrag; the live ones stay good."""
    negotiator = higher()
    run(negotiator, Change(), made(MakeOffer(), "b1"), Received(offer(1, 2, "a2")))
    assert run(negotiator, Received(candidates(1, "a2", "a1"))) == [
        Ignored("foreign-candidate"),
        AddCandidate(candidate("a1")),
    ]


def test_a_fresh_connection_takes_no_candidate_of_the_former() -> None:
    """Neither those still to be added, nor those that arrive, go to another connection."""
    negotiator = lower()
    run(negotiator, Received(candidates(1, "b1", "b1")), Replace())
    assert run(negotiator, made(MakeOffer(), "a2")) == [SendBody(offer(2, 2, "a2"))]
    assert run(negotiator, Received(candidates(2, "b1"))) == [Ignored("foreign-candidate")]


def test_our_candidates_follow_their_description() -> None:
    """A candidate found while its description is being made is sent after it."""
    negotiator = Negotiator(polite=True)
    found = CandidateFound(candidate("a1"))
    sent = SendBody(candidates(1, "a1"))
    assert run(negotiator, Begin(), found) == []
    assert run(negotiator, made(MakeOffer(), "a1")) == [SendBody(offer(1, 1, "a1")), sent]
    assert run(negotiator, found) == [sent]


def test_held_candidates_go_with_their_connection() -> None:
    """Candidates of a description that was never sent are never sent either."""
    negotiator = Negotiator(polite=True)
    run(negotiator, Begin(), CandidateFound(candidate("a1")), Replace())
    assert run(negotiator, made(MakeOffer(), "a2")) == [SendBody(offer(2, 2, "a2"))]


@pytest.mark.parametrize(
    ("text", "ufrags"),
    [
        ("", set()),
        ("a=ice-ufrag:x", {"x"}),
        (sdp("Ab+/") + "m=audio\na=ice-ufrag:2\r\n", {"Ab+/", "2"}),
        ("s=a=ice-ufrag:x\r\na=ice-ufrag:\r\n", set()),
    ],
)
def test_ufrags_are_read_from_their_lines(text: str, ufrags: set[str]) -> None:
    """Every a=ice-ufrag line counts, at session and media level, and nothing else."""
    assert ufrags_of(text) == ufrags


# ---- failures ------------------------------------------------------------------------


@pytest.mark.parametrize("polite", [True, False])
def test_a_failed_operation_breaks_the_generation(polite: bool) -> None:
    """After a failure everything of that generation is inert until it is replaced."""
    negotiator = lower() if polite else higher()
    run(negotiator, Change())
    failure = OperationFailed(MakeOffer(), "bad")
    assert run(negotiator, failure) == [Broken("MakeOffer failed: bad")]
    assert negotiator.broken
    assert not negotiator.settled
    assert run(negotiator, Received(offer(1, 2, "c1"))) == [Ignored("broken-generation")]
    assert run(negotiator, Change()) == []
    assert run(negotiator, CandidateFound(candidate("c1"))) == []
    assert run(negotiator, failure) == []
    run(negotiator, Replace())
    assert negotiator.broken is not polite
    if not polite:
        run(negotiator, Received(offer(2, 2, "a2")))
        assert not negotiator.broken


def test_the_inbox_is_bounded() -> None:
    """What waits beyond the limit breaks the generation; the late result is then inert."""
    negotiator = lower()
    run(negotiator, Change(), *[Received(candidates(1, "b1"))] * INBOX_LIMIT)
    assert run(negotiator, Received(candidates(1, "b1"))) == [
        Broken("256 signals are waiting for the engine")
    ]
    assert run(negotiator, made(MakeOffer(), "a1")) == []
    assert negotiator.broken
    assert run(negotiator, Replace()) == [STALE] * INBOX_LIMIT + [OpenConnection(2), MakeOffer()]
