"""Stories for the vectors of the session: messages sent piece by piece."""

from collections.abc import Callable

from tests.core.session_channel_tales import opened
from tests.core.session_stories import ADA, CAT, START, Story, acked, key
from tests.core.session_traces import Recorder
from thkmesh.core import engine, frames
from thkmesh.core import link_events as link
from thkmesh.core.channels import Delivery, Priority, Rule
from thkmesh.core.pieces import PIECE_BYTES, TRANSFER_LIMIT, Ending, Piece, write
from thkmesh.core.session import PATIENCE
from thkmesh.core.session_events import (
    AbortTransfer,
    Cancel,
    CloseChannel,
    Flush,
    Leave,
    OpenChannel,
    SendPiece,
)
from thkmesh.core.streams import PIECES_BYTES
from thkmesh.peer import Peer

__all__ = ["TALES"]


def _sent(
    story: Story,
    token: int,
    transfer: int,
    payload: bytes = b"piece",
    *,
    to: Peer | None = None,
    last: bool = False,
    channel: str = "",
) -> None:
    """Let the application send a piece."""
    story.tell(SendPiece(token, key(to) if to else None, transfer, payload, last, channel))


def _piece(
    number: int,
    transfer: int,
    payload: bytes = b"piece",
    ending: Ending = Ending.GOES_ON,
    size: int = 0,
    *,
    stream: int = 0,
) -> frames.Fragment:
    """Return the fragment of a piece."""
    last = ending is not Ending.GOES_ON
    said = write(Piece(transfer, ending, size, payload))
    return frames.Fragment(stream, number, frames.Kind.PIECE, last=last, payload=said)


def _outward(recorder: Recorder) -> None:
    """Transfers to everybody and to one interleave with each other and with messages."""
    story = Story(recorder)
    story.enter(ADA, CAT)
    story.connect(ADA, CAT)
    _sent(story, 1, 1)
    _sent(story, 2, 2, to=ADA)
    story.send(3)
    _sent(story, 4, 1, b"more")
    _sent(story, 5, 3, b"at once", last=True)
    _sent(story, 5, 4, bytes(PIECE_BYTES), to=CAT)
    _sent(story, 5, 4, bytes(PIECE_BYTES), to=CAT, last=True)
    _sent(story, 6, 2, b"", last=True, to=ADA)
    story.tell(Flush(7, ""))
    story.tell(AbortTransfer(1))
    story.tell(AbortTransfer(1))
    story.tell(AbortTransfer(9))
    story.frames(ADA, acked({0: 5, 1: 2}))
    story.frames(CAT, acked({0: 5}))
    for transfer in range(TRANSFER_LIMIT + 1):
        _sent(story, transfer, 100 + transfer)
    _sent(story, 8, 100, last=True)
    _sent(story, 9, 200)
    _sent(story, 10, 201, to=CAT)
    story.left(CAT, "timeout")
    _sent(story, 11, 201, to=CAT, last=True)
    story.tell(AbortTransfer(201))
    story.tell(Leave(1.0))
    _sent(story, 12, 101)
    story.tell(AbortTransfer(101))
    story.run(2.0)
    _sent(story, 13, 102)


def _waited_for(recorder: Recorder) -> None:
    """A piece waits for room, can be cancelled, and who is cut loose loses what is under way."""
    story = Story(recorder)
    story.enter(ADA, CAT)
    story.connect(ADA, CAT)
    _sent(story, 1, 1)
    story.fill(2, None)
    _sent(story, 4, 1, b"waits")
    _sent(story, 5, 2, b"waits too")
    story.tell(Cancel(5))
    story.tell(AbortTransfer(2))
    story.frames(CAT, acked({0: 1000}))
    story.run(PATIENCE)
    _sent(story, 6, 1, last=True)
    story.left(ADA, "timeout")
    _sent(story, 7, 3)
    story.left(CAT, "timeout")


def _passed(recorder: Recorder) -> None:
    """Pieces wait sooner than messages, which pass them, as does a flush."""
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    story.send(1, data=bytes(PIECES_BYTES - 100))
    _sent(story, 2, 1)
    _sent(story, 3, 1)
    _sent(story, 4, 2)
    story.send(5)
    story.tell(Flush(6, ""))
    _sent(story, 7, 3, to=ADA)
    story.send(8, data=bytes(7 * 1024 * 1024))
    story.send(9, data=bytes(7 * 1024 * 1024))
    story.send(10)
    _sent(story, 11, 4)
    story.tell(Flush(12, ""))
    story.run(PATIENCE)


def _not_as_a_whole(recorder: Recorder) -> None:
    """To one who did not listen meanwhile, or was away, the rest is not sent."""
    story = Story(recorder)
    story.enter(ADA)
    opened(story, "x", listen=False)
    story.connect(ADA)
    story.frames(ADA, frames.Listen(("x",), 1))
    _sent(story, 1, 1, to=ADA, channel="x")
    story.frames(ADA, frames.Listen((), 2))
    _sent(story, 2, 1, to=ADA, channel="x")
    story.frames(ADA, frames.Listen(("x",), 3))
    _sent(story, 3, 1, to=ADA, channel="x")
    _sent(story, 4, 2, to=ADA)
    story.engine(ADA, engine.ChannelClosed(engine.CONTROL))
    story.left(ADA, "timeout")
    story.introduce(ADA)
    _sent(story, 5, 2, to=ADA)
    story.tell(AbortTransfer(2))


def _inward(recorder: Recorder) -> None:
    """Pieces are handed on as they come, and what was read is granted again."""
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    story.frames(ADA, _piece(0, 0), _piece(1, 1, b"other"), _piece(2, 0, b"more"))
    story.message(ADA, 3, "between")
    story.frames(ADA, _piece(4, 0, b"", Ending.WHOLE, 9), _piece(5, 1, b"", Ending.ABORTED, 5))
    story.frames(ADA, _piece(6, 6, b"at once", Ending.WHOLE, 7))
    story.frames(ADA, _piece(7, 7, b"short", Ending.WHOLE, 6), _piece(8, 7, b"ended long ago"))
    story.link(ADA, link.Read(0, 1000))
    story.run(1.0)
    story.frames(ADA, _piece(9, 9), frames.Skip(0, frames.Begin(20, 9, 2000)), _piece(20, 9))
    story.frames(ADA, _piece(21, 15, b"began in the gap"), _piece(22, 15, b"", Ending.WHOLE, 9))
    story.frames(ADA, _piece(23, 16, b"", Ending.ABORTED, 9), _piece(24, 24))
    story.frames(ADA, frames.Skip(0, frames.Begin(30, 30, 4000)), _piece(30, 17, b"", Ending.WHOLE))
    story.frames(ADA, frames.Skip(1, frames.Begin(3, 3, 900)), _piece(3, 1, b"x", stream=1))
    story.frames(ADA, _piece(31, 31), frames.Bye(), _piece(32, 31))
    story.run(5.0)


def _unheard(recorder: Recorder) -> None:
    """On a channel that is closed all transfers break; so they do when it begins anew."""
    begin = frames.Begin(9, 9, 900)
    story = Story(recorder)
    story.enter(ADA)
    opened(story, "x")
    story.connect(ADA)
    story.frames(ADA, frames.Name(1, 0, "x", START, START), _piece(0, 0, stream=2))
    story.tell(CloseChannel("x"))
    story.frames(ADA, _piece(1, 0, stream=2))
    opened(story, "x")
    story.frames(ADA, _piece(2, 0, stream=2), _piece(3, 3, stream=2))
    story.frames(ADA, frames.Name(1, 0, "x", begin, START), _piece(9, 9, stream=2))
    story.left(ADA, "timeout")


def _nonsense(recorder: Recorder) -> None:
    """What makes no sense ends the connection."""
    malformed = (b"", b"\x00", b"\x00\x03", b"\x00\x01", b"\x05\x00", b"\x80")
    for payload in malformed:
        story = Story(recorder)
        story.enter(ADA)
        story.connect(ADA)
        story.frames(ADA, frames.Fragment(0, 0, 3, last=False, payload=payload))
    for said in (
        frames.Fragment(0, 0, 3, last=True, payload=b"\x00\x01"),
        frames.Fragment(0, 0, 3, last=True, payload=b"\x00\x00\x00"),
        frames.Fragment(0, 0, 1, last=False, payload=b"half"),
    ):
        story = Story(recorder)
        story.enter(ADA)
        story.connect(ADA)
        story.frames(ADA, said, _piece(1, 1))
    story = Story(recorder)
    story.enter(ADA)
    story.connect(ADA)
    story.frames(ADA, *(_piece(number, number, b"") for number in range(TRANSFER_LIMIT + 1)))


def _not_reliable(recorder: Recorder) -> None:
    """There are no transfers on channels that promise something else."""
    for rule, delivery in ((Rule.UNORDERED, Delivery.UNORDERED), (Rule.LATEST, Delivery.LATEST)):
        story = Story(recorder)
        story.enter(ADA)
        story.tell(OpenChannel("x", delivery, Priority.NORMAL, listen=True))
        story.connect(ADA)
        story.frames(ADA, frames.Listen(("x",)))
        for to in (None, ADA):
            _sent(story, 1, 7, to=to, last=True, channel="x")
        story.frames(ADA, frames.Name(1, rule, "x", START, START))
        story.frames(ADA, _piece(0, 0, ending=Ending.WHOLE, size=5, stream=2))
        story.run(1.0)


TALES: tuple[Callable[[Recorder], None], ...] = (
    _outward,
    _waited_for,
    _passed,
    _not_as_a_whole,
    _inward,
    _unheard,
    _nonsense,
    _not_reliable,
)
