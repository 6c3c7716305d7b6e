"""What waits for Redis: in order, put together, bounded."""

from tests.core.room_world import A
from thkmesh.core.shared_events import Depart, Look, Post
from thkmesh.server.broker.outbox import (
    PARCEL_BYTES,
    SEALED_BYTES,
    SIGNAL_BYTES,
    Item,
    Outbox,
    Parcel,
)

DEPART = Depart("lobby", A, "left")


def signal(text: str) -> Post:
    """Return a signal for A."""
    return Post("lobby", *A, text)


def frame(size: int) -> Post:
    """Return a sealed frame for A."""
    return Post("lobby", *A, "", b"x" * size)


def shown(items: list[Item]) -> list[object]:
    """Return items as the node and texts of each, or the command."""
    return [
        (item.node, *(post.text or len(post.frame) for post in item.posts))
        if isinstance(item, Parcel)
        else item
        for item in items
    ]


def test_what_is_for_one_node_is_put_together() -> None:
    """And nothing overtakes a command."""
    box = Outbox()
    assert not box
    for node, text in (("one", "1"), ("other", "2"), ("one", "3")):
        box.post(node, signal(text))
    box.submit(DEPART)
    box.post("one", signal("4"))
    assert shown(box.take(9)) == [("one", "1", "3"), ("other", "2"), DEPART, ("one", "4")]
    assert not box


def test_sealed_frames_come_last_and_are_bounded() -> None:
    """A flood of them holds no signal up."""
    box = Outbox()
    for _ in range(3):
        box.post("one", frame(SEALED_BYTES // 2))
    box.post("one", signal("1"))
    assert shown(box.take(9)) == [("one", "1"), ("one", *[SEALED_BYTES // 2] * 2)]
    box.post("one", frame(1))
    assert shown(box.take(9)) == [("one", 1)]


def test_parcels_are_bounded() -> None:
    """So that one message to Redis never gets large."""
    box = Outbox()
    for _ in range(2):
        box.post("one", signal("x" * (PARCEL_BYTES - 1)))
    assert len(box.take(9)) == 2


def test_signals_are_bounded() -> None:
    """What has no space is counted, and its sender still owes it."""
    box = Outbox()
    large = "x" * PARCEL_BYTES
    for _ in range(SIGNAL_BYTES // PARCEL_BYTES + 1):
        box.post("one", signal(large))
    assert box.dropped == 1
    taken = box.take(1)
    box.post("one", signal("1"))
    assert box.dropped == 1
    box.put_back(iter(taken))
    box.post("one", signal(large))
    assert box.dropped == 2


def test_what_is_put_back_comes_first() -> None:
    """In the order in which it was taken; sealed frames are not worth it."""
    box = Outbox()
    box.submit(DEPART)
    box.post("one", signal("1"))
    box.post("one", frame(1))
    taken = box.take(9)
    box.submit(Look("lobby"))
    box.put_back(iter(taken))
    assert shown(box.take(1)) == [DEPART]
    assert shown(box.take(9)) == [("one", "1"), Look("lobby")]


def test_commands_can_be_forgotten() -> None:
    """What nobody wants done any more."""
    box = Outbox()
    box.submit(Look("lobby"))
    box.submit(DEPART)
    box.forget(Look)
    assert shown(box.take(9)) == [DEPART]
