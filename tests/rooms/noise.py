"""Frames and signals that are nearly right, from one seed."""

import json
import random

from thkmesh.core import frames, wire
from thkmesh.core.wire import SeedDescription
from thkmesh.errors import InvalidMessage

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


def accepted(frame: bytes) -> bool:
    """Tell whether a frame follows the protocol."""
    try:
        frames.decode(frame)
    except InvalidMessage:
        return False
    return True


class Noise:
    """Makes nonsense."""

    UNKNOWN_KIND = '{"kind":"hologram"}'

    def __init__(self, seed: int) -> None:
        """Make the same for the same seed."""
        self.dice = random.Random(seed)

    # --- frames ---

    def frame(self) -> bytes:
        """Return a frame that is odd, and most likely wrong; it is never a goodbye."""
        dice = self.dice
        match dice.randrange(10):
            case 0:
                return dice.randbytes(dice.randrange(64))
            case 1:
                return bytes([dice.randrange(256), dice.randrange(256)]) + dice.randbytes(9)
            case 2:
                return b"\x01\x00" + dice.randbytes(dice.randrange(64))
            case 3:
                return b"\x01\x02" + dice.choice(ODD_JSON).encode()
            case 4:
                return b"\x01\x03" + dice.choice(ODD_CONTROL).encode()
            case 5:
                depth = dice.choice([10, 300, 20_000])
                return b"\x01\x02" + b"[" * depth + b"]" * depth
            case 6:
                return b"\x01\x02" + b"9" * dice.choice([17, 400, 60_000])
            case 7:
                return b"\x01\x01" + bytes(dice.choice([0, 65_536, 65_537, 70_000, 262_000]))
            case 8:
                return bytes([1, dice.randrange(0x80, 0x100)]) + dice.randbytes(20)
            case _:
                return self.damaged(b'\x01\x02{"text":["\xf0\x9f\x90\xa6",1.5e3,null]}')

    def damaged(self, data: bytes) -> bytes:
        """Return bytes with some of them changed, or cut off."""
        dice, changed = self.dice, bytearray(data)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(changed))
            changed[at] = dice.randrange(256)
            if dice.random() < 0.2 and at > 2:
                del changed[at:]
        return bytes(changed)

    def wave(self, size: int) -> list[bytes]:
        """Return frames that follow the protocol, if oddly, before and after one that does not."""
        made = [self.frame() for _ in range(size)]
        good = [frame for frame in made if accepted(frame)]
        bad = [frame for frame in made if not accepted(frame)]
        half = len(good) // 2
        return good[:half] + bad + good[half:]

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
