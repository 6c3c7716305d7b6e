"""The receiving end of a stream whose messages come in any order, each once.

The problem: in a stream that is put in order, all wait behind one packet that is lost.
Where messages have nothing to do with each other, that is in vain.

The idea: the sender's half is that of ``streams``: one log, a cursor for each recipient,
acknowledged up to a number. Its fragments go over a data channel that is reliable and not
ordered, and say where a message begins. So this end takes them as they come, within what it
has granted, joins neighbours to *runs*, and delivers a message as soon as its run reaches
from a first fragment to a last:

::

    number     7   8   9  10  11  12  13      expected = 8
    fragment   [=======]   .  [=]  [====      9 is missing: [ is a first one, ] a last one
    delivered                  11             12 and 13 are a run, 7 is one of its own

What lies behind ``expected`` is acknowledged, so only what came early is remembered by
number; and as each fragment costs ``OVERHEAD_BYTES`` of credit at least, that is bounded too.
"""

from msgspec import Struct

from thkmesh.core.credit import WINDOW_LIMIT_BYTES, Budget, Credit
from thkmesh.core.frames import MESSAGE_LIMIT_BYTES, OVERHEAD_BYTES, Begin, Fragment, Want
from thkmesh.core.streams import Whole
from thkmesh.errors import InvalidMessage

__all__ = ["Scattered"]


class _Run(Struct, frozen=True, gc=False):
    """Neighbouring fragments of one message that is not whole.

    Attributes:
        start: the number of the first one.
        end: the number behind the last one.
        begun: the message begins with it.
        ended: the message ends with it.
        size: the bytes of its payloads.
    """

    start: int
    end: int
    kind: int
    begun: bool
    ended: bool
    size: int

    def followed_by(self, other: "_Run") -> "_Run":
        """Return the run of this one and the next.

        Raises:
            InvalidMessage: they are of different messages.
        """
        size = self.size + other.size
        if self.ended or other.begun or self.kind != other.kind:
            raise InvalidMessage(f"fragment {other.start} does not go on what is before it")
        if size > MESSAGE_LIMIT_BYTES:
            raise InvalidMessage(f"a message of over {MESSAGE_LIMIT_BYTES} bytes")
        return _Run(self.start, other.end, self.kind, self.begun, other.ended, size)


class Scattered:
    """As ``streams.Incoming``, for fragments in any order."""

    def __init__(self, begin: Begin, budget: Budget) -> None:
        """Expect what begins there."""
        self.expected = begin.number
        self.credit = Credit(budget, begin.position)
        self.assembling = 0
        """What the messages that are not whole yet have cost so far."""
        self._messages = begin.messages
        self._early_bytes = 0
        self._early: dict[int, int] = {}
        """What each fragment behind ``expected`` has cost."""
        self._done: set[int] = set()
        """The last fragments behind ``expected`` of messages that were whole."""
        self._starting: dict[int, _Run] = {}
        self._ending: dict[int, _Run] = {}
        self._parts: dict[int, bytes] = {}
        """The payloads of all runs, but for those that were thrown away."""

    def receive(self, fragment: Fragment, *, lossy: bool = False) -> Whole | None:
        """Take a fragment; return the message that it completes, if it does.

        Args:
            fragment: of this stream.
            lossy: it came over a path that may lose; here a gap is no fault anyway.

        Raises:
            InvalidMessage: it makes no sense where it stands.
        """
        number, payload = fragment.number, fragment.payload
        if number < self.expected or number in self._early:
            return None  # it came over another path, too
        run = self._joined(fragment)
        cost = len(payload) + OVERHEAD_BYTES
        if not self.credit.take(cost):
            raise InvalidMessage(f"more of stream {fragment.stream} than was granted")
        self._early[number] = cost
        self._early_bytes += cost
        self._parts[number] = payload
        self.assembling += cost
        if run.start < number:
            del self._ending[number]
        if run.end > number + 1:
            del self._starting[number + 1]
        whole = None
        if run.begun and run.ended:
            whole = self._finish(run)
        else:
            self._starting[run.start] = self._ending[run.end] = run
        self._advance()
        return whole

    def _joined(self, fragment: Fragment) -> _Run:
        """Return the run that a fragment makes with its neighbours; nothing is changed yet.

        Raises:
            InvalidMessage: they are of different messages, or of too large a one.
        """
        number, first, last = fragment.number, fragment.first, fragment.last
        run = _Run(number, number + 1, fragment.kind, first, last, len(fragment.payload))
        left, right = self._ending.get(number), self._starting.get(number + 1)
        if left is not None and not (left.ended and first):
            run = left.followed_by(run)
        if right is not None and not (last and right.begun):
            run = run.followed_by(right)
        return run

    def _remove(self, run: _Run) -> None:
        self._starting.pop(run.start, None)
        self._ending.pop(run.end, None)

    def _finish(self, run: _Run) -> Whole | None:
        """Return the message of a run; None if some of it was thrown away."""
        self._remove(run)
        self._done.add(run.end - 1)
        count = run.end - run.start
        parts = [self._parts.pop(each) for each in range(run.start, run.end) if each in self._parts]
        size = sum(map(len, parts))
        cost = size + OVERHEAD_BYTES * len(parts)
        self.assembling -= cost
        if len(parts) < count:
            self.credit.read(cost)
            return None
        return Whole(run.kind, parts[0] if count == 1 else b"".join(parts), cost)

    def _advance(self) -> None:
        """Expect what has not come."""
        while self.expected in self._early:
            self._early_bytes -= self._early.pop(self.expected)
            if self.expected in self._done:
                self._done.remove(self.expected)
                self._messages += 1
            self.expected += 1

    def want(self) -> Want:
        """Return what is wanted; that counts as told."""
        if self._early_bytes > WINDOW_LIMIT_BYTES:  # no more before what is missing has come
            return Want(self.expected, self.credit.limit)
        return Want(self.expected, self.credit.grant(self.assembling))

    def discard(self) -> None:
        """Throw away what has come and was not read, parts of messages included."""
        self._parts.clear()
        self.assembling = 0
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
        came = self._messages + sum(each < to.number for each in self._done)
        if to.messages < came:
            raise InvalidMessage("a place with fewer messages before it than came")
        self._go(to)
        return to.messages - came

    def _go(self, to: Begin) -> None:
        """Go to a place; what came of behind it is kept, and counts."""
        early = {number: cost for number, cost in self._early.items() if number >= to.number}
        behind = sum(early.values())
        if to.position < self.credit.position - behind:
            raise InvalidMessage("a place with fewer bytes before it than came")
        for run in [each for each in self._starting.values() if each.start < to.number]:
            self._remove(run)
            for number in range(run.start, run.end):
                payload = self._parts.pop(number, None)
                if payload is not None:
                    cost = len(payload) + OVERHEAD_BYTES
                    self.assembling -= cost
                    self.credit.read(cost)
        self._early, self._early_bytes = early, behind
        self._done = {each for each in self._done if each >= to.number}
        self.credit.jump(to.position + behind)
        self.expected, self._messages = to.number, to.messages
        self._advance()
