"""The README: its programs run, and its command prints what it says."""

import asyncio
import re
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio

import thkmesh
from tests.cli.programs import PATIENCE, Served, launched, served, started
from tests.documents import ROOT, blocks, samples
from tests.test_documents import run

README = ROOT / "README.md"
WITH_A_LOOP, WITHOUT = samples(README)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Served]:
    """A server with the demo peer, as ``make run`` starts it."""
    async with served("--demo") as running:
        yield running


async def test_the_first_program_is_a_small_chat(server: Served) -> None:
    """It greets everybody, and tells who joins and what they say, until Ctrl-C."""
    async with (
        thkmesh.join(server.url, room="lobby", name="Bob") as bob,
        launched("-uc", WITH_A_LOOP.at(server.url)) as program,
    ):
        async with asyncio.timeout(PATIENCE):
            async for event in bob:
                if isinstance(event, thkmesh.Message) and event.peer.name == "Ada":
                    assert event.data == "hello, everyone"
                    break
        await bob.send("hi, Ada")
        joined = {await program.line("joined") for _ in range(2)}
        assert joined == {"Demo joined", "Bob joined"}
        assert await program.line("^Bob says") == "Bob says hi, Ada"
        await program.end(signal.SIGINT)


async def test_the_first_program_talks_with_the_demo(server: Served) -> None:
    """It prints what people would read: who joined, and what they say to it."""
    async with launched("-uc", WITH_A_LOOP.at(server.url)) as program:
        lines = [await program.line() for _ in range(3)]
        await program.end(signal.SIGINT)
    assert lines[0] == "Demo joined"
    assert lines[1].startswith("Demo says Hello, Ada! I am a demo.")
    assert lines[2] == "Demo says Hello, Ada! Nice to hear from you."


async def test_the_first_program_talks_with_who_chats(server: Served) -> None:
    """Its plain text is a line in the chat, and a line of the chat is one in its output."""
    async with (
        started("chat", "--url", server.url, "--name", "Bob", stdin=PIPE) as bob,
        AsyncExitStack() as stack,
    ):
        await bob.line("^Demo: ")  # so that Bob is there to be greeted
        program = await stack.enter_async_context(launched("-uc", WITH_A_LOOP.at(server.url)))
        assert await bob.line("^Ada: ") == "Ada: hello, everyone"
        bob.say("hi, Ada\n")
        assert await program.line("^Bob says") == "Bob says hi, Ada"
        await program.end(signal.SIGINT)


def test_the_first_program_is_short() -> None:
    """A room, its events and its end take twelve lines."""
    assert len([line for line in WITH_A_LOOP.source.splitlines() if line]) == 12


async def test_the_second_program_does_without_a_loop(server: Served) -> None:
    """It sends, prints the first thing that happens, and ends."""
    async with launched("-c", WITHOUT.at(server.url)) as program:
        ended = await program.end()
    assert (ended.code, ended.err) == (0, "")
    assert re.fullmatch(r"\w+\(.*\)\n", ended.out)


async def test_the_command_prints_what_it_says(server: Served, tmp_path: Path) -> None:
    """As in the second terminal after ``make run``."""
    (console,) = [block.text for block in blocks(README) if block.language == "console"]
    line, _, printed = console.removeprefix("$ ").partition("\n")
    command = line.replace(".venv/bin/", "")
    ended = await asyncio.to_thread(run, tmp_path, command, THKMESH_URL=server.url)
    assert ended == (0, printed, "")


def test_it_names_what_the_makefile_has() -> None:
    """Every ``make`` target it speaks of exists."""
    text = README.read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z-]+)", text))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets
    assert {target for target in targets if f"\n{target}:" not in makefile} == set()
