"""The one loop that runs machines: feed events in, perform outputs, keep one timer.

A driver belongs to one event loop. Outputs are performed in order; an event fed
while outputs are being performed waits until they are done, so a machine never
sees itself re-entered. Which loop, and which clock, does not matter: in tests it
is a virtual one.

Other threads may feed it too: one lock lets in one at a time. What such an event
leads to is performed at once as far as that can be done anywhere; the rest, and
timers, are left to the loop, and whatever follows stays behind them.

A timer that is more than ``SLEPT`` seconds late means that nobody ran us: the
driver then feeds ``Slept`` first, lets input that is already waiting come in,
and only then ticks. It looks for that before each event too, because after a
sleep a socket may well be heard before the timer. A late wake-up never judges
others.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

from thkmesh.core.machine import CATCH_UP, Machine, Slept, Tick

__all__ = ["SLEPT", "Driver"]

SLEPT = 1.0
"""Seconds of lateness from which a wake-up counts as sleep."""

_NEVER = float("inf")

_PULSE = 5.0
"""A timer is never set further ahead than this, so that sleep is noticed soon."""

_Event = TypeVar("_Event")
_Output = TypeVar("_Output")


class Driver(Generic[_Event, _Output]):
    """Runs one machine on one event loop."""

    def __init__(
        self,
        machine: Machine[_Event, _Output],
        perform: Callable[[_Output], None],
        *,
        logger: logging.Logger,
        loop: asyncio.AbstractEventLoop | None = None,
        lock: "threading.RLock | None" = None,
        anywhere: Callable[[_Output], bool] = lambda _: False,
        ahead: Callable[[_Output], bool] = lambda _: False,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a machine and what performs its outputs; ``feed`` starts it.

        Args:
            machine: the machine to run; nobody else calls ``handle``.
            perform: called for each output, in order; it may call ``feed``. What
                it raises is a bug of ours and goes to the loop's exception handler.
            logger: gets one DEBUG line for each event and output.
            loop: None means the running loop, which is that of this thread.
            lock: is held while an event is handled and its outputs are performed;
                None means one of its own.
            anywhere: tells whether an output can be performed on any thread.
            ahead: tells whether it can even be performed before those that were left
                to the loop: it is only for who feeds to know.
            settled: called when all outputs have been performed and the lock is free,
                on the same thread: the time to wake who may want to feed again.
        """
        self._machine = machine
        self._perform = perform
        self._logger = logger
        self._loop = loop or asyncio.get_running_loop()
        # Timers are the driver's own, not of the task that happens to feed it.
        self._context = copy_context()
        self._home = threading.get_ident()
        self._lock = lock or threading.RLock()
        self._anywhere = anywhere
        self._ahead = ahead
        self._settled = settled
        self._waiting: deque[_Event | Tick | Slept] = deque()
        # Outputs of events from other threads that only the loop can perform, and
        # all that came after the first of them.
        self._left: deque[_Output] = deque()
        self._asked = False
        self._running = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._earliest = 0.0
        self._closed = False

    def feed(self, event: "_Event | Tick | Slept") -> None:
        """Hand in an event; its outputs are performed before this returns.

        From within ``perform`` it only queues. After ``close`` it does nothing. On
        another thread than the loop's, some outputs may be performed later.
        """
        with self._lock:
            if self._closed:
                return
            self._waiting.append(event)
            if self._running:
                return
            self._run()
        self._settled()

    @property
    def running(self) -> bool:
        """Tell whether outputs are being performed; exact for who holds the lock."""
        return self._running

    def _run(self) -> None:
        """Handle what waits."""
        self._running = True
        if self._timer is not None:
            self._notice_sleep()
        home = threading.get_ident() == self._home
        try:
            while self._left and home:
                self._carry_out(self._left.popleft())
            while self._waiting:
                self._step(self._waiting.popleft(), home=home)
        except BaseException:
            # A machine that raises has a bug, which is for who feeds it to know; what
            # waits behind that event, and the timer, are no part of it. But a deadline
            # that it cannot meet must not keep us busy.
            self._earliest = self._loop.time() + CATCH_UP
            self._settled()
            raise
        finally:
            self._running = False
            if home:
                self._arm()
            elif not self._asked and (self._left or self._due_time() is not None):
                self._asked = True
                with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                    self._loop.call_soon_threadsafe(self._take_over, context=self._context)

    def close(self) -> None:
        """Stop; nothing is performed from now on. Only for the loop's own thread."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._left.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _take_over(self) -> None:
        """Do on the loop what another thread could not."""
        with self._lock:
            self._asked = False
            if self._closed or self._running:
                return
            self._run()
        self._settled()

    def _step(self, event: "_Event | Tick | Slept", *, home: bool) -> None:
        debug = self._logger.isEnabledFor(logging.DEBUG)
        if debug:
            self._logger.debug("in  %.200r", event)
        for output in self._machine.handle(event, self._loop.time()):
            if self._closed:
                return
            if debug:
                self._logger.debug("out %.200r", output)
            if home or (not self._left and self._anywhere(output)) or self._ahead(output):
                self._carry_out(output)
            else:
                self._left.append(output)

    def _carry_out(self, output: _Output) -> None:
        try:
            self._perform(output)
        except Exception as error:  # noqa: BLE001 - must not stop the others
            self._loop.call_exception_handler(
                {"message": f"performing {output!r:.100} failed", "exception": error}
            )

    def _arm(self) -> None:
        """Set the one timer to the machine's deadline, or the pulse if that is sooner."""
        due = self._due_time()
        if due is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due != _NEVER:
            self._due = due
            self._timer = self._loop.call_at(due, self._wake, context=self._context)

    def _due_time(self) -> float | None:
        """Return what the timer should be set to; None where it is well as it is."""
        deadline = 0.0 if self._waiting else self._machine.deadline
        if self._closed or deadline is None:
            return None if self._timer is None else _NEVER
        now = self._loop.time()
        due = now if self._waiting else max(self._earliest, min(deadline, now + _PULSE))
        # Timers are not cheap: an earlier one just wakes us once for nothing.
        if self._timer is not None and now <= self._due <= due:
            return None
        return due

    def _wake(self) -> None:
        with self._lock:
            if not self._notice_sleep():
                self._waiting.append(Tick())
            self._timer = None
            self._run()
        self._settled()

    def _notice_sleep(self) -> bool:
        """See whether the timer is late; tell the machine of a sleep first, and once."""
        now = self._loop.time()
        late = now - self._due
        if late <= SLEPT:
            return False
        self._due = now
        self._earliest = now + CATCH_UP
        self._waiting.appendleft(Slept(late))
        return True
