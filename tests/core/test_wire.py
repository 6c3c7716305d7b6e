"""The signaling messages: what they say, and what is refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.wire_vectors import (
    BODIES,
    CANDIDATE,
    PATH,
    SDP,
    SEED_EXAMPLES,
    SIGNALS,
    TO_CLIENT,
    TO_SERVER,
    A,
    B,
    hello,
    plain,
    ready,
    text,
)
from thkmesh.core import wire
from thkmesh.core.engine import Candidate, Description, SdpType
from thkmesh.errors import InvalidMessage

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(PATH.read_text(encoding="utf-8"))


def signal_body(text: str) -> wire.SignalBody:
    """Decode a signal and what it carries."""
    message = wire.decode_to_client(text)
    assert isinstance(message, wire.Signal)
    return wire.decode_signal_body(message)


DECODERS = {
    "toServer": wire.decode_to_server,
    "toClient": wire.decode_to_client,
    "signals": signal_body,
    "introductions": wire.decode_introduction,
    "expulsions": wire.decode_expulsion,
}


def test_the_vectors_are_up_to_date() -> None:
    """The file in the tree is what ``python -m tests.core.wire_vectors`` writes."""
    current = PATH.read_text(encoding="utf-8") == text()
    assert current, "run: python -m tests.core.wire_vectors"


@pytest.mark.parametrize("section", DECODERS)
def test_texts_say_what_the_vectors_say(section: str) -> None:
    """Every field with its default, or the exact class of error."""
    assert VECTORS[section]
    for vector in VECTORS[section]:
        if "error" not in vector:
            assert plain(DECODERS[section](vector["text"])) == vector["message"]
            continue
        with pytest.raises(InvalidMessage) as refused:
            DECODERS[section](vector["text"])
        assert refused.value.reason == vector["error"], vector


@pytest.mark.parametrize("message", TO_SERVER, ids=repr)
def test_messages_to_the_server_survive(message: wire.Message) -> None:
    """What was encoded is what is decoded, from text and from bytes."""
    encoded = wire.encode(message)
    assert wire.decode_to_server(encoded) == wire.decode_to_server(encoded.encode()) == message


@pytest.mark.parametrize("message", TO_CLIENT, ids=repr)
def test_messages_to_the_client_survive(message: wire.Message) -> None:
    """What was encoded is what is decoded."""
    assert wire.decode_to_client(wire.encode(message)) == message


@pytest.mark.parametrize(("signal", "body"), list(zip(SIGNALS, BODIES, strict=True)), ids=repr)
def test_bodies_survive(signal: wire.Signal, body: wire.SignedBody) -> None:
    """What was signed is what is decoded."""
    assert wire.decode_signal_body(signal) == body


def test_the_seeds_own_examples_are_understood() -> None:
    """Its signals decode to our types; that they are unsigned is said when they are used."""
    offer, chat, introduction, answer, candidate = SEED_EXAMPLES
    decoded = wire.decode_to_client(offer)
    assert isinstance(decoded, wire.Offer)
    assert decoded.offer == wire.SeedDescription("offer", "...")
    assert decoded.to.id == "user_def456_1234567890"
    assert isinstance(decoded := wire.decode_to_client(answer), wire.Answer)
    assert decoded.answer == wire.SeedDescription("answer", "...")
    assert isinstance(decoded := wire.decode_to_client(candidate), wire.IceCandidate)
    assert decoded.candidate is not None
    assert decoded.candidate["sdpMid"] == "0"
    for unsigned in (offer, answer, candidate):
        with pytest.raises(wire.Unsigned) as refused:
            signal_body(unsigned)
        assert refused.value.reason == "unsigned"
    assert isinstance(decoded := wire.decode_to_client(introduction), wire.PeerReady)
    assert (decoded.session.id, decoded.key) == ("user_abc123_1234567890", "")
    with pytest.raises(wire.UnknownType):  # it travels on the channel, not here
        wire.decode_to_client(chat)


def test_sessions_can_be_read_off_messages() -> None:
    """Who says it, of whom, and to whom."""
    assert hello().session == ready().session == A
    assert (SIGNALS[0].source, SIGNALS[0].to) == (A, B)
    assert wire.PeerLeft("lobby", *A).session == A
    assert wire.SignalRefused(*B).to == B


def test_descriptions_and_candidates_reach_the_engine() -> None:
    """In the engine's words, and back."""
    offer, answer, candidates, _ = BODIES
    assert isinstance(offer, wire.OfferBody)
    assert isinstance(answer, wire.AnswerBody)
    assert isinstance(candidates, wire.CandidatesBody)
    assert wire.description_of(offer) == Description(SdpType.OFFER, SDP)
    assert wire.description_of(answer) == Description(SdpType.ANSWER, SDP)
    assert wire.candidate_of(CANDIDATE) == Candidate(CANDIDATE.candidate, "0", 0, "abcd")
    assert all(wire.init_of(wire.candidate_of(one)) == one for one in candidates.candidates)


def test_raw_surrogates_and_bytes_that_are_no_text_are_refused() -> None:
    """Python's own text may hold what no JSON does."""
    for raw in ('{"type":"ping","x":"\ud800"}', b'{"type":"error","reason":"\xff"}'):
        with pytest.raises(InvalidMessage):
            wire.decode_to_client(raw)


def test_nesting_has_an_end() -> None:
    """What would exhaust the stack is an error like any other."""
    for depth in (5_000, 30_000):
        with pytest.raises(InvalidMessage):
            wire.decode_to_server('{"type":"ping","x":' + "[" * depth + "]" * depth + "}")


@given(st.text() | st.binary())
def test_garbage_is_refused_and_nothing_else(garbage: str | bytes) -> None:
    """Whatever comes in, the answer is a message or ``InvalidMessage``."""
    for decode in (wire.decode_to_server, wire.decode_to_client):
        with suppress(InvalidMessage):
            decode(garbage)
    if isinstance(garbage, str):
        with suppress(InvalidMessage):
            wire.decode_introduction(garbage)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from([*TO_SERVER, *TO_CLIENT]), st.data())
def test_one_strange_field_is_refused_or_of_its_type(
    message: wire.Message, data: st.DataObject
) -> None:
    """Whatever one field is replaced with, what is decoded encodes to the same again."""
    fields = json.loads(wire.encode(message))
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(json_values)
    encoded = json.dumps(fields)
    for decode in (wire.decode_to_server, wire.decode_to_client):
        try:
            decoded = decode(encoded)
        except InvalidMessage:
            continue
        assert decode(wire.encode(decoded)) == decoded
