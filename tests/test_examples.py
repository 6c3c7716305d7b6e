"""The examples do what their first line says."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, chdir
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

import thkmesh
from tests.cli.programs import PATIENCE, launched
from tests.server.world import Client
from thkmesh.server.serve import serve

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    """A server on this loop."""
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(port=0, on_ready=ready.set_result))
    async with asyncio.timeout(PATIENCE):
        yield f"http://127.0.0.1:{await ready}"
    serving.cancel()
    await asyncio.wait([serving])


async def heard(room: thkmesh.Room, kind: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the next JSON message of a type."""
    async with asyncio.timeout(PATIENCE):
        async for event in room:
            match event:
                case thkmesh.Message(data={"type": str(name)} as data) if name == kind:
                    return data
                case _:
                    pass
    raise AssertionError("the room ended")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_fits_on_a_screen(path: Path) -> None:
    """At most 40 lines, tested by name below, and it says how to run it."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 40
    assert re.search(rf"python examples/{path.name} \[(URL|PORT)\]", text)
    assert f"async def test_{path.stem}" in Path(__file__).read_text(encoding="utf-8")


async def test_hello(url: str) -> None:
    """It greets who is there, tells what they say, who comes and who goes."""
    async with (
        thkmesh.join(url, room="lobby", name="Ada") as ada,
        launched(str(ROOT / "examples/hello.py"), url) as hello,
    ):
        assert await hello.line() == "Ada joined"
        async with asyncio.timeout(PATIENCE):
            async for event in ada:
                if isinstance(event, thkmesh.Message):
                    assert event.data == "hello, everyone"
                    break
        await ada.send("hello, Hello")
        assert await hello.line("says") == "Ada says 'hello, Hello'"
        async with thkmesh.join(url, room="lobby", name="Bob"):
            assert await hello.line() == "Bob joined"
        assert await hello.line() == "Bob left"
        ended = await hello.end(signal.SIGINT)
    assert (ended.code, ended.err) == (0, "")


async def test_notebook(url: str) -> None:
    """It asks for measurements, waits for the answers and tells their average."""
    async with (
        thkmesh.join(url, room="lab", name="Cold") as cold,
        thkmesh.join(url, room="lab", name="Warm") as warm,
        launched(str(ROOT / "examples/notebook.py"), url) as notebook,
    ):
        for room, value in ((cold, 20), (warm, 23.0)):
            assert (await heard(room, "measure"))["what"] == "temperature"
            await room.send({"type": "measured", "value": value})
        ended = await notebook.end()
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines()[1:] == ["2 answers", "average 21.5"]
        assert (await heard(warm, "average"))["value"] == 21.5


async def test_files(url: str, tmp_path: Path) -> None:
    """What one sends the other saves, byte for byte."""
    example = str(ROOT / "examples/files.py")
    film = tmp_path / "film"
    film.write_bytes(bytes(range(256)) * 8_000)
    async with AsyncExitStack() as stack:
        with chdir(tmp_path):
            saving = await stack.enter_async_context(launched(example, url))
        assert await saving.line() == "waiting"
        sending = await stack.enter_async_context(launched(example, url, str(film)))
        assert (await sending.end()).code == 0
        said = await saving.line()
        assert said.startswith("2048000 bytes in from-")
        assert (tmp_path / said.split()[-1]).read_bytes() == film.read_bytes()
        ended = await saving.end(signal.SIGINT)
    assert (ended.code, ended.err) == (0, "")


async def test_robot(url: str) -> None:
    """It stands, publishes where, and moves when somebody steers it, and it alone."""
    async with (
        launched(str(ROOT / "examples/robot.py"), url) as robot,
        thkmesh.join(url, room="robots", name="Pilot") as pilot,
    ):
        assert (await heard(pilot, "telemetry"))["position"] == [0.0, 0.0]
        (peer,) = pilot.peers
        await pilot.send({"type": "steer", "to": "west"})
        await pilot.send({"type": "steer", "to": "hell"}, to=peer)
        await pilot.send({"type": "steer", "to": "north"}, to=peer)
        assert await robot.line() == "Pilot steers north"
        while (position := (await heard(pilot, "telemetry"))["position"]) == [0.0, 0.0]:
            pass
        assert position[0] == 0.0 < position[1]
        ended = await robot.end(signal.SIGINT)
    assert (ended.code, ended.err) == (0, "")


async def listening(url: str) -> bool:
    """Tell whether somebody answers there."""
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def logged_in(url: str, user: str, password: str) -> str | None:
    """Return the cookie of who logs in, once the application listens; None if it refuses."""
    form = f"user={user}&password={password}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        async with asyncio.timeout(PATIENCE):
            while not await listening(url):  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.05)
        answer = await client.post("/login", content=form)
    cookie = answer.headers.get("set-cookie", "")
    assert (answer.status_code == 303) == bool(cookie)
    return cookie.partition(";")[0] or None


async def test_login() -> None:
    """Who has logged in may join, by the cookie or by a ticket for it; nobody else may."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with launched(str(ROOT / "examples/login.py"), str(port)) as application:
        ada = await logged_in(url, "ada", "lovelace")
        bob = await logged_in(url, "bob", "marley")
        assert ada
        assert bob
        wrong = [("ada", "marley"), ("eve", ""), ("eve", "?"), ("", ""), ("ada", "?")]
        assert [await logged_in(url, *each) for each in wrong] == [None] * len(wrong)

        async def ticket(cookie: str) -> str:
            async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
                headers = {"cookie": cookie}
                answer = await client.post(
                    "/mesh/api/tickets", json={"room": "lobby"}, headers=headers
                )
            return str(answer.json().get("ticket", "none"))

        mesh = f"{url}/mesh"
        for cookie in ("", "session=", "session=x"):
            with pytest.raises(thkmesh.Unauthorized):
                await thkmesh.join(mesh, room="lobby", token=partial(ticket, cookie))
        with pytest.raises(thkmesh.NotGranted):
            await thkmesh.join(mesh, room="lobby", token=partial(ticket, bob))
        page = Client(f"ws://127.0.0.1:{port}/mesh/ws")
        page.options["additional_headers"] = {"Cookie": ada}
        assert "create" in (await page.join("Ada")).grants
        async with thkmesh.join(mesh, room="lobby", name="Bob", token=partial(ticket, bob)) as room:
            assert [peer.name for peer in room.peers] == ["Ada"]
            assert room.grants == {"join", "send", "relay"}
        await page.cut()
        ended = await application.end(signal.SIGTERM)
        assert ended.err == ""
