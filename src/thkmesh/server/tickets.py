"""Tickets: for clients that cannot say a token in their first message.

A ticket stands for a permit to one room, once, within 30 s. It is signed by a key that
only servers have, so that any server of the same secret takes it; which have been used is
known to whatever remembers them, which several processes have to share.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from thkmesh.core.timeouts import Timeouts

__all__ = ["TICKET_TTL", "MemoryUsedTickets", "UsedTickets"]

TICKET_TTL: Final = 30.0
"""Seconds within which a ticket must be used."""


class UsedTickets(Protocol):
    """Remembers which tickets have been used."""

    async def use(self, ticket: str) -> bool:
        """Take note that a ticket is used; False if it has been before.

        Of two calls for one ticket, on whatever processes share this, one returns True.

        Args:
            ticket: its ``jti``; may be forgotten after twice ``TICKET_TTL``.
        """
        ...


class MemoryUsedTickets:
    """Remembers them in this process."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """Begin with none; ``clock`` returns seconds, None means those of the running loop."""
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._used: Timeouts[str] = Timeouts(2 * TICKET_TTL)
        self._names: set[str] = set()

    def __len__(self) -> int:
        return len(self._names)

    async def use(self, ticket: str) -> bool:
        """Take note that a ticket is used; False if it has been before."""
        now = self._clock()
        self._names.difference_update(self._used.expired(now))
        if ticket in self._names:
            return False
        self._names.add(ticket)
        self._used.start(ticket, now)
        return True
