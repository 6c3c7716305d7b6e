"""One session in a room: the client's mind.

It composes who is here (``Membership``), a ``Link`` to each of them, and the
conversation with the signaling server::

    away ──socket open──▶ greeting ──welcome──▶ present ──leave──▶ leaving ──▶ ended
      ▲                      │                    │                            ▲
      ╰──── retry, full jitter ◀──── lost ────────╯     final close code ──────╯

The server is needed to meet and to repair, not to talk: while it is away links
live on, and sending goes on. A close code that says "do not come back" ends the
session; any other loss is retried for as long as it takes.

A message is accepted once its log has room (see ``streams``); until then its sender
waits. A message to a single peer waits for that peer as long as it takes. One to
everybody waits ``PATIENCE`` for the slowest of them, who is then cut loose: told how
much it lost, as the sender is told who lags. Nobody halts a room.
"""

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

from thkmesh.core import link_events as link
from thkmesh.core import wire
from thkmesh.core.contact import Contact
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import Link, LinkSettings
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.membership import Arrived, Change, Departed, Membership
from thkmesh.core.sending import Outbox
from thkmesh.core.session_events import (
    Accepted,
    Cancel,
    Emit,
    Ended,
    FromLink,
    Heard,
    Introduced,
    Leave,
    Send,
    SendAll,
    SessionEvent,
    SessionOutput,
    SignalVerified,
    SocketLost,
    Start,
    Suspected,
    Unsendable,
    Welcomed,
)
from thkmesh.core.streams import Log
from thkmesh.core.topology import Topology, links_wanted
from thkmesh.errors import MeshError, PeerError, RoomClosed, ServerUnreachable, UnknownPeer
from thkmesh.events import (
    LeaveReason,
    LinkChanged,
    LinkState,
    Lost,
    Message,
    PeerJoined,
    PeerLagging,
    PeerLeft,
    QualityChanged,
    Refused,
    ServerChanged,
    ServerState,
    Undelivered,
)
from thkmesh.peer import Peer

__all__ = ["PATIENCE", "Session"]

PATIENCE: Final = 5.0
"""Seconds that everybody waits for the slowest."""

_REMEMBERED: Final = 256
"""Of so many sessions that were given up it is known where their links stopped."""


class Session:
    """My life in one room."""

    def __init__(self, me: SessionKey, settings: LinkSettings, dice: Callable[[], float]) -> None:
        """Begin outside; ``Start`` enters.

        Args:
            me: my own session.
            settings: what every link is made with.
            dice: returns a random number in [0, 1); times of retries depend on it.
        """
        self.me = me
        self._settings = settings
        self._dice = dice
        self._members = Membership(me)
        self._contact = Contact(dice)
        self._links: dict[SessionKey, Link] = {}
        # Where the links stopped to those given up, who may be back in the same session.
        self._lost: OrderedDict[SessionKey, Link] = OrderedDict()
        # The deadline of each link as it last was: asking all of them after every
        # event is what a session would spend most of its time on.
        self._due: dict[SessionKey, float] = {}
        self._order = itertools.count()
        self._broadcasts = Log(self._order)
        self._waiting: deque[Send] = deque()
        # Since when a message to everybody has waited for somebody to take in others.
        self._stuck_since: float | None = None
        self._leave_by: float | None = None
        # The deadline of all but the links, while nothing has happened to change it.
        self._other_due: float | None = None
        self._other_due_known = False
        self._server = ServerState.CONNECTING
        self._ended = False

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Everybody present but me."""
        return self._members.peers

    @property
    def links(self) -> tuple[Link, ...]:
        """The links, for looking at."""
        return tuple(self._links.values())

    @property
    def has_room(self) -> bool:
        """Tell whether a message to everybody would be accepted at once."""
        return self._leave_by is None and not self._waiting and self._broadcasts.has_room

    @property
    def deadline(self) -> float | None:
        """When to tick at the latest."""
        if self._ended:
            return None
        if not self._other_due_known:
            self._other_due_known = True
            times = [self._contact.deadline, self._members.deadline, self._leave_by]
            if self._stuck_since is not None:
                times.append(self._stuck_since + PATIENCE)
            self._other_due = min((time for time in times if time is not None), default=None)
        due = self._other_due
        for each in self._due.values():
            if due is None or each < due:
                due = each
        return due

    def handle(self, event: SessionEvent | Tick | Slept, now: float) -> list[SessionOutput]:
        """Settle what is due, then the event; return what to do."""
        if self._ended:
            return self._after_end(event)
        out: list[SessionOutput] = []
        # Messages and datagrams are most of what happens, and mostly nothing is due.
        frequent = isinstance(event, FromLink | Send | SendAll)
        due = self.deadline if frequent else now
        if due is not None and due <= now:
            self._other_due_known = False
            if isinstance(event, Slept):
                self._slept(event, now, out)
            self._settle(now, out)
        self._take(event, now, out)
        if self._waiting or self._stuck_since is not None:
            self._other_due_known = False
            self._admit(now, out)
        self._conclude(now, out)
        return out

    # --- events ---------------------------------------------------------------

    def _take(
        self, event: SessionEvent | Tick | Slept, now: float, out: list[SessionOutput]
    ) -> None:
        match event:
            case FromLink(to=to, event=inner):
                self._to_link(to, inner, now, out)
            case SignalVerified(source=source, signal=signal):
                self._to_link(source, signal, now, out)
            case Send():
                if self._waiting or not self._accepted(event, now, out):
                    self._waiting.append(event)
            case SendAll(messages=messages):
                for kind, payload in messages:
                    self._broadcasts.append(kind, payload)
                self._appended(now, out)
            case Cancel(token=token):
                self._waiting = deque(each for each in self._waiting if each.token != token)
            case Introduced(peer=peer):
                self._changed(self._members.ready(peer), now, out)
                self._to_link(SessionKey(peer.id, peer.sid), link.Online(), now, out)
            case Welcomed(message=message, peers=peers):
                out += self._contact.heard(message, now)
                self._welcomed(message, peers, now, out)
            case Heard(message=message):
                out += self._contact.heard(message, now)
                self._heard(message, now, out)
            case Suspected(claimed=claimed, error=error):
                out.append(_refused(error, self._members.peer(claimed) if claimed else None))
            case SocketLost(code=code, reason=reason):
                if self._leave_by is None:
                    out += self._contact.lost(code, reason, now)
                    if self._contact.state is ServerState.CONNECTING:
                        unreachable = ServerUnreachable(reason)
                        out.append(Emit(ServerChanged(ServerState.CONNECTING, unreachable)))
            case Start():
                out += self._contact.start(now)
            case Leave(patience=patience):
                self._leave(patience, now, out)
            case Tick() | Slept():  # pragma: no branch - the last
                pass
        self._report_server(now, out)

    def _welcomed(
        self, message: wire.Welcome, peers: Iterable[Peer], now: float, out: list[SessionOutput]
    ) -> None:
        # Before it is told that we are connected: who has joined finds the others here.
        self._changed(self._members.welcome(message.epoch, list(peers), now), now, out)
        for key in list(self._links):
            reach = link.Online() if self._members.listed(key) else link.Offline()
            self._to_link(key, reach, now, out)

    def _heard(self, message: wire.ToClient, now: float, out: list[SessionOutput]) -> None:
        match message:
            case wire.PeerLeft(reason=reason):
                key = message.session
                self._changed(self._members.left(key, LeaveReason(reason), now), now, out)
                self._to_link(key, link.Offline(), now, out)
            case wire.SignalRefused(reason="unknown-session"):
                # Any other may be taken later; and nobody would tell us when.
                self._to_link(message.to, link.Offline(), now, out)
            case _:
                pass

    def _slept(self, event: Slept, now: float, out: list[SessionOutput]) -> None:
        self._contact.slept(event.duration)
        self._members.slept(event.duration)
        for key in list(self._links):
            self._to_link(key, event, now, out)

    def _settle(self, now: float, out: list[SessionOutput]) -> None:
        """Do all that ``now`` has made due."""
        out += self._contact.settle(now)
        self._changed(self._members.settle(now), now, out)
        for key in [key for key, due in self._due.items() if due <= now]:
            self._to_link(key, Tick(), now, out)
        if self._stuck_since is not None and now >= self._stuck_since + PATIENCE:
            self._cut_loose(now, out)
        if self._leave_by is not None and now >= self._leave_by:
            for key in list(self._links):
                self._to_link(key, link.Abandon(), now, out)

    # --- links and members ----------------------------------------------------------

    def _to_link(
        self,
        key: SessionKey,
        event: link.LinkEvent | Tick | Slept,
        now: float,
        out: list[SessionOutput],
    ) -> None:
        """Hand an event to a link and act on what it says; without a link, it is inert."""
        target = self._links.get(key)
        if target is None:
            return
        outputs = target.handle(event, now)
        due = target.deadline
        if due is None:
            self._due.pop(key, None)
        else:
            self._due[key] = due
        for output in outputs:
            if isinstance(output, link.SendFrame):  # most are
                out.append(output)
                continue
            # What one output leads to may have closed the link: nothing is begun any more.
            begins = isinstance(output, link.OpenConnection | link.Perform)
            if not begins or self._links.get(key) is target:
                self._from_link(target, output, now, out)

    def _from_link(
        self, source: Link, output: link.LinkOutput, now: float, out: list[SessionOutput]
    ) -> None:
        peer = self._members.peer(source.to)
        match output:
            case link.ContentArrived(data=data, direct=direct):
                if peer is not None:  # What stands behind a goodbye is nobody's.
                    out.append(Emit(Message(peer, data, direct)))
            case link.MessagesLost(count=count):
                if peer is not None:
                    out.append(Emit(Lost(peer, count)))
            case link.Lagged(count=count):
                assert peer is not None, "only who is present lags"
                out.append(Emit(PeerLagging(peer, count)))
            case link.Moved(state=state):
                self._other_due_known = False
                if peer is not None:
                    out.append(Emit(LinkChanged(peer, state)))
                alive = state is LinkState.CONNECTED
                self._changed(self._members.link(source.to, now, alive=alive), now, out)
                if state is LinkState.CLOSED:
                    self._links.pop(source.to, None)
            case link.Graded(quality=quality):
                if peer is not None:
                    out.append(Emit(QualityChanged(peer, quality)))
            case link.SaidGoodbye():
                self._other_due_known = False
                self._changed(self._members.goodbye(source.to), now, out)
            case link.Misbehaved(error=error):
                out.append(_refused(error, peer))
            case _:
                out.append(output)

    def _changed(self, changes: Iterable[Change], now: float, out: list[SessionOutput]) -> None:
        """Tell of who came and went, and keep the links that the topology wants."""
        for change in changes:
            key = SessionKey(change.peer.id, change.peer.sid)
            match change:
                case Arrived(peer=peer):
                    out.append(Emit(PeerJoined(peer)))
                    if self._leave_by is None and key in links_wanted(
                        Topology.MESH, self.me, [key]
                    ):
                        self._links[key] = self._new_link(key)
                        self._to_link(key, link.Online(), now, out)
                case Departed(peer=peer, reason=reason):  # pragma: no branch - the last
                    former = self._links.get(key)
                    if former is not None:
                        self._part(former, peer, reason, now, out)
                    out.append(Emit(PeerLeft(peer, reason)))

    def _part(
        self, former: Link, peer: Peer, reason: LeaveReason, now: float, out: list[SessionOutput]
    ) -> None:
        """Close the link to who is gone, and tell what that may have cost."""
        undelivered = former.unacknowledged
        if reason is LeaveReason.TIMEOUT:
            self._remember(former)
        self._to_link(former.to, link.Abandon(), now, out)
        if reason is not LeaveReason.LEFT and former.received:
            out.append(Emit(Lost(peer, None)))
        if undelivered and self._leave_by is None:
            out.append(Emit(Undelivered(peer, undelivered)))

    def _new_link(self, key: SessionKey) -> Link:
        former = self._lost.pop(key, None)
        if former is not None:
            return former.heir()
        outbox = Outbox(self._broadcasts, self._order)
        return Link(self.me, key, self._settings, self._dice, outbox)

    def _remember(self, former: Link) -> None:
        self._lost[former.to] = former
        if len(self._lost) > _REMEMBERED:
            self._lost.popitem(last=False)

    def _report_server(self, now: float, out: list[SessionOutput]) -> None:
        """Tell of a change in the contact with the server; without it links are offline."""
        state = self._contact.state
        if state is self._server:
            return
        self._server = state
        out.append(Emit(ServerChanged(state, self._contact.error)))
        if state is not ServerState.CONNECTED:
            for key in list(self._links):
                self._to_link(key, link.Offline(), now, out)

    # --- sending ----------------------------------------------------------------------

    def _admit(self, now: float, out: list[SessionOutput]) -> None:
        """Accept the messages whose logs have room, in order for each stream."""
        if not self._waiting:
            self._stuck_since = None
            return
        full: set[SessionKey | None] = set()
        still: deque[Send] = deque()
        for send in self._waiting:
            if send.to in full or not self._accepted(send, now, out):
                full.add(send.to)
                still.append(send)
        self._waiting = still
        if None not in full:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now

    def _accepted(self, send: Send, now: float, out: list[SessionOutput]) -> bool:
        """Accept a message, or refuse it for good; False when it has to wait."""
        refusal = self._refusal(send.to)
        if refusal is not None:
            out.append(Unsendable(send.token, refusal))
            return True
        if not self._has_room(send.to):
            return False
        self._accept(send, now, out)
        return True

    def _refusal(self, to: SessionKey | None) -> MeshError | None:
        """Return why a message cannot be sent at all, None if it can."""
        if self._leave_by is not None:
            return RoomClosed("the room is being left")
        if to is not None and to not in self._links:
            return UnknownPeer(f"no session {to.sid} of {to.id} is in the room")
        return None

    def _has_room(self, to: SessionKey | None) -> bool:
        return self._broadcasts.has_room if to is None else self._links[to].has_room

    def _accept(self, send: Send, now: float, out: list[SessionOutput]) -> None:
        if send.to is None:
            self._broadcasts.append(send.kind, send.payload)
            self._appended(now, out)
        else:
            self._to_link(send.to, link.Enqueue(send.kind, send.payload), now, out)
        out.append(Accepted(send.token))

    def _appended(self, now: float, out: list[SessionOutput]) -> None:
        """Have all links hand on what is new for everybody."""
        for key in list(self._links):
            self._to_link(key, link.Appended(), now, out)

    def _cut_loose(self, now: float, out: list[SessionOutput]) -> None:
        """Let those go without for whom everybody has waited long enough."""
        for key in [key for key, each in self._links.items() if each.lagging]:
            self._to_link(key, link.CutLoose(), now, out)
        self._stuck_since = None

    # --- the end ------------------------------------------------------------------------

    def _leave(self, patience: float, now: float, out: list[SessionOutput]) -> None:
        if self._leave_by is not None:
            self._leave_by = min(self._leave_by, now + patience)
            return
        self._leave_by = now + patience
        for key in list(self._links):
            self._to_link(key, link.Depart(), now, out)

    def _conclude(self, now: float, out: list[SessionOutput]) -> None:
        """End once every link has closed after ``Leave``, or the server said never."""
        if self._leave_by is not None and not self._links:
            out += self._contact.leave()
        if self._contact.state is not ServerState.CLOSED:
            return
        for key in list(self._links):
            self._to_link(key, link.Abandon(), now, out)
        self._ended = True
        error = self._contact.error
        for send in self._waiting:
            out.append(Unsendable(send.token, error or RoomClosed("the room was left")))
        self._waiting.clear()
        out.append(Ended(error))

    def _after_end(self, event: SessionEvent | Tick | Slept) -> list[SessionOutput]:
        if isinstance(event, Send):
            return [Unsendable(event.token, RoomClosed("the room was left"))]
        return []


def _refused(error: PeerError, peer: Peer | None) -> Emit:
    """Tell of an error; without its traceback, which holds on to what was refused."""
    error.__cause__ = error.__context__ = None
    return Emit(Refused(error.with_traceback(None), peer))
