"""Names that prove themselves, and the bytes that are signed."""

import base64
import hashlib
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.identity_vectors import FORMS, PATH, text
from thkmesh.core.identity import (
    ID_LENGTH,
    SessionKey,
    decode_bytes,
    encode_bytes,
    hello_payload,
    id_of_key,
    is_id,
    is_room,
    is_sid,
    kicked_payload,
    proof_payload,
    signal_payload,
)

VECTORS: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))

names = st.text(max_size=40)
sessions = st.builds(SessionKey, names, names)


def test_the_vectors_are_up_to_date() -> None:
    """The file in the tree is what ``python -m tests.core.identity_vectors`` writes."""
    current = PATH.read_text(encoding="utf-8") == text()
    assert current, "run: python -m tests.core.identity_vectors"


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_told_from_what_resembles_them(form: str) -> None:
    """Length, alphabet, capitals, line ends and foreign digits are all looked at."""
    check, _ = FORMS[form]
    assert VECTORS["forms"][form]["valid"]
    assert VECTORS["forms"][form]["invalid"]
    assert all(map(check, VECTORS["forms"][form]["valid"]))
    assert not any(map(check, VECTORS["forms"][form]["invalid"]))


def test_an_id_is_the_start_of_the_hash_of_the_key() -> None:
    """Twenty-six characters of lower-case base32, as anybody can recompute."""
    for vector in VECTORS["ids"]:
        key = base64.urlsafe_b64decode(vector["key"] + "=")
        digest = base64.b32encode(hashlib.sha256(key).digest()).decode().lower()
        assert vector["id"] == id_of_key(key) == digest[:ID_LENGTH]
        assert is_id(vector["id"])


@given(st.binary(max_size=80))
def test_bytes_survive_as_text(data: bytes) -> None:
    """Base64url, without padding, in one spelling."""
    encoded = encode_bytes(data)
    assert set(encoded) <= set(string.ascii_letters + string.digits + "-_")
    assert decode_bytes(encoded, len(data)) == data
    assert decode_bytes(encoded, len(data) + 1) is None


def test_other_spellings_of_bytes_are_refused() -> None:
    """Padding, the other alphabet, stray bits and wrong lengths are not bytes."""
    for vector in VECTORS["bytes"]:
        data = decode_bytes(vector["text"], vector["length"])
        assert (None if data is None else data.hex()) == vector["hex"], vector


@given(names, names)
def test_text_that_decodes_is_the_only_spelling(encoded: str, other: str) -> None:
    """Two texts never stand for the same bytes."""
    for length in range(4):
        data = decode_bytes(encoded, length)
        if data is not None and data == decode_bytes(other, length):
            assert encoded == other


def test_sessions_are_ordered_by_id_and_then_by_sid() -> None:
    """Of two sessions one is lower, alike in every language: by ASCII."""
    order = [SessionKey(*key) for key in VECTORS["order"]]
    assert order == sorted(order, key=lambda key: key.id.encode() + key.sid.encode())


def test_signed_bytes_are_as_written() -> None:
    """Context, a zero byte, and each field behind its length."""
    for vector in VECTORS["payloads"]:
        who = SessionKey(vector.get("id", ""), vector.get("sid", ""))
        match vector["context"]:
            case "hello":
                payload = hello_payload(vector["room"], who, vector["key"], vector["body"])
            case "proof":
                payload = proof_payload(vector["nonce"], vector["room"], who)
            case "kicked":
                payload = kicked_payload(vector["room"], vector["body"])
            case _:
                to = SessionKey(vector["toId"], vector["toSid"])
                body, seq = vector["body"], vector["seq"]
                payload = signal_payload(vector["room"], who, to, seq, body)
        assert payload.hex() == vector["hex"]
        context = f"thkmesh-{vector['context']}-v1".encode() + b"\0"
        assert payload.startswith(context)


@given(st.tuples(names, names, names, names), sessions, sessions)
def test_no_two_statements_sign_the_same_bytes(
    texts: tuple[str, str, str, str], who: SessionKey, to: SessionKey
) -> None:
    """Whatever the fields hold, their bytes can be read in one way only."""
    room, body, other, nonce = texts
    statements: set[tuple[object, ...]] = set()
    payloads: set[bytes] = set()
    for first, second in ((room, body), (body, room), (other, nonce)):
        statements.add(("hello", first, who, nonce, second))
        payloads.add(hello_payload(first, who, nonce, second))
        statements.add(("kicked", first, second))
        payloads.add(kicked_payload(first, second))
        statements.add(("proof", first, second, who))
        payloads.add(proof_payload(first, second, who))
        for a, b in ((who, to), (to, who)):
            statements.add(("signal", first, a, b, 1, second))
            payloads.add(signal_payload(first, a, b, 1, second))
    assert len(payloads) == len(statements)


def test_a_session_is_named_by_an_id_and_a_sid() -> None:
    """The parts are the fields."""
    key = SessionKey("a" * 26, "0" * 16)
    assert (is_id(key.id), is_sid(key.sid), is_room(key.id)) == (True, True, True)
