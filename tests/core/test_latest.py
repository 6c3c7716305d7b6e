"""The laws of latest values: whatever happens, a recipient ends with the current ones."""

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.channels import Channels, Delivery, Priority
from thkmesh.core.credit import WINDOW_BYTES, Budget
from thkmesh.core.frames import (
    FRAGMENT_BYTES,
    OVERHEAD_BYTES,
    Begin,
    Fragment,
    Kind,
    Want,
    datagram,
    parse,
)
from thkmesh.core.latest import (
    KEY_LENGTH,
    KEYS,
    VALUES_BYTES,
    CompactedLog,
    LatestIncoming,
    LatestOutgoing,
    unwrap,
    wrap,
)
from thkmesh.core.packing import PLAIN, Packing
from thkmesh.core.sending import Lane
from thkmesh.core.streams import Log
from thkmesh.errors import ChannelFull, InvalidArgument, InvalidMessage, MessageTooLarge

TEXT = Kind.TEXT
FAR = 2**40


def log(*keys: str) -> CompactedLog:
    """Return a log in which these keys were given values, in that order."""
    found = CompactedLog(itertools.count())
    for number, key in enumerate(keys):
        found.append(TEXT, wrap(key, str(number).encode()))
    return found


def owing(found: CompactedLog) -> LatestOutgoing:
    """Return the place of a recipient that is owed everything."""
    outgoing = LatestOutgoing(2, found)
    outgoing.attach()
    return outgoing


def taken(outgoing: LatestOutgoing, room: int = FAR, before: int | None = None) -> list[Fragment]:
    """Return the fragments that may be sent."""
    parts: list[bytes] = []
    outgoing.take(parts, room, before)
    found = [frame for part in parts for frame in parse(datagram() + part)]
    return [frame for frame in found if isinstance(frame, Fragment)]


def said(fragments: list[Fragment]) -> list[tuple[int, str, bytes]]:
    """Return their numbers, keys and values."""
    return [(each.number, *unwrap(each.payload[1:])) for each in fragments]


# --- values -------------------------------------------------------------------------


def test_a_value_travels_with_its_key() -> None:
    """A key has up to 64 characters of any text; both have room in one fragment."""
    for key in ("", "x", "ключ", "\U0001f600" * KEY_LENGTH):
        assert unwrap(wrap(key, b"value")) == (key, b"value")
    assert len(wrap("k", bytes(FRAGMENT_BYTES - 2))) == FRAGMENT_BYTES
    with pytest.raises(MessageTooLarge):
        wrap("k", bytes(FRAGMENT_BYTES - 1))
    for bad in ("k" * (KEY_LENGTH + 1), "\ud800"):
        with pytest.raises(InvalidArgument):
            wrap(bad, b"")
    for malformed in (b"", b"\x05ab", b"\x01\xff", b"\x41" + b"k" * 65):
        with pytest.raises(InvalidMessage):
            unwrap(malformed)


def test_only_a_channel_of_latest_values_has_keys() -> None:
    """There a message without one has the empty key; a key is text."""
    values = Packing(latest=True)
    assert values.pack("hi") == (TEXT, wrap("", b"hi"))
    assert values.pack("hi", "k") == (TEXT, wrap("k", b"hi"))
    assert PLAIN.pack("hi") == (TEXT, b"hi")
    for packing, key in ((PLAIN, "k"), (values, ""), (values, 7)):
        with pytest.raises(InvalidArgument):
            packing.pack("hi", key)


# --- the log ------------------------------------------------------------------------


def test_a_value_takes_the_place_of_the_former_one_of_its_key() -> None:
    """What remains is in the order of sending; it costs what it has, however often it changed."""
    found = log(*"abacb")
    assert [(each.number, each.key) for each in found.since(0)] == [(2, b"a"), (3, b"c"), (4, b"b")]
    assert [each.number for each in found.since(3)] == [3, 4]
    assert found.first(3).number == 3
    assert (found.next, found.held_bytes, found.has_room) == (5, 9, True)
    for _ in range(10_000):
        found.append(TEXT, wrap("a", bytes(1000)))
    assert len(found.since(0)) == 3
    assert found.held_bytes < 1100


def test_a_log_refuses_too_many_keys_and_bytes_and_says_so() -> None:
    """A key that is there may always have another value of that size."""
    found = log(*map(str, range(KEYS)))
    assert isinstance(found.refusal(wrap("new", b"")), ChannelFull)
    assert found.refusal(wrap("7", b"again")) is None
    found = log()
    for number in range(VALUES_BYTES // FRAGMENT_BYTES):
        value = wrap(str(number), bytes(FRAGMENT_BYTES - 9))
        assert found.refusal(value) is None
        found.append(TEXT, value)
    large = bytes(FRAGMENT_BYTES - 9)
    assert isinstance(found.refusal(wrap("x", large)), ChannelFull)
    assert found.refusal(wrap("0", large)) is None


# --- one recipient ------------------------------------------------------------------


def test_a_newcomer_gets_all_current_values() -> None:
    """And is told of each how many numbers before it are nobody's."""
    found = log(*"abac")
    outgoing = owing(found)
    assert outgoing.unacknowledged == 3
    assert outgoing.waiting_bytes == outgoing.unacknowledged_bytes == 9 + 3 * OVERHEAD_BYTES
    assert (outgoing.next_size(), outgoing.order) == (3, 1)
    [first] = taken(outgoing, room=0)
    rest = taken(outgoing)
    assert [each.payload[0] for each in (first, *rest)] == [1, 0, 0]
    assert said([first, *rest]) == [(1, "b", b"1"), (2, "a", b"2"), (3, "c", b"3")]
    assert not outgoing.waiting
    assert not outgoing.reached(4)
    outgoing.acknowledge(Want(4, FAR))
    assert outgoing.reached(4)
    assert (outgoing.unacknowledged, outgoing.undelivered, outgoing.last) == (0, 0, False)


def test_values_wait_for_their_turn() -> None:
    """What was sent later on another stream goes later."""
    outgoing = owing(log(*"abc"))
    assert [each.number for each in taken(outgoing, before=1)] == [0, 1]
    assert outgoing.sendable


def test_who_is_owed_nothing_has_everything() -> None:
    """It counts for nothing; owed again, it gets everything, under higher numbers."""
    found = log(*"ab")
    outgoing = owing(found)
    outgoing.attach()
    assert not outgoing.moved
    taken(outgoing)
    outgoing.acknowledge(Want(2, FAR))
    outgoing.detach()
    assert outgoing.unacknowledged == outgoing.waiting_bytes == 0
    assert outgoing.reached(9)
    assert not outgoing.waiting
    found.append(TEXT, wrap("a", b"new"))
    outgoing.again()
    assert outgoing.begin == Begin(2, 0, 0)
    outgoing.acknowledge(Want(1, FAR))
    moved = [outgoing.moved]
    assert said(taken(outgoing)) == [(3, "b", b"1"), (4, "a", b"new")]
    outgoing.acknowledge(Want(2, FAR))
    assert [*moved, outgoing.moved] == [True, False]
    with pytest.raises(InvalidMessage, match="not sent"):
        outgoing.acknowledge(Want(6, FAR))


def test_a_new_connection_goes_on_behind_what_arrived() -> None:
    """Without what was superseded meanwhile; from the beginning if nothing is known."""
    found = log(*"abc")
    outgoing = owing(found)
    taken(outgoing)
    found.append(TEXT, wrap("b", b"new"))
    outgoing.resume(Want(1, FAR))
    assert said(taken(outgoing)) == [(2, "c", b"2"), (3, "b", b"new")]
    outgoing.resume(None, strayed=True)
    assert [each.number for each in taken(outgoing)] == [2, 3]


def test_a_sender_stops_at_its_limit_and_counts_what_was_superseded() -> None:
    """Each number once, however often it is sent: the recipient may have taken it in."""
    found = log()
    for key in "abcdef":
        found.append(TEXT, wrap(key, bytes(60_000)))
    outgoing = owing(found)
    assert [each.number for each in taken(outgoing)] == [0, 1, 2, 3]
    assert outgoing.waiting
    found.append(TEXT, wrap("a", bytes(60_000)))
    outgoing.rewind()
    assert [each.number for each in taken(outgoing)] == [1, 2, 3]
    outgoing.acknowledge(Want(2, WINDOW_BYTES))
    assert [each.number for each in taken(outgoing)] == [4, 5]
    assert not outgoing.sendable
    outgoing.acknowledge(Want(2, WINDOW_BYTES))
    outgoing.acknowledge(Want(1, FAR))
    assert not outgoing.sendable
    outgoing.acknowledge(Want(6, WINDOW_BYTES))
    assert [each.number for each in taken(outgoing)] == [6]


# --- the receiving end ----------------------------------------------------------------


def arriving(number: int, back: int = 0, *, last: bool = True, size: int = 1) -> Fragment:
    """Return a fragment that comes in."""
    return Fragment(2, number, TEXT, last, bytes([back]) + wrap("k", bytes(size)))


def test_gaps_are_what_was_superseded_and_nothing_else() -> None:
    """What leaves another is refused, or ignored on a path that may lose."""
    incoming = LatestIncoming(Begin(0, 0, 0), Budget())
    assert incoming.receive(arriving(3, 3)) is not None
    assert incoming.receive(arriving(3, 3)) is None
    assert incoming.receive(arriving(5), lossy=True) is None
    with pytest.raises(InvalidMessage, match="value 5 for 4"):
        incoming.receive(arriving(5))
    with pytest.raises(InvalidMessage, match="several fragments"):
        incoming.receive(arriving(4, last=False))
    with pytest.raises(InvalidMessage, match="a skip"):
        incoming.skip(Begin(9, 9, 9))
    assert [incoming.pass_to(Begin(number, 0, 0)) for number in (3, 4, 9)] == [False, True, True]
    assert incoming.expected == 9


def test_a_limit_counts_from_what_is_expected() -> None:
    """What was thrown away or read is granted again; more than that is refused."""
    incoming = LatestIncoming(Begin(0, 0, 0), Budget())
    assert incoming.want() == Want(0, WINDOW_BYTES)
    for number in range(4):
        incoming.receive(arriving(number, size=60_000))
    with pytest.raises(InvalidMessage, match="granted"):
        incoming.receive(arriving(4, size=60_000))
    incoming.discard()
    assert incoming.want() == Want(4, WINDOW_BYTES)


def test_what_was_lost_with_a_connection_takes_no_room_on_the_next() -> None:
    """Though all of it was superseded, and will never be sent again."""
    found = log()
    outgoing = owing(found)
    for _ in range(5):
        found.append(TEXT, wrap("k", bytes(60_000)))
        taken(outgoing)
    assert not outgoing.sendable
    outgoing.resume(Want(0, WINDOW_BYTES))
    assert [each.number for each in taken(outgoing)] == [4]
    outgoing.acknowledge(Want(5, WINDOW_BYTES))
    assert not outgoing.waiting


def test_a_copy_from_another_path_may_be_more_than_was_granted() -> None:
    """It was counted once, over that path; so it is passed over, and no error."""
    incoming = LatestIncoming(Begin(0, 0, 0), Budget(0))
    for number in range(4):
        assert incoming.receive(arriving(number, size=60_000)) is not None
    assert incoming.receive(arriving(4, size=60_000), lossy=True) is None
    with pytest.raises(InvalidMessage, match="than was granted"):
        incoming.receive(arriving(4, size=60_000))


def test_lanes_know_what_their_channel_promises() -> None:
    """To give nothing up costs nothing: superseded is not lost."""
    channels = Channels()
    channel = channels.open("x", Delivery.LATEST, Priority.NORMAL)
    lane = Lane(channel, channels.order)
    assert isinstance(lane.log, CompactedLog)
    assert isinstance(Lane(channels.room, channels.order).log, Log)
    lane.owe(wanted=True)
    lane.log.append(TEXT, wrap("", b"x"))
    channel.log.append(TEXT, wrap("", b"x"))
    assert (lane.unacknowledged, lane.undelivered, lane.adrift) == (2, 0, False)
    assert not lane.reached(1, 1)
    assert lane.owe(wanted=False) == 0
    assert lane.reached(1, 1)


class World:
    """A sender and a recipient whose reader is slow, and paths between them that may lose."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self.log = CompactedLog(itertools.count())
        self.outgoing = owing(self.log)
        self.incoming = LatestIncoming(self.outgoing.begin, Budget())
        self.lossy = False
        self.wire: deque[Fragment | Begin] = deque()
        self.stray: list[Fragment] = []
        """What an older path may still bring."""
        self.wants: list[Want] = []
        self.unread: deque[int] = deque()
        self.current: dict[str, int] = {}
        self.got: dict[str, int] = {}
        self.version = 0

    def change(self, key: str, size: int) -> None:
        """Give a key another value."""
        self.version += 1
        self.current[key] = self.version
        payload = wrap(key, f"{self.version} ".ljust(size).encode())
        self.log.append(TEXT, payload)

    def send(self) -> None:
        """Put the next fragment on its way."""
        if self.outgoing.sendable:
            self.wire.extend(taken(self.outgoing, room=0))

    def arrive(self) -> None:
        """Let the next one arrive."""
        if not self.wire:
            return
        first = self.wire.popleft()
        if isinstance(first, Begin):
            self.incoming.pass_to(first)
        else:
            self.take(first)

    def take(self, fragment: Fragment, *, stray: bool = False) -> None:
        """Take a fragment in."""
        whole = self.incoming.receive(fragment, lossy=self.lossy or stray)
        if whole is not None:
            key, value = unwrap(whole.payload)
            version = int(value)
            assert version >= self.got.get(key, 0), "an older value"
            self.got[key] = version
            self.unread.append(whole.cost)

    def say(self) -> None:
        """Let the recipient say what it expects; that may be heard at any later time."""
        self.wants.append(self.incoming.want())

    def read(self) -> None:
        """Let its reader take one value."""
        if self.unread:
            self.incoming.credit.read(self.unread.popleft())

    def reconnect(self, *, lossy: bool) -> None:
        """Go on over another path; the former one may have something left if it loses."""
        self.stray += [each for each in self.wire if isinstance(each, Fragment) and self.lossy]
        self.wire.clear()
        self.lossy = lossy
        self.wire.append(self.outgoing.begin)
        self.outgoing.resume(self.incoming.want())

    def listen_again(self) -> None:
        """Let the recipient have been deaf for a moment."""
        self.outgoing.detach()
        self.outgoing.attach()
        self.wire.append(self.outgoing.begin)

    def end(self) -> None:
        """Let everything settle, over a path that loses nothing."""
        self.reconnect(lossy=False)
        while self.outgoing.waiting or self.wire:
            self.read()
            self.arrive()
            self.outgoing.acknowledge(self.incoming.want())
            self.send()
        assert self.got == self.current


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from("abcdef"), st.sampled_from([1, 60_000])),
        st.tuples(st.sampled_from(["send", "arrive", "send", "arrive", "say", "read"])),
        st.tuples(st.sampled_from(["heed", "lose", "stray"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["direct", "relay", "again", "timeout"])),
    ),
    max_size=200,
)


@given(STEPS)
def test_a_recipient_ends_with_the_current_values(steps: list[tuple[object, ...]]) -> None:
    """Over any paths; no correct pair finds fault with the other, and no value gets older."""
    world = World()
    for step in steps:
        match step:
            case ("change", str(key), int(size)):
                world.change(key, size)
            case ("send",):
                world.send()
            case ("arrive",):
                world.arrive()
            case ("say",):
                world.say()
            case ("read",):
                world.read()
            case ("heed", int(index)) if world.wants:
                world.outgoing.acknowledge(world.wants[-1 - index % len(world.wants)])
            case ("lose", int(index)) if world.lossy and world.wire:
                at = index % len(world.wire)
                if not isinstance(world.wire[at], Begin):
                    del world.wire[at]
            case ("stray", int(index)) if world.stray:
                world.take(world.stray[index % len(world.stray)], stray=True)
            case ("direct",):
                world.reconnect(lossy=False)
            case ("relay",):
                world.reconnect(lossy=True)
            case ("again",):
                world.listen_again()
            case ("timeout",) if world.lossy:
                world.outgoing.rewind()
            case _:
                pass
    world.end()
