"""What waits to be sent over one link, and how much of it the engine holds.

The queue is ours, not the engine's: an engine's buffer is lost with its
connection, and it kills the channel at 16 MiB. So frames wait here, where they
survive a replaced connection, and only a shallow window is handed on.

The engine tells us how much it still holds only when asked (``MeasureBuffer``)
and when it falls to the low-water mark (``BufferLow``); ``take`` stops at
``WINDOW_BYTES`` until one of the two has been heard.
"""

from collections import deque
from typing import Final

__all__ = ["LOW_WATER_BYTES", "QUEUE_BYTES", "WINDOW_BYTES", "SendQueue"]

QUEUE_BYTES: Final = 16 * 1024 * 1024
"""A sender waits while more than this is queued for one link."""

WINDOW_BYTES: Final = 1024 * 1024
"""No more than this is in the engine's buffer."""

LOW_WATER_BYTES: Final = 256 * 1024
"""When the engine's buffer has fallen to this, it is given more."""

_OVERHEAD_BYTES: Final = 64
"""What an empty frame counts, so that a million of them are not free."""


class SendQueue:
    """The frames of one link, first in, first out."""

    def __init__(self) -> None:
        """Begin empty."""
        self._frames: deque[bytes] = deque()
        self._held = 0
        self.waiting_bytes = 0

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)

    @property
    def has_room(self) -> bool:
        """Tell whether another message may be accepted."""
        return self.waiting_bytes < QUEUE_BYTES

    def put(self, frame: bytes) -> None:
        """Add a frame at the end."""
        self._frames.append(frame)
        self.waiting_bytes += len(frame) + _OVERHEAD_BYTES

    def take(self) -> list[bytes]:
        """Return the frames that fit the engine's window now."""
        taken: list[bytes] = []
        while self._frames and self._held < WINDOW_BYTES:
            frame = self._frames.popleft()
            self.waiting_bytes -= len(frame) + _OVERHEAD_BYTES
            self._held += len(frame) + _OVERHEAD_BYTES
            taken.append(frame)
        return taken

    @property
    def must_measure(self) -> bool:
        """Tell whether frames wait although the engine may have sent what it held."""
        return bool(self._frames) and self._held >= WINDOW_BYTES

    def measured(self, held_bytes: int) -> None:
        """Take the engine's word for what it still holds."""
        self._held = held_bytes

    def clear(self) -> None:
        """Forget everything; the peer is gone."""
        self._frames.clear()
        self.waiting_bytes = 0
