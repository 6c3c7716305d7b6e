"""The laws of the relay: in use only while needed, and whatever it loses comes again."""

import random

import pytest

from tests.core.link_world import HIGH, LOW, End, LinkWorld
from thkmesh.core import frames
from thkmesh.core.credit import WINDOW_LIMIT_BYTES
from thkmesh.core.engine import ChannelOpened, FrameReceived
from thkmesh.core.frames import BROADCAST, Begin, Kind, Name, Want
from thkmesh.core.heartbeat import INTERVAL, PATIENCE
from thkmesh.core.link_events import (
    Abandon,
    ContentArrived,
    CutLoose,
    Depart,
    FromEngine,
    Graded,
    Lagged,
    MessagesLost,
    Misbehaved,
    Offline,
    Online,
    Read,
    Relayed,
    Renew,
    Rerouted,
    SaidGoodbye,
)
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.relay import (
    KEEPALIVE,
    PING_INTERVAL,
    RELAY_AFTER,
    TIMEOUT,
    TIMEOUT_MOST,
    TRIES,
    WINDOW_BYTES,
)
from thkmesh.core.streams import ACK_DELAY
from thkmesh.events import Grade, LinkState, Path

RELAY, DIRECT = Path.RELAY, Path.DIRECT
START = Want(0, 0)
BEGIN = Begin(0, 0, 0)


def cut_off() -> LinkWorld:
    """Return two ends who can use the relay and nothing else."""
    world = LinkWorld()
    world.engine = False
    return world.meet()


def paths(end: End) -> list[Path | None]:
    """Return the ways that an end told of."""
    return [each.path for each in end.said(Rerouted)]


def kinds(end: End) -> list[str]:
    """Return what an end said over the relay, frame by frame."""
    return [type(each).__name__ for sent in end.relayed for each in frames.parse(sent)]


def losing(*numbers: int) -> LinkWorld:
    """Return a pair whose relay drops these datagrams, counted from the first."""
    world = cut_off()
    seen: list[bytes] = []

    def loses(datagram: bytes) -> bool:
        seen.append(datagram)
        return len(seen) - 1 in numbers

    world.relay_loses = loses
    return world


def test_it_is_asked_for_after_a_second_without_a_direct_path() -> None:
    """Not before; then both use it, and what waited arrives."""
    world = cut_off()
    world.send(world.low, "waits")
    world.run(0.9 * RELAY_AFTER)
    assert not world.low.relayed
    assert paths(world.low) == []
    world.run(0.2 * RELAY_AFTER)
    assert world.high.heard == ["waits"]
    assert paths(world.low) == paths(world.high) == [RELAY]
    assert world.low.link.path is RELAY
    assert world.low.link.state is LinkState.CONNECTING
    world.run(1.0)
    assert world.low.link.undelivered == {}


def test_a_quick_direct_path_needs_no_relay() -> None:
    """Who connects within a second says nothing over it."""
    world = LinkWorld().meet()
    world.run(30.0)
    assert world.low.link.path is DIRECT
    assert world.low.relayed == world.high.relayed == []
    assert paths(world.low) == []


def test_it_is_left_for_a_direct_path() -> None:
    """What it lost on its way goes over that; nothing is said over it any more."""
    world = LinkWorld()
    world.engine = False
    world.meet().run(2.0)
    world.relay_loses = lambda _: True
    world.send(world.low, "lost at first")
    world.engine = True
    for end in (world.low, world.high):
        world.tell(end, Renew())
    world.run(1.0)
    assert world.low.link.path is world.high.link.path is DIRECT
    assert paths(world.low) == paths(world.high) == [RELAY, DIRECT]
    assert world.high.heard == ["lost at first"]
    said = len(world.low.relayed)
    world.send(world.low, "direct")
    world.run(60.0)
    assert len(world.low.relayed) == said
    assert world.high.heard == ["lost at first", "direct"]


@pytest.mark.parametrize("lost", range(16))
def test_each_datagram_may_be_lost_whatever_the_channels(lost: int) -> None:
    """A name, what is listened to, a grant: it comes again, and nothing is missing."""
    world = losing(lost)
    for end in (world.low, world.high):
        for name in ("x", "y"):
            world.open(end, name)
        world.listen(end, "x")
    for number in range(3):
        for end in (world.low, world.high):
            world.send(end, f"all {number}", channel="x")
            world.send(end, f"one {number}", channel="x", direct=True)
            world.send(end, "unwanted", channel="y")
    world.run(3.0)
    world.listen(world.low, "y")
    world.run(KEEPALIVE + 1.0)
    world.send(world.high, "wanted", channel="y")
    world.run(KEEPALIVE)
    first = [f"{whom} {number}" for number in range(3) for whom in ("all", "one")]
    assert world.low.heard == [*first, "wanted"]
    assert world.high.heard == first
    for end in (world.low, world.high):
        assert end.link.undelivered == {}
        assert [*end.said(Misbehaved), *end.said(MessagesLost)] == []


def test_what_comes_twice_counts_once() -> None:
    """Whatever it is; nor is it charged to its sender's credit."""
    held: list[int] = []
    for repeats in (False, True):
        world = cut_off()
        world.relay_repeats = repeats
        world.reading = False
        for end in (world.low, world.high):
            world.open(end, "x")
            world.listen(end, "x")
        said = [f"{'x' * 20_000} {number}" for number in range(5)]
        for text in said:
            world.send(world.low, text, channel="x")
        world.tell(world.low, CutLoose("x"))
        world.run(5.0)
        for text in said:
            world.send(world.low, text, channel="x")
        world.run(20.0)
        assert world.high.heard == said
        assert world.high.said(MessagesLost) == [MessagesLost(LOW, "x", 5)]
        assert world.low.said(Misbehaved) == world.high.said(Misbehaved) == []
        held.append(world.high.budget.promised)
    assert held[0] == held[1]


@pytest.mark.parametrize("lost", [False, True])
def test_who_does_not_read_stops_its_sender_here_too(lost: bool) -> None:
    """And lets it go on by reading, also if the first word of that is lost."""
    world = cut_off().run(2.0)
    world.reading = False
    said = [bytes([number]) * 60_000 for number in range(200)]
    for data in said:
        world.send(world.low, data)
    world.run(60.0)
    held = len(world.high.heard)
    assert 0 < held < len(said)
    assert held * 60_064 <= WINDOW_LIMIT_BYTES
    world.relay_loses = lambda _: lost
    world.reading = True
    for arrived in world.high.said(ContentArrived):
        world.tell(world.high, Read(arrived.stream, arrived.cost))
    world.run(0.5)
    assert (len(world.high.heard) > held) is not lost
    world.relay_loses = lambda _: False
    world.run(2 * KEEPALIVE)
    assert world.high.heard == said
    assert world.low.link.undelivered == {}


@pytest.mark.parametrize("lost", range(8))
def test_who_was_given_up_and_returns_learns_here_what_it_missed(lost: int) -> None:
    """Word of that is in one datagram with the name that would hide it."""
    world = cut_off()
    world.send(world.low, "had")
    world.run(3.0)
    world.tell(world.low, Abandon())
    world.send(world.low, "missed")
    world.low.link = world.low.link.heir()
    seen: list[bytes] = []

    def loses(datagram: bytes) -> bool:
        seen.append(datagram)
        return len(seen) - 1 == lost

    world.relay_loses = loses
    world.tell(world.low, Online(relay=True))
    world.send(world.low, "news")
    world.run(30.0)
    assert world.high.heard == ["had", "news"]
    assert world.high.said(MessagesLost) == [MessagesLost(LOW, "", 1)]
    assert world.low.link.undelivered == {}


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_paths_do_all_arrives_in_order_or_is_told_of(seed: int) -> None:
    """The relay loses and repeats, connections fall silent, revive, and are replaced."""
    dice = random.Random(seed)
    world = LinkWorld().meet()
    world.relay_loses = lambda _: dice.random() < 0.2
    sent: dict[int, list[str]] = {id(world.low): [], id(world.high): []}
    for end in (world.low, world.high):
        for name in ("x", "y"):
            world.open(end, name)
            world.listen(end, name)
    for number in range(60):
        match dice.randrange(9):
            case 0:
                world.network = not world.network
            case 1:
                world.engine = not world.engine
            case 2:
                world.wire_up = not world.wire_up
            case 3:
                world.relay_repeats = not world.relay_repeats
            case 4:
                world.tell(dice.choice((world.low, world.high)), Renew())
            case 5:
                end = dice.choice((world.low, world.high))
                world.tell(end, Offline())
                world.tell(end, Online(relay=True))
            case 6:
                world.tell(dice.choice((world.low, world.high)), CutLoose(dice.choice(("", "x"))))
            case _:
                pass
        end = dice.choice((world.low, world.high))
        channel = dice.choice(("", "x", "y"))
        text = f"{channel} {number} {'.' * dice.choice((0, 0, 30_000))}"
        sent[id(end)].append(text)
        world.send(end, text, channel=channel)
        world.run(dice.choice((0.0, 0.3, 4.0)))
    world.network = world.engine = world.wire_up = True
    world.relay_loses = lambda _: False
    for end in (world.low, world.high):
        world.tell(end, Online(relay=True))
    world.run(60.0)
    for end in (world.low, world.high):
        said, heard = sent[id(world.other(end))], [str(each) for each in end.heard]
        for channel in ("", "x", "y"):
            ours = [text for text in said if text.split(" ")[0] == channel]
            came = [text for text in heard if text.split(" ")[0] == channel]
            assert came == [text for text in ours if text in came]
            lost = sum(each.count for each in end.said(MessagesLost) if each.channel == channel)
            assert len(came) + lost == len(ours)
        assert end.link.undelivered == {}
        assert end.said(Misbehaved) == []


@pytest.mark.parametrize("lost", range(12))
def test_each_datagram_may_be_lost(lost: int) -> None:
    """Whichever it is, of either side, everything arrives once and in order."""
    world = losing(lost)
    said = [f"message {number}" for number in range(3)]
    for text in said:
        world.send(world.low, text)
        world.send(world.high, text, direct=True)
    world.run(3.0)
    for text in ("more", "and more"):
        world.send(world.low, text)
        world.send(world.high, text)
        world.run(0.5)
    world.run(10.0)
    for end in (world.low, world.high):
        assert end.heard == [*said, "more", "and more"]
        assert end.link.undelivered == {}
        assert end.said(Misbehaved) == []


def test_no_more_than_a_window_is_on_its_way() -> None:
    """The next leaves when the first have arrived."""
    world = cut_off().run(2.0)
    world.relay_loses = lambda datagram: len(datagram) > 1000
    begun = len(world.low.relayed)
    for _ in range(20):
        world.send(world.low, b"x" * 10_000)
    assert sum(map(len, world.low.relayed[begun:])) <= WINDOW_BYTES
    world.relay_loses = lambda _: False
    world.run(20.0)
    assert world.high.heard == [b"x" * 10_000] * 20


def test_a_fragment_larger_than_the_window_goes_alone() -> None:
    """Nothing waits for ever for its turn."""
    world = cut_off().run(2.0)
    for _ in range(2):
        world.send(world.low, b"x" * 200_000)
    world.run(5.0)
    assert world.high.heard == [b"x" * 200_000] * 2


def test_it_keeps_to_the_budget() -> None:
    """What is over it waits, acknowledgements too, and nothing is lost for it."""
    world = cut_off().run(2.0)
    for end in (world.low, world.high):
        end.allowance.set(2000.0, 1000.0, world.now)
    before = sum(map(len, world.low.relayed))
    for _ in range(20):
        world.send(world.low, b"x" * 1000)
    world.run(5.0)
    spent = sum(map(len, world.low.relayed)) - before
    assert spent <= 2000 + 5 * 1000 + 17_000
    assert len(world.high.heard) < 20
    world.run(60.0)
    assert world.high.heard == [b"x" * 1000] * 20


def test_who_does_not_answer_is_asked_less_often_and_is_not_there() -> None:
    """Time-outs double up to the most; after three the link has no path."""
    world = cut_off().run(2.0)
    world.relay_loses = lambda _: True
    world.send(world.low, "unheard")
    world.run(TIMEOUT * 2**TRIES + 1.0)
    assert paths(world.low) == [RELAY, None]
    said = len(world.low.relayed)
    world.run(10 * TIMEOUT_MOST)
    assert 5 <= len(world.low.relayed) - said <= 11
    world.relay_loses = lambda _: False
    world.run(2 * TIMEOUT_MOST)
    assert world.high.heard == ["unheard"]
    assert paths(world.low) == [RELAY, None, RELAY]


def test_an_idle_relay_is_kept_alive() -> None:
    """Now and then each asks, and is answered."""
    world = cut_off().run(2.0)
    said = len(kinds(world.low))
    world.run(10 * KEEPALIVE)
    asked = [kind for kind in kinds(world.low)[said:] if kind not in {"Ping", "Pong"}]
    assert 10 <= len(asked) <= 45
    assert paths(world.low) == [RELAY]


def test_its_quality_is_measured() -> None:
    """Pings go through the server, too; the direct way, once there is one, is another matter."""
    world = cut_off().run(RELAY_AFTER + 0.5)
    assert world.low.link.quality is not None
    assert [each.quality.grade for each in world.low.said(Graded)] == [Grade.EXCELLENT]
    assert world.low.link.quality.path is None
    world.relay_loses = lambda sent: b"ping" in sent
    world.run(4 * PING_INTERVAL)
    assert world.low.link.quality.loss > 0.05
    world.engine = True
    world.run(13.0)
    assert paths(world.low) == [RELAY, DIRECT]
    assert world.low.link.quality.loss == 0.0
    world.tell(world.low, Relayed(frames.datagram(frames.Pong(1))))
    assert world.low.link.quality.loss == 0.0


def test_without_it_there_is_no_quality() -> None:
    """It ends with the path."""
    world = cut_off().run(RELAY_AFTER + 0.5)
    world.tell(world.low, Offline())
    assert world.low.link.quality is None


def test_nobody_makes_us_spend_all_on_answers() -> None:
    """One a second, and none while something waits."""
    world = cut_off().run(2.0)
    said = kinds(world.low).count("Pong")
    for n in range(100):
        world.tell(world.low, Relayed(frames.datagram(frames.Ping(n))))
    assert kinds(world.low).count("Pong") <= said + 1
    world.low.allowance.spend(1e12, world.now)
    world.run(2 * PING_INTERVAL)
    pings = kinds(world.low).count("Ping")
    world.run(2 * PING_INTERVAL)
    assert kinds(world.low).count("Ping") == pings


def test_a_slow_answer_makes_patient() -> None:
    """After a round trip was seen to be long, a time-out is longer than it."""
    world = cut_off().run(2.0)
    kept: list[bytes] = []

    def keeps(datagram: bytes) -> bool:
        kept.append(datagram)
        return True

    for turn in range(2):
        world.relay_loses = keeps
        world.send(world.low, turn)
        world.run(0.8)
        datagram = kept.pop(0)
        world.tell(world.high, Relayed(datagram))
        world.run(ACK_DELAY)
        for each in kept:
            world.tell(world.low, Relayed(each))
        kept.clear()
        world.relay_loses = lambda _: False
        world.run(0.1)
    assert world.high.heard == [0, 1]
    world.relay_loses = lambda _: True
    said = len(world.low.relayed)
    world.send(world.low, 2)
    world.run(1.2)
    assert len(world.low.relayed) == said + 1, "it waits longer than before"


def test_without_the_server_it_ends() -> None:
    """Offline closes it, online opens it again at once or after a second."""
    world = cut_off().run(2.0)
    world.tell(world.low, Offline())
    assert paths(world.low) == [RELAY, None]
    said = len(world.low.relayed)
    world.tell(world.low, Relayed(frames.datagram(frames.Resume({}))))
    world.run(30.0)
    assert len(world.low.relayed) == said
    world.tell(world.low, Online(relay=True))
    world.send(world.low, "back")
    world.run(2 * TIMEOUT_MOST)
    assert world.high.heard == ["back"]


def test_without_keys_it_does_not_begin() -> None:
    """Online without relay is as before."""
    world = LinkWorld()
    world.engine = False
    for end in (world.low, world.high):
        world.tell(end, Online())
    world.run(10.0)
    assert world.low.relayed == world.high.relayed == []


def test_who_has_a_direct_path_answers_and_goes_on_over_that() -> None:
    """One side may find the path dead and the other not."""
    world = LinkWorld().meet().run(1.0)
    world.engine = world.wire_up = False
    world.tell(world.low, Renew())
    world.run(RELAY_AFTER + 1.0)
    assert world.high.link.path is DIRECT
    assert world.low.link.path is RELAY
    world.send(world.low, "by relay")
    world.run(1.0)
    assert world.high.heard == ["by relay"]
    assert world.low.link.undelivered == {}
    assert "Fragment" not in kinds(world.high)
    world.run(60.0)
    assert world.low.said(Misbehaved) == world.high.said(Misbehaved) == []


def test_an_answer_that_must_wait_is_waited_for() -> None:
    """Who has a direct path owes it over the relay, where nothing may be sent just now."""
    world = LinkWorld().meet().run(1.0)
    world.engine = world.wire_up = False
    world.tell(world.low, Renew())
    world.run(RELAY_AFTER + 1.0)
    world.high.allowance.set(100.0, 100.0, world.now)
    world.high.allowance.spend(1000, world.now)
    world.send(world.low, "by relay")
    world.now += ACK_DELAY
    world.tell(world.high, Tick())
    deadline = world.high.link.deadline
    assert deadline is not None
    assert deadline > world.now
    world.run(15.0)
    assert world.low.link.undelivered == {}


def test_a_silent_connection_that_is_heard_again_misses_nothing() -> None:
    """What the relay lost meanwhile is sent again over it, and what it carried not minded."""
    world = LinkWorld().meet().run(1.0)
    world.wire_up = world.network = False
    world.send(world.high, "held by the engine")
    for _ in range(int(INTERVAL + PATIENCE + RELAY_AFTER) + 1):
        world.run(1.0)
        # The other way is fine: only the higher finds the path dead, and can but ask.
        world.report(world.low, FrameReceived(0, frames.datagram(frames.Pong(1))))
    assert world.high.link.path is RELAY
    assert world.low.link.path is DIRECT
    world.send(world.high, "by relay")
    world.run(1.0)
    world.relay_loses = lambda _: True
    world.send(world.high, "lost by the relay")
    world.network = True
    world.run(1.0)
    assert world.high.link.path is DIRECT
    assert world.low.heard == ["held by the engine", "by relay", "lost by the relay"]
    assert world.low.said(Misbehaved) == world.high.said(Misbehaved) == []
    assert world.high.link.generation == 1


def test_a_resume_that_was_overtaken_is_no_violation() -> None:
    """What the relay has acknowledged since stays acknowledged."""
    world = LinkWorld().meet().run(1.0)
    world.engine = world.wire_up = False
    for end in (world.low, world.high):
        world.tell(end, Renew())
    world.run(3.0)
    world.report(world.low, ChannelOpened(0))
    stale = frames.datagram(frames.Resume({BROADCAST: START}))
    world.tell(world.low, Relayed(frames.datagram(frames.Ack({BROADCAST: START}))))
    world.send(world.low, "x")
    world.report(world.low, FrameReceived(0, stale))
    world.tell(world.low, FromEngine(world.low.number, FrameReceived(0, stale)))
    assert world.low.said(Misbehaved) == []


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x01\x3f",
        frames.datagram(frames.Ack({BROADCAST: Want(5, 0)})),
        frames.datagram(frames.Resume({BROADCAST: Want(5, 0)})),
        frames.datagram(
            Name(0, 0, "", BEGIN, BEGIN),
            frames.Fragment(BROADCAST, 0, kind=Kind.TEXT, last=True, payload=b"\xff"),
        ),
    ],
)
def test_nonsense_is_refused_and_ends_nothing(datagram: bytes) -> None:
    """It is told of; the relay and the connection stay as they are."""
    world = LinkWorld().meet().run(1.0)
    world.tell(world.low, Relayed(datagram))
    assert len(world.low.said(Misbehaved)) == 1
    assert world.low.link.state is LinkState.CONNECTED
    world.send(world.low, "unharmed")
    assert world.high.heard == ["unharmed"]


def test_what_makes_no_sense_without_its_beginning_is_ignored() -> None:
    """The frame that explained it was lost, and comes again; a signal has no meaning here."""
    world = cut_off()
    skip = frames.Skip(BROADCAST, Begin(3, 3, 300))
    fragment = frames.Fragment(BROADCAST, 0, kind=Kind.TEXT, last=True, payload=b"early")
    world.tell(world.low, Relayed(frames.datagram(skip, fragment, frames.Signal(1, 0, "{}"))))
    assert world.low.said(Misbehaved) == []
    assert world.low.heard == []
    world.run(1.0)


def test_who_is_cut_loose_is_told_over_the_relay() -> None:
    """Also if the first word of it is lost."""
    world = cut_off()
    world.send(world.low, "had")
    world.run(2.0)
    lost: list[bytes] = []

    def loses(datagram: bytes) -> bool:
        lost.append(datagram)
        return len(lost) <= 2

    world.relay_loses = loses
    world.send(world.low, "missed")
    world.tell(world.low, CutLoose(""))
    world.run(10.0)
    assert world.low.said(Lagged) == [Lagged(HIGH, "", 1)]
    assert world.high.said(MessagesLost) == [MessagesLost(LOW, "", 1)]
    world.send(world.low, "news")
    world.run(10.0)
    assert world.high.heard == ["had", "news"]


def test_who_leaves_says_goodbye_after_the_last_message_has_arrived() -> None:
    """A goodbye must not overtake what has to be sent again."""
    world = cut_off().run(2.0)
    world.relay_loses = lambda datagram: b"last" in datagram
    world.send(world.low, "last")
    world.tell(world.low, Depart())
    world.run(1.5)
    assert world.high.said(SaidGoodbye) == []
    world.relay_loses = lambda _: False
    world.run(10.0)
    assert world.high.heard == ["last"]
    assert world.high.said(SaidGoodbye) == [SaidGoodbye(LOW)]
    assert world.low.link.state is LinkState.CLOSED


def test_who_leaves_says_what_it_has() -> None:
    """Else the other side would count as lost what was read."""
    world = cut_off().run(2.0)
    world.send(world.high, "read")
    assert world.low.heard == ["read"]
    world.tell(world.low, Depart())
    assert kinds(world.low)[-2:] == ["Ack", "Bye"]
    assert world.high.said(SaidGoodbye) == [SaidGoodbye(LOW)]
    assert world.high.link.undelivered == {}


def test_who_leaves_does_not_mind_a_failing_connection_while_it_is_relayed() -> None:
    """The relay goes on until all has arrived."""
    world = cut_off().run(2.0)
    world.relay_loses = lambda _: True
    world.send(world.low, "late")
    world.tell(world.low, Depart())
    world.tell(world.low, Renew())
    assert LinkState.CLOSED not in world.low.states
    world.relay_loses = lambda _: False
    world.run(10.0)
    assert world.high.heard == ["late"]
    assert world.low.link.state is LinkState.CLOSED


def test_our_sleep_is_no_time_out() -> None:
    """What we could not hear meanwhile is waited for."""
    world = cut_off()
    world.tell(world.low, Slept(5.0))
    world.run(2.0)
    world.relay_loses = lambda _: True
    world.send(world.low, "x")
    said = kinds(world.low)
    world.now += 100.0
    world.tell(world.low, Slept(100.0))
    assert kinds(world.low) == [*said, "Ping"]


@pytest.mark.parametrize("cut_loose", [False, True])
def test_what_is_lost_comes_again_while_another_channel_goes_on(*, cut_loose: bool) -> None:
    """Progress of one stream is none of another; a lost skip is no better than a fragment."""
    world = cut_off()
    world.open(world.low, "x")
    world.listen(world.high, "x")
    world.run(2.0)
    world.send(world.low, "first", channel="x")
    world.run(1.0)
    world.relay_loses = lambda _: True
    world.send(world.low, "lost", channel="x")
    if cut_loose:
        world.tell(world.low, CutLoose("x"))
    world.relay_loses = lambda _: False
    for number in range(20):
        world.send(world.low, number)
        world.run(TIMEOUT / 4)
    if cut_loose:
        assert world.high.said(MessagesLost) == [MessagesLost(LOW, "x", 1)]
    else:
        assert world.high.heard[:12].count("lost") == 1
    assert world.low.link.undelivered == {}


class Far:
    """A pair of which each datagram takes a while to the other side."""

    def __init__(self, world: LinkWorld, way: float) -> None:
        """Begin now; ``way`` in seconds."""
        self._world = world
        self._way = way
        self._seen = {id(end): len(end.relayed) for end in (world.low, world.high)}
        self._going: list[tuple[float, End, bytes]] = []
        world.relay_loses = lambda _: True

    def run(self, seconds: float) -> None:
        """Let time pass."""
        world = self._world
        for _ in range(round(seconds / 0.05)):
            for end in (world.low, world.high):
                sent = end.relayed[self._seen[id(end)] :]
                self._seen[id(end)] += len(sent)
                self._going += [(world.now + self._way, world.other(end), each) for each in sent]
            world.run(0.05)
            due = [each for each in self._going if each[0] <= world.now]
            self._going = [each for each in self._going if each[0] > world.now]
            for _, to, datagram in due:
                world.tell(to, Relayed(datagram))


def test_a_long_round_trip_is_learned_of_what_was_sent_once() -> None:
    """However far the other side is, soon nothing is said twice."""
    world = cut_off().run(2.0)
    far = Far(world, 1.5)
    for number in range(6):
        world.send(world.low, number)
        far.run(5.0)
    assert world.high.heard == list(range(6))
    assert kinds(world.low).count("Fragment") == 6 + 2


def test_repetitions_take_twice_as_long_each_time() -> None:
    """Up to the most, from the first."""
    world = cut_off()
    world.relay_loses = lambda _: True
    times: list[float] = []
    while world.now < 40.0:
        known = len(world.low.relayed)
        world.run(0.25)
        if len(world.low.relayed) > known:
            times.append(world.now)
    assert times == [1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 40.0]


def test_what_is_not_wanted_any_more_is_no_measure() -> None:
    """Its answer never comes; the next is measured."""
    world = cut_off()
    world.open(world.low, "x")
    world.listen(world.high, "x")
    world.run(2.0)
    world.relay_loses = lambda _: True
    world.send(world.low, "unheard", channel="x")
    world.relay_loses = lambda _: False
    world.listen(world.high, "x", wanted=False)
    world.send(world.low, "heard")
    world.run(0.5)
    far = Far(world, 0.4)
    world.send(world.low, "from far")
    far.run(2.0)
    world.send(world.low, "lost")
    world.run(1.3)
    assert kinds(world.low)[-2:] == ["Fragment", "Fragment"], "it waits as it has learned"
    assert world.high.heard == ["heard", "from far"]


def test_who_asks_again_and_again_is_not_answered_each_time() -> None:
    """One answer is enough for a while."""
    world = cut_off().run(2.0)
    asked = frames.datagram(frames.Resume({}))
    said = len(world.low.relayed)
    for _ in range(100):
        world.tell(world.low, Relayed(asked))
        world.run(0.001)
    world.run(2 * ACK_DELAY)
    assert 4 <= len(world.low.relayed) - said <= 0.1 / ACK_DELAY + 2


def test_while_nothing_may_be_said_nobody_is_missed() -> None:
    """Who was never asked has not kept silent."""
    world = cut_off().run(2.0)
    for end in (world.low, world.high):
        end.allowance.set(1.0, 100.0, world.now)
        end.allowance.spend(6000, world.now)
    world.run(KEEPALIVE + 45.0)
    assert paths(world.low) == [RELAY]
    world.run(20.0)
    assert paths(world.low) == [RELAY]
    world.send(world.low, "there")
    world.run(5.0)
    assert world.high.heard == ["there"]


def test_what_waits_for_its_turn_is_not_said_over_another_path() -> None:
    """What was to be said over the relay means nothing once there is a direct path."""
    world = LinkWorld()
    world.engine = False
    world.low.allowance.spend(1e9 + 5e9, 0.0)
    world.meet().run(3.0)
    assert world.low.relayed == []
    world.engine = True
    for end in (world.low, world.high):
        world.tell(end, Renew())
    world.run(30.0)
    assert world.low.link.path is DIRECT
    assert "Resume" not in kinds(world.low)
