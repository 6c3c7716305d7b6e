"""The laws of traffic between sessions: many senders, one reader, and memory that is bounded."""

import random

from thkmesh.core import frames
from thkmesh.core.channels import Channels, Delivery, Priority
from thkmesh.core.credit import BUDGET_BYTES, WINDOW_BYTES, Budget
from thkmesh.core.frames import FRAGMENT_BYTES, Frame
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import ContentArrived, LinkOutput
from thkmesh.core.traffic import Traffic

READER = SessionKey("r" * 26, "0" * 16)
PART = FRAGMENT_BYTES - 64


class Pair:
    """A sender and its reader's end, joined by a connection without delay."""

    def __init__(self, number: int, channels: Channels, budget: Budget) -> None:
        """Connect them."""
        self.unread: list[ContentArrived] = []
        self.read = 0
        self.channels = Channels()
        self.sender = Traffic(READER, self.channels, Budget())
        self.receiver = Traffic(SessionKey(f"{number:026}", "0" * 16), channels, budget)
        for one, other in ((self.sender, self.receiver), (self.receiver, self.sender)):
            self._tell(other, one.begin())

    def open(self, name: str) -> None:
        """Let the sender open a channel."""
        self.channels.open(name, Delivery.RELIABLE, Priority.NORMAL)
        self.sender.open(name)

    def _tell(self, to: Traffic, said: tuple[Frame, ...] | list[Frame]) -> None:
        out: list[LinkOutput] = []
        for frame in said:
            to.heard(frame, 0.0, out)
        self.unread += [each for each in out if isinstance(each, ContentArrived)]

    def pass_on(self) -> bool:
        """Let pass what may; return whether there was any message in it."""
        self.sender.outbox.window.measured(0, 0.0)
        taken = self.sender.outbox.take(0.0)
        for _, datagram in taken:
            self._tell(self.receiver, list(frames.parse(datagram)))
        ack = self.receiver.inbox.acknowledge()
        if ack is not None:
            self._tell(self.sender, [ack])
        return bool(taken)

    def take(self) -> None:
        """Read the first message."""
        message = self.unread.pop(0)
        self.read += 1
        self.receiver.inbox.read(message.stream, message.cost, 0.0)


def settle(pairs: list[Pair]) -> None:
    """Let everything pass that may."""
    idle = 0
    while idle < 2:
        passed = [each.pass_on() for each in pairs]  # each of them, not up to the first
        idle = 0 if any(passed) else idle + 1


def test_fifty_senders_to_a_slow_reader_stay_within_the_budget() -> None:
    """All of them are slowed, none is starved, and all arrives in the end (promise M4b)."""
    channels, budget = Channels(), Budget()
    channels.listen("in", wanted=True)
    pairs = [Pair(number, channels, budget) for number in range(50)]
    count = 60
    for pair in pairs:
        pair.open("in")
        for number in range(count):
            payload = bytes([number]) * PART
            pair.sender.append("in", frames.Kind.BYTES, payload)
    settle(pairs)
    held = [len(pair.unread) * (PART + 64) for pair in pairs]
    assert sum(held) <= budget.promised <= BUDGET_BYTES
    assert min(held) >= WINDOW_BYTES - FRAGMENT_BYTES
    dice = random.Random(7)
    while any(pair.read < count for pair in pairs):
        settle(pairs)
        for pair in dice.sample(pairs, 10):
            for _ in range(min(5, len(pair.unread))):
                pair.take()
        assert sum(len(pair.unread) * (PART + 64) for pair in pairs) <= BUDGET_BYTES
    assert all(pair.sender.outbox.unacknowledged == {} for pair in pairs)


def test_an_unread_channel_never_blocks_another() -> None:
    """Calls over one go on while others are full, whatever is in them (promise M4b)."""
    channels, budget = Channels(), Budget()
    names = [f"unread-{number}" for number in range(24)]
    for name in ("rpc", *names):
        channels.listen(name, wanted=True)
    pair = Pair(1, channels, budget)
    for name in ("rpc", *names):
        pair.open(name)
    for name in names:
        for _ in range(2):
            pair.sender.append(name, frames.Kind.BYTES, bytes(8 * 1024 * 1024))
    settle([pair])
    held = sum(each.cost for each in pair.unread)
    assert held <= budget.promised <= BUDGET_BYTES + 9 * 1024 * 1024
    before = len(pair.unread)
    for number in range(300):
        pair.sender.append("rpc", frames.Kind.BYTES, bytes(1000))
        settle([pair])
        assert len(pair.unread) == before + 1, number
        call = pair.unread.pop()
        assert call.channel == "rpc"
        pair.receiver.inbox.read(call.stream, call.cost, 0.0)
    while pair.read < 2 * len(names):
        settle([pair])
        pair.take()
    assert pair.sender.outbox.unacknowledged == {}
