"""Log lines for people and for programs, with the room and the peer they are about.

Whoever logs says it beside the message (``extra={"room": ..., "peer": ...}``). A line of
text ends with what there is of that; a line of JSON has it as fields of its own::

    2026-11-26 04:18:19,123 INFO thkmesh.server: hello connection=7 room=lobby peer=mfzw...
    {"time":"2026-11-26T04:18:19.123Z","level":"INFO","logger":"thkmesh.server",
     "message":"hello","connection":7,"room":"lobby","peer":"mfzw..."}
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal, TextIO, TypeAlias

import msgspec

__all__ = ["LogFormat", "handler", "set_up"]

LogFormat: TypeAlias = Literal["text", "json"]

_FIELDS: Final = ("connection", "room", "peer", "session", "address", "code", "reason")
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up(level: str, form: LogFormat) -> None:
    """Let this process log to standard error, and ``thkmesh`` from a level on."""
    logging.basicConfig(handlers=[handler(form, sys.stderr)])
    logging.getLogger("thkmesh").setLevel(level.upper())


def handler(form: LogFormat, stream: TextIO) -> logging.Handler:
    """Return what writes log lines to a stream."""
    made = logging.StreamHandler(stream)
    made.setFormatter(_Json() if form == "json" else _Text(_TEXT))
    return made


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return super().formatMessage(record) + fields


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()
