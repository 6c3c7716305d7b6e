"""How much others may send us before we have read it.

No engine stops a fast sender: what comes in is ours to keep until the application
takes it. So each stream has a *window*, the bytes that may lie here unread or be on
their way, and its sender is granted a position in the stream up to which it may go:
what was read so far, and the window. Positions are absolute and only grow, so a grant
may come late, twice, or over another connection.

A stream has ``WINDOW_BYTES`` from the start, without a grant. Beyond that windows come
out of one budget for the room, of which a quarter is kept for such beginnings. A stream
may have a quarter of what else is free, at most ``WINDOW_LIMIT_BYTES``: the more is
held, the less the next one gets, but something always remains (the dynamic threshold of
Choudhury and Hahne, 1998). An unread channel holds its window, and no other waits for it.

A message may be larger than the window, and cannot be read before it is whole. So what
a stream has put together of one does not count against its window, up to what a message
can need: that comes out of the budget while it suffices, else out of a reserve, one
stream at a time. What is thrown away on arrival counts for nothing.
"""

from typing import Final

from thkmesh.core.frames import LEAST_FRAGMENT_BYTES, MESSAGE_LIMIT_BYTES, OVERHEAD_BYTES

__all__ = [
    "BUDGET_BYTES",
    "READ_BYTES",
    "WINDOW_BYTES",
    "WINDOW_LIMIT_BYTES",
    "Budget",
    "Credit",
]

BUDGET_BYTES: Final = 64 * 1024 * 1024
"""What all senders in a room together may have lying here unread."""

WINDOW_BYTES: Final = 256 * 1024
"""What a stream may have lying here without a grant."""

WINDOW_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""What one stream may have, unless a single message needs more."""

READ_BYTES: Final = WINDOW_BYTES // 4
"""An application that has read less than this need not say so yet."""

_SHARE: Final = 4
"""A stream may have this part of what is free."""

_WHOLE_BYTES: Final = MESSAGE_LIMIT_BYTES + OVERHEAD_BYTES * (
    MESSAGE_LIMIT_BYTES // LEAST_FRAGMENT_BYTES + 1
)
"""What the largest message costs, cut as finely as it may be."""


class Budget:
    """What a room may hold unread; shared by all its streams."""

    def __init__(self, size: int = BUDGET_BYTES) -> None:
        """Begin with nothing promised to anybody."""
        self._size = size
        self.promised = 0
        """What all windows add up to."""
        self.drawing: Credit | None = None
        """Who has the reserve."""

    @property
    def free(self) -> int:
        """What is not promised to anybody, nor kept for streams that will begin."""
        return max(0, self._size * 3 // 4 - self.promised)


class Credit:
    """What one stream may have lying here.

    Attributes:
        position: where in the stream the next fragment begins.
        limit: the position up to which its sender may go.
        unread: how many of the bytes before ``position`` have not been read.
        waiting: a message cannot go on before somebody else has given back the reserve.
    """

    def __init__(self, budget: Budget, position: int) -> None:
        """Grant the first window from a position on."""
        self._budget = budget
        self.position = position
        self.limit = position + WINDOW_BYTES
        self.unread = 0
        self.waiting = False
        self.due = position + WINDOW_BYTES // 2
        """From this position on the sender should hear soon how far it may go."""
        self._used = False  # Before that it counts for nothing: most streams never are.

    def take(self, size: int) -> bool:
        """Take note that something came; False if that is more than was granted."""
        if self.position + size > self.limit:
            return False
        if not self._used:
            self._used = True
            self._budget.promised += self._promised
        self.position += size
        self.unread += size
        return True

    def read(self, size: int) -> None:
        """Take note that something of it need not be kept any longer."""
        size = min(size, self.unread)
        self.unread -= size
        self._budget.promised -= size
        if self._budget.drawing is self and self.unread <= self._window:
            self._budget.drawing = None

    def discard(self) -> None:
        """Keep nothing, and count for nothing before something comes that is kept."""
        self._budget.promised -= self._promised
        self._used = False
        self.unread = 0
        if self._budget.drawing is self:
            self._budget.drawing = None

    def begin(self, position: int) -> None:
        """Grant the first window from a position on, whatever was granted before."""
        self._allow(position + WINDOW_BYTES)

    def jump(self, position: int) -> None:
        """Go to a later position; what lies between will not come."""
        before = self._promised
        self.position = self.due = position
        self.limit = max(self.limit, position + WINDOW_BYTES)
        self._budget.promised += self._promised - before

    def _allow(self, limit: int) -> None:
        before = self._promised
        self.limit = max(self.limit, limit)
        self._budget.promised += self._promised - before

    def grant(self, assembling: int) -> int:
        """Return how far the sender may go now.

        Args:
            assembling: what a message that is not whole yet has cost so far.
        """
        if not self._used:
            self._allow(self.position + WINDOW_BYTES)
            self.due = self.limit - WINDOW_BYTES // 2
            return self.limit
        window = self._window
        limit = self.position - self.unread + window
        self.waiting = False
        if 2 * assembling > window and self.unread - assembling <= READ_BYTES:
            more = min(limit + assembling, self.position - assembling + _WHOLE_BYTES)
            if more > max(limit, self.limit):
                self.waiting = not self._draw()
                limit = limit if self.waiting else more
        self._allow(limit)
        self.due = max(self.limit - window // 2, self.position + window // 8)
        return self.limit

    def close(self, assembling: int) -> None:
        """Count no longer, until ``reopen``, and hold no more than a message that is not whole."""
        self._budget.promised -= self._promised
        self.unread = assembling
        if self._budget.drawing is self:
            self._budget.drawing = None

    def reopen(self) -> None:
        """Count again: what was granted holds."""
        self._budget.promised += self._promised

    @property
    def _promised(self) -> int:
        return self.limit - self.position + self.unread if self._used else 0

    @property
    def _window(self) -> int:
        return max(WINDOW_BYTES, min(WINDOW_LIMIT_BYTES, self._budget.free // _SHARE))

    def _draw(self) -> bool:
        """Tell whether there is enough for a whole message, in the budget or the reserve."""
        if self._budget.free >= _WHOLE_BYTES:
            return True
        if self._budget.drawing is None:
            self._budget.drawing = self
        return self._budget.drawing is self
