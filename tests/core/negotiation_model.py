"""What surrounds a negotiator in the explorer: a slow, strict engine, and its troubles.

The engine does what the table of ``thkmesh.core.engine`` allows; anything else is
a ``Fault``. Every connection has a name (``a1`` is the first of side ``a``), every
description says which connection made it and which offer it answers, and every
ICE generation has a ufrag of its own: so a description applied to the wrong
connection, or a candidate to the wrong transport, is seen at once. All values are
immutable, so that states can be compared and remembered.
"""

from collections.abc import Iterator
from typing import NamedTuple

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
from thkmesh.core.machine import Ignored
from thkmesh.core.negotiation import (
    Begin,
    Broken,
    Change,
    NegotiationEvent,
    NegotiationOutput,
    OpenConnection,
    Received,
    Replace,
    SendBody,
    SignalingState,
    Snapshot,
)
from thkmesh.core.wire import CandidatesBody, RestartBody, SignalBody

STABLE = SignalingState.STABLE
LOCAL = SignalingState.HAVE_LOCAL_OFFER
REMOTE = SignalingState.HAVE_REMOTE_OFFER

ENDLESS = 30
"""So many descriptions of one connection, or connections, no explored run needs."""


class Fault(Exception):
    """Something happened that must not; ``kind`` is the word tests assert."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


class Said(NamedTuple):
    """What a description of the model says."""

    made: str
    answers: str
    ufrag: str
    data: bool

    def description(self) -> Description:
        """Return it as it travels, the ufrag where ``ufrags_of`` looks for it."""
        section = "m=application\r\n" if self.data else ""
        text = f"o={self.made}\r\ns={self.answers}\r\n{section}a=ice-ufrag:{self.ufrag}\r\n"
        return Description(SdpType.ANSWER if self.answers else SdpType.OFFER, text)

    @classmethod
    def read(cls, sdp: str) -> "Said":
        """Return what the text says."""
        line = dict(line.split("=", 1) for line in sdp.split("\r\n") if line)
        return cls(line["o"], line["s"], line["a"].removeprefix("ice-ufrag:"), "m" in line)

    @property
    def connection(self) -> str:
        """The connection that made it."""
        return self.made.split(".")[0]


class Engine(NamedTuple):
    """One connection."""

    name: str = ""
    state: SignalingState = STABLE
    busy: Operation | None = None
    hung: bool = False  # the operation will never end
    descriptions: int = 0  # made so far
    ufrags: int = 0  # drawn so far
    making: str = ""  # the ufrag of the description being made
    ufrag: str = ""  # of the local description, pending or current
    current: str = ""  # of the current one: what a rollback restores
    withdrawn: str = ""  # of the last one rolled back: its candidates may be late
    offer: str = ""  # the outstanding offer, ours or theirs
    remote: str = ""  # the connection at the other end
    remote_ufrag: str = ""
    restarting: bool = False  # their offer restarts ICE, so our answer does
    unsent: int = 0  # candidates of ours that have surfaced and were not sent
    owed: tuple[str, ...] = ()  # ufrags of theirs that have arrived and were not added
    exchange: str = ""  # the last offer that was answered
    data: bool = False  # whether the data section was part of it
    forgets: bool = False  # as libwebrtc, offers no data after rolling back its first offer
    forgot: bool = False

    def start(self, operation: Operation) -> "Engine":
        """Start an operation, if it is legal."""
        if self.busy is not None:
            raise Fault("two operations", f"{operation} during {self.busy}")
        match operation:
            case MakeOffer(ice_restart=restart):
                self._require(operation, STABLE)
                return self._draw(fresh=restart)._replace(busy=operation)
            case MakeAnswer():
                self._require(operation, REMOTE)
                return self._draw(fresh=self.restarting)._replace(busy=operation)
            case ApplyRemote(description=description):
                self._require_fitting(operation, description)
            case RollBack():
                self._require(operation, LOCAL)
            case AddCandidate(candidate=candidate):
                if candidate.ufrag != self.remote_ufrag:
                    raise Fault("foreign candidate", f"{candidate.ufrag} at {self.name}")
                return self.owing(candidate.ufrag, -1)._replace(busy=operation)
        return self._replace(busy=operation)

    def _require(self, operation: Operation, state: SignalingState) -> None:
        if self.state is not state:
            raise Fault("illegal operation", f"{operation} when {self.state.value}")

    def _require_fitting(self, operation: Operation, description: Description) -> None:
        said = Said.read(description.sdp)
        offer = description.type is SdpType.OFFER
        self._require(operation, STABLE if offer else LOCAL)
        if self.remote not in {"", said.connection}:
            raise Fault("mispaired", f"{self.name} is with {self.remote}: {said}")
        if not offer and said.answers != self.offer:
            raise Fault("mispaired", f"{said} does not answer {self.offer}")

    def _draw(self, *, fresh: bool) -> "Engine":
        """Choose the ufrag of the description to make."""
        if self.ufrag and not fresh:
            return self._replace(making=self.ufrag)
        return self._replace(ufrags=self.ufrags + 1, making=f"{self.name}u{self.ufrags + 1}")

    def owing(self, ufrag: str, count: int) -> "Engine":
        """Count a candidate of theirs in when it arrives, and out when it is added."""
        owed = [*self.owed, ufrag] if count > 0 else list(self.owed)
        if count < 0 and ufrag in owed:
            owed.remove(ufrag)
        return self._replace(owed=tuple(sorted(owed)))

    def fail(self) -> "Engine":
        """End the operation in flight without effect."""
        return self._replace(busy=None, making="")

    def complete(self) -> "tuple[Engine, OperationDone]":
        """Complete the operation in flight."""
        operation = self.busy
        assert operation is not None
        engine = self._replace(busy=None)
        match operation:
            case MakeOffer():
                engine, description = engine.offered()
                return engine, OperationDone(operation, description)
            case MakeAnswer():
                engine, description = engine.answered()
                return engine, OperationDone(operation, description)
            case ApplyRemote(description=description):
                engine = engine.applied(description)
            case RollBack():
                engine = engine.rolled_back()
            case AddCandidate():
                pass
        return engine, OperationDone(operation)

    def described(self) -> "Engine":
        """Set the local description."""
        count = self.descriptions + 1
        if count > ENDLESS:
            raise Fault("endless", f"{count} descriptions of {self.name}")
        return self._replace(descriptions=count, ufrag=self.making, making="")

    def offered(self) -> "tuple[Engine, Description]":
        """Make and set an offer."""
        engine = self.described()
        offer = f"{self.name}.{engine.descriptions}"
        said = Said(offer, "", engine.ufrag, not self.forgot)
        return engine._replace(state=LOCAL, offer=offer), said.description()

    def answered(self) -> "tuple[Engine, Description]":
        """Make and set an answer."""
        engine = self.described()
        said = Said(f"{self.name}.{engine.descriptions}", self.offer, engine.ufrag, self.data)
        return engine.agreed(), said.description()

    def applied(self, description: Description) -> "Engine":
        """Set the remote description."""
        said = Said.read(description.sdp)
        renewed = said.ufrag != self.remote_ufrag
        superseded = self.remote_ufrag if renewed else None
        engine = self._replace(
            remote=said.connection,
            remote_ufrag=said.ufrag,
            owed=tuple(ufrag for ufrag in self.owed if ufrag != superseded),
            data=said.data,
        )
        if description.type is SdpType.ANSWER:
            return engine.agreed()
        restarting = renewed and self.remote != ""
        return engine._replace(state=REMOTE, offer=said.made, restarting=restarting)

    def agreed(self) -> "Engine":
        """End an exchange of offer and answer."""
        return self._replace(
            state=STABLE, offer="", exchange=self.offer, current=self.ufrag, restarting=False
        )

    def rolled_back(self) -> "Engine":
        """Withdraw the local offer."""
        forgot = self.forgot or (self.forgets and not self.exchange)
        return self._replace(
            state=STABLE, offer="", ufrag=self.current, withdrawn=self.ufrag, forgot=forgot
        )


class Side(NamedTuple):
    """A negotiator's state, its engine, and what may still happen to them."""

    name: str
    negotiator: Snapshot
    settled: bool = False  # as the negotiator says
    broken: bool = False  # as the negotiator says
    begin: Begin | None = None
    changes: int = 0
    ice_restarts: int = 0
    replaces: int = 0
    failures: int = 0  # operations that may end without effect
    hangs: int = 0  # operations that may never end
    reboots: int = 0  # restarts of the whole process
    candidates: int = 0  # of ours that surface, of any ICE generation begun
    strict: bool = True  # a violation is a fault
    engine: Engine = Engine()
    generation: int = 0
    connections: int = 0  # opened so far
    change: int = 0  # 1: wanted, 2: in our outstanding offer, 0: negotiated
    restart: int = 0  # the same for an ICE restart
    asked: int = 0  # the generation wished for
    life: int = 1  # of the higher session, as far as this side knows

    def pending(self) -> Iterator[str]:
        """Yield what is under way here: it will happen, some time."""
        if self.begin is not None:
            yield "begin"
        if self.engine.busy is not None and not self.engine.hung:
            yield "done"
        if (self.broken or self.engine.hung) and self.asked <= self.generation:
            yield "repair"  # the link sees it, and does what it can

    def possible(self) -> Iterator[str]:
        """Yield what people, networks and accidents may or may not do here."""
        engine = self.engine
        if self.changes:
            yield "change"
        if self.ice_restarts:
            yield "restart"
        if self.replaces:
            yield "replace"
        if self.candidates:
            ufrags = {engine.making, engine.ufrag, engine.current, engine.withdrawn}
            yield from (f"candidate {ufrag}" for ufrag in sorted(ufrags) if ufrag)
        if engine.busy is not None and not engine.hung:
            if self.failures:
                yield "fail"
            if self.hangs:
                yield "hang"
        if self.reboots:
            yield "reboot"

    def opened(self) -> "Side":
        """Discard the connection and all that it was about to report."""
        number = self.connections + 1
        if number > ENDLESS:
            raise Fault("endless", f"{number} connections")
        return self._replace(
            engine=Engine(name=f"{self.name}{number}", forgets=self.engine.forgets),
            connections=number,
            change=min(self.change, 1),
            restart=0,
        )

    def reborn(self, first: "Side") -> "Side":
        """Begin anew as a session, or for a session, of the next life."""
        return first._replace(
            changes=self.changes, reboots=0, connections=self.connections, life=self.life + 1
        )

    def performing(self, operation: Operation) -> "Side":
        """Have the engine start an operation."""
        engine = self.engine.start(operation)
        side = self._replace(engine=engine)
        if isinstance(operation, MakeOffer):
            restart = 2 if self.restart and operation.ice_restart else self.restart
            side = side._replace(change=2 if self.change else 0, restart=restart)
        return side

    def failing(self) -> "tuple[Side, OperationFailed]":
        """Have the operation in flight fail."""
        engine = self.engine
        assert engine.busy is not None
        side = self._replace(engine=engine.fail(), failures=self.failures - 1)
        return side, OperationFailed(engine.busy, "it is a model")

    def hanging(self) -> "Side":
        """Have the operation in flight never end."""
        return self._replace(engine=self.engine._replace(hung=True), hangs=self.hangs - 1)

    def completing(self) -> "tuple[Side, OperationDone]":
        """Have the operation in flight succeed."""
        engine, done = self.engine.complete()
        side = self._replace(engine=engine)
        match done.operation:
            case ApplyRemote(description=Description(type=SdpType.ANSWER)):
                side = side._replace(change=self.change % 2, restart=self.restart % 2)
            case ApplyRemote() if engine.restarting or not engine.ufrag:
                side = side._replace(restart=0)
            case RollBack():
                side = side._replace(change=min(self.change, 1), restart=min(self.restart, 1))
            case _:
                pass
        return side, done

    def surfacing(self, ufrag: str) -> "tuple[Side, CandidateFound]":
        """Have a candidate surface."""
        engine = self.engine._replace(unsent=self.engine.unsent + 1)
        side = self._replace(engine=engine, candidates=self.candidates - 1)
        return side, CandidateFound(Candidate("candidate", "0", 0, ufrag))

    def sending(self, body: SignalBody) -> "Side":
        """Take note of what is sent."""
        match body:
            case RestartBody(wanted=wanted):
                return self._replace(asked=wanted)
            case CandidatesBody():
                return self._replace(engine=self.engine._replace(unsent=self.engine.unsent - 1))
            case _:
                return self

    def hear(self, event: str | SignalBody) -> "tuple[Side, NegotiationEvent]":
        """Let an event happen, short of the negotiator; return what that is fed."""
        match event:
            case "begin":
                assert self.begin is not None
                return self._replace(begin=None), self.begin
            case "change":
                return self._replace(changes=self.changes - 1, change=1), Change()
            case "restart":
                left = self.ice_restarts - 1
                return self._replace(ice_restarts=left, restart=1), Change(ice_restart=True)
            case "replace":
                return self._replace(replaces=self.replaces - 1), Replace()
            case "repair":
                return self, Replace()
            case "done":
                return self.completing()
            case "fail":
                return self.failing()
            case str():
                return self.surfacing(event.removeprefix("candidate "))
            case CandidatesBody(generation=self.generation, candidates=(init,)):
                engine = self.engine.owing(init.username_fragment, 1)
                return self._replace(engine=engine), Received(event)
            case _:
                return self, Received(event)

    def after(
        self, event: str | SignalBody, outputs: list[NegotiationOutput]
    ) -> "tuple[Side, list[SignalBody]]":
        """Perform the negotiator's outputs; return the side after them, and what it sent.

        Raises:
            Fault: something happened that must not.
        """
        side = self
        sent: list[SignalBody] = []
        for output in outputs:
            match output:
                case OpenConnection(generation=generation):
                    side = side.opened()._replace(generation=generation)
                case SendBody(body=body):
                    sent.append(body)
                    side = side.sending(body)
                case Broken(reason=reason):
                    if event != "fail":
                        raise Fault("broken", reason)
                case Ignored(reason=reason, violation=violation):
                    if violation and self.strict:
                        raise Fault("violation", reason)
                case operation:
                    side = side.performing(operation)
        return side, sent
