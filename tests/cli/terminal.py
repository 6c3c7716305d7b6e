"""What a terminal shows after some output: enough of ECMA-48 for ours."""

import re

_TOKEN = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\r|\n|[^\x1b]", re.DOTALL)


class Terminal:
    """A grid of characters and a cursor; what scrolls out is kept in ``scrolled``."""

    def __init__(self, columns: int = 40, rows: int = 6) -> None:
        """Begin blank."""
        self.columns = columns
        self._rows = rows
        self._grid = [""]
        self.row = self.column = 0
        self.scrolled: list[str] = []

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without trailing blanks."""
        return [line.rstrip() for line in self._grid]

    def write(self, text: str) -> None:
        """Take output."""
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            assert token is not None, f"no terminal knows {text[at : at + 10]!r}"
            at = token.end()
            if token[2]:
                self._control(token[2], int(token[1].split(";")[0] or 1) if token[1] else 1)
            elif token[0] == "\r":
                self.column = 0
            elif token[0] == "\n":
                self._down()
            else:
                self._put(token[0])

    def _control(self, name: str, count: int) -> None:
        match name:
            case "J":
                del self._grid[self.row + 1 :]
                self._grid[self.row] = self._grid[self.row][: self.column]
            case "A":
                self.row = max(0, self.row - count)
            case "C":
                self.column = min(self.columns - 1, self.column + count)
            case "m":
                pass
            case _:
                raise AssertionError(name)

    def _put(self, char: str) -> None:
        if self.column == self.columns:
            self.column = 0
            self._down()
        line = self._grid[self.row].ljust(self.column)
        self._grid[self.row] = line[: self.column] + char + line[self.column + 1 :]
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self._grid):
            self._grid.append("")
        if len(self._grid) > self._rows:
            self.scrolled.append(self._grid.pop(0).rstrip())
            self.row -= 1
