"""One line of input, edited in place: keys in, a line out. No terminal in here."""

import codecs
import re
import unicodedata
from collections import deque
from typing import Final

__all__ = ["Editor", "Keyboard", "cells", "visible"]

_HISTORY: Final = 100
_KEY = re.compile(r"\x1b\[[ -?]*[^ -?]|\x1bO.|\x1b(?=[^\[O])|[^\x1b]", re.DOTALL)
"""A CSI or SS3 sequence, an escape before another key (Alt), or a character."""

LEFT: Final = frozenset({"\x1b[D", "\x1bOD", "\x02"})
RIGHT: Final = frozenset({"\x1b[C", "\x1bOC", "\x06"})
UP: Final = frozenset({"\x1b[A", "\x1bOA", "\x10"})
DOWN: Final = frozenset({"\x1b[B", "\x1bOB", "\x0e"})
HOME: Final = frozenset({"\x1b[H", "\x1bOH", "\x1b[1~", "\x01"})
END: Final = frozenset({"\x1b[F", "\x1bOF", "\x1b[4~", "\x05"})
DELETE: Final = frozenset({"\x1b[3~", "\x04"})
ENTER: Final = frozenset({"\r", "\n"})
BACKSPACE: Final = frozenset({"\x7f", "\b"})


class Keyboard:
    """Makes keys of bytes, however they were cut."""

    def __init__(self) -> None:
        """Begin with nothing pressed."""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the keys pressed: a character each, or an escape sequence."""
        text = self._rest + self._decode(data)
        keys: list[str] = []
        end = 0
        while match := _KEY.match(text, end):
            keys.append(match.group())
            end = match.end()
        self._rest = text[end:]
        return keys


class Editor:
    """The line being typed, and those typed before."""

    def __init__(self) -> None:
        """Begin empty."""
        self.text = ""
        self.cursor = 0
        self._past: deque[str] = deque(maxlen=_HISTORY)
        self._back = 0

    def press(self, key: str) -> str | None:
        """Take a key; return the line if that completed it, else None."""
        if key in ENTER:
            return self._take()
        if key in UP or key in DOWN:
            self._recall(1 if key in UP else -1)
        elif key in LEFT:
            self.cursor = max(0, self.cursor - 1)
        elif key in RIGHT:
            self.cursor = min(len(self.text), self.cursor + 1)
        elif key in HOME:
            self.cursor = 0
        elif key in END:
            self.cursor = len(self.text)
        else:
            self._change(key)
        return None

    def _change(self, key: str) -> None:
        before, after = self.text[: self.cursor], self.text[self.cursor :]
        if key in BACKSPACE:
            before = before[:-1]
        elif key in DELETE:
            after = after[1:]
        elif key == "\x15":  # Ctrl-U
            before = ""
        elif key == "\x0b":  # Ctrl-K
            after = ""
        elif key == "\x17":  # Ctrl-W
            before = re.sub(r"\S*\s*$", "", before)
        elif key == "\t":
            before += " "
        elif len(key) == 1 and unicodedata.category(key) not in {"Cc", "Cs"}:
            before += key
        self.text, self.cursor = before + after, len(before)

    def _take(self) -> str:
        line = self.text
        if line:
            self._past.append(line)
        self.text, self.cursor, self._back = "", 0, 0
        return line

    def _recall(self, step: int) -> None:
        back = self._back + step
        if 0 <= back <= len(self._past):
            self._back = back
            self.text = self._past[-back] if back else ""
            self.cursor = len(self.text)


def cells(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    return sum(map(_width, text))


def visible(text: str, cursor: int, columns: int) -> tuple[str, int]:
    """Return the part of a line that fits, with the cursor in it, and the cursor's column."""
    start = end = cursor
    left = columns
    while start and (width := _width(text[start - 1])) <= left:
        start, left = start - 1, left - width
    used = columns - left
    while end < len(text) and (width := _width(text[end])) <= left:
        end, left = end + 1, left - width
    return text[start:end], used


def _width(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
