"""All that connects me to one remote session.

A link composes the machines that each know one thing: ``Negotiator`` (how to
connect), ``Sequencer`` (signals once and in order), ``Trickle`` (candidates in
batches), ``Heartbeat`` (is it alive), ``Retry`` (when to open the next connection),
``Traffic`` (messages once and in order). It adds what needs all of
them: when to give up a connection and open the next generation.

::

    connecting ──channel open──▶ connected ──failed, stalled──▶ reconnecting
         ╰────────────── retry, full jitter ◀─── heard again ───────╯ │
    any state ──peer gone, or we left──▶ closed                       ▼ mend, retry

Who leaves says goodbye after the last message and waits until all have arrived, as
long as the other side is heard of.

A connection is given up when its control channel closes without a goodbye, an
operation fails, a negotiation does not settle in time, or it fails before it was open.
Then the next generation is opened. Retrying needs the server, so while it is away a
link only waits.

A connection that has fallen silent (a ping stays unanswered, or the engine says failed)
is kept and asked on: if it is heard again, all is well. Where the engine can, its ICE is
restarted, which costs nothing if the other side merely slept. Who answers that and is
still not heard within ``RESTART_PATIENCE`` is beyond that help: the connection is given up.

Signals go through the server. To who is suspected they go over the connection, too, and over
it alone while the server is away.

When the network has changed, or the server is back, an open connection is asked at
once and has little time to answer; one that was silent before is replaced, for what its
transport owes it sends again only after a time that has grown with the silence.

The other side may want new connections too, but each costs us one: how many it
may have is bounded (``Allowance``), whoever of the two opens them.

Every connection of this link has a number. Events of another number than the
current one are inert: results of a discarded connection cannot touch its heir.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from thkmesh.core import engine, frames, sequencing, wire
from thkmesh.core.allowance import Allowance
from thkmesh.core.candidates import CANDIDATE_LIMIT, CandidateBudget
from thkmesh.core.channels import Channel
from thkmesh.core.expulsion import Hearsay
from thkmesh.core.heartbeat import INTERVAL, PATIENCE, Heartbeat
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import (
    Abandon,
    Alleged,
    Appended,
    AskStats,
    CloseConnection,
    CutLoose,
    Depart,
    Enqueue,
    FromEngine,
    Garbled,
    Graded,
    Hasten,
    LinkEvent,
    LinkOutput,
    Listening,
    MarkLow,
    MeasureBuffer,
    Measured,
    Misbehaved,
    Moved,
    NetworkChanged,
    Offline,
    Online,
    OpenConnection,
    Opened,
    Passing,
    Perform,
    Read,
    Relayed,
    Renew,
    Rerouted,
    SaidGoodbye,
    SendFrame,
    SendRelayed,
    SignalArrived,
    StatsArrived,
    Tell,
    TransmitSignal,
)
from thkmesh.core.machine import Ignored, Slept, Tick
from thkmesh.core.negotiation import (
    Begin,
    Broken,
    Change,
    NegotiationEvent,
    Negotiator,
    Replace,
    SendBody,
)
from thkmesh.core.negotiation import OpenConnection as OpenGeneration
from thkmesh.core.negotiation import Received as BodyReceived
from thkmesh.core.quality import Counts, Meter
from thkmesh.core.realtime import Backlog
from thkmesh.core.relay import Relay
from thkmesh.core.retry import SETTLE_TIMEOUT, Retry
from thkmesh.core.sending import Lane
from thkmesh.core.sequencing import Sequencer
from thkmesh.core.traffic import Traffic
from thkmesh.core.trickle import Trickle
from thkmesh.errors import InvalidMessage
from thkmesh.events import LinkState, Path, Quality

__all__ = ["Link", "LinkSettings"]

DRAIN: Final = 2.0
"""Seconds that a closing connection has to get the goodbye out."""

RESTART_PATIENCE: Final = 2.0
"""Seconds from the answer to a restart of ICE until something must be heard, at least.

What the transport owes it sends again within 3 s (libwebrtc), or much later (Firefox); a
fresh connection has it after a few round trips.
"""

UNHEARD: Final = 4.0
"""Seconds that a leaver waits for who is not heard of, whatever its patience."""

WISHES: Final = 16
WISH_INTERVAL: Final = 2.0
"""New connections that the other side may ask for at once, and seconds for one more."""


_SENDING: Final = (Appended, Enqueue)
_FREQUENT: Final = (FromEngine, *_SENDING, Hasten, Read)
"""Datagrams and messages are most of what happens."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What a link needs to know beside its two ends.

    ``hasty`` makes the higher session offer first too: a collision on purpose,
    for tests and for partners that do not know our rule.

    Attributes:
        heartbeat_interval: seconds between two pings.
        disconnect_timeout: seconds that a ping may stay unanswered before the
            connection is given up.
        failed_timeout: seconds that one may take to open, or to settle anew.
    """

    capabilities: engine.Capabilities
    hasty: bool = False
    heartbeat_interval: float = INTERVAL
    disconnect_timeout: float = PATIENCE
    failed_timeout: float = SETTLE_TIMEOUT


class _Mending(Enum):
    """What is done for a connection that has fallen silent."""

    NOTHING = auto()
    RESTART_DUE = auto()
    """Its ICE is to be restarted, as soon as that can be signalled."""
    RESTARTED = auto()


class Link:
    """One remote session, from my side."""

    def __init__(
        self,
        me: SessionKey,
        to: SessionKey,
        settings: LinkSettings,
        dice: Callable[[], float],
        traffic: Traffic,
        *,
        allowance: Allowance,
    ) -> None:
        """Begin unconnected and offline.

        Args:
            me: my session; the lower of the two is polite and offers first.
            to: the other session.
            settings: see there.
            dice: returns a random number in [0, 1) for the time of retries.
            traffic: what the other session is owed, and what came from it.
            allowance: how many bytes our session may send through the server.
        """
        self._me = me
        self._settings = settings
        self.to = to
        self.polite = me < to
        self.state = LinkState.CONNECTING
        self.delivered = False
        """Whether all that was sent had arrived when it was closed."""
        self._dice = dice
        self._retry = Retry(dice, timeout=settings.failed_timeout)
        self._trickle = Trickle()
        self._negotiator = Negotiator(
            self.polite,
            can_rollback=settings.capabilities.rollback,
            can_restart_ice=settings.capabilities.ice_restart,
        )
        self._sequencer: Sequencer[wire.SignalBody | None] = Sequencer(online=False)
        self._budget = CandidateBudget()
        self._overfed = False
        self._heartbeat = Heartbeat(settings.heartbeat_interval, settings.disconnect_timeout)
        self._meter = Meter()
        self._received_bytes = 0
        self._wishes = Allowance(WISHES, 1 / WISH_INTERVAL)
        self._hearsay = Hearsay()
        self._traffic = traffic
        self._outbox, self._inbox = traffic.outbox, traffic.inbox
        self._allowance = allowance
        self._relay, self._backlog = Relay(traffic, allowance), Backlog()
        self._number = 0
        self._open = self._by_relay = False
        self._silent = False  # given up for its silence alone, and not replaced yet
        self._mending = _Mending.NOTHING
        self._revived = False  # and then heard again, whatever has been asked for meanwhile
        self._online = False
        self._passable = False  # signals can go to the other session
        self._cut_off = False  # one of us was away from the server since it was there
        self._leaving = False
        self._parted = False  # we have said goodbye
        self._heard_at: float | None = None
        self._unheard_since = 0.0
        self._due: float | None = None

    def heir(self) -> "Link":
        """Return the link to the same session, should it come back after this has closed.

        For the other side it may be the same link still: it has only been away. So
        signals and generations go on being counted, and the next one is opened.
        """
        self._traffic.again()
        heir = Link(
            self._me, self.to, self._settings, self._dice, self._traffic, allowance=self._allowance
        )
        heir._sequencer = self._sequencer
        heir._negotiator = self._negotiator
        heir._wishes = self._wishes
        heir._hearsay = self._hearsay
        heir._number = self._number + 1
        heir._cut_off = True
        if self.generation:
            heir._retry = Retry(self._dice, at=0.0, timeout=self._settings.failed_timeout)
            heir._due = heir._next_due()
        return heir

    @property
    def generation(self) -> int:
        """Which attempt to connect this is; 0 before the first."""
        return self._negotiator.generation

    @property
    def path(self) -> Path | None:
        """What carries messages now; None where nothing does."""
        if self._open:
            return Path.DIRECT
        return Path.RELAY if self._relay.answered else None

    @property
    def fragment_bytes(self) -> int:
        """How finely messages are to be cut for what carries them now.

        What nothing carries yet says nothing: it may have any path in the end.
        """
        if self._open:
            return self._outbox.window.fragment_bytes
        return frames.LEAST_FRAGMENT_BYTES if self._relay.answered else frames.FRAGMENT_BYTES

    def lane(self, channel: Channel) -> Lane:
        """Return what the other session is owed on a channel."""
        return self._outbox.lane(channel)

    def listens(self, channel: Channel) -> bool | None:
        """Tell whether the other session wants to hear of a channel; None if unknown."""
        return self._outbox.listens(channel)

    @property
    def waiting_bytes(self) -> int:
        """Return how much is queued and not yet with the engine."""
        return self._outbox.waiting_bytes

    @property
    def dropped(self) -> int:
        """How many messages that need not arrive were not sent."""
        return self._traffic.sender.dropped

    @property
    def quality(self) -> Quality | None:
        """Return how good the path is; None where there is none, or nothing is known."""
        return self._meter.quality

    @property
    def undelivered(self) -> dict[str, int]:
        """How many messages do not arrive if nothing more does, by channel; none is left out."""
        return self._outbox.undelivered

    @property
    def assembling(self) -> int:
        """What the messages that have not come as a whole take here, in bytes."""
        return self._inbox.assembling

    @property
    def received(self) -> bool:
        """Tell whether there was ever a connection over which messages could come."""
        return self._inbox.begun

    @property
    def deadline(self) -> float | None:
        """When to tick at the latest."""
        return self._due

    def _next_due(self) -> float | None:
        if self.state is LinkState.CLOSED:
            return None
        due = self._heartbeat.deadline
        for time in (
            self._trickle.due,
            self._sequencer.deadline,
            self._relay.deadline,
            self._traffic.due,
            self._unheard_at,
            self._inbox.ack_due if self._open and not self._relay.owes else None,
            self._retry.deadline if self._online else None,
        ):
            if time is not None and (due is None or time < due):
                due = time
        return due

    @property
    def _unheard_at(self) -> float | None:
        """When to wait no longer for who is not heard of while we leave."""
        if not self._leaving:
            return None
        if self.state is LinkState.CONNECTING and self._heard_at is not None:
            return None  # It answers: to find a way may take a while.
        return max(self._unheard_since, self._heard_at or 0.0) + UNHEARD

    def handle(self, event: LinkEvent | Tick | Slept, now: float) -> list[LinkOutput]:
        """Settle what is due, then the event; return what to do."""
        if self.state is LinkState.CLOSED:
            return []
        out: list[LinkOutput] = []
        # Mostly nothing is due.
        if isinstance(event, _FREQUENT) and (self._due is None or now < self._due):
            if isinstance(event, _SENDING) and self._open and not self._leaving:
                self._take(event, now, out)  # which changes no deadline
                return out
        else:
            if isinstance(event, Slept):
                self._slept(event, now, out)
            self._settle(now, out)
        self._take(event, now, out)
        self._watch(now, out)
        self._use_relay(now, out)
        self._due = self._next_due()
        return out

    def _watch(self, now: float, out: list[LinkOutput]) -> None:
        """Keep the time of what has to settle, and less of it for what must show that it works."""
        if self._passable != (self._online or self._open):
            self._passable = not self._passable
            change = sequencing.Resume() if self._passable else sequencing.Pause()
            self._sequence(change, now, out)
        settled = self._negotiator.settled or self._revived
        self._retry.watch(now, settled=settled and self._open, begun=self.generation > 0)
        if settled and self._mending is _Mending.RESTARTED:
            patience = max(RESTART_PATIENCE, self._heartbeat.doubt_patience)
            self._retry.hasten(now, patience)

    # --- events ---------------------------------------------------------------

    def _take(self, event: LinkEvent | Tick | Slept, now: float, out: list[LinkOutput]) -> None:
        match event:
            case FromEngine(number=number, event=reported):
                if number == self._number:
                    self._reported(reported, now, out)
            case Appended():
                self._pump(now, out)
            case Enqueue(channel=channel, kind=kind, payload=payload):
                self._traffic.append(channel, kind, payload, self.fragment_bytes)
                self._pump(now, out)
            case Hasten(messages=messages):
                self._hasten(now, out, messages)
            case Measured(number=number) | StatsArrived(number=number):
                if number == self._number:
                    self._measured(event, now, out)
            case Read(stream=stream, size=size):
                self._inbox.read(stream, size, now)
            case Garbled(reason=reason):
                self._garbled(reason, now, out)
            case CutLoose(channel=channel):
                self._traffic.cut_loose(channel, out)
                self._pump(now, out)
            case Opened(channel=channel):
                self._traffic.open(channel)
            case Listening():
                self._say(self._traffic.listening(), out)
                self._relay.resume_again()
            case SignalArrived(seq=seq, ack=ack, body=body):
                self._heard_at = now
                self._sequence(sequencing.Received(seq, ack, body), now, out)
            case Relayed(data=data):
                self._relayed(data, now, out)
            case Online(relay=relay):
                self._go_online(now, out, relay=relay)
            case Offline():
                self._go_offline()
            case Begin() | Change():
                self._negotiate(event, now, out)
            case Renew():
                self._give_up(now, out, wanted=True)
            case NetworkChanged():
                self._network_changed(now)
            case Depart():
                self._depart(now, out)
            case Abandon(drain=drain):
                self._close(out, drain=drain)
            case Tell():
                self._tell(event, out)
            case Tick() | Slept():  # pragma: no branch - the last
                pass

    def _tell(self, told: Tell, out: list[LinkOutput]) -> None:
        if (self._open or self._silent) and self._hearsay.is_news(told.signature):
            self._say(frames.Kicked(told.body, told.signature), out)

    def _go_offline(self) -> None:
        self._relay.usable = False
        self._online = False
        self._cut_off = True

    def _go_online(self, now: float, out: list[LinkOutput], *, relay: bool) -> None:
        self._relay.usable = relay
        if not self._online:
            self._online = True
            if self._cut_off:
                self._network_changed(now)
            if self._cut_off and self._silent:
                # Neither way worked: it is not that the other side slept.
                self._mending = _Mending.NOTHING
                self._retry.failed(now, wanted=True)
            self._retry.resumed(now)
        self._passable = True
        self._sequence(sequencing.Resume(), now, out)
        if self.generation == 0:
            self._negotiate(Begin(force=self._settings.hasty), now, out)

    def _slept(self, event: Slept, now: float, out: list[LinkOutput]) -> None:
        self._heartbeat.slept(event.duration)
        self._relay.slept(event.duration)
        self._meter.slept()
        self._retry.slept(event.duration)
        self._sequence(event, now, out)

    def _settle(self, now: float, out: list[LinkOutput]) -> None:
        """Do all that ``now`` has made due."""
        unheard_at = self._unheard_at
        if unheard_at is not None and now >= unheard_at:
            self._close(out, drain=0.0)
            return
        if self._heartbeat.stalled(now):
            self._stalled(now, out)
        ping = self._heartbeat.ping(now)
        if ping is not None:
            self._say(frames.Ping(ping), out)
            if self._open and self._meter.pinged(ping, self._counts, now):
                out.append(AskStats(self.to, self._number))
            self._tell_quality(out)
        due = self._inbox.ack_due
        if self._open and not self._relay.owes and due is not None and now >= due:
            self._acknowledge(out)
            self._inbox.try_again(now)
        due = self._traffic.due
        if due is not None and now >= due:
            self._hasten(now, out)
        if self._trickle.is_due(now):
            self._flush(now, out)
        if self._online:
            if self._retry.overdue(now):
                self._overdue(now, out)
            if self._retry.take(now):
                self._repair(now, out)
        due = self._sequencer.deadline
        if due is not None and now >= due:
            self._sequence(Tick(), now, out)

    # --- negotiation and signals ------------------------------------------------

    def _negotiate(self, event: NegotiationEvent, now: float, out: list[LinkOutput]) -> None:
        events = [event]
        while events:
            for output in self._negotiator.handle(events.pop(), now):
                match output:
                    case OpenGeneration():
                        self._renew_connection(out)
                    case SendBody(body=wire.CandidatesBody(candidates=candidates)):
                        if self._trickle.collect(candidates, now):
                            self._flush(now, out)
                    case SendBody(body=body):
                        self._flush(now, out)
                        self._trickle.described()
                        self._signal(body, now, out)
                    case Broken():
                        self._give_up(now, out)
                    case Ignored(reason=reason, violation=violation):
                        if violation:
                            out.append(Misbehaved(self.to, InvalidMessage(reason)))
                    case _ if self._budget.allows(output):
                        out.append(Perform(self.to, self._number, output))
                    case _:
                        events.append(self._decline(output, out))

    def _decline(self, operation: engine.Operation, out: list[LinkOutput]) -> NegotiationEvent:
        """Answer in place of the engine, which is spared; tell of it once."""
        error = InvalidMessage(f"more than {CANDIDATE_LIMIT} candidates")
        if not self._overfed:
            self._overfed = True
            out.append(Misbehaved(self.to, error))
        return engine.OperationFailed(operation, str(error))

    def _renew_connection(self, out: list[LinkOutput]) -> None:
        """Have a fresh connection in place of the former."""
        if self._number:
            out.append(CloseConnection(self.to, self._number))
        self._number += 1
        self._outbox.bulk = False
        self._backlog = Backlog()
        self._budget = CandidateBudget()
        self._overfed = False
        self._trickle.clear()
        self._retry.renewed()
        self._disconnected(out)
        out.append(OpenConnection(self.to, self._number))

    def _flush(self, now: float, out: list[LinkOutput]) -> None:
        """Send the candidates that have gathered, as one signal."""
        candidates = self._trickle.take(connected=self._open)
        if candidates:
            self._signal(wire.CandidatesBody(self.generation, candidates), now, out)

    def _signal(self, body: wire.SignalBody, now: float, out: list[LinkOutput]) -> None:
        send = sequencing.Send(wire.ENVELOPES[type(body)], wire.encode_body(body))
        self._sequence(send, now, out)

    def _sequence(
        self,
        event: "sequencing.SequencingEvent[wire.SignalBody | None] | Tick | Slept",
        now: float,
        out: list[LinkOutput],
    ) -> None:
        for output in self._sequencer.handle(event, now):
            match output:
                case sequencing.Transmit(envelope=envelope, seq=seq, ack=ack, body=body):
                    if self._online:
                        out.append(TransmitSignal(self.to, envelope, seq, ack, body))
                    if self._silent or not self._online:
                        self._say(frames.Signal(seq, ack, body), out)
                case sequencing.Deliver(payload=payload):
                    if payload is not None and self._affordable(payload, now, out):
                        self._negotiate(BodyReceived(payload), now, out)
                case sequencing.Overflow():
                    # The other end acknowledges nothing; a retry later finds room again.
                    self._give_up(now, out)
                case Ignored(reason=reason, violation=violation):  # pragma: no branch - the last
                    if violation:
                        out.append(Misbehaved(self.to, InvalidMessage(reason)))

    def _affordable(self, body: wire.SignalBody, now: float, out: list[LinkOutput]) -> bool:
        """Tell whether a signal that costs us a connection may have one."""
        if _wanted(body) <= self.generation or self._wishes.take(1, now):
            return True
        out.append(Misbehaved(self.to, InvalidMessage("asks for connections without end")))
        return False

    # --- the connection -----------------------------------------------------------

    def _reported(self, event: engine.EngineEvent, now: float, out: list[LinkOutput]) -> None:
        match event:
            case engine.FrameReceived(data=data):
                self._heartbeat.heard()
                self._heard_at = now
                self._received_bytes += len(data)
                if self._silent:
                    self._outbox.revive()
                    self._up(now, out)
                    self._revived = True
                self._datagram(data, now, out)
            case engine.BufferLow(channel=engine.CONTROL | engine.BULK):
                # How low it is by now says how fast it is.
                out.append(MeasureBuffer(self.to, self._number))
            case engine.ChannelOpened(channel=engine.CONTROL):
                self._connected(now, out)
            case engine.ChannelOpened(channel=engine.BULK):
                self._outbox.bulk = True
            case engine.ChannelClosed(channel=engine.CONTROL):
                self._give_up(now, out)
            case engine.ChannelClosed(channel=engine.BULK):
                self._outbox.bulk = False
            case engine.StateChanged(state=engine.ConnectionState.FAILED):
                self._failed(now, out)
            case engine.StateChanged(state=engine.ConnectionState.CONNECTED) if self._silent:
                self._heartbeat.doubt(now)
            case engine.OperationFailed(operation=engine.ApplyRemote(), reason=reason):
                # Only the other side's descriptions are applied: so the fault is not ours.
                out.append(Misbehaved(self.to, InvalidMessage(reason)))
                self._negotiate(event, now, out)
            case engine.OperationDone() | engine.OperationFailed() | engine.CandidateFound():
                self._negotiate(event, now, out)
            case _:
                pass

    def _connected(self, now: float, out: list[LinkOutput]) -> None:
        self._send(frames.datagram(*self._traffic.begin()), out)
        self._up(now, out)

    def _up(self, now: float, out: list[LinkOutput]) -> None:
        self._open = True
        self._silent = False
        self._mending = _Mending.NOTHING
        self._retry.connected(now)
        self._heartbeat.start(now)
        self._meter.start(now, self._counts)
        self._move(LinkState.CONNECTED, out)
        out.append(AskStats(self.to, self._number))
        self._pump(now, out)

    def _stalled(self, now: float, out: list[LinkOutput]) -> None:
        """Use a connection no more from which nothing comes, but go on asking until its heir."""
        if self._silent:
            self._heartbeat.start(now)
            return
        self._give_up(now, out)
        self._silent = True
        if self._settings.capabilities.ice_restart:
            self._mending = _Mending.RESTART_DUE
        self._heartbeat.start(now)

    def _failed(self, now: float, out: list[LinkOutput]) -> None:
        """Take the engine's word; while it is being mended, its past has failed and no more."""
        if self._open:
            self._stalled(now, out)
        elif self._mending is _Mending.NOTHING:
            self._give_up(now, out)

    def _overdue(self, now: float, out: list[LinkOutput]) -> None:
        """Give up what has not settled; after a restart in vain the next generation is due."""
        if self._mending is _Mending.RESTARTED:
            self._mending = _Mending.NOTHING
            self._retry.failed(now, wanted=True)
        else:
            self._give_up(now, out)

    def _repair(self, now: float, out: list[LinkOutput]) -> None:
        """Restart the ICE of a connection that has just fallen silent; replace any other."""
        if self._mending is _Mending.RESTART_DUE:
            self._mending = _Mending.RESTARTED
            self._negotiate(Change(ice_restart=True), now, out)
        else:
            self._negotiate(Replace(), now, out)

    def _network_changed(self, now: float) -> None:
        """Doubt what seems to work, and begin anew at once what did not."""
        self._heartbeat.doubt(now)
        if not self._open and (self._retry.hurry(now) or self._retry.at is not None):
            self._mending = _Mending.NOTHING

    def _disconnected(self, out: list[LinkOutput]) -> None:
        self._open = self._silent = self._revived = False
        self._hearsay.again()
        self._mending = _Mending.NOTHING
        self._heartbeat.stop()
        if not self._by_relay:
            self._meter.stop()
        if self.state is LinkState.CONNECTED:
            self._move(LinkState.RECONNECTING, out)

    def _give_up(self, now: float, out: list[LinkOutput], *, wanted: bool = False) -> None:
        """Let this connection go, and make the time for the next generation.

        That is now if it is ``wanted``: then nothing has failed.
        """
        if self._leaving and not self._relay.answered:
            self._close(out, drain=0.0)
            return
        self._disconnected(out)
        self._retry.failed(now, wanted=wanted)

    def _hang_up(self, out: list[LinkOutput]) -> None:
        """Close this connection now; whatever else it reports is inert."""
        out.append(CloseConnection(self.to, self._number))
        self._number += 1

    def _move(self, state: LinkState, out: list[LinkOutput]) -> None:
        self.state = state
        out.append(Moved(self.to, state))

    @property
    def _counts(self) -> Counts:
        outbox = self._outbox
        return Counts(outbox.acknowledged_bytes, self._received_bytes, outbox.waiting_bytes)

    def _tell_quality(self, out: list[LinkOutput]) -> None:
        news = self._meter.news()
        if news is not None:
            out.append(Graded(self.to, news))

    # --- frames -------------------------------------------------------------------

    def _datagram(self, data: bytes, now: float, out: list[LinkOutput]) -> None:
        try:
            for frame in frames.parse(data):
                self._frame(frame, now, out)
        except InvalidMessage as error:
            out.append(Misbehaved(self.to, error))
            self._hang_up(out)
            self._give_up(now, out)

    def _garbled(self, reason: str, now: float, out: list[LinkOutput]) -> None:
        """Have done with the connection that brought it, or would have."""
        out.append(Misbehaved(self.to, InvalidMessage(reason)))
        if self._open:
            self._hang_up(out)
            self._give_up(now, out)

    def _frame(self, frame: frames.Frame, now: float, out: list[LinkOutput]) -> None:
        match frame:
            case frames.Fragment() | frames.Lossy():
                self._traffic.heard(frame, now, out)
            case frames.Report():
                self._traffic.heard(frame, now, out)
                self._hasten(now, out)
            case frames.Ping(n=n):
                self._say(frames.Pong(n), out)
            case frames.Signal():
                self._signalled(frame, now, out)
            case frames.Bye():
                out.append(SaidGoodbye(self.to))
            case frames.Kicked(body=body, signature=signature):
                if self._hearsay.is_worth_it(signature, now):
                    out.append(Alleged(self.to, body, signature))
            case frames.Pong(n=n):
                self._heartbeat.answered(n, now)
                self._meter.answered(n, now)
                self._tell_quality(out)
            case _:
                self._traffic.heard(frame, now, out)
                self._pump(now, out)

    def _signalled(self, signal: frames.Signal, now: float, out: list[LinkOutput]) -> None:
        """Take a signal that came over the link itself: who it is from is proven by that."""
        body = None
        if signal.seq:
            try:
                body = wire.decode_body(signal.body)
            except wire.UnknownType:
                pass  # of a later version: skipped, but what follows it waits for its number
            except InvalidMessage:
                out.append(Misbehaved(self.to, InvalidMessage("a malformed signal")))
        if not self._online and body is not None and _wanted(body) > self.generation:
            return  # It came over what it wants to replace, and that is all we have.
        self._sequence(sequencing.Received(signal.seq, signal.ack, body), now, out)

    def _relayed(self, data: bytes, now: float, out: list[LinkOutput]) -> None:
        """Take a datagram from the path that may lose: a gap is no fault, and ends nothing."""
        if not self._relay.usable:
            return
        self._heard_at = now
        self._received_bytes += len(data)
        try:
            for frame in frames.parse(data):
                self._relayed_frame(frame, now, out)
        except InvalidMessage as error:
            out.append(Misbehaved(self.to, error))
        self._pump(now, out)

    def _relayed_frame(self, frame: frames.Frame, now: float, out: list[LinkOutput]) -> None:
        match frame:
            case frames.Ack(wants=wants):
                self._relay.acknowledged(wants, now)
            case frames.Resume():
                self._relay.resumed(frame, now)
            case frames.Bye():
                out.append(SaidGoodbye(self.to))
            case frames.Ping(n=n):
                if self._relay.pongs(now):
                    self._say_relayed(frames.Pong(n), out)
            case frames.Pong(n=n):
                if self._by_relay:
                    self._meter.answered(n, now)
                    self._tell_quality(out)
            case frames.Signal() | frames.Kicked():
                pass
            case frames.Lossy() | frames.Report():
                self._traffic.heard(frame, now, out)
            case _:
                self._relay.owes = True
                self._traffic.heard(frame, now, out, lossy=True)

    def _use_relay(self, now: float, out: list[LinkOutput]) -> None:
        """Say over the relay what may be said now, and tell when it comes into use."""
        if self.state is LinkState.CLOSED:
            return
        self._relay.watch(now, wanted=not self._open)
        out += (SendRelayed(self.to, datagram) for datagram in self._relay.take(now))
        path = self.path
        if self._by_relay != (path is Path.RELAY):
            self._by_relay = not self._by_relay
            out.append(Rerouted(self.to, path))
            if self._by_relay:
                self._meter.start(now, self._counts)
            elif not self._open:
                self._meter.stop()
        n = self._relay.ping(now)
        if n is not None:
            self._say_relayed(frames.Ping(n), out)
            self._meter.pinged(n, self._counts, now)
            self._tell_quality(out)
        if self._leaving and self._by_relay and not self._outbox.unacknowledged:
            # Not before: it could overtake what is to be sent again.
            # In one datagram: who hears us leave must know what we have.
            ack = self._inbox.acknowledge()
            said = frames.datagram(*([ack] if ack else []), frames.Bye())
            out.append(SendRelayed(self.to, said))
            self._close(out, drain=0.0)

    def _say_relayed(self, frame: frames.Frame, out: list[LinkOutput]) -> None:
        out.append(SendRelayed(self.to, frames.datagram(frame)))

    def _say(self, frame: frames.Frame, out: list[LinkOutput]) -> None:
        """Send a small frame past what is queued; it cannot wait."""
        if self._open or self._silent:
            self._send(frames.datagram(frame), out)

    def _send(self, datagram: bytes, out: list[LinkOutput]) -> None:
        out.append(SendFrame(self.to, self._number, engine.CONTROL, datagram))

    def _acknowledge(self, out: list[LinkOutput]) -> None:
        ack = self._inbox.acknowledge()
        if ack is not None:
            self._say(ack, out)

    def _measured(
        self, measured: Measured | StatsArrived, now: float, out: list[LinkOutput]
    ) -> None:
        """Go on with what the engine holds; if that is much, it will say when it is little."""
        if isinstance(measured, StatsArrived):
            if not self._open:
                return  # It is the relay that is measured, if anything.
            self._meter.reported(measured.stats, now)
            self._outbox.window.crossed(measured.stats.rtt)
            self._tell_quality(out)
            return
        held_bytes = measured.held_bytes
        if measured.channel == engine.REALTIME:
            self._backlog.held_bytes = held_bytes
            return
        window = self._outbox.window
        before = window.low_water_bytes
        window.measured(held_bytes, now)
        if window.low_water_bytes != before:
            out.append(MarkLow(self.to, self._number, window.low_water_bytes))
        self._pump(now, out, measure=held_bytes <= window.low_water_bytes)

    def _pump(self, now: float, out: list[LinkOutput], *, measure: bool = True) -> None:
        """Hand on what fits the engine's window."""
        if not self._open:
            return
        for channel, datagram in self._outbox.take(now):
            out.append(SendFrame(self.to, self._number, channel, datagram))
        if self._outbox.must_measure:
            if measure:
                out.append(MeasureBuffer(self.to, self._number))
        elif self._leaving and not self._outbox.waiting and not self._outbox.scattered:
            self._part(out)

    def _hasten(
        self, now: float, out: list[LinkOutput], messages: tuple[Passing, ...] = ()
    ) -> None:
        """Send what need not arrive, or drop it."""
        self._traffic.send(messages, now)
        window_bytes = self._outbox.window.size_bytes
        for datagram, count in self._traffic.hasten(now):
            if self._open and self._backlog.takes(window_bytes):
                self._backlog.held_bytes += len(datagram)
                out.append(SendFrame(self.to, self._number, engine.REALTIME, datagram))
            elif not self._open and self._relay.spares(len(datagram), now):
                out.append(SendRelayed(self.to, datagram))
            else:
                self._traffic.sender.dropped += count
        if self._open and self._backlog.must_measure(window_bytes):
            out.append(MeasureBuffer(self.to, self._number, engine.REALTIME))

    def _part(self, out: list[LinkOutput]) -> None:
        """Say goodbye after the last message; close once all have arrived.

        Who hears the goodbye has them too, and closes the connection: that is an end as well.
        """
        if not self._parted:
            self._parted = True
            self._acknowledge(out)
            self._say(frames.Bye(), out)
        if not self._outbox.unacknowledged:
            self._close(out, drain=DRAIN)

    # --- the end ------------------------------------------------------------------

    def _depart(self, now: float, out: list[LinkOutput]) -> None:
        self._leaving = True
        self._unheard_since = now
        if not self._open and not self._relay.answered and not self._outbox.waiting:
            self._close(out, drain=0.0)
            return
        self._pump(now, out)

    def _close(self, out: list[LinkOutput], *, drain: float) -> None:
        if self._number:
            out.append(CloseConnection(self.to, self._number, drain))
        self._open = False
        self._heartbeat.stop()
        self._meter.stop()
        self.delivered = not self._outbox.unacknowledged
        self._traffic.close()
        self._allowance.withdraw(self.to)
        self._sequencer.rest()
        self._move(LinkState.CLOSED, out)


def _wanted(body: wire.SignalBody) -> int:
    """Return the generation that a signal would have us open, 0 if none."""
    match body:
        case wire.OfferBody(generation=wanted) | wire.RestartBody(wanted=wanted):
            return wanted
        case _:
            return 0
