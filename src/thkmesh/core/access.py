"""What each connection may do at the server, and until when.

Permits end, and so do the credentials for TURN that a connection was given. Who is
connected is told in time::

    granted ──LEAD before the end──▶ warned ──the end──▶ expired: closed with 4407
       ▲                               │
       ╰───── granted anew ◀── a fresh token comes ──╯

A short permit is warned of after two thirds of it, so that there is always time to
ask somebody for a fresh one. What was granted holds for the connection, not the session:
whoever comes back shows a token again.

A token that came in time is good though it takes a while to decide on it: the end waits for
that, once. One that could not be decided on is asked for again, while the old permit holds.

A machine that slept moves no end: a permit is for so long of everybody's time, and a
client that is closed for that comes back with a fresh token of itself. Only that nobody
has been warned in time is made good: they get a moment for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, TypeAlias

from thkmesh.core.grants import Grant, Permit
from thkmesh.core.timeouts import Timeouts

__all__ = ["LEAD", "Access", "Expired", "Expiring", "Lapse", "Rotated"]

LEAD: Final = 60.0
"""Seconds before the end of a long permit at which its bearer is asked for another."""

_SHORT: Final = 3.0
"""A short one is asked for when the third part of it is left."""

_MOMENT: Final = 5.0
"""Seconds that who was warned too late, because we slept, still gets."""


_AGAIN: Final = 5.0
"""Seconds after which another token is asked for when one could not be decided on."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """A connection is to show another token: its permit ends in ``left`` seconds."""

    conn: int
    left: float


@dataclass(frozen=True, slots=True)
class Expired:
    """A connection's permit has ended."""

    conn: int


@dataclass(frozen=True, slots=True)
class Rotated:
    """A connection needs other credentials for TURN; its old ones end before long."""

    conn: int


Lapse: TypeAlias = Expiring | Expired | Rotated


@dataclass(slots=True)
class _Granted:
    grants: frozenset[Grant]
    until: float
    warn_at: float
    warned: bool = False
    held: bool = False
    """Whether the end has been put off for a decision."""
    ask_at: float = inf
    """When to ask again for a token that could not be decided on."""


@dataclass(order=True, slots=True)
class _Entry:
    """When to look at a connection; stale once that has been granted anew, or its end put off."""

    at: float
    conn: int
    granted: _Granted = field(compare=False)


class Access:
    """The permits of all connections of one server."""

    def __init__(self, rotation: float | None = None) -> None:
        """Begin with none.

        Args:
            rotation: seconds after which a connection needs other credentials for TURN;
                None where it has none.
        """
        self._granted: dict[int, _Granted] = {}
        self._heap: list[_Entry] = []
        self._rotation: Timeouts[int] | None = None if rotation is None else Timeouts(rotation)

    def grant(self, conn: int, permit: Permit, now: float) -> None:
        """Let a connection do what its permit says, from now on, and nothing else."""
        until = inf if permit.ttl is None else now + permit.ttl
        lead = 0.0 if permit.ttl is None else min(LEAD, permit.ttl / _SHORT)
        granted = _Granted(permit.grants, until, until - lead)
        self._granted[conn] = granted
        if until < inf:
            self._push(_Entry(granted.warn_at, conn, granted))

    def hold(self, conn: int, seconds: float, now: float) -> None:
        """Put off the end of a permit, while it is decided on another; once for each."""
        granted = self._granted.get(conn)
        if granted is None or granted.held:
            return
        granted.held = True
        if granted.until < now + seconds:
            granted.until = now + seconds
            if granted.warned:
                self._push(_Entry(granted.until, conn, granted))

    def ask_again(self, conn: int, now: float) -> None:
        """Have another token asked for some seconds later."""
        granted = self._granted.get(conn)
        if granted is not None and granted.ask_at == inf:
            granted.ask_at = now + _AGAIN
            self._push(_Entry(granted.ask_at, conn, granted))

    def attach(self, conn: int, now: float) -> None:
        """Begin to count how long its credentials for TURN will do."""
        if self._rotation is not None:
            self._rotation.start(conn, now)

    def forget(self, conn: int) -> None:
        """Grant a connection nothing any more."""
        self._granted.pop(conn, None)
        if self._rotation is not None:
            self._rotation.stop(conn)

    def clear(self) -> None:
        """Forget everybody."""
        self._granted.clear()
        self._heap.clear()
        if self._rotation is not None:
            self._rotation.clear()

    def may(self, conn: int, grant: Grant) -> bool:
        """Tell whether a connection has a grant."""
        granted = self._granted.get(conn)
        return granted is not None and grant in granted.grants

    def grants(self, conn: int) -> frozenset[Grant]:
        """Return all that a connection may do."""
        granted = self._granted.get(conn)
        return frozenset() if granted is None else granted.grants

    def left(self, conn: int, now: float) -> float | None:
        """Return for how many seconds a connection may do that; None means without end."""
        granted = self._granted.get(conn)
        return None if granted is None or granted.until == inf else granted.until - now

    @property
    def pending(self) -> int:
        """How many ends are kept, those that do not count any more included."""
        return len(self._heap)

    @property
    def first(self) -> float:
        """When something ends next, or is warned of; infinity when nothing does."""
        due = self._heap[0].at if self._heap else inf
        return due if self._rotation is None else min(due, self._rotation.first)

    def settle(self, now: float) -> Iterator[Lapse]:
        """Take out and yield what is due."""
        while self._heap and self._heap[0].at <= now:
            entry = heappop(self._heap)
            granted = entry.granted
            if not self._counts(entry):
                continue
            if entry.at == granted.ask_at:
                granted.ask_at = inf
                if now < granted.until:
                    yield Expiring(entry.conn, granted.until - now)
            elif granted.warned:
                yield Expired(entry.conn)
            else:
                granted.warned = True
                least = now + min(_MOMENT, granted.until - granted.warn_at)
                granted.until = max(granted.until, least)
                self._push(_Entry(granted.until, entry.conn, granted))
                yield Expiring(entry.conn, granted.until - now)
        if self._rotation is not None:
            for conn in self._rotation.expired(now):
                self._rotation.start(conn, now)
                yield Rotated(conn)

    def _push(self, entry: _Entry) -> None:
        """Note when to look again; stale entries are never more than those that could count."""
        heappush(self._heap, entry)
        if len(self._heap) > 4 * len(self._granted) + 16:
            self._heap = [each for each in self._heap if self._counts(each)]
            heapify(self._heap)

    def _counts(self, entry: _Entry) -> bool:
        """Tell whether there is something to do; of each connection two entries count at most."""
        granted = entry.granted
        if self._granted.get(entry.conn) is not granted:
            return False
        return entry.at in {granted.ask_at, granted.until if granted.warned else granted.warn_at}
