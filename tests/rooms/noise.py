"""Frames and signals that are nearly right, from one seed."""

import json
import random
from collections.abc import Mapping
from copy import deepcopy

from thkmesh.core import frames, varint, wire
from thkmesh.core.channels import Channels
from thkmesh.core.credit import Budget
from thkmesh.core.deflate import Deflated
from thkmesh.core.link_events import ContentArrived
from thkmesh.core.receiving import Inbox
from thkmesh.core.wire import SeedDescription
from thkmesh.errors import InvalidMessage
from thkmesh.events import Data

ODD_JSON = """
    null true -0 1e308 9007199254740993 18446744073709551616 "" "\\ud83d\\ude00" [] {} [[]] {"":{}}
    1e400 NaN Infinity 01 '' "\\ud800" "\\u12" {"a"} {"a":1,} [1,] [ { " tru
""".split()  # noqa: SIM905 - a list of words, not of quotation marks

ODD_CONTROL = """
    {"type":"hologram"} {"type":5} {} {"type":"ping"} {"type":"ping","n":"1"} {"type":"pong","n":-1}
    {"type":"pong","n":{}} {"type":"pong","n":99999999999999999999999999} [] "ping" null 7
""".split()  # noqa: SIM905

SDP = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:aaaa
a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaa
a=fingerprint:sha-256 {fingerprint}
a=setup:{setup}
a=mid:0
a=sctp-port:5000
""".replace("\n", "\r\n")


START = frames.Begin(0, 0, 0)
ROOM_NAME = frames.Name(0, 0, "", START, START)
"""What is said of the room's own channel, before the first fragment."""


class Victim:
    """What the receiver of datagrams makes of them."""

    def __init__(self) -> None:
        """Know where both streams begin."""
        self.inbox = Inbox(Channels(), Budget())
        self.inbox.name(ROOM_NAME, 0.0)
        self.heard: list[tuple[Data, bool]] = []

    @property
    def expected(self) -> dict[int, int]:
        """By stream, the number of the fragment that is expected next."""
        return {stream: want.number for stream, want in self.inbox.begin().items()}

    def takes(self, datagram: bytes) -> bool:
        """Tell whether a datagram follows the protocol, and take it as far as it does."""
        try:
            for frame in frames.parse(datagram):
                match frame:
                    case frames.Fragment():
                        message = self.inbox.receive(frame, 0.0)
                        if isinstance(message, ContentArrived):
                            data = message.data
                            said = data.expand() if isinstance(data, Deflated) else data
                            self.heard.append((said, bool(message.stream)))
                        if message is not None:
                            self.inbox.read(message.stream, message.cost, 0.0)
                            self.inbox.begin()
                    case frames.Skip():
                        self.inbox.skip(frame, 0.0)
                    case frames.Name():
                        self.inbox.name(frame, 0.0)
                    case frames.Ack(wants=wants):
                        if any(stream > 1 or want.number for stream, want in wants.items()):
                            return False  # It has sent us nothing.
                    case _:
                        pass
        except InvalidMessage:
            return False
        return True


def _is_deflated(datagram: bytes) -> bool:
    """Tell whether a fragment of a deflated message is in it."""
    try:
        return any(
            isinstance(frame, frames.Fragment) and bool(frame.kind & frames.DEFLATED)
            for frame in frames.parse(datagram)
        )
    except InvalidMessage:
        return False


class Noise:
    """Makes nonsense."""

    UNKNOWN_KIND = '{"kind":"hologram"}'

    def __init__(self, seed: int) -> None:
        """Make the same for the same seed."""
        self.dice = random.Random(seed)

    # --- frames ---

    def datagram(self, expected: Mapping[int, int]) -> bytes:
        """Return one that is odd, and most likely wrong; it is never a goodbye.

        Args:
            expected: by stream, the number of the fragment that is expected next.
        """
        dice = self.dice
        match dice.randrange(12):
            case 0:
                return dice.randbytes(dice.randrange(64))
            case 1:
                return bytes([dice.randrange(256), dice.randrange(256)]) + dice.randbytes(9)
            case 2:
                return self.message(expected, frames.Kind.TEXT, dice.randbytes(dice.randrange(64)))
            case 3:
                return self.message(expected, frames.Kind.JSON, dice.choice(ODD_JSON).encode())
            case 4:
                text = dice.choice(ODD_CONTROL).encode()
                return b"\x01\x40" + varint.write(len(text)) + text
            case 5:
                depth = dice.choice([10, 300, 20_000])
                return self.message(expected, frames.Kind.JSON, b"[" * depth + b"]" * depth)
            case 6:
                digits = b"9" * dice.choice([17, 400, 60_000])
                return self.message(expected, frames.Kind.JSON, digits)
            case 7:
                size = dice.choice([0, 60_000, 65_520, 65_536, 70_000, 262_000])
                return self.message(expected, frames.Kind.BYTES, bytes(size))
            case 8:
                return b"\x01" + bytes([dice.randrange(0x80, 0x100), 20]) + dice.randbytes(20)
            case 9:
                return self.bookkeeping(expected)
            case _:
                good = self.message(expected, frames.Kind.JSON, '{"a":["🐦",1.5e3]}'.encode())
                return self.damaged(good) if dice.random() < 0.5 else good

    def message(self, expected: Mapping[int, int], kind: int, payload: bytes) -> bytes:
        """Return a fragment with the number that is expected, or once in a while another."""
        dice = self.dice
        stream = dice.choice(list(expected))
        number = expected[stream] + (dice.choice([-1, 1, 1000]) if dice.random() < 0.05 else 0)
        last = dice.random() < 0.9
        return frames.VERSION + frames.fragment(stream, max(number, 0), kind, payload, last=last)

    def bookkeeping(self, expected: Mapping[int, int]) -> bytes:
        """Return what is no message: acknowledgements, resumptions, skips."""
        dice = self.dice
        stream = dice.choice(list(expected))
        number = expected[stream] + dice.randrange(3)
        count = dice.choice([0, number, 2**53 - 1])
        begin = frames.Begin(number, count, dice.choice([0, 2**52]))
        wants = {stream: frames.Want(dice.choice([0, number]), dice.choice([0, 2**53 - 1]))}
        made: list[frames.Frame] = [
            frames.Ack(wants),
            frames.Resume({stream: frames.Want(0, 0)}),
            frames.Skip(stream, begin),
            frames.Name(dice.randrange(256), dice.randrange(9), "x", begin, begin),
            frames.Listen(("x",) * dice.randrange(9)),
        ]
        return frames.datagram(dice.choice(made))

    def damaged(self, data: bytes) -> bytes:
        """Return bytes with some of them changed, or cut off."""
        dice, changed = self.dice, bytearray(data)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(changed))
            changed[at] = dice.randrange(256)
            if dice.random() < 0.2 and at > 2:
                del changed[at:]
        return bytes(changed)

    def wave(self, victim: Victim, size: int) -> list[bytes]:
        """Return datagrams that follow the protocol, if oddly, and then some that do not.

        The victim has taken what it will take: all before the first that does not.
        """
        good: list[bytes] = []
        bad: list[bytes] = []
        for _ in range(size):
            datagram = self.datagram(victim.expected)
            if _is_deflated(datagram):
                continue  # What is wrong with it is found when it is read.
            if deepcopy(victim).takes(datagram):
                victim.takes(datagram)
                good.append(datagram)
            else:
                bad.append(datagram)
        victim.takes(bad[0])
        return [frames.datagram(ROOM_NAME), *good, *bad, *good]

    # --- signals ---

    def sdp(self, setup: str) -> str:
        """Return a description, or what might be one."""
        dice = self.dice
        fingerprint = dice.randbytes(32).hex(":").upper()
        sdp = SDP.format(fingerprint=fingerprint, setup=setup)
        match dice.randrange(5):
            case 0:
                return ""
            case 1:
                return dice.choice(["v=0", "\x00", "v=0\r\n" * 5_000, "\U0001f426" * 8_000])
            case 2:
                lines = sdp.splitlines(keepends=True)
                dice.shuffle(lines)
                return "".join(lines)
            case 3:
                lines = sdp.splitlines(keepends=True)
                lines[dice.randrange(len(lines))] *= dice.choice([0, 2, 50])
                return "".join(lines)
            case _:
                return self.damaged(sdp.encode()).decode(errors="replace")

    def signal(self, generation: int) -> tuple[str, type[wire.Signal]]:
        """Return the body and the envelope of nonsense, of this generation or another."""
        dice = self.dice
        which = dice.choice([generation, generation, 1, generation + 1, 7, 2**53 - 1])
        number = dice.choice([1, 2, 3, 2**53 - 1])
        body: wire.SignalBody
        match dice.randrange(7):
            case 0 | 1:
                body = wire.OfferBody(which, number, SeedDescription("offer", self.sdp("actpass")))
            case 2 | 3:
                body = wire.AnswerBody(which, number, SeedDescription("answer", self.sdp("active")))
            case 4:
                body = wire.CandidatesBody(which, (self.candidate(),) * 20)
            case 5:
                body = wire.RestartBody(which)
            case _:
                return self.garbage(), wire.Restart
        return wire.encode_body(body), wire.ENVELOPES[type(body)]

    def candidate(self) -> wire.CandidateInit:
        """Return a candidate of nobody."""
        text = self.dice.choice(
            ["", "candidate:", "x" * 1024, "candidate:1 1 udp 1 192.0.2.1 9 typ host"]
        )
        return wire.CandidateInit(text, self.dice.choice(["aaaa", "", "?"]), "0", 0)

    def garbage(self) -> str:
        """Return the body of no signal."""
        dice = self.dice
        return dice.choice(
            [
                "{",
                "[" * 10_000,
                "9" * 400,
                self.UNKNOWN_KIND,
                json.dumps({"kind": "restart", "wanted": 2**53}),
                json.dumps({"kind": "offer", "generation": 1, "round": 1, "offer": None}),
                json.dumps({"kind": "candidates", "generation": 1, "candidates": [{}] * 65}),
                '{"kind":"restart","wanted":1,"x":"\\ud800"}',
            ]
        )
