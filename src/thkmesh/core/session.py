"""One session in a room: the client's mind.

It composes who is here (``Membership``), a ``Link`` to each of them, and the
conversation with the signaling server::

    away ──socket open──▶ greeting ──welcome──▶ present ──leave──▶ leaving ──▶ ended
      ▲                      │                    │                            ▲
      ╰──── retry, full jitter ◀──── lost ────────╯     final close code ──────╯

The server is needed to meet and to repair, not to talk: while it is away links
live on, and sending goes on. A close code that says "do not come back" ends the
session; any other loss is retried for as long as it takes.

A message to everybody is accepted once every link has room for it, all or none;
one to a single peer needs room in that link only. Until then its sender waits,
in order for each recipient.
"""

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
    SessionEvent,
    SessionOutput,
    SignalVerified,
    SocketLost,
    Start,
    Suspected,
    Unsendable,
    Welcomed,
)
from thkmesh.core.topology import Topology, links_wanted
from thkmesh.errors import RoomClosed, ServerUnreachable, UnknownPeer
from thkmesh.events import (
    LeaveReason,
    LinkChanged,
    LinkState,
    Message,
    PeerJoined,
    PeerLeft,
    Refused,
    ServerChanged,
    ServerState,
)
from thkmesh.peer import Peer

__all__ = ["Session"]

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
        self._waiting: deque[Send] = deque()
        self._leave_by: float | None = None
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
    def deadline(self) -> float | None:
        """When to tick at the latest."""
        if self._ended:
            return None
        times = [self._contact.deadline, self._members.deadline, self._leave_by]
        times += self._due.values()
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: SessionEvent | Tick | Slept, now: float) -> list[SessionOutput]:
        """Settle what is due, then the event; return what to do."""
        if self._ended:
            return self._after_end(event)
        out: list[SessionOutput] = []
        if isinstance(event, Slept):
            self._slept(event, now, out)
        self._settle(now, out)
        self._take(event, now, out)
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
                self._waiting.append(event)
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
                out.append(Emit(Refused(error, self._members.peer(claimed) if claimed else None)))
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
            self._from_link(target, output, now, out)

    def _from_link(
        self, source: Link, output: link.LinkOutput, now: float, out: list[SessionOutput]
    ) -> None:
        peer = self._members.peer(source.to)
        match output:
            case link.ContentArrived(content=content):
                assert peer is not None, "a link closes with the departure of its peer"
                self._members.heard(source.to, now)
                out.append(Emit(Message(peer, content.data, content.direct)))
            case link.Moved(state=state):
                if peer is not None:
                    out.append(Emit(LinkChanged(peer, state)))
                alive = state is LinkState.CONNECTED
                self._changed(self._members.link(source.to, now, alive=alive), now, out)
                if state is LinkState.CLOSED:
                    self._links.pop(source.to, None)
            case link.SaidGoodbye():
                self._changed(self._members.goodbye(source.to), now, out)
            case link.Misbehaved(error=error):
                out.append(Emit(Refused(error, peer)))
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
                    if reason is LeaveReason.TIMEOUT:
                        self._remember(key)
                    self._to_link(key, link.Abandon(), now, out)
                    out.append(Emit(PeerLeft(peer, reason)))

    def _new_link(self, key: SessionKey) -> Link:
        former = self._lost.pop(key, None)
        if former is not None:
            return former.heir()
        return Link(self.me, key, self._settings, self._dice)

    def _remember(self, key: SessionKey) -> None:
        former = self._links.get(key)
        if former is not None:
            self._lost[key] = former
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
        """Accept the messages whose links have room, in order for each recipient."""
        if not self._waiting:
            return
        held: set[SessionKey] = set()
        still: deque[Send] = deque()
        for send in self._waiting:
            if self._leave_by is not None:
                out.append(Unsendable(send.token, RoomClosed("the room is being left")))
                continue
            if send.to is not None and send.to not in self._members:
                text = f"no session {send.to.sid} of {send.to.id} is in the room"
                out.append(Unsendable(send.token, UnknownPeer(text)))
                continue
            targets = list(self._links) if send.to is None else [send.to]
            if any(key in held or not self._links[key].has_room for key in targets):
                held.update(targets)
                still.append(send)
                continue
            for key in targets:
                self._to_link(key, link.Enqueue(send.frame), now, out)
            out.append(Accepted(send.token))
        self._waiting = still

    # --- the end ------------------------------------------------------------------------

    def _leave(self, patience: float, now: float, out: list[SessionOutput]) -> None:
        if self._leave_by is not None:
            self._leave_by = min(self._leave_by, now + patience)
            return
        self._leave_by = now + patience
        for key in list(self._links):
            self._to_link(key, link.Depart(patience), now, out)

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
