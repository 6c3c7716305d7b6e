"""Signals arrive exactly once, in order, and nothing is said without need."""

from collections.abc import Sequence

import pytest

from thkmesh.core.machine import Ignored, Machine, Slept, Tick
from thkmesh.core.sequencing import (
    ACK_DELAY,
    CROSSING,
    WINDOW,
    Deliver,
    Overflow,
    Pause,
    Received,
    Resume,
    Send,
    Sequencer,
    SequencingEvent,
    SequencingOutput,
    Transmit,
)
from thkmesh.core.wire import Ack, Offer

DUPLICATE = Ignored("duplicate")


def signal(seq: int, ack: int = 0) -> Transmit:
    """Return what a numbered signal looks like when it is sent."""
    return Transmit(Offer, seq, ack, f"body {seq}")


def bare_ack(ack: int) -> Transmit:
    """Return what a bare acknowledgement looks like when it is sent."""
    return Transmit(Ack, 0, ack, "")


def sending(count: int, *, online: bool = True) -> Sequencer[str]:
    """Return a sequencer that has sent ``count`` signals at time 0."""
    sequencer = Sequencer[str](online=online)
    for seq in range(1, count + 1):
        sequencer.handle(Send(Offer, f"body {seq}"), 0.0)
    return sequencer


def run(
    sequencer: Sequencer[str], *events: SequencingEvent[str] | Tick | Slept, now: float = 0.0
) -> Sequence[SequencingOutput[str]]:
    """Feed events; return what all of them led to."""
    return [output for event in events for output in sequencer.handle(event, now)]


# ---- sending -------------------------------------------------------------------


def test_signals_are_numbered_from_one() -> None:
    """Each signal is sent at once under the next number, and kept."""
    sequencer = Sequencer[str]()
    machine: Machine[SequencingEvent[str], SequencingOutput[str]] = sequencer
    assert machine.deadline is None
    assert run(sequencer, Send(Offer, "body 1"), Send(Offer, "body 2")) == [signal(1), signal(2)]
    assert sequencer.unacknowledged == 2


def test_an_acknowledgement_is_cumulative() -> None:
    """What is acknowledged is forgotten, and the resend timer starts over for the rest."""
    sequencer = sending(3)
    assert run(sequencer, Received(0, 2, ""), now=1.0) == []
    assert sequencer.unacknowledged == 1
    assert sequencer.deadline == 3.0
    run(sequencer, Received(0, 1, ""), now=1.5)
    assert sequencer.deadline == 3.0, "an old acknowledgement says nothing"
    run(sequencer, Received(0, 3, ""), now=1.5)
    assert sequencer.unacknowledged == 0
    assert sequencer.handle(Tick(), 99.0) == []


def test_unsent_signals_cannot_be_acknowledged() -> None:
    """Such an acknowledgement is a violation, but the signal that carries it counts."""
    sequencer = sending(1)
    violation = Ignored("acknowledged-unsent", violation=True)
    assert run(sequencer, Received(1, 2, "x")) == [violation, Deliver("x")]
    assert sequencer.unacknowledged == 1


def test_unacknowledged_signals_are_bounded() -> None:
    """A signal beyond the window is refused, and the next one fits once there is room."""
    sequencer = sending(WINDOW)
    assert run(sequencer, Send(Offer, "more")) == [Overflow("more")]
    assert run(sequencer, Received(0, 1, ""), Send(Offer, "body 257")) == [signal(257)]


def test_resends_back_off_up_to_the_last() -> None:
    """Unacknowledged signals are sent again after 2, 4, 8, 16, 30, 30 ... seconds."""
    sequencer = sending(2)
    due = 0.0
    for delay in (2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        due += delay
        assert sequencer.deadline == due
        assert run(sequencer, Tick(), now=due - 0.001) == []
        assert run(sequencer, Tick(), now=due) == [signal(1), signal(2)]


def test_progress_resets_the_back_off() -> None:
    """An acknowledgement shows that the way works: the next resend is soon again."""
    sequencer = sending(2)
    run(sequencer, Tick(), now=2.0)
    run(sequencer, Received(0, 1, ""), now=5.0)
    assert sequencer.deadline == 7.0


def test_a_new_way_resets_the_back_off() -> None:
    """After Resume the next resend is soon again, however long the former way was bad."""
    sequencer = sending(1)
    for now in (2.0, 6.0, 14.0):
        run(sequencer, Tick(), now=now)
    assert run(sequencer, Pause(), Resume(), now=20.0) == [signal(1)]
    assert sequencer.deadline == 22.0


def test_a_later_signal_does_not_postpone_the_resend() -> None:
    """The timer runs from the oldest signal that is unacknowledged."""
    sequencer = sending(1)
    run(sequencer, Send(Offer, "body 2"), now=1.0)
    assert sequencer.deadline == 2.0


def test_nothing_is_sent_while_paused() -> None:
    """Signals and acknowledgements wait for the way to open, and then leave at once."""
    sequencer = sending(1)
    run(sequencer, Pause(), Received(1, 0, "x"))
    assert run(sequencer, Send(Offer, "body 2")) == []
    assert sequencer.deadline is None
    assert run(sequencer, Tick(), now=100.0) == []
    assert run(sequencer, Resume(), now=100.0) == [signal(1, ack=1), signal(2, ack=1)]
    assert sequencer.deadline == 102.0


def test_an_owed_acknowledgement_leaves_on_resume() -> None:
    """With nothing to carry it, the acknowledgement leaves on its own."""
    sequencer = sending(0, online=False)
    run(sequencer, Received(1, 0, "x"))
    assert run(sequencer, Resume()) == [bare_ack(1)]
    assert run(sequencer, Resume()) == []


def test_sleep_is_no_reason_to_resend() -> None:
    """After sleep, what came in meanwhile is read before anything is sent again."""
    sequencer = sending(1)
    assert run(sequencer, Slept(60.0), now=61.0) == []
    assert sequencer.deadline == 62.0
    assert run(Sequencer[str](), Slept(60.0), now=60.0) == []


# ---- receiving -------------------------------------------------------------------


def test_signals_are_delivered_in_order() -> None:
    """What comes early waits for what is missing; a second copy of either is dropped."""
    sequencer = Sequencer[str]()
    assert run(sequencer, Received(3, 0, "c")) == [bare_ack(0)]
    assert run(sequencer, Received(2, 0, "b")) == []
    assert run(sequencer, Received(3, 0, "c")) == [DUPLICATE]
    assert run(sequencer, Received(1, 0, "a")) == [Deliver("a"), Deliver("b"), Deliver("c")]
    assert run(sequencer, Received(2, 0, "b")) == [DUPLICATE]


def test_waiting_signals_are_bounded() -> None:
    """A signal beyond the window is refused as a violation, the last one in it waits."""
    sequencer = Sequencer[str]()
    beyond = Received(WINDOW + 1, 0, "x")
    assert run(sequencer, beyond) == [Ignored("beyond-window", violation=True)]
    assert run(sequencer, Received(WINDOW, 0, "x")) == [bare_ack(0)]


def test_acknowledgements_ride_along() -> None:
    """What is sent acknowledges what was delivered; nothing more is owed then."""
    sequencer = Sequencer[str]()
    run(sequencer, Received(1, 0, "a"), Received(2, 0, "b"))
    assert run(sequencer, Send(Offer, "body 1")) == [signal(1, ack=2)]
    run(sequencer, Received(0, 1, ""))
    assert sequencer.deadline is None


def test_a_bare_acknowledgement_follows_the_first_delivery() -> None:
    """It leaves 200 ms after the first delivery not yet acknowledged, once."""
    sequencer = Sequencer[str]()
    run(sequencer, Received(1, 0, "a"), now=1.0)
    run(sequencer, Received(2, 0, "b"), now=1.1)
    assert sequencer.deadline == pytest.approx(1.0 + ACK_DELAY)
    assert run(sequencer, Tick(), now=1.2) == [bare_ack(2)]
    assert sequencer.deadline is None


def test_duplicates_are_acknowledged_again() -> None:
    """A duplicate says that our acknowledgement was lost."""
    sequencer = Sequencer[str]()
    run(sequencer, Received(1, 0, "a"), Tick(), now=0.0)
    run(sequencer, Tick(), now=0.2)
    run(sequencer, Received(1, 0, "a"), now=2.0)
    assert run(sequencer, Tick(), now=2.2) == [bare_ack(1)]


def test_bare_acknowledgements_are_not_answered() -> None:
    """Two sequencers at rest stay at rest: no acknowledgement is owed for one."""
    sequencer = sending(1)
    assert run(sequencer, Received(0, 1, "")) == []
    assert sequencer.deadline is None


def test_who_misses_some_gets_them_at_once() -> None:
    """The first that comes early is answered with where we stand, and that with all that is owed.

    But only once, whatever else comes, until there is progress or it is time anyway.
    """
    sequencer = sending(3)
    owed = [signal(1), signal(2), signal(3)]
    assert run(sequencer, Received(0, 0, ""), now=1.0) == owed
    assert run(sequencer, Received(0, 0, ""), now=1.1) == []
    assert run(sequencer, Received(0, 1, ""), now=1.2) == []
    assert run(sequencer, Received(0, 1, ""), now=1.3) == owed[1:]
    assert run(sequencer, Tick(), now=3.3) == owed[1:]
    assert run(sequencer, Received(0, 1, ""), now=3.4) == owed[1:]
    assert run(sequencer, Received(1, 1, "a"), now=3.5) == [Deliver("a")]


def test_a_signal_may_have_crossed_what_it_does_not_acknowledge() -> None:
    """Only if ours was sent a while before can theirs mean that it has not arrived."""
    sequencer = sending(1)
    assert run(sequencer, Received(1, 0, "a"), now=CROSSING - 0.1) == [Deliver("a")]
    resent = [signal(1, ack=1), Deliver("b")]
    assert run(sequencer, Received(2, 0, "b"), now=CROSSING) == resent
    assert run(sequencer, Received(3, 0, "c"), now=CROSSING + 0.1) == [Deliver("c")]


def test_nobody_is_answered_where_the_way_is_closed() -> None:
    """Neither that some are missing, nor with what is owed."""
    sequencer = sending(1)
    run(sequencer, Pause())
    assert run(sequencer, Received(2, 0, "b"), Received(0, 0, "")) == []
    assert run(sequencer, Resume()) == [signal(1)]
    assert run(sequencer, Received(0, 0, "")) == [signal(1)]


def test_what_is_due_comes_first() -> None:
    """An event at or after a deadline finds what was due already settled."""
    sequencer = sending(1)
    outputs = run(sequencer, Send(Offer, "body 2"), now=2.0)
    assert outputs == [signal(1), signal(2)]
    assert sequencer.deadline == 6.0


def test_a_snapshot_tells_states_apart() -> None:
    """Equal histories give equal snapshots, and every event shows."""
    assert sending(2).snapshot() == sending(2).snapshot() != sending(1).snapshot()
    early = sending(2)
    run(early, Received(2, 0, "x"))
    assert early.snapshot() != sending(2).snapshot()


def test_a_sequencer_at_rest_keeps_its_numbers_only() -> None:
    """What came early is not kept, nor acknowledged: it is sent again and delivered then."""
    sequencer: Sequencer[str] = Sequencer()
    assert sequencer.handle(Received(2, 0, "early"), 0.0) == [bare_ack(0)]
    sequencer.rest()
    assert sequencer.deadline is None
    assert sequencer.handle(Received(1, 0, "first"), 1.0) == [Deliver("first")]
    assert sequencer.handle(Received(2, 0, "early"), 1.0) == [Deliver("early")]
