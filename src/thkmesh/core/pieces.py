"""Messages of any size, sent piece by piece: *transfers*.

A message is put together before it is handed on, so it has a limit. A transfer has
none: each of its pieces is handed on as it comes. A piece is one fragment of its
stream (see ``streams``), of kind ``PIECE``; so it is numbered, acknowledged, granted and
sent again as any other, and pieces of several transfers and small messages interleave.

::

    stream   17   18   19   20   21   22   23
             A    B    A   text  B    A    B       A is transfer 17, B is 18
             ╰ begins            ends ╯

What a piece says: the number of the fragment with which its transfer began, a byte that
tells whether it goes on (0), is whole now (1), or was given up by its sender (2); with the
last two, how many bytes the transfer has in all; then bytes. The fragment that ends a
transfer has the bit of a message's last fragment, so a transfer counts as one message.

Nothing ends silently short. Whoever was cut loose (``Skip``) has lost what was under way,
and does not know what of it lay in the gap: so all transfers of that stream are broken
then. What goes on of them is thrown away, and also what began before we were owed
anything. One that began in the gap is lost: that is told when its end comes.
"""

from enum import IntEnum
from typing import Final

from msgspec import Struct

from thkmesh.core import varint
from thkmesh.core.frames import FRAGMENT_BYTES, Fragment
from thkmesh.errors import InvalidMessage

__all__ = [
    "HEAD_BYTES",
    "PIECE_BYTES",
    "TRANSFER_LIMIT",
    "Ending",
    "IncomingTransfers",
    "Piece",
    "read",
    "write",
]

HEAD_BYTES: Final = 8 + 1 + 8
"""What stands before the bytes of a piece, at most."""

PIECE_BYTES: Final = FRAGMENT_BYTES - HEAD_BYTES
"""What a piece carries, at most."""

TRANSFER_LIMIT: Final = 64
"""So many transfers of one stream may be under way at once."""


class Ending(IntEnum):
    """How it stands with a transfer after a piece."""

    GOES_ON = 0
    WHOLE = 1
    ABORTED = 2
    """Its sender gave it up."""
    BROKEN = 3
    """It has not the length that its sender said; never on the wire."""
    MISSED = 4
    """It is over, and began where nothing arrived; never on the wire."""


class Piece(Struct, frozen=True, gc=False):
    """A piece of a transfer.

    Attributes:
        transfer: the number of the fragment with which it began.
        ending: how it stands now.
        size: how many bytes the transfer has in all, if this is its last piece; else 0.
    """

    transfer: int
    ending: Ending
    size: int
    payload: bytes


def write(piece: Piece) -> bytes:
    """Return the payload of the fragment that a piece is."""
    head = varint.write(piece.transfer) + bytes((piece.ending,))
    if piece.ending is not Ending.GOES_ON:
        head += varint.write(piece.size)
    return head + piece.payload


def read(fragment: Fragment) -> Piece:
    """Return the piece that a fragment is.

    Raises:
        InvalidMessage: it is malformed.
    """
    payload = fragment.payload
    transfer, at = varint.read(payload, 0)
    ending = payload[at] if at < len(payload) else Ending.BROKEN
    if ending > Ending.ABORTED or (ending > Ending.GOES_ON) is not fragment.last:
        raise InvalidMessage("a malformed piece of a transfer")
    if transfer > fragment.number:
        raise InvalidMessage(f"a piece of the transfer {transfer}, which has not begun")
    size, at = varint.read(payload, at + 1) if fragment.last else (0, at + 1)
    return Piece(transfer, Ending(ending), size, payload[at:])


class IncomingTransfers:
    """The transfers of one stream that have begun to arrive, and have not ended."""

    def __init__(self) -> None:
        """Know of none."""
        self._sizes: dict[int, int] = {}
        self._gap = range(0)

    def take(self, fragment: Fragment) -> Piece | None:
        """Return the piece that a fragment is; None where it is of no transfer that counts.

        Raises:
            InvalidMessage: it is malformed, or too many are under way.
        """
        piece = read(fragment)
        size = 0 if piece.transfer == fragment.number else self._sizes.pop(piece.transfer, None)
        if size is None:
            missed = piece.ending is Ending.WHOLE and piece.transfer in self._gap
            return Piece(piece.transfer, Ending.MISSED, 0, b"") if missed else None
        size += len(piece.payload)
        if piece.ending is Ending.GOES_ON:
            if len(self._sizes) == TRANSFER_LIMIT:
                raise InvalidMessage(f"more than {TRANSFER_LIMIT} transfers at once")
            self._sizes[piece.transfer] = size
        elif piece.ending is Ending.WHOLE and piece.size != size:
            return Piece(piece.transfer, Ending.BROKEN, 0, b"")
        return piece

    def break_off(self, gap: range = range(0)) -> bool:
        """Expect nothing more of any; tell whether there were some.

        Args:
            gap: the numbers of fragments that are lost.
        """
        if gap:
            self._gap = range(self._gap.start if self._gap else gap.start, gap.stop)
        broken = bool(self._sizes)
        self._sizes.clear()
        return broken
