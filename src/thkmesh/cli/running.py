"""Running a command: on an event loop, until a signal, with a word when it takes long."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import Any

__all__ = ["run", "still_trying"]

_SILENCE = 1.0
"""Seconds after which who looks at a terminal wants to know."""

_SIGNALLED = 128
_ENDING = [
    number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
]


@contextlib.contextmanager
def still_trying(url: str) -> Generator[None]:
    """Tell whoever looks at a terminal that this takes long, if it does."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return

    def tell() -> None:
        print(f"No answer from {url} yet; still trying ...", file=sys.stderr, flush=True)

    timer = threading.Timer(_SILENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def run(
    work: Coroutine[Any, Any, int],
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Run ``work`` and return its exit code; a signal cancels it.

    SIGTERM and SIGHUP give 128 and their number. Those that are ignored, as by
    ``nohup``, stay ignored.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_heeding_signals(work, runner.get_loop()))


async def _heeding_signals(work: Coroutine[Any, Any, int], loop: asyncio.AbstractEventLoop) -> int:
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        loop.call_soon_threadsafe(task.cancel)  # not from a handler: the loop may be asleep

    before = {number: signal.getsignal(number) for number in _ENDING}
    heeded = [number for number in _ENDING if before[number] is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, stop)
    try:
        return await work
    except asyncio.CancelledError:
        if not received:
            raise
        return _SIGNALLED + received[0]
    finally:
        for number in heeded:
            signal.signal(number, before[number])
