"""Finding out what clients may do, while others go on.

Most decisions are made at once. Those that take time (see ``gate``) are tasks, one a client
at most, which end with their client.
"""

import asyncio
from collections.abc import Callable

from thkmesh.core.grants import Denied, Permit
from thkmesh.server.gate import Asked, Gate

__all__ = ["Decisions"]


class Decisions:
    """What is being decided, by the number of the client."""

    def __init__(self, gate: Gate) -> None:
        """Begin with nothing."""
        self._gate = gate
        self._deciding: dict[int, asyncio.Task[Permit | Denied]] = {}

    def decide(self, number: int, asked: Asked, then: Callable[[Permit | Denied], None]) -> None:
        """Find out what a client may do, then go on with that, unless it is gone by then."""
        found = self._gate.admit(asked)
        if isinstance(found, Permit | Denied):
            then(found)
            return

        def decided(task: asyncio.Task[Permit | Denied]) -> None:
            if self._deciding.get(number) is task:
                del self._deciding[number]
                if not task.cancelled():
                    then(task.result())

        task = asyncio.get_running_loop().create_task(found)
        self._deciding[number] = task
        task.add_done_callback(decided)

    def pending(self, number: int) -> bool:
        """Tell whether it is not known yet what a client may do."""
        return number in self._deciding

    def forget(self, number: int) -> None:
        """Decide nothing more for a client: it is gone."""
        task = self._deciding.pop(number, None)
        if task is not None:
            task.cancel()
