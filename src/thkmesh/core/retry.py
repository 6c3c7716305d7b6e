"""When has a connection taken too long, and when is the next one opened?

A connection, or a change of it, is pending until it has settled; what has not
settled within ``SETTLE_TIMEOUT`` has failed, whatever the engine says. The first
retry after a failure is immediate. Later ones wait (``full_jitter``), because both
ends and the network need a breath, until a connection has been good: it has lived
for ``STEADY``.

When the network has changed, waiting has lost its reason, and what has been pending
for a while hangs on addresses that are gone: both give way to a fresh attempt.

All times need the server. While it is away nothing is due, and what is pending
gets its time anew once it is back; nor does the time count in which we slept.
"""

from collections.abc import Callable
from typing import Final

from thkmesh.core.backoff import full_jitter

__all__ = [
    "HASTE",
    "HUNG",
    "RETRY_BASE",
    "RETRY_CAP",
    "SETTLE_TIMEOUT",
    "STEADY",
    "Retry",
]

SETTLE_TIMEOUT: Final = 15.0
"""Seconds for a connection to open, and for a renegotiation to settle."""

RETRY_BASE: Final = 1.0
RETRY_CAP: Final = 15.0
STEADY: Final = 2.0
"""A connection that lived this long was a good one: the next retry is immediate."""

HUNG: Final = 1.0
"""Seconds after which what is pending as the network changes is begun anew."""

HASTE: Final = 3.0
"""Seconds to settle for what had just begun as the network changed, and for the first attempt
after that: a browser that has just come to a network may not know its address there yet."""


class Retry:
    """The times of one link's attempts to connect."""

    def __init__(
        self,
        dice: Callable[[], float],
        at: float | None = None,
        *,
        timeout: float = SETTLE_TIMEOUT,
    ) -> None:
        """Begin with nothing pending.

        Args:
            dice: returns a random number in [0, 1) for the time of retries.
            at: when to open the next connection; None before anything failed.
            timeout: seconds for a connection to open, or to settle.
        """
        self.at = at
        self._dice = dice
        self._timeout = timeout
        self._pending_since: float | None = None
        self._limit = timeout
        self._hurried = False
        self._attempts = 0
        self._connected_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """When a retry is due, or else what is pending has failed."""
        if self.at is not None or self._pending_since is None:
            return self.at
        return self._pending_since + self._limit

    def overdue(self, now: float) -> bool:
        """Tell whether something has been pending for too long."""
        return self._pending_since is not None and now >= self._pending_since + self._limit

    def take(self, now: float) -> bool:
        """Tell whether to open the next connection now; it is pending from here on."""
        if self.at is None or now < self.at:
            return False
        self.at = None
        self._begin(now)
        return True

    def _begin(self, now: float) -> None:
        self._pending_since = now
        self._limit = min(HASTE, self._timeout) if self._hurried else self._timeout

    def watch(self, now: float, *, settled: bool, begun: bool) -> None:
        """Keep the time since when something has been waiting to settle.

        Args:
            now: seconds.
            settled: a connection is open and nothing is being changed about it.
            begun: there has been an attempt to connect.
        """
        if settled:
            self._pending_since = None
        elif self._pending_since is None and begun:
            self._begin(now)

    def connected(self, now: float) -> None:
        """Take note that a connection is open."""
        self.at = None
        self._hurried = False
        self._connected_at = now

    def renewed(self) -> None:
        """Take note that a fresh connection has taken the place of the former."""
        self.at = None
        self._pending_since = None

    def failed(self, now: float, *, wanted: bool) -> None:
        """Make the time for the next connection: now if it is ``wanted``, and none failed."""
        self._pending_since = None
        if wanted:
            self.at = now
        if self.at is not None:
            return
        self._hurried = False
        if self._connected_at is not None and now - self._connected_at >= STEADY:
            self._attempts = 0
        self._connected_at = None
        delay = 0.0
        if self._attempts:
            delay = full_jitter(self._attempts - 1, self._dice(), base=RETRY_BASE, cap=RETRY_CAP)
        self._attempts += 1
        self.at = now + delay

    def hurry(self, now: float) -> bool:
        """Retry now; return whether what was pending is given up for that."""
        self._attempts = 0
        self._hurried = True
        if self.at is not None:
            self.at = min(self.at, now)
        elif self._pending_since is not None:
            if now >= self._pending_since + HUNG:
                self.failed(now, wanted=True)
                return True
            self.hasten(now, HASTE)
        return False

    def hasten(self, now: float, patience: float) -> None:
        """Give what is pending no longer than ``patience`` from now; it may have less already."""
        if self._pending_since is not None and now + patience < self._pending_since + self._limit:
            self._pending_since, self._limit = now, patience

    def resumed(self, now: float) -> None:
        """Give what is pending its time anew: the server is back."""
        if self._pending_since is not None:
            self._pending_since = now

    def slept(self, duration: float) -> None:
        """Give back the time in which nothing could settle."""
        if self._pending_since is not None:
            self._pending_since += duration
