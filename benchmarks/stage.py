"""The processes of a benchmark: actors that do something, and a conductor that asks.

Every actor is a fresh process (``spawn``), so that nothing of one contestant weighs
on another. The conductor speaks with it over a pipe, with whatever can be pickled.
"""

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self, TypeVarTuple, Unpack

__all__ = ["ActorFailed", "Cue", "Stage", "Stopwatch"]

_PATIENCE = 60.0
"""Seconds that an actor may take to answer."""

_Props = TypeVarTuple("_Props")


class ActorFailed(Exception):
    """An actor ended, or did not answer in time; it said why on standard error."""


class Cue:
    """One end of the pipe between the conductor and an actor."""

    def __init__(self, pipe: "Connection[Any, Any]", pid: int = 0) -> None:
        self._pipe = pipe
        self.pid = pid
        """The actor's process, for the conductor."""

    def send(self, item: object) -> None:
        """Send something to the other end."""
        self._pipe.send(item)

    async def receive(self) -> Any:  # noqa: ANN401
        """Return what the conductor sends next, while the actor's loop runs on."""
        return await asyncio.to_thread(self._pipe.recv)

    def ask(self, item: object = None) -> Any:  # noqa: ANN401
        """Send something and return the answer; for the conductor."""
        self.send(item)
        return self.answer()

    def answer(self) -> Any:  # noqa: ANN401
        """Return what the actor sends next; for the conductor.

        Raises:
            ActorFailed: it has ended, or is silent for a minute.
        """
        if not self._pipe.poll(_PATIENCE):
            raise ActorFailed(f"an actor has not answered for {_PATIENCE:g} s")
        try:
            return self._pipe.recv()
        except EOFError:
            raise ActorFailed("an actor has ended") from None


class Stage:
    """Where actors are; they end with it."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._cues: list[Cue] = []  # a pipe that is closed first would make its actor complain

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()

    def cast(
        self,
        act: "Callable[[Cue, Unpack[_Props]], Coroutine[Any, Any, None]]",
        *props: "Unpack[_Props]",
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> Cue:
        """Start a process that runs ``act(cue, *props)``; return the way to speak with it."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_perform, args=(act, theirs, props, loop_factory))
        process.start()
        theirs.close()
        self._processes.append(process)
        self._cues.append(Cue(ours, process.pid or 0))
        return self._cues[-1]


def _perform(
    act: Callable[..., Coroutine[Any, Any, None]],
    pipe: "Connection[Any, Any]",
    props: tuple[Any, ...],
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(act(Cue(pipe), *props))


class Stopwatch:
    """Wall-clock and processor time since it was made, in milliseconds."""

    def __init__(self) -> None:
        """Start, with the rubbish of the last run out of the way."""
        gc.collect()
        self.laps: dict[str, float] = {}
        self._cpu = time.process_time()
        self._start = time.perf_counter()

    def lap(self, name: str) -> None:
        """Note the time under a name, unless it is there already."""
        self.laps.setdefault(name, 1000 * (time.perf_counter() - self._start))

    def stop(self, name: str) -> dict[str, float]:
        """Note the last time, and the processor time of this process; return all."""
        self.lap(name)
        self.laps["cpu"] = 1000 * (time.process_time() - self._cpu)
        return self.laps
