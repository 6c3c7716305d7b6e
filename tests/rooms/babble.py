"""What a server might say if it had lost its mind, or had one of the other kind."""

import json
import random
import secrets

from tests.rooms.noise import Noise
from thkmesh.core import wire
from thkmesh.core.identity import SessionKey, hello_payload, signal_payload
from thkmesh.errors import InvalidMessage, PeerError
from thkmesh.keys import Identity
from thkmesh.signaling.verification import Verifier

ODD_VALUES = """
    null true false 0 -1 1.5 1e308 1e-308 1e400 9007199254740992 18446744073709551616 "" "x" [] {}
    [[]] "\\ud800" "\\u0000" {"a":{"b":[]}} NaN Infinity -0 01 '' "2" ["lobby"] [{}] [null]
""".split()  # noqa: SIM905 - a list of words, not of quotation marks


class Ghost:
    """A session that does not exist, though its words are genuine."""

    def __init__(self, room: str, dice: random.Random) -> None:
        """Come up with an identity."""
        self.identity = Identity.from_seed(dice.randbytes(32))
        self.key = SessionKey(self.identity.id, dice.randbytes(8).hex())
        self.said = 0
        self._room = room

    def introduction(self) -> wire.PeerReady:
        """Return who it says it is."""
        body = wire.encode_body(wire.Introduction(protocol=wire.VERSIONS, name="ghost"))
        key = self.identity.public_key
        signature = self.identity.sign(hello_payload(self._room, self.key, key, body))
        return wire.PeerReady(self._room, *self.key, key, body, signature)

    def signal(self, to: SessionKey, body: str, kind: type[wire.Signal], ack: int) -> wire.Signal:
        """Return its next signal."""
        self.said += 1
        payload = signal_payload(self._room, self.key, to, self.said, body)
        ids = (self.key.id, to.id, self.key.sid, to.sid)
        return kind(self._room, *ids, self.said, ack, body, self.identity.sign(payload))


class Babble:
    """Makes a server's messages to one client, from one seed."""

    GHOSTS = 4

    def __init__(self, seed: int, room: str, client: SessionKey) -> None:
        """Make the same for the same seed and client."""
        self.dice = random.Random(seed)
        self.invalid = 0
        """How many of its messages are to be refused before any machine sees them."""
        self._room = room
        self._client = client
        self._noise = Noise(seed)
        self._ghosts = [Ghost(room, self.dice) for _ in range(self.GHOSTS)]
        self._verifier = Verifier(room, client)

    def message(self) -> str:
        """Return a message: as it should be, nearly so, or nonsense."""
        while len((text := self._message()).encode()) > wire.SIGNALING_LIMIT_BYTES:
            pass
        self._judge(text)
        return text

    def _message(self) -> str:
        dice = self.dice
        match dice.randrange(12):
            case 0:
                return "".join(map(chr, dice.choices(range(1, 0xD800), k=dice.randrange(200))))
            case 1:
                depth = dice.choice([10, 500, 5_000])
                return '{"type":"pong","x":' + "[" * depth + "]" * depth + "}"
            case 2:
                return '{"type":"pong","n":' + "9" * dice.choice([16, 400, 60_000]) + "}"
            case 3:
                return json.dumps({"type": dice.choice(["hologram", "hello", "", "PONG", 7])})
            case 4 | 5:
                return wire.encode(self._genuine())
            case 6:
                text = list(wire.encode(self._genuine()))
                for _ in range(dice.randrange(1, 4)):
                    text[dice.randrange(len(text))] = dice.choice('"{}\\,:é\U0001f6007')
                return "".join(text)
            case _:
                return self._damaged(json.loads(wire.encode(self._genuine())))

    def _damaged(self, fields: dict[str, object]) -> str:
        """Return an object with a field missing, doubled, or strange."""
        dice = self.dice
        name = dice.choice(list(fields))
        match dice.randrange(4):
            case 0:
                del fields[name]
                return json.dumps(fields)
            case 1:
                return json.dumps(fields)[:-1] + f',"{name}":{dice.choice(ODD_VALUES)}' + "}"
            case _:
                marker = dice.randbytes(8).hex()
                fields[name] = marker
                return json.dumps(fields).replace(f'"{marker}"', dice.choice(ODD_VALUES))

    def _genuine(self) -> wire.Message:
        """Return a message that a server might send."""
        dice, ghost = self.dice, self.dice.choice(self._ghosts)
        match dice.randrange(9):
            case 0:
                return ghost.introduction()
            case 1:
                gone = dice.random() < 0.01
                return wire.PeerLeft(self._room, *ghost.key, "left" if gone else "timeout")
            case 2:
                return wire.SignalRefused(*ghost.key, dice.randrange(9))
            case 3:
                return wire.Error(dice.choice(["unsigned", "replaced"]), "x" * dice.randrange(99))
            case 4:
                return wire.Pong(dice.randrange(99))
            case 5:
                return self._welcome()
            case _:
                body, kind = self._noise.signal(dice.randrange(1, 9))
                return ghost.signal(self._client, body, kind, dice.choice([0, 0, 1, 2**52]))

    def _welcome(self) -> wire.Welcome:
        dice = self.dice
        ghosts = dice.sample(self._ghosts, dice.randrange(self.GHOSTS))
        urls = dice.choice([(), ("stun:192.0.2.1",), ("nonsense",), ("turn:",)])
        return wire.Welcome(
            room_id=self._room,
            epoch=dice.choice("abc"),
            resume=secrets.token_hex(4),
            peers=tuple(ghost.introduction() for ghost in ghosts),
            ice_servers=(wire.IceServer(urls),) if urls else (),
            ping_interval=dice.choice([20.0, 1e-300, 1e300]),
        )

    def _judge(self, text: str) -> None:
        """Count what a client refuses of a message, before any machine sees it."""
        try:
            message = wire.decode_to_client(text)
        except wire.UnknownType:
            return
        except InvalidMessage:
            self.invalid += 1
            return
        introductions = message.peers if isinstance(message, wire.Welcome) else ()
        if isinstance(message, wire.PeerReady):
            introductions = (message,)
        for each in introductions:
            try:
                self._verifier.introduce(each)
            except PeerError:
                self.invalid += 1
        if isinstance(message, wire.Signal):
            try:
                self._verifier.signal(message)
            except PeerError:
                self.invalid += 1
