"""The laws of messages that may be lost: soon or not at all, in bounded memory."""

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core import frames
from thkmesh.core.frames import FORWARD, REPORT_BITS, Frame, Kind, Lossy, Report, parse
from thkmesh.core.link_events import Passing
from thkmesh.core.realtime import (
    DATAGRAM_BYTES,
    HELD_BYTES,
    LEAST_TIMEOUT,
    REPORT_DELAY,
    WINDOW,
    Backlog,
    Limits,
    Receiver,
    Sender,
    pack,
)
from thkmesh.core.window import LEAST_BYTES, MOST_BYTES
from thkmesh.errors import InvalidMessage

STREAM = 6
NOW = Limits()
ONCE = Limits(max_retransmits=1)
TWICE = Limits(max_retransmits=2)
ANY = Limits(ordered=False, max_retransmits=2)
SOON = Limits(max_retransmits=None, life_time=1.0)


def passing(payload: bytes, number: int | None = None) -> Passing:
    """Return a message to send."""
    return Passing("x", number, Kind.BYTES, payload)


def sent(sender: Sender, now: float) -> list[Lossy]:
    """Return what is sent now."""
    found: list[Lossy] = []
    for frame in said(sender.take(now)):
        assert isinstance(frame, Lossy)
        found.append(frame)
    return found


def said(written: list[bytes]) -> list[Frame]:
    """Return what frames say."""
    return list(parse(frames.datagram() + b"".join(written)))


def sending(limits: Limits, count: int, now: float = 0.0) -> tuple[Sender, list[Lossy]]:
    """Return a sender, and what it sent: so many messages."""
    sender = Sender()
    for number in range(count):
        sender.send(STREAM, limits, passing(b"%d" % number), now)
    return sender, sent(sender, now)


def lossy(number: int, floor: int | None = None, *, report: bool = False) -> Lossy:
    """Return a message that comes in."""
    floor = number if floor is None else floor
    return Lossy(STREAM, number, floor, Kind.BYTES, b"%d" % number, report)


def got(receiver: Receiver, *came: Lossy, ordered: bool = True) -> list[int]:
    """Return the numbers of the messages that are delivered."""
    found = [receiver.receive(each, 0.0, ordered=ordered) for each in came]
    return [int(payload) for some in found for _, payload in some]


def reported(receiver: Receiver, now: float = REPORT_DELAY) -> Report:
    """Return the one report that is due."""
    [report] = said(receiver.take(now))
    assert isinstance(report, Report)
    return report


# --- what is sent at once ---------------------------------------------------------------


def test_what_is_worth_nothing_later_is_sent_once_and_forgotten() -> None:
    """Numbered, and nothing before it is waited for; nothing is due."""
    sender, first = sending(NOW, 3)
    assert [(each.number, each.floor, each.report) for each in first] == [
        (number, number, False) for number in range(3)
    ]
    assert sender.deadline is None
    sender.send(STREAM, NOW, passing(b"", 9), 0.0)
    assert [each.number for each in sent(sender, 0.0)] == [9]


def test_small_ones_share_a_datagram_that_fits_a_packet() -> None:
    """Up to its size; a large one has its own."""
    parts = [bytes(500), bytes(500), bytes(500), bytes(1110)]
    packed = list(pack(parts))
    assert [count for _, count in packed] == [2, 1, 1]
    assert max(len(datagram) for datagram, _ in packed) <= DATAGRAM_BYTES
    assert list(pack([])) == []
    largest = Lossy(511, 2**53 - 1, 2**53 - 257, Kind.JSON, bytes(1100), report=True)
    assert len(frames.datagram(largest)) <= DATAGRAM_BYTES


def test_no_more_is_queued_than_leaves_in_20_ms() -> None:
    """Or 16 KiB, where little is known of the rate; the engine is asked in time."""
    backlog = Backlog()
    assert backlog.takes(LEAST_BYTES)
    assert not backlog.must_measure(LEAST_BYTES)
    backlog.held_bytes = 16 * 1024
    assert not backlog.takes(LEAST_BYTES)
    assert backlog.must_measure(LEAST_BYTES)
    assert backlog.takes(MOST_BYTES)
    backlog.held_bytes = MOST_BYTES // 5
    assert not backlog.takes(MOST_BYTES)


# --- what is sent again -----------------------------------------------------------------


def test_a_message_is_sent_again_so_often_and_then_given_up() -> None:
    """After a quarter of a second while the round trip is not known; then its receiver is told."""
    sender, [frame] = sending(TWICE, 1)
    times = [sender.deadline]
    for _ in range(3):
        assert sender.deadline is not None
        [frame] = sent(sender, sender.deadline)
        times.append(sender.deadline)
    assert times == [0.25, 0.5, 0.75, 1.0]
    assert (frame.kind, frame.number, frame.floor) == (FORWARD, 1, 1)


def test_that_it_was_given_up_is_said_until_it_is_known() -> None:
    """Less and less often; a report ends it."""
    sender, _ = sending(ONCE, 1)
    said_at: list[float] = []
    while len(said_at) < 9:
        assert sender.deadline is not None
        now = sender.deadline
        said_at += [now for frame in sent(sender, now) if frame.kind == FORWARD]
    pauses = [later - earlier for earlier, later in itertools.pairwise(said_at)]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    sender.heard(Report(STREAM, 0, ()), 50.0)
    assert sender.deadline is not None
    sender.heard(Report(STREAM, 1, ()), 50.0)
    assert sender.deadline is None


def test_without_an_order_nobody_waits_for_what_was_given_up() -> None:
    """So nothing is said of it."""
    sender, frames_now = sending(ANY, 1)
    for _ in range(3):
        assert sender.deadline is not None
        frames_now = sent(sender, sender.deadline)
    assert frames_now == []
    assert sender.deadline is None


def test_what_is_too_old_is_not_sent_again() -> None:
    """As often as there is time for, and less and less often."""
    sender, _ = sending(SOON, 1)
    times: list[float] = []
    while sender.deadline is not None and len(times) < 9:
        now = sender.deadline
        times += [now for frame in sent(sender, now) if frame.kind != FORWARD]
        if now >= 1.0:
            sender.heard(Report(STREAM, 1, ()), now)
    assert times == [0.25, 0.75]


def test_what_three_later_ones_have_overtaken_is_sent_again_at_once() -> None:
    """Once; after that only time tells."""
    sender, _ = sending(TWICE, 5)
    sender.heard(Report(STREAM, 0, (2,)), 0.02)
    assert sent(sender, 0.02) == []
    sender.heard(Report(STREAM, 0, (2, 3, 4)), 0.02)
    assert [each.number for each in sent(sender, 0.02)] == [0, 1]
    sender.heard(Report(STREAM, 0, (2, 3, 4)), 0.03)
    assert sent(sender, 0.03) == []


def test_it_waits_twice_the_round_trip() -> None:
    """As measured by what was sent once; 50 ms at least."""
    for trip, wait in ((0.001, LEAST_TIMEOUT), (0.2, 0.4), (60.0, 8.0)):
        sender, _ = sending(TWICE, 1)
        sender.heard(Report(STREAM, 1, ()), trip)
        sender.send(STREAM, TWICE, passing(b""), 100.0)
        assert sender.deadline == 100.0 + wait
        sent(sender, 100.0)
        sent(sender, 100.0 + wait)
        sender.heard(Report(STREAM, 2, ()), 300.0)  # it was sent twice: this tells nothing
        sender.send(STREAM, TWICE, passing(b""), 400.0)
        assert sender.deadline == 400.0 + wait


def test_a_sender_remembers_a_window() -> None:
    """What lies further back is given up."""
    sender, frames_now = sending(TWICE, WINDOW + 9)
    assert [each.floor for each in frames_now[-2:]] == [8, 9]
    assert len(sent(sender, 0.25)) == WINDOW


def test_who_does_not_listen_any_more_is_sent_nothing_again() -> None:
    """Nor who is gone; the numbers go on."""
    sender, _ = sending(TWICE, 3)
    sender.forget(STREAM)
    sender.forget(99)
    assert sender.deadline is None
    sender.send(STREAM, TWICE, passing(b""), 0.0)
    sender.close()
    assert sender.deadline is None
    assert sent(sender, 9.0) == []
    sender.send(STREAM, TWICE, passing(b""), 0.0)
    [frame] = sent(sender, 0.0)
    assert (frame.number, frame.floor) == (4, 4)


@pytest.mark.parametrize(
    "report", [Report(1, 0, ()), Report(STREAM, 3, ()), Report(STREAM, 0, (2,))]
)
def test_what_was_not_sent_cannot_have_come(report: Report) -> None:
    """Who says so is at fault."""
    sender, _ = sending(TWICE, 2)
    with pytest.raises(InvalidMessage):
        sender.heard(report, 0.0)


# --- what comes -------------------------------------------------------------------------


def test_what_is_late_or_doubled_is_dropped() -> None:
    """In order; else only what is doubled, or so late that it is not remembered."""
    came = [lossy(number) for number in (3, 5, 5, 4, 900, 3, 7, 899)]
    assert got(Receiver(), *came) == [3, 5, 900]
    assert got(Receiver(), *came, ordered=False) == [3, 5, 4, 900, 899]


def test_in_order_it_is_waited_for_what_may_come() -> None:
    """And no longer than that; so it is delivered in order, whatever comes when."""
    receiver = Receiver()
    assert got(receiver, lossy(2, 1), lossy(4, 1)) == []
    assert got(receiver, lossy(1, 1)) == [1, 2]
    assert got(receiver, lossy(6, 5)) == [4]
    assert got(receiver, Lossy(STREAM, 6, 6, FORWARD, b"", report=True)) == [6]
    assert got(receiver, lossy(7, 7), lossy(6, 5)) == [7]
    assert got(receiver, Lossy(STREAM, 9, 9, FORWARD, b"", report=True), lossy(8)) == []


def test_a_receiver_waits_within_a_window() -> None:
    """What lies further back is not waited for, whatever its sender says."""
    receiver = Receiver()
    assert got(receiver, lossy(1, 0)) == []
    assert got(receiver, lossy(WINDOW, 0)) == [1]
    assert got(receiver, lossy(3 * WINDOW, 0)) == [WINDOW]


def test_without_an_order_a_window_is_remembered() -> None:
    """However many come, and whatever comes twice."""
    receiver = Receiver()
    came = [lossy(number) for number in range(3 * WINDOW)]
    assert got(receiver, *came, ordered=False) == list(range(3 * WINDOW))
    assert got(receiver, *came, ordered=False) == []
    assert got(receiver, Lossy(STREAM, 999, 999, FORWARD, b"", report=False), ordered=False) == []


def test_what_waits_is_bounded_over_all_streams() -> None:
    """Rather than more, what waits is delivered."""
    receiver = Receiver()
    held = 0
    released: list[tuple[int, bytes]] = []
    for stream in range(2, 12):
        for number in range(1, WINDOW):
            frame = Lossy(stream, number, 0, Kind.BYTES, bytes(1100), report=False)
            released += receiver.receive(frame, 0.0, ordered=True)
            held += 1164
    assert held > 2 * HELD_BYTES
    assert held - 1164 * len(released) <= HELD_BYTES
    assert released


def test_what_came_is_reported_soon_and_once() -> None:
    """If its sender wants to know."""
    for ordered in (True, False):
        receiver = Receiver()
        got(receiver, lossy(0), ordered=ordered)
        due = [receiver.deadline]
        for number in (1, 2, 4, 6, 4):
            got(receiver, lossy(number, 1, report=True), ordered=ordered)
        due.append(receiver.deadline)
        assert receiver.take(0.0) == []
        assert reported(receiver) == Report(STREAM, 3, (4, 6))
        assert [*due, receiver.deadline] == [None, REPORT_DELAY, None]
        got(receiver, lossy(7, 5, report=True), ordered=ordered)
        expected = Report(STREAM, 5, (6, 7))
        assert reported(receiver) == expected


def test_a_report_has_bounds() -> None:
    """What it has no room for is told later."""
    receiver = Receiver()
    came = [lossy(number, 0, report=True) for number in (1, REPORT_BITS - 1, 2 * REPORT_BITS)]
    for each in came:
        got(receiver, each)
    report = reported(receiver)
    assert frames.write(report) == frames.write(next(iter(said([frames.write(report)]))))
    assert max(report.later, default=report.expected) <= report.expected + REPORT_BITS


def test_a_return_does_not_confuse_what_is_in_no_order() -> None:
    """After it is reported what has come, as before."""
    receiver = Receiver()
    got(receiver, *(lossy(number, 0, report=True) for number in range(10)), ordered=False)
    receiver.close()
    assert got(receiver, lossy(10, 0, report=True), ordered=False) == [10]
    assert reported(receiver) == Report(STREAM, 11, ())


def test_what_is_given_up_is_no_message_that_came() -> None:
    """The number of the next one is not had although it was named as the floor."""
    receiver = Receiver()
    forward = Lossy(STREAM, 3, 3, FORWARD, b"", report=True)
    assert got(receiver, lossy(0), forward) == [0]
    receiver.close()
    assert got(receiver, lossy(3)) == [3]


def test_after_the_end_nothing_waits_and_the_numbers_go_on() -> None:
    """Should the session come back."""
    receiver = Receiver()
    got(receiver, lossy(1, 0, report=True))
    receiver.close()
    assert receiver.deadline is None
    assert got(receiver, lossy(1, 0), lossy(2, 2)) == [2]


# --- both -------------------------------------------------------------------------------


@given(
    limits=st.sampled_from([NOW, ONCE, TWICE, ANY, SOON]),
    fates=st.lists(st.sampled_from(["lost", "late", "twice", "fine", "fine", "fine"]), max_size=80),
    report_fates=st.lists(st.booleans(), max_size=30),
)
def test_whatever_becomes_of_datagrams_nothing_is_doubled_and_nothing_halts(
    limits: Limits, fates: list[str], report_fates: list[bool]
) -> None:
    """What is delivered is a part of what was sent, in order where that is promised."""
    sender, receiver = Sender(), Receiver()
    fate, report_fate = deque(fates), deque(report_fates)
    delivered: list[int] = []
    late: list[tuple[float, Lossy]] = []
    now, number = 0.0, 0
    while now < 60.0:
        if number < 40:
            sender.send(STREAM, limits, passing(b"%d" % number), now)
            number += 1
        for frame in sent(sender, now):
            became = fate.popleft() if fate else "fine"
            after = {"late": (0.03,), "twice": (0.0, 0.05), "fine": (0.0,), "lost": ()}[became]
            late += [(now + each, frame) for each in after]
        here = [frame for due, frame in late if due <= now]
        late = [each for each in late if each[0] > now]
        delivered += got(receiver, *here, ordered=limits.ordered)
        for report in said(receiver.take(now)):
            assert isinstance(report, Report)
            if not report_fate or report_fate.popleft():
                sender.heard(report, now)
        now += 0.01 if now < 2.0 else 1.0
    assert len(set(delivered)) == len(delivered)
    if limits.ordered:
        assert delivered == sorted(delivered)
    lost = sum(each == "lost" for each in fates)
    late_ones = sum(each == "late" for each in fates) * 4
    assert len(delivered) >= 40 - lost - (late_ones if limits is NOW else 0)
    assert sender.deadline is None
