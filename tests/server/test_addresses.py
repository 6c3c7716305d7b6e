"""By which addresses other machines reach this one."""

import subprocess

import pytest

from tests.browser.namespace import in_namespace
from thkmesh.server.addresses import is_wildcard, own_addresses


@pytest.mark.parametrize(
    ("host", "wildcard"),
    [("0.0.0.0", True), ("::", True), ("127.0.0.1", False), ("localhost", False), ("", False)],
)
def test_two_hosts_mean_every_address(host: str, wildcard: bool) -> None:
    """One for each version of IP."""
    assert is_wildcard(host) is wildcard


def test_every_address_that_leads_elsewhere_is_found() -> None:
    """All of every interface, that of the default route first; neither loopback nor link-local."""

    async def look() -> list[str]:
        for address in ("10.77.1.5/24", "2001:db8::7/64", "fe80::7/64"):
            words = ["ip", "addr", "add", address, "dev", "veth1", "nodad"]
            subprocess.run(words[: None if ":" in address else -1], check=True, timeout=10)  # noqa: ASYNC221 - once
        return [str(address) for address in own_addresses()]

    first, *rest = in_namespace(look)
    assert first == "10.77.0.1"
    assert sorted(rest) == ["10.77.0.2", "10.77.1.5", "2001:db8::7"]


def test_without_any_network_there_is_none() -> None:
    """A machine that is alone has nothing to tell."""

    async def look() -> list[str]:
        for device in ("veth0", "veth1"):
            subprocess.run(["ip", "addr", "flush", "dev", device], check=True, timeout=10)  # noqa: ASYNC221 - once
        return [str(address) for address in own_addresses()]

    assert in_namespace(look) == []
