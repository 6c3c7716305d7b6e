"""Short lives of one session, told word by word: what storms rarely reach."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, cycle

from tests.core.session_traces import Recorder
from thkmesh.core import engine, frames, wire
from thkmesh.core import link_events as link
from thkmesh.core.channels import ROOM
from thkmesh.core.contact import SendToServer
from thkmesh.core.engine import Capabilities, Description, SdpType
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import LinkSettings
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.session import Session
from thkmesh.core.session_events import (
    FromLink,
    Heard,
    Introduced,
    Send,
    SendAll,
    SessionEvent,
    SessionOutput,
    SignalVerified,
    Start,
    Welcomed,
)
from thkmesh.core.streams import LOG_BYTES
from thkmesh.events import Data
from thkmesh.peer import Peer

ME = SessionKey("m" * 26, "0" * 16)
ADA = Peer("a" * 26, "1" * 16, "Ada", {"role": "reader"})
CAT = Peer("c" * 26, "2" * 16, "Cat")
ZOE = Peer("z" * 26, "3" * 16, "Zoë")
"""Two lower than we, and one higher, to whom we offer."""

ALL = LinkSettings(
    Capabilities(rollback=True, ice_restart=True, trickle=True, max_message_bytes=262_144)
)
NO_ROLLBACK = LinkSettings(replace(ALL.capabilities, rollback=False))
NO_RESTART = LinkSettings(replace(ALL.capabilities, ice_restart=False))
HASTY = replace(ALL, hasty=True)
START = frames.Begin(0, 0, 0)

_THROWS = (0.5, 0.125, 0.875, 0.25, 0.75)


def key(peer: Peer) -> SessionKey:
    """Return the session of a peer."""
    return SessionKey(peer.id, peer.sid)


def sdp(ufrag: str, candidates: int = 0) -> str:
    """Return as much of a description as the core reads."""
    lines = ["v=0", f"a=ice-ufrag:{ufrag}", *(f"a={candidate(n)}" for n in range(candidates))]
    return "\r\n".join([*lines, ""])


def candidate(number: int) -> str:
    """Return one of many candidates."""
    return f"candidate:{number} 1 udp 1 192.0.2.1 {number} typ host"


def acked(numbers: dict[int, int], limit: int = 2**40) -> frames.Ack:
    """Return an acknowledgement that lets us send as much as we like, unless it says less."""
    return frames.Ack({each: frames.Want(number, limit) for each, number in numbers.items()})


class Story:
    """One session, its time, and an engine that does what it is asked as soon as it may."""

    def __init__(self, recorder: Recorder, settings: LinkSettings = ALL) -> None:
        """Begin outside, at time 0."""
        throws = cycle(_THROWS)
        self.session: Session = recorder.mind(ME, settings, lambda: next(throws))
        self.now = 0.0
        self.last: list[SessionOutput] = []
        self.answering = False
        """Whether the server answers what it is sent."""
        self._numbers: dict[SessionKey, int] = {}
        self._asked: list[link.Perform] = []
        self._made = count(1)
        self._seq: dict[Peer, Iterator[int]] = {}

    def tell(self, event: SessionEvent | Tick | Slept, after: float = 0.0) -> list[SessionOutput]:
        """Hand in an event after some time; return what came out."""
        self.now += after
        self.last = self.session.handle(event, self.now)
        for output in self.last:
            match output:
                case link.OpenConnection(to=to, number=number):
                    self._numbers[to] = number
                case link.Perform():
                    self._asked.append(output)
                case _:
                    pass
        return self.last

    def run(self, seconds: float) -> None:
        """Let time pass, with a tick at each deadline."""
        until = self.now + seconds
        while (due := self.session.deadline) is not None and due <= until:
            self._tick(due)
        self.now = until

    def _tick(self, due: float) -> None:
        self.tell(Tick(), max(due - self.now, 0.0))
        for output in self.last:
            if self.answering and isinstance(output, SendToServer):
                self.tell(Heard(wire.Pong()))

    # --- the server ---

    def enter(self, *peers: Peer) -> None:
        """Open the way to the server and be welcomed."""
        self.tell(Start())
        self.tell(Heard(wire.Challenge(nonce="n", epoch="one", protocol=(1, 1))))
        self.welcome(*peers)

    def welcome(self, *peers: Peer, epoch: str = "one", ping_interval: float = 20.0) -> None:
        """Let the server welcome us with these in the room."""
        message = wire.Welcome("r", epoch, "s", ping_interval=ping_interval)
        self.tell(Welcomed(message, peers))

    def left(self, peer: Peer, reason: str = "left") -> None:
        """Let the server say that a peer has left."""
        self.tell(Heard(wire.PeerLeft("r", peer.id, peer.sid, reason)))  # type: ignore[arg-type]

    def refused(self, peer: Peer, reason: str) -> None:
        """Let the server refuse a signal to a peer."""
        self.tell(Heard(wire.SignalRefused(peer.id, peer.sid, 1, reason)))

    def signal(
        self, peer: Peer, body: wire.SignalBody | None, ack: int = 0, seq: int | None = None
    ) -> None:
        """Let a peer's next signal arrive, or that of another number."""
        if seq is None:
            seq = next(self._seq.setdefault(peer, count(1)))
        self.tell(SignalVerified(key(peer), link.SignalArrived(seq, ack, body)))

    def offer(self, peer: Peer, ufrag: str, generation: int = 1, round_: int = 1) -> None:
        """Let a peer offer."""
        self.signal(
            peer, wire.OfferBody(generation, round_, wire.SeedDescription("offer", sdp(ufrag)))
        )

    def answer(self, peer: Peer, ufrag: str, generation: int = 1, round_: int = 1) -> None:
        """Let a peer answer."""
        described = wire.SeedDescription("answer", sdp(ufrag))
        self.signal(peer, wire.AnswerBody(generation, round_, described))

    def candidates(self, peer: Peer, ufrag: str, numbers: range, generation: int = 1) -> None:
        """Let candidates of a peer arrive, in one signal."""
        inits = tuple(wire.CandidateInit(candidate(n), ufrag, "0", 0) for n in numbers)
        self.signal(peer, wire.CandidatesBody(generation, inits))

    # --- links and engine ---

    def link(self, peer: Peer, event: link.LinkEvent) -> None:
        """Tell the link to a peer something."""
        self.tell(FromLink(key(peer), event))

    def engine(self, peer: Peer, event: engine.EngineEvent, number: int | None = None) -> None:
        """Let the present connection to a peer report something, or that of another number."""
        number = self._numbers.get(key(peer), 1) if number is None else number
        self.link(peer, link.FromEngine(number, event))

    def datagram(self, peer: Peer, data: bytes) -> None:
        """Let a datagram of a peer arrive."""
        self.engine(peer, engine.FrameReceived(engine.CONTROL, data))

    def frames(self, peer: Peer, *said: frames.Frame) -> None:
        """Let frames of a peer arrive."""
        self.datagram(peer, frames.datagram(*said))

    def message(self, peer: Peer, number: int, data: Data, *, stream: int = 0) -> None:
        """Let a message of a peer arrive, in one fragment."""
        kind, payload = frames.encode(data)
        self.frames(peer, frames.Fragment(stream, number, kind, last=True, payload=payload))

    def resume(self, peer: Peer, **expected: int) -> None:
        """Let a peer say where its streams begin, and what it expects of ours."""
        numbers = {int(stream[1:]): number for stream, number in expected.items()}
        name = frames.Name(0, 0, "", START, START)
        self.frames(peer, frames.Resume(acked(numbers).wants), frames.Listen(()), name)
        # Our streams are as wide as a story needs them.
        self.frames(peer, acked(numbers or {0: 0, 1: 0}))

    def perform(self) -> None:
        """Do what the engine was asked for, until it is asked for nothing more."""
        while self._asked:
            asked = self._asked.pop(0)
            made: Description | None = None
            match asked.operation:
                case engine.MakeOffer():
                    made = Description(SdpType.OFFER, sdp(f"me{next(self._made)}"))
                case engine.MakeAnswer():
                    made = Description(SdpType.ANSWER, sdp(f"me{next(self._made)}"))
                case _:
                    pass
            done = engine.OperationDone(asked.operation, made)
            self.tell(FromLink(asked.to, link.FromEngine(asked.number, done)))

    def await_request(self) -> None:
        """Let time pass until the engine is asked for something."""
        for _ in range(100):
            if self._asked:
                return
            due = self.session.deadline
            assert due is not None
            self._tick(due)
        raise AssertionError("the engine is asked for nothing")

    def fail(self, reason: str) -> None:
        """Let what the engine was asked for first fail."""
        asked = self._asked.pop(0)
        failed = engine.OperationFailed(asked.operation, reason)
        self.tell(FromLink(asked.to, link.FromEngine(asked.number, failed)))

    def open(self, *peers: Peer) -> None:
        """Let the links to these come up."""
        for peer in peers:
            self.engine(peer, engine.StateChanged(engine.ConnectionState.CONNECTED))
            self.engine(peer, engine.ChannelOpened(engine.CONTROL))

    def meet(self, *peers: Peer) -> None:
        """Let the links to these come up for the first time."""
        for peer in peers:
            self.open(peer)
            self.resume(peer)

    def connect(self, *peers: Peer) -> None:
        """Let links to these be negotiated and come up."""
        for peer in peers:
            if key(peer) > ME:
                self.perform()
                self.answer(peer, f"{peer.name[0]}1")
            else:
                self.offer(peer, f"{peer.name[0]}1")
            self.perform()
            self.meet(peer)

    def send(
        self, token: int, to: Peer | None = None, data: Data = "hello", channel: str = ROOM
    ) -> None:
        """Let the application send."""
        self.tell(Send(token, None if to is None else key(to), *frames.encode(data), channel))

    def send_all(self, *messages: Data, channel: str = ROOM) -> None:
        """Let the application send in a burst."""
        self.tell(SendAll(tuple((channel, *frames.encode(data)) for data in messages)))

    def fill(self, token: int, to: Peer | None) -> None:
        """Let the application fill a log."""
        for part in range(2):
            self.send(token + part, to, bytes(LOG_BYTES // 2))

    def introduce(self, peer: Peer) -> None:
        """Let the server introduce a peer."""
        self.tell(Introduced(peer))
