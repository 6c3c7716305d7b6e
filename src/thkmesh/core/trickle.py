"""Candidates wait for each other, so that a signal carries many.

Engines report the addresses they find one by one (trickle ICE, RFC 8838), and every
signal costs a signature, a place in the sequence and a turn of the server. But who
waits for all of them connects late. So the first ones after a description wait a
moment, because this host's own addresses are found at once and mostly suffice;
later ones wait a little longer. A batch goes out when its time has come, when it is
full, or when the engine says that it has found everything.
"""

from typing import Final

from thkmesh.core import engine, wire

__all__ = ["BATCHING", "BATCH_LIMIT", "FIRST_BATCHING", "Trickle"]

FIRST_BATCHING: Final = 0.005
"""Seconds that the first candidates of a description wait for each other: the addresses
of this host, which are found at once and mostly suffice. An engine may say only much
later that they are complete."""

BATCHING: Final = 0.02
"""Seconds that later candidates wait for each other, unless they are complete."""

BATCH_LIMIT: Final = 32
"""Candidates in one signal; a receiver takes 64."""


class Trickle:
    """The candidates of one connection that are still to be signalled."""

    def __init__(self) -> None:
        """Begin without any."""
        self.due: float | None = None
        self._batch: list[wire.CandidateInit] = []
        self._wait = FIRST_BATCHING

    def is_due(self, now: float) -> bool:
        """Tell whether those that have gathered have waited long enough."""
        return self.due is not None and now >= self.due

    def collect(self, candidates: tuple[wire.CandidateInit, ...], now: float) -> bool:
        """Add candidates; tell whether they need not wait for others."""
        self._batch += candidates
        complete = candidates[-1].candidate == engine.END_OF_CANDIDATES
        if complete or len(self._batch) >= BATCH_LIMIT:
            return True
        if self.due is None:
            self.due = now + self._wait
        return False

    def take(self, *, connected: bool) -> tuple[wire.CandidateInit, ...]:
        """Return what one signal is to carry, which may be nothing, and begin again.

        Who is connected has no use for the end of the search.
        """
        batch = tuple(self._batch)
        self.clear()
        if connected and all(each.candidate == engine.END_OF_CANDIDATES for each in batch):
            return ()
        if batch:
            self._wait = BATCHING
        return batch

    def described(self) -> None:
        """Take note that a description went out: its first candidates are urgent."""
        self._wait = FIRST_BATCHING

    def clear(self) -> None:
        """Forget those that have gathered: their connection is no more."""
        self._batch.clear()
        self.due = None
