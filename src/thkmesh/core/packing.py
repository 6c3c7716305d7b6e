"""How what an application sends becomes what travels: by the rules of its channel."""

from dataclasses import dataclass
from typing import Final, cast

from thkmesh.core import frames
from thkmesh.core.deflate import deflate
from thkmesh.core.frames import LOSSY_LIMIT_BYTES
from thkmesh.core.latest import KEY_LENGTH, wrap
from thkmesh.errors import InvalidArgument, MessageTooLarge
from thkmesh.events import Data

__all__ = ["PLAIN", "Packed", "Packing"]

Packed = tuple[int, bytes]
"""The kind and the payload of a message."""


@dataclass(frozen=True, slots=True)
class Packing:
    """The rules of one channel.

    Attributes:
        reliable: everything arrives, in order.
        latest: messages are values, each under a key, maybe the empty one.
        lossy: messages need not arrive: each is small, and is not deflated.
        compress: whether to deflate: True bytes too, False nothing; None text and JSON alone.
    """

    reliable: bool = True
    latest: bool = False
    lossy: bool = False
    compress: bool | None = None

    def check_stream(self, key: object = None) -> None:
        """See that a stream may be sent.

        Raises:
            InvalidArgument: not on such a channel.
        """
        if key is not None or not self.reliable:
            raise InvalidArgument(
                "a stream needs a channel that delivers everything in order: open one for it "
                'with delivery="reliable", and give no key'
            )

    def pack(self, data: object, key: object = None) -> Packed:
        """Return the kind and the payload of a message.

        Raises:
            InvalidArgument: the data or the key is none.
            MessageTooLarge: the data is over the limit.
        """
        kind, payload = frames.encode(cast("Data", data))
        if not self.latest:
            if key is not None:
                raise InvalidArgument('only a channel with delivery="latest" has keys')
            if self.lossy:
                return kind, _small(payload)
            return deflate(kind, payload, wanted=self.compress)
        name = _checked(key)
        value = wrap(name, payload)
        small_kind, small = deflate(kind, payload, wanted=self.compress)
        return (kind, value) if small is payload else (small_kind, wrap(name, small))


def _small(payload: bytes) -> bytes:
    """Return what may be sent where messages may be lost."""
    if len(payload) > LOSSY_LIMIT_BYTES:
        limit = f"where messages may be lost, one may have {LOSSY_LIMIT_BYTES}"
        raise MessageTooLarge(f"{len(payload)} bytes; {limit}")
    return payload


PLAIN: Final = Packing()
"""The rules of the room itself."""


def _checked(key: object) -> str:
    """Return the text of a key."""
    if key is None:
        return ""
    if isinstance(key, str) and key:
        return key
    raise InvalidArgument(
        f"a key is text of 1 to {KEY_LENGTH} characters, or None: not {key!r:.80}"
    )
