"""A terminal whose last row is being typed in while lines appear above it.

Before anything is printed, the input row is erased; afterwards it is drawn again.
So what others say never mixes with what is being typed. Plain ECMA-48 sequences,
no library: carriage return, erase below, up, right.
"""

import contextlib
import sys
from collections.abc import Callable, Generator

from thkmesh.cli.editor import cells, visible

if sys.platform != "win32":
    import termios
    import tty

__all__ = ["Screen", "keys_unbuffered"]

_PROMPT = "> "


class Screen:
    """Scrolling lines, and an input row below with an optional notice under it."""

    def __init__(self, write: Callable[[str], None], columns: Callable[[], int]) -> None:
        """Begin at the start of an empty row.

        Args:
            write: puts text on the terminal at once.
            columns: how wide it is now.
        """
        self._write = write
        self._columns = columns
        self._text = ""
        self._cursor = 0
        self._notice = ""

    def show(self, line: str) -> None:
        """Print a line above the input row."""
        self._write(f"\r\x1b[J{line}\r\n{self._row()}")

    def edit(self, text: str, cursor: int) -> None:
        """Let the input row show this."""
        if (text, cursor) != (self._text, self._cursor):
            self._text, self._cursor = text, cursor
            self.redraw()

    def notice(self, notice: str) -> None:
        """Show a notice under the input row; empty means none."""
        if notice != self._notice:
            self._notice = notice
            self.redraw()

    def redraw(self) -> None:
        """Draw the input row again, as after the terminal has changed its size."""
        self._write(f"\r\x1b[J{self._row()}")

    def close(self) -> None:
        """Take the input row away."""
        self._write("\r\x1b[J")

    def _row(self) -> str:
        columns = max(self._columns() - 1, len(_PROMPT) + 2)
        text, column = visible(self._text, self._cursor, columns - len(_PROMPT))
        notice = ""
        if self._notice:
            fits, _ = visible(self._notice, 0, columns)
            # Down by a line feed, which scrolls where it must; then up again.
            notice = f"\r\n\x1b[2m{fits}\x1b[0m\x1b[1A"
        column += cells(_PROMPT)
        return f"{_PROMPT}{text}{notice}\r\x1b[{column}C"


@contextlib.contextmanager
def keys_unbuffered(descriptor: int) -> Generator[Callable[[], None]]:
    """Let a terminal hand on each key, and show none; put it back in the end.

    Gives a function that does so anew, for when the process was stopped meanwhile.
    """
    before = termios.tcgetattr(descriptor)

    def begin() -> None:
        tty.setcbreak(descriptor)

    begin()
    try:
        yield begin
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
