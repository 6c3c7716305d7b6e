"""A server in a process of its own, to be stopped, signalled and measured."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.server.world import PATIENCE

_PROGRAM = """
import asyncio
from thkmesh.server import ServerSettings
from thkmesh.server.serve import new_event_loop, serve

def ready(port):
    print(port, flush=True)

with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(serve(port=0, settings=ServerSettings({settings}), on_ready=ready))
print("done", flush=True)
"""


@dataclass
class ServerProcess:
    """A running server."""

    process: Process
    host: str

    @property
    def ws(self) -> str:
        """The address of its WebSocket."""
        return f"ws://{self.host}/ws"

    async def ended(self) -> tuple[int, str]:
        """Return its exit code and its last words."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            words = await self.process.stdout.read()
            return await self.process.wait(), words.decode().strip()


@asynccontextmanager
async def server_process(settings: str = "") -> AsyncIterator[ServerProcess]:
    """Start a server with ``ServerSettings(<settings>)``; kill it in the end."""
    program = _PROGRAM.format(settings=settings)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            port = int(await process.stdout.readline())
        yield ServerProcess(process, f"127.0.0.1:{port}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
