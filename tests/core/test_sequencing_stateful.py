"""Two sequencers over a network that loses, doubles, reorders and breaks."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from thkmesh.core.machine import Ignored, Slept, Tick
from thkmesh.core.sequencing import (
    WINDOW,
    Deliver,
    Overflow,
    Pause,
    Received,
    Resume,
    Send,
    Sequencer,
    SequencingEvent,
    Transmit,
)
from thkmesh.core.wire import Offer

SIDES = st.sampled_from([0, 1])


class Conversation(RuleBasedStateMachine):
    """What is accepted on one side is delivered on the other: once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sequencers = (Sequencer[str](), Sequencer[str]())
        self.online = [True, True]
        self.wires: tuple[list[Transmit], list[Transmit]] = ([], [])  # towards each
        self.accepted: tuple[list[str], list[str]] = ([], [])  # from each side
        self.delivered: tuple[list[str], list[str]] = ([], [])  # at each side

    def feed(self, side: int, event: SequencingEvent[str] | Tick | Slept) -> None:
        """Hand in an event, and perform what it leads to."""
        if isinstance(event, Send):
            self.accepted[side].append(event.body)
        for output in self.sequencers[side].handle(event, self.now):
            match output:
                case Transmit():
                    assert self.online[side], "nothing is sent while paused"
                    self.wires[1 - side].append(output)
                case Deliver(payload=payload):
                    self.delivered[side].append(payload)
                case Overflow(body=body):
                    assert self.sequencers[side].unacknowledged == WINDOW
                    assert self.accepted[side].pop() == body
                case Ignored(violation=violation):
                    assert not violation

    def arrive(self, side: int, signal: Transmit) -> None:
        """Hand in a signal."""
        self.feed(side, Received(signal.seq, signal.ack, signal.body))

    def elapse(self, until: float) -> None:
        """Let time pass, and every deadline in it be met."""
        while True:
            dues = [(d, side) for side in (0, 1) if (d := self.sequencers[side].deadline)]
            due, side = min(dues, default=(math.inf, 0))
            if due > until:
                break
            self.now = max(self.now, due)
            self.feed(side, Tick())
            later = self.sequencers[side].deadline
            assert later is None or later > self.now, "a tick settles what is due"
        self.now = until

    @rule(side=SIDES, count=st.sampled_from([1, 1, 1, 2, 10, WINDOW + 10]))
    def send(self, side: int, count: int) -> None:
        """Send some signals."""
        for _ in range(count):
            self.feed(side, Send(Offer, f"{side}.{len(self.accepted[side])}"))

    @rule(side=SIDES, data=st.data())
    def receive(self, side: int, data: st.DataObject) -> None:
        """Let any signal on the wire arrive, lose it, or let it arrive and stay."""
        wire = self.wires[side]
        if not wire or not self.online[side]:
            return
        at = data.draw(st.integers(0, min(len(wire) - 1, 3)), label="at")
        fate = data.draw(st.sampled_from(["arrive", "arrive", "double", "lose"]), label="fate")
        signal = wire[at] if fate == "double" else wire.pop(at)
        if fate != "lose":
            self.arrive(side, signal)

    @rule(side=SIDES)
    def receive_all(self, side: int) -> None:
        """Let everything on the wire arrive in order."""
        if self.online[side]:
            signals, self.wires[side][:] = list(self.wires[side]), []
            for signal in signals:
                self.arrive(side, signal)

    @rule(side=SIDES, lost=st.booleans())
    def disconnect(self, side: int, lost: bool) -> None:
        """Break a side's WebSocket, with or without what is on its way."""
        self.feed(side, Pause())
        self.online[side] = False
        if lost:
            self.wires[0].clear()
            self.wires[1].clear()

    @rule(side=SIDES)
    def reconnect(self, side: int) -> None:
        """Have a side's WebSocket back."""
        self.online[side] = True
        self.feed(side, Resume())

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.2, 1.0, 2.0, 5.0, 100.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.elapse(self.now + seconds)

    @rule(side=SIDES, seconds=st.floats(1.0, 1000.0))
    def sleep(self, side: int, seconds: float) -> None:
        """Have one side not run for a while."""
        self.elapse(self.now)
        self.now += seconds
        self.feed(side, Slept(seconds))

    @invariant()
    def in_order_and_once(self) -> None:
        """What has been delivered is how the accepted signals begin."""
        for side in (0, 1):
            delivered = self.delivered[side]
            assert delivered == self.accepted[1 - side][: len(delivered)]

    @invariant()
    def bounded(self) -> None:
        """No sequencer holds more than a window either way."""
        assert all(sequencer.unacknowledged <= WINDOW for sequencer in self.sequencers)

    def teardown(self) -> None:
        """After quiet everything has arrived, and nobody has anything left to say."""
        self.reconnect(0)
        self.reconnect(1)
        for _ in range(10):
            self.receive_all(0)
            self.receive_all(1)
            self.elapse(self.now + 0.1)
        assert self.delivered[0] == self.accepted[1]
        assert self.delivered[1] == self.accepted[0]
        assert self.wires == ([], [])
        assert all(sequencer.deadline is None for sequencer in self.sequencers)


Conversation.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestConversation = Conversation.TestCase
