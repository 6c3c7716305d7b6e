"""Network namespaces: networks of our own, for tests and benchmarks.

A namespace belongs to a thread: what the thread opens or starts is in it too. Names
hold our process id, so that several test processes do not meet.
"""

import ctypes
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

__all__ = ["Namespace", "enter", "fresh_name", "ip", "require_root"]

_CLONE_NEWNET = 0x40000000
_PATIENCE = 10.0
_numbers = itertools.count(1)
_T = TypeVar("_T")


def require_root() -> None:
    """Do nothing where we can make namespaces.

    Raises:
        RuntimeError: this is not Linux, or we are not root: the tests that need
            networks of their own need both, and are not skipped.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise RuntimeError("these tests make network namespaces: run them as root, with iproute2")


def fresh_name() -> str:
    """Return a name that no other namespace has."""
    return f"thkmesh-{os.getpid()}-{next(_numbers)}"


def ip(*words: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=_PATIENCE)


def enter(name: str) -> None:
    """Move this thread into a namespace.

    Raises:
        OSError: there is none of this name, or we are not root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/var/run/netns/{name}").open("rb") as file:
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {name}")


class Namespace:
    """A network namespace with loopback; see ``opened``."""

    def __init__(self, name: str) -> None:
        """Take one that exists."""
        self.name = name
        self.prefix = ("nsenter", f"--net=/var/run/netns/{name}", "--")
        """What makes a command run there."""

    @classmethod
    @contextmanager
    def opened(cls) -> "Iterator[Namespace]":
        """Have a fresh one.

        Raises:
            RuntimeError: see ``require_root``.
        """
        require_root()
        name = fresh_name()
        ip("netns", "add", name)
        try:
            found = cls(name)
            found.ip("link set lo up")
            yield found
        finally:
            ip("netns", "delete", name)

    def ip(self, *commands: str) -> None:
        """Run commands of ``ip`` there, in one process.

        Raises:
            subprocess.CalledProcessError: one failed, and the rest was not done.
        """
        self.run("ip", "-batch", "-", text="\n".join(commands) + "\n")

    def run(self, *words: str, text: str = "") -> str:
        """Run a program there with a text as its input; return what it says.

        Raises:
            subprocess.CalledProcessError: it failed; a note says what it complained about.
        """
        try:
            done = subprocess.run(
                [*self.prefix, *words],
                input=text,
                check=True,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
            )
        except subprocess.CalledProcessError as error:
            error.add_note(f"{text}{error.stderr}")
            raise
        return done.stdout

    def within(self, work: Callable[[], _T]) -> _T:
        """Return what a function returns there: the sockets it makes stay there."""
        made: list[_T] = []

        def live() -> None:
            enter(self.name)
            made.append(work())

        thread = threading.Thread(target=live)
        thread.start()
        thread.join()
        return made[0]

    def set_kernel(self, **values: int) -> None:
        """Set switches of its network stack: ``a__b`` is ``/proc/sys/net/a/b``."""

        def write() -> None:
            for key, value in values.items():
                path = Path("/proc/sys/net") / key.replace("__", "/")
                path.write_text(f"{value}\n", encoding="ascii")

        self.within(write)
