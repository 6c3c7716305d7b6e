"""Nothing gets past the verifier that is not the words of whom it names."""

import asyncio
import random
import re
import secrets
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from thkmesh.core import wire
from thkmesh.core.identity import SessionKey, hello_payload, signal_payload
from thkmesh.core.link_events import Relayed, SignalArrived
from thkmesh.core.session_events import (
    FromLink,
    SessionEvent,
    SignalVerified,
    SocketLost,
    Suspected,
)
from thkmesh.errors import IdentityMismatch, InvalidMessage, InvalidSignature, PeerError
from thkmesh.keys import Identity
from thkmesh.sealing import Sealer
from thkmesh.signaling.client import SignalingClient, SignalingSettings
from thkmesh.signaling.transport import SocketClosed
from thkmesh.signaling.verification import MalformedBody, Verifier

ROOM = "lobby"
ME = SessionKey(Identity.generate().id, "00000000000000aa")
REWRITTEN = 1_000
SDP = """v=0
o=- 4611732 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:{ufrag}
a=ice-pwd:{pwd}
a=fingerprint:sha-256 {fingerprint}
a=setup:{setup}
a=mid:0
a=sctp-port:5000
""".replace("\n", "\r\n")

SEEDS = wire.SeedDescription("offer", "v=0")
"""What the seed's unsigned offers carry."""


class Speaker:
    """Somebody who says genuine things to me."""

    def __init__(self, protocol: tuple[int, int] = wire.VERSIONS) -> None:
        """Have a session of one's own."""
        self.identity = Identity.generate()
        self.key = SessionKey(self.identity.id, secrets.token_hex(8))
        self._protocol = protocol
        self._said = 0

    def introduction(self, relay: str = "") -> wire.PeerReady:
        """Return who one is, and one's key for the relay."""
        said = wire.Introduction(protocol=self._protocol, name="Ada", relay=relay)
        body = wire.encode_body(said)
        key = self.identity.public_key
        signature = self.identity.sign(hello_payload(ROOM, self.key, key, body))
        return wire.PeerReady(ROOM, *self.key, key, body, signature)

    def malformed(self, text: str) -> wire.Signal:
        """Return a signal to me, genuine but for what it says."""
        self._said += 1
        number = self._said
        signature = self.identity.sign(signal_payload(ROOM, self.key, ME, number, text))
        ids = (self.key.id, ME.id, self.key.sid, ME.sid)
        return wire.Restart(ROOM, *ids, number, 0, text, signature)

    def signal(self, body: wire.SignedBody, seq: int | None = None) -> wire.Signal:
        """Return a signal to me."""
        self._said += 1
        number = self._said if seq is None else seq
        text = wire.encode_body(body)
        signature = self.identity.sign(signal_payload(ROOM, self.key, ME, number, text))
        envelope = wire.ENVELOPES[type(body)]
        ids = (self.key.id, ME.id, self.key.sid, ME.sid)
        return envelope(ROOM, *ids, number, 0, text, signature)


def description(dice: random.Random, kind: str) -> wire.OfferBody | wire.AnswerBody:
    """Return an offer or an answer, as either DTLS role sends it."""
    sdp = SDP.format(
        ufrag=dice.randbytes(4).hex(),
        pwd=dice.randbytes(12).hex(),
        fingerprint=dice.randbytes(32).hex(":").upper(),
        setup="actpass" if kind == "offer" else dice.choice(["active", "passive"]),
    )
    if kind == "offer":
        return wire.OfferBody(1, 1, wire.SeedDescription("offer", sdp))
    return wire.AnswerBody(1, 1, wire.SeedDescription("answer", sdp))


def rewritten(dice: random.Random, body: str) -> str:
    """Return a body with its fingerprint changed: one digit, all of it, or its algorithm."""
    found = re.search(r"a=fingerprint:(\S+) ([0-9A-F:]+)", body)
    assert found is not None
    digits = found[2]
    match dice.randrange(3):
        case 0:
            at = dice.choice([n for n, digit in enumerate(digits) if digit != ":"])
            others = sorted(set("0123456789ABCDEF") - {digits[at]})
            changed = digits[:at] + dice.choice(others) + digits[at + 1 :]
        case 1:
            changed = dice.randbytes(32).hex(":").upper()
        case _:
            return body.replace(found[1], "sha-1", 1)
    return body.replace(digits, changed, 1)


@pytest.mark.parametrize("kind", ["offer", "answer"])
def test_every_rewritten_fingerprint_is_detected(kind: str) -> None:
    """A thousand of a thousand, in either DTLS role; and the genuine ones all pass."""
    seed = secrets.randbits(32)
    dice = random.Random(seed)
    verifier, speaker = Verifier(ROOM, ME), Speaker()
    verifier.introduce(speaker.introduction())
    detected = 0
    for _ in range(REWRITTEN):
        body = description(dice, kind)
        genuine = speaker.signal(body)
        false = replace(genuine, body=rewritten(dice, genuine.body))
        assert wire.decode_signal_body(false) != body, "but for the signature it would do"
        with pytest.raises(InvalidSignature):
            verifier.signal(false)
        detected += 1
        assert verifier.signal(genuine) == SignalArrived(genuine.seq, 0, body)
    assert detected == REWRITTEN, f"seed {seed}"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda s: replace(s, seq=s.seq + 1), InvalidSignature, id="number"),
        pytest.param(lambda s: replace(s, body=s.body + " "), InvalidSignature, id="body"),
        pytest.param(lambda s: replace(s, from_sid="0" * 16), InvalidSignature, id="sender"),
        pytest.param(lambda s: replace(s, to_sid="0" * 16), InvalidMessage, id="addressee"),
        pytest.param(lambda s: replace(s, room_id="attic"), InvalidMessage, id="room"),
        pytest.param(lambda s: replace(s, signature="A" * 86), InvalidSignature, id="signature"),
        pytest.param(lambda s: replace(s, signature=""), wire.Unsigned, id="unsigned"),
        pytest.param(
            lambda s: wire.Offer(ROOM, s.from_user_id, ME.id, offer=SEEDS), wire.Unsigned, id="seed"
        ),
    ],
)
def test_a_changed_signal_is_refused(
    change: Callable[[wire.Signal], wire.Signal], error: type[PeerError]
) -> None:
    """Whichever of its fields differs from what was signed."""
    verifier, speaker = Verifier(ROOM, ME), Speaker()
    verifier.introduce(speaker.introduction())
    genuine = speaker.signal(wire.RestartBody(1))
    with pytest.raises(error):
        verifier.signal(change(genuine))
    assert verifier.signal(genuine).body == wire.RestartBody(1)


def test_a_stranger_is_refused() -> None:
    """Who has not been introduced cannot signal, whatever it signs."""
    with pytest.raises(InvalidSignature):
        Verifier(ROOM, ME).signal(Speaker().signal(wire.RestartBody(1)))


def test_a_signal_needs_a_number_and_its_own_envelope() -> None:
    """Even the genuine words of a peer are refused where they break the protocol."""
    verifier, speaker = Verifier(ROOM, ME), Speaker()
    verifier.introduce(speaker.introduction())
    with pytest.raises(InvalidMessage):
        verifier.signal(speaker.signal(wire.RestartBody(1), seq=0))
    fields = speaker.signal(wire.RestartBody(1))
    ids = (fields.from_user_id, ME.id, fields.from_sid, ME.sid)
    with pytest.raises(wire.WrongEnvelope):
        verifier.signal(wire.Answer(ROOM, *ids, fields.seq, 0, fields.body, fields.signature))


def test_a_signal_of_an_unknown_kind_is_counted_in_its_place() -> None:
    """It says nothing to us, but the next ones would wait for its number for ever."""
    verifier, speaker = Verifier(ROOM, ME), Speaker()
    verifier.introduce(speaker.introduction())
    text = '{"kind":"hologram"}'
    signature = speaker.identity.sign(signal_payload(ROOM, speaker.key, ME, 1, text))
    ids = (speaker.key.id, ME.id, speaker.key.sid, ME.sid)
    signal = wire.Restart(ROOM, *ids, 1, 0, text, signature)
    assert verifier.signal(signal) == SignalArrived(1, 0, None)


MALFORMED = ["", "[", "{}", '{"kind":"restart"}', '{"kind":"restart","wanted":-1}', "[" * 9_000]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_signal_is_refused_in_its_place(text: str) -> None:
    """It is its sender's own fault, but the next ones would wait for its number for ever."""
    verifier, speaker = Verifier(ROOM, ME), Speaker()
    verifier.introduce(speaker.introduction())
    with pytest.raises(MalformedBody) as caught:
        verifier.signal(speaker.malformed(text))
    assert caught.value.signal == SignalArrived(1, 0, None)
    with pytest.raises(InvalidSignature):
        verifier.signal(replace(speaker.malformed(text), seq=1))


class Recording:
    """A transport, and its one socket, from which some messages come."""

    def __init__(self, *messages: wire.Message | bytes) -> None:
        """Have these to say, then end."""
        self._said = [each if isinstance(each, bytes) else wire.encode(each) for each in messages]

    async def open(self, url: str) -> "Recording":
        """Return itself."""
        assert url
        return self

    def send(self, text: str) -> None:
        """Take nothing."""

    def send_frame(self, frame: bytes) -> None:
        """Take nothing."""

    async def receive(self) -> str | bytes:
        """Return the next message."""
        if not self._said:
            raise SocketClosed(1006, "that was all")
        return self._said.pop(0)

    async def close(self, code: int = 1000) -> None:
        """Do nothing."""


async def test_a_malformed_signal_is_reported_and_its_number_passes() -> None:
    """The application hears of it, and the link gets a number with nothing in it."""
    me, speaker = Identity.generate(), Speaker()
    settings = SignalingSettings("ws://server", ROOM, me, ME.sid)
    text = '{"kind":"restart","wanted":-1}'
    said = speaker.identity.sign(signal_payload(ROOM, speaker.key, settings.session, 1, text))
    ids = (speaker.key.id, me.id, speaker.key.sid, ME.sid)
    signal = wire.Restart(ROOM, *ids, 1, 0, text, said)
    events: list[SessionEvent] = []
    ended = asyncio.Event()

    def feed(event: SessionEvent) -> None:
        events.append(event)
        if isinstance(event, SocketLost):
            ended.set()

    client = SignalingClient(settings, Recording(speaker.introduction(), signal), feed)
    client.open()
    await ended.wait()
    suspected, passed = events[1:3]
    assert isinstance(suspected, Suspected)
    assert suspected.claimed == speaker.key
    assert isinstance(suspected.error, InvalidMessage)
    assert passed == SignalVerified(speaker.key, SignalArrived(1, 0, None))
    assert client.unknown == 0


@pytest.mark.parametrize("missing", [False, True])
async def test_keys_are_dropped_with_their_session_and_its_frames_not_taken_again(
    *, missing: bool
) -> None:
    """Whether we are told that it has left, or find it missing; it may come back."""
    me, speaker, seed = Identity.generate(), Speaker(), bytes(32)
    settings = SignalingSettings("ws://server", ROOM, me, ME.sid, relay_seed=seed)
    theirs = Sealer(ROOM, speaker.key)
    assert theirs.agree(settings.session, Sealer(ROOM, settings.session, seed).public_key)
    frames = [theirs.seal(settings.session, datagram) for datagram in (b"old", b"news")]
    names = "".join(speaker.key).encode()
    old, news = (frame[:1] + names + frame[43:] for frame in frames if frame is not None)
    ready = speaker.introduction(theirs.public_key)
    gone = wire.Welcome(ROOM, "e", "r") if missing else wire.PeerLeft(ROOM, *speaker.key)
    events: list[SessionEvent] = []
    ended = asyncio.Event()

    def feed(event: SessionEvent) -> None:
        events.append(event)
        if isinstance(event, SocketLost):
            ended.set()

    said = Recording(ready, old, gone, news, ready, old, news)
    SignalingClient(settings, said, feed).open()
    await ended.wait()
    refused = [each.error for each in events if isinstance(each, Suspected)]
    assert [type(each) for each in refused] == [InvalidSignature, InvalidMessage]
    taken = [each.event for each in events if isinstance(each, FromLink)]
    assert taken == [Relayed(b"old"), Relayed(b"news")]


def test_a_bare_acknowledgement_needs_no_signature() -> None:
    """It says no more than a server can say by keeping signals back."""
    speaker = Speaker()
    ack = wire.Ack(ROOM, speaker.key.id, ME.id, speaker.key.sid, ME.sid, ack=7)
    assert Verifier(ROOM, ME).signal(ack) == SignalArrived(0, 7, None)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda r: replace(r, room_id="attic"), InvalidMessage, id="room"),
        pytest.param(lambda r: replace(r, key="A" * 43), IdentityMismatch, id="key"),
        pytest.param(lambda r: replace(r, key=""), IdentityMismatch, id="no-key"),
        pytest.param(lambda r: replace(r, from_user_id=ME.id), IdentityMismatch, id="id"),
        pytest.param(lambda r: replace(r, from_sid="0" * 16), InvalidSignature, id="session"),
        pytest.param(lambda r: replace(r, body=r.body + " "), InvalidSignature, id="body"),
        pytest.param(lambda r: replace(r, signature=""), InvalidSignature, id="unsigned"),
    ],
)
def test_a_changed_introduction_is_refused(
    change: Callable[[wire.PeerReady], wire.PeerReady], error: type[PeerError]
) -> None:
    """And its peer cannot signal, until it is introduced in its own words."""
    verifier, speaker = Verifier(ROOM, ME), Speaker()
    with pytest.raises(error):
        verifier.introduce(change(speaker.introduction()))
    signal = speaker.signal(wire.RestartBody(1))
    with pytest.raises(InvalidSignature):
        verifier.signal(signal)
    assert verifier.introduce(speaker.introduction()).name == "Ada"
    verifier.signal(signal)


def test_a_peer_of_another_protocol_is_refused() -> None:
    """Its introduction may be genuine, but there is no language in common."""
    with pytest.raises(PeerError) as caught:
        Verifier(ROOM, ME).introduce(Speaker(protocol=(7, 9)).introduction())
    assert caught.value.reason == "protocol-mismatch"


def test_the_verifier_forgets_the_oldest_of_too_many() -> None:
    """However many a server introduces, memory is bounded, and a reintroduction helps."""
    verifier, first = Verifier(ROOM, ME), Speaker()
    verifier.introduce(first.introduction())
    for _ in range(1_024):
        verifier.introduce(Speaker().introduction())
    signal = first.signal(wire.RestartBody(1))
    with pytest.raises(InvalidSignature):
        verifier.signal(signal)
    verifier.introduce(first.introduction())
    verifier.signal(signal)
