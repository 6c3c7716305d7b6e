"""The laws of a link: it connects, it mends itself, and what is queued survives."""

import dataclasses
import itertools
import json

import pytest

from tests.core.link_world import ALL, HIGH, LOW, NO_RESTART, End, LinkWorld
from thkmesh.core import frames, wire
from thkmesh.core.candidates import CANDIDATE_LIMIT
from thkmesh.core.engine import (
    BULK,
    CONTROL,
    REALTIME,
    AddCandidate,
    ApplyRemote,
    BufferLow,
    Candidate,
    CandidateFound,
    ChannelClosed,
    ChannelOpened,
    ConnectionState,
    Description,
    FrameReceived,
    MakeOffer,
    OperationDone,
    OperationFailed,
    SdpType,
    StateChanged,
    Stats,
)
from thkmesh.core.heartbeat import DOUBT_PATIENCE, INTERVAL, PATIENCE
from thkmesh.core.link import (
    DRAIN,
    RESTART_PATIENCE,
    UNHEARD,
    WISH_INTERVAL,
    WISHES,
    LinkSettings,
)
from thkmesh.core.link_events import (
    Abandon,
    AskStats,
    CloseConnection,
    CutLoose,
    Depart,
    Enqueue,
    FromEngine,
    Graded,
    Lagged,
    MarkLow,
    MeasureBuffer,
    Measured,
    MessagesLost,
    Misbehaved,
    NetworkChanged,
    Offline,
    Online,
    OpenConnection,
    Perform,
    Renew,
    SaidGoodbye,
    SendFrame,
    SignalArrived,
    StatsArrived,
    TransmitSignal,
)
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.negotiation import Change
from thkmesh.core.quality import STATS_INTERVAL
from thkmesh.core.retry import RETRY_BASE, SETTLE_TIMEOUT, STEADY
from thkmesh.core.streams import ACK_DELAY
from thkmesh.core.trickle import BATCHING, FIRST_BATCHING
from thkmesh.core.window import MOST_BYTES
from thkmesh.events import Data, Grade, LinkState, PathKind

CONNECTED, RECONNECTING = LinkState.CONNECTED, LinkState.RECONNECTING


def said(data: Data, number: int = 0) -> bytes:
    """Return the datagram of a message to everybody."""
    kind, payload = frames.encode(data)
    fragment = frames.Fragment(frames.BROADCAST, number, kind, last=True, payload=payload)
    return frames.datagram(fragment)


def envelopes(world: LinkWorld) -> list[str]:
    """Return the kinds of signal that the lower end sent, in order."""
    sent = [o for o in world.low.out if isinstance(o, TransmitSignal)]
    return [each.envelope.__name__ for each in sent]


def test_it_does_nothing_while_offline() -> None:
    """Before signals can reach the other, no connection is made."""
    world = LinkWorld().run(100.0)
    assert world.low.out == []
    assert world.low.link.deadline is None


def test_two_links_connect() -> None:
    """Online, both reach connected in the first generation, the lower offering."""
    world = LinkWorld().connect()
    assert world.low.states == world.high.states == [CONNECTED]
    assert world.low.link.generation == world.high.link.generation == 1
    assert world.low.link.polite
    assert not world.high.link.polite
    assert world.low.said(Misbehaved) == world.high.said(Misbehaved) == []


def test_connecting_costs_three_signals_a_side_at_most() -> None:
    """Candidates are batched into one signal, and acknowledgements ride along."""
    world = LinkWorld().connect()
    assert envelopes(world) == ["Offer", "IceCandidate", "Ack"]
    assert len(world.high.said(TransmitSignal)) <= 3


def test_complete_candidates_leave_at_once() -> None:
    """When the engine has no more candidates, those it had wait for nothing."""
    world = LinkWorld()
    for end in (world.low, world.high):
        world.tell(end, Online())
    assert world.now == 0.0
    assert envelopes(world) == ["Offer", "IceCandidate"]
    assert world.low.states == [CONNECTED]


def test_candidates_wait_for_those_to_come() -> None:
    """Candidates that are not the last leave together, a moment after the first."""
    world = LinkWorld().connect()
    before = len(envelopes(world))
    for text in ("candidate:2", "candidate:3"):
        world.report(world.low, CandidateFound(Candidate(text, "0", 0, "low1")))
    assert envelopes(world)[before:] == []
    world.run(BATCHING)
    assert envelopes(world)[before:] == ["IceCandidate"]


def test_the_first_candidates_wait_less_than_later_ones() -> None:
    """What is found at once leaves soon after its description, and the rest in fewer signals."""
    world = LinkWorld()
    world.engine = False
    world.tell(world.low, Online())
    offer = Description(SdpType.OFFER, "v=0\r\na=ice-ufrag:low1\r\n")
    world.report(world.low, OperationDone(MakeOffer(), offer))
    sent = ["Offer"]
    for number, patience in enumerate((FIRST_BATCHING, BATCHING, BATCHING)):
        candidate = Candidate(f"candidate:{number}", "0", 0, "low1")
        world.report(world.low, CandidateFound(candidate))
        world.run(0.9 * patience)
        assert envelopes(world) == sent
        world.run(0.1 * patience)
        sent.append("IceCandidate")
        assert envelopes(world) == sent


def test_many_candidates_travel_in_several_signals() -> None:
    """A machine with many addresses does not make a signal that is refused."""
    world = LinkWorld().connect()
    before = len(world.low.said(TransmitSignal))
    for n in range(70):
        found = CandidateFound(Candidate(f"candidate:{n}", "0", 0, "low1"))
        world.tell(world.low, FromEngine(world.low.number, found))
    world.run(1.0)
    bodies = [json.loads(o.body) for o in world.low.said(TransmitSignal)[before:]]
    assert [len(body["candidates"]) for body in bodies] == [32, 32, 6]


def test_an_engine_is_spared_too_many_candidates() -> None:
    """Those beyond the limit are declined, each at once, and told of once a connection."""
    world = LinkWorld()
    world.tell(world.high, Online())
    signals: list[wire.SignalBody] = [
        wire.OfferBody(1, 1, wire.SeedDescription("offer", "v=0\r\na=ice-ufrag:low1\r\n"))
    ]
    for first in range(0, 3 * CANDIDATE_LIMIT, 64):
        texts = [f"candidate:{number}" for number in range(first, first + 64)]
        inits = tuple(wire.CandidateInit(text, "low1") for text in texts)
        signals.append(wire.CandidatesBody(1, inits))
    for seq, body in enumerate(signals, start=1):
        world.tell(world.high, SignalArrived(seq, 0, body))
    asked = [output.operation for output in world.high.said(Perform)]
    assert len([each for each in asked if isinstance(each, AddCandidate)]) == CANDIDATE_LIMIT
    assert len(world.high.said(Misbehaved)) == 1


def test_two_hasty_links_connect_too() -> None:
    """When the higher offers first as well, the collision is settled."""
    world = LinkWorld(hasty=True).connect()
    assert world.low.states[-1] is world.high.states[-1] is CONNECTED


def test_what_is_queued_before_the_link_is_up_arrives() -> None:
    """Messages wait for the link, and arrive in order."""
    world = LinkWorld()
    for n in range(3):
        world.send(world.low, n)
    assert world.low.link.waiting_bytes > 0
    world.connect()
    assert world.high.heard == [0, 1, 2]
    assert world.low.link.waiting_bytes == 0
    assert world.low.link.undelivered == {}


@pytest.mark.parametrize(
    "event",
    [
        StateChanged(ConnectionState.FAILED),
        ChannelClosed(0),
        OperationFailed(MakeOffer(), "broken"),
    ],
    ids=["failed", "closed", "operation"],
)
@pytest.mark.parametrize("side", ["low", "high"])
def test_a_lost_connection_is_replaced_at_once(side: str, event: object) -> None:
    """Whichever side notices, the next generation connects without waiting."""
    world = LinkWorld(capabilities=NO_RESTART).connect()
    if isinstance(event, OperationFailed):
        world.engine = False
        world.tell(getattr(world, side), Change())
        world.engine = True
    world.report(getattr(world, side), event)  # type: ignore[arg-type]
    world.run(0.1)
    assert world.low.states == world.high.states == [CONNECTED, RECONNECTING, CONNECTED]
    assert world.low.link.generation == world.high.link.generation == 2
    assert world.low.closed == [(1, 0.0)]


def test_a_queue_outlives_a_connection() -> None:
    """What the engine has not been given is sent over the next connection."""
    world = LinkWorld().connect()
    world.wire_up = False
    world.report(world.low, ChannelClosed(0))
    world.send(world.low, "still here")
    world.wire_up = True
    world.run(60.0)
    assert world.high.heard == ["still here"]


def test_a_vanished_peer_is_noticed() -> None:
    """When pings stay unanswered the link is given up, though the engine says nothing."""
    world = LinkWorld().connect()
    world.network = False
    world.wire_up = False
    world.run(10.0)
    assert world.low.states == [CONNECTED, RECONNECTING]


def test_an_idle_link_stays_connected() -> None:
    """Pings and pongs keep a quiet link for as long as it works."""
    world = LinkWorld().connect()
    world.run(3600.0)
    assert world.low.states == world.high.states == [CONNECTED]


def test_our_sleep_does_not_break_a_healthy_link() -> None:
    """After we slept the other has its patience again, and answers."""
    world = LinkWorld().connect()
    world.network = False
    world.run(3.0)
    world.now += 60.0
    world.tell(world.low, Slept(60.0))
    world.tell(world.high, Slept(60.0))
    world.network = True
    world.run(5.0)
    assert world.low.states == world.high.states == [CONNECTED]


def test_a_connection_that_never_opens_is_retried_with_growing_waits() -> None:
    """Each attempt has its time to settle, then full jitter, then the next generation."""
    world = LinkWorld(dice=1.0)
    world.network = False
    world.connect().run(200.0)
    opened = world.low.said(OpenConnection)
    assert 5 <= len(opened) <= 9
    assert world.low.link.state is LinkState.CONNECTING
    world.network = True
    world.run(60.0)
    assert world.low.states == [CONNECTED]


def test_sleep_prolongs_the_time_to_settle() -> None:
    """A connection is not given up for the time in which we slept."""
    world = LinkWorld()
    world.network = False
    world.connect()
    world.now += 100.0
    world.tell(world.low, Slept(100.0))
    assert len(world.low.said(OpenConnection)) == 1


def test_a_negotiation_that_does_not_settle_is_given_up() -> None:
    """A connected link whose engine hangs in an operation is replaced."""
    world = LinkWorld().connect()
    world.engine = False
    world.tell(world.low, Change())
    world.run(SETTLE_TIMEOUT - 1.0)
    assert world.low.states == [CONNECTED]
    world.engine = True
    world.run(2.0)
    assert world.low.states == [CONNECTED, RECONNECTING, CONNECTED]


def test_without_the_server_a_broken_link_waits_for_it() -> None:
    """Retries need signaling: offline nothing is tried, online it is tried at once."""
    world = LinkWorld().connect()
    for end in (world.low, world.high):
        world.tell(end, Offline())
    world.report(world.low, ChannelClosed(0))
    world.report(world.high, ChannelClosed(0))
    world.run(100.0)
    assert len(world.low.said(OpenConnection)) == 1
    world.connect()
    assert world.low.states == [CONNECTED, RECONNECTING, CONNECTED]


def test_a_silent_connection_is_heard_again() -> None:
    """What stalls while the server is away is kept and asked on, and goes on when it is heard."""
    world = LinkWorld().connect()
    for end in (world.low, world.high):
        world.tell(end, Offline())
    world.network = False
    world.send(world.low, "on the way")
    world.run(60.0)
    assert world.low.states == world.high.states == [CONNECTED, RECONNECTING]
    world.send(world.low, "kept")
    world.network = True
    world.run(INTERVAL)
    assert world.low.states == world.high.states == [CONNECTED, RECONNECTING, CONNECTED]
    assert world.low.link.generation == 1
    assert world.high.heard == ["on the way", "kept"]
    world.connect().run(30.0)
    assert world.low.link.generation == 1
    assert world.low.states == [CONNECTED, RECONNECTING, CONNECTED]


def test_what_is_lost_for_good_is_not_asked_on() -> None:
    """Pings end with the connection: when the engine gives it up, and when it is replaced."""
    world = LinkWorld(capabilities=NO_RESTART).connect()
    world.tell(world.low, Offline())
    world.network = world.wire_up = False
    world.run(20.0)
    asked = len(world.low.frames)
    world.run(20.0)
    assert len(world.low.frames) > asked
    world.report(world.low, StateChanged(ConnectionState.FAILED))
    asked = len(world.low.frames)
    world.run(20.0)
    assert len(world.low.frames) == asked
    world.report(world.low, FrameReceived(0, said("late")))
    assert world.low.link.state is RECONNECTING


def test_who_is_cut_loose_before_it_was_there_is_told_later() -> None:
    """The sender knows at once, the other side when they connect."""
    world = LinkWorld()
    world.send(world.low, "missed")
    world.tell(world.low, CutLoose(""))
    assert world.low.said(Lagged) == [Lagged(HIGH, "", 1)]
    world.send(world.low, "news")
    world.connect()
    assert world.high.said(MessagesLost) == [MessagesLost(LOW, "", 1)]
    assert world.high.heard == ["news"]


def test_who_is_cut_loose_while_reconnecting_is_told_after_its_resume() -> None:
    """What it has is not known before, so nothing can be skipped yet."""
    world = LinkWorld().connect()
    world.send(world.low, "had")
    world.run(ACK_DELAY)
    world.network = False
    world.tell(world.low, Renew())
    world.run(0.0)
    world.report(world.low, ChannelOpened(0))
    world.send(world.low, "missed")
    spoken = len(world.low.frames)
    world.tell(world.low, CutLoose(""))
    assert world.low.said(Lagged) == [Lagged(HIGH, "", 1)]
    assert len(world.low.frames) == spoken
    world.report(world.high, ChannelOpened(0))
    world.network = True
    assert world.high.said(MessagesLost) == [MessagesLost(LOW, "", 1)]
    assert world.high.heard == ["had"]


def signals(end: End) -> list[frames.Signal]:
    """Return the signals that an end has sent over the connection."""
    said = [frame for datagram in end.frames for frame in frames.parse(datagram)]
    return [frame for frame in said if isinstance(frame, frames.Signal)]


def test_without_the_server_signals_go_over_the_connection() -> None:
    """A living connection is negotiated anew by itself; nothing waits for the server."""
    world = LinkWorld().connect()
    world.run(ACK_DELAY * 20)
    assert signals(world.low) == signals(world.high) == []
    for end in (world.low, world.high):
        world.tell(end, Offline())
        end.out.clear()
    world.tell(world.low, Change(ice_restart=True))
    world.run(1.0)
    operations = [output.operation for output in world.high.said(Perform)]
    assert [o.description.type for o in operations if isinstance(o, ApplyRemote)] == [SdpType.OFFER]
    operations = [output.operation for output in world.low.said(Perform)]
    assert [o.description.type for o in operations if isinstance(o, ApplyRemote)] == [
        SdpType.ANSWER
    ]
    for end in (world.low, world.high):
        assert not end.said(TransmitSignal)
        assert end.link.generation == 1
        told = max(each.seq for each in signals(world.other(end)))
        assert max(each.ack for each in signals(end)) == told
    world.connect()
    assert not [
        output.seq
        for end in (world.low, world.high)
        for output in end.said(TransmitSignal)
        if output.seq
    ]


def test_a_silent_link_is_signalled_over_both_ways() -> None:
    """Whichever comes first counts; the other is had already."""
    world = LinkWorld().connect()
    world.network = False
    world.run(INTERVAL + PATIENCE + 0.5)
    told = [output.seq for output in world.low.said(TransmitSignal)]
    over = [signal.seq for signal in signals(world.low)]
    assert over
    assert told[-len(over) :] == over
    world.network = True
    world.run(1.0)
    assert world.low.link.state is world.high.link.state is CONNECTED
    assert not world.low.said(Misbehaved)
    assert not world.high.said(Misbehaved)


def test_odd_signals_over_the_connection_are_told_of_and_end_nothing() -> None:
    """Malformed ones are refused, those of later versions skipped; what follows them counts."""
    world = LinkWorld().connect()
    (seq,) = {output.seq for output in world.high.said(TransmitSignal)[-1:]}
    later = frames.Signal(seq + 2, 0, '{"kind":"later"}')
    for odd in (frames.Signal(seq + 1, 0, "{"), later, frames.Signal(0, 0, "")):
        world.report(world.low, FrameReceived(0, frames.datagram(odd)))
    (misbehaved,) = world.low.said(Misbehaved)
    assert "malformed" in str(misbehaved.error)
    world.run(1.0)
    assert world.low.said(TransmitSignal)[-1].ack == seq + 2
    assert world.low.link.state is CONNECTED


def test_who_has_asked_for_another_takes_what_it_has_until_then() -> None:
    """The higher can only ask; the lower may not hear it, and a healed path be all there is."""
    world = LinkWorld(capabilities=NO_RESTART).connect()
    world.tell(world.low, Offline())
    world.network = world.wire_up = False
    world.run(INTERVAL + PATIENCE + 1.0)
    assert world.high.said(TransmitSignal)[-1].envelope is wire.Restart
    world.network = True
    world.run(3 * SETTLE_TIMEOUT)
    for end in (world.low, world.high):
        assert end.states == [CONNECTED, RECONNECTING, CONNECTED]
        assert end.link.generation == 1
    world.wire_up = True
    world.connect()
    world.run(60.0)
    assert world.low.link.generation == world.high.link.generation == 2
    assert world.low.link.state is world.high.link.state is CONNECTED


def test_a_replaced_connection_is_not_taken_up_again() -> None:
    """Once the lower has opened the next generation, a word from the former means nothing."""
    world = LinkWorld(capabilities=NO_RESTART).connect()
    former = world.low.number
    world.network = world.wire_up = False
    world.run(INTERVAL + PATIENCE + 1.0)
    assert world.low.link.generation == 2
    world.tell(world.low, FromEngine(former, FrameReceived(0, said("late"))))
    assert world.low.link.state is RECONNECTING
    assert world.low.heard == []


def test_connections_are_not_to_be_had_without_end() -> None:
    """Who asks for one after the other gets so many, and then one from time to time."""
    world = LinkWorld().connect()
    world.wire_up = False

    def ask() -> None:
        wanted = world.low.link.generation + 1
        body = wire.RestartBody(wanted)
        world.tell(world.low, SignalArrived(next(numbers), 0, body))

    numbers = itertools.count(1 + max(each.seq for each in world.high.said(TransmitSignal)))
    for _ in range(WISHES + 5):
        ask()
    assert world.low.link.generation == 1 + WISHES
    errors = world.low.said(Misbehaved)
    assert [str(each.error) for each in errors] == ["asks for connections without end"] * 5
    world.run(WISH_INTERVAL)
    ask()
    assert world.low.link.generation == 2 + WISHES


def test_offers_of_new_generations_are_counted_too() -> None:
    """The lower opens generations by offering; beyond the limit its offers are ignored."""
    world = LinkWorld().connect().run(WISH_INTERVAL)
    world.wire_up = False
    number = max(each.seq for each in world.low.said(TransmitSignal))
    for step in range(1, WISHES + 6):
        body = wire.OfferBody(1 + step, 1 + step, wire.SeedDescription("offer", "v=0\r\n"))
        world.tell(world.high, SignalArrived(number + step, 0, body))
    assert world.high.link.generation == 1 + WISHES
    assert len(world.high.said(Misbehaved)) == 5


def test_the_end_of_candidates_is_not_news_to_who_is_connected() -> None:
    """A search that goes on for seconds, as for STUN servers that do not answer, ends unsaid."""
    world = LinkWorld().connect()
    sent = len(world.low.said(TransmitSignal))
    world.report(world.low, CandidateFound(Candidate("", "0", 0, "low1")))
    world.run(1.0)
    assert len(world.low.said(TransmitSignal)) == sent
    world.report(world.low, CandidateFound(Candidate("candidate:2", "0", 0, "low1")))
    world.run(1.0)
    assert len(world.low.said(TransmitSignal)) == sent + 1


def test_a_steady_link_is_mended_at_once_again() -> None:
    """A connection that lived long resets the waits; one that did not, does not."""
    world = LinkWorld(dice=0.999).connect()
    world.report(world.low, ChannelClosed(0))
    world.run(0.1)
    world.report(world.low, ChannelClosed(0))
    world.run(RETRY_BASE * 0.5)
    assert world.low.link.state is RECONNECTING
    world.run(RETRY_BASE)
    assert world.low.link.state is CONNECTED
    world.run(STEADY)
    world.report(world.low, ChannelClosed(0))
    world.run(0.1)
    assert world.low.link.state is CONNECTED
    assert world.low.link.generation == 4


def test_a_link_can_be_renewed_by_hand() -> None:
    """The reconnect button makes the next generation at once, from either side, every time."""
    world = LinkWorld().connect()
    for number in range(4):
        for end in (world.low, world.high):
            world.tell(end, Renew())
            world.run(0.1)
        assert world.low.link.generation == world.high.link.generation == 3 + 2 * number
    assert world.high.states == [CONNECTED, *[RECONNECTING, CONNECTED] * 8]


def test_a_second_loss_while_waiting_changes_nothing() -> None:
    """There is one retry, however many reasons."""
    world = LinkWorld().connect()
    world.wire_up = False
    world.report(world.high, ChannelClosed(0))
    world.report(world.high, StateChanged(ConnectionState.FAILED))
    restarts = [o for o in world.high.said(TransmitSignal) if o.envelope is wire.Restart]
    assert len(restarts) <= 1


def test_events_of_a_discarded_connection_are_inert() -> None:
    """Results and frames of another number than the current one have no effect."""
    world = LinkWorld().connect()
    world.tell(world.low, Renew())
    world.run(0.1)
    before = len(world.low.out)
    world.tell(world.low, FromEngine(1, FrameReceived(0, said("ghost"))))
    world.tell(world.low, FromEngine(1, StateChanged(ConnectionState.FAILED)))
    world.tell(world.low, Measured(1, 10**9))
    assert world.low.out[before:] == []


def test_the_engine_is_fed_as_it_drains() -> None:
    """Only a window is handed on; asked when it runs low and drained, the rest follows."""
    world = LinkWorld().connect()
    world.low.held_bytes = MOST_BYTES
    for _ in range(40):
        world.send(world.low, bytes(60_000))
    assert len(world.high.heard) == 1
    asked = len(world.low.said(MeasureBuffer))
    world.report(world.low, BufferLow(REALTIME))
    assert len(world.low.said(MeasureBuffer)) == asked
    for count, channel in enumerate((CONTROL, BULK), start=1):
        world.report(world.low, BufferLow(channel))
        assert len(world.low.said(MeasureBuffer)) == asked + count
    assert len(world.high.heard) == 1
    world.low.held_bytes = 0
    world.report(world.low, BufferLow(0))
    assert len(world.high.heard) == 40


def test_an_engine_that_never_runs_low_is_asked_with_each_acknowledgement() -> None:
    """One may be unable to change its mark; as long as something arrives we come to ask."""
    world = LinkWorld().connect()
    world.low.held_bytes = MOST_BYTES
    for _ in range(2):
        world.send(world.low, bytes(60_000))
    assert len(world.high.heard) == 1
    world.low.held_bytes = 0
    world.run(ACK_DELAY)
    assert len(world.high.heard) == 2


def test_the_mark_follows_the_window() -> None:
    """The engine is told before it is given more, else it might have nothing to say."""
    world = LinkWorld().connect()
    world.send(world.low, bytes(4_000_000))
    world.run(1.0)
    kinds = [type(each) for each in world.low.out if isinstance(each, SendFrame | MarkLow)]
    marks = [each.size_bytes for each in world.low.said(MarkLow)]
    assert marks == [2**n * 1024 for n in range(4, 9)]
    assert kinds[-1] is SendFrame
    world.tell(world.low, Renew())
    world.run(1.0)
    world.send(world.low, bytes(4_000_000))
    world.run(1.0)
    again = world.low.said(MarkLow)[len(marks) :]
    assert again == [MarkLow(HIGH, 2, mark) for mark in marks]


@pytest.mark.parametrize(("rtt", "grows"), [(0.3, True), (0.02, False), (None, False)])
def test_a_long_path_is_given_more_ahead(rtt: float | None, grows: bool) -> None:
    """An engine that needs 0.3 s for all it has is slow, unless that is one round trip."""
    world = LinkWorld().connect()
    world.tell(world.low, StatsArrived(world.low.number, Stats(rtt=rtt)))
    world.low.held_bytes = 60_000
    world.send(world.low, bytes(100_000))
    world.run(0.3)
    world.low.held_bytes = 0
    world.report(world.low, BufferLow(0))
    assert bool(world.low.said(MarkLow)) is grows


def test_a_malformed_frame_costs_the_sender_its_connection() -> None:
    """It is reported, nothing more is heard over that connection, and it is replaced."""
    world = LinkWorld().connect()
    for _ in range(2):
        number = world.high.number
        for frame in (b"\xff", b"\xff", said("too late")):
            world.tell(world.high, FromEngine(number, FrameReceived(0, frame)))
        assert (number, 0.0) in world.high.closed
        world.run(RETRY_BASE)
    assert len(world.high.said(Misbehaved)) == 2
    assert world.high.heard == []
    assert world.high.states == [CONNECTED, *[RECONNECTING, CONNECTED] * 2]


def test_a_description_that_the_engine_refuses_is_reported() -> None:
    """It is the other side's, and the connection it was for is replaced."""
    world = LinkWorld().connect()
    refused = ApplyRemote(Description(SdpType.OFFER, "nonsense"))
    world.report(world.high, OperationFailed(refused, "no fingerprint"))
    world.run(0.1)
    assert [output.error.args for output in world.high.said(Misbehaved)] == [("no fingerprint",)]
    assert world.high.states == [CONNECTED, RECONNECTING, CONNECTED]


def test_what_may_be_skipped_has_no_effect() -> None:
    """A frame of a later version leaves the link as it is."""
    world = LinkWorld().connect()
    before = len(world.high.out)
    world.report(world.high, FrameReceived(0, b"\x01\x80\x00"))
    world.report(world.high, StateChanged(ConnectionState.DISCONNECTED))
    world.report(world.high, ChannelOpened(BULK))
    assert world.high.out[before:] == []


def test_leaving_delivers_what_is_queued_and_says_goodbye() -> None:
    """The goodbye comes after the last message; when all have arrived the connection closes."""
    world = LinkWorld().connect()
    world.send(world.low, "last words")
    world.tell(world.low, Depart())
    assert world.high.heard == ["last words"]
    assert world.high.said(SaidGoodbye) == [SaidGoodbye(LOW)]
    assert world.low.closed == []
    world.run(ACK_DELAY)
    assert world.low.closed == [(1, DRAIN)]
    assert world.low.link.state is LinkState.CLOSED
    assert world.low.link.deadline is None


def test_who_has_said_all_leaves_at_once() -> None:
    """What has arrived before needs no more waiting."""
    world = LinkWorld().connect()
    world.send(world.low, "arrived")
    world.run(1.0)
    world.tell(world.low, Depart())
    assert world.low.closed == [(1, DRAIN)]
    assert len(world.high.said(SaidGoodbye)) == 1


def test_leaving_waits_until_the_queue_is_empty() -> None:
    """With a full engine the goodbye stands at the end of the queue."""
    world = LinkWorld().connect()
    world.low.held_bytes = MOST_BYTES
    for _ in range(40):
        world.send(world.low, bytes(60_000))
    world.tell(world.low, Depart())
    assert world.high.said(SaidGoodbye) == []
    world.low.held_bytes = 0
    world.report(world.low, BufferLow(0))
    assert len(world.high.heard) == 40
    assert len(world.high.said(SaidGoodbye)) == 1


def test_however_slow_the_network_all_is_delivered() -> None:
    """A leaver waits for as long as the other side is heard of."""
    world = LinkWorld().connect()
    world.low.held_bytes = MOST_BYTES
    for _ in range(40):
        world.send(world.low, bytes(60_000))
    world.tell(world.low, Depart())
    world.run(60.0)
    assert world.low.link.state is CONNECTED
    world.low.held_bytes = 0
    world.report(world.low, BufferLow(0))
    world.run(ACK_DELAY)
    assert world.low.link.state is LinkState.CLOSED


def test_who_is_not_heard_of_is_not_waited_for() -> None:
    """Neither who falls silent, nor who has never answered; but who answers is."""
    world = LinkWorld().connect()
    world.network = False
    world.send(world.low, "lost")
    world.tell(world.low, Depart())
    world.run(UNHEARD)
    assert world.low.closed == [(1, 0.0)]
    world = LinkWorld()
    world.wire_up = False
    world.tell(world.low, Online())
    world.send(world.low, "lost")
    world.tell(world.low, Depart())
    world.run(UNHEARD)
    assert world.low.link.state is LinkState.CLOSED
    world = LinkWorld()
    world.network = False
    world.connect()
    world.send(world.low, "later")
    world.tell(world.low, Depart())
    world.run(2 * UNHEARD)
    assert world.low.link.state is LinkState.CONNECTING


def test_leaving_an_unconnected_link_just_closes_it() -> None:
    """Nobody is there to say goodbye to, so nothing is waited for."""
    world = LinkWorld()
    world.tell(world.low, Depart())
    assert world.low.closed == []
    assert world.low.states == [LinkState.CLOSED]


def test_leaving_delivers_what_waits_for_the_link_to_open() -> None:
    """Who says something and leaves at once, as a pipe does, is heard nevertheless."""
    world = LinkWorld()
    world.send(world.low, "in passing")
    world.tell(world.low, Depart())
    assert world.low.states == []
    world.connect()
    assert world.high.heard == ["in passing"]
    assert world.high.said(SaidGoodbye) == [SaidGoodbye(LOW)]
    assert world.low.closed == [(1, DRAIN)]


def test_a_connection_that_breaks_while_leaving_ends_it() -> None:
    """There is no next generation for who is leaving."""
    world = LinkWorld().connect()
    world.low.held_bytes = MOST_BYTES
    for _ in range(40):
        world.send(world.low, bytes(60_000))
    world.tell(world.low, Depart())
    world.report(world.low, ChannelClosed(0))
    assert world.low.link.state is LinkState.CLOSED


def test_a_closed_link_is_silent() -> None:
    """Nothing comes out of a link after its end."""
    world = LinkWorld().connect()
    world.tell(world.low, Abandon())
    assert world.low.out[-2:] == [CloseConnection(HIGH, 1, 0.0), world.low.out[-1]]
    before = len(world.low.out)
    for event in (Online(), Tick(), Enqueue("", 0, b"x"), Renew(), Abandon()):
        world.tell(world.low, event)
    assert world.low.out[before:] == []


def test_violations_are_reported() -> None:
    """What no correct peer does is told, from negotiation and from sequencing."""
    world = LinkWorld().connect()
    world.tell(world.low, SignalArrived(1000, 0, wire.RestartBody(wanted=1)))
    world.tell(world.high, SignalArrived(3, 0, wire.RestartBody(wanted=9)))
    assert len(world.low.said(Misbehaved)) == 1
    assert len(world.high.said(Misbehaved)) == 1


def test_a_signal_of_an_unknown_kind_is_skipped() -> None:
    """It has its number and no body; those after it are heard."""
    world = LinkWorld()
    world.tell(world.high, Online())
    world.tell(world.high, SignalArrived(1, 0, None))
    assert world.high.link.generation == 0
    world.tell(world.high, SignalArrived(2, 0, wire.RestartBody(1)))
    assert len(world.high.said(Misbehaved)) == 1, "the higher one is not asked to restart"


def test_stale_signals_are_not_violations() -> None:
    """What delays and collisions explain is ignored without a word."""
    world = LinkWorld().connect()
    world.tell(world.low, SignalArrived(1, 0, wire.RestartBody(wanted=1)))
    world.tell(world.low, SignalArrived(3, 0, wire.RestartBody(wanted=1)))
    world.tell(world.low, SignalArrived(1, 0, wire.RestartBody(wanted=9)))
    world.tell(world.low, Online())
    assert world.low.said(Misbehaved) == []
    assert world.low.link.generation == 1


def test_a_peer_that_acknowledges_nothing_is_bounded() -> None:
    """Signals pile up to their limit, then the link only waits and retries."""
    world = LinkWorld()
    world.wire_up = False
    world.connect()
    for _ in range(300):
        world.tell(world.low, Renew())
        world.run(20.0)
    unacknowledged = {o.seq for o in world.low.said(TransmitSignal)}
    assert max(unacknowledged) <= 256
    assert world.low.link.state is LinkState.CONNECTING


def test_an_engine_without_ice_restart_is_replaced_instead() -> None:
    """A restart that the engine cannot do opens the next generation."""
    weak = dataclasses.replace(ALL, ice_restart=False, rollback=False)
    world = LinkWorld(capabilities=weak).connect()
    world.tell(world.low, Change(ice_restart=True))
    world.run(0.1)
    assert world.high.link.generation == 2
    assert world.low.states[-1] is CONNECTED


def test_frames_while_closed_are_not_sent() -> None:
    """Control frames need an open channel; without one nothing goes out."""
    world = LinkWorld().connect()
    world.wire_up = False
    world.report(world.low, ChannelClosed(0))
    before = len(world.low.said(SendFrame))
    world.report(world.low, FrameReceived(0, frames.datagram(frames.Ping(1))))
    assert len(world.low.said(SendFrame)) == before


def test_sleep_gives_acknowledgements_time_to_be_read() -> None:
    """What was owed before it is not sent again at once: an answer may have come meanwhile."""
    world = LinkWorld()
    world.wire_up = False
    world.tell(world.low, Online())
    sent = len(world.low.said(TransmitSignal))
    assert sent > 0
    world.now += 60.0
    world.tell(world.low, Slept(60.0))
    assert len(world.low.said(TransmitSignal)) == sent
    world.run(2.0)
    assert len(world.low.said(TransmitSignal)) == 2 * sent


# --- quality ------------------------------------------------------------------------

HOST = Stats(rtt=0.02, local_type="host", remote_type="host", protocol="udp")


def test_the_engine_is_asked_at_once_and_now_and_then() -> None:
    """When the link is up, two seconds later, and from then on every ten seconds."""
    world = LinkWorld().connect()
    assert len(world.low.said(AskStats)) == 1
    assert not world.low.said(Graded)
    world.tell(world.low, StatsArrived(world.low.number, HOST))
    [graded] = world.low.said(Graded)
    assert graded.quality.grade is Grade.EXCELLENT
    assert graded.quality.path == PathKind("host", "host", "udp")
    assert world.low.link.quality == graded.quality
    world.run(2 * STATS_INTERVAL + 4.0)
    assert len(world.low.said(AskStats)) == 4


def test_statistics_of_a_former_connection_are_inert() -> None:
    """What a discarded connection knew is not told of its heir."""
    world = LinkWorld().connect()
    world.tell(world.low, StatsArrived(world.low.number - 1, HOST))
    assert world.low.link.quality is None


def test_pings_measure_the_link() -> None:
    """Each answered ping is a sample, traffic counts both ways, and all ends with the link."""
    world = LinkWorld().connect()
    for _ in range(20):
        world.send(world.low, bytes(10_000))
        world.run(INTERVAL)
    for end in (world.low, world.high):
        quality = end.link.quality
        assert quality is not None
        assert (quality.rtt, quality.loss, quality.score) == (0.0, 0.0, 100)
    low, high = world.low.link.quality, world.high.link.quality
    assert low is not None
    assert high is not None
    assert 4_500 < low.outgoing_rate_bytes < 5_500
    assert 4_500 < high.incoming_rate_bytes < 5_500
    assert low.incoming_rate_bytes < 500 > high.outgoing_rate_bytes
    world.report(world.low, ChannelClosed(0))
    assert world.low.link.quality is None
    world.tell(world.high, Abandon())
    assert world.high.link.quality is None


def test_a_silent_link_is_worse_before_it_is_given_up() -> None:
    """That its pings stay unanswered is told while it still counts as connected."""
    world = LinkWorld().connect()
    world.run(3 * INTERVAL)
    world.network = False
    world.run(INTERVAL + PATIENCE - 1.5)
    assert world.low.link.state is LinkState.CONNECTED
    grades = [graded.quality.grade for graded in world.low.said(Graded)]
    assert grades[0] is Grade.EXCELLENT
    assert grades[-1] in {Grade.FAIR, Grade.POOR, Grade.BAD}


def test_our_sleep_does_not_make_a_link_worse() -> None:
    """A ping that waited for us is forgotten, however late its answer."""
    world = LinkWorld().connect()
    world.run(3 * INTERVAL)
    world.network = False
    world.run(INTERVAL)
    world.now += 3600.0
    world.tell(world.low, Slept(3600.0))
    world.network = True
    world.run(3 * INTERVAL)
    quality = world.low.link.quality
    assert quality is not None
    assert (quality.score, quality.loss) == (100, 0.0)


def test_times_are_as_they_are_set() -> None:
    """How often to ping, how long to wait for an answer, and how long for a connection."""
    settings = LinkSettings(
        ALL, heartbeat_interval=5.0, disconnect_timeout=20.0, failed_timeout=3.0
    )
    world = LinkWorld(settings=settings)
    world.engine = False
    for end in (world.low, world.high):
        world.tell(end, Online())
    world.run(2.9)
    assert len(world.low.said(OpenConnection)) == 1
    world.engine = True
    world.run(1.2)
    assert world.low.link.state is LinkState.CONNECTED
    before = len(world.low.said(SendFrame))
    world.run(50.0)
    assert len(world.low.said(SendFrame)) - before == 2 * 10  # a ping and a pong each
    world.network = False
    world.run(23.5)
    assert world.low.states == [CONNECTED]
    world.run(1.5)
    assert world.low.states == [CONNECTED, RECONNECTING]


# --- a connection that fell silent, and a network that changed ----------------------------


def restarts(end: End) -> int:
    """Return how often an end asked its engine to restart ICE."""
    return sum(o.operation == MakeOffer(ice_restart=True) for o in end.said(Perform))


def cut(world: LinkWorld) -> float:
    """Let no frame pass, until one end misses the other; return when that was."""
    world.network = False
    while CONNECTED in (world.low.link.state, world.high.link.state):
        world.run(0.1)
    return world.now


@pytest.mark.parametrize("side", ["low", "high"])
def test_a_silent_connection_has_its_ice_restarted(side: str) -> None:
    """Whichever side notices; it is the same connection that goes on, and nothing is lost."""
    world = LinkWorld().connect()
    world.report(getattr(world, side), StateChanged(ConnectionState.FAILED))
    world.send(world.low, "kept")
    world.run(0.1)
    assert restarts(getattr(world, side)) == 1
    assert getattr(world, side).states == [CONNECTED, RECONNECTING, CONNECTED]
    assert world.other(getattr(world, side)).states == [CONNECTED]
    assert world.low.link.generation == 1
    assert world.high.heard == ["kept"]
    world.run(60.0)
    assert restarts(world.low) + restarts(world.high) == 1


def test_both_may_restart_at_once() -> None:
    """Both miss the other; their offers collide, and the connection goes on all the same."""
    world = LinkWorld().connect()
    cut(world)
    world.run(1.0)
    world.network = True
    world.run(1.0)
    assert world.low.link.state is world.high.link.state is CONNECTED
    assert world.low.link.generation == 1


def test_a_restart_in_vain_is_followed_by_another_connection() -> None:
    """Who answers it, and is still not heard soon after, is connected to anew."""
    world = LinkWorld().connect()
    missed = cut(world)
    world.run(RESTART_PATIENCE - 0.2)
    assert world.low.link.generation == 1
    world.run(0.5)
    assert world.low.link.generation == world.high.link.generation == 2
    assert world.low.states == world.high.states == [CONNECTED, RECONNECTING]
    world.network = True
    world.run(missed + 2 * SETTLE_TIMEOUT)
    assert world.low.link.state is world.high.link.state is CONNECTED


def test_who_does_not_answer_a_restart_may_sleep() -> None:
    """It is given the time of any negotiation; awake, it is heard over the same connection."""
    world = LinkWorld().connect()
    world.wire_up = False
    cut(world)
    world.run(SETTLE_TIMEOUT - 1.0)
    world.report(world.low, StateChanged(ConnectionState.FAILED))
    world.network = True
    world.run(INTERVAL)
    assert world.low.link.state is world.high.link.state is CONNECTED
    world.wire_up = True
    world.run(60.0)
    assert world.low.link.generation == world.high.link.generation == 1
    assert world.low.states == world.high.states == [CONNECTED, RECONNECTING, CONNECTED]


def test_who_never_answers_a_restart_is_connected_to_anew() -> None:
    """After that time, and whatever the engine said meanwhile."""
    world = LinkWorld().connect()
    world.wire_up = False
    cut(world)
    world.run(SETTLE_TIMEOUT + 1.0)
    assert world.low.link.generation == 2
    assert world.low.link.state is RECONNECTING


def test_a_healthy_link_is_only_asked_when_the_network_changes() -> None:
    """It answers, and nothing else happens, however often; not even while it is slow."""
    world = LinkWorld().connect()
    for number in range(50):
        asked = len(world.low.frames)
        world.tell(world.low, NetworkChanged())
        world.run(0.0)
        assert len(world.low.frames) > asked
        world.network = False
        world.run(1.0)
        world.network = True
        world.run(0.1 * number)
    assert world.low.states == world.high.states == [CONNECTED]
    assert restarts(world.low) == restarts(world.high) == 0


def test_a_link_that_does_not_answer_after_a_change_is_mended_soon() -> None:
    """It has little time, then ICE is restarted."""
    world = LinkWorld().connect()
    world.network = False
    world.tell(world.low, NetworkChanged())
    world.run(DOUBT_PATIENCE - 0.1)
    assert world.low.states == [CONNECTED]
    world.run(0.2)
    assert world.low.states == [CONNECTED, RECONNECTING]
    assert restarts(world.low) == 1


@pytest.mark.parametrize("side", ["low", "high"])
@pytest.mark.parametrize("online", [True, False])
def test_a_link_that_was_silent_before_a_change_is_replaced(side: str, online: bool) -> None:
    """At once, as soon as that can be signalled: its transport has long lost its pace."""
    world = LinkWorld().connect()
    world.wire_up = False
    cut(world)
    world.run(3.0)
    end: End = getattr(world, side)
    world.wire_up = True
    if not online:
        world.tell(end, Offline())
        world.tell(end, NetworkChanged())
        world.run(0.3)
        assert world.low.link.generation == 1
    world.lose()
    world.network = True
    world.tell(end, NetworkChanged() if online else Online())
    world.run(10.0)
    assert world.low.link.generation == world.high.link.generation == 2
    assert world.low.link.state is world.high.link.state is CONNECTED


def test_an_attempt_that_hangs_as_the_network_changes_gives_way() -> None:
    """A connection made for addresses that are gone does not keep us for its whole time."""
    world = LinkWorld()
    world.network = False
    world.connect().run(3.0)
    world.network = True
    world.tell(world.low, NetworkChanged())
    world.run(0.1)
    assert world.low.states == world.high.states == [CONNECTED]
    assert world.low.link.generation == 2


def test_who_comes_back_to_the_server_is_connected_to_anew() -> None:
    """What it offered before it was cut off was for a network that it may have left."""
    world = LinkWorld()
    world.network = False
    world.connect().run(3.0)
    for end in (world.low, world.high):
        world.tell(end, Offline())
    world.run(3.0)
    world.network = True
    for end in (world.low, world.high):
        world.tell(end, Online())
    world.run(0.1)
    assert world.low.states == world.high.states == [CONNECTED]


def test_who_leaves_mends_nothing() -> None:
    """A link that falls silent while we leave is closed, as ever."""
    world = LinkWorld().connect()
    world.network = False
    world.send(world.low, "last")
    world.tell(world.low, Depart())
    world.run(60.0)
    assert world.low.states[-1] is LinkState.CLOSED
    assert restarts(world.low) == 0
