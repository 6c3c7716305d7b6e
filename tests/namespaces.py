"""Network namespaces: networks of our own, for tests and benchmarks.

A namespace belongs to a thread: what the thread opens or starts is in it too. Ours have
no names, only a descriptor that we hold: they go with us, even if we are killed.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

__all__ = ["Namespace", "enter", "ip", "require_root"]

_CLONE_NEWNET = 0x40000000
_PATIENCE = 10.0
_T = TypeVar("_T")


def require_root() -> None:
    """Do nothing where we can make namespaces.

    Raises:
        RuntimeError: this is not Linux, or we are not root: the tests that need
            networks of their own need both, and are not skipped.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise RuntimeError("these tests make network namespaces: run them as root, with iproute2")


def ip(*words: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=_PATIENCE)


def enter(path: str) -> None:
    """Move this thread into a namespace.

    Raises:
        OSError: there is none at this path, or we are not root.
    """
    with Path(path).open("rb") as file:
        _call("setns", file.fileno(), _CLONE_NEWNET)


def _call(function: str, *words: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*words) != 0:
        raise OSError(ctypes.get_errno(), f"{function} failed")


def _made() -> int:
    """Return a descriptor of a fresh namespace; nothing lives in it."""
    _call("unshare", _CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _on_a_thread(work: Callable[[], _T]) -> _T:
    """Return what it returns on a thread of its own, whose namespace it may change."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


class Namespace:
    """A network namespace with loopback; see ``opened``."""

    def __init__(self, path: str) -> None:
        """Take one that exists."""
        self.path = path
        """Where it is, for ``enter`` and for ``ip``, as long as it is open."""
        self.prefix = ("nsenter", f"--net={path}", "--")
        """What makes a command run there."""

    @classmethod
    @contextmanager
    def opened(cls) -> "Iterator[Namespace]":
        """Have a fresh one.

        Raises:
            RuntimeError: see ``require_root``.
        """
        require_root()
        held = _on_a_thread(_made)
        try:
            found = cls(f"/proc/{os.getpid()}/fd/{held}")
            found.ip("link set lo up")
            yield found
        finally:
            os.close(held)

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

        def live() -> _T:
            enter(self.path)
            return work()

        return _on_a_thread(live)

    def set_kernel(self, **values: int) -> None:
        """Set switches of its network stack: ``a__b`` is ``/proc/sys/net/a/b``."""

        def write() -> None:
            for key, value in values.items():
                path = Path("/proc/sys/net") / key.replace("__", "/")
                path.write_text(f"{value}\n", encoding="ascii")

        self.within(write)
