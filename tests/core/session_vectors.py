"""Golden vectors of the session: the lives of some, call by call, for JavaScript to replay.

``python -m tests.core.session_vectors`` writes ``spec/vectors/session.json``, which
``spec/vectors/README.md`` describes, and says what of the core it does not reach. A
test refuses a file that is out of date.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, get_args

from coverage import Coverage
from msgspec import Struct
from msgspec.structs import asdict

from tests.core import (
    session_channel_tales,
    session_kick_tales,
    session_latest_tales,
    session_link_tales,
    session_piece_tales,
    session_relay_tales,
    session_rule_tales,
    session_tales,
)
from tests.core.explorer import Register
from tests.core.session_storms import blow
from tests.core.session_traces import Recorder, Trace, plain
from thkmesh.core.closing import CloseCode
from thkmesh.core.engine import ConnectionState, EngineEvent, Operation
from thkmesh.core.link_events import (
    Abandon,
    Appended,
    CutLoose,
    Depart,
    Enqueue,
    Hasten,
    LinkEvent,
    Listening,
    Offline,
    Online,
    Opened,
    Tell,
)
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.session_events import SessionEvent, SessionOutput, SocketLost
from thkmesh.core.wire import (
    ENVELOPES,
    Ack,
    Admitted,
    Challenge,
    Error,
    IceServers,
    Leave,
    Moving,
    PeerLeft,
    Ping,
    Pong,
    SignalBody,
    SignalRefused,
    Welcome,
)
from thkmesh.errors import (
    InvalidMessage,
    JoinError,
    Kicked,
    NotGranted,
    ProtocolMismatch,
    Replaced,
    RoomClosed,
    RoomFull,
    ServerUnreachable,
    Unauthorized,
    UnknownPeer,
)
from thkmesh.events import Event, LeaveReason, LinkState, ServerState

PATH = Path(__file__).parents[2] / "spec" / "vectors" / "session.json"

STORMS: tuple[tuple[str, int, tuple[int, ...]], ...] = (
    ("good", 15, (2,)),
    ("good", 22, (1,)),
    ("good", 36, (1,)),
    ("no rollback", 3, (0, 1)),
    ("no restart", 3, (0, 1)),
    ("no trickle", 2, (2,)),
    ("no trickle", 15, (0, 1)),
    ("no trickle", 30, (3,)),
    ("no trickle", 31, (2,)),
    ("no trickle", 34, (3,)),
    ("bad", 1, (0,)),
    ("bad", 3, (3,)),
    ("bad", 12, (0,)),
    ("bad", 13, (0, 2)),
    ("bad", 18, (0, 2)),
    ("bad", 26, (4,)),
    ("bad", 28, (0, 1)),
    ("bad", 36, (2,)),
)
"""The kind of engine, the seed, and which sessions of that storm are worth their room."""

_LONG = 16
"""A text of so many characters is written once."""


def traces() -> list[Trace]:
    """Return what is recorded: every story, and the best of the storms."""
    recorder = Recorder()
    for tell in (
        *session_tales.TALES,
        *session_link_tales.TALES,
        *session_channel_tales.TALES,
        *session_relay_tales.TALES,
        *session_rule_tales.TALES,
        *session_latest_tales.TALES,
        *session_piece_tales.TALES,
        *session_kick_tales.TALES,
    ):
        tell(recorder)
    for kind, seed, chosen in STORMS:
        lives = blow(kind, seed)
        recorder.traces += (lives[number] for number in chosen)
    assert not (absent := missing(recorder.traces)), sorted(absent)
    return recorder.traces


def text(recorded: Iterable[Trace]) -> str:
    """Return the file as it should be, one value a line."""
    texts, inputs, outputs = Register[str](), Register[str](), Register[str]()
    sessions: list[str] = []
    for trace in recorded:
        capabilities = trace.settings.capabilities
        head = {
            "me": plain(trace.me),
            "rollback": capabilities.rollback,
            "iceRestart": capabilities.ice_restart,
            "hasty": trace.settings.hasty,
        }
        rows = [
            _json(
                [
                    step.now,
                    inputs.number(_json(_short(plain(step.event), texts))),
                    outputs.number(_json(_short(plain(step.outputs), texts))),
                    step.deadline,
                    *step.drawn,
                ]
            )
            for step in trace.steps
        ]
        sessions.append(_json(head)[:-1] + ',"steps":[\n' + _lines(rows) + "\n]}")
    tables = {
        "texts": map(_json, texts.values),
        "events": inputs.values,
        "outputs": outputs.values,
        "sessions": sessions,
    }
    lists = (f'"{name}": [\n{_lines(values)}\n]' for name, values in tables.items())
    return "{\n" + ",\n".join(lists) + "\n}\n"


def _lines(values: Iterable[str]) -> str:
    return ",\n".join(values)


def _short(value: object, texts: Register[str]) -> object:
    """Return a value with each long text replaced by its number in the table."""
    match value:
        case str() if len(value) >= _LONG:
            return f"${texts.number(value)}"
        case str():
            assert not value.startswith("$"), "that would be taken for a number"
            return value
        case list():
            return [_short(item, texts) for item in value]
        case dict():
            return {name: _short(item, texts) for name, item in value.items()}
        case _:
            return value


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def missing(recorded: Iterable[Trace]) -> set[str]:
    """Return what should occur in the traces and does not: types of values, and values."""
    seen: set[str] = set()
    for trace in recorded:
        for step in trace.steps:
            seen.update(_kinds(step.event), *map(_kinds, step.outputs))
    return {_name(kind) for kind in _WANTED} - seen


def _kinds(value: object) -> Iterator[str]:
    """Yield the names of a value and of all that is in it."""
    if isinstance(value, type):
        yield _name(value)
        return
    yield _name(value if isinstance(value, Enum) else type(value))
    if isinstance(value, SocketLost) and value.code in set(CloseCode):
        yield _name(CloseCode(value.code))
    if isinstance(value, Struct):
        value = asdict(value)
    elif is_dataclass(value):
        value = [getattr(value, each.name) for each in fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _kinds(item)


def _name(kind: object) -> str:
    return f"{kind.__module__}.{kind.__name__}" if isinstance(kind, type) else str(kind)


_OWN: Final = (
    *(Online, Offline, Enqueue, Hasten, Appended, CutLoose, Opened, Listening, Depart, Abandon),
    Tell,
)
"""What a session alone tells its links."""

_WANTED: tuple[object, ...] = (
    *get_args(SessionEvent),
    *(kind for kind in get_args(LinkEvent) if kind not in _OWN),
    *get_args(EngineEvent),
    *get_args(Operation),
    *get_args(SignalBody),
    *ENVELOPES.values(),
    *get_args(SessionOutput),
    *get_args(Event),
    *(
        Tick,
        Slept,
        Challenge,
        Welcome,
        PeerLeft,
        SignalRefused,
        Error,
        Moving,
        Pong,
        Ack,
        Ping,
        Leave,
    ),
    *(JoinError, ServerUnreachable, RoomFull, Unauthorized, ProtocolMismatch, Replaced),
    *(NotGranted, Admitted, IceServers),
    *(RoomClosed, UnknownPeer, InvalidMessage, Kicked),
    *(state for state in LinkState if state is not LinkState.CONNECTING),  # that is no change
    *ServerState,
    *LeaveReason,
    *ConnectionState,
    *CloseCode,
)
"""What the traces must have in them, besides the interesting ways through the code."""


# --- what the traces reach --------------------------------------------------------


def replay(recorded: Iterable[Trace]) -> None:
    """Tell new sessions the same; they must do the same."""
    again = Recorder()
    for trace in recorded:
        dice = chain.from_iterable(step.drawn for step in trace.steps)
        session = again.mind(trace.me, trace.settings, dice.__next__)
        for step in trace.steps:
            session.handle(step.event, step.now)
        assert plain(again.traces[-1].steps) == plain(trace.steps)


def branches(recorded: Iterable[Trace]) -> str:
    """Return how many branches of the machines the traces take, and which they do not."""
    measured = Coverage(
        branch=True,
        data_file=None,
        config_file=False,
        include=[f"*/thkmesh/core/{name}.py" for name in _MACHINES],
    )
    with measured.collect():
        replay(recorded)
    with TemporaryDirectory() as place:
        path = Path(place) / "coverage.json"
        measured.json_report(outfile=str(path))
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
    lines: list[str] = []
    for name, found in files.items():
        total = found["summary"]
        ways = ", ".join(f"{start}-{end}" for start, end in found["missing_branches"])
        taken = f"{total['covered_branches']} of {total['num_branches']}"
        lines.append(f"{Path(name).name:16} {taken:12} {ways}")
    return "\n".join(lines)


_MACHINES: Final = (
    *("candidates", "contact", "heartbeat", "link", "membership", "negotiation"),
    *(
        "channels",
        "credit",
        "expulsion",
        "quality",
        "receiving",
        "sending",
        "sequencing",
        "session",
    ),
    *("allowance", "latest", "pieces", "realtime", "relay", "streams", "traffic", "transfers"),
    *("unordered", "window"),
)


if __name__ == "__main__":
    traces_now = traces()
    PATH.write_text(text(traces_now), encoding="utf-8")
    print(branches(traces_now))  # noqa: T201 - for whoever runs it
