"""The keys of rooms: what the server signs with who is removed.

A room's key is an Ed25519 key, made of the server's secret and the room's name by HKDF (RFC
5869). Nothing is stored, and all processes with the same secret have the same key.
"""

from collections import OrderedDict
from typing import Final

from thkmesh.core.identity import kicked_payload, signed_fields
from thkmesh.core.secret import derived_key
from thkmesh.core.wire import Expulsion, Kicked, encode_body
from thkmesh.keys import Identity

__all__ = ["RoomKeys"]

_REMEMBERED: Final = 1024


class RoomKeys:
    """Those of all rooms of a server."""

    def __init__(self, secret: bytes) -> None:
        """Make them of a secret."""
        self._secret = secret
        self._keys: OrderedDict[str, Identity] = OrderedDict()

    def _key(self, room: str) -> Identity:
        key = self._keys.get(room)
        if key is None:
            info = signed_fields(b"thkmesh-room-key-v1", room)
            key = self._keys[room] = Identity.from_seed(derived_key(self._secret, info))
            if len(self._keys) > _REMEMBERED:
                self._keys.popitem(last=False)
        return key

    def public_key(self, room: str) -> str:
        """Return the public half of a room's key, base64url."""
        return self._key(room).public_key

    def statement(self, room: str, user_id: str, at: int, until: int, why: str) -> Kicked:
        """Return the message that a peer is removed; the times in milliseconds since 1970."""
        body = encode_body(Expulsion(user_id, at, until, why))
        return Kicked(room, body, self._key(room).sign(kicked_payload(room, body)))
