"""The lab's routers do what their kinds are called for (RFC 4787)."""

import socket
from collections.abc import Callable

import pytest

from tests.faults.lab import INTERNET, Lab
from tests.faults.nat import Kind

ELSEWHERE = "198.51.100.2"
PATIENCE = 10.0
SILENCE = 0.3
"""Seconds in which a packet that is not dropped has long arrived."""


def udp(address: str) -> Callable[[], socket.socket]:
    """Return what makes a socket at an address, on a free port."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, 0))
        made.settimeout(PATIENCE)
        return made

    return make


@pytest.mark.parametrize(
    ("kind", "same_port", "let_in"),
    [
        (Kind.FULL_CONE, True, [b"other address", b"other port", b"asked"]),
        (Kind.ADDRESS_RESTRICTED, True, [b"other port", b"asked"]),
        (Kind.PORT_RESTRICTED, True, [b"asked"]),
        (Kind.SYMMETRIC, False, [b"asked"]),
    ],
)
async def test_a_router_maps_and_filters_as_its_kind_says(
    lab: Lab, kind: Kind, same_port: bool, let_in: list[bytes]
) -> None:
    """All but the symmetric one keep the port; who may answer is what tells them apart."""
    host = lab.natted(kind)
    lab.internet.ip(f"addr add {ELSEWHERE}/32 dev lo")
    places = (INTERNET, INTERNET, ELSEWHERE)
    asked, port, address = (lab.internet.within(udp(each)) for each in places)
    inside, other = (host.namespace.within(udp("0.0.0.0")) for _ in range(2))
    with asked, port, address, inside, other:
        inside.sendto(b"?", asked.getsockname())
        _, seen = asked.recvfrom(100)
        # In this order, so that what was let in has come when the last one has.
        address.sendto(b"other address", seen)
        port.sendto(b"other port", seen)
        asked.sendto(b"asked", seen)
        assert [inside.recv(100) for _ in let_in] == let_in
        other.sendto(b"?", asked.getsockname())
        other.sendto(b"?", address.getsockname())
        mapped = {asked.recvfrom(100)[1], address.recvfrom(100)[1]}
        assert (len(mapped) == 1) is same_port
        assert (mapped == {(seen[0], other.getsockname()[1])}) is same_port


async def test_a_router_that_blocks_udp_lets_tcp_through(lab: Lab) -> None:
    """Nothing of UDP leaves it, and TCP does."""
    host = lab.natted(Kind.UDP_BLOCKED)
    outside = lab.internet.within(udp(INTERNET))
    listening = lab.internet.within(lambda: socket.create_server((INTERNET, 0)))
    inside = host.namespace.within(udp("0.0.0.0"))
    with outside, listening, inside:
        inside.sendto(b"?", outside.getsockname())
        where = listening.getsockname()
        host.namespace.within(lambda: socket.create_connection(where, PATIENCE)).close()
        outside.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            outside.recv(100)
