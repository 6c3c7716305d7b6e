"""An asyncio event loop on virtual time.

When nothing is ready to run, the clock jumps to the next timer: an hour in which
little happens takes milliseconds. Callbacks run in the order they were scheduled,
timers by time and then by the order they were set, and tasks hash by a number,
so that sets of them have one order. With seeded dice a program then does the same
things at the same moments every time. (A set of anything else that hashes by
address, ``asyncio.as_completed`` of bare coroutines for one, is in no order.)

There are no sockets and no other threads. Where a real loop would wait for ever,
this one raises ``Stuck``.

Callbacks and tasks belong to the simulated *process* in whose context they were
scheduled (see ``process``). The loop can ``hold`` a process: whatever it would
run waits, as in a stopped program, and comes late once it is released.
"""

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context, ContextVar
from itertools import count
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

__all__ = ["Step", "Stuck", "VirtualLoop", "present", "process", "run"]

_TURNS = 1_000_000
"""This many turns of the loop without a tick of the clock are a busy wait."""

_GRACE = 3600.0
"""Seconds that tasks have to finish once they are cancelled."""

_NOTED = 5
"""So many errors of the loop are named beside that of the program."""

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_process: ContextVar[str] = ContextVar("thkmesh_process", default="")


def process(name: str) -> Context:
    """Return a context: what is scheduled in it belongs to the process ``name``."""
    context = Context()
    context.run(_process.set, name)
    return context


def present() -> str:
    """Return the process that runs now."""
    return _process.get()


class Stuck(RuntimeError):
    """The program can make no progress; the text says what every task waits for."""


class Step(Protocol):
    """Runs a coroutine to its end and returns its result; see ``VirtualLoop.steps``."""

    def __call__(self, work: Coroutine[Any, Any, _T], /) -> _T:
        """Run it; what else is scheduled meanwhile runs, too."""
        ...


class _Task(asyncio.Task[Any]):
    """A task that hashes by its number, so that sets of tasks have one order."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        *,
        number: int,
        loop: asyncio.AbstractEventLoop,
        **options: Any,  # noqa: ANN401 - what Task takes grows with Python
    ) -> None:
        self._number = number
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose clock jumps from timer to timer."""

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        """Start at time 0; ``run`` closes it."""
        super().__init__()
        self.errors: list[BaseException] = []
        """What reached the loop's exception handler."""
        self._now = 0.0
        self._limit = float("inf")
        self._turns = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = count()
        self._cancelled = 0
        self._home = threading.get_ident()
        self._held: dict[str, list[asyncio.Handle]] = {}
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._record)

    def run(self, main: Coroutine[Any, Any, _T], *, limit: float = 3600.0) -> _T:
        """Run ``main`` to its end, cancel what it left, close the loop, return its result.

        Args:
            main: what to run.
            limit: virtual seconds it may take.

        Raises:
            Stuck: every task waits for something that nobody will do, or the
                limit has passed, or a task spins without letting time pass.
            ExceptionGroup: callbacks or forgotten tasks raised, though ``main``
                did not.
        """
        with self.steps(limit=limit) as step:
            return step(main)

    @contextmanager
    def steps(self, *, limit: float = 3600.0) -> Generator[Step]:
        """Give what runs one coroutine after the other; end as ``run`` does.

        Between two of them time stands still, so that a test that is no coroutine can
        do one thing, look, and do the next. Raises what ``run`` raises.
        """
        self._limit = self._now + limit
        try:
            with asyncio.Runner(loop_factory=lambda: self) as runner:
                try:
                    yield runner.run
                finally:
                    self._limit = self._now + _GRACE
                    for name in tuple(self._held):
                        self.release(name)
        except BaseException as error:
            for other in self.errors[:_NOTED]:
                error.add_note(f"on the loop, too: {other!r}")
            if more := len(self.errors[_NOTED:]):
                error.add_note(f"and {more} more")
            raise
        if self.errors:
            raise BaseExceptionGroup("raised on the virtual loop", self.errors)

    # --- processes ---

    def hold(self, name: str) -> None:
        """Let nothing of the process ``name`` run until it is released."""
        self._held.setdefault(name, [])

    def release(self, name: str) -> None:
        """Let a held process run on; what it missed runs now, in order."""
        self._ready.extend(self._held.pop(name, ()))

    def _hold_back(self, handle: asyncio.Handle) -> bool:
        context: Context = handle._context  # type: ignore[attr-defined]  # noqa: SLF001
        held = self._held.get(context.get(_process, ""))
        if held is None:
            return False
        held.append(handle)
        return True

    # --- time ---

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a time; at equal times, in the order of the calls of this."""
        if self.is_closed():
            raise RuntimeError("the loop is closed")
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Forget cancelled timers when they are the most (``TimerHandle`` calls this)."""
        self._cancelled += 1
        if self._cancelled > 100 + len(self._timers) // 2:
            self._timers = [timer for timer in self._timers if not timer[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _run_once(self) -> None:
        """Make one turn: what is ready when it begins (``run_forever`` calls this)."""
        ready = self._ready
        if not ready and not self._stopping:
            self._jump()
        self._turns += 1
        if self._turns > _TURNS:
            raise Stuck(f"{_TURNS:,} turns at {self._now} s: something spins\n{self._tasks()}")
        timers, now = self._timers, self._now
        while timers and timers[0][0] <= now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled or (self._held and self._hold_back(handle)):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                continue
            handle._run()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def _jump(self) -> None:
        """Move the clock to the next timer."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Stuck(f"deadlock at {self._now} s: no timer is set\n{self._tasks()}")
        when = self._timers[0][0]
        if when > self._limit:
            raise Stuck(f"not done after {self._limit} s\n{self._tasks()}")
        if when > self._now:
            self._now = when
            self._turns = 0

    # --- no threads, no sockets ---

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call back soon; from the loop's own thread only.

        Raises:
            RuntimeError: another thread called; when it does is not ours to decide.
        """
        if threading.get_ident() != self._home:
            raise RuntimeError("virtual time knows no other threads")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> "asyncio.Future[_T]":
        """Call ``func`` at once, in no time; return its result as a future."""
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's, who awaits the future
            future.set_exception(error)
        return future

    # --- tasks and errors ---

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
        **options: Any,  # noqa: ANN401 - as above
    ) -> "asyncio.Task[_T]":
        return _Task(coro, number=next(self._numbers), loop=loop, **options)

    def _record(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        error.add_note(context["message"])
        self.errors.append(error)

    def _tasks(self) -> str:
        return "\n".join(_waiting(task) for task in sorted(asyncio.all_tasks(self), key=hash))


def _waiting(task: "asyncio.Task[Any]") -> str:
    """Return one line: which task, and where its innermost coroutine waits."""
    coro: Any = task.get_coro()
    while hasattr(inner := getattr(coro, "cr_await", None), "cr_frame"):
        coro = inner
    frame = getattr(coro, "cr_frame", None)
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "somewhere"
    return f"  {task.get_name()} in {getattr(coro, '__qualname__', coro)} at {place}"


def run(main: Coroutine[Any, Any, _T], *, limit: float = 3600.0) -> _T:
    """Run ``main`` on a fresh ``VirtualLoop``; see ``VirtualLoop.run``."""
    return VirtualLoop().run(main, limit=limit)
