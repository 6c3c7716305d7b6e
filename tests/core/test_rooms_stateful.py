"""The server's mind under any sequence of events: what every client believes is true.

A client believes what it is told: a welcome sets its list of the others, peer-ready
and peer-left change it. Whatever connects, drops, returns, replaces, leaves, sleeps,
or goes silent: the beliefs of the connected are the truth, nobody is told the same
twice, signals arrive once at the one session they name or are refused, nobody is
given up before its grace is over, and in the end nothing is left behind.
"""

import math
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.core.room_world import World, offer
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import SessionKey
from thkmesh.core.machine import Slept
from thkmesh.core.room_events import Dropped, Received, RoomRules, Send, Skipped
from thkmesh.core.wire import (
    Leave,
    PeerLeft,
    PeerReady,
    Ping,
    SignalRefused,
    ToClient,
    Welcome,
    decode_to_client,
    encode,
)

RULES = RoomRules(
    max_peers=2,
    max_rooms=2,
    hello_timeout=5,
    idle_timeout=20,
    grace=10,
    room_ttl=15,
    away_messages=3,
    away_bytes=4_000,
)
ROOMS = ["left", "right", "attic"]
PEERS = [SessionKey(letter * 26, f"{life:016x}") for letter in "abc" for life in (1, 2)]

a_peer = st.sampled_from(PEERS)
a_room = st.sampled_from(["left", "left", "left", "right", "attic"])
a_name = st.sampled_from("xxy")
anybody = st.integers(0, 5)


@dataclass
class Belief:
    """What one client has been told of its room."""

    who: SessionKey
    room: str
    others: dict[SessionKey, PeerReady] = field(default_factory=dict)


class Presence(RuleBasedStateMachine):
    """Clients that do anything they can."""

    @initialize()
    def start(self) -> None:
        """Begin with an empty server."""
        self.world = World(RULES)
        self.hellos: dict[int, Belief] = {}
        self.beliefs: dict[int, Belief] = {}
        self.dropped: dict[tuple[str, SessionKey], float] = {}
        self.fates: dict[str, str] = {}
        self.waiting: dict[tuple[str, SessionKey], list[str]] = {}
        self.number = 0

    # --- what happens ---

    @rule(who=a_peer, room=a_room, name=a_name)
    def join(self, who: SessionKey, room: str, name: str) -> None:
        """Somebody connects and says who it is."""
        conn = self.world.open()
        self.hellos[conn] = Belief(who, room)
        self.world.enter(conn, who, room, name)
        self.listen()

    @rule()
    def open(self) -> None:
        """Somebody connects and says nothing."""
        self.world.open()
        self.listen()

    @rule(index=anybody, who=a_peer, room=a_room)
    def hello(self, index: int, who: SessionKey, room: str) -> None:
        """Somebody says who it is once too often, or to nobody."""
        if self.world.texts:
            conn = index % len(self.world.texts)
            self.hellos.setdefault(conn, Belief(who, room))
            self.world.enter(conn, who, room)
            self.listen()

    @rule(index=anybody, to=a_peer, size=st.sampled_from([10, 1500]))
    def signal(self, index: int, to: SessionKey, size: int) -> None:
        """Somebody who is in a room sends a signal."""
        conn = self.somebody(index)
        if conn is not None:
            self.send(conn, to, size)

    def send(self, conn: int, to: SessionKey, size: int) -> None:
        """Send a signal, which has one of four fates."""
        belief = self.beliefs[conn]
        self.number += 1
        signal = offer(belief.who, to, self.number, belief.room)
        text = encode(signal) + " " * size
        outputs = self.world.feed(Received(conn, signal, text))
        if Send(conn, encode(SignalRefused(*to, self.number, "unknown-session"))) in outputs:
            assert to not in belief.others
            assert to != belief.who
            self.fates[text] = "refused"
        elif Send(conn, encode(SignalRefused(*to, self.number, "queue-full"))) in outputs:
            assert self.states(belief.room)[to.id] == "reconnecting"
            self.fates[text] = "refused"
        elif not any(isinstance(output, Send) and output.text == text for output in outputs):
            assert self.states(belief.room)[to.id] == "reconnecting"
            self.fates[text] = "waiting"
            self.waiting.setdefault((belief.room, to), []).append(text)
        else:
            self.fates[text] = "sent"
        self.listen()

    @rule(index=anybody, message=st.sampled_from([Ping(1), Ping(1), Ping(1), Leave()]))
    def say(self, index: int, message: Ping | Leave) -> None:
        """Somebody pings or says goodbye."""
        conn = self.somebody(index)
        if conn is not None:
            self.world.say(conn, message)
            self.listen()

    @rule(index=anybody)
    def skip(self, index: int) -> None:
        """Somebody says what nobody understands, or said it long ago."""
        self.world.feed(Skipped(index))
        self.listen()

    @rule(index=anybody)
    def drop(self, index: int) -> None:
        """The connection of somebody who is in a room breaks."""
        conn = self.somebody(index)
        if conn is not None:
            belief = self.beliefs.pop(conn)
            self.dropped[belief.room, belief.who] = self.world.now
            self.world.drop(conn)
            self.listen()

    @rule(index=anybody)
    def vanish(self, index: int) -> None:
        """The page of somebody who is in a room goes away."""
        conn = self.somebody(index)
        if conn is not None:
            belief = self.beliefs.pop(conn)
            self.dropped[belief.room, belief.who] = -math.inf  # nobody has to wait
            self.world.feed(Dropped(conn, leaving=True))
            self.listen()
            assert belief.who.id not in self.states(belief.room)

    @rule(
        index=anybody,
        seconds=st.sampled_from([1, 9]),
        name=a_name,
        signals=st.lists(st.tuples(anybody, st.sampled_from([10, 1500])), max_size=5),
    )
    def blink(self, index: int, seconds: float, name: str, signals: list[tuple[int, int]]) -> None:
        """Somebody is away for less than the grace period, while others have things to say."""
        conn = self.somebody(index)
        if conn is not None:
            belief = self.beliefs[conn]
            self.drop(index)
            for other, size in signals:
                self.signal(other, belief.who, size)
            self.wait(seconds)
            self.join(belief.who, belief.room, name)

    @rule(seconds=st.sampled_from([0.5, 4, 9, 21]))
    def wait(self, seconds: float) -> None:
        """Time passes, and the server is awake."""
        end = self.world.now + seconds
        while self.world.now < end:
            deadline = self.world.rooms.deadline
            step = end if deadline is None else min(end, max(deadline, self.world.now))
            self.world.wait(step - self.world.now)
            self.listen()

    @rule(seconds=st.sampled_from([2, 100]))
    def sleep(self, seconds: float) -> None:
        """Time passes, and the server is not; that is nobody's fault."""
        self.world.now += seconds
        assert self.world.feed(Slept(seconds)) == []

    # --- what follows ---

    def live(self) -> dict[int, Belief]:
        """Return what those believe who are in a room and connected."""
        closed = self.world.closed
        return {conn: belief for conn, belief in self.beliefs.items() if conn not in closed}

    def somebody(self, index: int) -> int | None:
        """Return the connection of one of those who are in a room and connected."""
        conns = sorted(self.live())
        return conns[index % len(conns)] if conns else None

    def states(self, room: str) -> dict[str, str]:
        """Return who is in a room, and how."""
        view = self.world.rooms.inspect(room, self.world.now)
        return {} if view is None else {peer.id: peer.state for peer in view.peers}

    def listen(self) -> None:
        """Let every client hear what it was sent, and believe it."""
        for conn, texts in self.world.texts.items():
            for at, text in enumerate(texts):
                if text in self.fates:
                    self.deliver(conn, text)
                else:
                    self.believe(conn, decode_to_client(text), texts[at + 1 :])
            texts.clear()
        for conn in [conn for conn in self.beliefs if conn in self.world.closed]:
            belief = self.beliefs.pop(conn)
            if self.world.closed[conn][0] in {CloseCode.IDLE, CloseCode.INVALID}:
                self.dropped[belief.room, belief.who] = self.world.now

    def deliver(self, conn: int, text: str) -> None:
        """Take delivery of a signal: once, and at the session that it names."""
        assert self.fates[text] in {"sent", "waiting"}
        self.fates[text] = "delivered"
        signal = decode_to_client(text)
        belief = self.beliefs[conn]
        assert (signal.room_id, signal.to) == (belief.room, belief.who)  # type: ignore[union-attr]

    def believe(self, conn: int, message: ToClient, following: list[str]) -> None:
        """Change what a client believes; what it is told must be news."""
        belief = self.beliefs.get(conn)
        match message:
            case Welcome(peers=peers, resumed=resumed):
                assert belief is None
                belief = self.beliefs[conn] = self.hellos[conn]
                belief.others = {ready.session: ready for ready in peers}
                waited = self.waiting.pop((belief.room, belief.who), [])
                assert following == (waited if resumed else [])
            case PeerReady():
                assert belief is not None
                assert belief.others.get(message.session) != message
                belief.others[message.session] = message
            case PeerLeft(reason=reason):
                assert belief is not None
                del belief.others[message.session]
                if reason == "timeout":
                    gone = self.world.now - self.dropped[belief.room, message.session]
                    assert gone >= RULES.grace
            case _:
                pass

    @invariant()
    def beliefs_are_true(self) -> None:
        """Everybody who is connected knows exactly who is in the room."""
        live = self.live()
        for conn, belief in live.items():
            states = self.states(belief.room)
            assert {who.id for who in belief.others} == set(states) - {belief.who.id}
            assert states[belief.who.id] == "connected"
            for other in live.values():
                if other.room == belief.room and other is not belief:
                    assert other.who in belief.others, conn

    @invariant()
    def limits_hold(self) -> None:
        """No room, and no number of rooms, is beyond its maximum."""
        assert self.world.rooms.room_count <= RULES.max_rooms
        connected = 0
        for room in ROOMS:
            states = self.states(room)
            assert len(states) <= RULES.max_peers
            connected += sum(state == "connected" for state in states.values())
        assert connected == len(self.live())

    def teardown(self) -> None:
        """After quiet nothing is left: no connection, no session, no room, no timer."""
        if hasattr(self, "world"):
            self.wait(RULES.hello_timeout + RULES.idle_timeout + RULES.grace + RULES.room_ttl)
            rooms = self.world.rooms
            assert (rooms.connection_count, rooms.room_count, rooms.deadline) == (0, 0, None)
            assert "sent" not in self.fates.values()


TestPresence = Presence.TestCase
