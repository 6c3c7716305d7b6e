"""Sessions of other nodes, as the rooms of one node hold them.

They are sessions like any other, but for their ``node``, and for the number of a
**mount** in place of a connection's, which is below zero: what is sent to it goes to
that node. A room is here as long as one of its sessions is ours. See ``shared_rooms``,
which keeps the replica true.
"""

from collections import Counter
from typing import Literal, TypeAlias

from thkmesh.core.allowance import Allowance
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import SessionKey
from thkmesh.core.room_events import Close, RoomRules, Send
from thkmesh.core.room_state import Room, Session
from thkmesh.core.rooms import Rooms
from thkmesh.core.shared_events import (
    Away,
    Depart,
    Joined,
    Looked,
    Member,
    Mount,
    Unmount,
)
from thkmesh.core.timeouts import Timeouts
from thkmesh.core.wire import Message, PeerReady, decode_to_client, encode

__all__ = ["Reason", "Replica"]

Reason: TypeAlias = Literal["left", "timeout", "replaced"]


class Replica(Rooms):
    """Rooms of which others have a part.

    Attributes:
        node: our name.
    """

    def __init__(self, node: str, rules: RoomRules | None = None) -> None:
        super().__init__("", rules)
        self.node = node
        self._mounts = 0
        self._versions: dict[str, int] = {}
        # Sessions of which a newer connection is on its way in: what becomes of the older one
        # must not end it, since the broker is told only after it has let them in.
        self._joining: Counter[tuple[str, SessionKey]] = Counter()
        # Rooms in which nobody is missed yet, since the broker has forgotten them.
        self._forgiving: Timeouts[str] = Timeouts(self._rules.grace)

    @property
    def peer_count(self) -> int:
        """How many sessions are ours, those that are away included."""
        sessions = (each for room in self._rooms.values() for each in room.sessions.values())
        return sum(not each.node for each in sessions)

    # --- the replica ---

    def _synchronize(self, answer: Joined | Looked, now: float) -> None:
        """Make our list of a room that of the broker, and tell our members of changes."""
        room = self._rooms.get(answer.room)
        if room is None:
            return
        self._versions[room.name] = answer.version
        for member in answer.members:
            self._place(room, member, now)
        if room.name in self._forgiving:
            return
        present = {member.id: member.sid for member in answer.members}
        for session in list(room.sessions.values()):
            sid = present.get(session.key.id)
            if session.node and sid != session.key.sid:
                self._take_out(session, "replaced" if sid else "timeout")

    def _place(self, room: Room, member: Member, now: float) -> None:
        """Have one session of another node in a room, as the broker says."""
        if member.node == self.node:
            return
        ready = decode_to_client(member.words)
        assert isinstance(ready, PeerReady), "nodes pass on what they have checked"
        known = room.sessions.get(member.id)
        if known is not None and known.key != member.key:
            self._replace(known)
            known = None
        if known is None:
            relay = Allowance(0, 0)
            known = Session(member.key, room, now - member.age, "", ready, relay, node=member.node)
            room.sessions[member.id] = known
            self._mount(known)
            self._tell_others(known, ready)
            return
        if known.node != member.node:
            self._move_away(known, member.node)
        if known.ready != ready:
            known.ready = ready
            self._tell_others(known, ready)

    def _mount(self, session: Session) -> None:
        self._mounts -= 1
        session.conn = self._mounts
        self._out.append(Mount(self._mounts, session.node, session.room.name, session.key))

    def _unmount(self, session: Session) -> None:
        assert session.conn is not None, "who is on another node has a mount"
        self._out.append(Unmount(session.conn))
        session.conn = None

    def _move_away(self, session: Session, node: str) -> None:
        """Follow a session to another node, from here or elsewhere."""
        if session.node:
            self._unmount(session)
        else:
            if session.conn is not None:
                self._out.append(Close(session.conn, CloseCode.SUPERSEDED, "superseded"))
                self._forget(session.conn)
            self._away.stop(session)
        session.node = node
        self._mount(session)

    def _take_home(self, session: Session) -> None:
        """Make a session of another node ours."""
        self._unmount(session)
        session.node = ""
        session.relay = Allowance(self._rules.relay_burst_bytes, self._rules.relay_bytes)

    def _let_go(self, room: Room) -> None:
        """Forget a room in which nobody is ours."""
        if any(not session.node for session in room.sessions.values()):
            return
        for session in room.sessions.values():
            self._unmount(session)
        self._rooms.pop(room.name, None)
        self._versions.pop(room.name, None)
        self._empty.stop(room.name)
        self._forgiving.stop(room.name)

    # --- going ---

    def _detach(self, conn: int, now: float) -> None:
        session = self._connections.get(conn)
        super()._detach(conn, now)
        if session is not None and not self._joining[session.room.name, session.key]:
            self._out.append(Away(session.room.name, session.key))

    def _replace(self, session: Session) -> None:
        if session.node:
            self._take_out(session, "replaced")
        else:
            super()._replace(session)

    def _remove(self, session: Session, reason: Literal["left", "timeout"], now: float) -> None:
        super()._remove(session, reason, now)
        self._let_go(session.room)

    def _take_out(self, session: Session, reason: Reason) -> None:
        super()._take_out(session, reason)
        if session.node:
            self._unmount(session)
        elif reason != "replaced" and not self._joining[session.room.name, session.key]:
            self._out.append(Depart(session.room.name, session.key, reason))

    def _tell_others(self, session: Session, message: Message) -> None:
        """Tell our members; the broker tells the others."""
        text = encode(message)
        for other in session.room.sessions.values():
            if other is not session and other.conn is not None and not other.node:
                self._out.append(Send(other.conn, text))
