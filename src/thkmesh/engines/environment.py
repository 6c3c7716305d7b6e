"""What an engine must know about the process and the machine it runs in."""

import os

from thkmesh.errors import WrongContext
from thkmesh.netwatch import sources

__all__ = ["ProcessGuard", "has_address"]


def has_address() -> bool:
    """Return whether this machine has a route to anywhere but itself; sends nothing."""
    return any(sources())


class ProcessGuard:
    """Refuses native code in a child of ``fork``: its threads did not come along."""

    def __init__(self) -> None:
        """Guard nothing until ``claim``."""
        self._claimed = False
        self._forked = False

    def claim(self) -> None:
        """Make this the process that may use the native code.

        Raises:
            WrongContext: in a child of ``fork``.
        """
        self.check()
        # A hook, not getpid(): that is a system call, and sending asks every time.
        if not self._claimed and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._disown)
        self._claimed = True

    def check(self) -> None:
        """Do nothing, unless it was a parent of this process that made the claim.

        Raises:
            WrongContext: in a child of ``fork``.
        """
        if self._forked:
            raise WrongContext(
                "this process was forked from one that uses WebRTC, which cannot work here: start "
                'processes with the "spawn" method, or fork before joining the first room'
            )

    def _disown(self) -> None:
        self._forked = True
