"""The rooms of one server process where several serve the same rooms.

Who is in a room is for a **broker** to say, which all processes ask (``registry``). A
process, here a **node**, has the sessions that are connected to it, and a *replica* of
the others in their rooms: these are sessions too, but with a ``node`` and with the
number of a *mount* in place of a connection's, which is below zero. What is sent to a
mount goes to the other node. So a signal costs the same whoever it is for, and what
``Rooms`` does is untouched.

=====================  ==================  =======================================
what happens here      the broker          what follows here
=====================  ==================  =======================================
hello                  ``Join``            ``Joined``: welcome, or refused
leave, grace is over   ``Depart``          nothing to wait for
connection lost        ``Away``            the session stays ours, for its grace
signal for the away    ``Entrust``         kept there, for wherever it comes back
welcome, peer-ready    ``Came``            replica changed, our members told
peer-left              ``Went``            the same
anything for the room  ``Tell``            ``Told``: our members told
=====================  ==================  =======================================

**Order.** The broker answers on one way and tells news on another. Every change of a
room has a number, its *version*. While an answer about a room is owed, the room's news
and posts wait; then the answer's list is taken, and of the news only what is later.

**The broker away.** Members of one node go on with each other; who comes back to the
node that has its session is welcome; everybody else is turned away with 1013 and
``retryAfter``, for two nodes that admit without knowing of each other would both be
wrong. When it is back (``Up``), every node *claims* its sessions: a claim is a join
that takes nothing from a node that lives. If the broker has forgotten everything, which
a new epoch says, all nodes do so at the same time: then nobody is missed for a grace
period, and only after that (``Look``) is who is still missing gone. Every client is
welcomed again, which makes it repeat at once what it still owes to others.

**A node that died.** Nothing needs to be told: its sessions are away. Signals for them
are kept by the broker, until they come back through another node or their time is over.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf

from msgspec.structs import replace

from thkmesh.core.allowance import Allowance
from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import lacking_to_enter, not_granted, sorted_grants
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.replica import Replica
from thkmesh.core.room_events import (
    Close,
    Event,
    Expel,
    HelloAccepted,
    News,
    Output,
    Received,
    Relay,
    RenewIce,
    RoomRules,
    Sealed,
    Send,
)
from thkmesh.core.room_state import Room, Session
from thkmesh.core.shared_events import (
    Away,
    Came,
    Depart,
    Down,
    Entrust,
    Join,
    Joined,
    Look,
    Looked,
    Post,
    Posted,
    Returned,
    Tell,
    Told,
    Up,
    Went,
)
from thkmesh.core.wire import (
    Error,
    Kicked,
    Signal,
    SignalRefused,
    Welcome,
    decode_expulsion,
    decode_to_client,
    decode_to_server,
    encode,
)

__all__ = ["EARLY_LIMIT", "RETRY_AFTER", "SharedRooms"]

RETRY_AFTER = 1.0
"""Seconds after which who was turned away, as the broker was, may try again."""

EARLY_LIMIT = 16
"""How many messages may come behind a hello before it is answered."""


@dataclass(slots=True)
class _Entry:
    """Somebody whose hello the broker is asked about, and what came behind it."""

    event: HelloAccepted
    early: list[Received | Sealed] = field(default_factory=list["Received | Sealed"])


@dataclass(slots=True)
class _Owed:
    """Answers about a room that are owed, and what has to wait for them."""

    answers: int = 0
    news: deque["Came | Went | Told | Post"] = field(
        default_factory=deque["Came | Went | Told | Post"]
    )


class SharedRooms(Replica):
    """The rooms of one node.

    Attributes:
        online: whether the broker can be asked.
    """

    def __init__(self, node: str, rules: RoomRules | None = None) -> None:
        super().__init__(node, rules)
        self.online = False
        self._wall = inf
        """How far the clock on the wall is ahead of ours, in seconds; infinite before a hello."""
        self._entries: dict[int, _Entry] = {}
        self._owed: dict[str, _Owed] = {}

    @property
    def deadline(self) -> float | None:
        """When to tick at the latest."""
        first = min(super().deadline or inf, self._forgiving.first)
        return None if first == inf else first

    def handle(self, event: Event | Tick | Slept, now: float) -> list[Output]:
        """Settle what is due at ``now``, then ``event``; return what is to be done."""
        if not isinstance(event, News):
            super().handle(event, now)
        else:
            self._out = []
            self._settle(now)
            self._learn(event, now)
        for name in self._forgiving.expired(now):
            if self.online:
                self._ask(Look(name))
        return self._out

    def _learn(self, event: News, now: float) -> None:
        """Take in what the broker says."""
        match event:
            case Posted(posts=posts):
                for post in posts:
                    self._posted(post)
            case Joined():
                self._joined(event, now)
            case Looked(room=name):
                self._synchronize(event, now)
                self._answered(name, now)
                if name in self._rooms:
                    self._let_go(self._rooms[name])
            case Came() | Went() | Told():
                owed = self._owed.get(event.room)
                if owed is None:
                    self._hear(event, now)
                else:
                    owed.news.append(event)
            case Returned(text=text, reason=reason):
                self._returned(text, reason)
            case Up(epoch=epoch):
                self._up(epoch, now)
            case Down():
                self._down(now)
            case _:
                pass

    def _stop(self) -> None:
        # Sessions are not taken out: they come back through another node.
        super()._stop()
        self._entries.clear()
        self._owed.clear()
        self._joining.clear()
        self._forgiving.clear()

    # --- the broker ---

    def _ask(self, question: Join | Look) -> None:
        """Ask what will be answered; until then what is told of the room waits."""
        self._owed.setdefault(question.room, _Owed()).answers += 1
        self._out.append(question)

    def _answered(self, name: str, now: float) -> None:
        """Take up what waited, if this was the last answer."""
        owed = self._owed[name]
        owed.answers -= 1
        if owed.answers:
            return
        del self._owed[name]
        for news in owed.news:
            if isinstance(news, Post):
                self._posted(news)
            else:
                self._hear(news, now)

    def _up(self, epoch: str, now: float) -> None:
        """Claim what is ours, of which the broker may know nothing."""
        forgotten = bool(self.epoch) and epoch != self.epoch
        self.epoch = epoch
        self.online = True
        self._owed.clear()
        self._versions.clear()
        for room in self._rooms.values():
            if forgotten:
                self._forgiving.start(room.name, now)
            for session in room.sessions.values():
                if not session.node:
                    away, words = session.conn is None, encode(session.ready)
                    self._ask(Join(0, room.name, session.key, words, claim=True, away=away))

    def _down(self, now: float) -> None:
        self.online = False
        self._owed.clear()
        self._joining.clear()
        entries, self._entries = self._entries, {}
        for conn, entry in entries.items():
            name, key = entry.event.hello.room_id, entry.event.hello.session
            room = self._rooms.get(name)
            known = room.sessions.get(key.id) if room else None
            if known is None or known.key != key or known.node:
                # Perhaps it was let in, and nobody will ever know: it must not stay for good.
                self._out.append(Depart(name, key, "timeout"))
            if conn in self._connections:
                self._turn_away(conn, now)

    def _turn_away(self, conn: int, now: float) -> None:
        """Say that it is not the client's fault, and when to come back."""
        text = "the server cannot let anybody in at the moment"
        error = Error("unavailable", text, RETRY_AFTER)
        self._refuse_with(conn, error, CloseCode.OVERLOADED, now)

    # --- coming ---

    def _admit(self, event: HelloAccepted, now: float) -> None:
        """Ask the broker, if there is one to be asked."""
        conn, hello = event.conn, event.hello
        self._wall = event.time / 1000 - now
        room = self._rooms.get(hello.room_id)
        known = room.sessions.get(hello.from_user_id) if room else None
        if conn in self._entries:
            invalid = CloseCode.INVALID
            self._refuse(conn, "already-joined", "one hello is enough", invalid, now)
        elif (lacking := lacking_to_enter(event.permit, new=False)) is not None:
            self._deny(conn, lacking, now)
        elif room is None and self.full:
            self._refuse(conn, "too-many-rooms", "no more rooms", CloseCode.OVERLOADED, now)
        elif self.online:
            self._greeted.stop(conn)
            self._entries[conn] = _Entry(event)
            self._joining[hello.room_id, hello.session] += 1
            may = "create" in event.permit.grants
            words = encode(hello.ready)
            self._ask(Join(conn, hello.room_id, hello.session, words, may_create=may))
        elif known is not None and known.key == hello.session and not known.node:
            self._return(known, event, now)
        else:
            self._turn_away(conn, now)

    def _joined(self, event: Joined, now: float) -> None:
        if event.ticket:
            entry = self._entries.pop(event.ticket)
            self._joining[event.room, event.key] -= 1
            if not self._joining[event.room, event.key]:
                del self._joining[event.room, event.key]
            self._enter_shared(entry.event, event, now)
            for early in entry.early:
                if early.conn in self._connections:
                    if isinstance(early, Sealed):
                        self._pass_on(early, self._connections[early.conn], now)
                    else:
                        self._receive(early, self._connections[early.conn], now)
        else:
            self._claimed(event, now)
        self._answered(event.room, now)

    def _enter_shared(self, event: HelloAccepted, answer: Joined, now: float) -> None:
        """Do what the broker has decided about a hello."""
        conn, key = event.conn, answer.key
        if answer.verdict == "full":
            message = f"the room has {self._rules.max_peers} peers already"
            self._refuse(conn, "room-full", message, CloseCode.ROOM_FULL, now)
            return
        if answer.verdict == "missing":
            self._deny(conn, not_granted("create"), now)
            return
        room = self._rooms.get(answer.room) or self._create(answer.room, now)
        self._empty.stop(room.name)
        self._synchronize(answer, now)
        known = room.sessions.get(key.id)
        if known is not None and known.key != key:
            self._replace(known)
            known = None
        if conn in self._connections and known is None and answer.verdict == "new":
            self._arrive(room, event, now)
            return
        if known is None:
            relay = Allowance(self._rules.relay_burst_bytes, self._rules.relay_bytes)
            ready, name = event.hello.ready, event.introduction.name
            known = room.sessions[key.id] = Session(key, room, now, name, ready, relay)
            self._tell_others(known, ready)
        elif known.node:
            self._take_home(known)
        if conn in self._connections:
            self._return(known, event, now)
            self._out += (Send(conn, text) for text in answer.waiting)
        elif known.conn is None:  # It has given up meanwhile, and may come back.
            self._away.start(known, now)
            self._out += (Entrust(room.name, key, text) for text in answer.waiting)
            self._out.append(Away(room.name, key))

    def _welcome(
        self, session: Session, event: HelloAccepted, now: float, *, resumed: bool
    ) -> Welcome:
        welcome = super()._welcome(session, event, now, resumed=resumed)
        session.welcome = replace(welcome, peers=(), resumed=True)
        return welcome

    def _claimed(self, answer: Joined, now: float) -> None:
        """Tell a session that the broker is back; or that it is another node's."""
        room = self._rooms.get(answer.room)
        session = room.sessions.get(answer.key.id) if room else None
        if room is None or session is None or session.key != answer.key or session.node:
            return  # It has left meanwhile, and the broker has been told.
        if answer.verdict == "elsewhere":
            if session.conn is not None:
                # Whoever speaks here comes back, and joins; if nobody does, well.
                self._out.append(Close(session.conn, CloseCode.RESTARTING, "moved"))
                self._forget(session.conn)
            self._synchronize(answer, now)
            self._let_go(room)
            return
        self._synchronize(answer, now)
        waiting = (*answer.waiting, *session.take_waiting())
        if session.conn is None:
            self._out += (Entrust(room.name, session.key, text) for text in waiting)
        else:
            assert session.welcome is not None, "whoever is connected has been welcomed"
            others = (each.ready for each in room.sessions.values() if each is not session)
            grants = self._access.grants(session.conn)
            welcome = replace(
                session.welcome,
                epoch=self.epoch,
                peers=tuple(others),
                relay_bytes=self._rules.relay_bytes if "relay" in grants else 0,
                expires=self._access.left(session.conn, now),
                grants=sorted_grants(grants),
            )
            self._send(session.conn, welcome)
            if self._rules.ice_rotation:  # Those of its first welcome may have ended.
                self._out.append(RenewIce(session.conn, session.key.id))
            self._out += (Send(session.conn, text) for text in waiting)

    # --- news ---

    def _hear(self, news: Came | Went | Told, now: float) -> None:
        room = self._rooms.get(news.room)
        if room is None:
            return  # It was our last member's leaving that crossed it.
        if isinstance(news, Told):
            self._told(room, news.text, now)
            return
        if news.version <= self._versions.get(room.name, 0):
            return
        self._versions[room.name] = news.version
        if isinstance(news, Came):
            ban = self._bans.of(room.name, news.member.id, now)
            if ban is not None:  # where it came, nobody has heard of that
                self._out.append(Tell(room.name, encode(ban.statement)))
            self._place(room, news.member, now)
            self._let_go(room)
            return
        gone = room.sessions.get(news.key.id)
        if gone is None or gone.key != news.key:
            return
        if gone.node:
            self._take_out(gone, news.reason)
        else:  # We were thought dead.
            away, words = gone.conn is None, encode(gone.ready)
            self._ask(Join(0, room.name, gone.key, words, claim=True, away=away))

    def _told(self, room: Room, text: str, now: float) -> None:
        """Tell our members what another node says; if somebody is removed, so it is here."""
        said = decode_to_client(text)
        if not isinstance(said, Kicked):
            for session in room.sessions.values():
                if session.conn is not None and not session.node:
                    self._out.append(Send(session.conn, text))
            return
        body = decode_expulsion(said.body)
        left = min(body.until / 1000 - self._wall - now, (body.until - body.at) / 1000)
        known = self._bans.of(room.name, body.user_id, now)
        if left > 0 and (known is None or known.statement != said):
            super()._expel(Expel(room.name, body.user_id, left, said, body.reason), now)

    # --- removal ---

    def _expel(self, event: Expel, now: float) -> None:
        self._out.append(Tell(event.room, encode(event.statement)))
        super()._expel(event, now)

    def _state(self, room: Room, statement: Kicked) -> None:
        text = encode(statement)
        for each in room.sessions.values():
            if each.conn is not None and not each.node:
                self._out.append(Send(each.conn, text))

    def _put_out(self, session: Session, event: Expel, now: float) -> None:
        if not session.node:  # else its own node does, and we hear of it
            super()._put_out(session, event, now)

    # --- messages ---

    def _receive(self, event: Received, session: Session | None, now: float) -> None:
        if session is None and self._early(event):
            return
        super()._receive(event, session, now)

    def _pass_on(self, event: Sealed, session: Session | None, now: float) -> None:
        if session is None and self._early(event):
            return
        super()._pass_on(event, session, now)

    def _early(self, event: Received | Sealed) -> bool:
        """Keep what came behind a hello that the broker is still asked about."""
        entry = self._entries.get(event.conn)
        if entry is None or len(entry.early) == EARLY_LIMIT:
            return False
        entry.early.append(event)
        return True

    def _keep(self, target: Session, text: str) -> bool:
        """Have a signal kept for a session that is away."""
        room = target.room.name
        if room in self._owed:
            self._owed[room].news.append(Post(room, *target.key, text))
        elif self.online:
            self._out.append(Entrust(room, target.key, text))
        else:
            return super()._keep(target, text)
        return True

    def _posted(self, post: Post) -> None:
        """Hand over what another node has for a session of ours."""
        owed = self._owed.get(post.room)
        if owed is not None:
            owed.news.append(post)
            return
        text, key = post.text, post.to
        room = self._rooms.get(post.room)
        session = room.sessions.get(key.id) if room else None
        ours = session is not None and session.key == key and not session.node
        conn = session.conn if session is not None and ours else None
        if post.frame:
            if conn is not None:
                self._out.append(Relay(conn, post.frame))
        elif conn is not None:
            self._out.append(Send(conn, text))
        elif self.online:
            self._out.append(Entrust(post.room, key, text))
        elif session is not None and ours:
            super()._keep(session, text)

    def _returned(self, text: str, reason: str) -> None:
        """Tell who sent a signal, wherever that is, that it could not be passed on."""
        signal = decode_to_server(text)
        if not isinstance(signal, Signal):
            return  # A refusal that could not be delivered.
        room = self._rooms.get(signal.room_id)
        source = room.sessions.get(signal.from_user_id) if room else None
        if room is None or source is None or source.key != signal.source or source.conn is None:
            return
        target = room.sessions.get(signal.to_user_id)
        if reason == "unknown-session" and target is not None and target.key == signal.to:
            reason = "unavailable"  # Who has been told that it is there may try again.
        self._send(source.conn, SignalRefused(*signal.to, signal.seq, reason))
