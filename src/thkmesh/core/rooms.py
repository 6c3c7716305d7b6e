"""The mind of the signaling server: who is in which room, and what reaches whom.

A **connection** is one WebSocket, known by a number. A **session** is one life of
a peer in a room, and outlives its connections: when one drops, the session keeps
its place for a grace period, nobody is told, and signals for it wait in a bounded
queue. So most reconnections are invisible to everybody else. Only a page that says
that it goes away (RFC 6455, code 1001) takes its session with it: Firefox closes
WebSockets before a page may say goodbye.

::

             Opened                HelloAccepted
    (none) ----------> greeted ----------------------> attached to a session
                          |                                    |
                          | 10 s, refused, or Drain            | leave, idle 60 s, replaced,
                          v                                    v superseded, invalid, or Drain
                        closed                               closed

                      HelloAccepted              Dropped, IDLE, INVALID
    session: (none) ----------------> connected <-----------------------> away
                                          |       HelloAccepted            |
                                          | leave, replaced, page gone     | grace, replaced
                                          v                                v
                                         gone: the others get peer-left

Rules that are easy to get wrong:

- One session for each id in a room: the newest wins (``replaced``), and takes the
  older one's seat even in a full room. The same session on a newer connection
  takes over without a word to the others: a hello proves possession of the key.
- Signals are forwarded as the exact text that came in, to exactly the session they
  name; what cannot be forwarded is refused, so that its sender still owes it.
- Sealed frames pass within their sender's allowance, to who is connected. All others are
  dropped without a word: their sender has to reckon with that anyway.
- Who is removed hears the signed statement like everybody else, then the close code. It
  comes in again when its ban is over, and not before (see ``bans``).
- Whoever is listed in a welcome was told of, or is told of later, exactly once.
- What one may do is a matter of its connection (see ``access``): who comes back shows
  anew what it may. What is not granted is refused with ``not-granted``.

Deciding whether a hello is genuine takes cryptography, so the shell does it and
feeds ``HelloAccepted`` or ``Refused``. Everything costs a constant time, but for
telling a room's members that somebody came or went.
"""

from collections.abc import Iterable, Iterator
from math import ceil, inf
from typing import Literal

from thkmesh.core.access import Access, Expired, Expiring, Lapse
from thkmesh.core.allowance import Allowance
from thkmesh.core.bans import Ban, Bans
from thkmesh.core.closing import CloseCode
from thkmesh.core.draining import Draining
from thkmesh.core.grants import Denied, Grant, lacking_to_enter, not_granted, sorted_grants
from thkmesh.core.machine import CATCH_UP, Slept, Tick
from thkmesh.core.room_events import (
    Close,
    Condemn,
    CreateRoom,
    Drain,
    Dropped,
    Event,
    Expel,
    HelloAccepted,
    Opened,
    Output,
    Received,
    Refused,
    Relay,
    Renewed,
    RenewIce,
    Renewing,
    RoomRules,
    Sealed,
    Send,
    Skipped,
    Stop,
    Undecided,
    Withdrawn,
)
from thkmesh.core.room_state import Counts, Room, RoomView, Session
from thkmesh.core.sealed import addressed
from thkmesh.core.timeouts import Timeouts
from thkmesh.core.wire import (
    PEER_READY_LIMIT_BYTES,
    VERSIONS,
    Admitted,
    AnySignal,
    Challenge,
    Error,
    Kick,
    Kicked,
    Leave,
    Message,
    Moving,
    PeerLeft,
    Ping,
    Pong,
    SignalRefused,
    Unsigned,
    Welcome,
    encode,
)

__all__ = ["Rooms"]


class Rooms:
    """All rooms of one server process.

    Attributes:
        epoch: names this life of the server.
        counts: what has happened.
    """

    def __init__(self, epoch: str, rules: RoomRules | None = None) -> None:
        self.epoch = epoch
        self.counts = Counts()
        self._rules = rules = rules or RoomRules()
        self._bans = Bans()
        self._stopped = False
        self._draining: Draining | None = None
        self._rooms: dict[str, Room] = {}
        self._connections: dict[int, Session | None] = {}
        self._greeted: Timeouts[int] = Timeouts(rules.hello_timeout)
        self._silent: Timeouts[int] = Timeouts(rules.idle_timeout)
        self._away: Timeouts[Session] = Timeouts(rules.grace)
        self._empty: Timeouts[str] = Timeouts(rules.room_ttl)
        self._access = Access(rules.ice_rotation or None)
        self._out: list[Output] = []

    # --- the contract of the core ---

    @property
    def deadline(self) -> float | None:
        """When to tick at the latest."""
        first = min(self._greeted.first, self._silent.first, self._away.first, self._empty.first)
        first = min(first, self._access.first, self._draining.first if self._draining else inf)
        return None if first == inf else first

    def handle(self, event: Event | Tick | Slept, now: float) -> list[Output]:
        """Settle what is due at ``now``, then ``event``; return what to send and close."""
        self._out = []
        if isinstance(event, Slept):
            for timeouts in (self._greeted, self._silent, self._away, self._empty):
                # What others said meanwhile comes in one by one, and each settles what is due.
                timeouts.postpone(event.duration + CATCH_UP, now)
        self._settle(now)
        match event:
            case Received(conn=conn):
                if conn in self._connections:
                    self._receive(event, self._connections[conn], now)
            case Sealed(conn=conn):
                if conn in self._connections:
                    self._pass_on(event, self._connections[conn], now)
            case HelloAccepted(conn=conn):
                if conn in self._connections:
                    self._enter(event, now)
            case Withdrawn(conn=conn):
                if conn in self._connections:
                    self._withdraw(event, now)
            case Renewed() | Renewing() | Undecided():
                self._shown(event, now)
            case Opened():
                self._greet(event, now)
            case Dropped(conn=conn, leaving=True):
                self._lose(conn, now)
            case Dropped(conn=conn):
                self._detach(conn, now)
            case Refused(conn=conn, code=code):
                error = Error(event.reason, event.message, event.retry_after)
                self._refuse_with(conn, error, code, now)
            case Skipped(conn=conn):
                self.counts.skipped += 1
                if self._connections.get(conn) is not None:
                    self._silent.start(conn, now)
            case CreateRoom(room=name, listed=listed):
                if name not in self._rooms and not self.full:
                    self._create(name, now, listed=listed)
            case Expel():
                self._expel(event, now)
            case Drain(seconds=seconds):
                self._drain(seconds, now)
            case Stop():
                self._stop()
            case _:
                pass  # Tick and Slept: all that there was to do has been settled.
        return self._out

    # --- questions ---

    @property
    def full(self) -> bool:
        """Tell whether no more rooms can come into being."""
        return self._stopped or len(self._rooms) >= self._rules.max_rooms

    @property
    def room_count(self) -> int:
        """How many rooms there are."""
        return len(self._rooms)

    @property
    def peer_count(self) -> int:
        """How many sessions are in rooms, those that are away included."""
        return sum(len(room.sessions) for room in self._rooms.values())

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def has(self, name: str) -> bool:
        """Tell whether there is a room of that name."""
        return name in self._rooms

    def inspect(self, name: str, now: float) -> RoomView | None:
        """Return what is known of a room, None if there is no such room."""
        room = self._rooms.get(name)
        return None if room is None else room.view(self._rules.max_peers, now)

    def listed(self, now: float) -> Iterator[RoomView]:
        """Yield the rooms that want to be found."""
        rooms = (room for room in self._rooms.values() if room.listed)
        return (room.view(self._rules.max_peers, now) for room in rooms)

    # --- time ---

    def _settle(self, now: float) -> None:
        """Do what is due. In this order: what one step starts, a later one may end."""
        for conn in self._greeted.expired(now):
            self._refuse(conn, "hello-timeout", "no hello came", CloseCode.HELLO_TIMEOUT, now)
        for conn in self._silent.expired(now):
            self._refuse(conn, "idle", "nothing came for too long", CloseCode.IDLE, now)
        for lapse in self._access.settle(now):
            self._lapsed(lapse, now)
        for session in self._away.expired(now):
            self._remove(session, "timeout", now)
        for name in self._empty.expired(now):
            del self._rooms[name]
        if self._draining is not None:
            self._move(self._draining.due(now), now)

    def _drain(self, seconds: float, now: float) -> None:
        """Let go at once of who has no session yet, of the others by and by."""
        self._move([(conn, 0.0) for conn, session in self._connections.items() if not session], now)
        self._draining = Draining(tuple(self._connections), seconds, now)
        self._move(self._draining.due(now), now)

    def _move(self, conns: Iterable[tuple[int, float]], now: float) -> None:
        """Ask clients to come back, elsewhere or later; their sessions keep their places."""
        for conn, wait in conns:
            if conn in self._connections:
                self._send(conn, Moving(round(wait, 3)))
                self._out.append(Close(conn, CloseCode.RESTARTING, "moving"))
                self._detach(conn, now)

    def _stop(self) -> None:
        for conn in self._connections:
            self._out.append(Close(conn, CloseCode.RESTARTING, "restart"))
        self._stopped = True
        self._draining = None
        self._rooms.clear()
        self._connections.clear()
        for timeouts in (self._greeted, self._silent, self._away, self._empty):
            timeouts.clear()
        self._access.clear()

    def _lapsed(self, lapse: Lapse, now: float) -> None:
        """Tell a connection what ends, or has ended."""
        conn, session = lapse.conn, self._connections[lapse.conn]
        assert session is not None, "who is granted something is in a room"
        match lapse:
            case Expiring():
                self._tell_permit(conn, now, renew=True)
            case Expired():
                message = "the token has expired, and no other came"
                self._refuse(conn, "token-expired", message, CloseCode.TOKEN_EXPIRED, now)
            case _:
                self._out.append(RenewIce(conn, session.key.id))

    def _shown(self, event: Renewed | Renewing | Undecided, now: float) -> None:
        """Take note of what becomes of a fresh token."""
        if isinstance(event, Renewing):
            self._access.hold(event.conn, event.seconds, now)
        elif isinstance(event, Undecided):
            self._access.ask_again(event.conn, now)
        elif self._connections.get(event.conn) is not None:
            self._renew(event, now)

    def _renew(self, event: Renewed, now: float) -> None:
        """Let a connection go on for longer, perhaps with other grants."""
        if "join" in event.permit.grants:
            self._access.grant(event.conn, event.permit, now)
            self._tell_permit(event.conn, now)
        else:
            self._deny(event.conn, not_granted("join"), now)

    def _tell_permit(self, conn: int, now: float, *, renew: bool = False) -> None:
        expires = self._access.left(conn, now)
        self._send(conn, Admitted(expires, sorted_grants(self._access.grants(conn)), renew))

    def _deny(self, conn: int, denied: Denied, now: float) -> None:
        self._refuse(conn, denied.reason, denied.message, denied.code, now)

    # --- connections ---

    def _greet(self, event: Opened, now: float) -> None:
        if self._stopped or self._draining is not None:
            self._out.append(Close(event.conn, CloseCode.RESTARTING, "restart"))
            return
        self._connections[event.conn] = None
        self._greeted.start(event.conn, now)
        self._send(event.conn, Challenge(event.nonce, self.epoch, VERSIONS))

    def _refuse(self, conn: int, reason: str, message: str, code: CloseCode, now: float) -> None:
        self._refuse_with(conn, Error(reason, message), code, now)

    def _refuse_with(self, conn: int, error: Error, code: CloseCode, now: float) -> None:
        """Say what is wrong and close; the session, if any, may come back."""
        if conn in self._connections:
            self._send(conn, error)
            self._out.append(Close(conn, code, error.reason))
            self._detach(conn, now)

    def _detach(self, conn: int, now: float) -> None:
        """Forget a connection; its session, if any, is away from now on."""
        session = self._forget(conn)
        if session is not None:
            self._away.start(session, now)

    def _lose(self, conn: int, now: float) -> None:
        """Forget a connection whose page is gone: nobody could come back.

        Not the same as ``leave``: should it come back nevertheless, that is an arrival.
        """
        session = self._forget(conn)
        if session is not None:
            self._remove(session, "timeout", now)

    def _forget(self, conn: int) -> Session | None:
        session = self._connections.pop(conn, None)
        self._greeted.stop(conn)
        self._silent.stop(conn)
        self._access.forget(conn)
        if session is not None:
            session.conn = None
        return session

    # --- coming ---

    def _enter(self, event: HelloAccepted, now: float) -> None:
        conn, hello = event.conn, event.hello
        invalid = CloseCode.INVALID
        ban = self._bans.of(hello.room_id, hello.from_user_id, now)
        if self._connections[conn] is not None:
            self._refuse(conn, "already-joined", "one hello is enough", invalid, now)
        elif len(encode(hello.ready).encode()) > PEER_READY_LIMIT_BYTES:
            message = f"an introduction has at most {PEER_READY_LIMIT_BYTES} bytes"
            self._refuse(conn, "introduction-too-large", message, invalid, now)
        elif ban is not None:
            message = f"come back in {ceil(ban.until - now)} s" + (f" ({ban.why})" * bool(ban.why))
            self._refuse(conn, "kicked", message, CloseCode.KICKED, now)
        else:
            self._admit(event, now)

    def _admit(self, event: HelloAccepted, now: float) -> None:
        """Find a place for whom nothing speaks against."""
        conn, hello = event.conn, event.hello
        room = self._rooms.get(hello.room_id)
        known = None if room is None else room.sessions.get(hello.from_user_id)
        if (lacking := lacking_to_enter(event.permit, new=room is None)) is not None:
            self._deny(conn, lacking, now)
        elif known is not None and known.key == hello.session:
            self._return(known, event, now)
        elif room is None and self.full:
            self._refuse(conn, "too-many-rooms", "no more rooms", CloseCode.OVERLOADED, now)
        elif room and known is None and len(room.sessions) >= self._rules.max_peers:
            message = f"the room has {self._rules.max_peers} peers already"
            self._refuse(conn, "room-full", message, CloseCode.ROOM_FULL, now)
        else:
            if known is not None:
                self._replace(known)
            self._arrive(room or self._create(hello.room_id, now), event, now)

    def _create(self, name: str, now: float, *, listed: bool = False) -> Room:
        room = self._rooms[name] = Room(name, listed)
        self._empty.start(name, now)
        return room

    def _arrive(self, room: Room, event: HelloAccepted, now: float) -> None:
        """Let a session in that was not there."""
        ready = event.hello.ready
        relay = Allowance(self._rules.relay_burst_bytes, self._rules.relay_bytes)
        session = Session(ready.session, room, now, event.introduction.name, ready, relay)
        room.sessions[session.key.id] = session
        self._empty.stop(room.name)
        self._attach(session, event, now, resumed=False)
        self._tell_others(session, ready)

    def _return(self, session: Session, event: HelloAccepted, now: float) -> None:
        """Let a session go on over a newer connection."""
        if session.conn is not None:
            self._out.append(Close(session.conn, CloseCode.SUPERSEDED, "superseded"))
            self._forget(session.conn)
        self._away.stop(session)
        ready, before = event.hello.ready, session.ready
        session.name, session.ready = event.introduction.name, ready
        self._attach(session, event, now, resumed=True)
        self._out += (Send(event.conn, text) for text in session.take_waiting())
        if ready != before:
            self._tell_others(session, ready)

    def _attach(self, session: Session, event: HelloAccepted, now: float, *, resumed: bool) -> None:
        conn = session.conn = event.conn
        self._connections[conn] = session
        self._greeted.stop(conn)
        self._silent.start(conn, now)
        self._access.grant(conn, event.permit, now)
        self._access.attach(conn, now)
        self._send(conn, self._welcome(session, event, now, resumed=resumed))

    def _welcome(
        self, session: Session, event: HelloAccepted, now: float, *, resumed: bool
    ) -> Welcome:
        grants = event.permit.grants
        others = (other for other in session.room.sessions.values() if other is not session)
        return Welcome(
            room_id=session.room.name,
            epoch=self.epoch,
            resume=event.resume,
            resumed=resumed,
            peers=tuple(other.ready for other in others),
            ice_servers=self._rules.ice_servers + event.ice_servers,
            max_peers=self._rules.max_peers,
            ping_interval=self._rules.ping_interval,
            relay_bytes=self._rules.relay_bytes if "relay" in grants else 0,
            room_key=event.room_key,
            time=event.time,
            kicked=self._bans.statements(session.room.name, now),
            expires=event.permit.ttl,
            grants=sorted_grants(grants),
        )

    # --- going ---

    def _replace(self, session: Session) -> None:
        if session.conn is not None:
            self._send(session.conn, Error("replaced", "a newer session took this one's place"))
            self._out.append(Close(session.conn, CloseCode.REPLACED, "replaced"))
            self._forget(session.conn)
        self._take_out(session, "replaced")

    def _remove(self, session: Session, reason: Literal["left", "timeout"], now: float) -> None:
        self._take_out(session, reason)
        if not session.room.sessions:
            self._empty.start(session.room.name, now)

    def _withdraw(self, event: Withdrawn, now: float) -> None:
        """Take out the session that somebody was about to come back to; that needs no grant."""
        self._out.append(Close(event.conn, CloseCode.NORMAL, "left"))
        self._forget(event.conn)
        room = self._rooms.get(event.hello.room_id)
        session = None if room is None else room.sessions.get(event.hello.from_user_id)
        if session is None or session.key != event.hello.session or session.node:
            return  # One that another process has is for that to miss.
        if session.conn is not None:
            self._out.append(Close(session.conn, CloseCode.SUPERSEDED, "superseded"))
            self._forget(session.conn)
        self._remove(session, "left", now)

    def _take_out(self, session: Session, reason: Literal["left", "timeout", "replaced"]) -> None:
        self._away.stop(session)
        del session.room.sessions[session.key.id]
        self._tell_others(session, PeerLeft(session.room.name, *session.key, reason))

    def _expel(self, event: Expel, now: float) -> None:
        """Keep a peer out, tell everybody, and close on it."""
        ban = Ban(now + event.duration, event.statement, event.why)
        self._bans.add(event.room, event.user_id, ban, now)
        room = self._rooms.get(event.room)
        if room is None:
            return
        self._state(room, event.statement)
        session = room.sessions.get(event.user_id)
        if session is not None:
            self._put_out(session, event, now)

    def _state(self, room: Room, statement: Kicked) -> None:
        """Tell everybody in a room."""
        text = encode(statement)
        for each in room.sessions.values():
            if each.conn is not None:
                self._out.append(Send(each.conn, text))

    def _put_out(self, session: Session, event: Expel, now: float) -> None:
        """Take a session out that is removed."""
        conn = session.conn
        if conn is not None:
            self._send(conn, Error("kicked", event.why, event.duration))
            self._out.append(Close(conn, CloseCode.KICKED, "kicked"))
            self._forget(conn)
        # The statement is what parts it from the others.
        self._remove(session, "timeout", now)

    # --- messages ---

    def _receive(self, event: Received, session: Session | None, now: float) -> None:
        conn, message = event.conn, event.message
        if session is None:
            text = f"a hello must come first, not {message.__struct_config__.tag}"
            self._refuse(conn, "hello-expected", text, CloseCode.INVALID, now)
            return
        self._silent.start(conn, now)
        match message:
            case Ping(n=n):
                self._send(conn, Pong(n))
            case Leave():
                self._out.append(Close(conn, CloseCode.NORMAL, "left"))
                self._forget(conn)
                self._remove(session, "left", now)
            case Kick(user_id=user_id, duration=duration, reason=why):
                if self._access.may(conn, "kick"):
                    self._out.append(Condemn(session.room.name, user_id, duration, why))
                else:
                    self._forbid(conn, "kick", message.n)
            case _:
                self._relay(session, message, event, now)

    def _relay(self, session: Session, signal: AnySignal, event: Received, now: float) -> None:
        conn = event.conn
        if not signal.whole:
            self._send(conn, Error(Unsigned.reason, "signals carry sids, a body and a signature"))
            return
        if signal.source != session.key or signal.room_id != session.room.name:
            message = "roomId, fromUserId and fromSid are not those of this connection"
            self._refuse(conn, "not-yours", message, CloseCode.INVALID, now)
            return
        if not self._access.may(conn, "send"):
            self._forbid(conn, "send")
            return
        target = session.room.sessions.get(signal.to_user_id)
        if target is None or target.key.sid != signal.to_sid:
            self._send(conn, SignalRefused(*signal.to, signal.seq, "unknown-session"))
        elif target.conn is not None:
            self.counts.signal(event.text)
            self._out.append(Send(target.conn, event.text))
        elif self._keep(target, event.text):
            self.counts.signal(event.text)
        else:
            self._send(conn, SignalRefused(*signal.to, signal.seq, "queue-full"))

    def _keep(self, target: Session, text: str) -> bool:
        """Keep a signal for a session that is away; tell whether there was space."""
        return target.keep(text, self._rules)

    def _pass_on(self, event: Sealed, session: Session | None, now: float) -> None:
        """Put the sender's name in the place of the recipient's, if all is well."""
        if session is None:
            text = "a hello must come first, not a sealed frame"
            self._refuse(event.conn, "hello-expected", text, CloseCode.INVALID, now)
            return
        self._silent.start(event.conn, now)
        if not self._access.may(event.conn, "relay"):
            self.counts.dropped += 1
            self._forbid(event.conn, "relay")
            return
        frame = addressed(session.key, event.rest)
        target = session.room.sessions.get(event.to.id)
        reachable = target is not None and target.key == event.to and target.conn is not None
        if self._rules.relay_bytes and reachable and session.relay.take(len(frame), now):
            assert target is not None
            assert target.conn is not None
            self.counts.relayed += 1
            self.counts.relayed_bytes += len(frame)
            self._out.append(Relay(target.conn, frame))
        else:
            self.counts.dropped += 1

    def _forbid(self, conn: int, grant: Grant, n: int = 0) -> None:
        """Say that something was not done for want of a grant; that is not fatal."""
        denied = not_granted(grant)
        self._send(conn, Error(denied.reason, denied.message, n=n))

    def _send(self, conn: int, message: Message) -> None:
        self._out.append(Send(conn, encode(message)))

    def _tell_others(self, session: Session, message: Message) -> None:
        """Tell everybody else in the room who is connected; the others' welcome will."""
        text = encode(message)
        for other in session.room.sessions.values():
            if other is not session and other.conn is not None:
                self._out.append(Send(other.conn, text))
