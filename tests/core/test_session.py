"""The laws of a session: who is here, what is sent to whom, and how it ends."""

import gc
import weakref

import pytest

from thkmesh.core import frames, wire
from thkmesh.core import link_events as link
from thkmesh.core.channels import Delivery, Priority
from thkmesh.core.closing import CloseCode
from thkmesh.core.contact import CloseSocket, OpenSocket, SayHello, SendToServer
from thkmesh.core.engine import (
    Capabilities,
    ChannelClosed,
    ChannelOpened,
    Description,
    FrameReceived,
    MakeOffer,
    OperationDone,
    SdpType,
    Stats,
)
from thkmesh.core.heartbeat import INTERVAL
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import LinkSettings
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.membership import PARTING, RETURN_GRACE
from thkmesh.core.session import LONG_SLEEP, PATIENCE, Session
from thkmesh.core.session_events import (
    Accepted,
    Cancel,
    Deliver,
    Emit,
    Ended,
    Flush,
    FromLink,
    Heard,
    Introduced,
    Leave,
    NetworkChanged,
    OpenChannel,
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
from thkmesh.core.streams import LOG_BYTES
from thkmesh.errors import (
    InvalidMessage,
    InvalidSignature,
    Replaced,
    RoomClosed,
    ServerUnreachable,
    UnknownPeer,
)
from thkmesh.events import (
    Data,
    Grade,
    LeaveReason,
    LinkChanged,
    LinkState,
    Lost,
    Message,
    Path,
    PathChanged,
    PathKind,
    PeerJoined,
    PeerLagging,
    PeerLeft,
    Quality,
    QualityChanged,
    Refused,
    ServerChanged,
    ServerState,
    Undelivered,
)
from thkmesh.peer import Peer

CUT = frames.Begin(1024, 1, 16 * 2**20 + 1024 * 64)
ME = SessionKey("a" * 26, "0" * 16)
BOB = Peer("b" * 26, "1" * 16, "Bob")
CAT = Peer("c" * 26, "2" * 16, "Cat")
CAPABILITIES = Capabilities(
    rollback=True, ice_restart=True, trickle=True, max_message_bytes=262_144
)


START = frames.Begin(0, 0, 0)
ROOM = frames.Name(0, 0, "", START, START)
FAR = 2**40


def send(token: int, to: SessionKey | None, data: Data) -> Send:
    """Return the wish to send a message."""
    return Send(token, to, *frames.encode(data))


def direct(number: int, data: Data) -> frames.Fragment:
    """Return the frame of a message to us alone."""
    kind, payload = frames.encode(data)
    return frames.Fragment(frames.DIRECT, number, kind, last=True, payload=payload)


def acked(numbers: dict[int, int]) -> frames.Ack:
    """Return an acknowledgement that lets us send as much as we like."""
    return frames.Ack({each: frames.Want(number, FAR) for each, number in numbers.items()})


def key(peer: Peer) -> SessionKey:
    """Return the session of a peer."""
    return SessionKey(peer.id, peer.sid)


class Life:
    """One session, the time, and what came out."""

    def __init__(self) -> None:
        """Start it."""
        self.session = Session(ME, LinkSettings(CAPABILITIES), lambda: 0.5)
        self.now = 0.0
        self.last: list[SessionOutput] = []
        self.tell(Start())

    def tell(self, event: SessionEvent | Tick | Slept, after: float = 0.0) -> list[SessionOutput]:
        """Hand in an event after some time; return what came out."""
        self.now += after
        self.last = self.session.handle(event, self.now)
        return self.last

    def welcome(self, *peers: Peer, epoch: str = "one") -> list[SessionOutput]:
        """Let the server welcome us with these in the room."""
        message = wire.Welcome(room_id="r", epoch=epoch, resume="s")
        return self.tell(Welcomed(message, peers))

    def connect(self, *peers: Peer) -> None:
        """Let the links to these come up."""
        for peer in peers:
            self.engine(peer, ChannelOpened(0))
            opened = self.last
            self.hear(peer, frames.Resume({}), ROOM, acked({0: 0, 1: 0}))
            self.last = [*opened, *self.last]

    def engine(self, peer: Peer, event: object, number: int = 1) -> list[SessionOutput]:
        """Let the connection to a peer report something."""
        return self.tell(FromLink(key(peer), link.FromEngine(number, event)))  # type: ignore[arg-type]

    def sent(self) -> list[tuple[SessionKey, object]]:
        """Return what small messages and goodbyes went out last."""
        found: list[tuple[SessionKey, object]] = []
        for output in self.last:
            if isinstance(output, link.SendFrame):
                for frame in frames.parse(output.frame):
                    match frame:
                        case frames.Fragment(kind=kind, payload=payload):
                            found.append((output.to, frames.content(kind, payload)))
                        case frames.Bye():
                            found.append((output.to, frame))
                        case _:
                            pass
        return found

    def went(self, peer: Peer) -> list[frames.Frame]:
        """Return all frames that went out to a peer last."""
        return [
            frame
            for output in self.last
            if isinstance(output, link.SendFrame) and output.to == key(peer)
            for frame in frames.parse(output.frame)
        ]

    def hear(self, peer: Peer, *said: frames.Frame, number: int = 1) -> list[SessionOutput]:
        """Let a datagram come from a peer."""
        return self.engine(peer, FrameReceived(0, frames.datagram(*said)), number)

    def events(self) -> list[object]:
        """Return what the application was told last."""
        told: list[object] = []
        for output in self.last:
            match output:
                case Emit(event=event):
                    told.append(event)
                case Deliver(message=message):
                    told.append(message)
                case _:
                    pass
        return told


def in_room(*peers: Peer) -> Life:
    """Return a session in a room with these, their links up."""
    life = Life()
    life.welcome(*peers)
    life.connect(*peers)
    return life


def test_it_enters_by_the_socket() -> None:
    """Start opens the WebSocket, the challenge is answered with hello, the welcome joins."""
    life = Life()
    assert life.last == [OpenSocket()]
    challenge = wire.Challenge(nonce="n", epoch="one", protocol=(1, 1))
    assert life.tell(Heard(challenge)) == [SayHello("n", "")]
    life.welcome(BOB)
    assert life.events() == [PeerJoined(BOB), ServerChanged(ServerState.CONNECTED)]
    assert life.session.peers == (BOB,)
    assert any(isinstance(o, link.OpenConnection) for o in life.last)


def test_what_we_may_do_is_the_servers_last_word() -> None:
    """Nothing before the welcome; later it may change."""
    life = Life()
    said = [life.session.grants]
    life.tell(Heard(wire.Challenge(nonce="n", epoch="one", protocol=(1, 1))))
    life.welcome(BOB)
    said.append(life.session.grants)
    life.tell(Heard(wire.Admitted(9.0, ("join", "kick"))))
    said.append(life.session.grants)
    assert said == [(), ("join", "send", "relay", "create", "list"), ("join", "kick")]


def test_who_has_joined_finds_the_others_there() -> None:
    """The peers in a welcome are told of before the connection it completes."""
    life = Life()
    life.tell(Heard(wire.Challenge(nonce="n", epoch="one", protocol=(1, 1))))
    life.welcome(BOB)
    assert isinstance(life.events()[-1], ServerChanged)
    assert isinstance(life.events()[0], PeerJoined)


def test_a_server_that_cannot_be_reached_is_told_and_retried() -> None:
    """Before the first welcome each failure is told with its reason."""
    life = Life()
    life.tell(SocketLost(1006, "refused"))
    (event,) = life.events()
    assert isinstance(event, ServerChanged)
    assert isinstance(event.error, ServerUnreachable)
    assert life.session.deadline is not None
    assert life.tell(Tick(), after=1.0) == [OpenSocket()]


def test_newcomers_are_linked() -> None:
    """An introduction makes a peer and a link; a second one only brings it online."""
    life = in_room()
    life.tell(Introduced(BOB))
    assert life.events() == [PeerJoined(BOB)]
    assert [each.to for each in life.session.links] == [key(BOB)]
    life.tell(Introduced(BOB))
    assert life.events() == []


def test_a_broadcast_goes_to_everybody_and_a_unicast_to_one() -> None:
    """A message is sent once over each link that it is for, and accepted."""
    life = in_room(BOB, CAT)
    assert Accepted(1) in life.tell(send(1, None, "hello"))
    assert life.sent() == [(key(BOB), "hello"), (key(CAT), "hello")]
    assert Accepted(2) in life.tell(send(2, key(CAT), "hello"))
    assert life.sent() == [(key(CAT), "hello")]


def test_a_message_sent_at_once_waits_for_the_links() -> None:
    """What is sent right after joining reaches those who were there."""
    life = Life()
    life.welcome(BOB)
    assert life.tell(send(1, None, "hello")) == [Accepted(1)]
    life.connect(BOB)
    assert life.sent() == [(key(BOB), "hello")]


def test_to_an_empty_room_a_message_is_owed_to_nobody() -> None:
    """Sent to nobody, it is accepted, and who comes later does not get it."""
    life = in_room()
    assert life.tell(send(1, None, "hello")) == [Accepted(1)]
    life.tell(Introduced(BOB))
    life.connect(BOB)
    assert life.sent() == []


def test_an_unknown_addressee_is_an_error() -> None:
    """A unicast to who is not here is not sent."""
    life = in_room(BOB)
    (output,) = life.tell(send(1, key(CAT), "hello"))
    assert isinstance(output, Unsendable)
    assert isinstance(output.error, UnknownPeer)


def fill(life: Life, to: Peer | None) -> None:
    """Fill the log of what goes to everybody, or to one peer, which takes in nothing."""
    life.tell(Send(0, None if to is None else key(to), 1, bytes(LOG_BYTES)))


def drained(life: Life, peer: Peer) -> None:
    """Let the engine of a peer have sent all that it held."""
    life.tell(FromLink(key(peer), link.Measured(1, 0)))


def take_in(life: Life, peer: Peer) -> None:
    """Let a peer take in and acknowledge everything that goes to everybody."""
    while sent := [frame for frame in life.went(peer) if isinstance(frame, frames.Fragment)]:
        life.hear(peer, acked({0: sent[-1].number + 1}))
        drained(life, peer)


def test_a_burst_goes_out_together() -> None:
    """Many small messages that were accepted already share a datagram, in order."""
    life = in_room(BOB)
    out = life.tell(SendAll(tuple(("", *frames.encode(number)) for number in range(100))))
    (datagram,) = (each.frame for each in out if isinstance(each, link.SendFrame))
    parts = [part for part in frames.parse(datagram) if isinstance(part, frames.Fragment)]
    assert [frames.content(part.kind, part.payload) for part in parts] == list(range(100))
    assert out == [link.SendFrame(key(BOB), 1, 0, datagram)]


def test_a_burst_on_several_channels_keeps_to_them() -> None:
    """Each message is on its channel, in order there, and goes to who listens to that."""
    life = in_room(BOB)
    life.tell(OpenChannel("x", Delivery.RELIABLE, Priority.NORMAL, listen=False))
    life.hear(BOB, frames.Listen(("x",)))
    messages = [("", "first"), ("x", "second"), ("", "third"), ("x", "fourth")]
    life.tell(SendAll(tuple((name, *frames.encode(data)) for name, data in messages)))
    parts = [part for part in life.went(BOB) if isinstance(part, frames.Fragment)]
    said = [(part.stream, frames.content(part.kind, part.payload)) for part in parts]
    assert sorted(said) == [(0, "first"), (0, "third"), (2, "fourth"), (2, "second")]
    assert [data for stream, data in said if stream == 2] == ["second", "fourth"]


def test_only_a_full_log_makes_wait() -> None:
    """Each stream has its own; what cannot be sent at all is refused without waiting."""
    life = in_room(BOB)
    life.tell(OpenChannel("x", Delivery.RELIABLE, Priority.NORMAL, listen=False))
    fill(life, None)
    streams = [("", None), ("", key(BOB)), ("x", None), ("", key(CAT)), ("unknown", None)]
    assert [life.session.room_for(*each) for each in streams] == [False, True, True, True, True]


def test_of_who_said_goodbye_nothing_is_told_that_was_dropped() -> None:
    """What it does not want to hear any more stands behind its goodbye."""
    life = in_room(BOB)
    life.tell(OpenChannel("x", Delivery.RELIABLE, Priority.NORMAL, listen=False))
    life.tell(Send(1, key(BOB), *frames.encode("waits"), "x"))
    life.hear(BOB, frames.Bye(), frames.Listen(()))
    assert not any(isinstance(event, Undelivered) for event in life.events())


def test_who_leaves_or_has_left_accepts_nothing() -> None:
    """Before that it is only a question of room."""
    staying, leaving, ended = in_room(BOB), in_room(BOB), in_room()
    leaving.tell(Leave(1.0))
    ended.tell(SocketLost(CloseCode.REPLACED, ""))
    accepting = [each.session.accepting for each in (staying, leaving, ended)]
    assert accepting == [True, False, False]


def test_a_sender_waits_while_the_log_is_full_and_only_for_that() -> None:
    """What goes to one peer waits for it alone; in the order of sending, until cancelled."""
    life = Life()
    life.welcome(BOB, CAT)
    life.connect(CAT)
    fill(life, BOB)
    assert life.tell(send(1, key(BOB), "hello")) == []
    assert life.tell(send(2, key(BOB), "again")) == []
    assert Accepted(3) in life.tell(send(3, None, "everybody"))
    assert Accepted(4) in life.tell(send(4, key(CAT), "Cat"))
    assert life.tell(Cancel(1)) == []
    life.connect(BOB)
    assert Accepted(2) not in life.last
    life.hear(BOB, acked({1: 1}))
    assert Accepted(2) in life.last


def test_nobody_halts_a_room() -> None:
    """Everybody waits for the slowest for a while; then it is told what it will not get."""
    life = Life()
    life.welcome(BOB, CAT)
    life.connect(CAT)
    fill(life, None)
    take_in(life, CAT)
    life.tell(send(1, None, "one"))
    life.tell(send(2, None, "two"), after=1.0)
    assert life.session.deadline is not None
    assert life.last == []
    life.tell(Tick(), after=PATIENCE - 1.0)
    assert life.events() == [PeerLagging(BOB, 1)]
    assert {Accepted(1), Accepted(2)} < set(life.last)
    assert life.sent() == [(key(CAT), "one"), (key(CAT), "two")]
    life.connect(BOB)
    assert frames.Skip(0, CUT) in life.went(BOB)
    assert life.sent() == [(key(BOB), "one"), (key(BOB), "two")]


def test_nobody_is_waited_for_twice_in_vain() -> None:
    """Who was cut loose and has not been heard of since costs nobody any more time."""
    life = Life()
    life.welcome(BOB, CAT)
    life.connect(CAT)
    fill(life, None)
    take_in(life, CAT)
    life.tell(send(1, None, "one"))
    life.tell(Tick(), after=PATIENCE)
    assert life.events() == [PeerLagging(BOB, 1)]
    take_in(life, CAT)
    fill(life, None)
    take_in(life, CAT)
    life.tell(send(2, None, "two"))
    assert Accepted(2) in life.last
    assert life.events() == [PeerLagging(BOB, 2)]
    life.connect(BOB)
    skips = [each.to for each in life.went(BOB) if isinstance(each, frames.Skip)]
    life.hear(BOB, acked({0: skips[-1].number + 1}))  # and the "two" behind it
    fill(life, None)
    take_in(life, CAT)
    life.tell(send(3, None, "three"))
    assert life.events() == []
    life.tell(Tick(), after=PATIENCE)
    assert life.events() == [PeerLagging(BOB, 1)]


def test_who_is_slow_but_moves_is_waited_for() -> None:
    """Each time that a message is accepted, everybody waits anew."""
    life = in_room(BOB)
    fill(life, None)
    for _ in range(4):
        drained(life, BOB)
    for number in range(1, 5):
        fill(life, None)
        life.tell(Tick(), after=PATIENCE - 0.5)
        life.hear(BOB, acked({0: 1 + 4 * number}))
        assert life.events() == []


def test_a_cut_session_is_told_at_once_over_a_living_link() -> None:
    """Behind what the connection already carries, so that its receiver counts right."""
    life = in_room(BOB)
    fill(life, None)
    life.tell(send(1, None, "news"))
    life.tell(Tick(), after=PATIENCE)
    assert life.events() == [PeerLagging(BOB, 1)]
    drained(life, BOB)
    _, skip, news = life.went(BOB)
    assert skip == frames.Skip(0, CUT)
    assert isinstance(news, frames.Fragment)
    assert life.sent() == [(key(BOB), "news")]


def test_a_cancelled_message_is_not_sent() -> None:
    """Cancelled while waiting, it goes to nobody; later is too late."""
    life = Life()
    life.welcome(BOB)
    fill(life, None)
    life.tell(send(1, None, "hello"))
    life.tell(Cancel(1))
    life.tell(Tick(), after=2 * PATIENCE)
    assert life.last == []
    assert life.tell(Cancel(1)) == []


def test_a_peer_that_leaves_frees_who_waited_for_it() -> None:
    """A broadcast no longer waits for who is gone; a unicast to it is an error."""
    life = Life()
    life.welcome(BOB)
    fill(life, None)
    fill(life, BOB)
    life.tell(send(1, None, "hello"))
    life.tell(send(2, key(BOB), "hello"))
    life.tell(Heard(wire.PeerLeft(room_id="r", user_id=BOB.id, sid=BOB.sid)))
    assert life.events() == []
    life.tell(Tick(), after=PARTING)
    assert Accepted(1) in life.last
    assert [o.token for o in life.last if isinstance(o, Unsendable)] == [2]
    assert life.events() == [Undelivered(BOB, 2), PeerLeft(BOB, LeaveReason.LEFT)]
    assert life.session.links == ()


def test_what_was_not_acknowledged_is_told_when_a_peer_goes() -> None:
    """Not of a peer that had everything, nor by who leaves; of one that vanished both ways."""
    life = in_room(BOB, CAT)
    life.tell(send(1, None, "to both"))
    life.tell(send(2, key(BOB), "to Bob"))
    life.hear(CAT, acked({0: 1}), frames.Bye())
    assert life.events() == [PeerLeft(CAT, LeaveReason.LEFT)]
    life.hear(BOB, acked({1: 1}))
    life.engine(BOB, ChannelClosed(0))
    life.tell(Heard(wire.PeerLeft(room_id="r", user_id=BOB.id, sid=BOB.sid, reason="timeout")))
    assert life.events() == [
        Lost(BOB, None),
        Undelivered(BOB, 1),
        PeerLeft(BOB, LeaveReason.TIMEOUT),
    ]


def test_behind_a_goodbye_nothing_is_said() -> None:
    """What else is in its datagram is nobody's."""
    life = in_room(BOB)
    life.hear(BOB, frames.Bye(), direct(0, "late"), frames.Skip(1, frames.Begin(5, 4, 900)))
    assert life.events() == [PeerLeft(BOB, LeaveReason.LEFT)]


def test_lost_messages_are_counted() -> None:
    """What a peer could not wait to send us is lost, and we know how much that is."""
    life = in_room(BOB)
    life.hear(BOB, direct(0, "one"), frames.Skip(1, frames.Begin(5, 4, 900)))
    assert life.events() == [Message(BOB, "one", direct=True), Lost(BOB, 3)]


def test_messages_arrive_with_their_sender() -> None:
    """A frame of a link is a message of its peer."""
    life = in_room(BOB)
    life.hear(BOB, direct(0, {"a": 1}))
    assert life.events() == [Message(BOB, {"a": 1}, direct=True)]


def test_a_goodbye_over_the_link_is_enough() -> None:
    """Who says goodbye has left, whatever the server still says."""
    life = in_room(BOB)
    life.hear(BOB, frames.Bye())
    assert life.events() == [PeerLeft(BOB, LeaveReason.LEFT)]
    life.welcome(BOB)
    assert life.session.peers == ()


def test_the_way_through_the_server_is_told_of_who_is_here() -> None:
    """Only where keys are agreed and the server passes on; and not behind a goodbye."""
    hello = frames.Resume({})

    def relayed(sealed: tuple[SessionKey, ...], *said: frames.Frame, rate: int = 1) -> Life:
        life = Life()
        message = wire.Welcome(room_id="r", epoch="one", resume="s", relay_bytes=rate)
        life.tell(Welcomed(message, (BOB,), sealed))
        life.tell(Tick(), after=1.0)
        life.tell(FromLink(key(BOB), link.Relayed(frames.datagram(*said))), after=1.0)
        return life

    told = PathChanged(BOB, Path.RELAY)
    known = (key(BOB),)
    assert told in relayed(known, hello).events()
    assert told not in relayed((), hello).events()
    assert told not in relayed(known, hello, rate=0).events()
    assert relayed(known, hello, frames.Bye()).events()[-1] == PeerLeft(BOB, LeaveReason.LEFT)
    life = relayed((), hello)
    life.tell(Introduced(BOB, sealed=True))
    life.tell(Tick(), after=2.0)
    life.tell(FromLink(key(BOB), link.Relayed(frames.datagram(hello))))
    assert told in life.events()
    life.tell(Introduced(BOB))
    assert life.events() == [PathChanged(BOB, None)]


def test_a_living_link_outlives_the_server() -> None:
    """Server gone, restarted, and empty: the linked stay, messages go on, nobody has left."""
    life = in_room(BOB, CAT)
    life.tell(SocketLost(CloseCode.RESTARTING, ""))
    assert life.events() == [ServerChanged(ServerState.RECONNECTING)]
    life.tell(send(1, None, "hello"))
    assert len(life.sent()) == 2
    life.tell(Tick(), after=1.0)
    life.welcome(epoch="two")
    assert life.events() == [ServerChanged(ServerState.CONNECTED)]
    life.tell(Introduced(BOB))
    for _ in range(int(RETURN_GRACE)):
        for peer in (BOB, CAT):
            life.hear(peer, frames.Pong(1))
        life.tell(Tick(), after=1.0)
    assert life.session.peers == (BOB, CAT)


def test_the_quality_of_a_link_is_told_of_who_is_here() -> None:
    """A grade that is new is an event of its peer; of who has gone there is none."""
    life = in_room(BOB)
    stats = Stats(rtt=0.02, local_type="host", remote_type="relay", protocol="tcp", ip_version=6)
    life.tell(FromLink(key(BOB), link.StatsArrived(1, stats)))
    path = PathKind("host", "relay", "tcp", 6)
    assert life.events() == [QualityChanged(BOB, Quality(Grade.EXCELLENT, 96, 0.02, path=path))]
    other = in_room(CAT)
    other.tell(Tick(), after=INTERVAL)
    other.hear(CAT, frames.Bye(), frames.Pong(1))  # which would be its first grade
    assert not any(isinstance(event, QualityChanged) for event in other.events())
    assert PeerLeft(CAT, LeaveReason.LEFT) in other.events()


def test_a_link_that_dies_takes_an_unlisted_peer_with_it() -> None:
    """Neither listed nor linked nor forgiven is gone."""
    life = in_room(BOB)
    life.tell(Heard(wire.PeerLeft(room_id="r", user_id=BOB.id, sid=BOB.sid, reason="timeout")))
    assert life.events() == []
    life.engine(BOB, ChannelClosed(0))
    assert life.events() == [
        LinkChanged(BOB, LinkState.RECONNECTING),
        Lost(BOB, None),
        PeerLeft(BOB, LeaveReason.TIMEOUT),
    ]


def test_a_peer_that_was_given_up_and_returns_finds_its_link_again() -> None:
    """It has been away and knows nothing of that: signals and generations go on."""
    life = in_room(BOB)
    own = OperationDone(MakeOffer(), Description(SdpType.OFFER, "v=0"))
    life.engine(BOB, own)
    life.engine(BOB, ChannelClosed(0))
    (former,) = life.session.links
    life.tell(Heard(wire.PeerLeft(room_id="r", user_id=BOB.id, sid=BOB.sid, reason="timeout")))
    assert life.events() == [Lost(BOB, None), PeerLeft(BOB, LeaveReason.TIMEOUT)]
    generation = former.generation
    life.tell(SignalVerified(key(BOB), link.SignalArrived(1, 1, wire.RestartBody(wanted=2))))
    assert life.last == []
    life.tell(Introduced(BOB))
    assert life.events() == [PeerJoined(BOB)]
    assert {o.seq for o in life.last if isinstance(o, link.TransmitSignal)} == {1}
    (opened,) = [o for o in life.last if isinstance(o, link.OpenConnection)]
    (ours,) = life.session.links
    assert ours.generation == generation + 1
    life.engine(BOB, own, opened.number)
    assert [o.seq for o in life.last if isinstance(o, link.TransmitSignal)] == [2]
    assert life.session.deadline is not None


def test_a_link_that_was_never_begun_begins_when_its_peer_returns() -> None:
    """There is no generation to go on from."""
    life = Life()
    life.session = Session(key(CAT), LinkSettings(CAPABILITIES), lambda: 0.5)
    life.tell(Start())
    life.welcome(BOB)
    life.tell(Heard(wire.PeerLeft(room_id="r", user_id=BOB.id, sid=BOB.sid, reason="timeout")))
    life.tell(Introduced(BOB))
    life.tell(Tick(), after=20.0)
    (ours,) = life.session.links
    assert ours.generation == 0


def test_who_comes_and_is_given_up_while_we_leave_has_no_link() -> None:
    """Neither then nor afterwards."""
    life = in_room(BOB)
    fill(life, BOB)
    life.tell(Leave(10.0))
    life.tell(Introduced(CAT))
    life.tell(Heard(wire.PeerLeft(room_id="r", user_id=CAT.id, sid=CAT.sid, reason="timeout")))
    assert life.events() == [PeerLeft(CAT, LeaveReason.TIMEOUT)]
    assert [each.to for each in life.session.links] == [key(BOB)]


def test_only_so_many_links_are_remembered() -> None:
    """Whoever comes and goes a thousand times costs no memory; the oldest is a stranger again."""
    life = Life()
    life.welcome()
    peers = [Peer(f"z{n:025}", "1" * 16, "") for n in range(257)]
    for peer in peers:
        life.tell(Introduced(peer))
        gone = wire.PeerLeft(room_id="r", user_id=peer.id, sid=peer.sid, reason="timeout")
        life.tell(Heard(gone))
    for peer, generation in ((peers[0], 1), (peers[-1], 2)):
        life.tell(Introduced(peer))
        (ours,) = [each for each in life.session.links if each.to == key(peer)]
        assert ours.generation == generation


def test_a_refused_signal_waits_for_the_peer_to_be_listed() -> None:
    """What the server cannot deliver is not sent again before its addressee is back."""
    life = Life()
    life.welcome(BOB)
    life.tell(Heard(wire.SignalRefused(to_user_id=BOB.id, to_sid=BOB.sid)))
    life.engine(BOB, ChannelClosed(0))
    life.tell(Tick(), after=60.0)
    assert not any(isinstance(o, link.OpenConnection) for o in life.last)
    life.tell(Introduced(BOB))
    life.tell(Tick())
    assert any(isinstance(o, link.OpenConnection) for o in life.last)


def test_a_full_queue_at_the_server_is_tried_again() -> None:
    """Its owner may return unannounced, for the server has not let it go."""
    life = in_room(BOB)
    refused = wire.SignalRefused(to_user_id=BOB.id, to_sid=BOB.sid, reason="queue-full")
    life.tell(Heard(refused))
    life.engine(BOB, ChannelClosed(0))
    life.tell(Tick())
    assert any(isinstance(o, link.OpenConnection) for o in life.last)


def test_signals_reach_their_link_or_nobody() -> None:
    """A verified signal goes to the link of its sender; a stranger's is inert."""
    life = in_room(BOB)
    nonsense = link.SignalArrived(1, 0, wire.RestartBody(wanted=9))
    life.tell(SignalVerified(key(BOB), nonsense))
    (event,) = life.events()
    assert isinstance(event, Refused)
    assert isinstance(event.error, InvalidMessage)
    assert life.tell(SignalVerified(key(CAT), nonsense)) == []


def test_what_is_not_what_it_claims_is_told() -> None:
    """A refused signal names the peer it claims to come from, if that is known."""
    life = in_room(BOB)
    error = InvalidSignature("x")
    life.tell(Suspected(key(BOB), error))
    assert life.events() == [Refused(error, BOB)]
    life.tell(Suspected(None, error))
    assert life.events() == [Refused(error, None)]
    assert life.tell(Heard(wire.Pong(1))) == []


def test_leaving_says_goodbye_to_everybody_then_ends() -> None:
    """Links say goodbye and drain, the server is told, and that is the end."""
    life = in_room(BOB)
    life.tell(Leave(5.0))
    assert life.sent() == [(key(BOB), frames.Bye())]
    assert life.last[-3:] == [SendToServer(wire.Leave()), CloseSocket(), Ended(None)]
    assert life.session.deadline is None


def test_leaving_has_an_end() -> None:
    """What cannot be delivered within the patience is given up."""
    life = in_room(BOB)
    life.tell(send(1, None, bytes(2 * 1024 * 1024)))
    life.tell(send(2, None, "hello"))
    life.tell(Leave(5.0))
    life.tell(Leave(50.0))
    assert Ended(None) not in life.last
    refused = life.tell(send(3, None, "hello"))
    assert [o.token for o in refused if isinstance(o, Unsendable)] == [3]
    life.tell(SocketLost(1006, ""))
    life.tell(Introduced(CAT))
    assert not any(isinstance(o, link.OpenConnection) for o in life.last)
    life.tell(Tick(), after=5.0)
    assert Ended(None) in life.last


def test_a_flush_does_not_hide_what_our_leaving_lost() -> None:
    """Who is given up because we run out of patience has not got it; who was gone is excused."""
    life = in_room(BOB, CAT)
    life.tell(send(1, None, "hello"))
    life.tell(Flush(2, ""))
    assert not [o for o in life.last if isinstance(o, Accepted)]
    life.hear(CAT, frames.Bye())
    life.tell(Leave(5.0))
    assert not [o for o in life.last if isinstance(o, Accepted | Unsendable)]
    life.tell(Tick(), after=5.0)
    assert [o.token for o in life.last if isinstance(o, Unsendable)] == [2]
    assert Ended(None) in life.last


def test_a_flush_is_done_when_leaving_has_delivered() -> None:
    """The last acknowledgement ends both, and the flush has been served."""
    life = in_room(BOB)
    life.tell(send(1, None, "hello"))
    life.tell(Flush(2, ""))
    life.tell(Leave(5.0))
    life.hear(BOB, acked({0: 1}))
    assert [o.token for o in life.last if isinstance(o, Accepted)] == [2]
    assert not [o for o in life.last if isinstance(o, Unsendable)]


def test_little_is_kept_of_what_was_not_whole_when_its_sender_was_given_up() -> None:
    """Halves of 5 MB of two are too much; the one that was given up first is forgotten."""
    life = in_room(BOB, CAT)
    links = {each.to: weakref.ref(each) for each in life.session.links}
    part = bytes(frames.FRAGMENT_BYTES)
    for peer in (BOB, CAT):
        life.hear(peer, ROOM)
        for number in range(5_000_000 // frames.FRAGMENT_BYTES):
            life.hear(peer, frames.Fragment(0, number, frames.Kind.BYTES, last=False, payload=part))
            life.tell(Tick(), after=0.03)
    for peer in (BOB, CAT):
        life.engine(peer, ChannelClosed(0))
        gone = wire.PeerLeft(room_id="r", user_id=peer.id, sid=peer.sid, reason="timeout")
        life.tell(Heard(gone))
        assert life.events()[-1] == PeerLeft(peer, LeaveReason.TIMEOUT)
    gc.collect()
    assert links[key(BOB)]() is None
    assert links[key(CAT)]() is not None


def test_the_slowest_link_says_how_finely_messages_are_cut() -> None:
    """What goes to everybody is cut as it needs it, what goes to one peer as that one needs it."""
    life = in_room(BOB, CAT)
    life.tell(send(1, key(BOB), bytes(4 * 2**20)))
    while life.went(BOB):
        life.now += 0.001
        drained(life, BOB)
    fast, slow = life.session.links
    assert slow.fragment_bytes == 16 * 1024
    assert fast.fragment_bytes == frames.FRAGMENT_BYTES
    life.tell(send(2, None, bytes(40_000)))
    sizes = [len(each.payload) for each in life.went(CAT) if isinstance(each, frames.Fragment)]
    assert sizes == [16_384, 16_384]  # the third must wait
    life.tell(send(3, key(BOB), bytes(40_000)))
    sizes = [len(each.payload) for each in life.went(BOB) if isinstance(each, frames.Fragment)]
    assert sizes == [40_000]


def test_leaving_can_be_hurried() -> None:
    """Who is leaving and then runs out of patience, as at the end of a program, is heard."""
    life = in_room(BOB)
    life.tell(send(1, None, bytes(2 * 1024 * 1024)))
    life.tell(send(2, None, "hello"))
    life.tell(Leave(50.0))
    life.tell(Leave(1.0))
    assert life.session.deadline == 1.0
    life.tell(Tick(), after=1.0)
    assert Ended(None) in life.last


def test_a_final_close_code_ends_the_session() -> None:
    """Replaced by a newer session: everything closes, and waiting sends are refused."""
    life = Life()
    life.welcome(BOB)
    fill(life, None)
    life.tell(send(1, None, "hello"))
    life.tell(SocketLost(CloseCode.REPLACED, ""))
    ended = life.last[-1]
    assert isinstance(ended, Ended)
    assert isinstance(ended.error, Replaced)
    assert [o.token for o in life.last if isinstance(o, Unsendable)] == [1]
    assert any(isinstance(o, link.CloseConnection) for o in life.last)


def test_after_the_end_nothing_is_sent() -> None:
    """A session that has ended refuses messages and is silent otherwise."""
    life = in_room(BOB)
    life.tell(Leave(0.0))
    (output,) = life.tell(send(1, None, "hello"))
    assert isinstance(output, Unsendable)
    assert isinstance(output.error, RoomClosed)
    assert life.tell(Tick(), after=100.0) == []
    assert life.session.deadline is None


@pytest.mark.parametrize("slept", [5.0, 3600.0])
def test_sleep_reaches_everything(slept: float) -> None:
    """After sleep neither the server nor a link is judged by the time we missed."""
    life = in_room(BOB)
    life.tell(Tick(), after=10.0)
    life.hear(BOB, frames.Pong(1))
    life.now += slept
    life.tell(Slept(slept))
    assert life.session.links[0].state is LinkState.CONNECTED
    assert CloseSocket() not in life.last


@pytest.mark.parametrize("event", [NetworkChanged(), Slept(LONG_SLEEP)])
def test_a_change_of_the_network_makes_us_ask_everybody(event: NetworkChanged | Slept) -> None:
    """The server and every link are asked at once; long sleep may have been a change."""
    life = in_room(BOB)
    life.tell(event)
    assert SendToServer(wire.Ping(1)) in life.last
    life.tell(Tick())
    assert [o.to for o in life.last if isinstance(o, link.SendFrame)] == [key(BOB)]
    life.tell(Slept(LONG_SLEEP - 1.0))
    assert life.last == []


def test_refusals_hold_on_to_nothing() -> None:
    """What was refused may be large, and nobody may read of it for long."""
    life = in_room(BOB)
    try:
        try:
            raise ValueError("the cause")
        except ValueError as cause:
            raise InvalidSignature("x") from cause
    except InvalidSignature as error:
        life.tell(Suspected(key(BOB), error))
    (event,) = life.events()
    assert isinstance(event, Refused)
    assert event.error.__traceback__ is None
    assert (event.error.__cause__, event.error.__context__) == (None, None)
    assert str(event.error) == "x"


def test_a_link_that_its_own_news_closes_begins_nothing_more() -> None:
    """An unlisted peer departs with its connection: no heir is opened that nobody would close."""
    life = in_room(BOB)
    life.tell(Heard(wire.PeerLeft(room_id="r", user_id=BOB.id, sid=BOB.sid, reason="timeout")))
    life.tell(SignalVerified(key(BOB), link.SignalArrived(1, 0, wire.RestartBody(2))))
    assert life.events()[-1] == PeerLeft(BOB, LeaveReason.TIMEOUT)
    assert not any(isinstance(o, link.OpenConnection | link.Perform) for o in life.last)
    assert life.session.links == ()
