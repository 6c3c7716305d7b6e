"""How what an application sends becomes what travels: by the rules of its channel."""

from dataclasses import dataclass
from typing import Final

from thkmesh.core import frames
from thkmesh.core.deflate import deflate
from thkmesh.core.latest import KEY_LENGTH, wrap
from thkmesh.errors import InvalidArgument
from thkmesh.events import Data

__all__ = ["PLAIN", "Packed", "Packing"]

Packed = tuple[int, bytes]
"""The kind and the payload of a message."""


@dataclass(frozen=True, slots=True)
class Packing:
    """The rules of one channel.

    Attributes:
        latest: messages are values, each under a key, maybe the empty one.
        compress: whether to deflate: True bytes too, False nothing; None text and JSON alone.
    """

    latest: bool = False
    compress: bool | None = None

    def pack(self, data: "Data | bytearray | memoryview", key: object = None) -> Packed:
        """Return the kind and the payload of a message.

        Raises:
            InvalidArgument: the data or the key is none.
            MessageTooLarge: the data is over the limit.
        """
        kind, payload = frames.encode(data)
        if not self.latest:
            if key is not None:
                raise InvalidArgument('only a channel with delivery="latest" has keys')
            return deflate(kind, payload, wanted=self.compress)
        name = _checked(key)
        value = wrap(name, payload)
        small_kind, small = deflate(kind, payload, wanted=self.compress)
        return (kind, value) if small is payload else (small_kind, wrap(name, small))


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
