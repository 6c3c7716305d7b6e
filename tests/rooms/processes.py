"""Servers and peers in processes of their own, for tests to start, hear and kill."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import httpx2

from tests.rooms.peer import pack, unpack
from thkmesh import Data

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds after which something that should have come has not."""

_LONGEST_LINE = 2**22

Line: TypeAlias = dict[str, Any]


async def _start(module: str, *arguments: str, prefix: Sequence[str] = ()) -> Process:
    return await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        limit=_LONGEST_LINE,
        stdin=PIPE,
        stdout=PIPE,
    )


async def kill(process: Process) -> None:
    """Kill one process, by its id; harmless when it has ended."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


class Server:
    """A signaling server that keeps its port over its lives."""

    def __init__(self, **settings: object) -> None:
        """Be down; ``start`` starts it with ``ServerSettings(**settings)``, and a ``secret``."""
        self._host = "127.0.0.1"
        self._prefix: Sequence[str] = ()
        self._settings = json.dumps(settings)
        self._port = 0
        self._process: Process | None = None

    def at(self, host: str, prefix: Sequence[str]) -> "Server":
        """Have it start elsewhere.

        Args:
            host: the address to listen on.
            prefix: what makes a command run there; see ``Namespace.prefix``.
        """
        self._host, self._prefix = host, prefix
        return self

    @property
    def url(self) -> str:
        """Where to join."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Start a life; returns once clients can come."""
        arguments = (self._host, str(self._port), self._settings)
        self._process = await _start("tests.rooms.server", *arguments, prefix=self._prefix)
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            self._port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        """End this life at once."""
        if self._process is not None:
            await kill(self._process)

    async def members(self, room: str) -> int:
        """Return how many peers the server has in a room."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{self.url}/api/rooms/{room}")
        return len(answer.json().get("peers", ()))


class PeerProcess:
    """A peer process and all it has told."""

    def __init__(self, name: str, process: Process) -> None:
        """Take a process that runs ``tests.rooms.peer``."""
        self.name = name
        self.id = ""
        self.lines: list[Line] = []
        """All but the messages."""
        self.heard_at: list[float] = []
        """When the messages came (CLOCK_MONOTONIC)."""
        self._heard: defaultdict[tuple[str, bool], list[Data]] = defaultdict(list)
        self._process = process
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, name: str, *, module: str = "tests.rooms.peer", prefix: Sequence[str] = ()
    ) -> "PeerProcess":
        """Start a process; it is warm when this returns.

        Args:
            name: what others call it.
            module: what it runs, in place of ``tests.rooms.peer``.
            prefix: what makes a command run elsewhere; see ``Namespace.prefix``.
        """
        peer = cls(name, await _start(module, prefix=prefix))
        await peer.until(lambda: bool(peer.of("Ready")))
        return peer

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for text in self._process.stdout:
            line = json.loads(text)
            async with self._news:
                self._note(line)
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    def _note(self, line: Line) -> None:
        if line["event"] == "Message":
            self._heard[line["peer"], line["direct"]].append(unpack(line["data"]))
            self.heard_at.append(line["at"])
            return
        self.lines.append(line)
        if line["event"] == "Entered":
            self.id = line["id"]

    def forget(self) -> None:
        """Forget what it told so far, and who it was."""
        self.id = ""
        self.lines.clear()
        self.heard_at.clear()
        self._heard.clear()

    # --- commands ---

    def tell(self, do: str, **fields: object) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")

    def join(self, url: str, room: str, **settings: object) -> None:
        """Have it join a room."""
        self.tell("join", url=url, room=room, name=self.name, **settings)

    def send(self, data: Data, to: "PeerProcess | None" = None) -> None:
        """Have it send a message."""
        self.tell("send", data=pack(data), to=None if to is None else to.id)

    async def leave(self) -> None:
        """Have it leave, and wait until it has."""
        left = len(self.of("Left"))
        self.tell("leave")
        await self.until(lambda: len(self.of("Left")) > left)

    async def kill(self) -> None:
        """Kill the process."""
        await kill(self._process)
        await self._reading

    # --- what it told ---

    def of(self, event: str, **fields: object) -> list[Line]:
        """Return the lines of a kind whose fields have these values."""
        return [
            line
            for line in self.lines
            if line["event"] == event and all(line.get(k) == v for k, v in fields.items())
        ]

    def heard(self, sender: "PeerProcess | str", *, direct: bool) -> list[Data]:
        """Return the messages it got from another peer, or a peer's id, in order."""
        return self._heard[sender if isinstance(sender, str) else sender.id, direct]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def heard_in_all(self) -> int:
        """How many messages it got."""
        return sum(map(len, self._heard.values()))

    def linked(self) -> set[str]:
        """Return whom it has a link to right now."""
        states = {line["peer"]: line["state"] for line in self.of("LinkChanged")}
        return {peer for peer, state in states.items() if state == "connected"}

    async def until(self, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait for the line that makes something true."""
        try:
            async with asyncio.timeout(patience), self._news:
                await self._news.wait_for(lambda: holds() or self._reading.done())
        except TimeoutError:
            last = self.lines[-12:]
            raise AssertionError(f"{self.name} waited {patience} s in vain: {last}") from None
        assert holds(), f"{self.name} ended with {self._process.returncode}"


async def all_linked(peers: list[PeerProcess]) -> None:
    """Wait until every peer has a link to every other."""
    for peer in peers:
        await peer.until(lambda: bool(peer.id))  # noqa: B023 - not kept
    for peer in peers:
        others = {other.id for other in peers} - {peer.id}
        await peer.until(lambda: peer.linked() >= others)  # noqa: B023 - not kept
