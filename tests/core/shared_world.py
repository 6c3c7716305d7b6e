"""Several nodes, the registry they share, and clients who believe what they are told.

Nothing happens by itself: commands wait on each node's way to the registry, answers and
news on two ways back, and a test, or Hypothesis, says which of them moves on.
"""

from collections import deque
from dataclasses import dataclass, field

from tests.core.room_world import hello, introduction
from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import Permit
from thkmesh.core.identity import SessionKey
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.registry import Registry
from thkmesh.core.room_events import (
    Close,
    Command,
    Condemn,
    Dropped,
    Event,
    HelloAccepted,
    News,
    Opened,
    Output,
    Received,
    Relay,
    RenewIce,
    RoomRules,
    Sealed,
    Send,
)
from thkmesh.core.shared_events import Down, Entrust, Mount, Post, Posted, Unmount, Up
from thkmesh.core.shared_rooms import SharedRooms
from thkmesh.core.wire import Offer, ToClient, Welcome, decode_to_client, encode

ANYTHING = Permit()


@dataclass
class Node:
    """One process: its rooms, its ways to and from the broker, its clients."""

    name: str
    rooms: SharedRooms
    commands: deque[Command | tuple[str, Post]] = field(default_factory=deque)
    answers: deque[News] = field(default_factory=deque)
    news: deque[News] = field(default_factory=deque)
    mounts: dict[int, Mount] = field(default_factory=dict)
    dead: bool = False
    online: bool = False

    @property
    def busy(self) -> bool:
        """Whether anything is on its way, and gets on."""
        return self.online and bool(self.commands or self.answers or self.news)


class Cluster:
    """Drives nodes and their registry, and keeps what clients are told."""

    def __init__(self, nodes: int = 2, rules: RoomRules | None = None) -> None:
        self.rules = rules or RoomRules()
        self.now = 1000.0
        self.lives = 0
        self.registry: Registry | None = None
        self.nodes: list[Node] = []
        self.homes: dict[int, Node] = {}
        self.texts: dict[int, list[str]] = {}
        self.frames: list[tuple[int, bytes]] = []
        self.closed: dict[int, tuple[CloseCode, str]] = {}
        self.rotated: list[int] = []
        self.start()
        for _ in range(nodes):
            self.add()

    # --- nodes and the registry ---

    def start(self) -> None:
        """Begin a life of the registry, which knows nothing."""
        self.lives += 1
        self.registry = Registry(f"epoch-{self.lives}", self.rules, self.deliver)
        for node in self.nodes:
            self.connect(node)

    def lose(self) -> None:
        """Lose the registry, and what is on its way."""
        self.registry = None
        for node in self.nodes:
            self.disconnect(node)

    def add(self) -> Node:
        """Start a node."""
        name = f"{len(self.nodes) + 1:016x}"
        node = Node(name, SharedRooms(name, self.rules))
        self.nodes.append(node)
        self.connect(node)
        return node

    def connect(self, node: Node) -> None:
        """Let a node find the registry."""
        if not node.dead and self.registry is not None:
            node.online = True
            self.registry.renew(node.name, self.now)
            self.feed(node, Up(self.registry.epoch))

    def disconnect(self, node: Node) -> None:
        """Let a node lose it; what has no answer is done later."""
        node.online = False
        node.answers.clear()
        node.news.clear()
        node.commands = deque(
            item for item in node.commands if type(item).__name__ not in {"Join", "Look"}
        )
        self.feed(node, Down())

    def kill(self, node: Node) -> None:
        """End a node, with all its connections."""
        node.dead = True
        node.online = False
        node.commands.clear()
        node.answers.clear()
        node.news.clear()
        for conn, home in self.homes.items():
            if home is node:
                self.closed.setdefault(conn, (CloseCode.RESTARTING, "killed"))

    def deliver(self, name: str, news: News) -> bool:
        """Put news on the way to a node; False if it does not listen."""
        node = next(each for each in self.nodes if each.name == name)
        if node.dead or not node.online:
            return False
        node.news.append(news)
        return True

    # --- what moves on ---

    def feed(self, node: Node, event: Event | Tick | Slept) -> list[Output]:
        """Hand in an event now, and take delivery of what comes out."""
        if node.dead:
            return []
        outputs = node.rooms.handle(event, self.now)
        for output in outputs:
            match output:
                case Mount(conn=conn):
                    node.mounts[conn] = output
                case Unmount(conn=conn):
                    del node.mounts[conn]
                case Send(conn=conn, text=text) if conn < 0:
                    mount = node.mounts[conn]
                    node.commands.append((mount.node, Post(mount.room, *mount.key, text)))
                case Relay(conn=conn, frame=frame) if conn < 0:
                    mount = node.mounts[conn]
                    node.commands.append((mount.node, Post(mount.room, *mount.key, "", frame)))
                case Send(conn=conn, text=text):
                    assert conn not in self.closed, "what is closed is told nothing"
                    self.texts[conn].append(text)
                case Relay(conn=conn, frame=frame):
                    self.frames.append((conn, frame))
                case Close(conn=conn, code=code, reason=reason):
                    assert conn > 0, "nobody closes what is another's"
                    assert conn not in self.closed
                    self.closed[conn] = (code, reason)
                case RenewIce(conn=conn):
                    assert conn not in self.closed, "what is closed is told nothing"
                    self.rotated.append(conn)
                case Condemn():
                    raise AssertionError("nobody asked for that")
                case Command():
                    node.commands.append(output)
        return outputs

    def obey(self, node: Node) -> None:
        """Let the registry do what a node wants next."""
        if node.commands and node.online and self.registry is not None:
            item = node.commands.popleft()
            if isinstance(item, tuple):
                to, post = item
                if not self.deliver(to, Posted((post,))) and not post.frame:
                    node.commands.append(Entrust(post.room, post.to, post.text))
                return
            answer = self.registry.obey(node.name, item, self.now)
            if answer is not None:
                node.answers.append(answer)

    def answer(self, node: Node) -> None:
        """Let a node hear the next answer."""
        if node.answers:
            self.feed(node, node.answers.popleft())

    def tell(self, node: Node) -> None:
        """Let a node hear the next news."""
        if node.news:
            self.feed(node, node.news.popleft())

    def settle(self) -> None:
        """Let everything move on that can."""
        while any(node.busy for node in self.nodes):
            for node in self.nodes:
                self.obey(node)
                self.tell(node)
                self.answer(node)

    def wait(self, seconds: float) -> None:
        """Let time pass: every node ticks when it asks for it, and renews its lease."""
        end = self.now + seconds
        while self.now < end:
            living = [node for node in self.nodes if not node.dead]
            deadlines = [node.rooms.deadline for node in living]
            due = [each for each in deadlines if each is not None and each > self.now]
            self.now = min([*due, self.now + 5, end])
            for node in living:
                self.feed(node, Tick())
                if self.registry is not None and node.online:
                    for dead in self.registry.renew(node.name, self.now):
                        self.registry.bury(dead, self.now)
            self.settle()

    # --- clients ---

    def open(self, node: int) -> int:
        """Accept a WebSocket on a node; return its number."""
        conn = len(self.texts) + 1
        self.texts[conn] = []
        self.homes[conn] = self.nodes[node]
        self.feed(self.nodes[node], Opened(conn, f"nonce-{conn}"))
        return conn

    def enter(
        self,
        conn: int,
        who: SessionKey,
        room: str = "lobby",
        name: str = "",
        permit: Permit = ANYTHING,
    ) -> None:
        """Hand in a genuine hello."""
        said = hello(who, room, name)
        time = int(self.now * 1000)
        accepted = HelloAccepted(
            conn, said, introduction(name), f"secret-{conn}", permit, time=time
        )
        self.feed(self.homes[conn], accepted)

    def join(
        self,
        node: int,
        who: SessionKey,
        room: str = "lobby",
        name: str = "",
        permit: Permit = ANYTHING,
    ) -> int:
        """Accept a WebSocket and a genuine hello, and let all settle; return its number."""
        conn = self.open(node)
        self.enter(conn, who, room, name, permit)
        self.settle()
        return conn

    def say(self, conn: int, message: wire.Leave | wire.Ping | wire.AnySignal) -> str:
        """Hand in a message as if it had come as text; return the text."""
        text = encode(message)
        self.feed(self.homes[conn], Received(conn, message, text))
        return text

    def seal(self, conn: int, to: SessionKey, rest: bytes) -> None:
        """Hand in a sealed frame."""
        self.feed(self.homes[conn], Sealed(conn, to, rest))

    def drop(self, conn: int) -> None:
        """Break a WebSocket."""
        self.feed(self.homes[conn], Dropped(conn))

    def heard(self, conn: int) -> list[ToClient]:
        """Take what a connection was sent since it was last asked."""
        texts, self.texts[conn] = self.texts[conn], []
        return [decode_to_client(text) for text in texts]

    def welcomed(self, conn: int) -> Welcome:
        """Take the welcome that a connection was sent, dropping what came before."""
        [welcome] = (message for message in self.heard(conn) if isinstance(message, Welcome))
        return welcome

    def welcomed_first(self, conn: int) -> Welcome:
        """Take the challenge and the welcome that a connection was sent first."""
        _, welcome = (decode_to_client(self.texts[conn].pop(0)) for _ in range(2))
        assert isinstance(welcome, Welcome), welcome
        return welcome

    def signals(self, conn: int) -> list[Offer]:
        """Take what a connection was sent, and keep the signals of it."""
        return [message for message in self.heard(conn) if isinstance(message, Offer)]
