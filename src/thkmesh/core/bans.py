"""Who may not come into which room, as the signaling server knows it.

A ban is of one id in one room, until a time. It belongs to the room's name: it outlives
the room, and ends by itself. How many there are is bounded, for each room so that all fit
into a welcome, and in all; beyond either the one that ends first gives way.
"""

from typing import Final

from msgspec import Struct

from thkmesh.core.wire import Kicked

__all__ = ["BANS_IN_ALL", "BANS_IN_ROOM", "Ban", "Bans"]

BANS_IN_ROOM: Final = 64
BANS_IN_ALL: Final = 10_000
"""So many are remembered at one time."""


class Ban(Struct, frozen=True):
    """One peer's.

    Attributes:
        until: when it ends, by the machine's clock.
        statement: the message that says so, signed, for whoever comes back.
        why: in words, for who is refused.
    """

    until: float
    statement: Kicked
    why: str


class Bans:
    """Those of all rooms."""

    def __init__(self, limit: int = BANS_IN_ALL) -> None:
        """Begin without any; no more than ``limit`` are remembered."""
        self._limit = limit
        self._rooms: dict[str, dict[str, Ban]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many are remembered, those that are over and were not asked for included."""
        return self._count

    def add(self, room: str, user_id: str, ban: Ban, now: float) -> None:
        """Keep a peer out of a room."""
        bans = self._current(room, now)
        if user_id in bans:
            self._drop(room, user_id)
        elif len(bans) >= BANS_IN_ROOM:
            self._drop(room, min(bans, key=lambda each: (bans[each].until, each)))
        elif self._count >= self._limit:
            self._make_room(now)
        self._rooms.setdefault(room, {})[user_id] = ban
        self._count += 1

    def of(self, room: str, user_id: str, now: float) -> Ban | None:
        """Return what keeps a peer out of a room, None if nothing does."""
        return self._current(room, now).get(user_id)

    def statements(self, room: str, now: float) -> tuple[Kicked, ...]:
        """Return what holds in a room."""
        return tuple(ban.statement for ban in self._current(room, now).values())

    def _current(self, room: str, now: float) -> dict[str, Ban]:
        """Return a room's, without what is over."""
        bans = self._rooms.get(room, {})
        for user_id in [each for each, ban in bans.items() if ban.until <= now]:
            self._drop(room, user_id)
        return self._rooms.get(room, {})

    def _make_room(self, now: float) -> None:
        """Forget all that is over; if that is nothing, what ends first."""
        for room in list(self._rooms):
            self._current(room, now)
        if self._count >= self._limit:
            _, room, user_id = min(
                (ban.until, room, each)
                for room, bans in self._rooms.items()
                for each, ban in bans.items()
            )
            self._drop(room, user_id)

    def _drop(self, room: str, user_id: str) -> None:
        del self._rooms[room][user_id]
        self._count -= 1
        if not self._rooms[room]:
            del self._rooms[room]
