"""The laws of an outbox: a shallow engine, small ones together, and a fresh start each time."""

import itertools

from thkmesh.core.frames import (
    BROADCAST,
    DIRECT,
    Begin,
    Fragment,
    Kind,
    Skip,
    datagram,
    parse,
)
from thkmesh.core.sending import BATCH_BYTES, WINDOW_BYTES, Outbox
from thkmesh.core.streams import Log

BYTES = Kind.BYTES


class Sender:
    """An outbox, its logs, and what came out."""

    def __init__(self) -> None:
        """Begin empty."""
        order = itertools.count()
        self.log = Log(order)
        self.outbox = Outbox(self.log, order)

    def send(self, payload: bytes, *, direct: bool = False) -> None:
        """Put a message into one of the logs."""
        (self.outbox.direct_log if direct else self.log).append(BYTES, payload)

    def taken(self) -> list[list[Fragment]]:
        """Return what is handed on now, by datagram."""
        datagrams = [list(parse(each)) for each in self.outbox.take()]
        return [[frame for frame in each if isinstance(frame, Fragment)] for each in datagrams]


def test_the_engine_is_not_given_more_than_a_window() -> None:
    """Until it has sent some, nothing more is handed on; each large fragment on its own."""
    sender = Sender()
    sender.outbox.begin({})
    for _ in range(40):
        sender.send(bytes(60_000))
    first = sender.taken()
    assert [len(each) for each in first] == [1] * len(first)
    assert WINDOW_BYTES <= sum(60_000 + 71 for _ in first) < WINDOW_BYTES + 61_000
    assert sender.taken() == []
    states = [(sender.outbox.must_measure, sender.outbox.waiting)]
    assert sender.outbox.waiting_bytes == (40 - len(first)) * 60_064
    sender.outbox.measured(WINDOW_BYTES - 1)
    assert len(sender.taken()) == 1
    for _ in range(2):
        sender.outbox.measured(0)
        sender.taken()
    states.append((sender.outbox.must_measure, sender.outbox.waiting))
    assert states == [(True, True), (False, False)]


def test_small_ones_share_a_datagram_in_the_order_of_sending() -> None:
    """Of both streams, up to a limit."""
    sender = Sender()
    sender.outbox.begin({})
    for number in range(1000):
        sender.send(bytes([number % 256]) * 100, direct=number % 3 == 0)
    datagrams = sender.taken()
    assert len(datagrams) < 10
    fragments = [fragment for each in datagrams for fragment in each]
    assert [each.payload[0] for each in fragments] == [number % 256 for number in range(1000)]
    assert {each.stream for each in fragments} == {BROADCAST, DIRECT}
    sizes = [len(datagram(*each)) for each in datagrams]
    assert max(sizes) <= BATCH_BYTES + 16


def test_a_first_connection_is_used_at_once() -> None:
    """The other side has nothing, so nothing need be asked."""
    sender = Sender()
    sender.send(b"hello")
    assert sender.outbox.begin({7: 1}).begins == {0: Begin(0, 0), 1: Begin(0, 0)}
    assert [len(each) for each in sender.taken()] == [1]
    assert sender.outbox.resume({}) == []
    assert sender.taken() == []


def test_another_connection_goes_on_where_the_other_side_is() -> None:
    """It waits until that is known, then sends what is missing, and only that."""
    sender = Sender()
    sender.outbox.begin({})
    for number in range(5):
        sender.send(bytes([number]))
        sender.send(bytes([number]), direct=True)
    sender.taken()
    sender.outbox.begin({})
    sender.send(b"new")
    assert sender.taken() == []
    assert sender.outbox.resume({BROADCAST: 3}) == []
    [fragments] = sender.taken()
    numbers = [(each.stream, each.number) for each in fragments]
    assert sorted(numbers) == [(0, 3), (0, 4), (0, 5), *((1, number) for number in range(5))]
    assert sender.outbox.unacknowledged == 3 + 5
    sender.outbox.acknowledge({BROADCAST: 6, DIRECT: 5})
    assert sender.outbox.unacknowledged == 0


def test_who_lags_is_cut_loose_from_broadcasts_alone() -> None:
    """It is told at once where that is possible, and at the next connection where not."""
    sender = Sender()
    lagging = [sender.outbox.lagging]
    sender.send(b"to all")
    sender.send(b"to one", direct=True)
    lagging.append(sender.outbox.lagging)
    assert lagging == [False, True]
    skip = Skip(BROADCAST, Begin(1, 1))
    assert sender.outbox.cut_loose() == (1, skip)
    sender.outbox.begin({})
    assert sender.taken() == []
    assert sender.outbox.cut_loose() == (0, None)
    assert sender.outbox.resume({}) == [skip]
    assert [[each.payload for each in one] for one in sender.taken()] == [[b"to one"]]


def test_who_was_given_up_and_returns_is_told_what_it_missed() -> None:
    """Numbers go on; what was sent meanwhile is skipped."""
    sender = Sender()
    sender.outbox.begin({})
    sender.send(b"before")
    sender.taken()
    sender.outbox.close()
    sender.send(b"meanwhile")
    assert sender.log.begin == Begin(2, 2)
    sender.outbox.again()
    assert sender.outbox.begin({}).begins == {0: Begin(2, 2), 1: Begin(0, 0)}
    skips = sender.outbox.resume({BROADCAST: 1})
    assert Skip(BROADCAST, Begin(2, 2)) in skips
    sender.send(b"after")
    assert [[each.number for each in one] for one in sender.taken()] == [[2]]
