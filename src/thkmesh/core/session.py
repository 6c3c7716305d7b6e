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
much it lost, as the sender is told who lags. Nobody waits for it again before it has
taken in something. Nobody halts a room.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from thkmesh.core import link_events as link
from thkmesh.core import wire
from thkmesh.core.allowance import Allowance
from thkmesh.core.channels import Channel, Channels, Delivery
from thkmesh.core.contact import Contact, SendToServer
from thkmesh.core.credit import Budget
from thkmesh.core.expulsion import Expulsions, Requests, Statement
from thkmesh.core.frames import FRAGMENT_BYTES, LEAST_FRAGMENT_BYTES, LOSSY_LIMIT_BYTES
from thkmesh.core.identity import SessionKey
from thkmesh.core.latest import CompactedLog
from thkmesh.core.link import DRAIN, Link, LinkSettings
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.membership import Arrived, Change, Departed, Membership
from thkmesh.core.pieces import Ending
from thkmesh.core.session_events import (
    AbortTransfer,
    Accepted,
    Cancel,
    CheckStatement,
    CloseChannel,
    Deliver,
    DeliverPiece,
    Emit,
    Ended,
    Expelled,
    Flush,
    FromLink,
    Heard,
    Introduced,
    Kick,
    Leave,
    NetworkChanged,
    OpenChannel,
    Send,
    SendAll,
    SendPiece,
    SessionEvent,
    SessionOutput,
    SignalVerified,
    SocketLost,
    Start,
    Suspected,
    Unsendable,
    Welcomed,
)
from thkmesh.core.streams import Log, Outgoing
from thkmesh.core.topology import Topology, links_wanted
from thkmesh.core.traffic import Traffic
from thkmesh.core.transfers import OutgoingTransfers
from thkmesh.errors import (
    InvalidArgument,
    Kicked,
    MeshError,
    MessageTooLarge,
    NotGranted,
    NotListening,
    PeerError,
    RoomClosed,
    ServerUnreachable,
    UnknownPeer,
)
from thkmesh.events import (
    Data,
    LeaveReason,
    LinkChanged,
    LinkState,
    Lost,
    Message,
    PathChanged,
    PeerJoined,
    PeerKicked,
    PeerLagging,
    PeerLeft,
    QualityChanged,
    Refused,
    ServerChanged,
    ServerState,
    Undelivered,
)
from thkmesh.peer import Peer

__all__ = ["LONG_SLEEP", "PATIENCE", "RELAY_BURST", "RELAY_SHARE", "Session"]

PATIENCE: Final = 5.0
"""Seconds that everybody waits for the slowest."""

_FREQUENT: Final = (FromLink, Send, SendAll, SendPiece)
"""Messages and datagrams are most of what happens."""

_AWAY: Final = "the server is away, and only it removes somebody"

_Waiting: TypeAlias = Send | SendPiece | Flush

_Place: TypeAlias = tuple[str, SessionKey | None, bool]
"""A stream that has no room: a channel, to whom, and whether that is so for pieces alone."""

_BEGINS: Final = (link.OpenConnection, link.Perform)

LONG_SLEEP: Final = 5.0
"""Seconds of sleep after which we may have woken up in another network."""

RELAY_SHARE: Final = 0.9
"""How much of what the server passes on is used: clocks differ, and messages bunch."""

RELAY_BURST: Final = 2.0
"""How much may be sent at once, in seconds of that."""

_REMEMBERED: Final = 256
"""Of so many sessions that were given up it is known where their links stopped."""

_REMEMBERED_BYTES: Final = 8 * 1024 * 1024
"""No more than this is kept of the messages that they were in the middle of."""


@dataclass(slots=True)
class _Flushing:
    """A flush that is not done: how far each link must have got, in its two streams."""

    token: int
    channel: Channel
    places: list[tuple[Link, int, int]]

    def settle(self, *, leaving: bool) -> bool:
        """Wait no longer for who has all of it, or is gone; tell whether that is everybody.

        While we leave it may be we who gave somebody up: then nobody is excused.
        """
        self.places = [each for each in self.places if self._waits_for(*each, leaving=leaving)]
        return not self.places

    def _waits_for(self, to: Link, everybody: int, alone: int, *, leaving: bool) -> bool:
        if to.state is LinkState.CLOSED:
            return leaving and not to.delivered
        return not to.lane(self.channel).reached(everybody, alone)


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
        self._expulsions = Expulsions()
        self._requests = Requests()
        self._links: dict[SessionKey, Link] = {}
        # Where the links stopped to those given up, who may be back in the same session.
        self._lost: OrderedDict[SessionKey, Link] = OrderedDict()
        # The deadline of each link as it last was: asking all of them after every
        # event is what a session would spend most of its time on.
        self._due: dict[SessionKey, float] = {}
        # Those with whom keys are agreed, and how many bytes we may send through the server.
        self._sealed: set[SessionKey] = set()
        self._allowance = Allowance(0, 0)
        self._channels = Channels()
        self._budget = Budget()
        self._waiting: deque[_Waiting] = deque()
        self._transfers = OutgoingTransfers()
        self._flushing: list[_Flushing] = []
        # By channel, since when a message to everybody has waited for somebody.
        self._stuck_since: dict[str, float] = {}
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
    def grants(self) -> tuple[str, ...]:
        """What the server lets us do; safe to ask on any thread."""
        return self._contact.grants

    @property
    def accepting(self) -> bool:
        """Tell whether messages are accepted at all; safe to ask on any thread."""
        return self._leave_by is None and not self._ended

    @property
    def deadline(self) -> float | None:
        """When to tick at the latest."""
        if self._ended:
            return None
        if not self._other_due_known:
            self._other_due_known = True
            times = [self._contact.deadline, self._members.deadline, self._leave_by]
            times += [self._expulsions.deadline, self._requests.deadline]
            times += [since + PATIENCE for since in self._stuck_since.values()]
            self._other_due = min([time for time in times if time is not None], default=None)
        due = self._other_due
        for each in self._due.values():
            if due is None or each < due:
                due = each
        served = self._allowance.due
        if served is not None and (due is None or served < due):
            due = served
        return due

    def handle(self, event: SessionEvent | Tick | Slept, now: float) -> list[SessionOutput]:
        """Settle what is due, then the event; return what to do."""
        if self._ended:
            return self._after_end(event)
        out: list[SessionOutput] = []
        # Mostly nothing is due.
        due = self.deadline if isinstance(event, _FREQUENT) else now
        if due is not None and due <= now:
            self._other_due_known = False
            if isinstance(event, Slept):
                self._slept(event, now, out)
            self._settle(now, out)
        self._take(event, now, out)
        if self._waiting or self._stuck_since:
            self._other_due_known = False
            self._admit(now, out)
        while (first := self._allowance.next(now)) is not None:
            self._to_link(first, Tick(), now, out)
        if self._flushing:
            self._flushed(out)
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
            case Send() | SendPiece() | Flush():
                if self._waiting or not self._admitted(event, now, out):
                    self._waiting.append(event)
            case SendAll(messages=messages):
                self._append(messages, now, out)
            case AbortTransfer(transfer=transfer):
                self._abort(transfer, now, out)
            case Cancel(token=token):
                self._cancel(token)
            case Introduced(peer=peer, sealed=sealed):
                self._introduced(peer, now, out, sealed=sealed)
            case Welcomed():
                self._sealed = set(event.sealed)
                self._welcomed(event.message, event.peers, now, out)
            case Expelled(statement=statement):
                self._expelled(statement, now, out)
            case Kick():
                self._kick(event, now, out)
            case Heard(message=message):
                out += self._contact.heard(message, now)
                self._heard(message, now, out)
            case OpenChannel(name=name):
                self._open_channel(event, now, out)
            case CloseChannel(name=name):
                self._listen(name, now, out, wanted=False)
            case Suspected(claimed=claimed, error=error):
                out.append(_refused(error, self._members.peer(claimed) if claimed else None))
            case SocketLost():
                self._socket_lost(event, now, out)
            case Start():
                out += self._contact.start(now)
            case NetworkChanged():
                self._network_changed(now, out)
            case Leave(patience=patience):
                self._leave(patience, now, out)
            case Slept(duration=duration):
                if duration >= LONG_SLEEP:
                    self._network_changed(now, out)
            case Tick():  # pragma: no branch - the last
                pass
        self._report_server(now, out)

    def _cancel(self, token: int) -> None:
        self._waiting = deque(each for each in self._waiting if each.token != token)
        self._flushing = [each for each in self._flushing if each.token != token]
        self._requests.cancel(token)

    def _socket_lost(self, event: SocketLost, now: float, out: list[SessionOutput]) -> None:
        if self._leave_by is not None:
            return
        out += self._contact.lost(event.code, event.reason, now)
        if self._contact.state is ServerState.CONNECTING:
            unreachable = ServerUnreachable(event.reason)
            out.append(Emit(ServerChanged(ServerState.CONNECTING, unreachable)))

    def _introduced(
        self, peer: Peer, now: float, out: list[SessionOutput], *, sealed: bool
    ) -> None:
        key = SessionKey(peer.id, peer.sid)
        if self._expulsions.bars(peer.id, now):
            self._expulsions.hold(peer, sealed=sealed)
            return
        (self._sealed.add if sealed else self._sealed.discard)(key)
        self._changed(self._members.ready(peer), now, out)
        self._to_link(key, self._online(key), now, out)

    def _welcomed(
        self, message: wire.Welcome, peers: Iterable[Peer], now: float, out: list[SessionOutput]
    ) -> None:
        out += self._contact.heard(message, now)
        self._pace(now)
        self._expulsions.synchronise(message.time, now)
        self._expulsions.release()
        admitted: list[Peer] = []
        for peer in peers:
            if self._expulsions.bars(peer.id, now):
                self._expulsions.hold(peer, sealed=SessionKey(peer.id, peer.sid) in self._sealed)
            else:
                admitted.append(peer)
        # Before it is told that we are connected: who has joined finds the others here.
        self._changed(self._members.welcome(message.epoch, admitted, now), now, out)
        for key in list(self._links):
            reach = self._online(key) if self._members.listed(key) else link.Offline()
            self._to_link(key, reach, now, out)

    def _online(self, key: SessionKey) -> link.Online:
        """Return what can reach a session that the server lists."""
        return link.Online(relay=self._contact.relay_bytes > 0 and key in self._sealed)

    def _pace(self, now: float) -> None:
        """Keep within what the server passes on: it drops what is more."""
        pace = RELAY_SHARE * self._contact.relay_bytes
        self._allowance.set(RELAY_BURST * pace, pace, now)

    def _heard(self, message: wire.ToClient, now: float, out: list[SessionOutput]) -> None:
        match message:
            case wire.PeerLeft(reason=reason):
                key = message.session
                self._sealed.discard(key)
                self._expulsions.release(key)
                self._changed(self._members.left(key, LeaveReason(reason), now), now, out)
                self._to_link(key, link.Offline(), now, out)
            case wire.SignalRefused(reason="unknown-session"):
                # Any other may be taken later; and nobody would tell us when.
                self._to_link(message.to, link.Offline(), now, out)
            case wire.Error(n=n, message=text):
                out += [Unsendable(t, NotGranted(text)) for t in self._requests.refused(n)]
            case _:
                pass

    def _slept(self, event: Slept, now: float, out: list[SessionOutput]) -> None:
        self._contact.slept(event.duration)
        self._members.slept(event.duration)
        self._to_all(event, now, out)

    def _network_changed(self, now: float, out: list[SessionOutput]) -> None:
        """Ask everybody at once whether they can still be reached."""
        out += self._contact.network_changed(now)
        self._to_all(NetworkChanged(), now, out)

    def _settle(self, now: float, out: list[SessionOutput]) -> None:
        """Do all that ``now`` has made due."""
        out += self._contact.settle(now)
        self._changed(self._members.settle(now), now, out)
        for peer, sealed in self._expulsions.admitted(now):
            self._introduced(peer, now, out, sealed=sealed)
        silent = "the server does not answer"
        out += [Unsendable(t, ServerUnreachable(silent)) for t in self._requests.overdue(now)]
        for key in [key for key, due in self._due.items() if due <= now]:
            self._to_link(key, Tick(), now, out)
        for channel, since in list(self._stuck_since.items()):
            if now >= since + PATIENCE:
                self._cut_loose(channel, now, out)
        if self._leave_by is not None and now >= self._leave_by:
            self._to_all(link.Abandon(), now, out)

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
            if self._links.get(key) is target or not isinstance(output, _BEGINS):
                self._from_link(target, output, now, out)

    def _to_all(
        self, event: link.LinkEvent | Tick | Slept, now: float, out: list[SessionOutput]
    ) -> None:
        """Hand an event to all links."""
        for key in list(self._links):
            self._to_link(key, event, now, out)

    def _from_link(
        self, source: Link, output: link.LinkOutput, now: float, out: list[SessionOutput]
    ) -> None:
        peer = self._members.peer(source.to)
        match output:
            case link.ContentArrived():
                if peer is not None:  # What stands behind a goodbye is nobody's.
                    out.append(_delivered(output, peer, source.to))
            case link.PieceArrived(ending=ending, channel=channel):
                if peer is not None:
                    missed = ending is Ending.MISSED
                    lost = Emit(Lost(peer, 1, channel)) if missed else None
                    out.append(lost or DeliverPiece(peer, source.to, output))
            case link.MessagesLost(channel=channel, count=count):
                if peer is not None:
                    out.append(Emit(Lost(peer, count, channel)))
            case link.Lagged(channel=channel, count=count):
                assert peer is not None, "only who is present lags"
                out.append(Emit(PeerLagging(peer, count, channel)))
            case link.Dropped(channel=channel, count=count):
                if peer is not None:
                    out.append(Emit(Undelivered(peer, count, channel)))
            case link.Moved(state=state):
                self._moved(source.to, peer, state, now, out)
            case link.Rerouted(path=path):
                if peer is not None:
                    out.append(Emit(PathChanged(peer, path)))
            case link.Graded(quality=quality):
                if peer is not None:
                    out.append(Emit(QualityChanged(peer, quality)))
            case link.SaidGoodbye():
                self._other_due_known = False
                self._changed(self._members.goodbye(source.to), now, out)
            case link.Misbehaved(error=error):
                out.append(_refused(error, peer))
            case link.Alleged(body=body, signature=signature):
                if not self._expulsions.knows(signature):
                    out.append(CheckStatement(body, signature))
            case _:
                out.append(output)

    def _moved(
        self,
        key: SessionKey,
        peer: Peer | None,
        state: LinkState,
        now: float,
        out: list[SessionOutput],
    ) -> None:
        self._other_due_known = False
        if peer is not None:
            out.append(Emit(LinkChanged(peer, state)))
        alive = state is LinkState.CONNECTED
        self._changed(self._members.link(key, now, alive=alive), now, out)
        if state is LinkState.CLOSED:
            self._links.pop(key, None)
        elif alive:
            for each in self._expulsions.in_force(now):
                self._to_link(key, link.Tell(each.body, each.signature), now, out)

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
                        self._to_link(key, self._online(key), now, out)
                case Departed(peer=peer, reason=reason):  # pragma: no branch - the last
                    former = self._links.get(key)
                    if former is not None:
                        self._part(former, peer, reason, now, out)
                    out.append(Emit(PeerLeft(peer, reason)))

    def _part(
        self, former: Link, peer: Peer, reason: LeaveReason, now: float, out: list[SessionOutput]
    ) -> None:
        """Close the link to who is gone, and tell what that may have cost."""
        undelivered = former.undelivered
        if reason in (LeaveReason.TIMEOUT, LeaveReason.KICKED):
            self._remember(former)
        kicked = reason is LeaveReason.KICKED
        self._to_link(former.to, link.Abandon(DRAIN if kicked else 0.0), now, out)
        if reason is not LeaveReason.LEFT and former.received:
            out.append(Emit(Lost(peer, None)))
        if self._leave_by is None:
            for channel, count in undelivered.items():
                out.append(Emit(Undelivered(peer, count, channel)))

    def _new_link(self, key: SessionKey) -> Link:
        former = self._lost.pop(key, None)
        if former is not None:
            return former.heir()
        traffic = Traffic(key, self._channels, self._budget)
        return Link(self.me, key, self._settings, self._dice, traffic, allowance=self._allowance)

    def _remember(self, former: Link) -> None:
        self._lost[former.to] = former
        kept = sum(each.assembling for each in self._lost.values())
        while len(self._lost) > _REMEMBERED or kept > _REMEMBERED_BYTES:
            _, oldest = self._lost.popitem(last=False)
            kept -= oldest.assembling

    def _report_server(self, now: float, out: list[SessionOutput]) -> None:
        """Tell of a change in the contact with the server; without it links are offline."""
        state = self._contact.state
        if state is self._server:
            return
        self._server = state
        out.append(Emit(ServerChanged(state, self._contact.error)))
        if state is not ServerState.CONNECTED:
            self._to_all(link.Offline(), now, out)
            away = self._contact.error or ServerUnreachable(_AWAY)
            out += [Unsendable(token, away) for token in self._requests.end()]

    # --- who is removed ---------------------------------------------------------------

    def _kick(self, kick: Kick, now: float, out: list[SessionOutput]) -> None:
        """Ask the server to remove a peer; what comes of it is told later."""
        refusal: MeshError | None = None
        if self._leave_by is not None:
            refusal = RoomClosed("the room is being left")
        elif self._contact.state is not ServerState.CONNECTED:
            refusal = ServerUnreachable(_AWAY)
        elif not self._contact.room_key:
            refusal = NotGranted("this server removes nobody")
        if refusal is not None:
            out.append(Unsendable(kick.token, refusal))
            return
        n = self._requests.begin(kick.token, kick.user_id, now)
        out.append(SendToServer(wire.Kick(kick.user_id, kick.duration, kick.why, n)))

    def _expelled(self, statement: Statement, now: float, out: list[SessionOutput]) -> None:
        """Obey a statement of the server's that is new to us, and pass it on."""
        user_id, until = statement.user_id, statement.until / 1000
        out += [Accepted(token) for token in self._requests.done(user_id)]
        if not self._expulsions.take(statement, now):
            return
        here = [peer for peer in self.peers if peer.id == user_id]
        peer = here[-1] if here else None
        out.append(Emit(PeerKicked(user_id, until, statement.reason, peer)))
        if user_id == self.me.id:
            out += self._contact.dismiss(Kicked(statement.reason, until))
            return
        # First of all to who is removed: it may be away from the server.
        told = link.Tell(statement.body, statement.signature)
        self._to_all(told, now, out)
        self._changed(self._members.kick(user_id), now, out)
        if self._contact.state is ServerState.CONNECTED:
            # A server that has forgotten it goes on listing them.
            for each in here:
                self._expulsions.hold(each, sealed=SessionKey(each.id, each.sid) in self._sealed)

    # --- sending ----------------------------------------------------------------------

    def _open_channel(self, event: OpenChannel, now: float, out: list[SessionOutput]) -> None:
        known = len(self._channels)
        channel = self._channels.open(event.name, event.delivery, event.priority, event.limits)
        if len(self._channels) > known:
            self._to_all(link.Opened(channel.name), now, out)
        self._listen(event.name, now, out, wanted=event.listen)

    def _listen(self, name: str, now: float, out: list[SessionOutput], *, wanted: bool) -> None:
        if self._channels.listen(name, wanted=wanted):
            self._to_all(link.Listening(), now, out)

    def room_for(self, channel: str, to: SessionKey | None) -> bool:
        """Tell whether a message need not wait; to everybody, safe to ask on any thread."""
        found, target = self._channels.get(channel), self._links.get(to) if to else None
        if found is None or (to is not None and target is None):
            return True
        return (found.log if target is None else target.lane(found).log).has_room

    def _admit(self, now: float, out: list[SessionOutput]) -> None:
        """Accept the messages whose logs have room, in order for each stream."""
        full: set[_Place] = set()
        still: deque[_Waiting] = deque()
        for each in self._waiting:
            if _is_behind(each, full):
                still.append(each)
            elif not self._admitted(each, now, out):
                assert not isinstance(each, Flush), "a flush waits for messages alone"
                full.add((each.channel, each.to, isinstance(each, SendPiece)))
                still.append(each)
        self._waiting = still
        stuck = {channel for channel, to, _ in full if to is None}
        self._stuck_since = {each: self._stuck_since.get(each, now) for each in sorted(stuck)}
        vain = [channel for channel in self._stuck_since if self._is_vain(channel)]
        for channel in vain:
            self._cut_loose(channel, now, out)
        if vain:
            self._admit(now, out)

    def _admitted(self, each: _Waiting, now: float, out: list[SessionOutput]) -> bool:
        """Do what is asked, or refuse it for good; False when it has to wait for room."""
        if isinstance(each, Flush):
            self._flush(each)
            return True
        refusal = self._refusal_of(each)
        if refusal is not None:
            out.append(Unsendable(each.token, refusal))
            return True
        if isinstance(each, SendPiece):
            return self._accepted_piece(each, now, out)
        if not self.room_for(each.channel, each.to):
            return False
        self._accept(each, now, out)
        return True

    def _slowest(self, channel: str) -> list[Link]:
        """Return those for whom everybody waits on a channel."""
        found = self._channels[channel]
        return [each for each in self._links.values() if each.lane(found).everybody.last]

    def _is_vain(self, channel: str) -> bool:
        """Tell whether everybody waits for such alone as were waited for in vain."""
        found = self._channels[channel]
        slowest = self._slowest(channel)
        return bool(slowest) and all(each.lane(found).adrift for each in slowest)

    def _refusal(self, to: SessionKey | None, channel: str) -> MeshError | None:
        """Return why a message cannot be sent at all, None if it can."""
        if self._leave_by is not None:
            return RoomClosed("the room is being left")
        if to is None:
            return None
        if to not in self._links:
            return UnknownPeer(f"no session {to.sid} of {to.id} is in the room")
        if self._links[to].listens(self._channels[channel]) is False:
            return NotListening(f"{to.id} does not listen to the channel {channel}")
        return None

    def _refusal_of(self, each: Send | SendPiece) -> MeshError | None:
        """Return why that message, or piece, cannot be sent, None if it can."""
        refusal = self._refusal(each.to, each.channel)
        if refusal is not None:
            return refusal
        channel = self._channels[each.channel]
        log = channel.log if each.to is None else self._links[each.to].lane(channel).log
        if isinstance(each, SendPiece):
            if channel.delivery is not Delivery.RELIABLE:
                return InvalidArgument("streams need a channel that is reliable")
            return self._transfers.refusal(each.transfer, *self._place(each))
        if channel.limits is not None and len(each.payload) > LOSSY_LIMIT_BYTES:
            text = f"{len(each.payload)} bytes; a message that may be lost has {LOSSY_LIMIT_BYTES}"
            return MessageTooLarge(text)
        return log.refusal(each.payload) if isinstance(log, CompactedLog) else None

    def _accept(self, send: Send, now: float, out: list[SessionOutput]) -> None:
        if send.to is None:
            self._append(((send.channel, send.kind, send.payload),), now, out)
        elif self._channels[send.channel].limits is not None:
            passing = link.Passing(send.channel, None, send.kind, send.payload)
            self._to_link(send.to, link.Hasten((passing,)), now, out)
        else:
            enqueue = link.Enqueue(send.channel, send.kind, send.payload)
            self._to_link(send.to, enqueue, now, out)
        out.append(Accepted(send.token))

    def _place(self, send: SendPiece) -> tuple[Log, int]:
        """Return the log of a transfer, and from where on one arrives there as a whole."""
        channel = self._channels[send.channel]
        lane = None if send.to is None else self._links[send.to].lane(channel)
        log = channel.log if lane is None else lane.log
        assert isinstance(log, Log), "others were refused"
        alone = None if lane is None else lane.alone
        return log, alone.whole_from if isinstance(alone, Outgoing) else 0

    def _accepted_piece(self, send: SendPiece, now: float, out: list[SessionOutput]) -> bool:
        log, _ = self._place(send)
        if not log.has_room_for_piece:
            return False
        finely = self._fragment_bytes if send.to is None else self._links[send.to].fragment_bytes
        self._transfers.append(send, log, finely)
        self._appended(send.to, now, out)
        out.append(Accepted(send.token))
        return True

    def _abort(self, transfer: int, now: float, out: list[SessionOutput]) -> None:
        """Give up a transfer, whatever else waits: it is said in a few bytes."""
        begun = self._transfers.abort(transfer) if self._leave_by is None else None
        if begun is not None:
            self._appended(begun.to, now, out)

    def _appended(self, to: SessionKey | None, now: float, out: list[SessionOutput]) -> None:
        if to is None:
            self._to_all(link.Appended(), now, out)
        else:
            self._to_link(to, link.Appended(), now, out)

    def _append(
        self, messages: Sequence[tuple[str, int, bytes]], now: float, out: list[SessionOutput]
    ) -> None:
        """Send messages to everybody, each on its channel."""
        passing: list[link.Passing] = []
        for name, kind, payload in messages:
            channel = self._channels[name]
            if channel.limits is None:
                small = len(payload) <= LEAST_FRAGMENT_BYTES  # most are
                size = FRAGMENT_BYTES if small else self._fragment_bytes
                channel.log.append(kind, payload, size)
            else:
                passing.append(link.Passing(name, next(channel.count), kind, payload))
        if passing:
            self._to_all(link.Hasten(tuple(passing)), now, out)
        if len(passing) < len(messages):
            self._to_all(link.Appended(), now, out)

    @property
    def _fragment_bytes(self) -> int:
        """How finely messages to everybody are to be cut: as the slowest link needs it."""
        links = self._links.values()
        return min((each.fragment_bytes for each in links), default=FRAGMENT_BYTES)

    def _cut_loose(self, channel: str, now: float, out: list[SessionOutput]) -> None:
        """Let those go without for whom everybody has waited long enough."""
        for each in self._slowest(channel):
            self._to_link(each.to, link.CutLoose(channel), now, out)
        self._stuck_since.pop(channel, None)

    def _flush(self, flush: Flush) -> None:
        """Take note of how far everybody must have got."""
        channel = self._channels[flush.channel]
        places = [
            (each, channel.log.next, each.lane(channel).log.next) for each in self._links.values()
        ]
        self._flushing.append(_Flushing(flush.token, channel, places))

    def _flushed(self, out: list[SessionOutput]) -> None:
        leaving = self._leave_by is not None
        done = [each for each in self._flushing if each.settle(leaving=leaving)]
        out += [Accepted(each.token) for each in done]
        self._flushing = [each for each in self._flushing if each.places]

    # --- the end ------------------------------------------------------------------------

    def _leave(self, patience: float, now: float, out: list[SessionOutput]) -> None:
        if self._leave_by is not None:
            self._leave_by = min(self._leave_by, now + patience)
            return
        self._leave_by = now + patience
        self._to_all(link.Depart(), now, out)

    def _conclude(self, now: float, out: list[SessionOutput]) -> None:
        """End once every link has closed after ``Leave``, or the server said never."""
        if self._leave_by is not None and not self._links:
            out += self._contact.leave()
        if self._contact.state is not ServerState.CLOSED:
            return
        self._to_all(link.Abandon(), now, out)
        self._ended = True
        error = self._contact.error
        tokens = [each.token for each in (*self._waiting, *self._flushing)] + self._requests.end()
        for token in tokens:
            out.append(Unsendable(token, error or RoomClosed("the room was left")))
        self._waiting.clear()
        self._flushing.clear()
        out.append(Ended(error))

    def _after_end(self, event: SessionEvent | Tick | Slept) -> list[SessionOutput]:
        if isinstance(event, Send | SendPiece | Flush | Kick):
            return [Unsendable(event.token, RoomClosed("the room was left"))]
        return []


def _is_behind(each: _Waiting, full: set[_Place]) -> bool:
    """Tell whether it has to wait for those before it, whose streams have no room.

    Nothing but pieces waits for pieces.
    """
    if isinstance(each, Flush):
        return any(channel == each.channel and not pieces for channel, _, pieces in full)
    before = (each.channel, each.to, False) in full
    return before or (isinstance(each, SendPiece) and (each.channel, each.to, True) in full)


def _refused(error: PeerError, peer: Peer | None) -> Emit:
    """Tell of an error; without its traceback, which holds on to what was refused."""
    error.__cause__ = error.__context__ = None
    return Emit(Refused(error.with_traceback(None), peer))


def _delivered(content: link.ContentArrived, peer: Peer, source: SessionKey) -> Deliver:
    """Return a message as the application gets it; what is deflated is expanded when taken."""
    stream, key = content.stream, content.key
    said = cast("Data", content.data)
    message = Message(peer, said, stream & 1 == 1, content.channel, key or None)
    return Deliver(message, source, stream, content.cost, key is not None)
