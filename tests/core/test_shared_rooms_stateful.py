"""Nodes that share rooms, under any sequence of events, however their ways interleave.

Clients come and go through any node, signals cross them, nodes die, nodes lose the
broker, the broker forgets everything. Then all find it again and everything that is on
its way arrives: what each client believes is who is in its room, each node's replica is
what the registry says, nobody is let in beyond the maximum, and no signal has come twice
or to anybody but the session that it names.
"""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.room_world import offer
from tests.core.shared_world import Cluster, Node
from thkmesh.core.identity import SessionKey
from thkmesh.core.room_events import Dropped, RoomRules
from thkmesh.core.wire import Leave, Offer, PeerLeft, PeerReady, Welcome, decode_to_client

RULES = RoomRules(max_peers=3, grace=30, idle_timeout=1e6, hello_timeout=1e6, away_messages=3)
PEERS = [SessionKey(letter * 26, f"{life:016x}") for letter in "abcd" for life in (1, 2)]
NODES = 3
LIVES = 6
"""How many nodes there are in all, those that replace dead ones included."""

anybody = st.integers(0, 7)
any_node = st.integers(0, NODES - 1)


class SharedPresence(RuleBasedStateMachine):
    """Clients, nodes and a broker that do anything they can."""

    @initialize()
    def start(self) -> None:
        """Begin with three nodes."""
        self.world = Cluster(NODES, RULES)
        self.who: dict[int, SessionKey] = {}
        self.beliefs: dict[int, set[SessionKey]] = {}
        self.number = 0
        self.arrived: Counter[str] = Counter()
        self.overfull = False

    # --- what happens ---

    def living(self, index: int) -> Node:
        """Return a node that lives."""
        nodes = [node for node in self.world.nodes if not node.dead]
        return nodes[index % len(nodes)]

    def somebody(self, index: int) -> int | None:
        """Return a connection that believes to be in the room."""
        conns = sorted(conn for conn in self.beliefs if conn not in self.world.closed)
        return conns[index % len(conns)] if conns else None

    @rule(who=st.sampled_from(PEERS), node=any_node)
    def join(self, who: SessionKey, node: int) -> None:
        """Somebody connects, and says who it is."""
        conn = self.world.open(self.world.nodes.index(self.living(node)))
        self.who[conn] = who
        self.world.enter(conn, who)
        self.listen()

    @rule(index=anybody, to=st.sampled_from(PEERS))
    def signal(self, index: int, to: SessionKey) -> None:
        """Somebody sends a signal."""
        conn = self.somebody(index)
        if conn is not None:
            self.number += 1
            self.world.say(conn, offer(self.who[conn], to, self.number))
            self.listen()

    @rule(index=anybody, leaving=st.sampled_from(["drop", "drop", "leave", "vanish"]))
    def go(self, index: int, leaving: str) -> None:
        """Somebody's connection ends."""
        conn = self.somebody(index)
        if conn is None:
            return
        if leaving == "leave":
            self.world.say(conn, Leave())
        else:
            self.world.feed(self.world.homes[conn], Dropped(conn, leaving=leaving == "vanish"))
        self.beliefs.pop(conn, None)
        self.world.texts[conn].clear()

    @rule(node=any_node, step=st.sampled_from(["obey", "answer", "tell"]), times=st.integers(1, 3))
    def move_on(self, node: int, step: str, times: int) -> None:
        """Something that is on its way gets on."""
        for _ in range(times):
            getattr(self.world, step)(self.living(node))
        self.listen()

    @precondition(lambda self: len(self.world.nodes) < LIVES)
    @rule(node=any_node)
    def kill(self, node: int) -> None:
        """A node dies, and another one takes its place."""
        self.world.kill(self.living(node))
        self.world.add()
        self.listen()

    @rule(node=any_node)
    def disconnect(self, node: int) -> None:
        """A node loses the broker."""
        if self.living(node).online:
            self.world.disconnect(self.living(node))
            self.listen()

    @rule(node=any_node)
    def connect(self, node: int) -> None:
        """A node finds it again."""
        if not self.living(node).online:
            self.world.connect(self.living(node))
            self.listen()

    @rule()
    def forget(self) -> None:
        """The broker dies, and what comes after it knows nothing."""
        for node in self.world.nodes:
            if node.online:
                self.world.disconnect(node)
        self.overfull = True
        self.world.registry = None
        self.world.start()
        self.listen()

    @rule(seconds=st.sampled_from([1, 10, 50]))
    def wait(self, seconds: float) -> None:
        """Time passes, and all that is on its way arrives."""
        self.world.wait(seconds)
        self.listen()

    # --- what follows ---

    def listen(self) -> None:
        """Let every client hear what it was sent, and believe it."""
        for conn, texts in self.world.texts.items():
            for text in texts:
                match decode_to_client(text):
                    case Welcome(peers=peers):
                        self.beliefs[conn] = {ready.session for ready in peers}
                    case PeerReady() as ready:
                        self.beliefs[conn].add(ready.session)
                    case PeerLeft() as left:
                        self.beliefs[conn].discard(left.session)
                    case Offer() as signal:
                        assert signal.to == self.who[conn], "a signal for somebody else"
                        self.arrived[text] += 1
                    case _:
                        pass
            texts.clear()
        for conn in self.world.closed:
            self.beliefs.pop(conn, None)

    @invariant()
    def nothing_comes_twice(self) -> None:
        """A signal arrives once or not at all."""
        assert all(count == 1 for count in self.arrived.values())

    @invariant()
    def nobody_is_let_in_beyond_the_maximum(self) -> None:
        """Unless the broker has forgotten who was there."""
        assert self.world.registry is not None
        room = self.world.registry.room("lobby", self.world.now)
        assert self.overfull or room is None or len(room.seats) <= RULES.max_peers

    def teardown(self) -> None:
        """Let all find the broker, and all arrive: then everybody agrees."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for node in world.nodes:
            if not node.dead and not node.online:
                world.connect(node)
        world.settle()
        world.wait(65)
        self.listen()
        assert world.registry is not None
        room = world.registry.room("lobby", world.now)
        seats = {} if room is None else room.seats
        there = {SessionKey(id, seat.sid): seat.node for id, seat in seats.items()}
        for conn, belief in self.beliefs.items():
            assert there[self.who[conn]] == world.homes[conn].name
            assert belief == set(there) - {self.who[conn]}
        for node in world.nodes:
            if not node.dead:
                mounted = {mount.key: mount.node for mount in node.mounts.values()}
                ours = {key for key, home in there.items() if home == node.name}
                expected = {key: home for key, home in there.items() if home != node.name}
                assert mounted == (expected if ours else {})
        assert len(self.beliefs) == len(there), "after their grace only the connected are there"
        self.nothing_comes_twice()


TestSharedPresence = SharedPresence.TestCase
TestSharedPresence.settings = settings(max_examples=100, stateful_step_count=40)
