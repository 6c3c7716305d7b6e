"""Messages that are worth something now or not at all: cursors, positions, sound.

The problem: a reliable stream that has lost a packet waits for it, and then all that
follows is late. Who sends where the mouse is now has no use for where it was.

The idea: such a message is one small frame (``Lossy``) on the lossy data channel. It is
numbered, per stream as in ``streams``, and never held in a log: it needs no credit, nobody
waits for it, and its loss is told to nobody. What would stand in a queue is dropped by its
sender (``Backlog``), what is late or doubled by its receiver.

Between that and ``reliable`` lie the partial reliabilities of W3C's data channels:
``maxRetransmits`` and ``maxPacketLifeTime``. For those the receiver reports what has come,
and the sender keeps a message until it has, or has been sent so often, or is so old. It is
sent again when three later ones have come (RFC 9002, section 6.1.1) or after twice the
round trip, and where only time is a limit, twice as long each time (RFC 9260, section
6.3.3). Each frame says which number may still come at least, as FORWARD-TSN does in
SCTP (RFC 3758): so a receiver that delivers in order waits for that and for nothing older.

::

    sent        17 18 19 20 21 22     18 was given up, 19 and 21 are lost
    frame 22    floor = 19
    delivered   17        20 22       in order: 20 and 22 wait for 19, then for 21
    reported    expected = 19, later = {20, 22}

Both sides remember at most ``WINDOW`` messages of a stream.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from thkmesh.core import frames
from thkmesh.core.frames import FORWARD, OVERHEAD_BYTES, REPORT_BITS, VERSION, Lossy, Report
from thkmesh.core.link_events import Passing
from thkmesh.errors import InvalidMessage

__all__ = [
    "DATAGRAM_BYTES",
    "HELD_BYTES",
    "LEAST_TIMEOUT",
    "REPORT_DELAY",
    "WINDOW",
    "Backlog",
    "Limits",
    "Receiver",
    "Sender",
    "pack",
]

DATAGRAM_BYTES: Final = 1150
"""Frames share a datagram up to this size: it fits one packet."""

WINDOW: Final = REPORT_BITS
"""No more messages of a stream than this are sent again, or wait for an earlier one."""

HELD_BYTES: Final = 1024 * 1024
"""No more than this of one session waits for what is missing."""

REPORT_DELAY: Final = 0.01
"""Seconds after which what came is reported."""

LEAST_TIMEOUT: Final = 0.05
_FIRST_TIMEOUT: Final = 0.25
_MOST_TIMEOUT: Final = 8.0
"""Seconds without a report after which a message is sent again: at least, while the round
trip is not known, and at most."""

_REORDERED: Final = 3
"""A message is lost if one came that was sent so many later."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a message that need not arrive is tried.

    Attributes:
        ordered: what comes after a later one is dropped.
        max_retransmits: how often it is sent again; None: until it is too old.
        life_time: seconds after which it is not sent again; None without such a limit.
    """

    ordered: bool = True
    max_retransmits: int | None = 0
    life_time: float | None = None

    @property
    def resends(self) -> bool:
        """Tell whether anything is ever sent again."""
        return self.max_retransmits != 0


class Backlog:
    """How much the engine's realtime buffer may hold: what leaves in 20 ms, or 16 KiB."""

    LEAST_BYTES: Final = 16 * 1024
    _PART: Final = 5
    """The window (see ``window``) is what leaves in five times as long."""

    def __init__(self) -> None:
        """Begin with an empty engine."""
        self.held_bytes = 0
        """How much it holds, at most, for all we know."""

    def takes(self, window_bytes: int) -> bool:
        """Tell whether another datagram would leave soon."""
        return self.held_bytes < self._limit(window_bytes)

    def must_measure(self, window_bytes: int) -> bool:
        """Tell whether to ask the engine how much it holds."""
        return self.held_bytes >= self._limit(window_bytes) // 2

    def _limit(self, window_bytes: int) -> int:
        return max(self.LEAST_BYTES, window_bytes // self._PART)


def pack(parts: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield datagrams of frames, and how many are in each."""
    size, some = len(VERSION), [VERSION]
    for part in parts:
        if len(some) > 1 and size + len(part) > DATAGRAM_BYTES:
            yield b"".join(some), len(some) - 1
            size, some = len(VERSION), [VERSION]
        some.append(part)
        size += len(part)
    if len(some) > 1:
        yield b"".join(some), len(some) - 1


# --- sending ----------------------------------------------------------------------------


@dataclass(slots=True)
class _Flight:
    """A message that may have to be sent again.

    Attributes:
        ends: when it is too old.
        sent_at: when it was sent last.
        due: when it is sent again, or given up.
        resent: how often it has been sent again.
    """

    kind: int
    payload: bytes
    ends: float
    sent_at: float
    due: float
    resent: int = 0


class _Course:
    """What is sent on one stream."""

    def __init__(self, stream: int, limits: Limits) -> None:
        self.stream = stream
        self.next = 0
        """The number of the next message."""
        self.flights: dict[int, _Flight] = {}
        self.reported = 0
        """The number that the receiver expects."""
        self._limits = limits
        self._forward_at: float | None = None
        self._forward_delay = 0.0

    @property
    def floor(self) -> int:
        """The lowest number that may still come."""
        return next(iter(self.flights), self.next)

    @property
    def due(self) -> float | None:
        """When something is to be sent, or given up."""
        times = [flight.due for flight in self.flights.values()]
        if self._forward_at is not None:
            times.append(self._forward_at)
        return min(times, default=None)

    def send(self, passing: Passing, now: float, timeout: float) -> Lossy:
        """Send a message for the first time."""
        number = self.next if passing.number is None else passing.number
        kind, payload = passing.kind, passing.payload
        self.next = number + 1
        if self._limits.resends:
            life_time = self._limits.life_time
            ends = float("inf") if life_time is None else now + life_time
            due = min(now + timeout, ends)
            self.flights[number] = _Flight(kind, payload, ends, now, due)
            while len(self.flights) > 1 and self.floor <= number - WINDOW:
                del self.flights[self.floor]
        return self._frame(number, kind, payload)

    def settle(self, now: float, timeout: float) -> Iterator[Lossy]:
        """Yield what is to be sent again, and give up what was tried long enough."""
        if self._give_up(now) and self._limits.ordered:
            self._forward_at, self._forward_delay = now, timeout
        for number, flight in self.flights.items():
            if flight.due <= now:
                flight.resent += 1
                flight.sent_at = now
                flight.due = min(now + self._pause(flight, timeout), flight.ends)
                yield self._frame(number, flight.kind, flight.payload)
        if self._forward_at is not None and self._forward_at <= now:
            yield Lossy(self.stream, self.floor, self.floor, FORWARD, b"", report=True)
            self._forward_at = now + self._forward_delay
            self._forward_delay = min(2 * self._forward_delay, _MOST_TIMEOUT)

    def _pause(self, flight: _Flight, timeout: float) -> float:
        """Return how long to wait for a report; twice as long each time, if nobody counts them."""
        if self._limits.max_retransmits is not None:
            return timeout
        return min(timeout * 2.0**flight.resent, _MOST_TIMEOUT)

    def _give_up(self, now: float) -> bool:
        most = self._limits.max_retransmits
        given_up = [
            number
            for number, flight in self.flights.items()
            if flight.due <= now and (flight.resent == most or flight.ends <= now)
        ]
        for number in given_up:
            del self.flights[number]
        return bool(given_up)

    def heard(self, report: Report, now: float) -> Iterator[float]:
        """Take a report; yield how long it took until messages were reported."""
        came = set(report.later)
        highest = max(came, default=report.expected - 1)
        for number, flight in list(self.flights.items()):
            if number < report.expected or number in came:
                del self.flights[number]
                if not flight.resent:
                    yield now - flight.sent_at
            elif not flight.resent and highest >= number + _REORDERED:
                flight.due = now
        self.reported = max(self.reported, report.expected)
        if self.reported >= self.floor:
            self._forward_at = None

    def forget(self) -> None:
        """Send nothing again."""
        self.flights.clear()
        self._forward_at = None

    def _frame(self, number: int, kind: int, payload: bytes) -> Lossy:
        floor = self.floor if self._limits.resends else number
        return Lossy(self.stream, number, floor, kind, payload, report=self._limits.resends)


class Sender:
    """What one session is sent, and sent again.

    Attributes:
        deadline: when to ask it at the latest; None while nothing is to be sent again.
        dropped: how many messages were not sent, as too many were queued.
    """

    def __init__(self) -> None:
        """Have sent nothing."""
        self.deadline: float | None = None
        self.dropped = 0
        self._courses: dict[int, _Course] = {}
        self._ready: list[bytes] = []
        self._trip: float | None = None

    @property
    def _timeout(self) -> float:
        if self._trip is None:
            return _FIRST_TIMEOUT
        return min(max(2 * self._trip, LEAST_TIMEOUT), _MOST_TIMEOUT)

    def send(self, stream: int, limits: Limits, passing: Passing, now: float) -> None:
        """Send a message, with the number that it has for everybody, or the next one."""
        course = self._courses.get(stream)
        if course is None:
            course = self._courses[stream] = _Course(stream, limits)
        self._ready.append(frames.write(course.send(passing, now, self._timeout)))
        self._look(course)

    def take(self, now: float) -> list[bytes]:
        """Return the frames that are to be sent now."""
        if self.deadline is not None and now >= self.deadline:
            for course in self._courses.values():
                self._ready += map(frames.write, course.settle(now, self._timeout))
            self._look_again()
        ready, self._ready = self._ready, []
        return ready

    def heard(self, report: Report, now: float) -> None:
        """Take the receiver's word for what has come.

        Raises:
            InvalidMessage: that was not sent.
        """
        course = self._courses.get(report.stream)
        if course is None or max(report.later, default=report.expected - 1) >= course.next:
            raise InvalidMessage(f"a report of what was not sent on stream {report.stream}")
        for trip in course.heard(report, now):
            self._trip = trip if self._trip is None else (7 * self._trip + trip) / 8
        self._look_again()

    def forget(self, stream: int) -> None:
        """Send nothing again of a stream: nobody hears it."""
        course = self._courses.get(stream)
        if course is not None:
            course.forget()
            self._look_again()

    def close(self) -> None:
        """Send nothing again; the numbers go on, should the session come back."""
        self._ready.clear()
        for course in self._courses.values():
            course.forget()
        self.deadline = None

    def _look(self, course: _Course) -> None:
        due = course.due
        if due is not None and (self.deadline is None or due < self.deadline):
            self.deadline = due

    def _look_again(self) -> None:
        self.deadline = None
        for course in self._courses.values():
            self._look(course)


# --- receiving --------------------------------------------------------------------------


class _Arrivals:
    """What comes on one stream."""

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._expected: int | None = None
        """In order: the number of the next message to deliver."""
        self._newest = -1
        self._floor = 0
        self._waiting: dict[int, tuple[int, bytes]] = {}
        """In order: what waits for an earlier one. Else: what has come."""
        self.held_bytes = 0
        """How much of it waits, with something for each message."""

    def receive(self, frame: Lossy) -> list[tuple[int, bytes]]:
        """Take a frame; return what is to be delivered, in order: kinds and payloads."""
        self._floor = max(self._floor, frame.floor)
        return self._in_order(frame) if self._ordered else self._at_once(frame)

    def _in_order(self, frame: Lossy) -> list[tuple[int, bytes]]:
        if self._expected is None:
            self._expected = self._floor
        if frame.number >= self._expected and frame.number not in self._waiting:
            self._newest = max(self._newest, frame.number - (frame.kind == FORWARD))
            if frame.kind != FORWARD:
                self._waiting[frame.number] = (frame.kind, frame.payload)
                self.held_bytes += len(frame.payload) + OVERHEAD_BYTES
        return self.release(max(self._floor, self._newest - WINDOW + 1))

    def release(self, floor: int | None = None) -> list[tuple[int, bytes]]:
        """Return what waits for nothing that is not below a number; None: all that waits."""
        expected = self._expected or 0
        if floor is None:
            floor = self._newest + 1
        released: list[tuple[int, bytes]] = []
        for number in sorted(self._waiting):
            if number > max(expected, floor):
                break
            kind, payload = self._waiting.pop(number)
            self.held_bytes -= len(payload) + OVERHEAD_BYTES
            released.append((kind, payload))
            expected = number + 1
        self._expected = max(expected, floor)
        return released

    def rest(self) -> None:
        """Let go of what waits; of what is put in no order nothing does."""
        if self._ordered:
            self.release()

    def _at_once(self, frame: Lossy) -> list[tuple[int, bytes]]:
        number = frame.number
        late = number <= self._newest - WINDOW or number in self._waiting
        if late or frame.kind == FORWARD:
            return []
        self._newest = max(self._newest, number)
        self._waiting[number] = (0, b"")
        if len(self._waiting) >= 2 * WINDOW:
            for old in [each for each in self._waiting if each <= self._newest - WINDOW]:
                del self._waiting[old]
        return [(frame.kind, frame.payload)]

    def report(self, stream: int) -> Report:
        """Return what has come."""
        expected = self._expected
        if expected is None:
            expected = max(self._floor, self._newest - WINDOW + 1, 0)
            while expected in self._waiting:
                expected += 1
        later = [each for each in self._waiting if expected < each <= expected + REPORT_BITS]
        return Report(stream, expected, tuple(sorted(later)))


class Receiver:
    """What comes from one session.

    Attributes:
        deadline: when to report; None while nothing is to be reported.
    """

    def __init__(self) -> None:
        """Know of no stream."""
        self.deadline: float | None = None
        self._streams: dict[int, _Arrivals] = {}
        self._news: set[int] = set()
        self._held_bytes = 0

    def receive(self, frame: Lossy, now: float, *, ordered: bool) -> list[tuple[int, bytes]]:
        """Take a frame; return what is to be delivered, in order: kinds and payloads."""
        arrivals = self._streams.get(frame.stream)
        if arrivals is None:
            arrivals = self._streams[frame.stream] = _Arrivals(ordered=ordered)
        if frame.report:
            self._news.add(frame.stream)
            if self.deadline is None:
                self.deadline = now + REPORT_DELAY
        before = arrivals.held_bytes
        released = arrivals.receive(frame)
        self._held_bytes += arrivals.held_bytes - before
        if self._held_bytes > HELD_BYTES:
            self._held_bytes -= arrivals.held_bytes
            released += arrivals.release()
        return released

    def take(self, now: float) -> list[bytes]:
        """Return the reports that are due."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        news, self._news = sorted(self._news), set()
        return [frames.write(self._streams[stream].report(stream)) for stream in news]

    def close(self) -> None:
        """Hold nothing; the numbers go on, should the session come back."""
        for arrivals in self._streams.values():
            arrivals.rest()
        self._held_bytes = 0
        self._news.clear()
        self.deadline = None
