"""Golden vectors of negotiation: what the shipped class does, for JavaScript to replay.

``python -m tests.core.negotiation_vectors`` writes ``spec/vectors/negotiation.json``;
``spec/vectors/README.md`` describes it. A test refuses a file that is out of date.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path

from msgspec import Struct, to_builtins

from tests.core.explorer import Explorer, Register, Transition
from tests.core.negotiation_worlds import World
from thkmesh.core.engine import Candidate, Description
from thkmesh.core.negotiation import (
    Begin,
    Change,
    Need,
    NegotiationEvent,
    Negotiator,
    Received,
    Replace,
    Snapshot,
)
from thkmesh.core.wire import (
    AnswerBody,
    CandidateInit,
    CandidatesBody,
    OfferBody,
    RestartBody,
    SeedDescription,
    init_of,
)

PATH = Path(__file__).parents[2] / "spec" / "vectors" / "negotiation.json"

WORLDS = (
    World(changes=2, candidates=1),
    World(changes=2, both_begin=True),
    World(changes=2, can_rollback=False),
    World(ice_restarts=1, candidates=1),
    World(replaces=1, candidates=1),
    World(ice_restarts=1, can_restart_ice=False),
    World(changes=1, failures=1),
)

_OFFER = SeedDescription("offer", "a=ice-ufrag:x\r\n")
_ANSWER = SeedDescription("answer", "a=ice-ufrag:x\r\n")

ODDITIES: tuple[NegotiationEvent, ...] = (
    Begin(),
    Begin(force=True),
    Replace(),
    Change(ice_restart=True),
    *(Received(RestartBody(wanted)) for wanted in (1, 2, 3)),
    *(Received(OfferBody(generation, 9, _OFFER)) for generation in (1, 2)),
    *(Received(AnswerBody(generation, 9, _ANSWER)) for generation in (1, 2)),
    Received(AnswerBody(1, 1, _ANSWER)),
    Received(CandidatesBody(1, (CandidateInit("", "a1u1"), CandidateInit("", "y")))),
)
"""Fed to both sides in every state of the smallest world, whether a peer may do it or not."""


def text() -> str:
    """Return the file as it should be, one value a line."""
    states, events, outputs = Register[str](), Register[str](), Register[str]()
    rows = Register[str]()
    for start, event, done, end in _transitions():
        row = (
            states.number(_json(_state(start))),
            events.number(_json(_plain(event))),
            outputs.number(_json(_plain(done))),
            states.number(_json(_state(end))),
        )
        rows.number(_json(row))
    tables = {"states": states, "events": events, "outputs": outputs, "transitions": rows}
    lists = (f'"{name}": [\n{_lines(table)}\n]' for name, table in tables.items())
    return "{\n" + ",\n".join(lists) + "\n}\n"


def _transitions() -> Iterator[Transition]:
    for world in WORLDS:
        explorer = Explorer(world)
        report = explorer.run()
        assert report.fault is None, report
        yield from explorer.lower.transitions
        yield from explorer.higher.transitions
    explorer = Explorer(World(changes=1))
    explorer.run()
    for half in (explorer.lower, explorer.higher):
        for start in dict.fromkeys(side.negotiator for side in half.sides.values):
            for event in ODDITIES:
                negotiator = Negotiator.restore(start)
                outputs = negotiator.handle(event, 0.0)
                yield Transition(start, event, outputs, negotiator.snapshot())


def _lines(table: Register[str]) -> str:
    return ",\n".join(table.values)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _state(snapshot: Snapshot) -> dict[str, object]:
    names = (_camel(name.strip("_")) for name in Negotiator.__slots__)
    return dict(zip(names, map(_plain, snapshot), strict=True))


def _plain(value: object) -> object:
    """Return a value as JavaScript has it: types in kebab case, fields in camel case."""
    match value:
        case Need():
            return {
                "change": Need.CHANGE in value,
                "iceRestart": Need.ICE_RESTART in value,
            }
        case Enum():
            return value.value
        case Candidate():
            return _plain(init_of(value))
        case Description():
            return {"type": value.type.value, "sdp": value.sdp}
        case Struct():
            return to_builtins(value)
        case frozenset():
            return sorted(value)
        case tuple() | list():
            return [_plain(item) for item in value]
        case None | bool() | int() | str():
            return value
        case _:
            assert is_dataclass(value)
            named = {_camel(field.name): getattr(value, field.name) for field in fields(value)}
            kind = re.sub(r"\B([A-Z])", r"-\1", type(value).__name__).lower()
            return {"type": kind} | {name: _plain(item) for name, item in named.items()}


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


if __name__ == "__main__":
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(text(), encoding="utf-8")
