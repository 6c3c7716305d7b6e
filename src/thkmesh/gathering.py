"""Many small messages, one way through the session.

The problem: the way of a message to the engine costs more than a small message itself,
and to wake the session's thread for it costs even more, for who wakes another thread
lets go of the interpreter, and gets it back when that one has done its work.

The idea: the first message goes at once, on the thread of who sends it. What comes right
behind one gathers, and goes together

* when it fills a datagram,
* when the loop of who sends has had a turn in which nothing was added, or
* when the session's loop looks, ``LOOK`` after it was asked to at the latest: who sends may
  compute for a while. It is asked once for a whole train of bursts, and goes on looking
  until there have been none for a while.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Final

from thkmesh.core.sending import BATCH_BYTES

__all__ = ["LOOK", "Gathering"]

LOOK: Final = 0.002
"""Seconds that a message waits for others at most."""

_IDLE_LOOKS: Final = 10
"""After so many looks that found nothing the session's loop looks no more."""

_BURST: Final = 50e-6
"""Seconds: what is sent sooner than this after another message is not the last, probably."""

_LIMIT_BYTES: Final = 4 * BATCH_BYTES
"""No more than this gathers."""

_ENTRY_BYTES: Final = 8
"""What a message takes in a datagram beside its payload, about."""

_Message = tuple[str, int, bytes]


class Gathering:
    """What waits for others to go with, of one session.

    One thread adds; taking, and ``look``, are for who may be in the session's machine.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, release: Callable[[], None]) -> None:
        """Begin empty.

        Args:
            loop: that of the session.
            release: takes what is here; called on that loop.
        """
        self._loop = loop
        self._release = release
        self._context = copy_context()
        self._messages: deque[_Message] = deque()
        self._bytes = 0
        self._seen = -1  # how many there were when a turn ended
        self._sent_at = float("-inf")
        self._looking = False
        self._idle_looks = 0

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._messages)

    @property
    def full(self) -> bool:
        """Whether there is a datagram's worth."""
        return self._bytes >= BATCH_BYTES

    def takes(self, payload: bytes) -> bool:
        """Tell whether a message is part of a burst, and has room here."""
        if len(payload) >= BATCH_BYTES or self._bytes > _LIMIT_BYTES:
            return False
        return bool(self._messages) or self._loop.time() - self._sent_at <= _BURST

    def add(self, message: _Message) -> None:
        """Keep a message until it is taken."""
        self._messages.append(message)
        self._bytes += len(message[2]) + _ENTRY_BYTES
        if not self._looking:
            self._looking = True
            self._idle_looks = 0
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                self._loop.call_soon_threadsafe(self._look_later, context=self._context)

    def grows(self) -> bool:
        """Tell whether there is anything else here than when this was last asked."""
        before, self._seen = self._seen, len(self._messages)
        return self._seen != before

    def take(self) -> tuple[_Message, ...]:
        """Return all that is here."""
        # First: who adds meanwhile counts too much, at worst, until the next time.
        self._bytes = 0
        return tuple([self._messages.popleft() for _ in range(len(self._messages))])

    def sent(self) -> None:
        """Take note that a message has just left."""
        self._sent_at = self._loop.time()

    def _look_later(self) -> None:
        self._loop.call_later(LOOK, self._look, context=self._context)

    def _look(self) -> None:
        if self._messages:
            self._idle_looks = 0
            self._release()
        else:
            self._idle_looks += 1
        if self._idle_looks == _IDLE_LOOKS:
            # Disarmed first: who adds from now on arms again.
            self._looking = False
            if not self._messages:
                return
            self._looking = True
        self._look_later()
