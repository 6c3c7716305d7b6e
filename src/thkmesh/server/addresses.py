"""By which addresses other machines reach this one.

The route to the world names the best one, where there is one. All of them Linux tells
itself; elsewhere the resolver knows what this machine's name stands for.
"""

import array
import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, TypeAlias

if sys.platform == "linux":
    import fcntl

__all__ = ["is_wildcard", "own_addresses"]

Address: TypeAlias = IPv4Address | IPv6Address

_ELSEWHERE: Final = ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that belong to nobody (RFC 5737, RFC 3849)."""

_SIOCGIFCONF: Final = 0x8912
_IFREQ_BYTES: Final = 40 if struct.calcsize("P") == 8 else 32
_ADDRESS_AT: Final = 20
"""Where in ``struct ifreq`` the IPv4 address is: after the name, family and port."""

_INTERFACES: Final = 256


def is_wildcard(host: str) -> bool:
    """Tell whether a server with this host listens on every address."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def own_addresses() -> list[Address]:
    """Return the addresses of this machine, that of the default route first.

    Those that lead nowhere else are left out: loopback, and IPv6 link-local, which
    means nothing without the name of an interface.
    """
    rest = _configured() if sys.platform == "linux" else _resolved()
    found = dict.fromkeys((*_routed(), *rest))
    return [each for each in found if not (each.is_loopback or _is_bound_to_link(each))]


def _is_bound_to_link(address: Address) -> bool:
    return address.is_unspecified or (address.version == 6 and address.is_link_local)


def _routed() -> Iterator[Address]:
    """Yield where packets to the world would come from; connecting UDP sends none."""
    for family, elsewhere in _ELSEWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            yield ip_address(probe.getsockname()[0])


def _resolved() -> Iterator[Address]:
    """Yield what this machine's name stands for."""
    with contextlib.suppress(OSError, UnicodeError):
        for *_, address in socket.getaddrinfo(socket.gethostname(), None):
            yield ip_address(str(address[0]).partition("%")[0])


def _configured() -> Iterator[Address]:
    """Yield what Linux says of its interfaces (netdevice(7))."""
    assert sys.platform == "linux", "only there it is so"
    buffer = array.array("B", bytes(_IFREQ_BYTES * _INTERFACES))
    wanted = struct.pack("iP", len(buffer), buffer.buffer_info()[0])
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked,
    ):
        length, _ = struct.unpack("iP", fcntl.ioctl(asked, _SIOCGIFCONF, wanted))
        for start in range(0, length, _IFREQ_BYTES):
            at = start + _ADDRESS_AT
            yield IPv4Address(buffer[at : at + 4].tobytes())
    with contextlib.suppress(OSError):
        for line in Path("/proc/thread-self/net/if_inet6").read_text(encoding="ascii").splitlines():
            yield IPv6Address(bytes.fromhex(line.split()[0]))
