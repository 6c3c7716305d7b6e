"""The laws of the send queue: first in, first out, and a shallow engine."""

from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.sending import QUEUE_BYTES, WINDOW_BYTES, SendQueue


@given(sizes=st.lists(st.integers(0, 300_000), max_size=60))
def test_frames_leave_in_order_within_the_window(sizes: list[int]) -> None:
    """Whatever is put in comes out once, in order, at most a window and a frame at a time."""
    queue = SendQueue()
    frames = [bytes([n % 256]) * size for n, size in enumerate(sizes)]
    for frame in frames:
        queue.put(frame)
    out: list[bytes] = []
    while queue:
        taken = queue.take()
        assert sum(map(len, taken[:-1])) < WINDOW_BYTES
        assert queue.must_measure is bool(queue)
        out += taken
        queue.measured(0)
    assert out == frames
    assert queue.waiting_bytes == 0


def test_the_engine_is_not_given_more_than_a_window() -> None:
    """Until the engine has sent some, nothing more is handed on."""
    queue = SendQueue()
    queue.put(bytes(WINDOW_BYTES))
    queue.put(b"next")
    assert len(queue.take()) == 1
    assert queue.take() == []
    assert queue.must_measure
    queue.measured(WINDOW_BYTES - 1)
    assert queue.take() == [b"next"]
    assert not queue.must_measure


def test_a_full_queue_has_no_room() -> None:
    """Beyond 16 MiB a sender waits; empty frames count too."""
    queue = SendQueue()
    room = []
    queue.put(bytes(QUEUE_BYTES - 65))
    room.append(queue.has_room)
    queue.put(b"")
    room.append(queue.has_room)
    queue.clear()
    room.append(queue.has_room)
    assert room == [True, False, True]
    assert len(queue) == 0
