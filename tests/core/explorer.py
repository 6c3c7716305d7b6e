"""Exhausts every interleaving of two negotiators, two links and two slow engines.

It drives the shipped ``Negotiator``, not a model of it. A state of the world is
two sides (see ``tests.core.model``) and two links; a search over all states,
nearest first, lets happen whatever can: a signal arrives, an engine completes an
operation, a candidate surfaces, the application wants a change, a connection is
replaced, an operation fails. What one side does with one event does not depend
on the other, so it is computed once and remembered; the search moves numbers.

Checked in every state: no illegal operation, no two operations in flight, nothing
applied to a connection it was not meant for, no violation among correct peers.
Checked in every quiet state (nothing under way): the pair has converged. Checked
of the whole: no run goes on for ever, because no state is reached from itself.

``python -m tests.core.explorer`` prints the number of states of many worlds.
"""

import gc
import time
from array import array
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from tests.core.negotiation_model import STABLE, Fault, Side
from tests.core.negotiation_worlds import WORLDS, Fence, Slip, World
from thkmesh.core.negotiation import (
    NegotiationEvent,
    NegotiationOutput,
    Negotiator,
    Snapshot,
)
from thkmesh.core.wire import AnswerBody, SignalBody

# A state is one number, of the number of each side, of each link, and a slip left.
_B, _TO_A, _TO_B, _SLIP = 24, 48, 72, 96
_MASK = (1 << 24) - 1


@dataclass(frozen=True)
class Report:
    """What a search has found."""

    states: int
    steps: int
    seconds: float
    fault: Fault | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line, and the way to the fault if there is one."""
        lines = [f"{self.states:,} states, {self.steps:,} steps, {self.seconds:.1f} s"]
        if self.fault is not None:
            lines += [str(self.fault), *self.trace]
        return "\n".join(lines)


_Value = TypeVar("_Value", bound=Hashable)


class Register(Generic[_Value]):
    """Numbers for values, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.values: list[_Value] = []
        self._numbers: dict[_Value, int] = {}

    def number(self, value: _Value) -> int:
        """Return the number of a value."""
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class Move(NamedTuple):
    """What one side does with one event: the side after it, and the signals it sends."""

    label: str
    side: int
    sent: tuple[int, ...]


class Signal(NamedTuple):
    """A signal on its way, and the life of the higher session it is of or for."""

    life: int
    body: SignalBody


class Transition(NamedTuple):
    """What a negotiator did with one event."""

    start: Snapshot
    event: NegotiationEvent
    outputs: list[NegotiationOutput]
    end: Snapshot


class Half:
    """One side of the world: all its states, and what leads from one to another."""

    def __init__(self, kind: type[Negotiator], first: Side, signals: Register[Signal]) -> None:
        self.sides = Register[Side]()
        self.transitions: list[Transition] = []
        self._kind = kind
        self._first = first
        self._signals = signals
        self._moves: dict[int, tuple[Move, ...]] = {}
        self._hearings: dict[tuple[int, int], Move] = {}
        self.sides.number(first)

    def moves(self, number: int) -> tuple[Move, ...]:
        """Return what may happen to this side alone."""
        moves = self._moves.get(number)
        if moves is None:
            side = self.sides.values[number]
            events = (*side.pending(), *side.possible())
            moves = self._moves[number] = tuple(self._move(side, event) for event in events)
        return moves

    def hear(self, number: int, signal: int) -> Move:
        """Return what happens when a signal arrives."""
        move = self._hearings.get((number, signal))
        if move is None:
            side, body = self.sides.values[number], self._signals.values[signal].body
            move = self._hearings[number, signal] = self._move(side, body)
        return move

    def reborn(self, number: int) -> int:
        """Return this side at the beginning of the next life of the higher session."""
        return self.sides.number(self.sides.values[number].reborn(self._first))

    def is_quiet(self, number: int) -> bool:
        """Tell whether nothing is under way here."""
        return not any(self.sides.values[number].pending())

    def _move(self, side: Side, event: str | SignalBody) -> Move:
        label = f"{side.name}: {event if isinstance(event, str) else type(event).__name__}"
        if event == "reboot":
            return Move(label, self.sides.number(side.reborn(self._first)), ())
        if event == "hang":
            return Move(label, self.sides.number(side.hanging()), ())
        negotiator = self._kind.restore(side.negotiator)
        start = side.negotiator
        side, heard = side.hear(event)
        outputs = negotiator.handle(heard, 0.0)
        end = negotiator.snapshot()
        self.transitions.append(Transition(start, heard, outputs, end))
        side = side._replace(negotiator=end, settled=negotiator.settled, broken=negotiator.broken)
        side, sent = side.after(event, outputs)
        numbers = tuple(self._signals.number(Signal(side.life, body)) for body in sent)
        return Move(label, self.sides.number(side), numbers)


class Explorer:
    """A search of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._signals = Register[Signal]()
        self._links = Register[tuple[int, ...]]()
        self._links.number(())
        self._growths: dict[tuple[int, tuple[int, ...]], int] = {}
        self._splits: dict[int, tuple[int, int]] = {}
        lower, higher = world.sides()
        self.lower = Half(world.lower, lower, self._signals)
        self.higher = Half(world.higher, higher, self._signals)

    def run(self) -> Report:
        """Visit every state, nearest first; stop at the first fault."""
        began = time.perf_counter()
        keys = [int(self._world.slip is not None) << _SLIP]
        numbers = {keys[0]: 0}
        parents, targets, degrees = array("L", [0]), array("L"), array("L")
        fault: Fault | None = None
        at = 0
        try:
            for at, key in enumerate(keys):
                self._check(key)
                steps = self._steps(key)
                degrees.append(len(steps))
                for _, after in steps:
                    number = numbers.setdefault(after, len(keys))
                    if number == len(keys):
                        keys.append(after)
                        parents.append(at)
                    targets.append(number)
            refuse_cycles(degrees, targets)
        except Fault as found:
            fault = found
        seconds = time.perf_counter() - began
        trace = tuple(self._trace(keys, parents, at)) if fault else ()
        return Report(len(keys), len(targets), seconds, fault, trace)

    def _check(self, key: int) -> None:
        """Refuse a state in which nothing is under way, but the pair has not converged."""
        a, b, to_a, to_b, _ = _unpack(key)
        if to_a or to_b or self._is_learning(a, b):
            return
        if self.lower.is_quiet(a) and self.higher.is_quiet(b):
            lower, higher = self.lower.sides.values[a], self.higher.sides.values[b]
            require_settled(lower)
            require_settled(higher)
            require_pair(lower, higher)

    def _steps(self, key: int) -> list[tuple[str, int]]:
        """Return everything that can happen in a state, and the state it leads to."""
        a, b, to_a, to_b, slip = _unpack(key)
        grow = self._grow
        steps = [
            (label, key + after - a + (grow(to_b, sent) << _TO_B if sent else 0))
            for label, after, sent in self.lower.moves(a)
        ]
        steps += [
            (label, key + (after - b << _B) + (grow(to_a, sent) << _TO_A if sent else 0))
            for label, after, sent in self.higher.moves(b)
        ]
        if to_a and (arrival := self._arrive(self.lower, a, to_a)):
            (label, after, sent), rest = arrival
            taken = key + after - a + (rest - to_a << _TO_A)
            steps.append((label, taken + (grow(to_b, sent) << _TO_B)))
        if to_b and (arrival := self._arrive(self.higher, b, to_b)):
            (label, after, sent), rest = arrival
            taken = key + (after - b << _B) + (rest - to_b << _TO_B)
            steps.append((label, taken + (grow(to_a, sent) << _TO_A)))
        if slip:
            whole = key - (1 << _SLIP)
            steps += [("slip", whole + (link - to_a << _TO_A)) for link in self._slips(to_a)]
            steps += [("slip", whole + (link - to_b << _TO_B)) for link in self._slips(to_b)]
        if self._is_learning(a, b):
            steps.append(("a: learns", key + self.lower.reborn(a) - a))
        return steps

    def _arrive(self, half: Half, side: int, link: int) -> tuple[Move, int] | None:
        """Return what the next signal of a link leads to, and the link without it."""
        signal, rest = self._split(link)
        if self._world.reboot is not None:
            lag = self._signals.values[signal].life - half.sides.values[side].life
            if lag > 0:
                return None  # the server announces a session before it passes its signals on
            if lag < 0 and self._world.reboot is Fence.SIDS:
                return Move("fenced", side, ()), rest
        return half.hear(side, signal), rest

    def _is_learning(self, a: int, b: int) -> bool:
        """Tell whether the lower has yet to learn that the higher has restarted."""
        return self._world.reboot is not None and (
            self.lower.sides.values[a].life < self.higher.sides.values[b].life
        )

    def _grow(self, link: int, sent: tuple[int, ...]) -> int:
        """Return how much larger a link's number is when signals have been added to it."""
        growth = self._growths.get((link, sent))
        if growth is None:
            joined = self._links.number(self._links.values[link] + sent)
            growth = self._growths[link, sent] = joined - link
        return growth

    def _split(self, link: int) -> tuple[int, int]:
        """Return the next signal of a link, and the link without it."""
        split = self._splits.get(link)
        if split is None:
            first, *others = self._links.values[link]
            split = self._splits[link] = (first, self._links.number(tuple(others)))
        return split

    def _slips(self, link: int) -> Iterator[int]:
        """Yield what a link may become when signaling slips."""
        match self._world.slip, self._links.values[link]:
            case Slip.LOSE, (_, *others):
                yield self._links.number(tuple(others))
            case Slip.DOUBLE | Slip.DOUBLE_ANSWER, (first, *others):
                answer = isinstance(self._signals.values[first].body, AnswerBody)
                if answer or self._world.slip is Slip.DOUBLE:
                    yield self._links.number((first, *others, first))
            case Slip.REORDER, (first, second, *others):
                yield self._links.number((second, first, *others))
            case _:
                pass

    def _trace(self, keys: list[int], parents: "array[int]", at: int) -> list[str]:
        """Return the labels of the way to a state, from the start."""
        labels: list[str] = []
        while at:
            before = keys[parents[at]]
            labels.append(next(label for label, key in self._steps(before) if key == keys[at]))
            at = parents[at]
        return labels[::-1]


def require_settled(side: Side) -> None:
    """Raise the fault of a side where nothing is under way, but which has not finished."""
    if not side.settled or side.engine.state is not STABLE or side.engine.hung:
        raise Fault("stuck", f"{side.name} in {side.engine.state.value}")
    if side.change or side.restart:
        raise Fault("forgotten change", side.name)


def require_pair(lower: Side, higher: Side) -> None:
    """Raise the fault of two sides at rest that are not one connected pair."""
    ours, theirs = lower.engine, higher.engine
    if (ours.remote, theirs.remote) != (theirs.name, ours.name):
        raise Fault("mispaired", f"{ours} {theirs}")
    if ours.exchange != theirs.exchange:
        raise Fault("mispaired", f"{ours.exchange} was the last here, {theirs.exchange} there")
    if (ours.remote_ufrag, theirs.remote_ufrag) != (theirs.ufrag, ours.ufrag):
        raise Fault("mispaired", f"{ours} {theirs}")
    for here, there in ((ours, theirs), (theirs, ours)):
        if there.unsent or there.ufrag in here.owed:
            raise Fault("lost candidate", f"{there.ufrag} at {here.name}")
    if not (ours.data and theirs.data):
        raise Fault("no data section")


def refuse_cycles(degrees: "array[int]", targets: "array[int]") -> None:
    """Raise a fault if a run can go on for ever: if some state can be reached from itself.

    Kahn's algorithm: take away states that nothing leads to any more.
    """
    firsts = array("L", [0])
    for degree in degrees:
        firsts.append(firsts[-1] + degree)
    incoming = array("L", bytes(len(degrees) * array("L").itemsize))
    for target in targets:
        incoming[target] += 1
    ready = [state for state, count in enumerate(incoming) if count == 0]
    taken = 0
    while ready:
        state = ready.pop()
        taken += 1
        for target in targets[firsts[state] : firsts[state + 1]]:
            incoming[target] -= 1
            if incoming[target] == 0:
                ready.append(target)
    if taken < len(degrees):
        raise Fault("endless", f"{len(degrees) - taken} states are on a cycle or behind one")


def _unpack(key: int) -> tuple[int, int, int, int, int]:
    return (
        key & _MASK,
        key >> _B & _MASK,
        key >> _TO_A & _MASK,
        key >> _TO_B & _MASK,
        key >> _SLIP,
    )


def main() -> None:
    """Print how many states each world has."""
    for name, world in WORLDS.items():
        print(f"{name:45} {explore(world)}", flush=True)  # noqa: T201 - that is what it is for


def explore(world: World) -> Report:
    """Search one world."""
    gc.disable()  # millions of small values and no cycle among them
    try:
        return Explorer(world).run()
    finally:
        gc.enable()


if __name__ == "__main__":
    main()
