"""``thkmesh serve --workers``, with a Redis of its own: processes to be killed one by one."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psutil

from tests.server.redis_process import RedisProcess, redis_process
from tests.server.world import PATIENCE

__all__ = ["ServerCluster", "eventually", "server_cluster"]

_EVERY = 0.01


@dataclass
class ServerCluster:
    """A supervisor, its workers, and the Redis that they share."""

    process: Process
    host: str
    redis: RedisProcess

    @property
    def url(self) -> str:
        """Where to join."""
        return f"http://{self.host}"

    @property
    def workers(self) -> list[psutil.Process]:
        """The server processes, oldest first."""
        children = psutil.Process(self.process.pid).children()
        return sorted(children, key=lambda child: child.create_time())

    @property
    def serving(self) -> int:
        """How many workers take clients in."""
        return sum("LISTEN" in _sockets(worker) for worker in self.workers)

    def connections(self, worker: psutil.Process) -> int:
        """Return how many clients a worker has."""
        return _sockets(worker).count("ESTABLISHED")

    def kill_worker(self, pid: int) -> None:
        """Kill one worker at once."""
        os.kill(pid, signal.SIGKILL)

    async def ended(self) -> tuple[int, str]:
        """Return the supervisor's exit code and last words."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            words = await self.process.stdout.read()
            return await self.process.wait(), words.decode().strip()


def _sockets(worker: psutil.Process) -> list[str]:
    """Return the states of a worker's TCP sockets; none if it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return [each.status for each in worker.net_connections("tcp")]
    return []


async def eventually(holds: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait until something holds that other processes bring about."""
    async with asyncio.timeout(patience):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(_EVERY)


@asynccontextmanager
async def server_cluster(workers: int, *options: str) -> AsyncIterator[ServerCluster]:
    """Start Redis and so many workers on one port; end all in the end."""
    async with redis_process() as redis:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "thkmesh", "serve", "--port", "0"),
            *("--redis", redis.url, "--workers", str(workers), *options),
            stdout=PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                line = (await process.stdout.readline()).decode()
            assert line.startswith("ready: http://"), line
            yield ServerCluster(process, line.strip().removeprefix("ready: http://"), redis)
        finally:
            if process.returncode is None:
                process.terminate()
                async with asyncio.timeout(PATIENCE):
                    await process.wait()
