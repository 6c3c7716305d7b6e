"""Messages that arrive once and in order, whatever becomes of connections.

The problem: a connection that breaks takes with it what its engine had already
accepted, and nobody can say how much of that arrived. So what is sent is kept
until the other side has said that it has it, and the next connection goes on
from there.

The idea: a message is cut into fragments, and a **stream** numbers them, from 0,
over the whole life of a session. Each session has one stream to everybody and one
to each other session. What was sent lies in a ``Log``, once, however many are to
have it; every recipient has an ``Outgoing``, a place in that log:

::

    log      . . . . 17 18 19 20 21 22 23 24 25     next = 26
    Ada          acked ──╯     ╰── sent                 what is before all is let go
    Bob                           acked ──╯  ╰── sent

Their end is an ``Incoming``: it takes the fragment that it expects, drops what it
has had, and refuses what would leave a gap. A connection is lossless and ordered
while it lives, so nothing is sent twice over one connection; what is expected is
acknowledged every ``ACK_DELAY``, for the log to be let go, and said anew at the
beginning of the next connection (``Resume``), for the sender to start there.

A newcomer is owed what follows its arrival: its sender names the place where that
begins, and how many messages lie before it. Who cannot keep up is *cut loose*:
moved to the end of the log, and told the place and the number of messages before
it (``Skip``). The receiver counts the messages it got, so it knows exactly how
many it lost.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from thkmesh.core import frames
from thkmesh.core.frames import FRAGMENT_BYTES, MESSAGE_LIMIT_BYTES, Begin
from thkmesh.errors import InvalidMessage

__all__ = ["ACK_DELAY", "LOG_BYTES", "Incoming", "Log", "Outgoing", "Whole"]

LOG_BYTES: Final = 16 * 1024 * 1024
"""A sender waits while a log holds more than this."""

ACK_DELAY: Final = 0.025
"""Seconds after which what arrived is acknowledged, if nothing carries it before."""

_OVERHEAD_BYTES: Final = 64
"""What an empty fragment counts, so that a million of them are not free."""


class _Entry(Struct, frozen=True, gc=False):
    """One fragment in a log.

    Attributes:
        order: which of two streams' fragments came first.
        start: how many bytes lie before it in the stream, overhead included.
    """

    order: int
    start: int
    kind: int
    last: bool
    payload: bytes


class Log:
    """What was sent on one stream, as far as somebody may still need it."""

    def __init__(self, order: Iterator[int]) -> None:
        """Begin empty; ``order`` numbers fragments across streams."""
        self._order = order
        self._written = 0
        self._entries: deque[_Entry] = deque()
        self._first = Begin(0, 0)
        self._end = Begin(0, 0)
        self._outgoing: list[Outgoing] = []

    @property
    def begin(self) -> Begin:
        """Where what is held begins."""
        return self._first

    @property
    def end(self) -> Begin:
        """Where the next message will begin."""
        return self._end

    @property
    def has_room(self) -> bool:
        """Tell whether another message may be accepted."""
        return self.bytes_from(self._first.number) < LOG_BYTES

    def bytes_from(self, number: int) -> int:
        """Return how much there is from a place that is still held to the end."""
        if number == self._end.number:
            return 0
        return self._written - self.entry(number).start

    def append(self, kind: int, payload: bytes) -> None:
        """Add a message, in fragments."""
        starts = range(0, len(payload), FRAGMENT_BYTES) or range(1)
        for start in starts:
            last = start == starts[-1]
            part = payload if len(starts) == 1 else payload[start : start + FRAGMENT_BYTES]
            self._entries.append(_Entry(next(self._order), self._written, kind, last, part))
            self._written += len(part) + _OVERHEAD_BYTES
        self._end = Begin(self._end.number + len(starts), self._end.messages + 1)
        if not self._outgoing:
            self.trim()

    def entry(self, number: int) -> _Entry:
        """Return the fragment of a number that is still held."""
        return self._entries[number - self._first.number]

    def messages_before(self, number: int) -> int:
        """Return how many messages end before a place that is still held."""
        held = number - self._first.number
        if held * 2 > len(self._entries):
            after = (self._entries[each].last for each in range(held, len(self._entries)))
            return self._end.messages - sum(after)
        return self._first.messages + sum(self._entries[each].last for each in range(held))

    def add(self, outgoing: "Outgoing") -> None:
        """Keep from now on what a recipient has not acknowledged."""
        self._outgoing.append(outgoing)

    def remove(self, outgoing: "Outgoing") -> None:
        """Keep nothing for a recipient any more."""
        self._outgoing.remove(outgoing)
        self.trim()

    def trim(self) -> None:
        """Let go of what every recipient has."""
        needed = min((each.acked for each in self._outgoing), default=self._end.number)
        number, messages = self._first.number, self._first.messages
        while number < needed:
            messages += self._entries.popleft().last
            number += 1
        self._first = Begin(number, messages)


class Outgoing:
    """One recipient's place in a log.

    Attributes:
        acked: the number before which the recipient has everything.
        acked_bytes: how much it has said to have, overhead included.
        sent: the number of the next fragment for the current connection.
        begin: where what it is owed begins.
        skip: where it was moved to when it was cut loose; None if it was not.
    """

    def __init__(self, stream: int, log: Log) -> None:
        """Owe what is appended from now on."""
        self.stream = stream
        self.begin = log.end
        self.skip: Begin | None = None
        self.acked = self.sent = log.end.number
        self._most = self.sent
        self.acked_bytes = 0
        self._log = log
        log.add(self)

    @property
    def waiting(self) -> bool:
        """Tell whether there is something to send."""
        return self.sent < self._log.end.number

    @property
    def order(self) -> int:
        """Return the place of the next fragment among those of all streams."""
        return self._log.entry(self.sent).order

    @property
    def waiting_bytes(self) -> int:
        """Return how much is still to be sent."""
        return self._log.bytes_from(self.sent)

    @property
    def unacknowledged_bytes(self) -> int:
        """Return how much is not known to have arrived."""
        return self._log.bytes_from(self.acked)

    @property
    def last(self) -> bool:
        """Tell whether the log could let go of more if this recipient had more."""
        return self.acked == self._log.begin.number

    @property
    def unacknowledged(self) -> int:
        """How many messages are not known to have arrived."""
        return self._log.end.messages - self._log.messages_before(self.acked)

    def next_size(self) -> int:
        """Return the size of the next fragment's payload."""
        return len(self._log.entry(self.sent).payload)

    def take(self) -> bytes:
        """Return the next fragment's frame; it counts as sent."""
        entry = self._log.entry(self.sent)
        frame = frames.fragment(self.stream, self.sent, entry.kind, entry.payload, last=entry.last)
        self.sent += 1
        self._most = max(self._most, self.sent)
        return frame

    def acknowledge(self, expected: int) -> None:
        """Take the receiver's word for what it expects next.

        Raises:
            InvalidMessage: it cannot expect that.
        """
        if expected > self._most:
            raise InvalidMessage(f"fragment {expected} of stream {self.stream} was not sent")
        self.sent = max(self.sent, expected)
        if self.skip is not None and expected >= self.skip.number:
            self.skip = None
        if expected > self.acked:
            self.acked_bytes += self._log.bytes_from(self.acked) - self._log.bytes_from(expected)
            self.acked = expected
            self._log.trim()

    def resume(self, expected: int) -> None:
        """Go on over a new connection, from what the receiver expects.

        Raises:
            InvalidMessage: it cannot expect that.
        """
        if expected < self.acked and self.skip is None:
            raise InvalidMessage(f"fragment {expected} of stream {self.stream} had arrived")
        self.acknowledge(expected)
        self.rewind()

    def rewind(self) -> None:
        """Send again what is not known to have arrived."""
        self.sent = self.acked

    def cut_loose(self) -> int:
        """Move to the end of the log; return how many messages are not known to have arrived."""
        count = self.unacknowledged
        self.skip = self._log.end
        self.acked = self.sent = self._most = self._log.end.number
        self._log.trim()
        return count

    def detach(self) -> None:
        """Want nothing of the log any more, and be owed nothing."""
        self._log.remove(self)
        self._log = Log(iter(()))
        self.acked = self.sent = self._most = 0


@dataclass(frozen=True, slots=True)
class Whole:
    """A message with all its fragments."""

    stream: int
    kind: int
    payload: bytes


class Incoming:
    """The receiving end of a stream."""

    def __init__(self, begin: Begin) -> None:
        """Expect what begins there."""
        self.expected = begin.number
        self._messages = begin.messages
        self._parts: list[bytes] = []
        self._bytes = 0
        self._kind = 0

    def receive(self, fragment: frames.Fragment, *, lossy: bool = False) -> Whole | None:
        """Take a fragment; return the message that it completes, if it does.

        Args:
            fragment: of this stream.
            lossy: it came over a path that may lose: a gap is no fault of anybody's.

        Raises:
            InvalidMessage: it leaves a gap, or makes no sense where it stands.
        """
        if fragment.number < self.expected or (lossy and fragment.number > self.expected):
            return None  # it came over another path, too; or it will come again
        if fragment.number > self.expected:
            raise InvalidMessage(f"fragment {fragment.number} for {self.expected}")
        payload = fragment.payload
        if self._parts or not fragment.last:
            if self._parts and fragment.kind != self._kind:
                raise InvalidMessage("a message of two kinds")
            self._bytes += len(payload)
            if self._bytes > MESSAGE_LIMIT_BYTES:
                raise InvalidMessage(f"a message of over {MESSAGE_LIMIT_BYTES} bytes")
            self._parts.append(payload)
            self._kind = fragment.kind
        self.expected += 1
        if not fragment.last:
            return None
        if self._parts:
            payload = b"".join(self._parts)
            self._drop()
        self._messages += 1
        return Whole(fragment.stream, fragment.kind, payload)

    def skip(self, to: Begin) -> int:
        """Go to a place; return how many messages that loses.

        Raises:
            InvalidMessage: fewer messages lie before it than have come already.
        """
        if to.number <= self.expected:
            return 0
        lost = to.messages - self._messages
        if lost < 0:
            raise InvalidMessage("a place with fewer messages before it than came")
        self._drop()
        self.expected, self._messages = to.number, to.messages
        return lost

    def _drop(self) -> None:
        self._parts.clear()
        self._bytes = 0
