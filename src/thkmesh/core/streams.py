"""Messages that arrive once and in order, whatever becomes of connections.

The problem: a connection that breaks takes with it what its engine had already
accepted, and nobody can say how much of that arrived. So what is sent is kept
until the other side has said that it has it, and the next connection goes on
from there.

The idea: a message is cut into fragments, and a **stream** numbers them, from 0,
over the whole life of a session. Each channel of a session has one stream to
everybody and one to each other session. What was sent lies in a ``Log``, once,
however many are to have it; every recipient has an ``Outgoing``, a place in that log:

::

    log      . . . . 17 18 19 20 21 22 23 24 25     next = 26
    Ada          acked ──╯     ╰── sent    ╰── limit    what is before all is let go
    Bob                           acked ──╯  ╰── sent, limit

Their end is an ``Incoming``: it takes the fragment that it expects, drops what it
has had, and refuses what would leave a gap. A connection is lossless and ordered
while it lives, so nothing is sent twice over one connection; what is expected is
acknowledged every ``ACK_DELAY``, for the log to be let go, and said anew at the
beginning of the next connection (``Resume``), for the sender to start there. With
it goes how far the sender may go (see ``credit``).

A newcomer is owed what follows its arrival: its sender names the place where that
begins, and how many messages lie before it. Who cannot keep up is *cut loose*:
moved to the end of the log, and told the place and the number of messages before
it (``Skip``). The receiver counts the messages it got, so it knows exactly how
many it lost.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from thkmesh.core import frames
from thkmesh.core.credit import WINDOW_BYTES, Budget, Credit
from thkmesh.core.frames import (
    FRAGMENT_BYTES,
    MESSAGE_LIMIT_BYTES,
    OVERHEAD_BYTES,
    Begin,
    Want,
)
from thkmesh.errors import InvalidMessage

__all__ = ["ACK_DELAY", "LOG_BYTES", "PIECES_BYTES", "Incoming", "Log", "Outgoing", "Whole"]

LOG_BYTES: Final = 16 * 1024 * 1024
"""A sender waits while a log holds more than this."""

PIECES_BYTES: Final = LOG_BYTES // 4
"""A transfer waits while a log holds more than this: messages wait behind what it holds."""

ACK_DELAY: Final = 0.025
"""Seconds after which what arrived is acknowledged, if nothing carries it before."""

_COMPACT: Final = 64
"""So many entries that were let go may at least stand before those that are held."""


class _Entry(Struct, frozen=True, gc=False):
    """One fragment in a log.

    Attributes:
        order: which of two streams' fragments came first.
        start: its position.
    """

    order: int
    start: int
    kind: int
    last: bool
    payload: bytes
    first: bool = True


_GONE: Final = _Entry(0, 0, 0, last=False, payload=b"")


class Log:
    """What was sent on one stream, as far as somebody may still need it."""

    def __init__(self, order: Iterator[int]) -> None:
        """Begin empty; ``order`` numbers fragments across streams."""
        self._order = order
        self._entries: list[_Entry] = []
        self._gone = 0  # how many of the entries have been let go already
        self._first = self._first_messages = 0
        self.next = 0
        """The number of the next fragment."""
        self._messages = 0
        self._written = self._freed = 0
        self._outgoing: list[Outgoing] = []
        self.transfers: set[int] = set()
        """Those that have begun here and not ended; see ``pieces``."""

    @property
    def first(self) -> int:
        """The number of the first fragment that is held."""
        return self._first

    @property
    def end(self) -> Begin:
        """Where the next message will begin."""
        return Begin(self.next, self._messages, self._written)

    @property
    def held_bytes(self) -> int:
        """How much is held; safe to ask on any thread."""
        return self._written - self._freed

    @property
    def has_room(self) -> bool:
        """Tell whether another message may be accepted."""
        return self._written - self._freed < LOG_BYTES

    @property
    def has_room_for_piece(self) -> bool:
        """Tell whether another piece of a transfer may be accepted."""
        return self._written - self._freed < PIECES_BYTES

    def bytes_from(self, number: int) -> int:
        """Return how much there is from a place that is still held to the end."""
        return self._written - self.position(number)

    def position(self, number: int) -> int:
        """Return the position of a fragment that is still held, or the next one's."""
        return self._written if number == self.next else self.entry(number).start

    def append(self, kind: int, payload: bytes, fragment_bytes: int = FRAGMENT_BYTES) -> None:
        """Add a message, in fragments of at most that size."""
        end = len(payload) - fragment_bytes
        start = 0
        while start < end:
            self._add(kind, payload[start : start + fragment_bytes], last=False, first=start == 0)
            start += fragment_bytes
        self._add(kind, payload[start:] if start else payload, last=True, first=start == 0)
        self._messages += 1
        if not self._outgoing:
            self.trim()

    def append_piece(self, transfer: int, payload: bytes, *, last: bool) -> None:
        """Add a piece of a transfer; the last one ends a message."""
        (self.transfers.discard if last else self.transfers.add)(transfer)
        self._add(frames.Kind.PIECE, payload, last=last, first=False)
        self._messages += last
        if not self._outgoing:
            self.trim()

    def _add(self, kind: int, part: bytes, *, last: bool, first: bool) -> None:
        self._entries.append(_Entry(next(self._order), self._written, kind, last, part, first))
        self._written += len(part) + OVERHEAD_BYTES
        self.next += 1

    def entry(self, number: int) -> _Entry:
        """Return the fragment of a number that is still held."""
        return self._entries[number - self._first + self._gone]

    def messages_before(self, number: int) -> int:
        """Return how many messages end before a place that is still held."""
        held = number - self._first
        if held * 2 > self.next - self._first:
            return self._messages - sum(each.last for each in self._entries[self._gone + held :])
        between = self._entries[self._gone : self._gone + held]
        return self._first_messages + sum(each.last for each in between)

    def add(self, outgoing: "Outgoing") -> None:
        """Keep from now on what a recipient has not acknowledged."""
        self._outgoing.append(outgoing)

    def remove(self, outgoing: "Outgoing") -> None:
        """Keep nothing for a recipient any more."""
        self._outgoing.remove(outgoing)
        self.trim()

    def trim(self) -> None:
        """Let go of what every recipient has."""
        needed = min((each.acked for each in self._outgoing), default=self.next)
        if needed <= self._first:
            return
        self._freed = self.position(needed)
        for at in range(self._gone, self._gone + needed - self._first):
            self._first_messages += self._entries[at].last
            self._entries[at] = _GONE
        self._gone += needed - self._first
        self._first = needed
        # To shift a list costs its length; so what is gone is cut off now and then.
        if self._gone > _COMPACT and self._gone * 2 > len(self._entries):
            del self._entries[: self._gone]
            self._gone = 0


class Outgoing:
    """One recipient's place in a log.

    Attributes:
        acked: the number before which the recipient has everything.
        acked_bytes: how much it has said to have, overhead included.
        sent: the number of the next fragment for the current connection.
        limit: the position up to which the recipient lets us go.
        begin: where what it is owed begins.
        skip: where it was moved to when it was cut loose; None if it was not.
        missed: where it goes on if it never knew that it was owed nothing for a while; else None.
        whole_from: transfers that began before this fragment do not arrive as a whole.
        owed: whether it is owed anything at all.
        named_at: the number of the first fragment behind the name of its channel.
    """

    def __init__(self, stream: int, log: Log, *, ordered: bool = True) -> None:
        """Owe nothing yet; what need not be ``ordered`` says where messages begin."""
        self.stream = stream
        self.named_at = 0
        self._ordered = ordered
        self.owed = False
        self.begin = log.end
        self.skip: Begin | None = None
        self.missed: Begin | None = None
        self.acked = self.sent = self._most = self.whole_from = log.next
        self.limit = 0
        self.acked_bytes = 0
        self._log = log
        self._former: Begin | None = None

    def attach(self) -> None:
        """Owe what is appended from now on."""
        if self.owed:
            return
        self.owed = True
        self.begin = self._log.end
        self.skip = self.missed = None
        self.acked = self.sent = self._most = self.whole_from = self._log.next
        self.limit = self.begin.position + WINDOW_BYTES
        self._log.add(self)

    def detach(self) -> None:
        """Want nothing of the log any more, and be owed nothing."""
        if self.owed:
            self.owed = False
            self._log.remove(self)
            self.acked = self.sent = self._most = self._log.next
            self.skip = self.missed = None

    def close(self) -> None:
        """Be owed nothing, until ``again``."""
        self._former = self.begin if self.owed else None
        self.detach()

    def again(self) -> None:
        """Owe what is appended from now on, to who may not know that it was owed nothing.

        What it was owed before begins where it began: it may have got nothing of it yet.
        """
        self.attach()
        self.missed = self.begin
        self.begin = self._former or self.begin

    @property
    def free(self) -> bool:
        """Tell whether fragments may overtake others: the recipient knows its channel."""
        return not self._ordered and self.acked > self.named_at

    @property
    def waiting(self) -> bool:
        """Tell whether there is something to send."""
        return self.owed and self.sent < self._log.next

    @property
    def sendable(self) -> bool:
        """Tell whether the next fragment may be sent."""
        if not self.owed or self.sent >= self._log.next:
            return False
        entry = self._log.entry(self.sent)
        return entry.start + len(entry.payload) + OVERHEAD_BYTES <= self.limit

    @property
    def moved(self) -> bool:
        """Tell whether it does not get all that it expects."""
        return self.skip is not None or self.missed is not None

    def next_size(self) -> int:
        """Return the size of the next fragment's payload."""
        return len(self._log.entry(self.sent).payload)

    @property
    def order(self) -> int:
        """Return the place of the next fragment among those of all streams."""
        return self._log.entry(self.sent).order

    @property
    def waiting_bytes(self) -> int:
        """Return how much is still to be sent."""
        return self._log.bytes_from(self.sent) if self.owed else 0

    @property
    def unacknowledged_bytes(self) -> int:
        """Return how much is not known to have arrived."""
        return self._log.bytes_from(self.acked) if self.owed else 0

    @property
    def last(self) -> bool:
        """Tell whether the log could let go of more if this recipient had more of it."""
        return self.owed and self.acked == self._log.first and self.acked < self._log.next

    @property
    def unacknowledged(self) -> int:
        """How many messages are not known to have arrived."""
        if not self.owed or self.acked == self._log.next:
            return 0
        return self._log.end.messages - self._log.messages_before(self.acked)

    @property
    def undelivered(self) -> int:
        """How many messages are lost if it gets no more."""
        return self.unacknowledged

    def reached(self, number: int) -> bool:
        """Tell whether all before a number of the log has arrived, or is not owed."""
        return not self.owed or self.acked >= number

    @property
    def unfinished(self) -> int:
        """How many transfers that it is owed as a whole have not ended."""
        return sum(each >= self.whole_from for each in self._log.transfers) if self.owed else 0

    def take(self, parts: list[bytes], room: int, before: int | None) -> int:
        """Add the frames of fragments that may be sent; they count as sent.

        Args:
            parts: where to add them.
            room: for how many bytes there is room; the first is added without.
            before: only what came before that (an ``order``) is sent; None is all.

        Returns:
            how many bytes they have.
        """
        size = 0
        while self.sent < self._log.next:
            entry = self._log.entry(self.sent)
            length = len(entry.payload)
            if (
                (size and size + length > room)
                or entry.start + length + OVERHEAD_BYTES > self.limit
                or (before is not None and entry.order > before)
            ):
                break
            first = entry.first and not self._ordered
            frame = frames.fragment(
                self.stream, self.sent, entry.kind, entry.payload, last=entry.last, first=first
            )
            self.sent += 1
            parts.append(frame)
            size += len(frame)
        self._most = max(self._most, self.sent)
        return size

    def acknowledge(self, want: Want) -> None:
        """Take the receiver's word for what it expects next, and how much it takes.

        Raises:
            InvalidMessage: it cannot expect that.
        """
        if want.number > self._most:
            raise InvalidMessage(f"fragment {want.number} of stream {self.stream} was not sent")
        if not self.owed:
            return
        self.limit = max(self.limit, want.limit)
        self.sent = max(self.sent, want.number)
        if self.skip is not None and want.number >= self.skip.number:
            self.skip = None
        if self.missed is not None and want.number >= self.missed.number:
            self.missed = None
        if want.number > self.acked:
            self.acked_bytes += self._log.position(want.number) - self._log.position(self.acked)
            self.acked = want.number
            self._log.trim()

    def resume(self, want: Want | None, *, strayed: bool = False) -> None:
        """Go on over a new connection, from what the receiver expects.

        Args:
            want: what that is; None is the beginning.
            strayed: another path was used too, over which more may have been acknowledged
                since this was said.

        Raises:
            InvalidMessage: it cannot expect that.
        """
        exact = self.owed and self.skip is None and self.missed is None and not strayed
        if want is not None and want.number >= self.begin.number:
            if want.number < self.acked and exact:
                number = f"fragment {want.number} of stream {self.stream}"
                raise InvalidMessage(f"{number} had arrived")
            self.acknowledge(want)
        elif self.acked > self.begin.number and exact:
            raise InvalidMessage(f"stream {self.stream} is known no longer")
        self.rewind()

    def rewind(self) -> None:
        """Send again what is not known to have arrived."""
        self.sent = self.acked

    def cut_loose(self) -> int:
        """Move to the end of the log; return how many messages it does not get, for all we know.

        Those are not known to have arrived, or are transfers that are under way.
        """
        count = self.unacknowledged + self.unfinished
        self.skip = self._log.end
        self.acked = self.sent = self._most = self.whole_from = self._log.next
        self._log.trim()
        return count


class Whole(Struct, frozen=True, gc=False):
    """A message with all its fragments, or a piece of a transfer.

    Attributes:
        cost: the bytes of the stream that it took.
    """

    kind: int
    payload: bytes
    cost: int


class Incoming:
    """The receiving end of a stream."""

    def __init__(self, begin: Begin, budget: Budget) -> None:
        """Expect what begins there."""
        self.expected = begin.number
        self.credit = Credit(budget, begin.position)
        self._messages = begin.messages
        self._parts: list[bytes] = []
        self._bytes = 0
        self._kind: int = 0
        self._torn = False  # the beginning of the message that is coming was thrown away

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
        if self._parts or not (fragment.last or self._torn):
            if self._parts and fragment.kind != self._kind:
                raise InvalidMessage("a message of two kinds")
            if self._bytes + len(payload) > MESSAGE_LIMIT_BYTES:
                raise InvalidMessage(f"a message of over {MESSAGE_LIMIT_BYTES} bytes")
        cost = len(payload) + OVERHEAD_BYTES
        if not self.credit.take(cost):
            raise InvalidMessage(f"more of stream {fragment.stream} than was granted")
        self.expected += 1
        if self._torn:
            self.credit.read(cost)
            self._torn = not fragment.last
            self._messages += fragment.last
            return None
        if self._parts or not fragment.last:
            if fragment.kind == frames.Kind.PIECE:
                return Whole(fragment.kind, payload, cost)
            self._parts.append(payload)
            self._bytes += len(payload)
            self._kind = fragment.kind
            if not fragment.last:
                return None
            cost = self.assembling
            payload = b"".join(self._parts)
            self._parts.clear()
            self._bytes = 0
        self._messages += 1
        return Whole(fragment.kind, payload, cost)

    @property
    def assembling(self) -> int:
        """What a message that is not whole yet has cost so far."""
        return self._bytes + len(self._parts) * OVERHEAD_BYTES

    def want(self) -> Want:
        """Return what is wanted; that counts as told."""
        return Want(self.expected, self.credit.grant(self.assembling))

    def discard(self) -> None:
        """Throw away what has come and was not read, half a message included."""
        if self._parts:
            self._parts.clear()
            self._bytes = 0
            self._torn = True
        self.credit.discard()

    def pass_to(self, begin: Begin) -> bool:
        """Go to where begins what is owed, if that lies ahead; what lies before is not lost.

        Returns:
            whether that is so.

        Raises:
            InvalidMessage: fewer bytes lie before it than have come already.
        """
        ahead = begin.number > self.expected
        if ahead:
            self._go(begin)
        self.credit.begin(min(begin.position, self.credit.position))
        return ahead

    def skip(self, to: Begin) -> int:
        """Go to a place; return how many messages that loses.

        Raises:
            InvalidMessage: fewer messages or bytes lie before it than have come already.
        """
        if to.number <= self.expected:
            return 0
        lost = to.messages - self._messages
        if lost < 0:
            raise InvalidMessage("a place with fewer messages before it than came")
        self._go(to)
        return lost

    def _go(self, to: Begin) -> None:
        if to.position < self.credit.position:
            raise InvalidMessage("a place with fewer bytes before it than came")
        self.credit.read(self.assembling)
        self._parts.clear()
        self._bytes = 0
        self._torn = False
        self.credit.jump(to.position)
        self.expected, self._messages = to.number, to.messages
