"""Values of which only the latest counts: a cursor, a score, who holds the pen.

The problem: a stream that delivers everything makes a slow receiver live through a past
that nobody asks about any more, and tells a newcomer nothing about the present.

The idea: a log that is *compacted by key*, as a topic of Kafka. An entry goes to the end
under the next number, and what its key had before is removed. What remains are the
current values, in the order of sending, and they stay; so there is nothing special about
a newcomer: its place is the beginning, and it gets them all.

::

    appended  a=1  b=1  a=2  c=1  a=3          a newcomer gets   b=1 (1)  c=1 (3)  a=3 (4)
    number     0    1    2    3    4           who has 0 to 2    c=1 (3)  a=3 (4)

Numbers have gaps, then. A fragment tells how many numbers right before its own its
recipient need not have (``back``): they were superseded before they were sent. So who
takes it in knows that nothing is missing, also on a path that may lose. What has arrived
is acknowledged by the number that is expected next, as in any stream (see ``streams``).

Values vanish from the log, so it has no positions that two ends could agree on. The
limit that a recipient grants is counted from the number that it expects: so many bytes
may follow. The sender counts everything with that number or a higher one that was ever
sent, superseded or not, once: the recipient may have taken that in, and no more.

A recipient that listens anew, or that was given up and is back, is to get everything
again. Its numbers are those of the log and a *base* of its own, which goes up each time
above all that it has been sent: so what is on its way from before means nothing any more.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from thkmesh.core import frames, varint
from thkmesh.core.credit import WINDOW_BYTES, Budget, Credit
from thkmesh.core.frames import FRAGMENT_BYTES, OVERHEAD_BYTES, Begin, Want
from thkmesh.core.streams import Whole
from thkmesh.errors import ChannelFull, InvalidArgument, InvalidMessage, MessageTooLarge

__all__ = [
    "KEYS",
    "KEY_LENGTH",
    "VALUES_BYTES",
    "CompactedLog",
    "LatestIncoming",
    "LatestOutgoing",
    "unwrap",
    "wrap",
]

KEYS: Final = 1024
"""A log has at most so many keys."""

VALUES_BYTES: Final = 1024 * 1024
"""What all current values of a log may have together, their keys included."""

KEY_LENGTH: Final = 64
"""A key has at most so many characters."""

_START: Final = Begin(0, 0, 0)


def wrap(key: str, payload: bytes) -> bytes:
    """Return what is sent of a value: its key, and what it says.

    Args:
        key: empty where there is none.
        payload: as in ``frames.encode``.

    Raises:
        InvalidArgument: the key is too long, or no text.
        MessageTooLarge: both together do not fit one fragment.
    """
    if len(key) > KEY_LENGTH:
        raise InvalidArgument(f"a key has 1 to {KEY_LENGTH} characters, not {len(key)}")
    try:
        name = key.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument("a key has no lone surrogates") from error
    value = b"".join((varint.write(len(name)), name, payload))
    if len(value) > FRAGMENT_BYTES:
        message = f"{len(value)} bytes; a value and its key may have {FRAGMENT_BYTES}"
        raise MessageTooLarge(message)
    return value


def unwrap(value: bytes) -> tuple[str, bytes]:
    """Return the key of a value, and what it says.

    Raises:
        InvalidMessage: it is malformed.
    """
    at, end = _key(value)
    if end > len(value):
        raise InvalidMessage("a frame that is cut off")
    try:
        key = value[at:end].decode()
    except UnicodeDecodeError as error:
        raise InvalidMessage(f"a malformed key: {error}") from None
    if len(key) > KEY_LENGTH:
        raise InvalidMessage("a malformed key: it is too long")
    return key, value[end:]


def _key(value: bytes) -> tuple[int, int]:
    """Return where the key of a value begins and ends."""
    length, at = varint.read(value, 0)
    return at, at + length


class _Value(Struct, frozen=True, gc=False):
    """A current value.

    Attributes:
        order: as in ``streams.Log``.
        number: its own.
        payload: as ``wrap`` made it.
    """

    order: int
    number: int
    kind: int
    key: bytes
    payload: bytes

    @property
    def cost(self) -> int:
        return len(self.payload) + OVERHEAD_BYTES


class CompactedLog:
    """The current values of one stream, in the order of sending.

    Attributes:
        next: the number of the next value.
        held_bytes: what they have together.
        has_room: always: nobody waits for anybody.
    """

    has_room: Final = True

    def __init__(self, order: Iterator[int]) -> None:
        """Begin empty; ``order`` numbers fragments across streams."""
        self._order = order
        self._values: list[_Value] = []
        self._numbers: list[int] = []
        self._by_key: dict[bytes, _Value] = {}
        self.next = 0
        self.held_bytes = 0

    def refusal(self, payload: bytes) -> ChannelFull | None:
        """Return why a value cannot be held beside the others, None if it can."""
        former = self._by_key.get(_key_of(payload))
        if former is None and len(self._by_key) == KEYS:
            return ChannelFull(f"the channel has {KEYS} keys; send a value for one of these")
        held_bytes = self.held_bytes + len(payload) - (len(former.payload) if former else 0)
        if held_bytes > VALUES_BYTES:
            text = f"values of {VALUES_BYTES} bytes in all are held; send smaller ones"
            return ChannelFull(text)
        return None

    def append(self, kind: int, payload: bytes, *_: int) -> None:
        """Add a value in place of that which its key had; it is never cut."""
        key = _key_of(payload)
        former = self._by_key.pop(key, None)
        if former is not None:
            at = bisect_left(self._numbers, former.number)
            del self._values[at], self._numbers[at]
            self.held_bytes -= len(former.payload)
        value = _Value(next(self._order), self.next, kind, key, payload)
        self._by_key[key] = value
        self._values.append(value)
        self._numbers.append(self.next)
        self.held_bytes += len(payload)
        self.next += 1

    def since(self, number: int) -> list[_Value]:
        """Return the values with that number and with higher ones."""
        return self._values[bisect_left(self._numbers, number) :]

    def first(self, number: int) -> _Value:
        """Return the first of these; there must be one."""
        return self._values[bisect_left(self._numbers, number)]


def _key_of(payload: bytes) -> bytes:
    at, end = _key(payload)
    return payload[at:end]


class LatestOutgoing:
    """One recipient's place in a compacted log; as ``streams.Outgoing``.

    Attributes:
        acked: the number before which the recipient has everything that counts.
        acked_bytes: how much of what was sent it has, or is past.
        sent: the number after the last that was sent over the current connection.
        limit: how much may be sent in all, counted as ``acked_bytes``.
        begin: where what it is owed begins.
        owed: whether it is owed anything at all.
        last: never: the log lets go of nothing when it has more.
        undelivered: none: what is superseded was not lost, and a leaver needs no value.
        unfinished: none: values are no streams.
        free: never: what came late would be dropped.
        named_at: see there; it does not matter here.
    """

    skip: Final = None
    missed: Final = None
    last: Final = False
    undelivered: Final = 0
    unfinished: Final = 0
    free: Final = False

    def __init__(self, stream: int, log: CompactedLog) -> None:
        """Owe nothing yet."""
        self.stream = stream
        self.named_at = 0
        self.owed = False
        self.begin = _START
        self.acked = self.sent = self.acked_bytes = 0
        self.limit = WINDOW_BYTES
        self._log = log
        self._base = self._most = self._counted = 0
        self._flight: deque[tuple[int, int]] = deque()
        """Number and size of all that was ever sent and may be on its way."""
        self._flight_bytes = 0
        self._known = True
        """The recipient has said something since it was last owed everything."""

    def attach(self) -> None:
        """Owe all current values, and those that follow."""
        if self.owed:
            return
        self.owed = True
        self._known = self._most == 0
        self._base = self.acked = self.sent = self._most
        self.begin = Begin(self._base, 0, 0)

    def detach(self) -> None:
        """Owe nothing."""
        self.owed = False

    def close(self) -> None:
        """Owe nothing, until ``again``."""
        self.detach()

    def again(self) -> None:
        """Owe all current values to who may not know that it was owed nothing."""
        self.attach()

    @property
    def moved(self) -> bool:
        """Tell whether it must know of its beginning before anything else arrives."""
        return self.owed and not self._known

    @property
    def waiting(self) -> bool:
        """Tell whether there is something to send."""
        return self.owed and self.sent - self._base < self._log.next

    @property
    def sendable(self) -> bool:
        """Tell whether the next value may be sent."""
        return self.waiting and self._fits(self._next())

    def _next(self) -> _Value:
        return self._log.first(self.sent - self._base)

    def _fits(self, value: _Value) -> bool:
        """Tell whether a value is within the limit: what was sent before counts already."""
        new = value.number + self._base >= self._counted
        return not new or self.acked_bytes + self._flight_bytes + value.cost <= self.limit

    def next_size(self) -> int:
        """Return the size of the next value."""
        return len(self._next().payload)

    @property
    def order(self) -> int:
        """Return the place of the next value among the fragments of all streams."""
        return self._next().order

    @property
    def waiting_bytes(self) -> int:
        """Return how much is still to be sent."""
        return self._bytes_since(self.sent)

    @property
    def unacknowledged_bytes(self) -> int:
        """Return how much is not known to have arrived."""
        return self._bytes_since(self.acked)

    def _bytes_since(self, number: int) -> int:
        if not self.owed:
            return 0
        return sum(each.cost for each in self._log.since(number - self._base))

    @property
    def unacknowledged(self) -> int:
        """How many values are not known to have arrived."""
        return len(self._log.since(self.acked - self._base)) if self.owed else 0

    def reached(self, number: int) -> bool:
        """Tell whether what lies before a number of the log has arrived, or is not owed."""
        return not self.owed or self.acked - self._base >= number

    def take(self, parts: list[bytes], room: int, before: int | None) -> int:
        """Add the frames of values that may be sent; as ``streams.Outgoing.take``."""
        size = 0
        while self.waiting:
            value = self._next()
            if (
                (size and size + len(value.payload) > room)
                or not self._fits(value)
                or (before is not None and value.order > before)
            ):
                break
            number = value.number + self._base
            payload = varint.write(number - self.sent) + value.payload
            frame = frames.fragment(self.stream, number, value.kind, payload, last=True)
            self.sent = number + 1
            self._most = max(self._most, self.sent)
            if self.sent > self._counted:
                self._counted = self.sent
                self._flight.append((number, value.cost))
                self._flight_bytes += value.cost
            parts.append(frame)
            size += len(frame)
        return size

    def acknowledge(self, want: Want) -> None:
        """Take the receiver's word for what it expects next, and how much may follow.

        Raises:
            InvalidMessage: it cannot expect that.
        """
        if want.number > self._most:
            raise InvalidMessage(f"fragment {want.number} of stream {self.stream} was not sent")
        if want.number < self.acked:
            return  # It said so before it said what we know.
        self._known = True
        while self._flight and self._flight[0][0] < want.number:
            _, cost = self._flight.popleft()
            self._flight_bytes -= cost
            self.acked_bytes += cost
        self.acked = want.number
        self.sent = max(self.sent, want.number)
        self.limit = max(self.limit, self.acked_bytes + want.limit)

    def resume(self, want: Want | None, *, strayed: bool = False) -> None:
        """Go on over a new connection, from what the receiver expects; None is the beginning.

        Args:
            want: what that is.
            strayed: of no consequence: values are never missing that it may expect.

        Raises:
            InvalidMessage: it cannot expect that.
        """
        if want is not None:
            self.acknowledge(want)
        self._flight.clear()
        self._flight_bytes, self._counted = 0, self.acked
        self.rewind()

    def rewind(self) -> None:
        """Send again what is not known to have arrived."""
        self.sent = self.acked


class LatestIncoming:
    """The receiving end of a stream of values; as ``streams.Incoming``.

    Attributes:
        expected: the number after the last that has come.
        assembling: nothing: a value has one fragment.
    """

    assembling: Final = 0

    def __init__(self, begin: Begin, budget: Budget) -> None:
        """Expect what begins there."""
        self.expected = begin.number
        self.credit = Credit(budget, begin.position)

    def receive(self, fragment: frames.Fragment, *, lossy: bool = False) -> Whole | None:
        """Take a fragment; return its value, unless a later one has come.

        Args:
            fragment: of this stream.
            lossy: it came over a path that may lose: a gap is no fault of anybody's.

        Raises:
            InvalidMessage: something is missing before it, or it makes no sense.
        """
        back, at = varint.read(fragment.payload, 0)
        if fragment.number < self.expected:
            return None
        if fragment.number - back > self.expected:
            if lossy:
                return None
            raise InvalidMessage(f"value {fragment.number - back} for {self.expected}")
        if not fragment.last:
            raise InvalidMessage("a value in several fragments")
        cost = len(fragment.payload) - at + OVERHEAD_BYTES
        if not self.credit.take(cost):
            if lossy:
                return None  # sent before what the other path carries, which counts alone
            raise InvalidMessage(f"more of stream {fragment.stream} than was granted")
        self.expected = fragment.number + 1
        return Whole(fragment.kind, fragment.payload[at:], cost)

    def want(self) -> Want:
        """Return what is wanted; that counts as told."""
        return Want(self.expected, self.credit.grant(0) - self.credit.position)

    def discard(self) -> None:
        """Throw away what has come and was not read."""
        self.credit.discard()

    def pass_to(self, begin: Begin) -> bool:
        """Go to where begins what is owed, if that lies ahead.

        Returns:
            whether its sender should hear that it does.
        """
        if begin.number < self.expected:
            return False
        self.expected = begin.number
        return True

    def skip(self, to: Begin) -> int:
        """Refuse to go anywhere: no value is lost.

        Raises:
            InvalidMessage: always.
        """
        raise InvalidMessage(f"a skip to {to.number} among values")
