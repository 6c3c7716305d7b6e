"""The one loop that runs machines: feed events in, perform outputs, keep one timer.

A driver belongs to one event loop and is used from its thread only. Outputs are
performed in order; an event fed while outputs are being performed waits until
they are done, so a machine never sees itself re-entered. Which loop, and which
clock, does not matter: in tests it is a virtual one.

A timer that is more than ``SLEPT`` seconds late means that nobody ran us: the
driver then feeds ``Slept`` first, lets input that is already waiting come in,
and only then ticks. It looks for that before each event too, because after a
sleep a socket may well be heard before the timer. A late wake-up never judges
others.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

from thkmesh.core.machine import Machine, Slept, Tick

__all__ = ["SLEPT", "Driver"]

SLEPT = 1.0
"""Seconds of lateness from which a wake-up counts as sleep."""

_CATCH_UP = 0.1
"""Seconds after sleep in which waiting input comes in before anything is judged."""

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
    ) -> None:
        """Take a machine and what performs its outputs; ``feed`` starts it.

        Args:
            machine: the machine to run; nobody else calls ``handle``.
            perform: called for each output, in order; it may call ``feed``. What
                it raises is a bug of ours and goes to the loop's exception handler.
            logger: gets one DEBUG line for each event and output.
            loop: None means the running loop.
        """
        self._machine = machine
        self._perform = perform
        self._logger = logger
        self._loop = loop or asyncio.get_running_loop()
        # Timers are the driver's own, not of the task that happens to feed it.
        self._context = copy_context()
        self._waiting: deque[_Event | Tick | Slept] = deque()
        self._running = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._earliest = 0.0
        self._closed = False

    def feed(self, event: "_Event | Tick | Slept") -> None:
        """Hand in an event; its outputs are performed before this returns.

        From within ``perform`` it only queues. After ``close`` it does nothing.
        """
        if self._closed:
            return
        self._waiting.append(event)
        if self._running:
            return
        self._running = True
        if self._timer is not None and (late := self._loop.time() - self._due) > SLEPT:
            self._waiting.appendleft(self._slept(late))
        try:
            while self._waiting:
                self._step(self._waiting.popleft())
        except BaseException:
            # A machine that raises has a bug, which is for who feeds it to know; what
            # waits behind that event, and the timer, are no part of it. But a deadline
            # that it cannot meet must not keep us busy.
            self._earliest = self._loop.time() + _CATCH_UP
            raise
        finally:
            self._running = False
            self._arm()

    def close(self) -> None:
        """Stop; nothing is performed from now on."""
        self._closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _step(self, event: "_Event | Tick | Slept") -> None:
        debug = self._logger.isEnabledFor(logging.DEBUG)
        if debug:
            self._logger.debug("in  %.200r", event)
        for output in self._machine.handle(event, self._loop.time()):
            if self._closed:
                return
            if debug:
                self._logger.debug("out %.200r", output)
            try:
                self._perform(output)
            except Exception as error:  # noqa: BLE001 - must not stop the others
                self._loop.call_exception_handler(
                    {"message": f"performing {output!r:.100} failed", "exception": error}
                )

    def _arm(self) -> None:
        """Set the one timer to the machine's deadline, or the pulse if that is sooner."""
        deadline = 0.0 if self._waiting else self._machine.deadline
        if self._closed or deadline is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        now = self._loop.time()
        due = now if self._waiting else max(self._earliest, min(deadline, now + _PULSE))
        if self._timer is not None:
            # Timers are not cheap: an earlier one just wakes us once for nothing.
            if now <= self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._wake, context=self._context)

    def _wake(self) -> None:
        self._timer = None
        late = self._loop.time() - self._due
        self.feed(self._slept(late) if late > SLEPT else Tick())

    def _slept(self, duration: float) -> Slept:
        self._earliest = self._loop.time() + _CATCH_UP
        return Slept(duration)
