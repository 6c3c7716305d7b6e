"""Who is in the room, as one session sees it.

A peer is present while **the server lists it or its link lives**. Two witnesses,
because each of them fails alone: a server that restarts lists nobody until they
come back, and a link breaks without its peer having left. So:

====================================  ========================================
what is heard                         what follows
====================================  ========================================
peer-ready, or listed in a welcome    present
goodbye over the link                 gone at once, and it stays gone: a late
                                      list that still has it is ignored
peer-left, left                       the same, ``PARTING`` later: its goodbye may still
                                      be on its way over the link. The link's end is
                                      the end of waiting
peer-left, replaced                   gone at once; the newer session counts
kicked (see ``expulsion``)            gone at once, until its time is over; who never
                                      heard of it may then be back in the same session
peer-left, timeout                    unlisted: gone unless its link lives
a welcome of the same server life     who is missing in it is unlisted
a welcome of another server life      who is missing in it is unlisted after
                                      ``RETURN_GRACE``: they come back one by one
link up, link down                    a living link keeps an unlisted peer here
====================================  ========================================

While the server is away its last list stands.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from thkmesh.core.identity import SessionKey
from thkmesh.events import LeaveReason
from thkmesh.peer import Peer

__all__ = ["MEMBER_LIMIT", "PARTING", "RETURN_GRACE", "Arrived", "Departed", "Membership"]

MEMBER_LIMIT: Final = 256
"""Others beyond so many are ignored: each costs a connection, and a server may invent them."""

PARTING: Final = 1.0
"""Seconds that the goodbye over a link may come later than the server's word of it."""

RETURN_GRACE: Final = 30.0
"""Seconds that peers have to come back to a server that restarted."""

_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Arrived:
    """A session is now present."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class Departed:
    """A session is no longer present."""

    peer: Peer
    reason: LeaveReason


Change = Arrived | Departed


@dataclass(slots=True)
class _Member:
    peer: Peer
    listed: bool = True
    linked: bool = False
    forgiven_until: float | None = None
    """Unlisted, but not held against it before this time."""
    parting_until: float | None = None
    """It has left; by then its link has said so too, or will not."""


class Membership:
    """Tells who is present from what the server and the links say."""

    def __init__(self, me: SessionKey) -> None:
        """Begin alone."""
        self._me = me
        self._members: dict[SessionKey, _Member] = {}
        self._epoch: str | None = None
        # Sessions that said goodbye; bounded, the oldest is forgotten first.
        self._gone: OrderedDict[SessionKey, None] = OrderedDict()

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Everybody present but me, in order of arrival."""
        return tuple(member.peer for member in self._members.values())

    def __contains__(self, key: SessionKey) -> bool:
        """Tell whether a session is present."""
        return key in self._members

    def peer(self, key: SessionKey) -> Peer | None:
        """Return the peer of a session, None if it is not present."""
        member = self._members.get(key)
        return member.peer if member else None

    def listed(self, key: SessionKey) -> bool:
        """Tell whether the server lists a session, so that signals reach it."""
        member = self._members.get(key)
        return member is not None and member.listed

    @property
    def deadline(self) -> float | None:
        """When the time ends of the first that is forgiven, or parting."""
        first: float | None = None
        for member in self._members.values():
            for due in (member.forgiven_until, member.parting_until):
                if due is not None and (first is None or due < first):
                    first = due
        return first

    def welcome(self, epoch: str, peers: list[Peer], now: float) -> list[Change]:
        """Take the server's whole list; ``epoch`` names the server's life."""
        changes = [change for peer in peers for change in self.ready(peer)]
        present = {SessionKey(peer.id, peer.sid) for peer in peers}
        restarted = self._epoch is not None and epoch != self._epoch
        self._epoch = epoch
        for key, member in self._members.items():
            if key not in present and member.listed:
                member.listed = False
                member.forgiven_until = now + RETURN_GRACE if restarted else None
        return changes + self.settle(now)

    def ready(self, peer: Peer) -> list[Change]:
        """Take the server's word that a session is there."""
        key = SessionKey(peer.id, peer.sid)
        if key == self._me or key in self._gone:
            return []
        member = self._members.get(key)
        if member is not None:
            member.listed = True
            member.forgiven_until = None
            return []
        changes: list[Change] = []
        for other in [other for other in self._members if other.id == peer.id]:
            if self._members[other].parting_until is None:
                changes += self._depart(other, LeaveReason.REPLACED)
        if len(self._members) >= MEMBER_LIMIT:
            return changes
        self._members[key] = _Member(peer)
        return [*changes, Arrived(peer)]

    def goodbye(self, key: SessionKey) -> list[Change]:
        """Take the peer's own word, over its link, that it is gone."""
        self._forget(key)
        return self._depart(key, LeaveReason.LEFT)

    def kick(self, user_id: str) -> list[Change]:
        """Take the server's signed word that a peer is removed, whatever its links say."""
        changes: list[Change] = []
        for key in [key for key in self._members if key.id == user_id]:
            changes += self._depart(key, LeaveReason.KICKED)
        return changes

    def left(self, key: SessionKey, reason: LeaveReason, now: float) -> list[Change]:
        """Take the server's word that a session is gone."""
        member = self._members.get(key)
        if reason is not LeaveReason.TIMEOUT:
            self._forget(key)
        if member is None:
            return []
        if reason is LeaveReason.REPLACED:
            return self._depart(key, reason)
        member.listed = False
        member.forgiven_until = None
        if reason is LeaveReason.LEFT:
            member.parting_until = now + PARTING
        return self.settle(now)

    def _forget(self, key: SessionKey) -> None:
        self._gone[key] = None
        while len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)

    def link(self, key: SessionKey, now: float, *, alive: bool) -> list[Change]:
        """Take note that the link to a session came up or went down."""
        member = self._members.get(key)
        if member is None:
            return []
        member.linked = alive
        if not alive and member.parting_until is not None:
            return self._depart(key, LeaveReason.LEFT)
        return self.settle(now)

    def settle(self, now: float) -> list[Change]:
        """Let go of who has left, and of who is neither listed, linked nor forgiven."""
        changes: list[Change] = []
        for key, member in list(self._members.items()):
            if member.forgiven_until is not None and member.forgiven_until <= now:
                member.forgiven_until = None
            if member.parting_until is not None:
                if member.parting_until <= now:
                    changes += self._depart(key, LeaveReason.LEFT)
            elif not (member.listed or member.linked) and member.forgiven_until is None:
                changes += self._depart(key, LeaveReason.TIMEOUT)
        return changes

    def slept(self, duration: float) -> None:
        """Give back the time that we did not listen."""
        for member in self._members.values():
            if member.forgiven_until is not None:
                member.forgiven_until += duration
            if member.parting_until is not None:
                member.parting_until += duration

    def _depart(self, key: SessionKey, reason: LeaveReason) -> list[Change]:
        member = self._members.pop(key, None)
        return [Departed(member.peer, reason)] if member else []
