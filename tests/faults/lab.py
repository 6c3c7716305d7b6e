"""The fault lab: an internet of network namespaces, with hosts at its edge.

::

    host ──wire──╮                             host      on a cable, or on a wire that is bad
    host ──cable─┤                             router    translates addresses, one for each host
                 ├─ internet: signaling server, coturn
    host ──cable── router ──cable─╯

Every host is a namespace with a device ``eth0`` and a default route. The internet
forwards between all of them; its own address is on loopback, so it is reached
whatever becomes of a cable. Addresses are those for documentation and benchmarks
(RFC 5737, 2544, 3849), and private ones behind routers. The number of a host is in
its addresses.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_interface

from tests.faults import nat, wiring
from tests.faults.turn import Coturn
from tests.namespaces import Namespace
from tests.rooms.processes import PeerProcess, Server

__all__ = ["INTERNET", "INTERNET6", "Host", "Lab", "opened"]

INTERNET = "198.51.100.1"
"""Where the signaling server and coturn are."""

INTERNET6 = "2001:db8::1"

_DEFAULT_MTU = 1500
_IPV6_LEAST_MTU = 1280


class Host:
    """A machine at the edge of the lab's internet."""

    def __init__(self, namespace: Namespace, address: str, gateway: str) -> None:
        """Take a namespace with a device ``eth0`` that has this address."""
        self.namespace = namespace
        self.address = address
        """With its prefix length."""
        self._gateway = gateway
        self._peers = itertools.count(1)

    def down(self) -> None:
        """Pull the cable out; the routes go with it."""
        self.namespace.ip("link set eth0 down")

    def up(self) -> None:
        """Put the cable in."""
        self.namespace.ip("link set eth0 up", self._route("add"))

    def move(self) -> None:
        """Have another address, as after a walk from one network to another."""
        old = ip_interface(self.address)
        address = f"{old.ip + 1}/{old.network.prefixlen}"
        self.namespace.ip(
            f"addr del {self.address} dev eth0",
            f"addr add {address} dev eth0",
            self._route("replace"),
        )
        self.address = address

    def _route(self, verb: str) -> str:
        return f"route {verb} default via {self._gateway} dev eth0"

    async def peer(self, name: str) -> PeerProcess:
        """Start a peer on this machine; whoever does ends it."""
        return await PeerProcess.start(
            name, module="tests.faults.peer", prefix=self.namespace.prefix
        )


class Lab:
    """An internet, and what is attached to it; use ``opened``."""

    def __init__(self, internet: Namespace, stack: AsyncExitStack) -> None:
        """Take a namespace; ``stack`` undoes all."""
        self.internet = internet
        """The namespace in the middle."""
        self._stack = stack
        self._numbers = itertools.count(1)
        internet.set_kernel(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        internet.ip(f"addr add {INTERNET}/32 dev lo", f"addr add {INTERNET6}/128 dev lo")

    async def server(self, host: str = INTERNET, **settings: object) -> Server:
        """Start a signaling server in the middle."""
        server = Server(**settings).at(host, self.internet.prefix)
        self._stack.push_async_callback(server.kill)
        await server.start()
        return server

    async def turn(self, secret: str = "") -> Coturn:
        """Start coturn in the middle, as we ship it; with a secret, if the server shares one."""
        running = Coturn.running(self.internet, INTERNET, secret=secret)
        return await self._stack.enter_async_context(running)

    async def peer(self, host: Host, name: str) -> PeerProcess:
        """Start a peer on a host."""
        peer = await host.peer(name)
        self._stack.push_async_callback(peer.kill)
        return peer

    # --- hosts ------------------------------------------------------------------------

    def _namespace(self) -> Namespace:
        return self._stack.enter_context(Namespace.opened())

    def wired(self, mtu: int = _DEFAULT_MTU) -> Host:
        """Attach a host by a cable."""
        host, number = self._namespace(), next(self._numbers)
        self._cable(self.internet, f"c{number}", host, "eth0", mtu)
        return self._settle(host, number, f"c{number}")

    def natted(self, kind: nat.Kind) -> Host:
        """Attach a host behind a router of some kind; none, if that is the kind."""
        if kind is nat.Kind.NONE:
            return self.wired()
        router, host, number = self._namespace(), self._namespace(), next(self._numbers)
        self._cable(self.internet, f"c{number}", router, "wan")
        self._cable(router, "lan", host, "eth0")
        outer, gateway = f"198.18.{number}.2/24", f"198.18.{number}.1"
        inner, lan = f"10.0.{number}.2/24", f"10.0.{number}.1"
        self.internet.ip(f"addr add {gateway}/24 dev c{number}")
        router.ip(
            f"addr add {outer} dev wan",
            f"addr add {lan}/24 dev lan",
            f"route add default via {gateway} dev wan",
        )
        host.ip(f"addr add {inner} dev eth0", f"route add default via {lan} dev eth0")
        router.set_kernel(ipv4__ip_forward=1)
        router.run("nft", "-f", "-", text=nat.rules(kind))
        return Host(host, inner, lan)

    async def on_a_wire(self, seed: str) -> tuple[Host, wiring.Wire]:
        """Attach a host by a wire; *forward* is from the host to the internet."""
        host, number = self._namespace(), next(self._numbers)
        ends = (host, "eth0"), (self.internet, f"w{number}")
        wire = await self._stack.enter_async_context(wiring.laid(*ends, seed))
        for namespace, device in ends:
            namespace.ip(f"link set {device} addrgenmode none", f"link set {device} up")
        return self._settle(host, number, f"w{number}"), wire

    def _cable(
        self, one: Namespace, device: str, other: Namespace, end: str, mtu: int = _DEFAULT_MTU
    ) -> None:
        one.ip(f"link add {device} mtu {mtu} type veth peer {end} netns {other.path} mtu {mtu}")
        for namespace, name in ((one, device), (other, end)):
            if mtu >= _IPV6_LEAST_MTU:
                # Link-local addresses would come late, and lead nowhere.
                namespace.ip(f"link set {name} addrgenmode none")
            namespace.ip(f"link set {name} up")

    def _settle(self, host: Namespace, number: int, device: str) -> Host:
        """Give a host its address and its way to the rest."""
        here, there = f"198.18.{number}.2/24", f"198.18.{number}.1"
        self.internet.ip(f"addr add {there}/24 dev {device}")
        host.ip(f"addr add {here} dev eth0", f"route add default via {there} dev eth0")
        return Host(host, here, there)

    def wired6(self, mtu: int = _DEFAULT_MTU) -> Host:
        """Attach a host by a cable that has IPv6 and nothing else."""
        host, number = self._namespace(), next(self._numbers)
        self._cable(self.internet, f"c{number}", host, "eth0", mtu)
        here, there = f"2001:db8:{number}::2", f"2001:db8:{number}::1"
        self.internet.ip(f"addr add {there}/64 dev c{number} nodad")
        host.ip(f"addr add {here}/64 dev eth0 nodad", f"route add ::/0 via {there} dev eth0")
        return Host(host, f"{here}/64", there)


@asynccontextmanager
async def opened() -> AsyncIterator[Lab]:
    """Have a lab; whatever it starts has ended when it is left."""
    async with AsyncExitStack() as stack:
        yield Lab(stack.enter_context(Namespace.opened()), stack)
