"""The ways between threads: order, one wake-up a batch, and bounded memory."""

import asyncio
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.credit import READ_BYTES
from thkmesh.core.deflate import Deflated
from thkmesh.core.frames import DEFLATED, MESSAGE_LIMIT_BYTES
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import Garbled, Read
from thkmesh.core.packing import PLAIN
from thkmesh.core.session_events import FromLink, SessionEvent
from thkmesh.crossing import (
    BUFFER_BYTES,
    PASSING,
    PASSING_BYTES,
    EventBuffer,
    Ledger,
    Mailbox,
    Receipt,
)
from thkmesh.errors import InvalidMessage
from thkmesh.events import Content, Data, Event, Lost, Message, PeerJoined, Refused
from thkmesh.peer import Peer

PATIENCE = 20.0

ADA = Peer("a" * 26, "0" * 16, "Ada")
BOB = Peer("b" * 26, "1" * 16, "Bob")


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread woke it."""

    wake_ups = 0

    def call_soon_threadsafe(
        self,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Count it."""
        self.wake_ups += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


# --- mailboxes --------------------------------------------------------------------


async def test_items_of_each_thread_arrive_in_order() -> None:
    """Whatever four threads put at once arrives once, and each thread's in its order."""
    got: list[tuple[int, int]] = []
    done = asyncio.Event()

    def deliver(item: tuple[int, int]) -> None:
        got.append(item)
        if len(got) == 4_000:
            done.set()

    box = Mailbox(asyncio.get_running_loop(), deliver)

    def put_all(thread: int) -> None:
        for number in range(1_000):
            assert box.put((thread, number))

    threads = [threading.Thread(target=put_all, args=(each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(PATIENCE):
        await done.wait()
    for thread in threads:
        thread.join()
    for each in range(4):
        assert [number for thread, number in got if thread == each] == list(range(1_000))


def test_a_batch_costs_one_wake_up() -> None:
    """A thousand items put while the loop is busy wake it once."""
    loop = CountingLoop()
    got: list[int] = []
    box = Mailbox(loop, got.append)
    for number in range(1_000):
        box.put(number)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert got == list(range(1_000))
    assert loop.wake_ups == 1


def test_what_is_put_while_delivering_waits_its_turn() -> None:
    """A mailbox that feeds itself does not keep the loop from anything else."""
    loop = asyncio.new_event_loop()
    order: list[object] = []

    def deliver(number: int) -> None:
        order.append(number)
        if number < 3:
            box.put(number + 1)

    box = Mailbox(loop, deliver)
    box.put(1)
    loop.call_soon(order.append, "another")
    loop.run_until_complete(asyncio.sleep(0.0))
    loop.run_until_complete(asyncio.sleep(0.0))
    loop.run_until_complete(asyncio.sleep(0.0))
    loop.close()
    assert order == [1, "another", 2, 3]


def test_what_is_being_delivered_is_not_gone_yet() -> None:
    """Whoever finds a mailbox empty comes behind all that was put before."""
    loop = asyncio.new_event_loop()
    left: list[int] = []
    box: Mailbox[str] = Mailbox(loop, lambda _: left.append(len(box)))
    for item in "abc":
        box.put(item)
    left.append(len(box))
    loop.run_until_complete(asyncio.sleep(0.0))
    loop.close()
    assert [*left, len(box)] == [3, 3, 2, 1, 0]


def test_a_delivery_that_fails_holds_up_no_other() -> None:
    """The loop is told of the bug, and what was put behind it arrives all the same."""
    loop = asyncio.new_event_loop()
    got: list[int] = []
    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def deliver(number: int) -> None:
        if number == 1:
            raise ZeroDivisionError
        got.append(number)

    box = Mailbox(loop, deliver)
    for number in range(4):
        box.put(number)
    loop.run_until_complete(asyncio.sleep(0.0))
    loop.run_until_complete(asyncio.sleep(0.0))
    loop.close()
    assert got == [0, 2, 3]
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_a_closed_loop_takes_nothing() -> None:
    """Whoever puts learns that nobody will get it."""
    loop = asyncio.new_event_loop()
    loop.close()
    assert not Mailbox(loop, print).put("anything")


# --- the buffer -------------------------------------------------------------------


def unread(limit_bytes: int) -> EventBuffer:
    """Return a buffer that keeps so much for who is not waited for."""
    return EventBuffer(Ledger(lambda _: None), 4 * limit_bytes)


def drained(buffer: EventBuffer) -> list[Event]:
    """Take everything."""
    taken: list[Event] = []
    while (event := buffer.take()) is not None:
        taken.append(event)
    return taken


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from([ADA, BOB]), st.integers(0, 2_000)),
            st.none(),
            st.just(PeerJoined(ADA)),
        )
    )
)
def test_lost_stands_for_exactly_what_was_dropped(
    steps: list[tuple[Peer, int] | PeerJoined | None],
) -> None:
    """Each peer's messages come in order, and a ``Lost`` of its size stands for every gap."""
    buffer = unread(4_000)
    put = {ADA: 0, BOB: 0}
    others = 0
    taken: list[Event] = []
    for step in steps:
        match step:
            case None:
                event = buffer.take()
                taken += [] if event is None else [event]
            case PeerJoined():
                buffer.put(step)
                others += 1
            case (peer, size):
                buffer.put(Message(peer, f"{put[peer]:04}" + "x" * size))
                put[peer] += 1
    taken += drained(buffer)
    assert len(buffer) == 0
    expected = {ADA: 0, BOB: 0}
    for event in taken:
        match event:
            case Message(peer=peer, data=str(data)):
                assert int(data[:4]) == expected[peer]
                expected[peer] += 1
            case Lost(peer=peer, count=int(count)):
                assert count > 0
                expected[peer] += count
            case _:
                others -= 1
    assert expected == put
    assert others == 0


LIMIT_BYTES = 1024 * 1024


@pytest.mark.parametrize(
    ("make", "count"),
    [
        pytest.param(lambda n: f"{n}", 10_000, id="short"),
        pytest.param(lambda n: f"{n}" + "x" * 10_000, 200, id="text"),
        pytest.param(lambda n: f"{n}\N{GRINNING FACE}" + "x" * 10_000, 200, id="wide-text"),
        pytest.param(lambda n: f"{n}".encode() * 5_000, 200, id="bytes"),
        pytest.param(lambda n: [n + 0.5 + each for each in range(500)], 200, id="list"),
        pytest.param(lambda n: [[n] for _ in range(500)], 200, id="lists"),
        pytest.param(lambda n: {f"{n}-{each}": each for each in range(500)}, 200, id="object"),
    ],
)
def test_what_waits_is_bounded_in_memory(make: Callable[[int], Data], count: int) -> None:
    """Messages that nobody takes hold no more memory than the limit, whatever is in them."""
    buffer = unread(LIMIT_BYTES)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(count):
        buffer.put(Message(ADA, make(number)))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert isinstance(drained(buffer)[-1], Lost), "the limit was reached"
    assert 0.2 * LIMIT_BYTES < held < 1.1 * LIMIT_BYTES


def test_depth_is_no_danger() -> None:
    """A message nested as deep as its sender likes is held like any other."""
    data: list[Any] = []
    for _ in range(5_000):
        data = [data]
    buffer = unread(BUFFER_BYTES)
    buffer.put(Message(ADA, data))
    (message,) = drained(buffer)
    assert isinstance(message, Message)
    assert message.data is data


def test_refusals_cannot_fill_it() -> None:
    """Who misbehaves all day does not make a room that nobody reads grow."""
    buffer = unread(10_000)
    for _ in range(10_000):
        buffer.put(Refused(InvalidMessage("nonsense"), ADA))
    assert len(buffer) < 100


def test_who_came_and_went_is_told_even_when_it_is_full() -> None:
    """Only messages and refusals are dropped; everything else is owed."""
    buffer = unread(1_000)
    buffer.put(Message(ADA, "x" * 500))
    buffer.put(Message(ADA, "x" * 500))
    buffer.put(PeerJoined(BOB))
    buffer.put(PeerJoined(ADA))
    assert drained(buffer) == [
        Message(ADA, "x" * 500),
        Lost(ADA, 1),
        PeerJoined(BOB),
        PeerJoined(ADA),
    ]


def test_a_copy_goes_its_own_way() -> None:
    """It begins with the same, lost messages and memory included; then each is its own."""
    buffer = unread(4096)
    events: list[Event] = [PeerJoined(ADA), Message(ADA, "x" * 3000), Message(ADA, "y" * 3000)]
    for event in events:
        buffer.put(event)
    copy = buffer.copy()
    assert buffer.take() == PeerJoined(ADA)
    copy.put(PeerJoined(BOB))
    taken = [copy.take() for _ in range(5)]
    assert taken == [PeerJoined(ADA), Message(ADA, "x" * 3000), Lost(ADA, 1), PeerJoined(BOB), None]
    assert [buffer.take() for _ in range(3)] == [Message(ADA, "x" * 3000), Lost(ADA, 1), None]


# --- receipts ---------------------------------------------------------------------------

SOURCE = SessionKey("a" * 26, "0" * 16)


def receipt(cost: int, stream: int = 0, readers: int = 1) -> Receipt:
    """Return what is owed for a message."""
    return Receipt(SOURCE, stream, cost, readers)


def test_senders_hear_of_much_that_was_read_at_once() -> None:
    """Not of every message, but of each stream; and what is dropped counts as read."""
    told: list[SessionEvent] = []
    buffer = EventBuffer(Ledger(told.append), limit_bytes=4_000)
    for number in range(5):
        buffer.put(Message(ADA, "x" * 500), receipt(READ_BYTES // 4, number % 2))
    while buffer.take() is not None and len(told) < 2:
        pass
    half = READ_BYTES // 2
    assert told == [FromLink(SOURCE, Read(0, half)), FromLink(SOURCE, Read(1, half))]
    buffer.put(Message(ADA, "x" * 5_000), receipt(READ_BYTES))
    assert len(told) > 2


def test_a_message_counts_as_read_once_the_last_reader_has_taken_it() -> None:
    """Also of who began with what another had not taken; who lets go waits no longer."""
    told: list[SessionEvent] = []
    first = EventBuffer(Ledger(told.append))
    second = EventBuffer(first._ledger)  # noqa: SLF001 - both are the room's
    shared = receipt(READ_BYTES, readers=2)
    first.put(Message(ADA, 1), shared)
    second.put(Message(ADA, 1), shared)
    third = second.copy()
    first.take()
    third.take()
    assert told == []
    second.let_go()
    assert told == [FromLink(SOURCE, Read(0, READ_BYTES))]
    assert second.take() == Message(ADA, 1)
    assert len(told) == 1


def test_of_what_need_not_arrive_the_newest_is_kept() -> None:
    """It waits apart, without receipts, and takes turns with what must; a copy has it too."""
    told: list[SessionEvent] = []
    buffer = EventBuffer(Ledger(told.append))
    for number in range(PASSING + 9):
        buffer.put_passing(Message(ADA, number, direct=False, channel="x"))
    for text in ("must", "too"):
        buffer.put(Message(BOB, text, direct=False, channel="x"))
    assert buffer.skipped == 9
    assert len(buffer) == PASSING + 2
    for each in (buffer, buffer.copy()):
        taken = [each.take() for _ in range(5)]
        numbers = [event.data for event in taken if isinstance(event, Message)]
        assert numbers == [9, "must", 10, "too", 11]
    for _ in range(40):
        buffer.put_passing(Message(ADA, "x" * 60_000, direct=False, channel="x"))
    assert len(buffer) <= PASSING_BYTES // 60_000
    assert told == []


# --- latest values --------------------------------------------------------------------


def value(key: str | None, number: int, peer: Peer = ADA, *, direct: bool = False) -> Message:
    """Return a value that a peer said."""
    return Message(peer, number, direct, "x", key)


def said(buffer: EventBuffer) -> list[Content]:
    """Take everything out; return what it says."""
    return [each.data for each in drained(buffer) if isinstance(each, Message)]


def test_a_value_waits_no_longer_when_a_later_one_comes() -> None:
    """The newest of each key, sender and stream waits, in the order of sending."""
    told: list[SessionEvent] = []
    buffer = EventBuffer(Ledger(told.append))
    for number, message in enumerate(
        (
            value("a", 0),
            value("b", 1),
            value("a", 2, BOB),
            value("a", 3, direct=True),
            value(None, 4),
            value("a", 5),
            value("b", 6),
            value(None, 7),
        )
    ):
        buffer.put(message, receipt(READ_BYTES, stream=number), latest=True)
    assert told == [FromLink(SOURCE, Read(number, READ_BYTES)) for number in (0, 1, 4)]
    assert len(buffer) == 5
    other = buffer.copy()
    other.put(value("a", 8), latest=True)
    assert said(other) == [2, 3, 6, 7, 8]
    assert said(buffer) == [2, 3, 5, 6, 7]
    buffer.put(value("a", 9), latest=True)
    assert said(buffer) == [9]


def test_values_that_nobody_reads_take_no_more_memory() -> None:
    """However often they change; and all receipts were given."""
    told: list[SessionEvent] = []
    buffer = EventBuffer(Ledger(told.append))
    buffer.put(Message(ADA, "a line that stays"), receipt(1))
    tracemalloc.start()
    for number in range(2000):
        buffer.put(value(str(number % 8), number), receipt(READ_BYTES), latest=True)
    assert len(buffer) == 9
    told_count = len(told)
    told.clear()
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 100_000
    assert told_count == 2000 - 8
    buffer.let_go()
    assert said(buffer) == ["a line that stays", *range(1992, 2000)]


def test_what_is_no_value_supersedes_nothing() -> None:
    """Though it looks the same, and if there was no room for a value it is told."""
    buffer = unread(4000)
    for number in range(3):
        buffer.put(value("a", number))
    buffer.put(Message(ADA, bytes(20_000), channel="x", key="b"), receipt(1), latest=True)
    assert drained(buffer) == [value("a", 0), value("a", 1), value("a", 2), Lost(ADA, 1, "x")]


def test_a_value_that_there_is_no_room_for_leaves_nothing_behind() -> None:
    """Not even the place of what it superseded."""
    buffer = unread(4000)
    for key in "abcd":
        buffer.put(value(key, 0), receipt(1), latest=True)
    buffer.put(Message(ADA, bytes(20_000), channel="x", key="d"), receipt(1), latest=True)
    assert drained(buffer) == [*(value(key, 0) for key in "abc"), Lost(ADA, 1, "x")]


# --- what is deflated -------------------------------------------------------------------


def deflated(data: Data) -> Message:
    """Return a message as it comes in."""
    kind, payload = PLAIN.pack(data)
    assert kind & DEFLATED
    unexpanded: Any = Deflated(kind & ~DEFLATED, payload)
    return Message(ADA, unexpanded, key="k")


def test_a_message_is_expanded_when_it_is_taken() -> None:
    """Before that it takes no more memory than it took to come."""
    told: list[SessionEvent] = []
    buffer = EventBuffer(Ledger(told.append))
    large = deflated("x" * MESSAGE_LIMIT_BYTES)
    for _ in range(200):
        buffer.put(large, receipt(1))
    tracemalloc.start()
    for _ in range(2):
        first = buffer.take()
        assert isinstance(first, Message)
        assert isinstance(first.data, str)
        assert (len(first.data), first.key) == (MESSAGE_LIMIT_BYTES, "k")
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 4 * MESSAGE_LIMIT_BYTES
    assert told == []


def test_what_cannot_be_expanded_is_passed_over_and_told_once() -> None:
    """However many readers find it; what follows comes."""
    told: list[SessionEvent] = []
    buffer = EventBuffer(Ledger(told.append))
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = bomb.compress(bytes(MESSAGE_LIMIT_BYTES + 1)) + bomb.flush()
    unexpanded: Any = Deflated(1, payload)
    buffer.put(Message(ADA, unexpanded), receipt(1))
    buffer.put(Message(ADA, "next"), receipt(1))
    other = buffer.copy()
    assert said(buffer) == said(other) == ["next"]
    key = SessionKey(ADA.id, ADA.sid)
    assert told == [FromLink(key, Garbled(f"a message of over {MESSAGE_LIMIT_BYTES} bytes"))]
