"""What we send piece by piece; ``pieces`` says what that is."""

from dataclasses import dataclass

from thkmesh.core.identity import SessionKey
from thkmesh.core.pieces import HEAD_BYTES, TRANSFER_LIMIT, Ending, Piece, write
from thkmesh.core.session_events import SendPiece
from thkmesh.core.streams import Log
from thkmesh.errors import MeshError, UnknownPeer, WouldWait

__all__ = ["Begun", "OutgoingTransfers"]


@dataclass(slots=True)
class Begun:
    """A transfer of ours that has begun and not ended."""

    log: Log
    to: SessionKey | None
    number: int
    size: int = 0


class OutgoingTransfers:
    """The transfers of ours that have begun and not ended, by our own numbers for them."""

    def __init__(self) -> None:
        """Have none."""
        self._begun: dict[int, Begun] = {}

    def refusal(self, transfer: int, log: Log, whole_from: int) -> MeshError | None:
        """Return why the next piece of a transfer cannot be sent, None if it can.

        Args:
            transfer: our number for it.
            log: where it goes.
            whole_from: what began before that fragment does not arrive as a whole.
        """
        begun = self._begun.get(transfer)
        if begun is None:
            if len(log.transfers) == TRANSFER_LIMIT:
                return WouldWait(f"{TRANSFER_LIMIT} streams are being sent there already")
        elif begun.number < whole_from:
            return UnknownPeer("the addressee was away, and has missed a part of the stream")
        return None

    def append(self, send: SendPiece, log: Log, fragment_bytes: int) -> None:
        """Put a piece into a log, or several that are no larger; the first begins a transfer."""
        begun = self._begun.get(send.transfer)
        if begun is None:
            begun = self._begun[send.transfer] = Begun(log, send.to, log.next)
        if send.last:
            del self._begun[send.transfer]
        most = fragment_bytes - HEAD_BYTES
        starts = range(0, len(send.payload), most) or range(1)
        for start in starts:
            part = send.payload[start : start + most]
            begun.size += len(part)
            last = send.last and start == starts[-1]
            piece = Piece(begun.number, Ending.WHOLE if last else Ending.GOES_ON, begun.size, part)
            log.append_piece(begun.number, write(piece), last=last)

    def abort(self, transfer: int) -> Begun | None:
        """Give a transfer up; return what was begun of it, None if nothing was."""
        begun = self._begun.pop(transfer, None)
        if begun is None:
            return None
        piece = Piece(begun.number, Ending.ABORTED, begun.size, b"")
        begun.log.append_piece(begun.number, write(piece), last=True)
        return begun
