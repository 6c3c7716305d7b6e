"""X25519, HKDF and AES-GCM: the one place that seals what goes through the server."""

from collections.abc import Collection

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from thkmesh.core.identity import SessionKey, decode_bytes, encode_bytes
from thkmesh.core.sealed import additional_data, addressed, addressee, key_info, nonce
from thkmesh.errors import InvalidMessage, InvalidSignature

__all__ = ["Sealer"]

_KEY_BYTES = 32
_COUNTER_BYTES = 8

REMEMBERED = 8192
"""With no more sessions than this are keys agreed, those that are gone and have sent us
anything included: to forget one of them would let its frames open a second time."""


class _Pair:
    """The two keys shared with one session."""

    def __init__(self, public_key: str, seal: bytes, open_: bytes) -> None:
        self.public_key = public_key
        self.seal = AESGCM(seal)
        self.open = AESGCM(open_)


class Sealer:
    """One session's fresh keys; nothing of them is ever stored.

    Attributes:
        public_key: what our hello shows, base64url.
    """

    def __init__(
        self,
        room: str,
        me: SessionKey,
        seed: bytes | None = None,
        *,
        remembered: int = REMEMBERED,
    ) -> None:
        """Draw a key, or make it of a 32-byte ``seed`` where all must be repeatable."""
        self._room = room
        self._me = me
        self._remembered = remembered
        self._private = (
            X25519PrivateKey.generate()
            if seed is None
            else X25519PrivateKey.from_private_bytes(seed)
        )
        self.public_key = encode_bytes(self._private.public_key().public_bytes_raw())
        self._pairs: dict[SessionKey, _Pair] = {}
        # The highest counter that came from each session with each key, whether it is here or not.
        self._last: dict[tuple[SessionKey, str], int] = {}
        # One counter for all: even if a pair is forgotten, no nonce of it comes again.
        self._counter = 0

    def agree(self, peer: SessionKey, public_key: str) -> bool:
        """Agree on keys with a session.

        Returns:
            False if it has shown no key, or a bad one, or there have been too many.
        """
        known = self._pairs.get(peer)
        if known is not None and known.public_key == public_key:
            return True
        self.forget(peer)
        raw = decode_bytes(public_key, _KEY_BYTES)
        full = len(self._last) >= self._remembered and (peer, public_key) not in self._last
        if raw is None or full:
            return False
        try:
            secret = self._private.exchange(X25519PublicKey.from_public_bytes(raw))
        except ValueError:  # of low order: the secret would be known to everybody
            return False
        mine = (self._me, self.public_key)
        other = (peer, public_key)
        seal = _derived(secret, key_info(self._room, *mine, *other))
        open_ = _derived(secret, key_info(self._room, *other, *mine))
        self._pairs[peer] = _Pair(public_key, seal, open_)
        self._last.setdefault((peer, public_key), -1)
        return True

    def forget(self, peer: SessionKey) -> None:
        """Drop the keys of a session that is gone; what it has sent stays refused."""
        pair = self._pairs.pop(peer, None)
        if pair is not None and self._last[peer, pair.public_key] < 0:
            del self._last[peer, pair.public_key]

    def keep(self, peers: Collection[SessionKey]) -> None:
        """Drop the keys of all but these."""
        for peer in [each for each in self._pairs if each not in peers]:
            self.forget(peer)

    def seal(self, to: SessionKey, datagram: bytes) -> bytes | None:
        """Return a frame for the server to pass on; None without keys."""
        pair = self._pairs.get(to)
        if pair is None:
            return None
        counter = self._counter.to_bytes(_COUNTER_BYTES, "big")
        self._counter += 1
        data = additional_data(self._room, self._me, to)
        return addressed(to, counter + pair.seal.encrypt(nonce(counter), datagram, data))

    def open(self, frame: bytes) -> tuple[SessionKey, bytes]:
        """Return who sealed a frame, and what.

        Raises:
            InvalidMessage: it is malformed, or was here before.
            InvalidSignature: it was not sealed by the session that it names.
        """
        source, rest = addressee(frame)
        counter, ciphertext = rest[:_COUNTER_BYTES], rest[_COUNTER_BYTES:]
        pair = self._pairs.get(source)
        if pair is None:
            raise InvalidSignature(f"a sealed frame from {source.id!r}, without keys")
        data = additional_data(self._room, source, self._me)
        try:
            datagram = pair.open.decrypt(nonce(counter), ciphertext, data)
        except InvalidTag:
            text = f"a sealed frame from {source.id!r} was changed on its way"
            raise InvalidSignature(text) from None
        number = int.from_bytes(counter, "big")
        if number <= self._last[source, pair.public_key]:
            raise InvalidMessage(f"a sealed frame from {source.id!r} came again")
        self._last[source, pair.public_key] = number
        return source, datagram


def _derived(secret: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, None, info).derive(secret)
