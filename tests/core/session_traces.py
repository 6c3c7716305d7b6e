"""What sessions were told, when, and what they did: recorded, and as JavaScript has it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum

from msgspec import Struct

from tests.core.wire_vectors import plain as plain_message
from thkmesh.core import wire
from thkmesh.core.engine import Candidate, Description, Stats
from thkmesh.core.expulsion import Statement
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import LinkSettings
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.realtime import Limits
from thkmesh.core.session import Session
from thkmesh.core.session_events import SessionEvent, SessionOutput
from thkmesh.errors import Kicked, MeshError, PeerError
from thkmesh.events import PathKind, Quality
from thkmesh.peer import Peer

__all__ = ["Recorder", "Step", "Trace", "plain"]

_RUN = re.compile(rb"(.)\1{31,}", re.DOTALL)
"""Bytes that are many and the same."""

_UNTYPED = (Peer, Statement, Description, Stats, PathKind, Quality, Limits)
"""What JavaScript has as plain objects that say nothing of their type."""

_TICKS = 1000
"""A recorded session lives by a clock of whole milliseconds: its times are short."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of ``handle``: its arguments, the dice it drew, and what was so after it."""

    now: float
    event: SessionEvent | Tick | Slept
    drawn: tuple[float, ...]
    outputs: tuple[SessionOutput, ...]
    deadline: float | None


@dataclass
class Trace:
    """The life of one session."""

    me: SessionKey
    settings: LinkSettings
    steps: list[Step] = field(default_factory=list[Step])


class Recorder:
    """Makes sessions that are recorded; ``mind`` is for ``World`` and ``InlineHost``."""

    def __init__(self) -> None:
        """Begin without any."""
        self.traces: list[Trace] = []

    def mind(self, me: SessionKey, settings: LinkSettings, dice: Callable[[], float]) -> Session:
        """Return a session like any other."""
        self.traces.append(Trace(me, settings))
        return _RecordedSession(self.traces[-1], dice)


class _RecordedSession(Session):
    """A session that notes every call."""

    def __init__(self, trace: Trace, dice: Callable[[], float]) -> None:
        """Begin outside."""
        self._trace = trace
        self._drawn: list[float] = []

        def draw() -> float:
            self._drawn.append(dice())
            return self._drawn[-1]

        super().__init__(trace.me, trace.settings, draw)

    def handle(self, event: SessionEvent | Tick | Slept, now: float) -> list[SessionOutput]:
        """Settle what is due, then the event; return what to do."""
        now = _rounded_up(now)
        self._drawn.clear()
        outputs = super().handle(event, now)
        step = Step(now, event, tuple(self._drawn), tuple(outputs), self.deadline)
        self._trace.steps.append(step)
        return outputs


def _rounded_up(now: float) -> float:
    """Return the next tick of the clock: what is due ``now`` must then be due, too."""
    ticks = round(now * _TICKS)
    return (ticks if ticks / _TICKS >= now else ticks + 1) / _TICKS


# --- as JavaScript has it ---------------------------------------------------------


def plain(value: object) -> object:
    """Return a value as JavaScript has it: types in kebab case, fields in camel case."""
    match value:
        case SessionKey():
            return f"{value.id}.{value.sid}"
        case Enum():
            return value.value
        case bytes():
            return _plain_bytes(value)
        case Candidate():
            return plain(wire.init_of(value))
        case wire.Welcome():
            # Its peers come beside it, verified.
            return plain_message(value) | {"peers": []}
        case wire.Message() | wire.SignedBody():
            return plain_message(value)
        case Struct() if type(value).__module__ == wire.__name__:
            names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
            return {shown: plain(getattr(value, name)) for shown, name in names}
        case MeshError():
            return _plain_error(value)
        case type():
            assert issubclass(value, wire.Signal)
            return value.__struct_config__.tag
        case tuple() | list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case None | bool() | int() | float() | str():
            return value
        case _:
            named = {_camel(name): getattr(value, name) for name in _fields(value)}
            kind = {} if isinstance(value, _UNTYPED) else {"type": _kind(value)}
            return kind | {name: plain(item) for name, item in named.items()}


def _fields(value: object) -> tuple[str, ...]:
    if isinstance(value, Struct):
        return value.__struct_fields__
    assert is_dataclass(value)
    return tuple(each.name for each in fields(value))


def _plain_bytes(data: bytes) -> dict[str, object]:
    """Return them as the characters of their numbers; many of one kind by their count."""
    parts: list[object] = []
    at = 0
    for run in _RUN.finditer(data):
        parts += [data[at : run.start()].decode("latin-1"), [run[0][0], len(run[0])]]
        at = run.end()
    rest = data[at:].decode("latin-1")
    return {"bytes": [*parts, rest] if parts else rest}


def _plain_error(error: MeshError) -> dict[str, object]:
    """Return its class, reason and text; not the text of a parser, which differs."""
    text: str | None = str(error)
    if text is not None and text.startswith("a malformed "):
        text = None
    more: dict[str, object] = {"reason": error.reason} if isinstance(error, PeerError) else {}
    if isinstance(error, Kicked):
        more = {"why": error.why, "until": error.until}
    return {"class": type(error).__name__, **more, "text": text}


def _kind(value: object) -> str:
    return re.sub(r"\B([A-Z])", r"-\1", type(value).__name__).lower()


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
