"""The demo peer, in a simulated world."""

import asyncio
from typing import Any

from thkmesh import Room
from thkmesh.apps.chat import Chat, ChatMessage
from thkmesh.cli import demo
from thkmesh.testing import World


async def said(chat: Chat, count: int) -> list[ChatMessage]:
    """Return the next things said."""
    found: list[ChatMessage] = []
    async for entry in chat:
        if isinstance(entry, ChatMessage):
            found.append(entry)
            if len(found) == count:
                break
    return found


async def hosted(world: World, host: str = "demo") -> "asyncio.Task[None]":
    """Put a demo peer into the lobby."""
    room = await joined(world, host, metadata=demo.METADATA)
    return world.spawn(host, demo.attend(Chat(room, aiter(room))))


async def joined(world: World, host: str, **options: Any) -> Room:  # noqa: ANN401
    """Let a host join the lobby."""
    return await world.join(host, room=demo.ROOM, **options)


def test_newcomers_are_greeted_and_they_alone() -> None:
    """Who was there before hears nothing of it; answers are for all, or for who asked."""
    world = World(seed=1)

    async def main() -> None:
        attending = await hosted(world)
        ada = Chat(await joined(world, "ada"))
        (greeting,) = await said(ada, 1)
        assert greeting.direct
        assert greeting.content.startswith("Hello, ada! I am a demo.")
        bob = Chat(await joined(world, "bob"))
        assert (await said(bob, 1))[0].direct
        await bob.say("hello")
        to_all = [(await said(bob, 1))[0], (await said(ada, 2))[1]]
        assert {(each.content, each.direct) for each in to_all} == {
            ("Hello, bob! Nice to hear from you.", False)
        }
        await ada.say("peers", to=greeting.author)
        (answer,) = await said(ada, 1)
        assert (answer.content, answer.direct) == ("Here are ada, bob, demo.", True)
        attending.cancel()

    world.run(main())


def test_it_speaks_as_it_is_spoken_to() -> None:
    """Plain text is answered in plain text, to all or to who asked; chat in chat."""
    world = World(seed=4)

    async def main() -> None:
        attending = await hosted(world)
        ada = Chat(await joined(world, "ada"))
        (greeting,) = await said(ada, 1)
        assert greeting.plain
        answers: list[tuple[str, bool, bool]] = []
        for to in (None, greeting.author):
            await ada.room.send("hello, everyone", to=to)
            await ada.say("echo", to=to)
            answers += [(each.content, each.plain, each.direct) for each in await said(ada, 2)]
        hello, echo = "Hello, ada! Nice to hear from you.", "You said: echo"
        assert answers == [
            (hello, True, False),
            (echo, False, False),
            (hello, True, True),
            (echo, False, True),
        ]
        attending.cancel()

    world.run(main())


def test_bots_neither_greet_nor_answer_bots() -> None:
    """Two demos in one room have nothing to say to each other, nor to any other bot."""
    world = World(seed=2)

    async def main() -> None:
        attending = [await hosted(world, "demo"), await hosted(world, "omed")]
        bot = Chat(await joined(world, "bot", metadata={"bot": True}))
        ada = Chat(await joined(world, "ada"))
        await said(ada, 2)
        await ada.say("echo")
        await asyncio.sleep(60.0)
        answers = await said(ada, 2)
        await ada.room.leave()
        rest = [entry async for entry in ada if isinstance(entry, ChatMessage)]
        assert [each.content for each in answers + rest] == ["You said: echo"] * 2
        heard = [each.content for each in await said(bot, 3)]
        assert sorted(heard) == ["You said: echo", "You said: echo", "echo"]
        for task in attending:
            task.cancel()

    world.run(main())


def test_who_left_meanwhile_does_not_stop_it() -> None:
    """A peer that is gone before it is answered is no reason to end."""
    world = World(seed=3)

    async def main() -> None:
        attending = await hosted(world)
        room = await joined(world, "hasty")
        await said(hasty := Chat(room), 1)
        await hasty.say("hello", to=room.peers[0])
        await room.leave()
        ada = Chat(await joined(world, "ada"))
        await said(ada, 1)
        await ada.say("time")
        assert (await said(ada, 1))[0].content.endswith(" UTC.")
        assert not attending.done()
        attending.cancel()

    world.run(main())
