"""``thkmesh serve --workers N``: several server processes on one port."""

import asyncio
import signal
import sys

from thkmesh.cli.problem import listening_problem
from thkmesh.cli.serving import ServeOptions
from thkmesh.server.workers import Supervisor, WorkerFailed

__all__ = ["supervise"]

_INTERRUPTED = 130
_PATIENCE = 10.0
"""Seconds that a worker may take to end after all its clients have been asked to move."""
_READY = "ready: "


def supervise(options: ServeOptions) -> int:
    """Serve with several processes until a signal; return the exit code.

    Raises:
        Problem: the address cannot be used.
    """
    # A worker is what we were called as; its environment says that it is one.
    command = (sys.executable, "-m", "thkmesh", *sys.argv[1:])
    with asyncio.Runner() as runner:
        return runner.run(_supervise(options, command))


async def _supervise(options: ServeOptions, command: tuple[str, ...]) -> int:
    supervisor = Supervisor(
        command,
        options.workers,
        is_ready=lambda line: line.startswith(_READY),
        on_ready=lambda line: print(line, flush=True),
        patience=options.settings.drain + _PATIENCE,
    )
    received: list[int] = []
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        received.append(number)
        supervisor.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop, number)
    try:
        await supervisor.run(options.host, options.port)
    except WorkerFailed as failed:
        return failed.code if failed.code > 0 else 1  # It has said why.
    except OSError as error:
        raise listening_problem(error, options.host, options.port) from error
    code = received[0]
    if code == signal.SIGINT:
        return _INTERRUPTED
    return 0 if code == signal.SIGTERM else 128 + code
