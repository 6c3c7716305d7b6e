"""The end of a server, so that nobody notices: who is to go when, and to come back when.

Clients are told to move one after the other, evenly over the time that the server has,
for whoever takes them in next checks a signature each. If they are more than that time
allows at ``PACE``, the later ones are asked to stay away for a while (``retryAfter``):
so they come back at that pace however short the end was. Few clients are told at once.
"""

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final

__all__ = ["PACE", "Draining"]

PACE: Final = 200.0
"""Clients a second that may come back: a fifth of a second's work for one core."""


class Draining:
    """Which connection is to be closed when."""

    def __init__(self, conns: Sequence[int], seconds: float, now: float) -> None:
        """Spread connections, in their order, over at most ``seconds`` from now."""
        needed = len(conns) / PACE
        lasting = min(max(seconds, 0.0), needed)
        self._queue: deque[tuple[float, int, float]] = deque()
        for index, conn in enumerate(conns):
            share = index / len(conns)
            self._queue.append((now + share * lasting, conn, share * (needed - lasting)))

    @property
    def first(self) -> float:
        """When the next one is due; infinity when none is left."""
        return self._queue[0][0] if self._queue else inf

    def due(self, now: float) -> list[tuple[int, float]]:
        """Take out those whose time has come; with each, how long it is to stay away."""
        found: list[tuple[int, float]] = []
        while self.first <= now:
            _, conn, wait = self._queue.popleft()
            found.append((conn, wait))
        return found
