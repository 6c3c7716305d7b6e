"""The ways in which the path is lost in ``benchmarks.recovery``."""

import json
from typing import Protocol

from tests.faults.lab import Host, Lab

__all__ = ["Cable", "Firewall", "ForgottenFlows", "Outage", "Stumble"]


class Outage(Protocol):
    """How the path is lost, and how it comes back."""

    seconds: float
    """For how long; 0 means that a way is there at once, though not the old one."""

    mends: bool
    """Whether a direct path can be had before all is over: then we also go without the relay."""

    def __init__(self, lab: Lab, host: Host) -> None:
        """Prepare it."""

    def lose(self) -> None:
        """Let it begin."""

    def restore(self) -> None:
        """Let it end."""


class ForgottenFlows:
    """What lies between has forgotten the flows of UDP that there are; others it lets pass.

    As a NAT or a firewall that was restarted.
    """

    seconds = 0.0
    mends = True

    def __init__(self, lab: Lab, host: Host) -> None:
        """Have all flows noted."""
        self._internet = lab.internet
        kind = "type ipv4_addr . inet_service . ipv4_addr . inet_service; size 4096"
        flow = "ip saddr . udp sport . ip daddr . udp dport"
        self._internet.run(
            *("nft", "-f", "-"),
            text=f"""table ip lane {{
                set seen {{ {kind}; flags dynamic; }}
                set dead {{ {kind}; }}
                chain forward {{
                    type filter hook forward priority 0;
                    {flow} @dead drop
                    meta l4proto udp add @seen {{ {flow} }}
                }}
            }}""",
        )

    def lose(self) -> None:
        """Let none of those pass any more."""
        listed = json.loads(
            self._internet.run("nft", "--json", "list", "set", "ip", "lane", "seen")
        )
        flows = [
            " . ".join(map(str, each["concat"]))
            for part in listed["nftables"]
            for each in part.get("set", {}).get("elem", ())
        ]
        self._internet.run("nft", f"add element ip lane dead {{ {', '.join(flows)} }}")

    def restore(self) -> None:
        """Remember nothing."""
        self._internet.run("nft", "flush set ip lane dead; flush set ip lane seen")


class Cable:
    """The cable of one host is pulled, and put in again."""

    seconds = 20.0
    """Longer than a repair by us is waited for, and than engines call a connection alive."""

    mends = True

    def __init__(self, lab: Lab, host: Host) -> None:
        """Leave it in."""
        self._host = host

    def lose(self) -> None:
        """Pull it."""
        self._host.down()

    def restore(self) -> None:
        """Put it in."""
        self._host.up()


class Stumble(Cable):
    """The cable is in again before anybody has given up."""

    seconds = 5.0


class Firewall:
    """No UDP passes; the servers are reached as before."""

    seconds = 20.0
    mends = False

    def __init__(self, lab: Lab, host: Host) -> None:
        """Let all pass."""
        self._internet = lab.internet
        self._internet.run(
            "nft",
            "add table ip lane; add chain ip lane forward { type filter hook forward priority 0; }",
        )

    def lose(self) -> None:
        """Let none pass."""
        self._internet.run("nft", "add rule ip lane forward meta l4proto udp drop")

    def restore(self) -> None:
        """Let all pass again."""
        self._internet.run("nft", "flush chain ip lane forward")
