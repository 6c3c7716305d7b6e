"""A Redis of a test's own, to be killed and started again."""

import asyncio
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.server.world import PATIENCE

__all__ = ["RedisProcess", "redis_process"]

_POLL = 0.005


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class RedisProcess:
    """A Redis that listens on a socket in a folder, and keeps nothing on disk."""

    def __init__(self, folder: Path, *, tcp: bool = False) -> None:
        """Be down; ``tcp``: listen on a free port too, and be found there."""
        self.socket = folder / "redis.sock"
        self.port = _free_port() if tcp else 0
        self.process: Process | None = None

    @property
    def url(self) -> str:
        """Where to find it."""
        return f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Begin a life that knows nothing; returns once it answers."""
        self.socket.unlink(missing_ok=True)
        options = ("--port", str(self.port), "--unixsocket", str(self.socket), "--save", "")
        self.process = await asyncio.create_subprocess_exec(
            "redis-server", *options, "--appendonly", "no", cwd=self.socket.parent, stdout=DEVNULL
        )
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(OSError):
                    reader, writer = await asyncio.open_unix_connection(str(self.socket))
                    writer.write(b"PING\r\n")
                    answer = await reader.readline()
                    writer.close()
                    if answer == b"+PONG\r\n":
                        return
                await asyncio.sleep(_POLL)

    async def kill(self) -> None:
        """End this life at once."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            self.process = None


@asynccontextmanager
async def redis_process(*, tcp: bool = False) -> AsyncIterator[RedisProcess]:
    """Start a Redis; kill it in the end."""
    # A socket's path has at most 107 bytes, which pytest's folders may exceed.
    with TemporaryDirectory(prefix="thkmesh-redis-") as folder:
        redis = RedisProcess(Path(folder), tcp=tcp)
        try:
            await redis.start()
            yield redis
        finally:
            await redis.kill()
