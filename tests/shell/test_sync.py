"""The plain face: blocking calls, the same rooms, the same errors."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import thkmesh
from tests.shell.programs import run
from tests.shell.world import PATIENCE, received
from thkmesh import (
    InvalidArgument,
    LeaveReason,
    LinkChanged,
    LinkState,
    Message,
    NotGranted,
    PeerJoined,
    PeerLeft,
    QualityChanged,
    RoomClosed,
    ServerChanged,
    ServerState,
    sync,
)


@pytest.fixture
def two(url: str, room: str) -> Iterator[tuple[sync.Room, sync.Room]]:
    """Return Ada's and Bob's view of one room, linked."""
    with ExitStack() as stack:
        ada = stack.enter_context(sync.join(url, room=room, name="Ada"))
        bob = stack.enter_context(sync.join(url, room=room, name="Bob"))
        for each in (ada, bob):
            received(each, LinkChanged, lambda event: event.state is LinkState.CONNECTED)
        yield ada, bob


def mesh_threads() -> list[threading.Thread]:
    """Return the threads of ours that run."""
    return [thread for thread in threading.enumerate() if thread.name == "thkmesh"]


# --- being there ------------------------------------------------------------------


def test_who_joins_sees_who_is_there(two: tuple[sync.Room, sync.Room], room: str) -> None:
    """A room shows its name, us, everybody else, and how the links are."""
    ada, bob = two
    assert ada.name == bob.name == room
    assert ada.me.name == "Ada"
    assert ada.peers == (bob.me,)
    assert bob.peers == (ada.me,)
    assert ada.server is ServerState.CONNECTED
    link = ada.link(bob.me)
    assert link is not None
    assert link.state is LinkState.CONNECTED
    assert ada.link(ada.me) is None
    assert not ada.closed


def test_who_removes_whom_is_up_to_the_server(
    two: tuple[sync.Room, sync.Room], url: str, room: str
) -> None:
    """In an open room nobody does; what no server removes is refused at once."""
    ada, bob = two
    assert ada.invitation == f"{url}/#{room}"
    with pytest.raises(NotGranted, match="the grant kick is missing"):
        ada.kick(bob.me, reason="spam")
    with pytest.raises(NotGranted):
        ada.ban(bob.me.id, duration=3600.0)
    for refused, duration, reason in (
        ("Bob", 60.0, ""),
        (ada.me, 60.0, ""),
        (bob.me, 0.0, ""),
        (bob.me, 1e9, ""),
        (bob.me, 60.0, "x" * 201),
    ):
        with pytest.raises(InvalidArgument):
            ada.ban(refused, duration=duration, reason=reason)
    assert ada.peers == (bob.me,)
    bob.leave()
    with pytest.raises(RoomClosed):
        bob.kick(ada.me)


def test_messages_arrive_in_order(two: tuple[sync.Room, sync.Room]) -> None:
    """To everybody or to one, text, bytes and JSON arrive as they were sent."""
    ada, bob = two
    everything: list[thkmesh.Data] = ["hello", b"\x00\xff", {"a": [1, None]}, "", b"", [], None]
    for data in everything:
        ada.send(data)
    ada.send("for Bob", to=bob.me)
    ada.send("for Bob's id", to=bob.me.id)
    assert [received(bob, Message).data for _ in everything] == everything
    assert received(bob, Message) == Message(ada.me, "for Bob", direct=True)
    assert received(bob, Message) == Message(ada.me, "for Bob's id", direct=True)


def test_iterating_ends_when_the_room_is_left(two: tuple[sync.Room, sync.Room]) -> None:
    """A loop over the events ends, in whichever thread it runs, after the last of them."""
    ada, bob = two
    seen: list[thkmesh.Event] = []
    reader = threading.Thread(target=lambda: seen.extend(bob))
    reader.start()
    another_view = bob.subscribe()
    ada.send("last words")
    ada.leave()
    received(another_view, PeerLeft)
    bob.leave()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert Message(ada.me, "last words") in seen
    assert PeerLeft(ada.me, LeaveReason.LEFT) in seen


def test_what_waits_is_there_after_leaving(two: tuple[sync.Room, sync.Room]) -> None:
    """Events that came before the end are still to be had, then iterating ends."""
    ada, bob = two
    ada.send("one")
    ada.leave()
    received(bob, PeerLeft)
    bob.send("to nobody")
    bob.leave()
    assert list(bob) == []
    with pytest.raises(thkmesh.RoomClosed, match="left"):
        bob.receive()


def test_receive_waits_no_longer_than_it_is_told(two: tuple[sync.Room, sync.Room]) -> None:
    """A time-out raises and loses nothing; 0 only looks."""
    ada, bob = two
    received(bob, QualityChanged)  # the last that is told of a new link
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError, match="nothing happened"):
            bob.receive(timeout)
    ada.send("now")
    assert received(bob, Message).data == "now"


def test_each_subscription_gets_everything(two: tuple[sync.Room, sync.Room]) -> None:
    """Views are independent; a closed one ends after what it has."""
    ada, bob = two
    views = [bob.subscribe() for _ in range(3)]
    ada.send("for all views")
    for view in views:
        assert received(view, Message).data == "for all views"
    views[0].close()
    ada.send("too late for one")
    assert not any(isinstance(event, Message) for event in views[0])
    with pytest.raises(thkmesh.RoomClosed):
        views[0].receive()
    assert received(views[1], Message).data == "too late for one"


def test_a_subscription_may_begin_with_what_is_unread(two: tuple[sync.Room, sync.Room]) -> None:
    """Then it gets all that the room itself has still to hand out, and takes it from nobody."""
    ada, bob = two
    ada.send("one")
    received(bob.subscribe(unread=True), Message)
    view = bob.subscribe(unread=True)
    ada.send("two")
    for reader in (view, bob):
        assert [received(reader, Message).data for _ in range(2)] == ["one", "two"]


def test_many_threads_share_a_room(two: tuple[sync.Room, sync.Room]) -> None:
    """What each thread sends arrives once and in its order."""
    ada, bob = two

    def send(thread: int) -> None:
        for number in range(100):
            ada.send([thread, number])

    threads = [threading.Thread(target=send, args=(each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    got = [received(bob, Message).data for _ in range(400)]
    for thread in threads:
        thread.join()
    for each in range(4):
        assert [item for item in got if isinstance(item, list) and item[0] == each] == [
            [each, number] for number in range(100)
        ]


def test_a_link_can_be_replaced_by_hand(two: tuple[sync.Room, sync.Room]) -> None:
    """After ``reconnect`` there is another connection, and messages go on."""
    ada, bob = two
    ada.reconnect(bob.me)
    received(ada, LinkChanged, lambda event: event.state is LinkState.RECONNECTING)
    received(ada, LinkChanged, lambda event: event.state is LinkState.CONNECTED)
    ada.send("still here")
    assert received(bob, Message).data == "still here"
    link = ada.link(bob.me)
    assert link is not None
    assert link.generation > 1


def test_who_does_not_receive_is_told_nothing(url: str, room: str) -> None:
    """With ``receive=False`` the room keeps no events, and iterating still ends."""
    with (
        sync.join(url, room=room, receive=False) as deaf,
        sync.join(url, room=room) as other,
    ):
        received(other, LinkChanged)
        other.send("into the wind")
        deaf.send("heard")
        assert received(other, Message).data == "heard"
        with pytest.raises(TimeoutError):
            deaf.receive(0)
    assert list(deaf) == []


# --- the end ----------------------------------------------------------------------


def test_leaving_ends_the_thread(url: str, room: str) -> None:
    """When the last room has been left its thread has ended; the next one starts another."""
    for _ in range(3):
        with sync.join(url, room=room), sync.join(url, room=room):
            assert len(mesh_threads()) == 1
        assert mesh_threads() == []


def test_leaving_twice_is_harmless(url: str, room: str) -> None:
    """After leaving, leaving does nothing and sending says why not."""
    with sync.join(url, room=room) as left:
        left.leave()
        left.leave()
        assert left.closed
        assert left.error is None
        with pytest.raises(thkmesh.RoomClosed, match="the room was left"):
            left.send("too late")


def test_leaving_delivers_what_was_sent(two: tuple[sync.Room, sync.Room]) -> None:
    """What was accepted before leaving arrives, and then the goodbye."""
    ada, bob = two
    for number in range(100):
        ada.send(bytes([number]) * 50_000)
    ada.leave()
    data = [received(bob, Message).data for _ in range(100)]
    assert data == [bytes([number]) * 50_000 for number in range(100)]
    assert received(bob, PeerLeft) == PeerLeft(ada.me, LeaveReason.LEFT)


def test_an_error_leaves_too(url: str, room: str) -> None:
    """A ``with`` block that fails leaves the room and lets the error pass."""
    with sync.join(url, room=room) as other:
        with pytest.raises(ZeroDivisionError), sync.join(url, room=room) as failing:
            raise ZeroDivisionError
        assert failing.closed
        assert received(other, PeerLeft) == PeerLeft(failing.me, LeaveReason.LEFT)


def test_a_forgotten_room_is_left(url: str, room: str) -> None:
    """Who runs a cell again and so forgets the former room is not in it twice."""
    with sync.join(url, room=room) as other:
        forgotten = sync.join(url, room=room)
        me = forgotten.me
        received(other, PeerJoined)
        del forgotten
        gc.collect()
        assert received(other, PeerLeft) == PeerLeft(me, LeaveReason.LEFT)


def test_who_reads_does_not_forget(url: str, room: str) -> None:
    """A room of which only an iterator is left is still wanted."""
    with sync.join(url, room=room) as other:
        events = iter(sync.join(url, room=room))
        gc.collect()
        received(other, LinkChanged)
        other.send("still there?")
        assert any(isinstance(event, Message) for event in events)


def test_a_session_that_was_replaced_says_so(url: str, room: str, tmp_path: Path) -> None:
    """The newer session of an identity takes over; the older one's calls raise ``Replaced``."""
    key = tmp_path / "key"
    with (
        sync.join(url, room=room, key_file=key) as older,
        sync.join(url, room=room, key_file=key) as newer,
    ):
        with pytest.raises(thkmesh.Replaced):
            list(older)
        for _ in range(2):
            with pytest.raises(thkmesh.Replaced):
                older.send("no longer mine")
            with pytest.raises(thkmesh.Replaced):
                older.receive()
        assert isinstance(older.error, thkmesh.Replaced)
        assert older.closed
        assert not newer.closed
    assert mesh_threads() == []


# --- errors -----------------------------------------------------------------------


async def test_inside_a_running_loop_it_raises(url: str, room: str) -> None:
    """Every call that could block a loop says what to use instead."""
    opened = await asyncio.to_thread(sync.join, url, room=room)
    try:
        for call in (
            lambda: sync.join(url, room=room),
            lambda: opened.send("x"),
            lambda: [opened.receive() for _ in range(10)],
            lambda: list(opened),
            opened.leave,
        ):
            with pytest.raises(thkmesh.WrongContext, match=r"async with thkmesh\.join"):
                call()
    finally:
        await asyncio.to_thread(opened.leave)


NOTEBOOK = """
import types
kernel = types.SimpleNamespace(kernel=None)
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: kernel)

async def cell():
    joined = sync.join(url, room=room)
    joined.send("from a cell")
    print(joined.receive(), joined.closed)
    joined.leave()

asyncio.run(cell())
"""


def test_the_loop_of_a_notebook_may_be_blocked(url: str, room: str) -> None:
    """Cells run inside the kernel's loop, which waits for them anyway: no need to refuse."""
    with run(NOTEBOOK, url, room) as program:
        assert program.end() == (0, f"{ServerChanged(ServerState.CONNECTED)} False\n", "")


def test_sending_refuses_what_the_other_face_refuses(two: tuple[sync.Room, sync.Room]) -> None:
    """Errors are the same, and raised where the call is."""
    ada, bob = two
    with pytest.raises(thkmesh.InvalidArgument, match="not set"):
        ada.send({1, 2})  # type: ignore[arg-type]
    with pytest.raises(thkmesh.MessageTooLarge):
        ada.send("x" * 8_388_609)
    with pytest.raises(thkmesh.UnknownPeer):
        ada.send("x", to="a" * 26)
    bob.leave()
    received(ada, PeerLeft)
    with pytest.raises(thkmesh.UnknownPeer):
        ada.send("x", to=bob.me)


def test_joining_fails_as_the_other_face_does(room: str) -> None:
    """An argument is refused before anything starts; a missing server is told in time."""
    with pytest.raises(thkmesh.InvalidArgument, match="cannot name a room"):
        sync.join("http://127.0.0.1:1", room="no spaces")
    with pytest.raises(thkmesh.ServerUnreachable, match=r"not joined within 0\.5 s: .*127"):
        sync.join("http://127.0.0.1:1", room=room, timeout=0.5)
    assert mesh_threads() == []
