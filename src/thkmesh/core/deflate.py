"""Messages that travel smaller than they are: raw deflate (RFC 1951), one message at a time.

A message is deflated where that pays: text and JSON above ``THRESHOLD_BYTES``, bytes
only where the application said so, and only if an eighth at least is saved. Of a large
one a beginning is tried first: what does not shrink, images say, costs no more than that.
It is done once, before a message goes to a log, for however many are to have it.

What it expands to is the sender's word, and may be a thousand times as much. So it is
expanded no sooner than the application takes it: until then it lies here, and counts, as
it came. And it is expanded to no more than a message may have.
"""

import zlib
from typing import Final

import msgspec

from thkmesh.core.frames import DEFLATED, MESSAGE_LIMIT_BYTES, Kind, content
from thkmesh.errors import InvalidMessage
from thkmesh.events import Data

__all__ = ["PROBE_BYTES", "THRESHOLD_BYTES", "Deflated", "deflate"]

THRESHOLD_BYTES: Final = 1024
"""What is no larger is sent as it is."""

PROBE_BYTES: Final = 4096
"""So much of a large message is tried first."""

_LEVEL: Final = 1
"""The least effort: half the time of the usual, for a tenth more to send."""

_RAW: Final = -zlib.MAX_WBITS


def deflate(kind: int, payload: bytes, *, wanted: bool | None = None) -> tuple[int, bytes]:
    """Return the kind and the payload as they travel.

    Args:
        kind: of ``payload``.
        payload: what the message says.
        wanted: True deflates bytes too, False nothing; None text and JSON alone.
    """
    if wanted is False or len(payload) <= THRESHOLD_BYTES:
        return kind, payload
    if wanted is None and kind == Kind.BYTES:
        return kind, payload
    if len(payload) > 2 * PROBE_BYTES:
        beginning = payload[:PROBE_BYTES]
        if not _pays(_deflated(beginning), beginning):
            return kind, payload
    small = _deflated(payload)
    return (kind | DEFLATED, small) if _pays(small, payload) else (kind, payload)


def _deflated(payload: bytes) -> bytes:
    engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    return engine.compress(payload) + engine.flush()


def _pays(small: bytes, payload: bytes) -> bool:
    return len(small) * 8 < len(payload) * 7


class Deflated(msgspec.Struct, frozen=True, gc=False):
    """What a message says, as it came; for ``data`` of a message that nobody has taken yet."""

    kind: int
    payload: bytes

    def expand(self) -> Data:
        """Return what it says.

        Raises:
            InvalidMessage: it is malformed, or more than a message may have.
        """
        engine = zlib.decompressobj(_RAW)
        try:
            payload = engine.decompress(self.payload, MESSAGE_LIMIT_BYTES + 1)
        except zlib.error as error:
            raise InvalidMessage(f"a malformed message, not deflated: {error}") from None
        if len(payload) > MESSAGE_LIMIT_BYTES:
            raise InvalidMessage(f"a message of over {MESSAGE_LIMIT_BYTES} bytes")
        if not engine.eof or engine.unused_data:
            raise InvalidMessage("a malformed message, not deflated as a whole")
        return content(self.kind, payload)
