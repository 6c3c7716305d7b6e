"""Signals decoded the quick way are what they are decoded the slow way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.wire_vectors import PATH, SIGNALS, A, B
from thkmesh.core.envelope import EnvelopeDecoder
from thkmesh.core.wire import Message, Offer, decode_to_server, encode
from thkmesh.errors import InvalidMessage

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(PATH.read_text(encoding="utf-8"))

TEXTS = [vector["text"] for section in ("toServer", "signals") for vector in VECTORS[section]]

OFFER = encode(Offer("lobby", A.id, B.id, A.sid, B.sid, 1, 2, "{}", "s" * 86))


def said(message: Message) -> object:
    """Return the name of a message's type and all its fields."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return type(message).__name__, fields


def outcome(decode: Any, text: str) -> object:  # noqa: ANN401 - either decoder
    """Return what a text says, or the class of error and its words."""
    try:
        return said(decode(text))
    except InvalidMessage as error:
        return type(error), str(error)


def trusting() -> EnvelopeDecoder:
    """Return a decoder that knows the names in all of our signals."""
    decoder = EnvelopeDecoder()
    for text in (*TEXTS, OFFER):
        outcome(decoder.decode, text)
    return decoder


def test_there_is_something_to_compare() -> None:
    """The vectors have signals of every type, and texts that are refused."""
    assert len(SIGNALS) >= 4
    errors = [outcome(decode_to_server, text) for text in TEXTS]
    assert any(isinstance(each, tuple) and isinstance(each[0], type) for each in errors)


def test_every_text_of_the_vectors_says_the_same() -> None:
    """The first time and the second."""
    decoder = EnvelopeDecoder()
    for text in TEXTS * 2:
        assert outcome(decoder.decode, text) == outcome(decode_to_server, text)


def test_a_signal_is_decoded_the_quick_way_once_its_names_are_known() -> None:
    """Then its type is another than that of the slow way, with the same name and fields."""
    decoder = EnvelopeDecoder()
    assert type(decoder.decode(OFFER)) is Offer
    again = decoder.decode(OFFER)
    assert isinstance(again, Offer)
    assert type(again) is not Offer
    assert said(again) == said(decode_to_server(OFFER))


@pytest.mark.parametrize(
    "text",
    [
        OFFER.replace('"roomId":"lobby"', '"roomId":"no room"'),
        OFFER.replace(A.sid, "x" * 16),
        OFFER.replace(B.sid, B.sid.upper()[:-1] + "F"),
        OFFER.replace(A.sid, ""),
        OFFER.replace(B.sid, ""),
        OFFER.replace(B.sid, "lobby"),
        OFFER.replace('"seq":1', '"seq":-1'),
        OFFER.replace('"body":"{}"', '"body":"' + "x" * 49_153 + '"'),
        OFFER.replace("s" * 86, "s" * 85),
        OFFER[:-1] + ',"offer":{"type":"rollback","sdp":""}}',
        OFFER[:-1] + ',"x":' + "[" * 5000 + "]" * 5000 + "}",
        OFFER[:-1] + ',"x":"\ud800"}',
    ],
)
def test_what_is_malformed_is_refused_the_quick_way_too(text: str) -> None:
    """For the same reason."""
    expected = outcome(decode_to_server, text)
    assert isinstance(expected, tuple)
    assert isinstance(expected[0], type), "it is refused"
    assert outcome(trusting().decode, text) == expected


def test_of_a_name_that_stands_twice_the_last_counts() -> None:
    """As in browsers; and not as the slow way has it, which looks at each."""
    twice = OFFER.replace('"roomId":"lobby"', '"roomId":"no room","roomId":"lobby"')
    assert said(trusting().decode(twice)) == said(decode_to_server(OFFER))
    with pytest.raises(InvalidMessage):
        decode_to_server(twice)


def test_a_flood_of_names_is_not_kept() -> None:
    """However many sessions a client names, and however long ago it named the first."""
    decoder = EnvelopeDecoder()
    for number in range(1000):
        decoder.decode(OFFER.replace(B.sid, f"{number:016x}"))
    known = decoder._rooms | decoder._sids  # noqa: SLF001 - nothing else tells
    assert len(known) <= 130
    assert said(decoder.decode(OFFER)) == said(decode_to_server(OFFER))


@given(st.data())
def test_texts_that_are_nearly_right_say_the_same(data: st.DataObject) -> None:
    """Some characters of a message are exchanged or left out."""
    text = data.draw(st.sampled_from([*TEXTS, OFFER]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        filling = data.draw(st.sampled_from(["", "x", '"', "\\u0041", "0"]))
        text = text[:start] + filling + text[end:]
    assert outcome(trusting().decode, text) == outcome(decode_to_server, text)
