"""Promise N2: every guard is needed. Without it the explorer finds what goes wrong.

A mutant lacks one guard of the negotiator, or of the signaling below it. Each
test names the kind of fault, so that no mutant dies of something else.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Self

import pytest

from tests.core.explorer import explore
from tests.core.negotiation_worlds import Fence, Slip, World
from thkmesh.core.engine import (
    ApplyRemote,
    Candidate,
    Description,
    MakeAnswer,
    MakeOffer,
    RollBack,
    SdpType,
)
from thkmesh.core.machine import Ignored
from thkmesh.core.negotiation import (
    Need,
    NegotiationOutput,
    Negotiator,
    SendBody,
    SignalingState,
    Snapshot,
)
from thkmesh.core.wire import (
    AnswerBody,
    CandidatesBody,
    OfferBody,
    SignalBody,
    candidate_of,
    description_of,
    init_of,
)

Outputs = Iterator[NegotiationOutput]

# ---- negotiators that lack a guard ---------------------------------------------


class WithoutGenerations(Negotiator):
    """Takes every description and candidate for one of the current generation."""

    __slots__ = ()

    def _receive(self, body: SignalBody) -> Outputs:
        match body:
            case OfferBody(round=round_, offer=offer) if not self._accepts(body.generation):
                body = OfferBody(self.generation, round_, offer)
            case AnswerBody(round=round_, answer=answer):
                body = AnswerBody(self.generation, round_, answer)
            case _:
                pass
        yield from super()._receive(body)


class WithoutRounds(Negotiator):
    """Applies any answer while an offer is outstanding."""

    __slots__ = ()

    def _judge_answer(self, body: AnswerBody) -> Outputs:
        if self._state is SignalingState.HAVE_LOCAL_OFFER:
            yield self._perform(ApplyRemote(description_of(body)))
        else:
            yield Ignored("stale-round")


class WithoutUfrags(Negotiator):
    """Adds every candidate as soon as there is a remote description."""

    __slots__ = ()

    def _sort(self, body: CandidatesBody) -> Outputs:
        if self._remote_ufrags:
            self._candidates += tuple(map(candidate_of, body.candidates))
        yield from ()


class WithoutHolding(Negotiator):
    """Sends its candidates even before their description."""

    __slots__ = ()

    def _found(self, candidate: Candidate) -> Outputs:
        yield SendBody(CandidatesBody(self.generation, (init_of(candidate),)))


class RollingBackTheFirst(Negotiator):
    """Rolls back its first offer like any other."""

    __slots__ = ()

    def _yield_to_offer(self) -> Outputs:
        yield self._perform(RollBack())


class WithoutInbox(Negotiator):
    """Acts on what arrives although the engine is busy."""

    __slots__ = ()

    def _receive(self, body: SignalBody) -> Outputs:
        self._in_flight = None
        yield from super()._receive(body)


class NotWaitingForAnswers(Negotiator):
    """Takes an offer for glare while the answer is being applied.

    This is the W3C example without ``isSettingRemoteAnswerPending``.
    """

    __slots__ = ()

    def _receive(self, body: SignalBody) -> Outputs:
        match self._in_flight, body:
            case ApplyRemote(Description(SdpType.ANSWER)), OfferBody() if not self.polite:
                yield Ignored("glare")
            case _:
                yield from super()._receive(body)


class ForgettingRollbacks(Negotiator):
    """Does not offer again what it has rolled back."""

    __slots__ = ()

    def _done(self, description: Description | None) -> Outputs:
        if isinstance(self._in_flight, RollBack):
            self._offered = Need.NOTHING
        yield from super()._done(description)


class ForgettingReplacements(Negotiator):
    """Does not offer again what was outstanding on a connection it gave up."""

    __slots__ = ()

    def _renew(self) -> None:
        self._offered = Need.NOTHING
        super()._renew()


class WaitingForever(Negotiator):
    """Lets the offer of a newer generation wait for the engine, too."""

    __slots__ = ()

    def _receive(self, body: SignalBody) -> Outputs:
        if isinstance(body, OfferBody) and self._accepts(body.generation) and self._in_flight:
            self._inbox += (body,)
        else:
            yield from super()._receive(body)

    def _judge(self, body: OfferBody | AnswerBody | CandidatesBody) -> Outputs:
        if isinstance(body, OfferBody) and self._accepts(body.generation):
            yield from super()._receive(body)
        else:
            yield from super()._judge(body)


class KnowingCandidatesByRound(Negotiator):
    """Tells candidates by the round they surfaced in, and keeps a set of ignored rounds."""

    __slots__ = ("_ignored", "_latest")

    def __init__(self, *, polite: bool, can_rollback: bool, can_restart_ice: bool) -> None:
        super().__init__(polite, can_rollback=can_rollback, can_restart_ice=can_restart_ice)
        self._ignored: frozenset[str] = frozenset()
        self._latest = ""

    def snapshot(self) -> Snapshot:
        """Return the state with what this kind has besides."""
        return (*super().snapshot(), self._ignored, self._latest)

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Return a negotiator in exactly that state."""
        *inherited, ignored, latest = snapshot
        negotiator = super().restore(tuple(inherited))
        setattr(negotiator, "_ignored", ignored)  # noqa: B010 - its type is not known here
        setattr(negotiator, "_latest", latest)  # noqa: B010 - as above
        return negotiator

    def _done(self, description: Description | None) -> Outputs:
        match self._in_flight:
            case MakeOffer():
                self._latest = f"{self.polite}{self._round}"
            case MakeAnswer():
                self._latest = f"{not self.polite}{self._answering}"
            case _:
                pass
        yield from super()._done(description)

    def _found(self, candidate: Candidate) -> Outputs:
        yield from super()._found(replace(candidate, mid=self._latest))

    def _judge(self, body: OfferBody | AnswerBody | CandidatesBody) -> Outputs:
        for output in super()._judge(body):
            if output == Ignored("glare"):
                assert isinstance(body, OfferBody)
                self._ignored |= {f"{not self.polite}{body.round}"}
            yield output

    def _sort(self, body: CandidatesBody) -> Outputs:
        for init in body.candidates:
            if init.sdp_mid in self._ignored:
                yield Ignored("candidate of an ignored round")
            else:
                self._candidates += (candidate_of(init),)


def both(kind: type[Negotiator], world: World) -> World:
    """Return the world with two negotiators of that kind."""
    return replace(world, lower=kind, higher=kind)


# ---- and what becomes of them ----------------------------------------------------

NEGOTIATORS = {
    "both polite": ("endless", World(changes=2, polite=(True, True))),
    "both impolite": ("stuck", World(changes=2, polite=(False, False), both_begin=True)),
    "no generations": ("mispaired", both(WithoutGenerations, World(changes=1, replaces=1))),
    "no ufrags": (
        "foreign candidate",
        both(WithoutUfrags, World(changes=1, ice_restarts=1, candidates=1)),
    ),
    "candidates before descriptions": (
        "lost candidate",
        both(WithoutHolding, World(candidates=1, strict=False)),
    ),
    "candidates by round": (
        "lost candidate",
        both(KnowingCandidatesByRound, World(changes=1, candidates=1)),
    ),
    "a first offer rolled back": (
        "no data section",
        both(RollingBackTheFirst, World(changes=1, both_begin=True, forgets=True)),
    ),
    "no inbox": ("two operations", both(WithoutInbox, World(changes=1))),
    "no waiting for answers": ("stuck", both(NotWaitingForAnswers, World(changes=1))),
    "rollbacks forgotten": ("forgotten change", both(ForgettingRollbacks, World(changes=1))),
    "replacements forgotten": (
        "forgotten change",
        both(ForgettingReplacements, World(changes=1, replaces=1)),
    ),
    "new generations wait": ("stuck", both(WaitingForever, World(hangs=1))),
}

SIGNALING = {
    "one signal lost": ("stuck", World(changes=1, slip=Slip.LOSE)),
    "one signal doubled": ("mispaired", World(changes=1, slip=Slip.DOUBLE)),
    "two signals reordered": ("mispaired", World(changes=1, slip=Slip.REORDER)),
    "no fence of lives": ("mispaired", World(changes=1, reboot=Fence.NONE, strict=False)),
}

MUTANTS = NEGOTIATORS | SIGNALING


@pytest.mark.parametrize(("kind", "world"), MUTANTS.values(), ids=MUTANTS)
def test_without_a_guard_a_pair_goes_wrong(kind: str, world: World) -> None:
    """The explorer finds the fault, of the very kind that the guard is there to prevent."""
    report = explore(world)
    assert report.fault is not None, report
    assert report.fault.kind == kind, report


def test_rounds_are_the_second_line_behind_sequencing() -> None:
    """An answer doubled is applied to another offer, were it not for its round.

    Over signaling that is exactly once and in order this mutant survives: within a
    generation, the answer that arrives is always the one to the outstanding offer.
    """
    assert explore(both(WithoutRounds, World(changes=1, replaces=1))).fault is None
    doubled = World(changes=2, slip=Slip.DOUBLE_ANSWER)
    report = explore(both(WithoutRounds, doubled))
    assert report.fault is not None
    assert report.fault.kind == "mispaired", report
    assert explore(doubled).fault is None


def test_the_flaw_of_libwebrtc_is_what_is_avoided() -> None:
    """With an engine that remembers its data section, first offers may be rolled back."""
    sound = World(changes=1, both_begin=True, forgets=False)
    assert explore(both(RollingBackTheFirst, sound)).fault is None
    assert explore(replace(sound, forgets=True)).fault is None
