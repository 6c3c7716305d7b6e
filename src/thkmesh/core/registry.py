"""What a broker knows: who is in which room, through which node, and who waits for what.

This is the memory broker's mind, and says what the Redis broker's scripts do
(``server/broker/*.lua``): one conformance suite holds both to the same.

A node holds a **lease**, which it renews every third of its time. What runs out is the
lease of a node, never that of a member, so that a thousand sessions cost no more than
one. Members of a node without a lease are away, as if their connections had broken;
``grace`` after the last renewal the node is *buried*: its members are gone. Whoever
renews its own lease learns which nodes that concerns, and buries them.

News about a room go to the nodes that have members in it, and to no others, but for the
node that caused them: it has an answer instead. Each change has a number, the version
of the room. Everything is decided in one step, so two never both have the last seat.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from thkmesh.core.identity import SessionKey
from thkmesh.core.room_events import Command, News, RoomRules
from thkmesh.core.shared_events import (
    Away,
    Came,
    Depart,
    Entrust,
    Join,
    Joined,
    Look,
    Looked,
    Member,
    Post,
    Posted,
    Returned,
    Tell,
    Told,
    Verdict,
    Went,
)

__all__ = ["LEASE", "Record", "Registry"]

LEASE = 15.0
"""Seconds for which a node counts as living after it last said so."""


@dataclass(slots=True)
class _Seat:
    sid: str
    node: str
    since: float
    words: str
    away: bool = False

    def member(self, id: str, now: float) -> Member:
        return Member(id, self.sid, self.node, self.away, now - self.since, self.words)


@dataclass(slots=True)
class _Waiting:
    until: float
    texts: deque[str] = field(default_factory=deque[str])
    bytes: int = 0


@dataclass(slots=True)
class Record:
    """One room.

    Attributes:
        version: how often it has changed.
        listed: it wants to be found.
        until: when it is forgotten if nobody comes; None while somebody is there.
        hub: which node it was assigned to; None if to none.
        seats: who is in it, by id.
    """

    version: int = 0
    listed: bool = False
    until: float | None = None
    hub: str | None = None
    seats: dict[str, _Seat] = field(default_factory=dict[str, _Seat])

    def members(self, now: float) -> tuple[Member, ...]:
        """Return who is there."""
        return tuple(seat.member(id, now) for id, seat in self.seats.items())


class Registry:
    """All rooms of a cluster."""

    def __init__(self, epoch: str, rules: RoomRules, deliver: Callable[[str, News], bool]) -> None:
        """Know nobody.

        Args:
            epoch: names this life of the registry.
            rules: the limits and times.
            deliver: hands news to a node; False if nobody listens there.
        """
        self.epoch = epoch
        self._rules = rules
        self._deliver = deliver
        self._leases: dict[str, float] = {}
        self._rooms: dict[str, Record] = {}
        self._waiting: dict[tuple[str, SessionKey], _Waiting] = {}

    # --- nodes ---

    def renew(self, node: str, now: float) -> list[str]:
        """Renew a node's lease; return the nodes that are to be buried."""
        self._leases[node] = now + LEASE
        return [name for name in self._leases if self._dead(name, now)]

    def known(self, node: str) -> bool:
        """Tell whether a node has a lease, or has not been buried at least."""
        return node in self._leases

    def _dead(self, node: str, now: float) -> bool:
        """Tell whether the time of a node's members is over."""
        return self._leases.get(node, -inf) + max(0.0, self._rules.grace - LEASE) < now

    def bury(self, node: str, now: float) -> None:
        """Take the members of a dead node out."""
        if not self._dead(node, now):
            return
        self._leases.pop(node, None)
        for name in list(self._rooms):
            self._purge(name, now)

    def _purge(self, name: str, now: float) -> None:
        room = self._rooms[name]
        for id, seat in list(room.seats.items()):
            if self._dead(seat.node, now):
                self._vacate(name, SessionKey(id, seat.sid), "timeout", "", now)

    # --- rooms ---

    def room(self, name: str, now: float) -> Record | None:
        """Return what is known of a room, None if there is none."""
        room = self._rooms.get(name)
        if room is not None and room.until is not None and room.until <= now:
            del self._rooms[name]
            return None
        return room

    def listed(self, now: float) -> Iterator[tuple[str, int]]:
        """Yield the rooms that want to be found, and how many are there."""
        for name in list(self._rooms):
            room = self.room(name, now)
            if room is not None and room.listed:
                yield name, len(room.seats)

    def create(self, name: str, now: float, *, listed: bool) -> bool:
        """Make a room; False if there is one."""
        if self.room(name, now) is not None:
            return False
        self._rooms[name] = Record(listed=listed, until=now + self._rules.room_ttl)
        return True

    def assign_hub(self, name: str, hub: str, now: float) -> str:
        """Assign a room to a hub unless it has one; return which it has."""
        self.create(name, now, listed=False)
        room = self._rooms[name]
        room.hub = room.hub or hub
        return room.hub

    # --- commands ---

    def obey(self, node: str, command: Command, now: float) -> News | None:
        """Do what a node wants; return the answer, if it is owed one."""
        match command:
            case Join():
                return self._join(node, command, now)
            case Depart(room=room, key=key, reason=reason):
                seat = self._seat(room, key, now)
                if seat is not None and seat.node == node:
                    self._vacate(room, key, reason, node, now)
            case Away(room=room, key=key):
                seat = self._seat(room, key, now)
                if seat is not None and seat.node == node:
                    seat.away = True
            case Entrust():
                return self._entrust(node, command, now)
            case Tell(room=name, text=text):
                if (record := self.room(name, now)) is not None:
                    self._announce(record, node, Told(name, text))
            case Look(room=name):
                record = self.room(name, now) or Record()
                return Looked(name, record.version, record.members(now))
            case _:
                pass
        return None

    def _seat(self, name: str, key: SessionKey, now: float) -> _Seat | None:
        room = self.room(name, now)
        seat = room.seats.get(key.id) if room else None
        return seat if seat is not None and seat.sid == key.sid else None

    def _join(self, node: str, join: Join, now: float) -> Joined:
        if not (join.may_create or join.claim) and self.room(join.room, now) is None:
            return Joined(join.ticket, join.room, join.key, "missing", 0, ())
        self.create(join.room, now, listed=False)
        self._purge(join.room, now)
        room, key = self._rooms[join.room], join.key
        old = room.seats.get(key.id)
        elsewhere = old is not None and old.node != node and self._leases.get(old.node, now) > now
        verdict: Literal["new", "resumed"]
        verdict = "resumed" if old is not None and old.sid == key.sid else "new"
        if join.claim and elsewhere:
            return self._answer(join, "elsewhere", now)
        if old is None and not join.claim and len(room.seats) >= self._rules.max_peers:
            return self._answer(join, "full", now)
        since = now if old is None or verdict == "new" else old.since
        seat = room.seats[key.id] = _Seat(key.sid, node, since, join.words, join.away)
        room.until = None
        if old is None or verdict == "new" or (old.node, old.words) != (node, join.words):
            room.version += 1
            came = Came(join.room, room.version, seat.member(key.id, now))
            self._announce(room, node, came, old)
        return self._answer(join, verdict, now)

    def _answer(self, join: Join, verdict: Verdict, now: float) -> Joined:
        room = self._rooms[join.room]
        texts: tuple[str, ...] = ()
        if verdict in {"new", "resumed"} and not join.away:
            waiting = self._waiting.pop((join.room, join.key), None)
            if waiting is not None and waiting.until > now:
                texts = tuple(waiting.texts)
        members = room.members(now)
        return Joined(join.ticket, join.room, join.key, verdict, room.version, members, texts)

    def _vacate(
        self,
        name: str,
        key: SessionKey,
        reason: Literal["left", "timeout", "replaced"],
        node: str,
        now: float,
    ) -> None:
        room = self._rooms[name]
        del room.seats[key.id]
        self._waiting.pop((name, key), None)
        room.version += 1
        self._announce(room, node, Went(name, room.version, key, reason))
        if not room.seats:
            room.until = now + self._rules.room_ttl

    def _entrust(self, node: str, trust: Entrust, now: float) -> Returned | None:
        name, to, text = trust.room, trust.to, trust.text
        seat = self._seat(name, to, now)
        if seat is None:
            return Returned(text, "unknown-session")
        if seat.node != node:
            post = Posted((Post(name, *to, text),))
            if self._deliver(seat.node, post):
                return None
        waiting = self._waiting.get((name, to))
        if waiting is None or waiting.until <= now:
            waiting = self._waiting[name, to] = _Waiting(now)
        size = waiting.bytes + len(text.encode())
        if len(waiting.texts) >= self._rules.away_messages or size > self._rules.away_bytes:
            return Returned(text, "queue-full")
        waiting.texts.append(text)
        waiting.bytes = size
        waiting.until = now + self._rules.grace + LEASE
        return None

    def _announce(self, room: Record, but: str, news: News, old: _Seat | None = None) -> None:
        """Tell the nodes that have members, and the one whose member was replaced or moved."""
        nodes = {seat.node for seat in room.seats.values()}
        if old is not None:
            nodes.add(old.node)
        for node in nodes - {but}:
            self._deliver(node, news)
