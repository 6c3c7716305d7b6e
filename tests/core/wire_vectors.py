"""Golden vectors of the signaling messages: texts, and what they say or are.

``python -m tests.core.wire_vectors`` writes ``spec/vectors/wire.json``;
``spec/vectors/README.md`` describes it.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from tests.core.identity_vectors import NONCE, SEEDS, SIDS
from thkmesh.core import wire
from thkmesh.core.identity import (
    SessionKey,
    hello_payload,
    kicked_payload,
    proof_payload,
    signal_payload,
)
from thkmesh.errors import InvalidMessage
from thkmesh.keys import Identity

PATH = Path(__file__).parents[2] / "spec" / "vectors" / "wire.json"

ADA, BOB = (Identity.from_seed(seed) for seed in SEEDS[:2])
A, B = SessionKey(ADA.id, SIDS[1]), SessionKey(BOB.id, SIDS[2])
ROOM = "lobby"

SEED_EXAMPLES = (
    """{
    "type": "webrtc-offer",
    "roomId": "room_xyz789_1234567890",
    "fromUserId": "user_abc123_1234567890",
    "toUserId": "user_def456_1234567890",
    "offer": {"type": "offer", "sdp": "..."}
}""",
    """{
    "type": "chat-message",
    "id": "msg_abc123_1234567890",
    "roomId": "room_xyz789_1234567890",
    "authorId": "user_def456_1234567890",
    "authorName": "Alice",
    "content": "Hello, world!",
    "timestamp": "2025-11-21T09:55:00.000Z"
}""",
    """{"type": "peer-ready", "roomId": "room_xyz789_1234567890",
    "fromUserId": "user_abc123_1234567890"}""",
    """{"type": "webrtc-answer", "roomId": "room_1", "fromUserId": "user_1", "toUserId": "user_2",
    "answer": {"type": "answer", "sdp": "..."}}""",
    """{"type": "webrtc-ice-candidate", "roomId": "room_1", "fromUserId": "user_1",
    "toUserId": "user_2", "candidate": {"candidate": "candidate:1 1 UDP 1 192.0.2.1 9 typ host",
    "sdpMid": "0", "sdpMLineIndex": 0}}""",
)
"""The messages of the design that this project began with, in its own words."""

SDP = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\n"
CANDIDATE = wire.CandidateInit(
    "candidate:1 1 UDP 2130706431 192.0.2.1 54400 typ host", "abcd", "0", 0
)

BODIES: tuple[wire.SignedBody, ...] = (
    wire.OfferBody(1, 1, wire.SeedDescription("offer", SDP)),
    wire.AnswerBody(2**53 - 1, 7, wire.SeedDescription("answer", SDP)),
    wire.CandidatesBody(3, (CANDIDATE, wire.CandidateInit("", "abcd"))),
    wire.RestartBody(4),
)

INTRODUCTION = wire.encode_body(
    wire.Introduction(
        protocol=wire.VERSIONS,
        name="Zo\u00eb \U0001f98a",
        features=("x",),
        media=True,
        metadata={"team": ["red", None, 1.5]},
    )
)


def signal(body: wire.SignedBody, seq: int = 1) -> wire.Signal:
    """Return a signed signal from Ada to Bob."""
    text = wire.encode_body(body)
    signature = ADA.sign(signal_payload(ROOM, A, B, seq, text))
    fields = (ROOM, A.id, B.id, A.sid, B.sid, seq, 0, text, signature)
    return wire.ENVELOPES[type(body)](*fields)


def hello() -> wire.Hello:
    """Return Ada's hello to ``NONCE``."""
    return wire.Hello(
        ROOM,
        *A,
        ADA.public_key,
        INTRODUCTION,
        ADA.sign(hello_payload(ROOM, A, ADA.public_key, INTRODUCTION)),
        ADA.sign(proof_payload(NONCE, ROOM, A)),
    )


def ready() -> wire.PeerReady:
    """Return what the others are told of Ada."""
    said = hello()
    return wire.PeerReady(ROOM, *A, said.key, said.body, said.signature)


SIGNALS = tuple(map(signal, BODIES))
ACK = wire.Ack(ROOM, A.id, B.id, A.sid, B.sid, ack=9)

TO_SERVER: tuple[wire.Message, ...] = (
    hello(),
    wire.RenewToken("header.claims.signature"),
    wire.Leave(),
    wire.Ping(),
    wire.Ping(2**53 - 1),
    wire.Kick(B.id, 60.0),
    wire.Kick(B.id, 1.5, "Zo\u00eb \U0001f98a", 7),
    *SIGNALS,
    ACK,
)

EXPULSION = wire.encode_body(wire.Expulsion(B.id, 1_800_000_000_000, 1_800_000_060_000, "spam"))
KICKED = wire.Kicked(ROOM, EXPULSION, ADA.sign(kicked_payload(ROOM, EXPULSION)))

TO_CLIENT: tuple[wire.Message, ...] = (
    wire.Challenge(NONCE, "0123456789abcdef", wire.VERSIONS),
    wire.Welcome(ROOM, "0123456789abcdef", NONCE),
    wire.Welcome(
        ROOM,
        "0123456789abcdef",
        NONCE,
        resumed=True,
        peers=(ready(),),
        ice_servers=(
            wire.IceServer(("stun:stun.example.org",)),
            wire.IceServer(("turns:turn.example.org:443?transport=tcp",), "user", "secret"),
        ),
        max_peers=3,
        ping_interval=7.5,
        room_key=ADA.public_key,
        time=2**47 - 1,
        kicked=(KICKED,),
        expires=599.5,
        grants=("join", "list", "levitate"),
    ),
    KICKED,
    wire.Admitted(),
    wire.Admitted(60.0, ("join", "send"), renew=True),
    wire.Admitted(0.0, ()),
    wire.IceServers(),
    wire.IceServers((wire.IceServer(("turn:turn.example.org",), "1790000000:me", "c2VjcmV0"),)),
    ready(),
    *(wire.PeerLeft(ROOM, *A, reason) for reason in ("left", "timeout", "replaced")),
    wire.SignalRefused(*B, 5),
    wire.SignalRefused(*B, 5, "queue-full"),
    wire.Error("room-full"),
    wire.Error("rate-limited", "later", 2.5),
    wire.Error("not-granted", n=7),
    wire.Moving(),
    wire.Moving(1.25),
    wire.Pong(7),
    *SIGNALS,
    ACK,
)


def damaged(message: wire.Message, /, **changes: object) -> str:
    """Return a message with fields changed, or taken out (``...``)."""
    fields = json.loads(wire.encode(message)) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


GARBAGE = (
    "",
    " ",
    "{",
    "[]",
    "null",
    "1",
    '"ping"',
    "{}",
    '{"n":1}',
    '{"type":7}',
    '{"type":null}',
)
UNKNOWN = ('{"type":""}', '{"type":"PING"}', '{"type":"hologram","x":[1,{}]}', '{"type":"hello "}')

BAD_TO_SERVER = (
    *GARBAGE,
    '{"type":"ping","n":1}x',
    *(f'{{"type":"ping","n":{n}}}' for n in ("-1", "1.5", "9007199254740992", "1e400", "NaN")),
    *(f'{{"type":"ping","n":{n}}}' for n in ("null", "true", '"1"', "[]", "01", "1e999999")),
    damaged(hello(), roomId="a b"),
    damaged(hello(), roomId="lobby\n"),
    damaged(hello(), roomId="x" * 65),
    damaged(hello(), roomId=...),
    damaged(hello(), fromSid=A.sid.upper()),
    damaged(hello(), fromSid=A.sid + "0"),
    damaged(hello(), fromUserId=""),
    damaged(hello(), fromUserId="x" * 129),
    damaged(hello(), key="x" * 42),
    damaged(hello(), signature=None),
    damaged(hello(), proof="x" * 87),
    damaged(hello(), body={"kind": "hello"}),
    damaged(hello(), body="x" * (48 * 1024 + 1)),
    damaged(hello(), body="\ud800"),
    damaged(wire.Kick(B.id, 60.0), duration=0.5),
    damaged(wire.Kick(B.id, 60.0), duration=31_536_001),
    damaged(wire.Kick(B.id, 60.0), duration=...),
    damaged(wire.Kick(B.id, 60.0), userId=...),
    damaged(wire.Kick(B.id, 60.0), reason="x" * 201),
    *(damaged(wire.RenewToken("x"), token=token) for token in (..., None, 1, "x" * 8193)),
    damaged(SIGNALS[0], seq=-1),
    damaged(SIGNALS[0], toUserId=...),
    damaged(SIGNALS[0], toSid="x"),
    damaged(SIGNALS[0], signature="x"),
    damaged(SIGNALS[0], offer={"type": "answer?", "sdp": ""}),
    damaged(SIGNALS[0], offer={"type": "offer"}),
    damaged(SIGNALS[0], offer="v=0"),
)

BAD_TO_CLIENT = (
    *GARBAGE,
    damaged(TO_CLIENT[0], protocol=[1]),
    damaged(TO_CLIENT[0], protocol=[0, 1]),
    damaged(TO_CLIENT[0], protocol=[1, 1, 1]),
    damaged(TO_CLIENT[0], nonce="x" * 257),
    damaged(TO_CLIENT[1], pingInterval=0),
    damaged(TO_CLIENT[1], pingInterval="20"),
    damaged(TO_CLIENT[1], maxPeers=0),
    damaged(TO_CLIENT[1], expires=-1),
    damaged(TO_CLIENT[1], grants="join"),
    damaged(TO_CLIENT[1], grants=["join"] * 65),
    damaged(wire.Admitted(), renew=1),
    damaged(wire.Admitted(), expires="1"),
    damaged(wire.Admitted(), grants=[7]),
    damaged(wire.IceServers(), iceServers=[{}]),
    damaged(TO_CLIENT[1], peers=[{}]),
    damaged(TO_CLIENT[1], peers={}),
    damaged(TO_CLIENT[1], resumed=1),
    damaged(TO_CLIENT[1], roomKey="x" * 44),
    damaged(TO_CLIENT[1], time=2**47),
    damaged(TO_CLIENT[1], time=1.5),
    damaged(TO_CLIENT[1], kicked=[{}]),
    damaged(KICKED, roomId="a b"),
    damaged(KICKED, body="x" * 2049),
    damaged(KICKED, signature=""),
    damaged(TO_CLIENT[1], iceServers=[{"urls": "stun:stun.example.org"}]),
    damaged(TO_CLIENT[1], iceServers=[{"urls": ["stun:" + "x" * 512]}]),
    damaged(ready(), fromSid="x"),
    damaged(wire.PeerLeft(ROOM, *A), reason="bored"),
    damaged(wire.PeerLeft(ROOM, *A), sid=""),
    damaged(wire.Error("x"), reason="x" * 257),
    damaged(wire.Error("x"), message="x" * 1025),
    damaged(wire.Error("x"), message="\udfff"),
    '{"type":"error","reason":"x","retryAfter":1e400}',
    '{"type":"moving","retryAfter":-0.5}',
    '{"type":"moving","retryAfter":null}',
    '{"type":"error","reason":"x","retryAfter":NaN}',
)


def envelope(body: str, tag: str = "webrtc-offer", **changes: object) -> str:
    """Return a signal to Bob with any body."""
    fields: dict[str, object] = json.loads(wire.encode(SIGNALS[0]))
    return json.dumps(fields | {"type": tag, "body": body} | changes)


SIGNAL_TEXTS = (
    *map(wire.encode, SIGNALS),
    *SEED_EXAMPLES[:1],
    *SEED_EXAMPLES[3:],
    wire.encode(ACK),
    *(damaged(SIGNALS[0], **{field: ...}) for field in ("signature", "body", "fromSid", "toSid")),
    envelope(""),
    envelope("{"),
    envelope("[]"),
    envelope('{"kind":"hologram"}'),
    envelope('{"kind":"hello","protocol":[1,1]}'),
    envelope('{"generation":1}'),
    envelope(SIGNALS[1].body),
    envelope(SIGNALS[3].body, "webrtc-ice-candidate"),
    envelope('{"kind":"restart","wanted":0}', "webrtc-restart"),
    envelope('{"kind":"restart","wanted":9007199254740992}', "webrtc-restart"),
    envelope('{"kind":"restart","wanted":1,"whim":[]}', "webrtc-restart"),
    envelope('{"kind":"offer","generation":1,"round":1,"offer":{"type":"pranswer","sdp":""}}'),
    envelope('{"kind":"offer","generation":0,"round":1,"offer":{"type":"offer","sdp":""}}'),
    envelope('{"kind":"offer","generation":1,"offer":{"type":"offer","sdp":""}}'),
    envelope(
        json.dumps({"kind": "candidates", "generation": 1, "candidates": [{"candidate": ""}]}),
        "webrtc-ice-candidate",
    ),
    envelope(
        json.dumps(
            {
                "kind": "candidates",
                "generation": 1,
                "candidates": [{"candidate": "", "usernameFragment": "u"}] * 65,
            }
        ),
        "webrtc-ice-candidate",
    ),
    envelope(
        '{"kind":"candidates","generation":1,"candidates":'
        '[{"candidate":"","usernameFragment":"u","sdpMid":null,"sdpMLineIndex":null}]}',
        "webrtc-ice-candidate",
    ),
)

INTRODUCTIONS = (
    INTRODUCTION,
    '{"kind":"hello","protocol":[1,1]}',
    '{"kind":"hello","protocol":[1,9],"whim":{}}',
    '{"kind":"hello"}',
    '{"kind":"hello","protocol":[1,1],"metadata":[]}',
    '{"kind":"hello","protocol":[1,1],"media":1}',
    json.dumps({"kind": "hello", "protocol": [1, 1], "membership": "x" * 43}),
    json.dumps({"kind": "hello", "protocol": [1, 1], "membership": "x" * 44}),
    json.dumps({"kind": "hello", "protocol": [1, 1], "name": "x" * 65}),
    json.dumps(
        {"kind": "hello", "protocol": [1, 1], "name": "\U0001f98a" * 64}, ensure_ascii=False
    ),
    '{"kind":"hello","protocol":[1,1],"name":"\\ud800"}',
    '{"kind":"restart","wanted":1}',
    "",
)


EXPULSIONS = (
    EXPULSION,
    json.dumps({"kind": "kicked", "userId": "x", "at": 0, "until": 2**47 - 1, "whim": 1}),
    json.dumps({"kind": "kicked", "userId": "x", "at": 0, "until": 2**47}),
    json.dumps({"kind": "kicked", "userId": "x", "at": -1, "until": 0}),
    json.dumps({"kind": "kicked", "userId": "", "at": 0, "until": 0}),
    json.dumps({"kind": "kicked", "at": 0, "until": 0}),
    json.dumps({"kind": "kicked", "userId": "x", "at": 0, "until": 0, "reason": "x" * 201}),
    INTRODUCTION,
    "",
)


def text() -> str:
    """Return the file as it should be."""
    sections = {
        "toServer": _rows(
            wire.decode_to_server,
            (*map(wire.encode, TO_SERVER), *SEED_EXAMPLES, *UNKNOWN),
            BAD_TO_SERVER,
        ),
        "toClient": _rows(
            wire.decode_to_client,
            (*map(wire.encode, TO_CLIENT), *SEED_EXAMPLES, *UNKNOWN),
            BAD_TO_CLIENT,
        ),
        "signals": _rows(_signal_body, SIGNAL_TEXTS),
        "introductions": _rows(wire.decode_introduction, INTRODUCTIONS),
        "expulsions": _rows(wire.decode_expulsion, EXPULSIONS),
    }
    return json.dumps(sections, indent=1) + "\n"


def _signal_body(text: str) -> wire.SignalBody:
    message = wire.decode_to_client(text)
    assert isinstance(message, wire.Signal)
    return wire.decode_signal_body(message)


def _rows(
    decode: Callable[[str], Struct], texts: Iterable[str], bad: Iterable[str] = ()
) -> list[dict[str, object]]:
    rows = [_row(decode, text) for text in texts]
    bad_rows = [_row(decode, text) for text in bad]
    for row in bad_rows:
        assert row.get("error") == "invalid-message", row
    return rows + bad_rows


def _row(decode: Callable[[str], Struct], text: str) -> dict[str, object]:
    """Return a text and what it says, every field with its default; or its error."""
    try:
        return {"text": text, "message": plain(decode(text))}
    except InvalidMessage as error:
        return {"text": text, "error": error.reason}


def plain(message: Struct) -> dict[str, object]:
    """Return a message as JSON, with every field that it has."""
    config = message.__struct_config__
    assert config.tag_field is not None
    return {config.tag_field: config.tag, **_fields(message)}


def _fields(value: Struct) -> dict[str, object]:
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    return {shown: _plain(getattr(value, name)) for shown, name in names}


def _plain(value: object) -> object:
    match value:
        case Struct():
            return _fields(value)
        case tuple():
            return [_plain(item) for item in value]
        case _:
            return value


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
