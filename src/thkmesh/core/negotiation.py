"""Perfect negotiation: two sessions agree on descriptions, whoever speaks first.

The problem: either side may offer at any time, engines are slow, and an offer of
ours may cross one of theirs (glare). The W3C example (webrtc-pc, section 10.7)
settles that with three booleans that must be set and reset around every await;
leave one out and some interleaving wedges the pair.

The idea: one inbox, and **one engine operation in flight**. What arrives while
the engine works waits, so every message is judged in a settled state, by this
table (an offer or answer of another generation, or to another round, is inert):

=================  ===================================  =============================
state              offer arrives                        answer to our round arrives
=================  ===================================  =============================
stable             ApplyRemote, MakeAnswer -> stable    inert
have-local-offer   impolite: ignored (glare)            ApplyRemote -> stable
                   polite, our first offer: fresh
                   connection, ApplyRemote, MakeAnswer
                   polite, later: RollBack -> stable,
                   ApplyRemote, MakeAnswer, offer again
                   polite, no rollback: new generation
have-remote-offer  (waits: MakeAnswer is in flight)     (waits)
=================  ===================================  =============================

A *generation* is one attempt of the pair to connect. Only the lower (id, sid),
which is the polite one, opens generations; the higher asks with RestartBody. A
newer generation ends the older with everything in flight, so its offer and the
wish for it are the two signals that do not wait for the engine: a hung operation
delays nobody's recovery. A *round* is the serial of an offer; an answer names it.

Candidates are known by their ICE username fragment and kept or dropped by that
alone: those of an ignored first offer or ICE restart are foreign, those of the
live transport stay good although the renegotiation offer they surfaced after was
ignored. (A set of ignored round ids drops the latter: a live candidate is lost.)

It relies on signals that arrive once, in order, between two lives: see
``sequencing``. Sources: W3C WebRTC 1.0, section 10.7; RFC 9429 (JSEP), sections
3.5.2 (candidates) and 5.7 (rollback); RFC 8839, section 5.4 (ice-ufrag).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, Flag, auto
from operator import attrgetter
from typing import Self, TypeAlias

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
from thkmesh.core.machine import Ignored, Slept, Tick
from thkmesh.core.wire import (
    AnswerBody,
    CandidatesBody,
    OfferBody,
    RestartBody,
    SeedDescription,
    SignalBody,
    candidate_of,
    description_of,
    init_of,
)

__all__ = [
    "INBOX_LIMIT",
    "Begin",
    "Broken",
    "Change",
    "Need",
    "NegotiationEvent",
    "NegotiationOutput",
    "Negotiator",
    "OpenConnection",
    "Received",
    "Replace",
    "SendBody",
    "SignalingState",
    "Snapshot",
    "ufrags_of",
]

INBOX_LIMIT = 256
"""How many signals may wait for the engine before the generation is broken."""

# --- inputs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """Connect. The higher side waits for the lower's offer, unless ``force`` is set."""

    force: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """The application or the engine has something to negotiate; wishes coalesce."""

    ice_restart: bool = False


@dataclass(frozen=True, slots=True)
class Replace:
    """Give up this connection at once, with its operation in flight."""


@dataclass(frozen=True, slots=True)
class Received:
    """A verified signal, in order."""

    body: SignalBody


NegotiationEvent: TypeAlias = (
    Begin | Change | Replace | Received | OperationDone | OperationFailed | CandidateFound
)

# --- outputs (besides the engine's operations and Ignored) ----------------------


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """Open a connection, and discard the former with its operation in flight."""

    generation: int


@dataclass(frozen=True, slots=True)
class SendBody:
    """Send this signal, after all former ones."""

    body: SignalBody


@dataclass(frozen=True, slots=True)
class Broken:
    """This generation cannot go on; everything of it is inert until ``Replace``."""

    reason: str


NegotiationOutput: TypeAlias = OpenConnection | Operation | SendBody | Broken | Ignored

# --- state --------------------------------------------------------------------


class SignalingState(Enum):
    """W3C RTCSignalingState, as far as the engine has confirmed it."""

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"
    HAVE_REMOTE_OFFER = "have-remote-offer"


class Need(Flag):
    """What an offer of ours is for."""

    NOTHING = 0
    CHANGE = auto()
    ICE_RESTART = auto()


Snapshot: TypeAlias = tuple[object, ...]

_Waiting: TypeAlias = OfferBody | AnswerBody | CandidatesBody

_UFRAG = re.compile(r"(?:^|\n)a=ice-ufrag:([!-~]+)")


def ufrags_of(sdp: str) -> frozenset[str]:
    """Return the ICE username fragments in a description (RFC 8839, section 5.4)."""
    return frozenset(_UFRAG.findall(sdp))


class Negotiator:
    """One session's half of a negotiation.

    Attributes:
        polite: we are the lower of the two sessions.
        generation: the current attempt to connect; 0 before the first.
        broken: the generation cannot go on, see ``Broken``.
    """

    __slots__ = (
        "_answering",
        "_can_restart_ice",
        "_can_rollback",
        "_candidates",
        "_first",
        "_held",
        "_in_flight",
        "_inbox",
        "_needed",
        "_offered",
        "_remote_ufrags",
        "_round",
        "_state",
        "_wanted",
        "broken",
        "generation",
        "polite",
    )

    def __init__(
        self,
        polite: bool,  # noqa: FBT001 - it is the W3C's word for the role
        *,
        can_rollback: bool = True,
        can_restart_ice: bool = True,
    ) -> None:
        """Make the half of the lower session (``polite``) or of the higher."""
        self.polite = polite
        self.generation = 0
        self.broken = False
        self._can_rollback = can_rollback
        self._can_restart_ice = can_restart_ice
        self._wanted = 0  # the generation the higher has asked for
        self._round = 0  # of our latest offer; never resets
        self._answering = 0  # the round of the offer we apply and answer
        self._needed = Need.NOTHING  # what the next offer is for
        self._offered = Need.NOTHING  # what the outstanding offer is for
        self._inbox: tuple[_Waiting, ...] = ()
        self._renew()

    def _renew(self) -> None:
        """Start over with a fresh connection; what was not agreed on is still owed."""
        self._state = SignalingState.STABLE
        self._first = True  # no offer of this connection has been answered yet
        self._in_flight: Operation | None = None
        self._candidates: tuple[Candidate, ...] = ()  # of one signal, to be added
        self._held: tuple[Candidate, ...] = ()  # ours, found before their description
        self._remote_ufrags: frozenset[str] = frozenset()
        self._needed = (self._needed | self._offered) & ~Need.ICE_RESTART
        self._offered = Need.NOTHING
        self.broken = False

    @property
    def deadline(self) -> float | None:
        """None: the engine and the link have the time-outs."""
        return None

    @property
    def settled(self) -> bool:
        """Whether the engine is at rest, so that nothing is left to negotiate either."""
        return (
            self.generation >= max(1, self._wanted)
            and not self.broken
            and self._state is SignalingState.STABLE
            and self._in_flight is None
        )

    def snapshot(self) -> Snapshot:
        """Return the whole state as a hashable value, for ``restore``."""
        return _state_of(self)

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Return a negotiator in exactly that state."""
        negotiator = cls.__new__(cls)
        for name, value in zip(Negotiator.__slots__, snapshot, strict=True):
            setattr(negotiator, name, value)
        return negotiator

    def handle(self, event: NegotiationEvent | Tick | Slept, now: float) -> list[NegotiationOutput]:
        """Take one event; return what to do, in order. Never raises for what a peer did."""
        return [*self._take(event), *self._advance()]

    # --- events ---------------------------------------------------------------

    def _take(self, event: NegotiationEvent | Tick | Slept) -> Iterator[NegotiationOutput]:
        match event:
            case Begin(force=force):
                if self.generation == 0 and (self.polite or force):
                    yield from self._open_and_offer(self.generation + 1)
            case Change(ice_restart=True) if not self._can_restart_ice:
                yield from self._replace()
            case Change(ice_restart=ice_restart):
                self._needed |= Need.ICE_RESTART if ice_restart else Need.CHANGE
            case Replace():
                yield from self._replace()
            case Received(body=body):
                yield from self._receive(body)
            case CandidateFound(candidate=candidate):
                yield from self._found(candidate)
            case OperationDone(description=description):
                yield from self._done(description)
            case OperationFailed(operation=operation, reason=reason):
                yield from self._failed(operation, reason)
            case Tick() | Slept():  # pragma: no branch - exhaustive
                pass

    def _replace(self) -> Iterator[NegotiationOutput]:
        if self.polite:
            yield from self._open_and_offer(self.generation + 1)
        else:
            self._wanted = self.generation + 1
            yield SendBody(RestartBody(wanted=self._wanted))

    def _receive(self, body: SignalBody) -> Iterator[NegotiationOutput]:
        """Act at once on what ends this generation; the rest waits its turn."""
        if isinstance(body, RestartBody):
            yield from self._asked(body.wanted)
            return
        if isinstance(body, OfferBody) and self._accepts(body.generation):
            yield from self._open(body.generation)
        if body.generation < self.generation:
            yield Ignored("stale-generation")
        elif body.generation > self.generation:
            yield Ignored("unopened-generation", violation=True)
        elif self.broken:
            yield Ignored("broken-generation")
        elif len(self._inbox) == INBOX_LIMIT:
            yield from self._break(f"{INBOX_LIMIT} signals are waiting for the engine")
        else:
            self._inbox += (body,)

    def _asked(self, wanted: int) -> Iterator[NegotiationOutput]:
        # The higher may have opened generation 1 by force, and we not know of it yet.
        if not self.polite or wanted > max(self.generation, 1) + 1:
            yield Ignored("impossible-restart", violation=True)
        elif wanted <= self.generation:
            yield Ignored("stale-restart")
        else:
            yield from self._open_and_offer(wanted)

    def _accepts(self, generation: int) -> bool:
        """Tell whether the other side may open this generation: the lower always may."""
        if self.polite:
            return self.generation == 0 and generation == 1
        return generation > self.generation

    def _found(self, candidate: Candidate) -> Iterator[NegotiationOutput]:
        """Send a candidate of ours, but not before the description it belongs to."""
        if isinstance(self._in_flight, MakeOffer | MakeAnswer):
            self._held += (candidate,)
        elif not self.broken:
            yield SendBody(CandidatesBody(self.generation, (init_of(candidate),)))

    # --- results of the engine --------------------------------------------------

    def _done(self, description: Description | None) -> Iterator[NegotiationOutput]:
        operation, self._in_flight = self._in_flight, None
        match operation:
            case MakeOffer():
                self._state = SignalingState.HAVE_LOCAL_OFFER
                yield from self._introduce(description)
            case MakeAnswer():
                self._state = SignalingState.STABLE
                self._first = False
                yield from self._introduce(description)
            case ApplyRemote(description=remote):
                self._applied(remote)
            case RollBack():
                self._state = SignalingState.STABLE
                self._needed |= self._offered
                self._offered = Need.NOTHING
            case AddCandidate() | None:  # pragma: no branch - exhaustive
                pass  # None: what was in flight when the generation broke

    def _applied(self, remote: Description) -> None:
        ufrags = ufrags_of(remote.sdp)
        if remote.type is SdpType.ANSWER:
            self._state = SignalingState.STABLE
            self._first = False
            self._offered = Need.NOTHING
        else:
            self._state = SignalingState.HAVE_REMOTE_OFFER
            if ufrags.isdisjoint(self._remote_ufrags):
                # Their ICE restart is ours too (RFC 8839, section 4.4).
                self._needed &= ~Need.ICE_RESTART
        self._remote_ufrags = ufrags

    def _introduce(self, description: Description | None) -> Iterator[NegotiationOutput]:
        """Send the description the engine made, then the candidates held for it."""
        assert description is not None, "an engine returns the description it made"
        body = SeedDescription(description.type.value, description.sdp)
        if description.type is SdpType.OFFER:
            yield SendBody(OfferBody(self.generation, self._round, body))
        else:
            yield SendBody(AnswerBody(self.generation, self._answering, body))
        held, self._held = self._held, ()
        for candidate in held:
            yield from self._found(candidate)

    def _failed(self, operation: Operation, reason: str) -> Iterator[NegotiationOutput]:
        self._in_flight = None
        if isinstance(operation, AddCandidate):
            yield Ignored(f"candidate refused: {reason}")
        elif not self.broken:
            yield from self._break(f"{type(operation).__name__} failed: {reason}")

    def _break(self, reason: str) -> Iterator[NegotiationOutput]:
        self.broken = True
        self._in_flight = None
        yield Broken(reason)

    # --- what to do next ----------------------------------------------------------

    def _advance(self) -> Iterator[NegotiationOutput]:
        """Give the engine its next operation, if it is free and there is one."""
        while self.generation and not self.broken and self._in_flight is None:
            if self._state is SignalingState.HAVE_REMOTE_OFFER:
                yield self._perform(MakeAnswer())
            elif self._candidates:
                candidate, *others = self._candidates
                self._candidates = tuple(others)
                yield self._perform(AddCandidate(candidate))
            elif self._inbox:
                yield from self._judge(self._inbox[0])
            elif self._needed and self._state is SignalingState.STABLE:
                yield self._offer()
            else:
                return

    def _judge(self, body: _Waiting) -> Iterator[NegotiationOutput]:
        """Decide on the head of the inbox, in a settled state of the engine."""
        match body:
            case OfferBody() if self._state is SignalingState.HAVE_LOCAL_OFFER and self.polite:
                yield from self._yield_to_offer()
                return  # it is judged again once nothing is in its way
            case OfferBody() if self._state is SignalingState.HAVE_LOCAL_OFFER:
                yield Ignored("glare")
            case OfferBody():
                self._answering = body.round
                yield self._perform(ApplyRemote(description_of(body)))
            case AnswerBody():
                yield from self._judge_answer(body)
            case CandidatesBody():  # pragma: no branch - exhaustive
                yield from self._sort(body)
        self._inbox = self._inbox[1:]

    def _yield_to_offer(self) -> Iterator[NegotiationOutput]:
        """Withdraw our offer in favour of theirs: a first offer with its connection.

        A first offer is never rolled back: libwebrtc (seen in M152) does not offer
        the data section again after that; w3c/webrtc-pc#2408 has the beginnings.
        """
        if self._first:
            yield from self._connect()
        elif self._can_rollback:
            yield self._perform(RollBack())
        else:
            yield from self._open_and_offer(self.generation + 1)

    def _judge_answer(self, body: AnswerBody) -> Iterator[NegotiationOutput]:
        if body.round > self._round:
            yield Ignored("answer-to-no-offer", violation=True)
        elif body.round < self._round or self._state is not SignalingState.HAVE_LOCAL_OFFER:
            yield Ignored("stale-round")
        else:
            yield self._perform(ApplyRemote(description_of(body)))

    def _sort(self, body: CandidatesBody) -> Iterator[NegotiationOutput]:
        """Keep the candidates of the remote description we have."""
        for init in body.candidates:
            if init.username_fragment in self._remote_ufrags:
                self._candidates += (candidate_of(init),)
            else:
                yield Ignored("foreign-candidate")

    # --- steps ----------------------------------------------------------------------

    def _perform(self, operation: Operation) -> Operation:
        self._in_flight = operation
        return operation

    def _offer(self) -> Operation:
        self._round += 1
        self._offered, self._needed = self._needed, Need.NOTHING
        return self._perform(MakeOffer(ice_restart=Need.ICE_RESTART in self._offered))

    def _connect(self) -> Iterator[NegotiationOutput]:
        self._renew()
        yield OpenConnection(self.generation)

    def _open(self, generation: int) -> Iterator[NegotiationOutput]:
        """Enter a new generation; what waits belongs to the old one."""
        for _ in self._inbox:
            yield Ignored("stale-generation")
        self._inbox = ()
        self.generation = generation
        yield from self._connect()

    def _open_and_offer(self, generation: int) -> Iterator[NegotiationOutput]:
        yield from self._open(generation)
        yield self._offer()


_state_of = attrgetter(*Negotiator.__slots__)
