"""The tutorial and the how-to guides: what they show is what happens."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.programs import PATIENCE, environment, served
from tests.documents import ROOT, Sample, blocks, samples

GUIDES = sorted((ROOT / "docs").rglob("*.md"))
SAMPLES = [
    pytest.param(sample, id=f"{path.name}:{sample.line}")
    for path in GUIDES
    for sample in samples(path)
]
COMMANDS = [
    pytest.param(block.text, id=f"{path.name}:{block.line}")
    for path in GUIDES
    for block in blocks(path)
    if block.language == "console"
]


def run(folder: Path, command: list[str] | str, **variables: str) -> tuple[int, str, str]:
    """Run a command in a folder; return its exit code, output and complaints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment() | {"PATH": path} | variables,
        shell=isinstance(command, str),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def free_port() -> int:
    """Return a port for a program that brings a server of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def test_there_is_something_to_run() -> None:
    """The tutorial and three guides at least have programs in them, and it a command."""
    assert len(SAMPLES) >= 6
    assert COMMANDS


@pytest.mark.parametrize("sample", SAMPLES)
async def test_a_program_prints_what_the_document_says(sample: Sample, tmp_path: Path) -> None:
    """As it stands, but for the address of the server; and it ends well."""
    assert sample.printed is not None, "a program without the output it has"
    async with served("--demo") as server:
        url = f"http://localhost:{free_port()}" if "uvicorn" in sample.source else server.url
        ended = await asyncio.to_thread(run, tmp_path, [sys.executable, "-c", sample.at(url)])
    assert ended == (0, sample.printed, "")


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_prints_what_the_document_says(command: str, tmp_path: Path) -> None:
    """The ``$`` line of a console block is run; what follows it is its output."""
    line, _, printed = command.removeprefix("$ ").partition("\n")
    async with served("--demo") as server:
        ended = await asyncio.to_thread(run, tmp_path, line, THKMESH_URL=server.url)
    assert ended == (0, printed, "")
