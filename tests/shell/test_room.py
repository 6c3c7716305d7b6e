"""Rooms as programs with an event loop see them: one process, a real server, real links."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

import thkmesh
from tests.shell.world import PATIENCE, heard, messages
from thkmesh import (
    Grade,
    LeaveReason,
    LinkChanged,
    LinkState,
    Message,
    Peer,
    PeerJoined,
    PeerLeft,
    QualityChanged,
    Room,
    ServerChanged,
    ServerState,
)
from thkmesh.core.frames import MESSAGE_LIMIT_BYTES

# --- being there ------------------------------------------------------------------


async def test_who_joins_sees_who_is_there(two: tuple[Room, Room], room: str) -> None:
    """A room shows its name, us, everybody else, and how the links are."""
    ada, bob = two
    assert ada.name == bob.name == room
    assert ada.me.name == "Ada"
    assert ada.peers == (bob.me,)
    assert bob.peers[0].name == "Ada"
    assert ada.server is ServerState.CONNECTED
    one, other = ada.link(bob.me), bob.link(ada.me)
    assert one is not None
    assert other is not None
    assert one.state is other.state is LinkState.CONNECTED
    assert one.polite is not other.polite
    assert ada.link(ada.me) is None


async def test_the_quality_of_a_link_is_known(url: str, room: str) -> None:
    """On one machine a link is excellent, short and direct; first told, then measured by pings."""
    async with (
        thkmesh.join(url, room=room, heartbeat_interval=0.5) as ada,
        thkmesh.join(url, room=room) as bob,
    ):
        told = await heard(ada, QualityChanged)
        assert told.peer == bob.me
        for _ in range(20):
            await ada.send(bytes(100_000))
            await asyncio.sleep(0.1)
        link = ada.link(bob.me)
    assert link is not None
    assert link.quality is not None
    for quality in (told.quality, link.quality):
        assert 0.0 <= quality.rtt < 0.25
        assert quality.path is not None
        assert (quality.path.local, quality.path.protocol) == ("host", "udp")
        assert quality.path.remote in {"host", "prflx"}
        assert not quality.path.relayed
    assert link.quality.grade in {Grade.EXCELLENT, Grade.GOOD}
    assert link.quality.rtt > 0.0
    assert link.quality.outgoing_rate_bytes > 100_000
    assert link.quality.incoming_rate_bytes < 100_000


async def test_events_come_in_their_order(url: str, room: str) -> None:
    """First we are in, then who is there, then the link, then what comes over it, then the end."""
    async with thkmesh.join(url, room=room, name="Ada") as ada:
        async with thkmesh.join(url, room=room, name="Bob", metadata={"shoe": 42}) as bob:
            await bob.send("hello")
        events = [event async for event in take_until_left(ada, bob.me)]
    assert events == [
        ServerChanged(ServerState.CONNECTED),
        PeerJoined(bob.me),
        LinkChanged(bob.me, LinkState.CONNECTED),
        Message(bob.me, "hello"),
        PeerLeft(bob.me, LeaveReason.LEFT),
    ]
    joined = events[1]
    assert isinstance(joined, PeerJoined)
    assert (joined.peer.name, joined.peer.metadata) == ("Bob", {"shoe": 42})


async def take_until_left(reader: Room, peer: Peer) -> AsyncIterator[thkmesh.Event]:
    """Yield events until a peer has left; the link's quality and end are left out."""
    async with asyncio.timeout(PATIENCE):
        async for event in reader:
            beside = LinkChanged(peer, LinkState.CLOSED)
            if event != beside and not isinstance(event, QualityChanged):
                yield event
            if isinstance(event, PeerLeft) and event.peer == peer:
                return


async def test_a_line_sent_right_after_joining_arrives(url: str, room: str) -> None:
    """Whoever was there when it was sent gets it, though the link was not up yet."""
    async with (
        thkmesh.join(url, room=room) as listener,
        thkmesh.join(url, room=room) as speaker,
    ):
        await speaker.send("first line")
        assert await messages(listener, 1) == ["first line"]


async def test_a_greeting_and_goodbye_arrives(url: str, room: str) -> None:
    """Joining, one line and leaving at once is enough to be heard."""
    async with thkmesh.join(url, room=room) as listener:
        for number in range(5):
            async with thkmesh.join(url, room=room) as speaker:
                await speaker.send(number)
        assert await messages(listener, 5) == list(range(5))


async def test_messages_arrive_in_order(two: tuple[Room, Room]) -> None:
    """To everybody or to one, text, bytes and JSON arrive as they were sent."""
    ada, bob = two
    everything: list[thkmesh.Data] = [
        "hello",
        "\N{GRINNING FACE}",
        "",
        b"\x00\xff",
        b"",
        {"a": [1, 2.5, None, True], "": {}},
        [],
        0,
        -(2**53) + 1,
        None,
        False,
    ]
    for data in everything:
        await ada.send(data)
    await ada.send("for Bob", to=bob.me)
    await ada.send("for Bob's id", to=bob.me.id)
    assert await messages(bob, len(everything)) == everything
    for text in ("for Bob", "for Bob's id"):
        assert await heard(bob, Message) == Message(ada.me, text, direct=True)


async def test_all_sends_at_once_keep_their_order(two: tuple[Room, Room]) -> None:
    """Sends that nobody waits for one by one are accepted in the order of the calls."""
    ada, bob = two
    async with asyncio.TaskGroup() as group:
        for number in range(2_000):
            group.create_task(ada.send(number))
    assert await messages(bob, 2_000) == list(range(2_000))


async def test_a_message_may_have_8_mib(two: tuple[Room, Room]) -> None:
    """8,388,608 bytes arrive, one more is refused with the limit; what counts is UTF-8."""
    ada, bob = two
    largest: list[thkmesh.Data] = [
        "x" * MESSAGE_LIMIT_BYTES,
        bytes(MESSAGE_LIMIT_BYTES),
        "é" * (MESSAGE_LIMIT_BYTES // 2),
        ["x" * (MESSAGE_LIMIT_BYTES - 4)],
    ]
    reading = asyncio.create_task(messages(bob, len(largest)))
    for data in largest:
        await ada.send(data)
    assert await reading == largest
    too_large: list[thkmesh.Data] = [
        "x" * 8_388_609,
        bytes(8_388_609),
        "é" * 4_194_304 + "x",
        ["x" * 8_388_605],
    ]
    sentence = "8388609 bytes; a message may have 8388608"
    for data in too_large:
        with pytest.raises(thkmesh.MessageTooLarge, match=sentence):
            await ada.send(data)


# --- what cannot be sent ------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({1, 2}, "a message is str, bytes or a JSON value, not set"),
        ({1: 2}, "JSON keys are text, not int"),
        ([float("nan")], "nan is not JSON: send None or text"),
        (float("inf"), "inf is not JSON: send None or text"),
        (2**53, r"9007199254740992 is beyond 2\*\*53 - 1: send it as text"),
        ("\ud800", "text has lone surrogates and cannot be sent"),
        (["\udfff"], "text has lone surrogates and cannot be sent"),
    ],
)
async def test_what_is_no_message_is_refused(
    two: tuple[Room, Room], data: thkmesh.Data, sentence: str
) -> None:
    """The error says what to send instead; nothing is sent, and the room lives on."""
    ada, bob = two
    with pytest.raises(thkmesh.InvalidArgument, match=sentence):
        await ada.send(data)
    await ada.send("next")
    assert await messages(bob, 1) == ["next"]


async def test_who_is_not_here_cannot_be_written_to(two: tuple[Room, Room]) -> None:
    """Strangers, ourselves and who has left are unknown; a number is no addressee."""
    ada, bob = two
    await bob.leave()
    await heard(ada, PeerLeft)
    for stranger in ("a" * 26, Peer("a" * 26, "0" * 16), ada.me, ada.me.id, bob.me, bob.me.id):
        with pytest.raises(thkmesh.UnknownPeer):
            await ada.send("hello", to=stranger)
    with pytest.raises(thkmesh.InvalidArgument, match="to is a Peer, a peer's id, or None"):
        await ada.send("hello", to=7)  # type: ignore[arg-type]


async def test_a_room_belongs_to_its_loop(two: tuple[Room, Room]) -> None:
    """Sending from another loop is refused, for its future would belong to nobody."""
    ada, _ = two
    with pytest.raises(thkmesh.WrongContext, match="on the event loop it was joined on"):
        await asyncio.to_thread(asyncio.run, ada.send("from elsewhere"))


# --- reading ------------------------------------------------------------------------


async def test_each_subscription_gets_everything(two: tuple[Room, Room]) -> None:
    """Views are independent; a closed one ends after what it has, and wakes who waits on it."""
    ada, bob = two
    views = [bob.subscribe() for _ in range(3)]
    await ada.send("for all views")
    for view in views:
        assert await messages(view, 1) == ["for all views"]
    waiting = asyncio.create_task(messages(views[0], 1))
    await ada.send("two", to=bob.me)
    assert await waiting == ["two"]
    rest = asyncio.create_task(_events(views[0]))
    await asyncio.sleep(0)
    views[0].close()
    assert not any(isinstance(event, Message) for event in await rest)
    await ada.send("too late for one")
    assert await messages(views[1], 2) == ["two", "too late for one"]
    assert await _events(views[0]) == []


async def _events(view: thkmesh.Subscription[thkmesh.Event]) -> list[thkmesh.Event]:
    """Return all events to the end."""
    return [event async for event in view]


async def test_cancelled_reading_loses_nothing(two: tuple[Room, Room]) -> None:
    """Whoever waits with a time-out, again and again, gets every event once."""
    ada, bob = two
    sending = asyncio.create_task(send_all(ada, 300))
    got: list[thkmesh.Content] = []
    events = aiter(bob)
    while len(got) < 300:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                event = await anext(events)
                if isinstance(event, Message):
                    got.append(event.data)
    await sending
    assert got == list(range(300))


async def send_all(room: Room, count: int) -> None:
    """Send numbers, now and then."""
    for number in range(count):
        await room.send(number)
        await asyncio.sleep(0.0005)


async def test_who_does_not_receive_is_told_nothing(url: str, room: str) -> None:
    """With ``receive=False`` the room keeps no events, and iterating still ends."""
    async with (
        thkmesh.join(url, room=room, receive=False) as deaf,
        thkmesh.join(url, room=room) as other,
    ):
        await heard(other, LinkChanged)
        view = deaf.subscribe()
        await other.send("heard only by who subscribes")
        assert await messages(view, 1) == ["heard only by who subscribes"]
    assert [event async for event in deaf] == []


async def test_a_link_can_be_replaced_by_hand(two: tuple[Room, Room]) -> None:
    """After ``reconnect`` there is another connection, and messages go on."""
    ada, bob = two
    ada.reconnect(bob.me)
    await heard(ada, LinkChanged, lambda event: event.state is LinkState.RECONNECTING)
    await ada.send("into the gap")
    await heard(ada, LinkChanged, lambda event: event.state is LinkState.CONNECTED)
    assert await messages(bob, 1) == ["into the gap"]
    link = ada.link(bob.me)
    assert link is not None
    assert link.generation > 1


# --- the end ------------------------------------------------------------------------


async def test_leaving_twice_is_harmless(url: str, room: str) -> None:
    """After leaving, leaving does nothing, iterating ends and sending says why not."""
    joined = await thkmesh.join(url, room=room)
    await asyncio.gather(joined.leave(), joined.leave())
    await joined.leave()
    await joined.wait_closed()
    assert joined.closed
    assert joined.error is None
    assert [event async for event in joined] == [ServerChanged(ServerState.CONNECTED)]
    with pytest.raises(thkmesh.RoomClosed, match="the room was left"):
        await joined.send("too late")


@pytest.mark.parametrize("patience", [-1, math.nan, "1", None])
async def test_patience_is_a_number(url: str, room: str, patience: Any) -> None:  # noqa: ANN401
    """What is no number of seconds is refused, and the room stays joined."""
    async with thkmesh.join(url, room=room) as joined:
        with pytest.raises(thkmesh.InvalidArgument, match="patience is a number of seconds"):
            await joined.leave(patience=patience)
        await joined.send("still here")


async def test_leaving_delivers_what_was_sent(two: tuple[Room, Room]) -> None:
    """Megabytes that were accepted before leaving arrive, and then the goodbye."""
    ada, bob = two
    reading = asyncio.create_task(messages(bob, 200))
    for number in range(200):
        await ada.send(number.to_bytes(1, "big") * 60_000)
    await ada.leave(patience=math.inf)
    assert await reading == [number.to_bytes(1, "big") * 60_000 for number in range(200)]
    assert await heard(bob, PeerLeft) == PeerLeft(ada.me, LeaveReason.LEFT)


async def test_an_error_leaves_too(url: str, room: str) -> None:
    """An ``async with`` block that fails leaves the room and lets the error pass."""
    async with thkmesh.join(url, room=room) as other:
        entered: list[Room] = []

        async def fail() -> None:
            async with thkmesh.join(url, room=room) as failing:
                entered.append(failing)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert entered[0].closed
        assert await heard(other, PeerLeft) == PeerLeft(entered[0].me, LeaveReason.LEFT)
