"""Chat: what is said, who types, and what nobody can make it believe."""

import asyncio
import functools
import inspect
import io
import json
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh import (
    InvalidArgument,
    LeaveReason,
    Message,
    MessageTooLarge,
    PeerJoined,
    PeerLeft,
    Room,
    RoomClosed,
    Undelivered,
    UnknownPeer,
)
from thkmesh.apps.chat import (
    CONTENT_LIMIT_BYTES,
    HISTORY_LENGTH,
    PLAIN_LIMIT,
    TYPING_EXPIRY,
    TYPING_INTERVAL,
    Chat,
    ChatEntry,
    ChatMessage,
    TypingChanged,
    displayed,
)
from thkmesh.testing import World

_Entry = TypeVar("_Entry", bound=ChatEntry)
Scene: TypeAlias = Callable[..., Coroutine[Any, Any, None]]

SEED_EXAMPLE = json.loads("""
    {
        "type": "chat-message",
        "id": "msg_abc123_1234567890",
        "roomId": "room_xyz789_1234567890",
        "authorId": "user_def456_1234567890",
        "authorName": "Alice",
        "content": "Hello, world!",
        "timestamp": "2025-11-21T09:55:00.000Z"
    }
""")


def meeting(*names: str, room: str = "lobby") -> Callable[[Scene], Callable[..., None]]:
    """Run a test in a simulated world, with a connected room for each name."""

    def decorate(scene: Scene) -> Callable[..., None]:
        @functools.wraps(scene)
        def staged(*more: object, **parameters: object) -> None:
            world = World(seed="chat")

            async def main() -> None:
                rooms = [
                    await world.join(
                        f"h{n}", room=room, name=name, identity=world.identity(f"h{n}")
                    )
                    for n, name in enumerate(names)
                ]
                await asyncio.sleep(1.0)
                await scene(*rooms, *more, **parameters)
                for each in rooms:
                    await each.leave()

            world.run(main())

        wanted = list(inspect.signature(scene).parameters.values())[len(names) :]
        staged.__signature__ = inspect.Signature(wanted)  # type: ignore[attr-defined]
        return staged

    return decorate


def listening(room: Room) -> Chat:
    """Return a chat that begins now, and not with what happened since joining."""
    return Chat(room, room.subscribe())


async def told(chat: Chat, kind: type[_Entry]) -> _Entry:
    """Return the next entry of a kind."""
    async for entry in chat:
        if isinstance(entry, kind):
            return entry
    raise AssertionError("the room was left")


async def said(chat: Chat) -> ChatMessage:
    """Return the next thing said."""
    return await told(chat, ChatMessage)


async def took(room: Room) -> Any:  # noqa: ANN401 - whatever was sent
    """Return the data of the next message of any kind."""
    async for event in room:
        if isinstance(event, Message):
            return event.data
    raise AssertionError("the room was left")


def line(author: Room, content: str = "hi", **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a chat message as the wire has it, but for the changes."""
    return {
        "type": "chat-message",
        "id": "msg_1_2",
        "roomId": author.name,
        "authorId": author.me.id,
        "authorName": author.me.name,
        "content": content,
        "timestamp": "2025-11-21T09:55:00.000Z",
    } | changes


# --- saying -----------------------------------------------------------------------


@meeting("Ada", "Bob")
async def test_the_wire_has_the_seeds_message(ada: Room, bob: Room) -> None:
    """A chat message has the fields of the dashboard's, no more, and a time in UTC."""
    message = await Chat(ada).say("Hello, world!")
    data = await took(bob)
    assert set(data) == set(SEED_EXAMPLE)
    assert data == line(ada, "Hello, world!", id=message.id, timestamp=data["timestamp"])
    assert len(data["timestamp"]) == len(SEED_EXAMPLE["timestamp"])
    assert datetime.fromisoformat(data["timestamp"]) == message.timestamp
    assert abs(datetime.now(UTC) - message.timestamp) < timedelta(minutes=1)
    assert data["id"].startswith("msg_")


@meeting("Alice", "Bob", room="room_xyz789_1234567890")
async def test_the_seeds_example_is_understood(alice: Room, bob: Room) -> None:
    """What the dashboard sent is read, if its author and room are the real ones."""
    chat = Chat(bob)
    await alice.send(SEED_EXAMPLE | {"authorId": alice.me.id})
    assert await said(chat) == ChatMessage(
        id="msg_abc123_1234567890",
        author=alice.me,
        content="Hello, world!",
        timestamp=datetime(2025, 11, 21, 9, 55, tzinfo=UTC),
    )


@meeting("Ada", "Bob", "Cem")
async def test_everybody_hears_what_is_said_in_its_order(ada: Room, bob: Room, cem: Room) -> None:
    """Each reader gets every message of an author once, in order, as it was written."""
    readers = [Chat(bob), Chat(cem)]
    speaker = Chat(ada)
    texts = ["one", "zwei  zwei", "\u202eevil\x1b[2J", "line\nbreak", "\U0001f600" * 100]
    for text in texts:
        await speaker.say(text)
    for reader in readers:
        heard = [await said(reader) for _ in texts]
        assert [each.content for each in heard] == texts
        assert {(each.author, each.direct) for each in heard} == {(ada.me, False)}


@meeting("Ada", "Bob")
async def test_a_stream_is_not_said_and_waits_for_no_chat(ada: Room, bob: Room) -> None:
    """It is thrown away by a chat that nobody else reads beside."""
    chat = Chat(bob)

    async def send() -> None:
        await ada.send(io.BytesIO(bytes(30 * 2**20)), to=bob.me)
        await ada.send("said", to=bob.me)

    sending = asyncio.create_task(send())
    async for entry in chat:
        if isinstance(entry, ChatMessage):
            assert entry.content == "said"
            break
    await sending


@meeting("Ada", "Bob", "Cem")
async def test_something_can_be_said_to_one_alone(ada: Room, bob: Room, cem: Room) -> None:
    """The others do not hear it, and the one knows."""
    bobs, cems, speaker = Chat(bob), Chat(cem), Chat(ada)
    assert (await speaker.say("psst", to=bob.me)).direct
    await speaker.say("all")
    assert (await said(bobs)).direct
    assert (await said(cems)).content == "all"


@pytest.mark.parametrize("nothing", ["", " ", "\n\t", None, b"bytes", 7])
@meeting("Ada")
async def test_nothing_cannot_be_said(ada: Room, nothing: Any) -> None:  # noqa: ANN401 - wrong on purpose
    """Text with something in it is wanted, whatever the type checker let pass."""
    with pytest.raises(InvalidArgument, match="say some text"):
        await Chat(ada).say(nothing)


@meeting("Ada", "Bob")
async def test_what_is_too_long_is_refused_where_it_is_said(ada: Room, bob: Room) -> None:
    """A line over the limit raises and is not half sent; who sends one all the same is ignored."""
    speaker, reader = Chat(ada), Chat(bob)
    with pytest.raises(MessageTooLarge):
        await speaker.say("é" * (CONTENT_LIMIT_BYTES // 2) + "x")
    message = await speaker.say("é" * (CONTENT_LIMIT_BYTES // 2))
    assert (await said(reader)).content == message.content
    assert speaker.history == (message,)
    wire: dict[str, Any] = {
        "type": "chat-message",
        "id": "long",
        "roomId": ada.name,
        "authorId": ada.me.id,
        "authorName": "Ada",
        "content": message.content + "x",
        "timestamp": "2026-01-01T00:00:00.000Z",
    }
    await ada.send(wire)
    await ada.send({**wire, "content": "short"})
    assert (await said(reader)).content == "short"
    assert reader.malformed == 1


@meeting("Ada")
async def test_errors_of_the_room_come_through(ada: Room) -> None:
    """Saying fails as sending does."""
    chat = Chat(ada)
    with pytest.raises(UnknownPeer):
        await chat.say("hi", to="a" * 26)
    await ada.leave()
    with pytest.raises(RoomClosed):
        await chat.say("hi")
    assert chat.history == ()


# --- listening --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "forged"),
    [
        ({"authorId": "a" * 26}, True),
        ({"roomId": "another"}, False),
        ({"content": 5}, False),
        ({"content": None}, False),
        ({"id": ""}, False),
        ({"id": "x" * 129}, False),
        ({"authorName": ["Ada"]}, False),
        ({"timestamp": "yesterday"}, False),
        ({"timestamp": 1763718900}, False),
        ({"timestamp": "2025-11-21T09:55:00"}, False),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, False),
        ({"timestamp": "9999-12-31T23:59:59-14:00"}, False),
    ],
)
@meeting("Ada", "Bob")
async def test_what_is_not_right_is_ignored_and_counted(
    ada: Room, bob: Room, changes: dict[str, Any], *, forged: bool
) -> None:
    """A message in another's name, for another room, or of a wrong form never shows."""
    chat = listening(bob)
    await ada.send(line(ada, **changes))
    await ada.send(line(ada, "after it"))
    assert (await said(chat)).content == "after it"
    assert (chat.forged, chat.malformed) == ((1, 0) if forged else (0, 1))
    assert len(chat.history) == 1


@meeting("Mallory", "Bob")
async def test_a_peer_is_called_what_it_introduced_itself_as(mallory: Room, bob: Room) -> None:
    """``authorName`` cannot make a message look like somebody else's."""
    chat = Chat(bob)
    await mallory.send(line(mallory, authorName="Bob"))
    message = await said(chat)
    assert (message.author.name, chat.name_of(message.author)) == ("Mallory", "Mallory")


@meeting("Ada", "Bob")
async def test_fields_that_are_new_are_no_fault(ada: Room, bob: Room) -> None:
    """A later version may say more."""
    chat = Chat(bob)
    await ada.send(line(ada, colour="green"))
    assert (await said(chat)).content == "hi"
    assert chat.malformed == 0


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "id", "content", "typing"]), inner, max_size=4
            )
        ),
    ),
    kind=st.sampled_from(["chat-message", "chat-typing"]),
)
@meeting("Ada", "Bob")
async def test_no_json_can_break_a_chat(ada: Room, bob: Room, data: Any, kind: str) -> None:  # noqa: ANN401 - any JSON
    """Whatever a peer sends is shown, counted or left alone; nothing raises."""
    chat = Chat(bob)
    await ada.send(data)
    await ada.send({"type": kind, "content": data, "typing": data, "id": data})
    await ada.send(line(ada, "done"))
    found = await said(chat)
    if found.plain:
        assert found.content == data
        found = await said(chat)
    assert found.content == "done"
    assert chat.malformed == (kind == "chat-message" or not isinstance(data, bool))


@meeting("Ada", "Bob")
async def test_other_messages_of_the_room_are_left_alone(ada: Room, bob: Room) -> None:
    """They neither show nor count, and the room's own readers get everything."""
    chat = listening(bob)
    others: list[Any] = ["", " \n", b"bytes", 5, [1], {"type": "move"}, {"type": ["chat-message"]}]
    for other in others:
        await ada.send(other)
    await Chat(ada).say("hi")
    assert (await said(chat)).content == "hi"
    assert (chat.malformed, chat.forged, len(chat.history)) == (0, 0, 1)
    assert [await took(bob) for _ in others] == others


@meeting("Ada", "Bob")
async def test_plain_text_is_something_said(ada: Room, bob: Room) -> None:
    """It is by whom it comes from, now, and has an id that nothing else has."""
    chat = listening(bob)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    await ada.send("hello")
    await ada.send("hello", to=bob.me)
    one, two = await said(chat), await said(chat)
    for each in (one, two):
        assert (each.content, each.author, each.plain) == ("hello", ada.me, True)
        assert before <= each.timestamp <= datetime.now(UTC)
        assert re.fullmatch(r"msg_[0-9a-f]{12}_\d+", each.id)
    assert (one.direct, two.direct) == (False, True)
    assert one.id != two.id
    assert chat.history == (one, two)


@meeting("Ada", "Bob")
async def test_who_says_something_plainly_types_no_more(ada: Room, bob: Room) -> None:
    """As with any other message."""
    watcher = listening(bob)
    await Chat(ada).show_typing()
    await told(watcher, TypingChanged)
    assert list(watcher.typing) == [ada.me]
    await ada.send("there")
    await said(watcher)
    assert not watcher.typing


@meeting("Ada", "Bob")
async def test_plain_text_that_is_too_long_is_data(ada: Room, bob: Room) -> None:
    """Up to the limit it is something said; beyond it shows and counts nowhere."""
    chat = listening(bob)
    await ada.send("x" * (PLAIN_LIMIT + 1))
    await ada.send("x" * PLAIN_LIMIT)
    assert len((await said(chat)).content) == PLAIN_LIMIT
    assert (chat.malformed, chat.forged, len(chat.history)) == (0, 0, 1)


def test_coming_and_going_is_part_of_the_story() -> None:
    """Who joins and who leaves is told in its place, and remembered."""
    world = World(seed=1)

    async def main() -> None:
        ada = await world.join("ada", room="lobby")
        chat = Chat(ada)
        bob = await world.join("bob", room="lobby")
        assert await told(chat, PeerJoined) == PeerJoined(bob.me)
        await Chat(bob).say("hi")
        await said(chat)
        mine = await chat.say("hello")
        await bob.leave()
        assert await told(chat, PeerLeft) == PeerLeft(bob.me, LeaveReason.LEFT)
        first, second, third, undelivered, fourth = chat.history
        assert (first, third) == (PeerJoined(bob.me), mine)
        assert isinstance(second, ChatMessage)
        # Bob left while it was still on its way.
        assert undelivered == Undelivered(bob.me, 1)
        assert isinstance(fourth, PeerLeft)
        await ada.leave()

    world.run(main())


@meeting("Ada", "Bob")
async def test_history_is_bounded(ada: Room, bob: Room) -> None:
    """The newest entries are remembered, the oldest forgotten."""
    speaker, reader = Chat(ada), listening(bob)
    for number in range(HISTORY_LENGTH + 5):
        await speaker.say(str(number))
        await said(reader)
    for chat in (speaker, reader):
        kept = [entry.content for entry in chat.history if isinstance(entry, ChatMessage)]
        assert kept == [str(number) for number in range(5, HISTORY_LENGTH + 5)]


@meeting("Ada", "Bob")
async def test_a_chat_begins_with_what_nobody_has_read(ada: Room, bob: Room) -> None:
    """However late it is made after joining, it misses nothing; nor does the room's reader."""
    await Chat(ada).say("early")
    await asyncio.sleep(1.0)
    chat = Chat(bob)
    assert await told(chat, PeerJoined) == PeerJoined(ada.me)
    assert (await said(chat)).content == "early"
    assert (await took(bob))["content"] == "early"
    later = Chat(bob)
    await Chat(ada).say("late")
    assert (await said(later)).content == "late"
    assert (await said(chat)).content == "late"


@meeting("Ada", "Bob")
async def test_a_chat_may_be_all_that_reads_a_room(ada: Room, bob: Room) -> None:
    """Given the room's own events, it takes them, and nothing is left lying around."""
    chat = Chat(bob, aiter(bob))
    await Chat(ada).say("hi")
    assert (await said(chat)).content == "hi"
    await bob.leave()
    assert not [event async for event in bob if isinstance(event, Message)]


@meeting("Ada", "Bob")
async def test_a_chat_ends_with_its_room_or_before(ada: Room, bob: Room) -> None:
    """Leaving ends the iteration; a closed chat hears nothing more."""
    chat, closed = listening(bob), Chat(bob)
    closed.close()
    await Chat(ada).say("hi")
    await said(chat)
    await bob.leave()
    assert not [entry async for entry in closed if isinstance(entry, ChatMessage)]
    assert not [entry async for entry in chat if isinstance(entry, ChatMessage)]


# --- names ------------------------------------------------------------------------


@meeting("Ada", " ada\x1b ", "Bob", "")
async def test_two_of_one_name_are_told_apart(
    ada: Room, other: Room, bob: Room, nameless: Room
) -> None:
    """Whoever shares a name has a part of the id with it, whatever case they write."""
    chat = Chat(bob)
    assert chat.name_of(ada.me) == f"Ada#{ada.me.id[:4]}"
    assert chat.name_of(other.me) == f"ada#{other.me.id[:4]}"
    assert chat.name_of(bob.me) == "Bob"
    assert chat.name_of(nameless.me) == nameless.me.id[:8]


@given(text=st.text())
def test_what_is_displayed_can_only_be_read(text: str) -> None:
    """No control character, line break, surrogate or change of direction is left."""
    shown = displayed(text)
    assert shown.isprintable() or not set(shown) & {chr(c) for c in range(32)}
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert not set(shown) & set("\x1b\x07\x7f\x9b\u202e\u2066\u2069\u200f")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("  two  spaces ", "  two  spaces "),
        ("a\r\nb\nc\td", "a b c d"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred[0m"),
        ("\u202egnp.exe", "gnp.exe"),
        ("Zo\u00eb \U0001f469\u200d\U0001f52c", "Zo\u00eb \U0001f469\u200d\U0001f52c"),
        ("\ud800", ""),
    ],
)
def test_what_is_harmless_is_displayed_as_it_is(text: str, shown: str) -> None:
    """Spaces, accents and joined emoji stay; only what acts on a screen goes."""
    assert displayed(text) == shown


# --- typing -----------------------------------------------------------------------


@meeting("Ada", "Bob")
async def test_who_types_is_seen_until_they_stop_or_speak(ada: Room, bob: Room) -> None:
    """A notice begins it; another, a message, or leaving ends it."""
    typist, watcher = Chat(ada), Chat(bob)
    await typist.show_typing()
    assert await told(watcher, TypingChanged) == TypingChanged(ada.me, typing=True)
    assert list(watcher.typing) == [ada.me]
    await typist.show_typing(typing=False)
    assert await told(watcher, TypingChanged) == TypingChanged(ada.me, typing=False)
    assert not watcher.typing
    await typist.show_typing()
    await told(watcher, TypingChanged)
    await typist.say("there")
    await said(watcher)
    assert not watcher.typing
    await typist.show_typing()
    await told(watcher, TypingChanged)
    await ada.leave()
    await told(watcher, PeerLeft)
    assert not watcher.typing
    assert not any(isinstance(entry, TypingChanged) for entry in watcher.history)


@meeting("Ada", "Bob")
async def test_typing_that_is_not_confirmed_ends(ada: Room, bob: Room) -> None:
    """Whoever falls silent is not typing for ever."""
    typist, watcher = Chat(ada), Chat(bob)
    await typist.show_typing()
    await told(watcher, TypingChanged)
    await asyncio.sleep(TYPING_EXPIRY - 0.1)
    assert list(watcher.typing) == [ada.me]
    await asyncio.sleep(0.2)
    assert not watcher.typing


async def notices(room: Room) -> list[bool]:
    """Return the typing notices that come before the next message."""
    found: list[bool] = []
    while (data := await took(room))["type"] == "chat-typing":
        found.append(data["typing"])
    return found


@meeting("Ada", "Bob")
async def test_a_notice_for_every_key_would_be_too_many(ada: Room, bob: Room) -> None:
    """However often typing is reported, few notices travel, and enough to last."""
    typist, watcher = Chat(ada), Chat(bob)
    watching = asyncio.create_task(said(watcher))
    for _ in range(100):  # ten seconds of typing
        await typist.show_typing()
        await asyncio.sleep(0.1)
        assert list(watcher.typing) == [ada.me]
    await typist.say("done")
    assert (await watching).content == "done"
    assert await notices(bob) == [True] * int(10.0 / TYPING_INTERVAL)


@meeting("Ada", "Bob")
async def test_stopping_is_told_only_where_it_is_news(ada: Room, bob: Room) -> None:
    """Nobody hears that we stopped who was not told that we type."""
    typist = Chat(ada)
    await typist.show_typing(typing=False)
    await typist.show_typing()
    await asyncio.sleep(TYPING_EXPIRY)
    await typist.show_typing(typing=False)
    await typist.show_typing()
    await typist.say("done")
    await typist.show_typing(typing=False)
    await typist.say("end")
    assert await notices(bob) == [True, True]
    assert (await took(bob))["content"] == "end"
