"""The laws of streams: once, in order, and who misses something knows how much."""

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.frames import (
    BROADCAST,
    FRAGMENT_BYTES,
    MESSAGE_LIMIT_BYTES,
    Begin,
    Fragment,
    Kind,
    datagram,
    parse,
)
from thkmesh.core.streams import LOG_BYTES, Incoming, Log, Outgoing
from thkmesh.errors import InvalidMessage

BYTES = Kind.BYTES


def fragment_of(frame: bytes) -> Fragment:
    """Return what a frame says."""
    [found] = parse(datagram() + frame)
    assert isinstance(found, Fragment)
    return found


def log(*payloads: bytes) -> Log:
    """Return a log of messages."""
    found = Log(itertools.count())
    for payload in payloads:
        found.append(BYTES, payload)
    return found


def arriving(
    number: int, payload: bytes = b"", *, kind: int = BYTES, last: bool = True
) -> Fragment:
    """Return a fragment that comes in."""
    return Fragment(BROADCAST, number, kind, last=last, payload=payload)


# --- the log --------------------------------------------------------------------------


def test_to_nobody_nothing_is_kept() -> None:
    """Messages are numbered, and let go at once."""
    empty = log(b"one", b"two")
    assert empty.begin == empty.end == Begin(2, 2)
    assert empty.bytes_from(2) == 0
    assert empty.has_room


def test_a_log_keeps_what_somebody_lacks() -> None:
    """What all have is let go, in order; each recipient has a place of its own."""
    shared = log()
    ada, bob = Outgoing(BROADCAST, shared), Outgoing(BROADCAST, shared)
    for number in range(4):
        shared.append(BYTES, bytes([number]))
    late = Outgoing(BROADCAST, shared)
    assert late.begin == Begin(4, 4)
    assert not late.waiting
    taken = [fragment_of(ada.take()) for _ in range(4)]
    assert [each.payload for each in taken] == [b"\0", b"\1", b"\2", b"\3"]
    assert not ada.waiting
    ada.acknowledge(3)
    assert shared.begin == Begin(0, 0)
    assert ada.unacknowledged == 1
    assert bob.unacknowledged == 4
    assert (ada.last, bob.last) == (False, True)
    bob.detach()
    assert shared.begin == Begin(3, 3)
    ada.acknowledge(2)
    assert ada.acked == 3


def test_a_full_log_has_no_room() -> None:
    """16 MiB, empty messages count too; there is room again once they are acknowledged."""
    full = log()
    outgoing = Outgoing(BROADCAST, full)
    full.append(BYTES, bytes(MESSAGE_LIMIT_BYTES))
    room = [full.has_room]
    full.append(BYTES, bytes(MESSAGE_LIMIT_BYTES))
    room.append(full.has_room)
    assert outgoing.waiting_bytes == full.bytes_from(0) > LOG_BYTES
    while outgoing.waiting:
        outgoing.take()
    outgoing.acknowledge(outgoing.sent)
    room.append(full.has_room)
    for _ in range(LOG_BYTES // 64):
        full.append(BYTES, b"")
    room.append(full.has_room)
    assert room == [True, False, True, False]


@pytest.mark.parametrize("held", [0, 1, 3, 6, 7])
def test_messages_before_a_place_are_counted(held: int) -> None:
    """Of those that end before it; from whichever end is nearer."""
    found = log()
    Outgoing(BROADCAST, found)
    found.append(BYTES, bytes(3 * FRAGMENT_BYTES))
    for _ in range(4):
        found.append(BYTES, b"")
    assert found.end == Begin(7, 5)
    assert found.messages_before(held) == {0: 0, 1: 0, 3: 1, 6: 4, 7: 5}[held]


# --- fragments --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1, MESSAGE_LIMIT_BYTES])
def test_a_message_of_any_size_is_put_together(size: int) -> None:
    """It is cut into fragments that fit any way, and arrives whole."""
    found = log()
    outgoing = Outgoing(BROADCAST, found)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    found.append(Kind.TEXT, payload)
    incoming = Incoming(outgoing.begin)
    wholes = []
    while outgoing.waiting:
        assert outgoing.next_size() <= FRAGMENT_BYTES
        wholes.append(incoming.receive(fragment_of(outgoing.take())))
    assert len(wholes) == max(1, -(-size // FRAGMENT_BYTES))
    assert wholes[:-1] == [None] * (len(wholes) - 1)
    assert wholes[-1] is not None
    assert (wholes[-1].kind, wholes[-1].payload) == (Kind.TEXT, payload)


def test_what_makes_no_sense_is_refused() -> None:
    """A gap, a message of two kinds, one that is too large, an impossible place."""
    with pytest.raises(InvalidMessage, match="fragment 1 for 0"):
        Incoming(Begin(0, 0)).receive(arriving(1))
    incoming = Incoming(Begin(0, 0))
    assert incoming.receive(arriving(0, b"x", last=False)) is None
    with pytest.raises(InvalidMessage, match="two kinds"):
        incoming.receive(arriving(1, kind=Kind.TEXT))
    incoming = Incoming(Begin(0, 0))
    for number in range(128):
        incoming.receive(arriving(number, bytes(65_536), last=False))
    with pytest.raises(InvalidMessage, match="over"):
        incoming.receive(arriving(128, b"x"))
    incoming = Incoming(Begin(0, 0))
    incoming.receive(arriving(0))
    with pytest.raises(InvalidMessage, match="fewer"):
        incoming.skip(Begin(5, 0))


def test_what_came_before_is_dropped() -> None:
    """A fragment that also came over a former connection has no effect."""
    incoming = Incoming(Begin(3, 1))
    assert incoming.receive(arriving(2, b"again")) is None
    whole = incoming.receive(arriving(3, b"new"))
    assert whole is not None
    assert incoming.receive(arriving(3, b"new")) is None
    assert incoming.expected == 4


# --- connections --------------------------------------------------------------------------


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    """Nor can what has arrived be expected again, unless its recipient was cut loose."""
    found = log()
    outgoing = Outgoing(BROADCAST, found)
    found.append(BYTES, b"one")
    with pytest.raises(InvalidMessage, match="not sent"):
        outgoing.acknowledge(1)
    outgoing.take()
    outgoing.acknowledge(1)
    with pytest.raises(InvalidMessage, match="had arrived"):
        outgoing.resume(0)


def test_who_is_cut_loose_knows_how_much_it_lost() -> None:
    """It goes on at the end of the log; half a message is lost as a whole."""
    found = log()
    outgoing = Outgoing(BROADCAST, found)
    incoming = Incoming(outgoing.begin)
    found.append(BYTES, b"arrives")
    found.append(BYTES, bytes(2 * FRAGMENT_BYTES))
    found.append(BYTES, b"lost")
    incoming.receive(fragment_of(outgoing.take()))
    incoming.receive(fragment_of(outgoing.take()))
    assert outgoing.cut_loose() == 3
    assert found.begin == found.end
    place = Begin(4, 3)
    assert outgoing.skip == place
    outgoing.resume(incoming.expected)
    assert incoming.skip(place) == 2
    assert incoming.skip(place) == 0
    found.append(BYTES, b"news")
    whole = incoming.receive(fragment_of(outgoing.take()))
    assert whole is not None
    assert whole.payload == b"news"
    outgoing.acknowledge(incoming.expected)
    assert outgoing.skip is None


@given(
    messages=st.lists(st.integers(0, 200_000) | st.integers(0, 10), max_size=30),
    troubles=st.lists(st.integers(0, 12), max_size=120),
    data=st.data(),
)
def test_all_arrives_once_and_in_order_over_breaking_connections(
    messages: list[int], troubles: list[int], data: st.DataObject
) -> None:
    """Whatever part of what was sent over each connection arrives, and of the acknowledgements."""
    found = log()
    outgoing = Outgoing(BROADCAST, found)
    incoming = Incoming(outgoing.begin)
    waiting = deque(bytes([number % 256]) * size for number, size in enumerate(messages))
    expected, got = list(waiting), list[bytes]()
    wire: deque[Fragment] = deque()

    def arrive(count: int) -> None:
        for _ in range(min(count, len(wire))):
            whole = incoming.receive(wire.popleft())
            if whole is not None:
                got.append(whole.payload)

    for trouble in troubles:
        match trouble:
            case 0:  # the connection breaks, with what is on its way
                wire.clear()
                outgoing.resume(incoming.expected)
            case 1 | 2:
                outgoing.acknowledge(incoming.expected)
            case 3 | 4 | 5:
                arrive(data.draw(st.integers(0, 5)))
            case 6 | 7:
                if waiting:
                    found.append(BYTES, waiting.popleft())
            case _:
                if outgoing.waiting:
                    wire.append(fragment_of(outgoing.take()))
    while waiting:
        found.append(BYTES, waiting.popleft())
    while outgoing.waiting:
        wire.append(fragment_of(outgoing.take()))
    arrive(len(wire))
    outgoing.acknowledge(incoming.expected)
    assert got == expected
    assert found.begin == found.end
