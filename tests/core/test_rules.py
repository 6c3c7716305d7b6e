"""The laws of delivery rules between two links, and in a session: who gets what, over what."""

import itertools
from collections.abc import Iterator

import pytest

from tests.core.link_world import End, LinkWorld
from tests.core.session_stories import ADA, CAT, Story, acked, key
from tests.core.session_traces import Recorder
from thkmesh.core import frames, sending
from thkmesh.core import link_events as link
from thkmesh.core.channels import Channels, Delivery, Priority, Rule
from thkmesh.core.credit import Budget
from thkmesh.core.engine import (
    BULK,
    CONTROL,
    REALTIME,
    ChannelClosed,
    ChannelOpened,
    FrameReceived,
)
from thkmesh.core.frames import (
    Begin,
    Fragment,
    Frame,
    Kind,
    Listen,
    Lossy,
    Name,
    Ping,
    Pong,
    Report,
    Want,
    parse,
)
from thkmesh.core.identity import SessionKey
from thkmesh.core.realtime import LEAST_TIMEOUT, Limits
from thkmesh.core.receiving import Inbox
from thkmesh.core.relay import KEEPALIVE, RELAY_AFTER
from thkmesh.core.session_events import Accepted, Deliver, Flush, OpenChannel, SendAll, Unsendable
from thkmesh.core.streams import ACK_DELAY
from thkmesh.core.traffic import Traffic
from thkmesh.errors import InvalidMessage, MessageTooLarge
from thkmesh.events import LinkState

NOW = Limits()
TWICE = Limits(max_retransmits=2)


def heard(limits: Limits | None, *, connected: bool = True) -> LinkWorld:
    """Return two ends, of which the higher hears the channel "x" of the lower."""
    world = LinkWorld()
    if connected:
        world.connect()
    delivery = Delivery.UNORDERED if limits is None else Delivery.REALTIME
    world.open(world.low, "x", delivery, limits)
    world.listen(world.high, "x")
    return world


def used(end: End, since: int = 0) -> list[int]:
    """Return the data channels that were used since a number of outputs."""
    return [each.channel for each in end.out[since:] if isinstance(each, link.SendFrame)]


def said(end: End, kind: type[Frame], since: int = 0) -> Iterator[Frame]:
    """Yield the frames of a kind that were sent since a number of outputs."""
    for each in end.out[since:]:
        if isinstance(each, link.SendFrame):
            yield from (frame for frame in parse(each.frame) if isinstance(frame, kind))


# --- what may be lost ---------------------------------------------------------------------


def test_what_may_be_lost_goes_at_once_over_the_lossy_channel() -> None:
    """To everybody and to one alone; it is in no log, and nobody waits for it."""
    world = heard(NOW)
    before = len(world.low.out)
    world.hasten(world.low, "all", channel="x")
    world.hasten(world.low, "one", channel="x", direct=True)
    arrived = world.high.said(link.ContentArrived)
    assert [(each.data, each.stream, each.cost) for each in arrived] == [
        ("all", 2, 0),
        ("one", 3, 0),
    ]
    assert used(world.low, before) == [REALTIME] * 2
    assert world.low.link.undelivered == {}
    assert world.low.link.waiting_bytes == 0
    lane = world.low.link.lane(world.low.channels["x"])
    assert lane.reached(0, 0)


def test_the_name_is_said_before_anything_is_sent() -> None:
    """As soon as it is known that somebody listens; what comes before it is dropped."""
    world = LinkWorld().connect()
    world.open(world.low, "x", Delivery.REALTIME, NOW)
    world.hasten(world.low, "nobody listens", channel="x")
    assert [each for each in said(world.low, Name) if isinstance(each, Name) and each.channel] == []
    world.listen(world.high, "x")
    [name] = [each for each in said(world.low, Name) if isinstance(each, Name) and each.channel]
    assert (name.name, name.rule) == ("x", Rule.LOSSY)
    early = frames.datagram(Lossy(8, 0, 0, 0, b"early", report=False))
    world.tell(world.high, link.FromEngine(world.high.number, _arrived(early)))
    world.hasten(world.low, "heard", channel="x")
    assert world.high.heard == ["heard"]
    assert world.high.said(link.Misbehaved) == []


def _arrived(data: bytes) -> FrameReceived:
    return FrameReceived(REALTIME, data)


def test_where_nothing_leads_to_the_other_side_it_is_dropped() -> None:
    """And counted; after that it goes on."""
    world = heard(NOW)
    world.report(world.low, ChannelClosed(CONTROL))
    world.hasten(world.low, "lost", channel="x")
    assert world.low.link.dropped == 1
    world.run(30.0)
    world.hasten(world.low, "heard", channel="x")
    assert world.high.heard == ["heard"]


def test_what_would_wait_in_the_engine_is_dropped() -> None:
    """No more than 16 KiB waits there; when it has gone, the next one passes."""
    world = heard(NOW)
    world.low.held_bytes = 20_000
    for number in range(40):
        world.hasten(world.low, f"{number:1000}", channel="x")
    assert 8 <= len(world.high.heard) <= 17
    assert world.low.link.dropped == 40 - len(world.high.heard)
    world.low.held_bytes = 0
    world.hasten(world.low, "asks", channel="x")
    world.hasten(world.low, "passes", channel="x")
    assert world.high.heard[-1] == "passes"


def test_what_was_lost_is_sent_again_when_that_is_wanted() -> None:
    """The other side says what it has; so nothing is sent again that came."""
    world = heard(TWICE)
    world.hasten(world.low, "zero", channel="x")
    world.run(1.0)
    world.network = False
    world.hasten(world.low, "one", channel="x")
    world.lose()
    world.network = True
    before = len(world.low.out)
    world.hasten(world.low, "two", channel="x")
    assert world.high.heard == ["zero"]
    world.run(LEAST_TIMEOUT + 0.05)
    assert world.high.heard == ["zero", "one", "two"]
    sent = [each.number for each in said(world.low, Lossy, before) if isinstance(each, Lossy)]
    assert sent == [2, 1]
    assert list(said(world.high, Report))


def test_it_is_sent_again_at_once_when_later_ones_have_come() -> None:
    """A report of three of them is reason enough."""
    world = heard(TWICE)
    world.network = False
    world.hasten(world.low, 0, channel="x")
    world.lose()
    world.network = True
    for number in range(1, 4):
        world.hasten(world.low, number, channel="x")
    world.run(0.02)
    assert world.high.heard == [0, 1, 2, 3]


def test_a_report_of_nothing_ends_the_connection() -> None:
    """What was not sent cannot have come."""
    world = heard(TWICE)
    report = frames.datagram(Report(2, 5, ()))
    world.tell(world.low, link.FromEngine(world.low.number, _arrived(report)))
    assert world.low.states[-1] is LinkState.RECONNECTING


def test_who_does_not_listen_any_more_is_sent_nothing_again() -> None:
    """Neither what was lost, nor what would have been sent."""
    world = heard(TWICE)
    world.network = False
    world.hasten(world.low, 0, channel="x")
    world.lose()
    world.network = True
    world.listen(world.high, "x", wanted=False)
    before = len(world.low.out)
    world.hasten(world.low, 1, channel="x")
    world.run(1.0)
    assert list(said(world.low, Lossy, before)) == []


def test_over_the_relay_it_passes_too() -> None:
    """Its name may be lost there, and is said again with the next question."""
    world = LinkWorld()
    world.engine = False
    world.open(world.low, "x", Delivery.REALTIME, TWICE)
    names = itertools.count()

    def loses(datagram: bytes) -> bool:
        named = any(isinstance(each, Name) and each.channel for each in parse(datagram))
        return named and next(names) == 0

    world.relay_loses = loses
    world.listen(world.high, "x")
    world.meet().run(RELAY_AFTER + 1.0)
    world.hasten(world.low, "not known yet", channel="x")
    world.run(KEEPALIVE + 1.0)
    world.hasten(world.low, "heard", channel="x")
    world.run(1.0)
    assert world.high.heard == ["heard"]
    assert world.low.link.dropped == 0
    before = len(world.low.relayed)
    world.run(KEEPALIVE)
    said = [frame for sent in world.low.relayed[before:] for frame in parse(sent)]
    assert sum(not isinstance(frame, Ping | Pong) for frame in said) <= 4


def test_over_the_relay_what_must_arrive_goes_first() -> None:
    """Without an allowance what may be lost is dropped."""
    world = LinkWorld()
    world.engine = False
    world.open(world.low, "x", Delivery.REALTIME, NOW)
    world.listen(world.high, "x")
    world.meet().run(RELAY_AFTER + 1.0)
    world.low.allowance.set(100.0, 1.0, world.now)
    world.hasten(world.low, "x" * 1000, channel="x")
    assert world.low.link.dropped == 1
    world.send(world.low, "must arrive")
    world.low.allowance.set(10_000.0, 1.0, world.now)
    world.send(world.low, "y" * 60_000)
    world.hasten(world.low, "not first", channel="x")
    assert world.low.link.dropped == 2


# --- in any order -------------------------------------------------------------------------


def test_what_is_in_any_order_goes_its_own_way_once_its_name_is_known() -> None:
    """Before that, and after another connection, behind the name."""
    world = heard(None)
    for number in range(2):
        world.send(world.low, number, channel="x")
    world.run(2 * ACK_DELAY)
    before = len(world.low.out)
    world.send(world.low, 2, channel="x")
    world.send(world.low, 3)
    world.send(world.low, 4, channel="x", direct=True)
    assert used(world.low, before) == [BULK, CONTROL, CONTROL]
    assert world.high.heard == [0, 1, 2, 3, 4]
    marked = [each.first for each in said(world.low, Fragment) if isinstance(each, Fragment)]
    assert marked == [True, True, True, False, True]
    world.report(world.low, ChannelClosed(CONTROL))
    world.run(30.0)
    before = len(world.low.out)
    world.send(world.low, 5, channel="x")
    assert used(world.low, before) == [CONTROL]
    assert world.high.heard[-1] == 5


def test_without_its_channel_it_goes_behind_all_others() -> None:
    """One that has closed, or has not opened yet, takes nothing."""
    world = heard(None)
    world.send(world.low, 0, channel="x")
    world.run(2 * ACK_DELAY)
    for event, way in ((ChannelClosed(BULK), CONTROL), (ChannelOpened(BULK), BULK)):
        world.tell(world.low, link.FromEngine(world.low.number, event))
        before = len(world.low.out)
        world.send(world.low, 1, channel="x")
        assert used(world.low, before) == [way]


def test_a_datagram_has_one_way() -> None:
    """What is in order and what is not share none, however small."""
    channels = Channels()
    channel = channels.open("x", Delivery.UNORDERED, Priority.NORMAL)
    outbox = sending.Outbox(channels)
    outbox.begin()
    outbox.bulk = True
    outbox.listening(Listen(("x",)))
    far = 2**40
    channel.log.append(1, b"named")
    outbox.take(0.0)
    outbox.acknowledge({0: Want(0, far), 2: Want(1, far), 3: Want(0, far)})
    for number in range(3):
        channel.log.append(1, b"%d" % number)
        channels.room.log.append(1, b"%d" % number)
    taken = outbox.take(0.0)
    ways = {way: [len(list(parse(data)))] for way, data in taken}
    assert len(taken) == 2
    assert ways == {CONTROL: [4], BULK: [3]}


# --- who is told what ----------------------------------------------------------------------


def _named(rule: int, name: str = "x") -> Name:
    return Name(1, rule, name, Begin(0, 0, 0), Begin(0, 0, 0))


def test_a_rule_is_known_and_holds() -> None:
    """No other is taken, and a channel keeps its own."""
    for rule in (5, 6):
        with pytest.raises(InvalidMessage, match="unknown"):
            Inbox(Channels(), Budget()).name(_named(rule), 0.0)
    inbox = Inbox(Channels(), Budget())
    inbox.name(_named(Rule.LOSSY), 0.0)
    inbox.name(_named(Rule.LOSSY), 0.0)
    with pytest.raises(InvalidMessage, match="another delivery rule"):
        inbox.name(_named(Rule.RELIABLE), 0.0)


def test_each_rule_has_its_frames() -> None:
    """Fragments for what must arrive, and none of them for what may be lost."""
    for rule in (Rule.RELIABLE, Rule.UNORDERED, Rule.LATEST):
        inbox = Inbox(Channels(), Budget())
        inbox.name(_named(rule), 0.0)
        with pytest.raises(InvalidMessage, match="may not lose"):
            inbox.lossy(2)
    for rule in (Rule.UNORDERED, Rule.LATEST):
        inbox = Inbox(Channels(), Budget())
        inbox.name(_named(rule), 0.0)
        with pytest.raises(InvalidMessage, match="not reliable"):
            inbox.receive(Fragment(2, 0, Kind.PIECE, last=True, payload=b"\0\1\0"), 0.0)
    inbox = Inbox(Channels(), Budget())
    inbox.name(_named(Rule.LOSSY), 0.0)
    assert inbox.lossy(2) is None
    assert inbox.lossy(4) is None
    with pytest.raises(InvalidMessage, match="not begun"):
        inbox.receive(Fragment(2, 0, 0, last=True, payload=b""), 0.0)


def _told() -> Story:
    """Return a session with Ada and Cat, who hear its lossy channel."""
    story = Story(Recorder())
    story.enter(ADA, CAT)
    story.tell(OpenChannel("x", Delivery.REALTIME, Priority.NORMAL, listen=True, limits=NOW))
    story.connect(ADA, CAT)
    for peer in (ADA, CAT):
        story.frames(peer, Listen(("x",)))
    return story


def _lossy(story: Story) -> list[tuple[str, int, int]]:
    """Return what was sent last: to whom, on which stream, and the number."""
    return [
        (each.to.id[0], frame.stream, frame.number)
        for each in story.last
        if isinstance(each, link.SendFrame) and each.channel == REALTIME
        for frame in parse(each.frame)
        if isinstance(frame, Lossy)
    ]


def test_everybody_who_listens_is_sent_the_same_number() -> None:
    """One alone has numbers of its own; several share a datagram."""
    story = _told()
    story.send(1, channel="x")
    assert sorted(_lossy(story)) == [("a", 2, 0), ("c", 2, 0)]
    assert Accepted(1) in story.last
    story.send(2, CAT, channel="x")
    assert _lossy(story) == [("c", 3, 0)]
    story.tell(SendAll((("x", 0, b"1"), ("", 0, b"2"), ("x", 0, b"3"))))
    assert sorted(_lossy(story)) == [("a", 2, 1), ("a", 2, 2), ("c", 2, 1), ("c", 2, 2)]
    ways = sorted(each.channel for each in story.last if isinstance(each, link.SendFrame))
    assert ways == [CONTROL, CONTROL, REALTIME, REALTIME]


def test_what_is_too_large_for_a_packet_is_refused() -> None:
    """1,100 bytes pass, and no more."""
    story = _told()
    story.send(1, channel="x", data=b"x" * 1100)
    assert Accepted(1) in story.last
    story.send(2, channel="x", data=b"x" * 1101)
    [refusal] = story.last
    assert isinstance(refusal, Unsendable)
    assert isinstance(refusal.error, MessageTooLarge)


def test_a_flush_waits_for_nothing_that_may_be_lost() -> None:
    """And what comes is nobody's to acknowledge."""
    story = _told()
    story.send(1, channel="x")
    story.tell(Flush(2, "x"))
    assert Accepted(2) in story.last
    story.frames(ADA, Name(1, Rule.LOSSY, "x", Begin(0, 0, 0), Begin(0, 0, 0)))
    story.frames(ADA, Lossy(2, 0, 0, 0, b"hello", report=False))
    [delivered] = [each for each in story.last if isinstance(each, Deliver)]
    assert (delivered.message.data, delivered.source, delivered.cost) == ("hello", key(ADA), 0)
    story.frames(ADA, acked({0: 0}))


def test_who_returns_has_missed_nothing_of_what_may_be_lost() -> None:
    """It is in no log, so there is nothing to skip, and nothing on its way."""
    channels = Channels()
    channels.open("x", Delivery.REALTIME, Priority.NORMAL, Limits())
    traffic = Traffic(SessionKey("a" * 26, "0" * 16), channels, Budget())
    traffic.outbox.listening(Listen(("x",), 1))
    traffic.close()
    traffic.again()
    assert set(traffic.outbox.flight) == {0, 1}
