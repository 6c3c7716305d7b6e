"""What an engine must know about the process and the machine it runs in."""

import contextlib
import os
import socket

from thkmesh.errors import WrongContext

__all__ = ["ProcessGuard", "has_address"]

_ELSEWHERE = ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that belong to nobody (RFC 5737, RFC 3849)."""


def has_address() -> bool:
    """Return whether this machine has a route to anywhere but itself; sends nothing."""
    for family, address in _ELSEWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return True
    return False


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
