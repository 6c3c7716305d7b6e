"""The words for what happens in a chat."""

import asyncio
from typing import Any

import pytest

from tests.server.mint import MODERATOR, moderated
from thkmesh import new_secret
from thkmesh.apps.chat import Chat
from thkmesh.cli.narration import Narrator
from thkmesh.server import AccessSettings
from thkmesh.testing import World


def test_the_server_is_back_only_after_it_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining is no return; each return is told once."""
    monkeypatch.setenv("NO_COLOR", "1")
    world = World(seed=1)
    lines: list[Any] = []

    async def main() -> None:
        room = await world.join("ada", room="lobby")
        for _ in range(2):
            await asyncio.sleep(5.0)
            world.server.kill()
            await asyncio.sleep(5.0)
            world.server.start()
        await asyncio.sleep(60.0)
        await room.leave()
        chat = Chat(room)
        narrator = Narrator(chat)
        lines.extend([narrator.line(entry) async for entry in chat])

    world.run(main())
    away, back = "the server is away; links live on without it", "the server is back"
    assert [line for line in lines if line] == [away, back, away, back]


def test_who_is_relayed_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it begins, and in the list of who is here."""
    monkeypatch.setenv("NO_COLOR", "1")
    world = World(seed=2)
    world.network.partition("ada", "bob")
    lines: list[Any] = []
    listed: list[str] = []

    async def main() -> None:
        room = await world.join("ada", room="lobby")
        other = await world.join("bob", room="lobby")
        await asyncio.sleep(3.0)
        listed.extend(Narrator(Chat(room)).peers())
        await other.leave()
        await room.leave()
        chat = Chat(room)
        narrator = Narrator(chat)
        lines.extend([narrator.line(entry) async for entry in chat])

    world.run(main())
    assert "bob is relayed by the server, sealed" in lines
    assert listed[1].endswith("relayed by the server")


def test_who_is_kept_out_or_removed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a private room, to both sides; a removal with its reason, and once."""
    monkeypatch.setenv("NO_COLOR", "1")
    world = World(seed=3, access=AccessSettings(authenticate=moderated))
    lines: dict[str, list[Any]] = {}

    async def main() -> None:
        secret = new_secret()
        rooms = {
            "ada": await world.join("ada", room="den", secret=secret, token=MODERATOR),
            "bob": await world.join("bob", room="den", secret=secret),
            "cat": await world.join("cat", room="den", secret=secret),
            "eve": await world.join("eve", room="den"),
        }
        await world.linked(rooms["ada"], rooms["bob"], rooms["cat"])
        await rooms["ada"].kick(rooms["cat"].me, reason="spam")
        for name in ("ada", "bob", "eve"):
            await rooms[name].leave()
            chat = Chat(rooms[name])
            narrator = Narrator(chat)
            lines[name] = [line async for entry in chat if (line := narrator.line(entry))]

    world.run(main())
    assert lines["bob"].count("cat was removed from the room: spam") == 1
    assert not [line for line in lines["bob"] if line.startswith("cat is gone")]
    [kept_out] = [line for line in lines["ada"] if line.startswith("kept out of")]
    assert "'eve'" in kept_out
    assert "this room is private, so nobody connects to you" in lines["eve"][0]
