"""Ed25519 keys: deterministic, unforgeable, kept in files of mode 0600."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.core.identity_vectors import PATH
from thkmesh.core.identity import ID_LENGTH, is_id
from thkmesh.errors import InvalidArgument
from thkmesh.keys import Identity, verify

VECTORS: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))


def test_signatures_are_those_of_the_vectors() -> None:
    """From a seed follow the key, the id and every signature (RFC 8032)."""
    for vector in VECTORS["signatures"]:
        identity = Identity.from_seed(bytes.fromhex(vector["seed"]))
        payload = bytes.fromhex(vector["payload"])
        assert (identity.public_key, identity.id) == (vector["key"], vector["id"])
        assert identity.sign(payload) == vector["signature"]
        assert verify(vector["key"], vector["signature"], payload)


def test_the_first_vector_is_that_of_the_standard() -> None:
    """RFC 8032, section 7.1, test 1."""
    vector = VECTORS["signatures"][0]
    identity = Identity.from_seed(bytes.fromhex(vector["seed"]))
    assert identity.public_key == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert identity.sign(b"").startswith("5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVf")


@pytest.mark.parametrize("forgery", VECTORS["forgeries"], ids=lambda forgery: forgery["why"])
def test_forgeries_do_not_verify(forgery: dict[str, str]) -> None:
    """Whatever is wrong, the answer is no, and never an exception."""
    payload = bytes.fromhex(forgery["payload"])
    assert not verify(forgery["key"], forgery["signature"], payload)


def test_identities_are_fresh() -> None:
    """Two of them are never the same."""
    one, other = Identity.generate(), Identity.generate()
    assert one.id != other.id
    assert is_id(one.id)
    assert len(one.id) == ID_LENGTH


def test_a_key_file_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    """The first use writes it, mode 0600; every later one reads the same identity."""
    path = tmp_path / "key"
    made = Identity.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Identity.load(path)
    assert again.id == made.id
    assert again.sign(b"x") == made.sign(b"x")


@pytest.mark.parametrize("content", ["", "x" * 43 + "x", "!" * 43, "é"])
def test_a_file_that_is_no_key_is_left_alone(tmp_path: Path, content: str) -> None:
    """The error says which file; nothing is overwritten."""
    path = tmp_path / "notes"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidArgument, match="notes is not a key file"):
        Identity.load(path)
    assert path.read_text(encoding="utf-8") == content
