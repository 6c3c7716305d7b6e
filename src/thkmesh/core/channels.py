"""The channels of one session: what it sends on, and what it wants to hear.

A channel is a name for messages of one kind: chat, cursors, a file. The room itself
is the channel without a name, which everybody has. Each sender numbers the channels
that it sends on; the name, and the number, hold for the whole life of the session.

What is sent to everybody on a channel lies in one ``Log``. It is owed to the sessions
that *listen* to the name: each says which names it listens to, on every connection and
whenever that changes. Before its first word about that, everything is kept for it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from thkmesh.core.frames import CHANNEL_LIMIT
from thkmesh.core.latest import CompactedLog
from thkmesh.core.realtime import Limits
from thkmesh.core.streams import Log

__all__ = ["ROOM", "RULES", "Channel", "Channels", "Delivery", "Priority", "Rule", "log_of"]

ROOM: Final = ""
"""The name of the room's own channel."""


class Delivery(Enum):
    """What is promised of the messages of a channel; the sender's word holds."""

    RELIABLE = "reliable"
    """Each arrives once, in the order of sending."""

    UNORDERED = "unordered"
    """Each arrives once, in any order."""

    LATEST = "latest"
    """Of each key the latest value arrives, also at who comes later; see ``latest``."""

    REALTIME = "realtime"
    """Each arrives soon or not at all; see ``realtime``."""


class Rule(IntEnum):
    """What a receiver is told of that: the numbers on the wire."""

    RELIABLE = 0
    UNORDERED = 1
    LATEST = 2
    LOSSY = 3
    """What comes after a later one is dropped."""
    LOSSY_UNORDERED = 4


RULES: Final = frozenset(Rule)
"""Those that we know."""

_RULE_OF: Final = {
    Delivery.RELIABLE: Rule.RELIABLE,
    Delivery.UNORDERED: Rule.UNORDERED,
    Delivery.LATEST: Rule.LATEST,
}


class Priority(IntEnum):
    """How much of a link a channel gets while others want to send too: its share."""

    HIGH = 16
    NORMAL = 4
    LOW = 1


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that we send on.

    Attributes:
        number: ours for it; its streams are ``2 * number`` and one more.
        name: what all sessions know it by.
        delivery: what is promised.
        priority: its share of a busy link.
        log: what was sent to everybody.
        limits: how long a message is tried; None where it must arrive.
        count: how many messages that need not arrive were sent to everybody.
    """

    number: int
    name: str
    delivery: Delivery
    priority: Priority
    log: Log | CompactedLog
    limits: Limits | None = None
    count: Iterator[int] = field(default_factory=itertools.count)

    @property
    def rule(self) -> Rule:
        """What its receivers must know."""
        if self.limits is not None:
            return Rule.LOSSY if self.limits.ordered else Rule.LOSSY_UNORDERED
        return _RULE_OF[self.delivery]


def log_of(delivery: Delivery, order: Iterator[int]) -> Log | CompactedLog:
    """Return a log for messages of which that is promised; ``order`` as there."""
    return CompactedLog(order) if delivery is Delivery.LATEST else Log(order)


class Channels:
    """All channels of a session."""

    def __init__(self) -> None:
        """Begin with that of the room."""
        self.order: Iterator[int] = itertools.count()
        """Numbers fragments across all streams."""
        self.revision = 0
        """How often what we listen to has changed."""
        self._named: dict[str, Channel] = {}
        self._listening: dict[str, None] = {}
        self.room = self.open(ROOM, Delivery.RELIABLE, Priority.NORMAL)

    def open(
        self, name: str, delivery: Delivery, priority: Priority, limits: Limits | None = None
    ) -> Channel:
        """Return the channel of a name, which keeps the rule that it was first given."""
        found = self._named.get(name)
        if found is None:
            assert len(self._named) < CHANNEL_LIMIT, "whoever asks counts them"
            log = log_of(delivery, self.order)
            found = Channel(len(self._named), name, delivery, priority, log, limits)
            self._named[name] = found
        return found

    def __getitem__(self, name: str) -> Channel:
        """Return a channel that was opened."""
        return self._named[name]

    def __iter__(self) -> Iterator[Channel]:
        """Return all channels, by number."""
        return iter(self._named.values())

    def get(self, name: str) -> Channel | None:
        """Return the channel of a name, None if it was not opened."""
        return self._named.get(name)

    def __len__(self) -> int:
        """Return how many have been opened."""
        return len(self._named)

    def listen(self, name: str, *, wanted: bool) -> bool:
        """Want to hear of a channel, or no longer; return whether that is news."""
        if wanted is (name in self._listening):
            return False
        self.revision += 1
        if wanted:
            self._listening[name] = None
        else:
            del self._listening[name]
        return True

    def listens(self, name: str) -> bool:
        """Tell whether we want to hear of a channel."""
        return name == ROOM or name in self._listening

    @property
    def listening(self) -> tuple[str, ...]:
        """The names of all channels that we want to hear of, beside the room's own."""
        return tuple(self._listening)
