"""Where sessions run: usually the mesh thread, one for the whole process.

The application's loop may be busy for seconds; heartbeats and negotiation cannot
wait for it. So all rooms of a process live on one thread with its own loop. It
starts with the first room and stops with the last. Nothing of the application
ever runs on it. C code that holds the interpreter stops it too; ``Slept`` keeps
links alive through that.

WebRTC engines do not survive ``fork``, and their threads do not exist in the
child: there everything raises ``WrongContext``.
"""

import asyncio
import atexit
import contextlib
import os
import random
import selectors
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

from thkmesh.core.engine import Engine
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import LinkSettings
from thkmesh.core.session import Session
from thkmesh.core.session_events import NetworkChanged
from thkmesh.engines import load
from thkmesh.errors import WrongContext
from thkmesh.netwatch import NetworkWatch
from thkmesh.runner import Runner

__all__ = ["Host", "InlineHost", "Lease", "MeshThread", "Mind", "forked", "require_context"]

EXIT_TIMEOUT = 2.0
"""Seconds that the end of the process waits for goodbyes."""


Mind: TypeAlias = Callable[[SessionKey, LinkSettings, Callable[[], float]], Session]
"""Makes the mind of a session, of these dice: ``Session``, or what watches one."""


class Host(Protocol):
    """What runs sessions."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop they run on."""
        ...

    @property
    def here(self) -> bool:
        """Whether who asks may enter a session on its own thread, when that is idle."""
        ...

    def session(self, me: SessionKey, settings: LinkSettings) -> Session:
        """Return the mind of a new session."""
        ...

    def engine(self, name: str | None) -> Engine:
        """Return the engine of that name; called on the loop.

        Raises:
            EngineError: there is none of that name, or it is not installed.
        """
        ...

    def lastly(self, call: Callable[[], None]) -> None:
        """Make a call when the loop has nothing more to do just now; called on any thread."""

    def adopt(self, runner: Runner) -> None:
        """Take in a session that was just made; called on the loop."""

    def release(self, runner: Runner) -> None:
        """Let go of a session that has ended; called on the loop."""


class InlineHost:
    """Runs sessions on the application's own loop: for tests on virtual time."""

    def __init__(
        self,
        engine: Engine,
        dice: Callable[[], float],
        mind: Mind = Session,
        here: Callable[[], bool] = lambda: True,
    ) -> None:
        """Use ``engine``, ``dice`` and ``mind`` for all, on the running loop.

        ``here`` tells whether who asks is part of the process that the sessions are in.
        """
        self._here = here
        self._engine = engine
        self._dice = dice
        self._mind = mind
        self._loop = asyncio.get_running_loop()
        self._runners: list[Runner] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop they run on."""
        return self._loop

    @property
    def here(self) -> bool:
        """Whether who asks is part of the same process."""
        return self._here()

    def session(self, me: SessionKey, settings: LinkSettings) -> Session:
        """Return the mind of a new session."""
        return self._mind(me, settings, self._dice)

    def engine(self, name: str | None) -> Engine:
        """Return the engine."""
        return self._engine

    def lastly(self, call: Callable[[], None]) -> None:
        """Make a call at once: here nobody else has to wake."""
        call()

    def adopt(self, runner: Runner) -> None:
        """Keep a session until it is released."""
        self._runners.append(runner)

    def release(self, runner: Runner) -> None:
        """Let go of a session."""
        self._runners.remove(runner)

    def network_changed(self) -> None:
        """Tell every session that it may have come to another network; here, nobody watches."""
        _tell(self._runners)


def _tell(runners: Iterable[Runner]) -> None:
    """Tell the sessions that want to know it of a change of the network."""
    for runner in tuple(runners):
        if runner.watches_network:
            runner.feed(NetworkChanged())


class _Selector(selectors.DefaultSelector):
    """Makes the loop's last calls before it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.last_calls: list[Callable[[], None]] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        while self.last_calls:
            self.last_calls.pop()()
        return super().select(timeout)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that looks up names on threads for which nobody waits.

    asyncio's own loops do it in an executor, and the interpreter does not end
    before its executors have: with a dead name server that takes half a minute.
    """

    async def getaddrinfo(self, host: Any, port: Any, **hints: int) -> Any:  # noqa: ANN401
        """Look up a name; see ``socket.getaddrinfo``."""
        found: asyncio.Future[Any] = self.create_future()

        def settle(result: object, error: OSError | None) -> None:
            if found.done():  # nobody wants it any more
                return
            if error is None:
                found.set_result(result)
            else:
                found.set_exception(error)

        def look_up() -> None:
            result, failure = None, None
            try:
                result = socket.getaddrinfo(host, port, **hints)
            except (OSError, UnicodeError) as error:
                failure = OSError(f"{host!r} is no address: {error}")
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                self.call_soon_threadsafe(settle, result, failure)

        threading.Thread(target=look_up, name="thkmesh-names", daemon=True).start()
        return await found


class MeshThread:
    """One thread with one loop for all rooms of the process."""

    def __init__(self) -> None:
        """Start the thread."""
        self._selector = _Selector()
        self._loop = _Loop(self._selector)
        self._engines: dict[str | None, Engine] = {}
        self._runners: set[Runner] = set()
        self._watch: NetworkWatch | None = None
        self._then: Callable[[], None] | None = None
        self._stopping = False
        # A daemon, or the interpreter would wait for it before it runs atexit.
        self._thread = threading.Thread(target=self._run, name="thkmesh", daemon=True)
        self._thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop they run on."""
        return self._loop

    @property
    def here(self) -> bool:
        """Whether who asks may enter a session: any thread may."""
        return True

    def session(self, me: SessionKey, settings: LinkSettings) -> Session:
        """Return the mind of a new session."""
        return Session(me, settings, random.random)

    def engine(self, name: str | None) -> Engine:
        """Return the engine of that name, made on first use.

        Raises:
            EngineError: there is none of that name, or it is not installed.
        """
        if name not in self._engines:
            engine = self._engines[name] = load(name)
            # Last in, first out: our goodbye has to come before the engine's own end. That is
            # in part a finalizer, and the first of all finalizers takes their place in line.
            weakref.finalize(engine, int)
            atexit.unregister(_goodbye)
            atexit.register(_goodbye)
        return self._engines[name]

    def lastly(self, call: Callable[[], None]) -> None:
        """Make a call when the loop is about to wait; on another thread at once.

        Who is woken wants the interpreter, so by then we should have done with it.
        """
        if threading.current_thread() is self._thread:
            self._selector.last_calls.append(call)
        else:
            call()

    def adopt(self, runner: Runner) -> None:
        """Keep a session until it is released, and watch the network for it."""
        self._runners.add(runner)
        if self._watch is None and runner.watches_network:
            self._watch = NetworkWatch(lambda: _tell(self._runners))

    def release(self, runner: Runner) -> None:
        """Let go of a session."""
        self._runners.discard(runner)
        if not any(each.watches_network for each in self._runners):
            self._stop_watching()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def stop(self, then: Callable[[], None] | None = None) -> None:
        """Close the engines and end the thread; ``then`` is its last call."""
        self._then = then
        self._stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self) -> None:
        """Wait for the end of the thread, if it is stopping."""
        if self._stopping:
            self._thread.join()

    def say_goodbye(self, patience: float) -> None:
        """Leave every room and end; returns after ``patience`` seconds at the latest."""

        async def leave_all() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience * 0.8):
                    await asyncio.gather(*(each.leave(patience / 4) for each in self._runners))
            self._loop.stop()

        goodbye = leave_all()
        try:
            asyncio.run_coroutine_threadsafe(goodbye, self._loop)
        except RuntimeError:  # the loop has closed meanwhile
            goodbye.close()
        self._thread.join(patience)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._close())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()
            if self._then is not None:
                self._then()

    async def _close(self) -> None:
        self._stop_watching()
        for engine in self._engines.values():
            await engine.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


class _Process:
    """The mesh thread of this process, and how many hold it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: MeshThread | None = None
        self.holders = 0
        self.used = False
        self.forked = False


_process = _Process()


def _after_fork() -> None:
    """Forget, in the child, what exists in the parent only."""
    forked = _process.used or _process.forked
    _process.lock = threading.Lock()
    _process.thread = None
    _process.holders = 0
    _process.forked = forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def forked() -> bool:
    """Tell whether this is the child of a process that had joined a room by then."""
    return _process.forked


def require_context() -> None:
    """Refuse to work where the mesh cannot.

    Raises:
        WrongContext: in a child of fork after the parent joined a room.
    """
    if _process.forked:
        raise WrongContext(
            "this process was forked from one that had joined a room, and WebRTC does not "
            "survive that: start it with multiprocessing's 'spawn', or join only in the child"
        )


class Lease:
    """A hold on the mesh thread; it runs while anybody holds it."""

    def __init__(self) -> None:
        """Start the thread, or share it.

        Raises:
            WrongContext: see ``require_context``.
        """
        require_context()
        with _process.lock:
            if _process.thread is None:
                _process.thread = MeshThread()
                _process.used = True
            self.host = _process.thread
            _process.holders += 1
        self._held = True

    def release(self, then: Callable[[], None]) -> None:
        """Give it back; ``then`` is called, on any thread, once what was ours has ended.

        The last one to give it back ends the thread. Giving back twice is harmless.
        """
        with _process.lock:
            last = self._held and _process.holders == 1
            _process.holders -= self._held
            self._held = False
            if last:
                _process.thread = None
        if last:
            self.host.stop(then)
        else:
            then()


@atexit.register
def _goodbye() -> None:
    thread = _process.thread
    if thread is not None:
        thread.say_goodbye(EXIT_TIMEOUT)
