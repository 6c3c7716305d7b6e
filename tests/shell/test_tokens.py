"""Where the application's function for tokens runs: never on the session's thread."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import thkmesh
from tests.cli.programs import served
from tests.server.mint import SECRET, minted
from thkmesh import sync


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[str]:
    """A server that requires tokens, in a process of its own."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    async with served("--secret-file", str(path), "--require-token") as server:
        yield server.url


async def test_a_function_is_called_where_the_room_was_joined(strict: str) -> None:
    """On the loop of the application, plain or not."""
    seen: list[object] = []

    def plain() -> str:
        seen.append((threading.current_thread(), asyncio.get_running_loop()))
        return minted()

    async def slow() -> str:
        await asyncio.sleep(0)
        return plain()

    for function in (plain, slow):
        async with thkmesh.join(strict, room="lobby", token=function) as room:
            assert "kick" in room.grants
    assert seen == [(threading.current_thread(), asyncio.get_running_loop())] * 2


async def test_without_a_loop_a_function_has_a_thread_of_its_own(strict: str) -> None:
    """So it may block; and what it raises is why we could not join."""
    seen: list[str] = []

    def plain() -> str:
        seen.append(threading.current_thread().name)
        return minted()

    async def slow() -> str:
        await asyncio.sleep(0)
        return plain()

    def broken() -> str:
        raise OSError("no login")

    def join() -> None:
        for function in (plain, slow):
            with sync.join(strict, room="lobby", token=function) as room:
                assert "kick" in room.grants
        with pytest.raises(thkmesh.ServerUnreachable, match="no login"):
            sync.join(strict, room="lobby", token=broken, timeout=0.5)
        with pytest.raises(thkmesh.Unauthorized):
            sync.join(strict, room="lobby", password="sesame")

    await asyncio.to_thread(join)
    assert seen == ["thkmesh-token"] * 2


@pytest.mark.parametrize("options", [{"token": 7}, {"token": "\u00e9"}, {"token": "x" * 8193}])
def test_a_token_is_text_or_a_function(options: dict[str, object]) -> None:
    """What else is passed is refused at once."""
    with pytest.raises(thkmesh.InvalidArgument, match="a token is ASCII text"):
        thkmesh.join("http://x", room="lobby", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("password", [7, "x" * 257])
def test_a_password_is_text(password: object) -> None:
    """What else is passed is refused at once, and so is one beside a token."""
    with pytest.raises(thkmesh.InvalidArgument, match="a password is text"):
        thkmesh.join("http://x", room="lobby", password=password)  # type: ignore[arg-type]
    with pytest.raises(thkmesh.InvalidArgument, match="not both"):
        thkmesh.join("http://x", room="lobby", password="x", token="y")
