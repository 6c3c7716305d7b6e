"""The laws of streams: once, in order, and who misses something knows how much."""

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.credit import WINDOW_BYTES, Budget
from thkmesh.core.frames import (
    BROADCAST,
    FRAGMENT_BYTES,
    MESSAGE_LIMIT_BYTES,
    Begin,
    Fragment,
    Kind,
    Want,
    datagram,
    parse,
)
from thkmesh.core.streams import LOG_BYTES, Incoming, Log, Outgoing, Whole
from thkmesh.errors import InvalidMessage

BYTES = Kind.BYTES
FAR = 2**40
START = Begin(0, 0, 0)


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


def owing(found: Log) -> Outgoing:
    """Return the place of a recipient that lets us go as far as we like."""
    outgoing = Outgoing(BROADCAST, found)
    outgoing.attach()
    outgoing.limit = FAR
    return outgoing


def taken(outgoing: Outgoing) -> list[Fragment]:
    """Return all fragments that may be sent."""
    parts: list[bytes] = []
    outgoing.take(parts, FAR, None)
    return [fragment_of(each) for each in parts]


def next_of(outgoing: Outgoing) -> Fragment:
    """Return the next fragment."""
    parts: list[bytes] = []
    outgoing.take(parts, 0, None)
    [part] = parts
    return fragment_of(part)


def want(number: int) -> Want:
    """Return the wish for a fragment, and for all that follows."""
    return Want(number, FAR)


def coming(begin: Begin) -> Incoming:
    """Return the receiving end of a stream whose reader takes everything at once."""
    return Incoming(begin, Budget())


def whole_of(incoming: Incoming, fragment: Fragment) -> Whole | None:
    """Let a fragment come in, and read the message that it completes."""
    whole = incoming.receive(fragment)
    if whole is not None:
        incoming.credit.read(whole.cost)
    incoming.want()
    return whole


def arriving(
    number: int, payload: bytes = b"", *, kind: int = BYTES, last: bool = True
) -> Fragment:
    """Return a fragment that comes in."""
    return Fragment(BROADCAST, number, kind, last=last, payload=payload)


# --- the log --------------------------------------------------------------------------


def test_to_nobody_nothing_is_kept() -> None:
    """Messages are numbered, and let go at once."""
    empty = log(b"one", b"two")
    assert empty.first == 2
    assert empty.end == Begin(2, 2, 134)
    assert empty.held_bytes == 0
    assert empty.bytes_from(2) == 0
    assert empty.has_room


def test_a_log_keeps_what_somebody_lacks() -> None:
    """What all have is let go, in order; each recipient has a place of its own."""
    shared = log()
    ada, bob = owing(shared), owing(shared)
    for number in range(4):
        shared.append(BYTES, bytes([number]))
    late = owing(shared)
    assert late.begin == Begin(4, 4, 4 * 65)
    assert not late.waiting
    assert [each.payload for each in taken(ada)] == [b"\0", b"\1", b"\2", b"\3"]
    assert not ada.waiting
    ada.acknowledge(want(3))
    assert shared.first == 0
    assert ada.unacknowledged == 1
    assert bob.unacknowledged == 4
    assert (ada.last, bob.last) == (False, True)
    bob.detach()
    assert shared.first == 3
    ada.acknowledge(want(2))
    assert ada.acked == 3


def test_a_full_log_has_no_room() -> None:
    """16 MiB, empty messages count too; there is room again once they are acknowledged."""
    full = log()
    outgoing = owing(full)
    full.append(BYTES, bytes(MESSAGE_LIMIT_BYTES))
    room = [full.has_room]
    full.append(BYTES, bytes(MESSAGE_LIMIT_BYTES))
    room.append(full.has_room)
    assert outgoing.waiting_bytes == full.bytes_from(0) > LOG_BYTES
    taken(outgoing)
    outgoing.acknowledge(want(outgoing.sent))
    room.append(full.has_room)
    for _ in range(LOG_BYTES // 64):
        full.append(BYTES, b"")
    room.append(full.has_room)
    assert room == [True, False, True, False]


@pytest.mark.parametrize("held", [0, 1, 3, 6, 7])
def test_messages_before_a_place_are_counted(held: int) -> None:
    """Of those that end before it; from whichever end is nearer."""
    found = log()
    owing(found)
    found.append(BYTES, bytes(3 * FRAGMENT_BYTES))
    for _ in range(4):
        found.append(BYTES, b"")
    assert found.end == Begin(7, 5, 3 * FRAGMENT_BYTES + 7 * 64)
    assert found.messages_before(held) == {0: 0, 1: 0, 3: 1, 6: 4, 7: 5}[held]


# --- fragments --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1, MESSAGE_LIMIT_BYTES])
def test_a_message_of_any_size_is_put_together(size: int) -> None:
    """It is cut into fragments that fit any way, and arrives whole."""
    found = log()
    outgoing = owing(found)
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    found.append(Kind.TEXT, payload)
    incoming = coming(outgoing.begin)
    wholes = []
    while outgoing.waiting:
        assert outgoing.next_size() <= FRAGMENT_BYTES
        wholes.append(whole_of(incoming, next_of(outgoing)))
    assert len(wholes) == max(1, -(-size // FRAGMENT_BYTES))
    assert wholes[:-1] == [None] * (len(wholes) - 1)
    assert wholes[-1] is not None
    assert (wholes[-1].kind, wholes[-1].payload) == (Kind.TEXT, payload)


def test_what_makes_no_sense_is_refused() -> None:
    """A gap, a message of two kinds, one that is too large, an impossible place."""
    with pytest.raises(InvalidMessage, match="fragment 1 for 0"):
        coming(START).receive(arriving(1))
    incoming = coming(START)
    assert incoming.receive(arriving(0, b"x", last=False)) is None
    with pytest.raises(InvalidMessage, match="two kinds"):
        incoming.receive(arriving(1, kind=Kind.TEXT))
    incoming = coming(START)
    for number in range(128):
        whole_of(incoming, arriving(number, bytes(65_536), last=False))
    with pytest.raises(InvalidMessage, match="over"):
        incoming.receive(arriving(128, b"x"))
    incoming = coming(START)
    incoming.receive(arriving(0))
    with pytest.raises(InvalidMessage, match="fewer"):
        incoming.skip(Begin(5, 0, 999))


def test_what_came_before_is_dropped() -> None:
    """A fragment that also came over a former connection has no effect."""
    incoming = coming(Begin(3, 1, 0))
    assert incoming.receive(arriving(2, b"again")) is None
    whole = incoming.receive(arriving(3, b"new"))
    assert whole is not None
    assert incoming.receive(arriving(3, b"new")) is None
    assert incoming.expected == 4


# --- connections --------------------------------------------------------------------------


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    """Nor can what has arrived be expected again, unless its recipient was cut loose."""
    found = log()
    outgoing = owing(found)
    found.append(BYTES, b"one")
    with pytest.raises(InvalidMessage, match="not sent"):
        outgoing.acknowledge(want(1))
    next_of(outgoing)
    outgoing.acknowledge(want(1))
    with pytest.raises(InvalidMessage, match="had arrived"):
        outgoing.resume(want(0))


def test_who_is_cut_loose_knows_how_much_it_lost() -> None:
    """It goes on at the end of the log; half a message is lost as a whole."""
    found = log()
    outgoing = owing(found)
    incoming = coming(outgoing.begin)
    found.append(BYTES, b"arrives")
    found.append(BYTES, bytes(2 * FRAGMENT_BYTES))
    found.append(BYTES, b"lost")
    incoming.receive(next_of(outgoing))
    incoming.receive(next_of(outgoing))
    assert outgoing.cut_loose() == 3
    assert found.first == found.next
    place = Begin(4, 3, found.end.position)
    assert outgoing.skip == place
    outgoing.resume(want(incoming.expected))
    assert incoming.skip(place) == 2
    assert incoming.skip(place) == 0
    found.append(BYTES, b"news")
    whole = incoming.receive(next_of(outgoing))
    assert whole is not None
    assert whole.payload == b"news"
    outgoing.acknowledge(want(incoming.expected))
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
    outgoing = owing(found)
    incoming = coming(outgoing.begin)
    waiting = deque(bytes([number % 256]) * size for number, size in enumerate(messages))
    expected, got = list(waiting), list[bytes]()
    wire: deque[Fragment] = deque()

    def arrive(count: int) -> None:
        for _ in range(min(count, len(wire))):
            whole = whole_of(incoming, wire.popleft())
            if whole is not None:
                got.append(whole.payload)

    for trouble in troubles:
        match trouble:
            case 0:  # the connection breaks, with what is on its way
                wire.clear()
                outgoing.resume(want(incoming.expected))
            case 1 | 2:
                outgoing.acknowledge(want(incoming.expected))
            case 3 | 4 | 5:
                arrive(data.draw(st.integers(0, 5)))
            case 6 | 7:
                if waiting:
                    found.append(BYTES, waiting.popleft())
            case _:
                if outgoing.waiting:
                    wire.append(next_of(outgoing))
    while waiting:
        found.append(BYTES, waiting.popleft())
    while outgoing.waiting:
        wire.append(next_of(outgoing))
    arrive(len(wire))
    outgoing.acknowledge(want(incoming.expected))
    assert got == expected
    assert found.first == found.next


# --- how far a sender may go ------------------------------------------------------------


def test_a_sender_stops_at_its_limit_and_a_grant_never_shrinks() -> None:
    """The first window needs no grant; a grant that comes late or twice has no effect."""
    found = log()
    outgoing = Outgoing(BROADCAST, found)
    outgoing.attach()
    for _ in range(10):
        found.append(BYTES, bytes(FRAGMENT_BYTES))
    sizes = [len(taken(outgoing))]
    for limit in (6, 8, 7):
        outgoing.acknowledge(Want(0, limit * (FRAGMENT_BYTES + 64)))
        sizes.append(len(taken(outgoing)))
    assert sizes == [WINDOW_BYTES // (FRAGMENT_BYTES + 64), 2, 2, 0]
    assert outgoing.waiting
    assert not outgoing.sendable


def test_more_than_was_granted_is_refused() -> None:
    """And it does not count as having come."""
    incoming = coming(START)
    for number in range(4):
        incoming.receive(arriving(number, bytes(FRAGMENT_BYTES)))
    with pytest.raises(InvalidMessage, match="granted"):
        incoming.receive(arriving(4, bytes(FRAGMENT_BYTES)))
    assert incoming.expected == 4
    incoming.want()
    incoming.receive(arriving(4, bytes(FRAGMENT_BYTES)))


def test_who_is_owed_nothing_costs_nothing() -> None:
    """Detached, it keeps nothing in the log; attached again, it is owed what follows."""
    found = log()
    outgoing = owing(found)
    found.append(BYTES, b"one")
    next_of(outgoing)
    outgoing.detach()
    outgoing.detach()
    found.append(BYTES, b"two")
    assert found.held_bytes == outgoing.waiting_bytes == outgoing.unacknowledged == 0
    outgoing.acknowledge(want(1))
    outgoing.attach()
    outgoing.attach()
    found.append(BYTES, b"three")
    outgoing.resume(want(1))  # it does not know yet where it goes on
    assert [each.payload for each in taken(outgoing)] == [b"three"]
    outgoing.acknowledge(want(3))
    with pytest.raises(InvalidMessage, match="no longer"):
        outgoing.resume(None)


def test_what_was_not_owed_is_passed_over_and_not_lost() -> None:
    """Unlike a skip; what was thrown away half-way does not come in part."""
    incoming = coming(START)
    incoming.receive(arriving(0, b"half", last=False))
    incoming.discard()
    assert incoming.receive(arriving(1, b"a message")) is None
    assert incoming.credit.unread == 0
    place = Begin(9, 5, 4_000)
    assert [incoming.pass_to(place), incoming.pass_to(place)] == [True, False]
    assert incoming.skip(Begin(12, 7, 5_000)) == 2
    with pytest.raises(InvalidMessage, match="fewer bytes"):
        incoming.pass_to(Begin(20, 9, 1))


def test_a_long_log_is_cut_off_now_and_then() -> None:
    """What all have does not take memory, and places stay right."""
    found = log()
    outgoing = owing(found)
    for number in range(1000):
        found.append(BYTES, str(number).encode())
        if number % 3 == 0:
            assert next_of(outgoing).payload == str(number // 3).encode()
            outgoing.acknowledge(want(outgoing.sent))
    assert outgoing.unacknowledged == found.end.messages - 334
    assert found.bytes_from(outgoing.sent) == found.held_bytes


def test_a_beginning_that_is_named_again_grants_nothing() -> None:
    """Whatever position it claims, of what is expected already."""
    found = Incoming(Begin(0, 0, 0), Budget())
    before = found.want().limit
    assert not found.pass_to(Begin(0, 0, 2**40))
    assert found.want().limit == before
