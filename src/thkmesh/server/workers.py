"""Several server processes on one port, and one that looks after them.

Each worker listens on the port itself (``SO_REUSEPORT``), and the system shares new
connections out among those that live: one that was killed takes nothing with it but its own
connections, whose clients come back to another. The supervisor holds the port (bound, and not
listening), so nobody else gets it while workers come and go. It restarts what ends, after
a wait that grows while one ends again and again, and passes a wish to end on to all.

A worker whose supervisor is gone ends too: its input is a pipe that ends with it.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from thkmesh.core.backoff import full_jitter
from thkmesh.server.serve import listen

__all__ = [
    "WORKER_VARIABLE",
    "Supervisor",
    "WorkerFailed",
    "can_share_ports",
    "end_with_supervisor",
    "worker_index",
]

logger = logging.getLogger("thkmesh.server")

WORKER_VARIABLE: Final = "THKMESH_WORKER"
"""In the environment of a worker: which one it is, from 0 on."""

_RETRY_BASE, _RETRY_CAP = 0.25, 10.0
_STEADY = 5.0
"""Seconds after which a life counts as a good one."""


class WorkerFailed(Exception):
    """A worker ended before it was ready; it has said why. ``code`` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a server process ended with {code} before it was ready")
        self.code = code


def can_share_ports() -> bool:
    """Tell whether the system shares the connections to a port out among processes."""
    return hasattr(socket, "SO_REUSEPORT") and sys.platform == "linux"


def worker_index(environ: Mapping[str, str] = os.environ) -> int | None:
    """Return which worker this process is, None if it is none."""
    text = environ.get(WORKER_VARIABLE, "")
    return int(text) if text.isdecimal() else None


def end_with_supervisor() -> None:
    """End this process, as SIGTERM does, when its input ends."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="thkmesh-supervised").start()


class Supervisor:
    """Starts workers, restarts them, ends them."""

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        *,
        is_ready: Callable[[str], bool],
        on_ready: Callable[[str], None],
        patience: float = 10.0,
    ) -> None:
        """Start nothing yet.

        Args:
            command: what a worker is; ``--port`` and the port are added.
            count: how many.
            is_ready: tells whether a line of a worker's output says that it is ready.
            on_ready: gets that line, of one of them, once all are.
            patience: seconds that workers get to end before they are killed.
        """
        self._command = command
        self._count = count
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._patience = patience
        self._processes: dict[int, Process] = {}
        self._ready: set[int] = set()
        self._one_ready = asyncio.Event()
        self._announced = False
        self._stopping = asyncio.Event()

    async def run(self, host: str, port: int) -> None:
        """Keep the workers running until ``stop``, or until cancelled; then end them.

        Raises:
            OSError: the address cannot be listened on.
            WorkerFailed: a worker ended before all had been ready once.
        """
        reserved = await _reserve(host, port)
        port = reserved[0].getsockname()[1]
        try:
            async with asyncio.TaskGroup() as group:
                keepers = [
                    group.create_task(self._keep(index, port)) for index in range(self._count)
                ]
                await self._stopping.wait()
                for keeper in keepers:
                    keeper.cancel()
        except* WorkerFailed as failed:
            raise failed.exceptions[0] from None
        finally:
            await self._end_all()
            for each in reserved:
                each.close()

    def stop(self) -> None:
        """Have ``run`` end; the second time workers do not wait for their clients any more."""
        if self._stopping.is_set():
            self._terminate()
        self._stopping.set()

    async def _keep(self, index: int, port: int) -> None:
        """Run one worker, again and again."""
        loop, failures = asyncio.get_running_loop(), 0
        if index:
            await self._one_ready.wait()  # What is wrong for all is said once.
        while True:
            began = loop.time()
            code = await self._run_once(index, port)
            if not self._announced:
                raise WorkerFailed(code)
            failures = 0 if loop.time() - began > _STEADY else failures + 1
            delay = full_jitter(failures, random.random(), base=_RETRY_BASE, cap=_RETRY_CAP)  # noqa: S311 - no secret
            logger.warning("worker %d ended with %d; again in %.2f s", index, code, delay)
            await asyncio.sleep(delay)

    async def _run_once(self, index: int, port: int) -> int:
        """Run one life of a worker; return its exit code."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            "--port",
            str(port),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, WORKER_VARIABLE: str(index)},
            process_group=0,  # A terminal's Ctrl-C is for us alone, who pass it on.
        )
        self._processes[index] = process
        logger.info("worker %d is process %d", index, process.pid)
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            if self._is_ready(line):
                self._ready.add(index)
                self._one_ready.set()
                if len(self._ready) == self._count and not self._announced:
                    self._announced = True
                    self._on_ready(line)
        return await process.wait()

    async def _end_all(self) -> None:
        """Ask all to end, and do not wait for ever."""
        running = self._terminate()
        waits = [asyncio.create_task(process.wait()) for process in running]
        if waits:
            await asyncio.wait(waits, timeout=self._patience)
        for process in running:
            if process.returncode is None:
                logger.warning("process %d does not end; killing it", process.pid)
                process.kill()
        await asyncio.gather(*waits)

    def _terminate(self) -> list[Process]:
        """Ask all to end; return those who are asked."""
        running = [each for each in self._processes.values() if each.returncode is None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        return running


async def _reserve(host: str, port: int) -> list[socket.socket]:
    """Return sockets that hold a port on every address of ``host``, and do not listen."""
    probes = await listen(host, port)  # Fails if anybody else is there.
    addresses = [(probe.family, probe.getsockname()) for probe in probes]
    for probe in probes:
        probe.close()
    reserved: list[socket.socket] = []
    for family, address in addresses:
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        held.bind(address)
        reserved.append(held)
    return reserved
