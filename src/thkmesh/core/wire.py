"""The messages on the signaling WebSocket: one type each, checked once, here.

JSON text, one object a WebSocket message, told apart by ``type``. Names are the
seed's (``webrtc-offer``, ``roomId``, ``fromUserId`` ...); ours are added beside.
Unknown fields are ignored, unknown types raise ``UnknownType`` so that callers
can count and skip them. ``spec/protocol.md`` says what each means.

A signal's content is its ``body``: a JSON *string*, signed and carried exactly
as sent (see ``thkmesh.core.identity``), told apart by ``kind``:

======================  ======================================================
envelope ``type``       body
======================  ======================================================
webrtc-offer            generation, round, offer {type, sdp}
webrtc-answer           generation, round, answer {type, sdp}
webrtc-ice-candidate    generation, candidates [{candidate, sdpMid, ...}]
webrtc-restart          wanted
webrtc-ack              none, and no sequence number: ``ack`` is all it says
======================  ======================================================

The hot path of the server decodes envelopes only; it never looks into a body.
"""

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from thkmesh.core.engine import Candidate, Description, SdpType
from thkmesh.core.grants import OPEN, sorted_grants
from thkmesh.core.identity import SessionKey
from thkmesh.errors import InvalidMessage

PROTOCOL = 1
"""The protocol version this code speaks."""

VERSIONS = (PROTOCOL, PROTOCOL)
"""The lowest and highest protocol version this code speaks."""

SIGNALING_LIMIT_BYTES = 64 * 1024
"""The largest WebSocket message, either way (close code 1009 beyond it), but for a welcome."""

WELCOME_LIMIT_BYTES = 1024 * 1024
"""The largest message to a client: a welcome introduces everybody."""

PEER_READY_LIMIT_BYTES = 6 * 1024
"""The largest introduction, as the server passes it on."""

KICKED_LIMIT_BYTES = 2 * 1024
"""The largest statement that somebody is removed, whatever its reason."""

KICK_LIMIT = 31_536_000
"""Seconds that nobody is kept out longer, at one time: a year."""

# --- field types ----------------------------------------------------------------

Room: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
UserId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
"""26 characters of base32 for us; the seed's examples are longer, and refused later."""
Sid: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Count: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]
Positive: TypeAlias = Annotated[int, Meta(ge=1, lt=2**53)]
Key: TypeAlias = Annotated[str, Meta(min_length=43, max_length=43)]
Signature: TypeAlias = Annotated[str, Meta(min_length=86, max_length=86)]
Body: TypeAlias = Annotated[str, Meta(max_length=48 * 1024)]
Short: TypeAlias = Annotated[str, Meta(max_length=256)]
RelayKey: TypeAlias = Annotated[str, Meta(max_length=43)]
"""An X25519 public key, base64url; without one nothing is relayed."""
Proof: TypeAlias = Annotated[str, Meta(max_length=43)]
"""An HMAC-SHA-256, base64url; see ``thkmesh.core.secret``."""
Millis: TypeAlias = Annotated[int, Meta(ge=0, lt=2**47)]
"""A time by the server's clock: milliseconds since 1970, in UTC."""
Reason: TypeAlias = Annotated[str, Meta(max_length=200)]
"""What people say."""
Name: TypeAlias = Annotated[str, Meta(max_length=64)]
Token: TypeAlias = Annotated[str, Meta(max_length=8192)]
Grants: TypeAlias = Annotated[tuple[Short, ...], Meta(max_length=64)]
"""What one may do (see ``thkmesh.core.grants``); later versions may know other words."""
Versions: TypeAlias = tuple[Positive, Positive]


class Message(Struct, frozen=True, rename="camel", tag_field="type", omit_defaults=True):
    """The base of every message; ``type`` on the wire is the subclass's tag."""


# --- server to client -------------------------------------------------------------


class Challenge(Message, frozen=True, tag="challenge"):
    """The server's first words on every connection."""

    nonce: Short
    epoch: Short
    protocol: Versions


class PeerReady(Message, frozen=True, tag="peer-ready"):
    """A session is in the room, introduced in its own signed words."""

    room_id: Room
    from_user_id: UserId
    from_sid: Sid = ""
    key: Key = ""
    body: Body = ""
    signature: Signature = ""

    @property
    def session(self) -> SessionKey:
        """Who it is about."""
        return SessionKey(self.from_user_id, self.from_sid)


class IceServer(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A STUN or TURN server, as in W3C RTCIceServer."""

    urls: tuple[Annotated[str, Meta(max_length=512)], ...]
    username: str | None = None
    credential: str | None = None


class Kicked(Message, frozen=True, tag="kicked"):
    """A peer is removed from the room: an ``Expulsion``, signed with the room's key."""

    room_id: Room
    body: Annotated[str, Meta(max_length=KICKED_LIMIT_BYTES)]
    signature: Signature


class Welcome(Message, frozen=True, tag="welcome"):
    """The hello was accepted; ``peers`` is everybody else in the room."""

    room_id: Room
    epoch: Short
    resume: Short
    resumed: bool = False
    peers: tuple[PeerReady, ...] = ()
    ice_servers: tuple[IceServer, ...] = ()
    max_peers: Positive = 10
    ping_interval: Annotated[float, Meta(gt=0)] = 20.0
    relay_bytes: Count = 0
    room_key: Annotated[str, Meta(max_length=43)] = ""
    time: Millis = 0
    kicked: tuple[Kicked, ...] = ()
    expires: Annotated[float, Meta(ge=0)] | None = None
    grants: Grants = sorted_grants(OPEN)


class Admitted(Message, frozen=True, tag="token"):
    """How long the permit still holds, and for what; ``renew`` asks for a fresh token."""

    expires: Annotated[float, Meta(ge=0)] | None = None
    grants: Grants = sorted_grants(OPEN)
    renew: bool = False


class IceServers(Message, frozen=True, tag="ice-servers"):
    """The STUN and TURN servers to use from now on, in place of those of the welcome."""

    ice_servers: tuple[IceServer, ...] = ()


class PeerLeft(Message, frozen=True, tag="peer-left"):
    """A session is no longer in the room."""

    room_id: Room
    user_id: UserId
    sid: Sid
    reason: Literal["left", "timeout", "replaced"] = "left"

    @property
    def session(self) -> SessionKey:
        """Who it is about."""
        return SessionKey(self.user_id, self.sid)


class SignalRefused(Message, frozen=True, tag="signal-refused"):
    """The server could not pass a signal on; it stays owed by its sender."""

    to_user_id: UserId
    to_sid: Sid = ""
    seq: Count = 0
    reason: Short = "unknown-session"

    @property
    def to(self) -> SessionKey:
        """Whom the signal was for."""
        return SessionKey(self.to_user_id, self.to_sid)


class Error(Message, frozen=True, tag="error"):
    """What the sender did wrong; if it is fatal the close code follows."""

    reason: Short
    message: Annotated[str, Meta(max_length=1024)] = ""
    retry_after: float | None = None
    n: Count = 0
    """Which request of ours was refused; 0 of what has no number."""


class Moving(Message, frozen=True, tag="moving"):
    """The server is about to stop: come back, to whoever is there then.

    ``retry_after`` is in seconds, and different for each, so that not all come at once.
    """

    retry_after: Annotated[float, Meta(ge=0)] = 0.0


class Pong(Message, frozen=True, tag="pong"):
    """The answer to a ping."""

    n: Count = 0


# --- client to server -------------------------------------------------------------


class Hello(Message, frozen=True, tag="hello"):
    """The client's first message: enter, or take up again, a room.

    ``body`` and ``signature`` are passed on to the others as ``peer-ready``;
    ``proof`` signs the server's nonce; ``resume`` is the secret of the welcome.
    """

    room_id: Room
    from_user_id: UserId
    from_sid: Sid
    key: Key
    body: Body
    signature: Signature
    proof: Signature
    resume: Short = ""
    token: Token = ""

    @property
    def session(self) -> SessionKey:
        """Who is speaking."""
        return SessionKey(self.from_user_id, self.from_sid)

    @property
    def ready(self) -> PeerReady:
        """What the others are told: its own signed words."""
        return PeerReady(self.room_id, *self.session, self.key, self.body, self.signature)


class RenewToken(Message, frozen=True, tag="token"):
    """A fresh token, for the time after that of the hello has ended."""

    token: Token


class Leave(Message, frozen=True, tag="leave"):
    """Goodbye; the server forgets the session at once."""


class Kick(Message, frozen=True, tag="kick"):
    """Remove a peer from the room, and keep it out for ``duration`` seconds.

    ``n`` is ours: an ``error`` that refuses it names it.
    """

    user_id: UserId
    duration: Annotated[float, Meta(ge=1, le=KICK_LIMIT)]
    reason: Reason = ""
    n: Count = 0


class Ping(Message, frozen=True, tag="ping"):
    """Are you there? Pages cannot send WebSocket pings, so this is ours."""

    n: Count = 0


# --- both ways: signals -------------------------------------------------------------


class SeedDescription(Struct, frozen=True):
    """The seed's ``offer`` and ``answer`` objects."""

    type: Literal["offer", "answer"]
    sdp: Annotated[str, Meta(max_length=32 * 1024)]


class Signal(Message, frozen=True):
    """What every signal carries. ``seq`` counts from 1; ``ack`` is cumulative."""

    room_id: Room
    from_user_id: UserId
    to_user_id: UserId
    from_sid: Sid = ""
    to_sid: Sid = ""
    seq: Count = 0
    ack: Count = 0
    body: Body = ""
    signature: Signature = ""

    @property
    def source(self) -> SessionKey:
        """Who sent it."""
        return SessionKey(self.from_user_id, self.from_sid)

    @property
    def to(self) -> SessionKey:
        """Whom it is for."""
        return SessionKey(self.to_user_id, self.to_sid)

    @property
    def whole(self) -> bool:
        """Whether it has our form, not the seed's."""
        return bool(self.body and self.signature and self.from_sid and self.to_sid)


class Offer(Signal, frozen=True, tag="webrtc-offer"):
    """An offer (``offer`` is the seed's unsigned form; we refuse to act on it)."""

    offer: SeedDescription | None = None


class Answer(Signal, frozen=True, tag="webrtc-answer"):
    """An answer (``answer`` is the seed's unsigned form)."""

    answer: SeedDescription | None = None


class IceCandidate(Signal, frozen=True, tag="webrtc-ice-candidate"):
    """ICE candidates (``candidate`` is the seed's unsigned form)."""

    candidate: dict[str, Any] | None = None


class Restart(Signal, frozen=True, tag="webrtc-restart"):
    """The higher session asks the lower to open a new generation."""


class Ack(Signal, frozen=True, tag="webrtc-ack"):
    """A bare acknowledgement, when nothing else is there to carry it."""

    @property
    def whole(self) -> bool:
        """Whether it has our form: it has no body."""
        return bool(self.from_sid and self.to_sid)


AnySignal: TypeAlias = Offer | Answer | IceCandidate | Restart | Ack
ToServer: TypeAlias = (
    Hello | RenewToken | Leave | Ping | Kick | Offer | Answer | IceCandidate | Restart | Ack
)
ToClient: TypeAlias = (
    Challenge
    | Welcome
    | Admitted
    | IceServers
    | PeerReady
    | PeerLeft
    | SignalRefused
    | Error
    | Moving
    | Pong
    | Kicked
    | Offer
    | Answer
    | IceCandidate
    | Restart
    | Ack
)

# --- signed bodies --------------------------------------------------------------


class SignedBody(Struct, frozen=True, rename="camel", tag_field="kind", omit_defaults=True):
    """The base of every signed body; ``kind`` on the wire is the tag."""


class Introduction(SignedBody, frozen=True, tag="hello"):
    """What a peer says of itself. ``metadata`` is the application's, up to 4 KiB."""

    protocol: Versions
    name: Name = ""
    features: tuple[Short, ...] = ()
    media: bool = False
    relay: RelayKey = ""
    membership: Proof = ""
    metadata: dict[str, Any] = {}


class OfferBody(SignedBody, frozen=True, tag="offer"):
    """An offer: the ``round``-th of its sender, within a generation."""

    generation: Positive
    round: Positive
    offer: SeedDescription


class AnswerBody(SignedBody, frozen=True, tag="answer"):
    """The answer to the receiver's ``round``-th offer of that generation."""

    generation: Positive
    round: Positive
    answer: SeedDescription


class CandidateInit(Struct, frozen=True, rename="camel", omit_defaults=True):
    """W3C RTCIceCandidateInit; an empty ``candidate`` ends the candidates."""

    candidate: Annotated[str, Meta(max_length=1024)]
    username_fragment: Annotated[str, Meta(max_length=256)]
    sdp_mid: Short | None = None
    sdp_m_line_index: Count | None = None


class CandidatesBody(SignedBody, frozen=True, tag="candidates"):
    """Some candidates of the sender's connection of a generation."""

    generation: Positive
    candidates: Annotated[tuple[CandidateInit, ...], Meta(max_length=64)]


class RestartBody(SignedBody, frozen=True, tag="restart"):
    """A wish for generation ``wanted``; without effect once it exists."""

    wanted: Positive


class Expulsion(SignedBody, frozen=True, tag="kicked"):
    """What a server says of who is removed; it holds from ``at`` to ``until``."""

    user_id: UserId
    at: Millis
    until: Millis
    reason: Reason = ""


SignalBody: TypeAlias = OfferBody | AnswerBody | CandidatesBody | RestartBody

ENVELOPES: dict[type[SignedBody], type[Signal]] = {
    OfferBody: Offer,
    AnswerBody: Answer,
    CandidatesBody: IceCandidate,
    RestartBody: Restart,
}
"""Which envelope carries which body; any other pairing is invalid."""

# --- coding ---------------------------------------------------------------------

_T = TypeVar("_T")

_encoder = msgspec.json.Encoder()
_to_server: msgspec.json.Decoder[ToServer] = msgspec.json.Decoder(ToServer)
_to_client: msgspec.json.Decoder[ToClient] = msgspec.json.Decoder(ToClient)
_signal_body: msgspec.json.Decoder[SignalBody] = msgspec.json.Decoder(SignalBody)
_introduction: msgspec.json.Decoder[Introduction] = msgspec.json.Decoder(Introduction)
_expulsion: msgspec.json.Decoder[Expulsion] = msgspec.json.Decoder(Expulsion)


class UnknownType(InvalidMessage):
    """A message of a type we do not know; to be counted and skipped."""

    reason = "unknown-type"


class Unsigned(InvalidMessage):
    """A signal without our signed fields (the seed's form)."""

    reason = "unsigned"


class WrongEnvelope(InvalidMessage):
    """A signal whose envelope is not that of its body."""


def encode(message: Message) -> str:
    """Return the JSON text of a message."""
    return _encoder.encode(message).decode()


def encode_body(body: SignedBody) -> str:
    """Return the JSON text of a body, ready to be signed."""
    return _encoder.encode(body).decode()


def _decode(decoder: "msgspec.json.Decoder[_T]", text: str | bytes) -> _T:
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = str(error)
        unknown = reason.startswith("Invalid value ") and reason.endswith(("`$.type`", "`$.kind`"))
        raise (UnknownType if unknown else InvalidMessage)(reason) from None


def decode_to_server(text: str | bytes) -> ToServer:
    """Decode what a client sent.

    Raises:
        UnknownType: its ``type`` is not one of ours; skip it.
        InvalidMessage: it is not JSON, or a field is missing or out of range.
    """
    return _decode(_to_server, text)


def decode_to_client(text: str | bytes) -> ToClient:
    """Decode what a server sent.

    Raises:
        UnknownType: its ``type`` is not one of ours; skip it.
        InvalidMessage: it is not JSON, or a field is missing or out of range.
    """
    return _decode(_to_client, text)


def decode_signal_body(signal: Signal) -> SignalBody:
    """Decode the body of a signal whose signature has been verified.

    Raises:
        Unsigned: it has no signed body (the seed's form).
        UnknownType: its ``kind`` is not one of ours; skip it.
        WrongEnvelope: it is in that of another kind.
        InvalidMessage: it is malformed.
    """
    if not (signal.body and signal.signature and signal.from_sid and signal.to_sid):
        message = "signals are signed: sids, body and signature are missing"
        raise Unsigned(message)
    body = decode_body(signal.body)
    if ENVELOPES[type(body)] is not type(signal):
        message = f"a body of kind {body.__struct_config__.tag} in a {type(signal).__name__}"
        raise WrongEnvelope(message)
    return body


def decode_body(text: str) -> SignalBody:
    """Decode the body of a signal.

    Raises:
        UnknownType: its ``kind`` is not one of ours; skip it.
        InvalidMessage: it is malformed.
    """
    return _decode(_signal_body, text)


def decode_introduction(text: str) -> Introduction:
    """Decode the body of a hello.

    Raises:
        UnknownType: it is no hello at all.
        InvalidMessage: it is malformed.
    """
    return _decode(_introduction, text)


def decode_expulsion(text: str) -> Expulsion:
    """Decode the body of ``kicked``, whose signature has been verified.

    Raises:
        UnknownType: it is of another kind.
        InvalidMessage: it is malformed.
    """
    return _decode(_expulsion, text)


def description_of(body: OfferBody | AnswerBody) -> Description:
    """Return what the engine is given."""
    if isinstance(body, OfferBody):
        return Description(SdpType.OFFER, body.offer.sdp)
    return Description(SdpType.ANSWER, body.answer.sdp)


def candidate_of(init: CandidateInit) -> Candidate:
    """Return what the engine is given."""
    return Candidate(init.candidate, init.sdp_mid, init.sdp_m_line_index, init.username_fragment)


def init_of(candidate: Candidate) -> CandidateInit:
    """Return what travels."""
    return CandidateInit(candidate.candidate, candidate.ufrag, candidate.mid, candidate.mline_index)
