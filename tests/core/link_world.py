"""Two links joined by perfect signaling and an engine that does all at once."""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from thkmesh.core import frames, wire
from thkmesh.core import link_events as events
from thkmesh.core.allowance import Allowance
from thkmesh.core.channels import Channels, Delivery, Priority
from thkmesh.core.credit import Budget
from thkmesh.core.engine import (
    CHANNELS,
    AddCandidate,
    ApplyRemote,
    Candidate,
    CandidateFound,
    Capabilities,
    ChannelOpened,
    ConnectionState,
    Description,
    EngineEvent,
    FrameReceived,
    MakeAnswer,
    MakeOffer,
    OperationDone,
    RollBack,
    SdpType,
    StateChanged,
)
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import Link, LinkSettings
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.realtime import Limits
from thkmesh.core.traffic import Traffic
from thkmesh.events import Data, LinkState

LOW = SessionKey("a" * 26, "0" * 16)
HIGH = SessionKey("b" * 26, "0" * 16)

ALL = Capabilities(rollback=True, ice_restart=True, trickle=True, max_message_bytes=262_144)
NO_RESTART = replace(ALL, ice_restart=False)


_Kind = TypeVar("_Kind")


@dataclass
class End:
    """One side: its link, and what came out of it."""

    link: Link
    channels: Channels
    budget: Budget
    allowance: Allowance
    out: list[events.LinkOutput] = field(default_factory=list)
    number: int = 0
    closed: list[tuple[int, float]] = field(default_factory=list)
    held_bytes: int = 0
    frames: list[bytes] = field(default_factory=list)
    relayed: list[bytes] = field(default_factory=list)

    @classmethod
    def between(cls, me: SessionKey, to: SessionKey, settings: LinkSettings, dice: float) -> "End":
        """Make a link whose retries depend on ``dice``."""
        channels = Channels()
        budget = Budget()
        traffic = Traffic(to, channels, budget)
        allowance = Allowance(1e9, 1e9)
        link = Link(me, to, settings, lambda: dice, traffic, allowance=allowance)
        return cls(link, channels, budget, allowance)

    def said(self, kind: type[_Kind]) -> list[_Kind]:
        """Return the outputs of one type, in order."""
        return [output for output in self.out if isinstance(output, kind)]

    @property
    def states(self) -> list[LinkState]:
        """The states it moved through."""
        return [output.state for output in self.out if isinstance(output, events.Moved)]

    @property
    def heard(self) -> list[object]:
        """The messages that came in."""
        return [o.data for o in self.out if isinstance(o, events.ContentArrived)]


class LinkWorld:
    """Both ends, and the time.

    ``engine`` False leaves operations undone, ``wire_up`` False loses every signal,
    ``network`` False keeps every frame, for as long as its connection lasts, and with
    ``reading`` False nobody reads what arrives. ``relay_loses`` tells of each datagram
    whether the server drops it; with ``relay_repeats`` it passes each on twice.
    """

    def __init__(
        self,
        *,
        dice: float = 0.5,
        hasty: bool = False,
        capabilities: Capabilities = ALL,
        settings: LinkSettings | None = None,
    ) -> None:
        """Make both links, offline."""
        settings = settings or LinkSettings(capabilities, hasty=hasty)
        self.low = End.between(LOW, HIGH, settings, dice)
        self.high = End.between(HIGH, LOW, settings, dice)
        self.now = 0.0
        self.engine = True
        self.reading = True
        self.wire_up = True
        self._network = True
        self.relay_loses: Callable[[bytes], bool] = lambda _: False
        self.relay_repeats = False
        self._kept: list[tuple[End, int, bytes]] = []
        self._work: deque[tuple[End, events.LinkEvent | Tick | Slept]] = deque()
        self._negotiated: set[int] = set()
        self._opened: set[tuple[int, int]] = set()
        self._joined: dict[tuple[int, int], int] = {}
        self._restarts = itertools.count(1)
        self._restarting: tuple[int, int] | None = None

    @property
    def network(self) -> bool:
        """Whether frames pass."""
        return self._network

    @network.setter
    def network(self, up: bool) -> None:
        self._network = up
        if up:
            kept, self._kept = self._kept, []
            for end, number, frame in kept:
                self._work.append((end, events.FromEngine(number, FrameReceived(0, frame))))
            self._settle()

    def lose(self) -> None:
        """Lose the frames that were kept."""
        self._kept.clear()

    def connect(self) -> "LinkWorld":
        """Bring both online and let them connect."""
        for end in (self.low, self.high):
            self.tell(end, events.Online())
        return self.run(1.0)

    def meet(self) -> "LinkWorld":
        """Bring both online, with keys agreed for the relay."""
        for end in (self.low, self.high):
            self.tell(end, events.Online(relay=True))
        return self

    def tell(self, end: End, event: events.LinkEvent | Tick | Slept) -> None:
        """Hand an event to an end and let everything settle."""
        self._work.append((end, event))
        self._settle()

    def send(self, end: End, data: Data, *, direct: bool = False, channel: str = "") -> None:
        """Send a message from an end."""
        kind, payload = frames.encode(data)
        if direct:
            self.tell(end, events.Enqueue(channel, kind, payload))
        else:
            end.channels[channel].log.append(kind, payload)
            self.tell(end, events.Appended())

    def open(
        self,
        end: End,
        name: str,
        delivery: Delivery = Delivery.RELIABLE,
        limits: Limits | None = None,
    ) -> None:
        """Let an end have another channel to send on."""
        end.channels.open(name, delivery, Priority.NORMAL, limits)
        self.tell(end, events.Opened(name))

    def hasten(self, end: End, data: Data, *, direct: bool = False, channel: str) -> None:
        """Send a message from an end that need not arrive."""
        kind, payload = frames.encode(data)
        number = None if direct else next(end.channels[channel].count)
        self.tell(end, events.Hasten((events.Passing(channel, number, kind, payload),)))

    def listen(self, end: End, name: str, *, wanted: bool = True) -> None:
        """Let an end want to hear of a channel, or no longer."""
        end.channels.listen(name, wanted=wanted)
        self.tell(end, events.Listening())

    def report(self, end: End, event: EngineEvent) -> None:
        """Let the current connection of an end report something."""
        if isinstance(event, ChannelOpened):
            self._joined[id(end), end.number] = self.other(end).number
        self.tell(end, events.FromEngine(end.number, event))

    def run(self, seconds: float) -> "LinkWorld":
        """Let time pass, with a tick at each deadline."""
        until = self.now + seconds
        while True:
            ends = [e for e in (self.low, self.high) if e.link.deadline is not None]
            due = min((e.link.deadline or 0.0 for e in ends), default=until + 1.0)
            if due > until:
                break
            self.now = max(self.now, due)
            for end in ends:
                self.tell(end, Tick())
        self.now = until
        return self

    def other(self, end: End) -> End:
        """Return the opposite end."""
        return self.high if end is self.low else self.low

    def _settle(self) -> None:
        while self._work:
            end, event = self._work.popleft()
            for output in end.link.handle(event, self.now):
                end.out.append(output)
                self._perform(end, output)

    def _perform(self, end: End, output: events.LinkOutput) -> None:
        match output:
            case events.OpenConnection(number=number):
                end.number = number
                self._negotiated.discard(id(end))
            case events.CloseConnection(number=number, drain=drain):
                end.closed.append((number, drain))
            case events.TransmitSignal(seq=seq, ack=ack, body=body) if self.wire_up:
                parsed = self._parse(output, body)
                self._work.append((self.other(end), events.SignalArrived(seq, ack, parsed)))
            case events.Perform(number=number, operation=operation) if self.engine:
                self._operate(end, number, operation)
            case events.ContentArrived(stream=stream, cost=cost) if self.reading:
                self._work.append((end, events.Read(stream, cost)))
            case events.SendFrame(number=number, frame=frame):
                end.frames.append(frame)
                self._carry(end, number, frame)
            case events.SendRelayed(datagram=datagram):
                end.relayed.append(datagram)
                if not self.relay_loses(datagram):
                    copies = [(self.other(end), events.Relayed(datagram))]
                    self._work.extend(copies * (1 + self.relay_repeats))
            case events.MeasureBuffer(number=number, channel=channel):
                self._work.append((end, events.Measured(number, end.held_bytes, channel)))
            case _:
                pass

    def _carry(self, end: End, number: int, frame: bytes) -> None:
        other = self.other(end)
        to = self._joined.get((id(end), number))
        if to is None:
            return
        if self.network:
            event = events.FromEngine(to, FrameReceived(0, frame))
            self._work.append((other, event))
        else:
            self._kept.append((other, to, frame))

    def _parse(self, output: events.TransmitSignal, body: str) -> wire.SignalBody | None:
        if output.seq == 0:
            return None
        return wire.decode_signal_body(
            output.envelope(
                room_id="r",
                from_user_id="x",
                to_user_id="y",
                from_sid="0" * 16,
                to_sid="0" * 16,
                body=body,
                signature="s",
            )
        )

    def _operate(self, end: End, number: int, operation: object) -> None:
        """Do an operation at once; the connection opens when both sides have agreed."""
        ufrag = f"{'low' if end is self.low else 'high'}{number}"
        results: list[EngineEvent] = []
        match operation:
            case MakeOffer(ice_restart=restart):
                if restart:
                    ufrag += f"r{next(self._restarts)}"
                    self._restarting = (self.low.number, self.high.number)
                sdp = f"v=0\r\na=ice-ufrag:{ufrag}\r\n"
                results = [OperationDone(operation, Description(SdpType.OFFER, sdp))]
                results += self._candidates(ufrag)
            case MakeAnswer():
                sdp = f"v=0\r\na=ice-ufrag:{ufrag}\r\n"
                results = [OperationDone(operation, Description(SdpType.ANSWER, sdp))]
                results += self._candidates(ufrag)
                self._negotiated.add(id(end))
            case ApplyRemote(description=description):
                results = [OperationDone(operation)]
                if description.type is SdpType.ANSWER:
                    self._negotiated.add(id(end))
            case AddCandidate() | RollBack():
                results = [OperationDone(operation)]
            case _:
                raise AssertionError(operation)
        for result in results:
            self._work.append((end, events.FromEngine(number, result)))
        pair = (self.low.number, self.high.number)
        done = isinstance(operation, ApplyRemote) and operation.description.type is SdpType.ANSWER
        if done and self.network and self._restarting == pair:
            self._restarting = None
            for each in (self.low, self.high):
                restarted = StateChanged(ConnectionState.CONNECTED)
                self._work.append((each, events.FromEngine(each.number, restarted)))
        agreed = self._negotiated == {id(self.low), id(self.high)}
        if agreed and self.network and pair not in self._opened:
            self._opened.add(pair)
            self._joined[id(self.low), self.low.number] = self.high.number
            self._joined[id(self.high), self.high.number] = self.low.number
            for each in (self.low, self.high):
                opened: list[EngineEvent] = [StateChanged(ConnectionState.CONNECTED)]
                opened += [ChannelOpened(channel.id) for channel in CHANNELS]
                for event in opened:
                    self._work.append((each, events.FromEngine(each.number, event)))

    @staticmethod
    def _candidates(ufrag: str) -> list[EngineEvent]:
        return [CandidateFound(Candidate(text, "0", 0, ufrag)) for text in ("candidate:1", "")]
