"""What was signed in a world is true without a look; anything else is looked into."""

from thkmesh.keys import Identity, verify
from thkmesh.testing.notary import KnownIdentity, Notary


def test_a_notary_judges_as_the_arithmetic_does() -> None:
    """Signatures made here and elsewhere, forged, misattributed and malformed."""
    notary = Notary()
    ada, bob = KnownIdentity(bytes(32), notary), KnownIdentity(bytes([1]) * 32, notary)
    stranger = Identity.from_seed(bytes([2]) * 32)
    ours, theirs = ada.sign(b"hello"), stranger.sign(b"hello")
    assert ours == Identity.from_seed(bytes(32)).sign(b"hello")
    for key in (ada.public_key, bob.public_key, stranger.public_key, "x"):
        for signature in (ours, theirs, ours[::-1], ""):
            for payload in (b"hello", b"hallo"):
                truth = verify(key, signature, payload)
                assert notary.verify(key, signature, payload) is truth
                assert bob.verify(key, signature, payload) is truth
    assert notary.verify(ada.public_key, ours, b"hello")
    assert notary.verify(stranger.public_key, theirs, b"hello")


def test_a_notary_forgets_and_is_right_all_the_same() -> None:
    """It remembers some thousands of signatures; of older ones it computes the truth."""
    notary = Notary()
    ada = KnownIdentity(bytes(32), notary)
    first = ada.sign(b"first")
    for number in range(5000):
        notary.note("key", str(number), b"")
    assert notary.verify(ada.public_key, first, b"first")
    assert not notary.verify(ada.public_key, first, b"second")
