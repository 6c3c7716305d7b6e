"""The laws of sealing: only the two can read, nothing is taken twice, nothing changed."""

import pytest

from tests.sealing_vectors import LOW_ORDER, PATH, ROOM, SESSIONS, sealers, seed_of, text
from thkmesh.core.identity import SessionKey
from thkmesh.errors import InvalidMessage, InvalidSignature
from thkmesh.sealing import Sealer

ADA, BOB, CEM = SESSIONS


def passed_on(frame: bytes | None, source: SessionKey = ADA) -> bytes:
    """Do the server's part."""
    assert frame is not None
    return frame[:1] + f"{source.id}{source.sid}".encode() + frame[43:]


def test_the_vectors_are_up_to_date() -> None:
    """The file in the tree is what ``python -m tests.sealing_vectors`` writes."""
    assert PATH.read_text(encoding="utf-8") == text(), "run: python -m tests.sealing_vectors"


def test_no_nonce_comes_again_whatever_is_forgotten() -> None:
    """One counter serves all pairs, so agreeing anew with somebody repeats none."""
    ada, bob, _ = sealers()
    counters = []
    for number in range(1100):
        frame = ada.seal(BOB, b"x")
        assert frame is not None
        counters.append(frame[43:51])
        ada.agree(SessionKey("d" * 26, f"{number:016x}"), bob.public_key)
        ada.agree(BOB, bob.public_key)
    assert len(set(counters)) == len(counters)


def test_a_frame_is_taken_once_and_never_after_a_later_one() -> None:
    """Replays and what comes late are refused; what follows is taken."""
    ada, bob, _ = sealers()
    first, second, third = (passed_on(ada.seal(BOB, b"%d" % number)) for number in range(3))
    assert bob.open(second) == (ADA, b"1")
    for again in (second, first):
        with pytest.raises(InvalidMessage):
            bob.open(again)
    assert bob.open(third) == (ADA, b"2")


def test_a_forgery_does_not_move_the_counter() -> None:
    """Else one forged frame would shut out all genuine ones."""
    ada, bob, _ = sealers()
    frame = passed_on(ada.seal(BOB, b"genuine"))
    forged = frame[:43] + b"\xff" * 8 + frame[51:]
    with pytest.raises(InvalidSignature):
        bob.open(forged)
    assert bob.open(frame) == (ADA, b"genuine")


def test_every_bit_counts() -> None:
    """No frame with one bit changed opens."""
    ada, bob, _ = sealers()
    frame = passed_on(ada.seal(BOB, b"hello"))
    for at in range(8 * len(frame)):
        changed = bytearray(frame)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises((InvalidMessage, InvalidSignature)):
            bob.open(bytes(changed))
    assert bob.open(frame) == (ADA, b"hello")


@pytest.mark.parametrize("key", ["", "AAAA", "!" * 43, *LOW_ORDER])
def test_a_bad_key_agrees_on_nothing(key: str) -> None:
    """Also not after a good one: the old keys are gone."""
    ada, bob, _ = sealers()
    assert not ada.agree(BOB, key)
    assert ada.seal(BOB, b"x") is None
    assert ada.agree(BOB, bob.public_key)


def test_a_fresh_key_is_drawn_for_each_session() -> None:
    """Two sessions never share one, and a stranger's frame is refused."""
    ada, again = Sealer(ROOM, ADA), Sealer(ROOM, ADA)
    assert ada.public_key != again.public_key
    bob = Sealer(ROOM, BOB, seed_of(1))
    assert ada.seal(BOB, b"x") is None
    ada.agree(BOB, bob.public_key)
    with pytest.raises(InvalidSignature):
        bob.open(passed_on(ada.seal(BOB, b"x")))
    bob.agree(ADA, again.public_key)
    with pytest.raises(InvalidSignature):
        bob.open(passed_on(ada.seal(BOB, b"x")))
    bob.agree(ADA, ada.public_key)
    assert bob.open(passed_on(ada.seal(BOB, b"x"))) == (ADA, b"x")
    assert CEM not in {ADA, BOB}
