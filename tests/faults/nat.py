"""The kinds of address translation (RFC 4787), as rules of nft.

All but the symmetric one keep a host's port, and so use the same for every
destination; they differ in who may answer to it. What comes uninvited is dropped
where it arrives: answered with an ICMP error it would leave an entry in the
kernel's table, and the host's own packet to that place would get another port.

nft's ``snat`` alone would be port-restricted: the kernel knows connections, not
mappings. For the more liberal kinds a dynamic map remembers which host has sent
from which port, and who comes to that port is led to the host.
"""

from enum import Enum

__all__ = ["Kind", "rules"]


class Kind(Enum):
    """What stands between a host and the internet."""

    NONE = "none"
    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "UDP blocked"


_TABLE = """
table ip lab {{
    map open {{
        type inet_service : ipv4_addr
        flags dynamic, timeout
        timeout 5m
    }}
    set invited {{
        type ipv4_addr . inet_service
        flags dynamic, timeout
        timeout 5m
    }}
    chain before {{
        type nat hook prerouting priority dstnat
        {before}
    }}
    chain after {{
        type nat hook postrouting priority srcnat
        {after}
    }}
    chain uninvited {{
        type filter hook input priority filter
        iifname "wan" ct state new,invalid drop
    }}
    chain through {{
        type filter hook forward priority filter
        {through}
    }}
}}
"""

_KEEP = """
        oifname "wan" meta l4proto udp update @open { udp sport : ip saddr }
        oifname "wan" meta l4proto udp update @invited { ip daddr . udp sport }
        oifname "wan" masquerade
"""
_LEAD = 'iifname "wan" meta l4proto udp dnat ip to udp dport map @open'
_LEAD_INVITED = 'iifname "wan" ip saddr . udp dport @invited dnat ip to udp dport map @open'


def rules(kind: Kind) -> str:
    """Return what nft is to load on a router with devices ``lan`` and ``wan``."""
    before, after, through = "", 'oifname "wan" masquerade', ""
    match kind:
        case Kind.FULL_CONE:
            before, after = _LEAD, _KEEP
        case Kind.ADDRESS_RESTRICTED:
            before, after = _LEAD_INVITED, _KEEP
        case Kind.SYMMETRIC:
            after = 'oifname "wan" masquerade fully-random'
        case Kind.UDP_BLOCKED:
            through = "meta l4proto udp drop"
        case Kind.PORT_RESTRICTED | Kind.NONE:
            pass
    return _TABLE.format(before=before, after=after, through=through)
