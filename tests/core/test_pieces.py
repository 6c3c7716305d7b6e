"""The laws of transfers: every piece once, nothing silently short, never too many."""

import pytest

from thkmesh.core.channels import Channels
from thkmesh.core.credit import READ_BYTES, WINDOW_BYTES, Budget
from thkmesh.core.frames import FRAGMENT_BYTES, OVERHEAD_BYTES, Begin, Fragment, Kind, Name, Skip
from thkmesh.core.link_events import PieceArrived
from thkmesh.core.pieces import (
    PIECE_BYTES,
    TRANSFER_LIMIT,
    Ending,
    IncomingTransfers,
    Piece,
    read,
    write,
)
from thkmesh.core.receiving import Inbox
from thkmesh.core.streams import Log
from thkmesh.errors import InvalidMessage

START = Begin(0, 0, 0)


def fragment(
    number: int,
    transfer: int,
    payload: bytes = b"piece",
    ending: Ending = Ending.GOES_ON,
    size: int = 0,
) -> Fragment:
    """Return the fragment of a piece."""
    last = ending is not Ending.GOES_ON
    said = write(Piece(transfer, ending, size, payload))
    return Fragment(0, number, Kind.PIECE, last=last, payload=said)


def taken(pieces: list[Piece | None]) -> list[tuple[int, Ending, bytes] | None]:
    """Return what is known of pieces."""
    return [(each.transfer, each.ending, each.payload) if each else None for each in pieces]


@pytest.mark.parametrize("number", [0, 127, 128, 2**53 - 1])
@pytest.mark.parametrize("ending", [Ending.GOES_ON, Ending.WHOLE, Ending.ABORTED])
def test_a_piece_is_read_as_it_was_written(number: int, ending: Ending) -> None:
    """Whatever its numbers, and one of full size is one fragment."""
    size = 0 if ending is Ending.GOES_ON else number
    for payload in (b"", b"x", bytes(PIECE_BYTES)):
        made = fragment(number, number, payload, ending, size)
        assert len(made.payload) <= FRAGMENT_BYTES
        assert read(made) == Piece(number, ending, size, payload)


@pytest.mark.parametrize(
    ("payload", "last"),
    [
        (b"", False),
        (b"\x80", False),
        (b"\x00", False),
        (b"\x00\x01", False),
        (b"\x00\x03", False),
        (b"\x00\x00\x00", True),
        (b"\x00\x01", True),
        (b"\x00\x04\x00", True),
        (b"\x06\x00", False),
    ],
)
def test_malformed_pieces_are_refused(payload: bytes, last: bool) -> None:
    """Cut off, of an unknown ending, or of a transfer that has not begun."""
    with pytest.raises(InvalidMessage):
        read(Fragment(0, 5, Kind.PIECE, last=last, payload=payload))


def test_transfers_interleave_and_end() -> None:
    """Each by itself; what goes on after its end is of none."""
    known = IncomingTransfers()
    said = [
        fragment(3, 3, b"a"),
        fragment(4, 4, b"b"),
        fragment(5, 3, b"cd", Ending.WHOLE, 3),
        fragment(6, 4, b"", Ending.ABORTED, 1),
        fragment(7, 3, b"more"),
        fragment(8, 8, b"", Ending.WHOLE),
    ]
    assert taken([known.take(each) for each in said]) == [
        (3, Ending.GOES_ON, b"a"),
        (4, Ending.GOES_ON, b"b"),
        (3, Ending.WHOLE, b"cd"),
        (4, Ending.ABORTED, b""),
        None,
        (8, Ending.WHOLE, b""),
    ]


def test_a_transfer_of_another_length_is_broken() -> None:
    """Whatever its pieces say: never silently short, nor long."""
    for size in (0, 4, 6):
        known = IncomingTransfers()
        known.take(fragment(0, 0))
        assert known.take(fragment(1, 0, b"", Ending.WHOLE, size)) == Piece(
            0, Ending.BROKEN, 0, b""
        )


def test_so_many_at_once_and_no_more() -> None:
    """One that has ended makes place."""
    known = IncomingTransfers()
    for number in range(TRANSFER_LIMIT):
        known.take(fragment(number, number, b""))
    known.take(fragment(100, 100, b"", Ending.WHOLE))
    with pytest.raises(InvalidMessage):
        known.take(fragment(101, 101))
    known.take(fragment(102, 0, b"", Ending.WHOLE))
    known.take(fragment(103, 103))


def test_a_gap_breaks_what_is_under_way_and_what_began_in_it_is_missed() -> None:
    """What began before it, or was given up, is not; two gaps count as one."""
    known = IncomingTransfers()
    assert not known.break_off()
    known.take(fragment(0, 0))
    assert known.break_off(range(1, 10))
    assert not known.break_off(range(20, 30))
    said = [
        fragment(30, 0, b"", Ending.WHOLE, 5),
        fragment(31, 5),
        fragment(32, 5, b"", Ending.WHOLE, 5),
        fragment(33, 6, b"", Ending.ABORTED, 5),
        fragment(34, 25, b"", Ending.WHOLE, 5),
    ]
    missed = [(5, Ending.MISSED, b""), (25, Ending.MISSED, b"")]
    assert taken([known.take(each) for each in said]) == [None, None, missed[0], None, missed[1]]


# --- with an inbox --------------------------------------------------------------------


def inbox() -> Inbox:
    """Return one that knows the room's own streams."""
    made = Inbox(Channels(), Budget())
    made.name(Name(0, 0, "", START, START), 0.0)
    return made


def granted(made: Inbox) -> int:
    """Return how far the sender of everybody's stream may go."""
    return made.begin()[0].limit


def test_a_piece_is_granted_again_when_it_was_read() -> None:
    """Not when it came; what is of no transfer, or malformed, at once."""
    made = inbox()
    payload = bytes(PIECE_BYTES)
    begin = granted(made)
    arrived = [made.receive(fragment(n, 0, payload), 0.0) for n in range(3)]
    costs = [each.cost for each in arrived if isinstance(each, PieceArrived)]
    assert [each.begins for each in arrived if isinstance(each, PieceArrived)] == [
        True,
        False,
        False,
    ]
    assert sum(costs) > READ_BYTES
    held = granted(made)
    made.read(0, sum(costs), 0.0)
    assert granted(made) - held == sum(costs)
    assert made.skip(Skip(0, Begin(9, 9, sum(costs) + 900)), 0.0) == ("", 9)
    assert made.broken() == [0]
    assert made.broken() == []
    before = granted(made)
    assert made.receive(fragment(9, 0, payload), 0.0) is None
    assert granted(made) == before + len(fragment(9, 0, payload).payload) + OVERHEAD_BYTES
    missed = made.receive(fragment(10, 5, b"", Ending.WHOLE, 9), 0.0)
    assert isinstance(missed, PieceArrived)
    assert missed.ending is Ending.MISSED
    before = granted(made)
    with pytest.raises(InvalidMessage):
        made.receive(Fragment(0, 11, Kind.PIECE, last=False, payload=b""), 0.0)
    assert granted(made) == before + OVERHEAD_BYTES
    assert begin <= WINDOW_BYTES


def test_a_piece_stands_in_no_message() -> None:
    """Between the fragments of one it makes no sense."""
    made = inbox()
    made.receive(Fragment(0, 0, Kind.BYTES, last=False, payload=b"half"), 0.0)
    with pytest.raises(InvalidMessage, match="two kinds"):
        made.receive(fragment(1, 1), 0.0)


def test_a_transfer_counts_as_one_message() -> None:
    """When its last piece is in; before that its recipient counts it as unfinished."""
    log = Log(iter(range(1000)))
    log.append_piece(0, b"x", last=False)
    assert (log.end.number, log.end.messages, log.transfers) == (1, 0, {0})
    log.append_piece(0, b"x", last=True)
    assert (log.end.number, log.end.messages, log.transfers) == (2, 1, set())
