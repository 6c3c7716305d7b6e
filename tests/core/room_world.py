"""A server's mind, its clock, and what its clients have been told."""

from collections.abc import Iterable

from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import SessionKey
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.room_events import (
    Close,
    Command,
    Condemn,
    Dropped,
    Event,
    Expel,
    HelloAccepted,
    Opened,
    Output,
    Received,
    Relay,
    RenewIce,
    RoomRules,
    Sealed,
    Send,
)
from thkmesh.core.rooms import Rooms
from thkmesh.core.wire import (
    Hello,
    Introduction,
    Kicked,
    Offer,
    PeerReady,
    ToClient,
    Welcome,
    encode,
    encode_body,
)

A, B, C, D = (SessionKey(letter * 26, f"{number:016x}") for number, letter in enumerate("abcd"))


def another_life(who: SessionKey) -> SessionKey:
    """Return the same peer, restarted."""
    return SessionKey(who.id, "f" + who.sid[1:])


def introduction(name: str = "") -> Introduction:
    """Return what a peer says of itself."""
    return Introduction(protocol=wire.VERSIONS, name=name)


def hello(who: SessionKey, room: str = "lobby", name: str = "", body: str = "") -> Hello:
    """Return a hello in the form the machine sees; the signatures are the shell's concern."""
    return Hello(
        room_id=room,
        from_user_id=who.id,
        from_sid=who.sid,
        key="k" * 43,
        body=body or encode_body(introduction(name)),
        signature="s" * 86,
        proof="p" * 86,
    )


def offer(source: SessionKey, to: SessionKey, seq: int = 1, room: str = "lobby") -> Offer:
    """Return a signal in the form the machine sees."""
    return Offer(
        room_id=room,
        from_user_id=source.id,
        to_user_id=to.id,
        from_sid=source.sid,
        to_sid=to.sid,
        seq=seq,
        body=f"body {seq}",
        signature="s" * 86,
    )


def kicked(who: SessionKey, room: str = "lobby") -> Kicked:
    """Return a statement in the form the machine sees."""
    return Kicked(room, f"{who.id} is removed", "s" * 86)


class World:
    """Drives ``Rooms`` and checks what holds for every output."""

    def __init__(self, rules: RoomRules | None = None) -> None:
        self.rules = rules or RoomRules()
        self.rooms = Rooms("epoch", self.rules)
        self.condemned: list[Condemn] = []
        self.now = 1000.0
        self.frames: list[tuple[int, bytes]] = []
        self.texts: dict[int, list[str]] = {}
        self.closed: dict[int, tuple[CloseCode, str]] = {}

    def feed(self, event: Event | Tick | Slept) -> list[Output]:
        """Hand in an event now, and take delivery of what comes out."""
        outputs = self.rooms.handle(event, self.now)
        for output in outputs:
            assert not isinstance(output, Command), "rooms of one process need no broker"
            if isinstance(output, Condemn):
                self.condemned.append(output)
                continue
            assert output.conn not in self.closed, "what is closed is told nothing"
            match output:
                case Send(conn=conn, text=text):
                    self.texts[conn].append(text)
                case Relay(conn=conn, frame=frame):
                    self.frames.append((conn, frame))
                case Close(conn=conn, code=code, reason=reason):
                    self.closed[conn] = (code, reason)
                case RenewIce():
                    pass
        return outputs

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the machine exactly when it asks for it."""
        end = self.now + seconds
        while (deadline := self.rooms.deadline) is not None and deadline <= end:
            assert deadline >= self.now, "a deadline lies ahead once it has been settled"
            self.now = deadline
            self.feed(Tick())
            assert self.rooms.deadline is None or self.rooms.deadline > self.now
        self.now = end

    def open(self) -> int:
        """Accept a WebSocket; return its number."""
        conn = len(self.texts)
        self.texts[conn] = []
        self.feed(Opened(conn, f"nonce-{conn}"))
        return conn

    def join(self, who: SessionKey, room: str = "lobby", name: str = "", body: str = "") -> int:
        """Accept a WebSocket and a genuine hello on it; return its number."""
        conn = self.open()
        self.enter(conn, who, room, name, body)
        return conn

    def enter(
        self, conn: int, who: SessionKey, room: str = "lobby", name: str = "", body: str = ""
    ) -> None:
        """Hand in a genuine hello."""
        accepted = HelloAccepted(
            conn, hello(who, room, name, body), introduction(name), f"secret-{conn}"
        )
        self.feed(accepted)

    def say(self, conn: int, message: wire.Leave | wire.Ping | wire.Kick | wire.AnySignal) -> str:
        """Hand in a message as if it had come as text; return the text."""
        text = encode(message)
        self.feed(Received(conn, message, text))
        return text

    def expel(self, who: SessionKey, duration: float, room: str = "lobby", why: str = "") -> Kicked:
        """Hand in a signed statement that somebody is removed; return it."""
        statement = kicked(who, room)
        self.feed(Expel(room, who.id, duration, statement, why))
        return statement

    def seal(self, conn: int, to: SessionKey, rest: bytes) -> bool:
        """Hand in a sealed frame; tell whether it was passed on."""
        before = len(self.frames)
        self.feed(Sealed(conn, to, rest))
        return len(self.frames) > before

    def drop(self, conn: int) -> None:
        """Break a WebSocket."""
        self.feed(Dropped(conn))

    def heard(self, conn: int) -> list[ToClient]:
        """Take what a connection was sent since it was last asked."""
        texts, self.texts[conn] = self.texts[conn], []
        return [wire.decode_to_client(text) for text in texts]

    def welcomed(self, conn: int) -> Welcome:
        """Take the welcome that a connection was sent, dropping what came before."""
        [welcome] = (message for message in self.heard(conn) if isinstance(message, Welcome))
        return welcome

    def forget(self, conns: Iterable[int]) -> None:
        """Take what these connections were sent, unread."""
        for conn in conns:
            self.texts[conn] = []


def ready(who: SessionKey, room: str = "lobby", name: str = "") -> PeerReady:
    """Return the introduction that the others are told."""
    said = hello(who, room, name)
    return PeerReady(room, who.id, who.sid, said.key, said.body, said.signature)
