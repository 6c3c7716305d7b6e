"""The laws of sealing: only the two can read, nothing is taken twice, nothing changed."""

from collections.abc import Callable

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
        if number % 2:
            ada.forget(BOB)
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


@pytest.mark.parametrize("leave", [Sealer.forget, lambda sealer, _: sealer.keep({CEM})])
def test_what_was_taken_stays_refused_when_its_sender_has_been_away(
    leave: Callable[[Sealer, SessionKey], None],
) -> None:
    """Whoever else came meanwhile; without keys nothing opens, with them again only news."""
    ada, bob, _ = sealers()
    old, news = (passed_on(ada.seal(BOB, data)) for data in (b"old", b"news"))
    assert bob.open(old) == (ADA, b"old")
    leave(bob, ADA)
    assert bob.seal(ADA, b"gone") is None
    with pytest.raises(InvalidSignature):
        bob.open(news)
    for number in range(1100):
        bob.agree(SessionKey("d" * 26, f"{number:016x}"), ada.public_key)
    assert bob.agree(ADA, ada.public_key)
    with pytest.raises(InvalidMessage):
        bob.open(old)
    assert bob.open(news) == (ADA, b"news")


def test_who_is_here_is_not_forgotten_for_others() -> None:
    """Too many are refused instead, until somebody goes from whom nothing came."""
    ada, bob = Sealer(ROOM, ADA), Sealer(ROOM, BOB, remembered=3)
    assert ada.agree(BOB, bob.public_key)
    assert bob.agree(ADA, ada.public_key)
    others = [SessionKey("d" * 26, f"{number:016x}") for number in range(4)]
    assert [bob.agree(each, ada.public_key) for each in others] == [True, True, False, False]
    assert bob.open(passed_on(ada.seal(BOB, b"here"))) == (ADA, b"here")
    bob.forget(ADA)
    assert not bob.agree(others[2], ada.public_key)
    assert bob.agree(ADA, ada.public_key)
    bob.forget(others[0])
    assert bob.agree(others[2], ada.public_key)
    assert not bob.agree(others[3], ada.public_key)


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
