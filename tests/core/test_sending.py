"""The laws of an outbox: a shallow engine, small ones together, and a fresh start each time."""

import pytest

from thkmesh.core.channels import Channel, Channels, Delivery, Priority
from thkmesh.core.frames import (
    BROADCAST,
    DIRECT,
    FRAGMENT_BYTES,
    Begin,
    Fragment,
    Frame,
    Kind,
    Listen,
    Name,
    Skip,
    Want,
    Wants,
    datagram,
    parse,
)
from thkmesh.core.sending import BATCH_BYTES, Outbox
from thkmesh.core.streams import Log
from thkmesh.core.window import LEAST_BYTES, MOST_BYTES
from thkmesh.errors import InvalidMessage

BYTES = Kind.BYTES
FAR = 2**40
START = Begin(0, 0, 0)


def wants(numbers: dict[int, int], limit: int = FAR) -> Wants:
    """Return what is wanted, as far as we like to go."""
    return {stream: Want(number, limit) for stream, number in numbers.items()}


class Sender:
    """An outbox, its channels, and what came out."""

    def __init__(self, *names: str, wide: bool = True) -> None:
        """Begin with the room's channel and others, on a first connection."""
        self.channels = Channels()
        self.outbox = Outbox(self.channels)
        for name in names:
            self.open(name)
        self.outbox.begin()
        self.outbox.window.size_bytes = MOST_BYTES
        if wide:
            self.widen()

    def widen(self) -> None:
        """Let the other side grant as much as we like."""
        streams = range(2 * len(self.channels))
        self.outbox.acknowledge(wants(dict.fromkeys(streams, 0)))

    def open(self, name: str, priority: Priority = Priority.NORMAL) -> Channel:
        """Have another channel."""
        channel = self.channels.open(name, Delivery.RELIABLE, priority)
        self.outbox.open(channel)
        return channel

    def send(self, payload: bytes, *, direct: bool = False, channel: str = "") -> None:
        """Put a message into one of the logs."""
        found = self.channels[channel]
        log = self.outbox.lane(found).log if direct else found.log
        log.append(BYTES, payload)

    def frames(self) -> list[list[Frame]]:
        """Return what is handed on now, by datagram."""
        return [list(parse(each)) for _, each in self.outbox.take(0.0)]

    def taken(self) -> list[list[Fragment]]:
        """Return the fragments that are handed on now, by datagram."""
        found = self.frames()
        return [[frame for frame in each if isinstance(frame, Fragment)] for each in found]


def test_the_engine_is_not_given_more_than_a_window() -> None:
    """Until it has sent some, nothing more is handed on; each large fragment on its own."""
    sender = Sender()
    for _ in range(40):
        sender.send(bytes(60_000))
    first = sender.taken()
    assert [len(each) for each in first] == [1] * len(first)
    assert MOST_BYTES <= sum(60_000 + 71 for _ in first) < MOST_BYTES + 61_000
    assert sender.taken() == []
    states = [(sender.outbox.must_measure, sender.outbox.waiting)]
    assert sender.outbox.waiting_bytes == (40 - len(first)) * 60_064
    sender.outbox.window.measured(MOST_BYTES - 1, 0.0)
    assert len(sender.taken()) == 1
    for _ in range(2):
        sender.outbox.window.measured(0, 0.0)
        sender.taken()
    states.append((sender.outbox.must_measure, sender.outbox.waiting))
    assert states == [(True, True), (False, False)]


def test_who_has_little_to_send_says_nothing_of_the_engine() -> None:
    """Even if a message now and then fills the window, as long as nothing waits."""
    sender = Sender()
    sender.outbox.window.size_bytes = LEAST_BYTES
    for number in range(50):
        sender.send(bytes(500 if number % 7 else 40_000))
        sender.taken()
        sender.outbox.window.measured(0, 0.0)
    assert sender.outbox.window.size_bytes == LEAST_BYTES


def test_small_ones_share_a_datagram_in_the_order_of_sending() -> None:
    """Of both streams of a channel, up to a limit."""
    sender = Sender()
    for number in range(1000):
        sender.send(bytes([number % 256]) * 100, direct=number % 3 == 0)
    datagrams = sender.taken()
    assert len(datagrams) < 10
    fragments = [fragment for each in datagrams for fragment in each]
    assert [each.payload[0] for each in fragments] == [number % 256 for number in range(1000)]
    assert {each.stream for each in fragments} == {BROADCAST, DIRECT}
    sizes = [len(datagram(*each)) for each in datagrams]
    assert max(sizes) <= BATCH_BYTES + 16


def test_a_stream_stops_where_it_may_go_no_further_and_no_other_does() -> None:
    """The engine is not asked for room then: it has some."""
    sender = Sender(wide=False)
    for _ in range(20):
        sender.send(bytes(60_000))
    sender.send(b"alone", direct=True)
    numbers = [each[-1].stream for each in sender.taken()]
    assert sorted(numbers) == [BROADCAST] * 4 + [DIRECT]
    sender.outbox.window.measured(MOST_BYTES, 0.0)
    assert not sender.outbox.must_measure
    sender.outbox.window.measured(0, 0.0)
    sender.outbox.acknowledge(wants({BROADCAST: 0}, 6 * 60_064))
    assert len(sender.taken()) == 2


def test_a_first_connection_is_used_at_once() -> None:
    """The other side has nothing, so nothing need be asked."""
    sender = Sender()
    sender.send(b"hello")
    [[name, fragment]] = sender.frames()
    assert name == Name(0, 0, "", START, START)
    assert isinstance(fragment, Fragment)
    sender.outbox.resume({})
    assert sender.frames() == []


def test_another_connection_goes_on_where_the_other_side_is() -> None:
    """It waits until that is known, then sends what is missing, and only that."""
    sender = Sender()
    for number in range(5):
        sender.send(bytes([number]))
        sender.send(bytes([number]), direct=True)
    sender.taken()
    sender.outbox.begin()
    sender.send(b"new")
    assert sender.taken() == []
    sender.outbox.resume(wants({BROADCAST: 3}))
    [[name, *fragments]] = sender.frames()
    assert isinstance(name, Name)
    numbers = [(each.stream, each.number) for each in fragments if isinstance(each, Fragment)]
    assert sorted(numbers) == [(0, 3), (0, 4), (0, 5), *((1, number) for number in range(5))]
    assert sender.outbox.unacknowledged == {"": 3 + 5}
    sender.outbox.acknowledge(wants({BROADCAST: 6, DIRECT: 5}))
    assert sender.outbox.unacknowledged == {}


def test_who_lags_is_cut_loose_from_broadcasts_alone() -> None:
    """It is told at once where that is possible, and at the next connection where not."""
    sender = Sender()
    lane = sender.outbox.lane(sender.channels[""])
    lagging = [lane.everybody.last]
    sender.send(b"to all")
    sender.send(b"to one", direct=True)
    lagging.append(lane.everybody.last)
    assert lagging == [False, True]
    skip = Skip(BROADCAST, Begin(1, 1, 70))
    name = Name(0, 0, "", START, START)
    assert sender.outbox.cut_loose(lane.channel) == 1
    [[*said, alone]] = sender.frames()
    assert said == [name, skip]
    assert isinstance(alone, Fragment)
    assert alone.payload == b"to one"
    assert sender.outbox.cut_loose(lane.channel) == 0
    assert sender.frames() == [[name, skip]]
    sender.outbox.begin()
    assert sender.outbox.cut_loose(lane.channel) == 0
    assert sender.frames() == []
    sender.outbox.resume({})
    [[*said, alone]] = sender.frames()
    assert said == [name, skip]
    assert isinstance(alone, Fragment)
    assert alone.payload == b"to one"


def test_who_was_given_up_and_returns_is_told_what_it_missed() -> None:
    """Numbers go on; what was sent meanwhile is skipped, behind the beginning that it knows."""
    sender = Sender()
    sender.send(b"before")
    sender.taken()
    sender.outbox.close()
    sender.send(b"meanwhile")
    place = Begin(2, 2, 70 + 73)
    log = sender.channels[""].log
    assert isinstance(log, Log)
    assert log.end == place
    sender.channels.open("since", Delivery.RELIABLE, Priority.LOW)
    sender.outbox.again()
    sender.outbox.begin()
    sender.outbox.resume(wants({BROADCAST: 1}))
    sender.outbox.listening(Listen(()))
    skips = (Skip(BROADCAST, place), Skip(DIRECT, START))
    assert sender.frames() == [[Name(0, 0, "", START, START), *skips]]
    sender.send(b"after")
    assert [[each.number for each in one] for one in sender.taken()] == [[2]]
    sender.outbox.acknowledge(wants({BROADCAST: 3, DIRECT: 0}))
    sender.outbox.rewind()
    assert sender.frames() == []


# --- channels ---------------------------------------------------------------------------


def test_a_channel_waits_until_it_is_known_who_listens() -> None:
    """Then it is owed what was sent, or was never owed any of it; the room always is."""
    for names, arrives in ((("x",), True), ((), False)):
        sender = Sender("x", "y")
        sender.send(b"room")
        sender.send(b"to all", channel="x")
        sender.send(b"alone", direct=True, channel="x")
        assert [[each.payload for each in one] for one in sender.taken()] == [[b"room"]]
        lost = sender.outbox.listening(Listen(names))
        assert lost == ([] if arrives else [("x", 1)])
        payloads = [each.payload for one in sender.taken() for each in one]
        assert payloads == ([b"to all", b"alone"] if arrives else [])
        assert sender.outbox.unacknowledged == ({"": 1, "x": 2} if arrives else {"": 1})


def test_who_listens_again_is_named_the_channel_again() -> None:
    """With the place where what is owed begins; acknowledgements from before do no harm."""
    sender = Sender("x")
    sender.outbox.listening(Listen(("x",)))
    sender.send(b"one", channel="x")
    assert len(sender.frames()[0]) == 2
    sender.outbox.listening(Listen(()))
    sender.send(b"two", channel="x")
    assert sender.frames() == []
    sender.outbox.listening(Listen(("x",)))
    sender.send(b"three", channel="x")
    sender.outbox.acknowledge(wants({2: 1}))
    [[name, fragment]] = sender.frames()
    assert name == Name(1, 0, "x", Begin(2, 2, 2 * 67), START)
    assert isinstance(fragment, Fragment)
    assert fragment.number == 2


def test_an_older_word_of_what_is_listened_to_changes_nothing() -> None:
    """It may come later over another path; after a return numbers begin anew."""
    sender = Sender("x")
    assert sender.outbox.listening(Listen(("x",), 2)) == []
    sender.send(b"alone", direct=True, channel="x")
    assert sender.outbox.listening(Listen((), 1)) == []
    assert sender.outbox.unacknowledged == {"x": 1}
    assert sender.outbox.listening(Listen((), 2)) == [("x", 1)]
    sender.outbox.close()
    sender.outbox.again()
    sender.outbox.listening(Listen(("x",), 0))
    assert sender.outbox.listens(sender.channels["x"])


def test_what_was_never_begun_cannot_be_acknowledged() -> None:
    """A stream of a channel that we do not have."""
    with pytest.raises(InvalidMessage, match="never begun"):
        Sender().outbox.acknowledge(wants({2: 0}))


def test_large_messages_of_channels_interleave_and_a_small_one_waits_for_one_fragment() -> None:
    """Whatever is before it in other channels."""
    sender = Sender("a", "b", "chat")
    sender.outbox.listening(Listen(("a", "b", "chat")))
    for name in ("a", "b"):
        sender.send(bytes(20 * FRAGMENT_BYTES), channel=name)
    streams = [one[0].stream for one in sender.taken()]
    assert sorted(streams[:2]) == sorted(streams[2:4]) == [2, 4]
    sender.send(b"hello", channel="chat")
    sender.outbox.window.measured(0, 0.0)
    found = [each.stream for one in sender.taken() for each in one]
    assert found.index(6) <= 1


def test_priorities_are_shares_and_nobody_starves() -> None:
    """Sixteen to four to one, while all have something to send; who was idle has no claim."""
    sender = Sender()
    for priority in Priority:
        sender.open(priority.name, priority)
    sender.outbox.listening(Listen(tuple(each.name for each in Priority)))
    sender.widen()
    for priority in Priority:
        sender.send(bytes(120 * FRAGMENT_BYTES), channel=priority.name)
    sent: list[int] = []
    while len(sent) < 84:
        sent += [each.stream for one in sender.taken() for each in one]
        sender.outbox.window.measured(0, 0.0)
    counts = [sent[:84].count(2 * (1 + number)) for number in range(3)]
    assert counts == pytest.approx([64, 16, 4], abs=2)
    sender.send(bytes(20 * FRAGMENT_BYTES))
    now = [each.stream for one in sender.taken() for each in one][:10]
    assert 1 <= now.count(0) <= 5
