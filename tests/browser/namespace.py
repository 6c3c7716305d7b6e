"""A network of our own for browsers, servers and peers.

Browsers offer no loopback candidates, and a machine may have no other address. So
the tests that need real browsers run in a network namespace with two addresses on a
veth pair. A namespace belongs to a thread: what the thread starts is in it too.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.namespaces import Namespace, enter, ip

__all__ = ["ADDRESS", "GATEWAY", "Outpost", "in_namespace", "outpost"]

ADDRESS = "10.77.0.1"
"""Where servers in the namespace are to be reached."""

GATEWAY = "10.78.0.1"
"""Where servers in the namespace are to be reached from an outpost."""

_T = TypeVar("_T")


def in_namespace(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine in a fresh network namespace; return what it returns.

    Raises:
        RuntimeError: this is not Linux, or we are not root.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def live(namespace: Namespace) -> None:
        try:
            enter(namespace.path)
            namespace.ip(
                "link add veth0 type veth peer name veth1",
                f"addr add {ADDRESS}/24 dev veth0",
                "addr add 10.77.0.2/24 dev veth1",
                # An IPv6 address that appears seconds later aborts what Chromium loads
                # at that moment: ERR_NETWORK_CHANGED.
                *(f"link set {device} addrgenmode none up" for device in ("veth0", "veth1")),
                # Firefox offers the address of the default route only.
                "route add default via 10.77.0.2 dev veth0",
            )
            results.append(asyncio.run(main()))
        except BaseException as error:  # noqa: BLE001 - it is raised again on the other thread
            errors.append(error)

    with Namespace.opened() as namespace:
        thread = threading.Thread(target=live, args=(namespace,), name="namespace")
        thread.start()
        thread.join()
    if errors:
        raise errors[0]
    return results[0]


class Outpost:
    """Another network, at the end of a cable from ours; see ``outpost``."""

    def __init__(self, namespace: Namespace) -> None:
        """Take a namespace with a device ``eth0``."""
        self._namespace = namespace
        self.prefix = namespace.prefix
        """What makes a command run there."""

    def plug(self) -> None:
        """Put the cable in."""
        self._namespace.ip("link set eth0 up", f"route add default via {GATEWAY} dev eth0")

    def pull(self) -> None:
        """Pull the cable out; the routes go with it."""
        self._namespace.ip("link set eth0 down")

    def connect(self, port: int) -> socket.socket:
        """Return a connection to a port on the outpost's loopback."""
        made = self._namespace.within(
            lambda: socket.create_connection(("127.0.0.1", port), timeout=10)
        )
        made.settimeout(0)
        return made


@contextmanager
def outpost() -> Iterator[Outpost]:
    """Have another network, whose only way out is a cable to the namespace we are in."""
    with Namespace.opened() as namespace:
        ip("link", "add", "veth2", "type", "veth", "peer", "name", "eth0", "netns", namespace.path)
        ip("addr", "add", f"{GATEWAY}/24", "dev", "veth2")
        ip("link", "set", "veth2", "addrgenmode", "none", "up")
        namespace.ip("addr add 10.78.0.2/24 dev eth0", "link set eth0 addrgenmode none")
        found = Outpost(namespace)
        found.plug()
        yield found
