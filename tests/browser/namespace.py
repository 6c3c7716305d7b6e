"""A network of our own for browsers, servers and peers.

Browsers offer no loopback candidates, and a machine may have no other address. So
the tests that need real browsers run in a network namespace with two addresses on a
veth pair. A namespace belongs to a thread: what the thread starts is in it too.
"""

import asyncio
import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["ADDRESS", "GATEWAY", "Outpost", "in_namespace", "outpost"]

ADDRESS = "10.77.0.1"
"""Where servers in the namespace are to be reached."""

GATEWAY = "10.78.0.1"
"""Where servers in the namespace are to be reached from an outpost."""

_CLONE_NEWNET = 0x40000000
_numbers = itertools.count(1)
_T = TypeVar("_T")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


def _enter(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/var/run/netns/{name}").open("rb") as file:
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {name}")


def in_namespace(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine in a fresh network namespace; return what it returns.

    Raises:
        RuntimeError: this is not Linux, or we are not root: the tests with real
            browsers need both, and are not skipped.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise RuntimeError("browser tests make network namespaces: run them as root, with iproute2")
    name = f"thkmesh-{os.getpid()}-{next(_numbers)}"
    results: list[_T] = []
    errors: list[BaseException] = []

    def live() -> None:
        try:
            _enter(name)
            _ip("link", "set", "lo", "up")
            _ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
            _ip("addr", "add", f"{ADDRESS}/24", "dev", "veth0")
            _ip("addr", "add", "10.77.0.2/24", "dev", "veth1")
            for device in ("veth0", "veth1"):
                # An IPv6 address that appears seconds later aborts what Chromium loads
                # at that moment: ERR_NETWORK_CHANGED.
                _ip("link", "set", device, "addrgenmode", "none")
                _ip("link", "set", device, "up")
            # Firefox offers the address of the default route only.
            _ip("route", "add", "default", "via", "10.77.0.2", "dev", "veth0")
            results.append(asyncio.run(main()))
        except BaseException as error:  # noqa: BLE001 - it is raised again on the other thread
            errors.append(error)

    _ip("netns", "add", name)
    try:
        thread = threading.Thread(target=live, name=name)
        thread.start()
        thread.join()
    finally:
        _ip("netns", "delete", name)
    if errors:
        raise errors[0]
    return results[0]


class Outpost:
    """Another network, at the end of a cable from ours; see ``outpost``."""

    def __init__(self, name: str) -> None:
        """Take a namespace with a device ``eth0``."""
        self._name = name
        self.prefix = ("nsenter", f"--net=/var/run/netns/{name}", "--")
        """What makes a command run there."""

    def plug(self) -> None:
        """Put the cable in."""
        _ip("-n", self._name, "link", "set", "eth0", "up")
        _ip("-n", self._name, "route", "add", "default", "via", GATEWAY, "dev", "eth0")

    def pull(self) -> None:
        """Pull the cable out; the routes go with it."""
        _ip("-n", self._name, "link", "set", "eth0", "down")

    def connect(self, port: int) -> socket.socket:
        """Return a connection to a port on the outpost's loopback."""
        made: list[socket.socket] = []

        def live() -> None:
            _enter(self._name)
            made.append(socket.create_connection(("127.0.0.1", port), timeout=10))

        thread = threading.Thread(target=live)
        thread.start()
        thread.join()
        made[0].settimeout(0)
        return made[0]


@contextmanager
def outpost() -> Iterator[Outpost]:
    """Have another network, whose only way out is a cable to the namespace we are in."""
    name = f"thkmesh-{os.getpid()}-{next(_numbers)}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", "veth2", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{GATEWAY}/24", "dev", "veth2")
        _ip("-n", name, "addr", "add", "10.78.0.2/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "addrgenmode", "none")
        _ip("link", "set", "veth2", "addrgenmode", "none")
        _ip("link", "set", "veth2", "up")
        found = Outpost(name)
        found.plug()
        yield found
    finally:
        _ip("netns", "delete", name)
