"""What the tests between threads and processes stand on: a server, programs, and patience."""

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

import thkmesh
from thkmesh import sync

PATIENCE = 30.0
"""Seconds after which something that should have happened has not."""

_Event = TypeVar("_Event", bound=thkmesh.Event)

_SERVER = """
import asyncio
from thkmesh.server import ServerSettings
from thkmesh.server.serve import new_event_loop, serve

def ready(port):
    print(port, flush=True)

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(serve(port=0, settings=ServerSettings({settings}), on_ready=ready))
"""


class Program:
    """A Python program in a process of its own; what it prints is read line by line."""

    def __init__(self, source: str, *args: str) -> None:
        """Start it with its arguments."""
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout

    def line(self, patience: float = PATIENCE) -> str:
        """Return the next line it prints."""
        with self._limited(patience):
            line = self._stdout.readline()
        assert line, f"it ended: {self.end()}"
        return line.rstrip("\n")

    def value(self, patience: float = PATIENCE) -> Any:  # noqa: ANN401
        """Return the JSON value on the next line."""
        return json.loads(self.line(patience))

    def tell(self, line: str) -> None:
        """Let it read a line."""
        self._stdin.write(line + "\n")
        self._stdin.flush()

    def end(self) -> tuple[int, str, str]:
        """Return its exit code, the rest of what it printed, and its complaints."""
        with self._limited(PATIENCE):
            printed = self._stdout.read()
            code = self.process.wait()
        self._complaints.seek(0)
        return code, printed, self._complaints.read().decode()

    @contextmanager
    def _limited(self, patience: float) -> Iterator[None]:
        """Kill it when it takes too long: then all reading ends."""
        timer = threading.Timer(patience, self.process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self._stdin, self._stdout, self._complaints):
            with suppress(BrokenPipeError):
                stream.close()


@contextmanager
def server(settings: str = "") -> Iterator[str]:
    """Serve with ``ServerSettings(<settings>)`` in a process of its own; give the URL."""
    with Program(_SERVER.format(settings=settings)) as program:
        yield f"http://127.0.0.1:{program.line()}"


async def heard(
    reader: AsyncIterable[thkmesh.Event],
    kind: type[_Event],
    where: Callable[[_Event], bool] = lambda _: True,
) -> _Event:
    """Return the next event of a kind for which ``where`` holds; skip others."""
    async with asyncio.timeout(PATIENCE):
        async for event in reader:
            if isinstance(event, kind) and where(event):
                return event
    raise AssertionError(f"the room was left before any {kind.__name__}")


async def messages(reader: AsyncIterable[thkmesh.Event], count: int) -> list[thkmesh.Content]:
    """Return what the next messages say."""
    return [(await heard(reader, thkmesh.Message)).data for _ in range(count)]


def received(
    reader: sync.Room | sync.Subscription[thkmesh.Event],
    kind: type[_Event],
    where: Callable[[_Event], bool] = lambda _: True,
) -> _Event:
    """Return the next event of a kind for which ``where`` holds; skip others."""
    while True:
        event = reader.receive(PATIENCE)
        if isinstance(event, kind) and where(event):
            return event


async def ready(here: thkmesh.Channel, there: thkmesh.Channel) -> None:
    """Wait until both know that the other listens."""
    told = asyncio.create_task(anext(aiter(there)))
    while not told.done():
        await here.send("ready")
        await here.flush()
        await asyncio.sleep(0.01)
    assert (await told).data == "ready"
