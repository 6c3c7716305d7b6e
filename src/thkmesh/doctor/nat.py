"""What the router in between does with addresses (RFC 4787), found out by asking.

**Mapping**: does a socket have the same address for whomever it speaks with? The same
socket asks two servers, and both say from where they saw it. **Filtering**: who may
answer to that address? A server that has not been spoken with tries.

Who can be asked, the best first:

1. A STUN server with two addresses (RFC 5780, sections 4.3 and 4.4) tells all.
2. A TURN server with one address sends and receives from two ports: its own, and the
   relay's. So it tells whether ports matter, which is what keeps peers apart.
3. Two STUN servers tell of the mapping alone.

With a single STUN server nothing can be told but whether there is a router at all.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from thkmesh.doctor import stun
from thkmesh.doctor.probes import (
    Target,
    UdpSocket,
    allocated,
    opened_udp,
    request,
    resolve,
)
from thkmesh.doctor.stun import Address, Attribute, Kind, Message, Method

__all__ = ["Behaviour", "Nat", "find_nat"]

_PATIENCE: Final = 1.5
"""Seconds in which what can arrive has; it is asked for several times meanwhile."""

_TIMES: Final = 3


class Behaviour(Enum):
    """On what something depends (RFC 4787, sections 4.1 and 5)."""

    INDEPENDENT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address-and-port-dependent"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Nat:
    """What is known of the way to the internet.

    Attributes:
        udp: whether any server answered over UDP; None if none could be asked.
        translated: whether others see another address than ours; None if unknown.
        mapping: on what the address that others see depends.
        filtering: on what it depends whether others reach it.
        method: who told: "RFC 5780", "TURN", "two servers", or "" for nobody.
    """

    udp: bool | None
    translated: bool | None = None
    mapping: Behaviour = Behaviour.UNKNOWN
    filtering: Behaviour = Behaviour.UNKNOWN
    method: str = ""


async def find_nat(targets: Sequence[Target], own: frozenset[str]) -> Nat:
    """Find out what can be; never raises.

    Args:
        targets: the servers to ask; those of UDP are.
        own: the addresses of this machine.
    """
    servers = await _resolved(targets)
    if not servers:
        return Nat(None)
    try:
        async with opened_udp() as sock:
            return await _Examination(sock, servers, own).find()
    except OSError:
        return Nat(udp=False)


async def _resolved(targets: Sequence[Target]) -> list[tuple[Target, Address]]:
    """Return the servers of UDP over IPv4, where translation is."""
    found: list[tuple[Target, Address]] = []
    for target in targets:
        if target.transport != "udp":
            continue
        try:
            address = await resolve(target.host, target.port)
        except OSError:
            continue
        if ":" not in address.host:
            found.append((target, address))
    return found


class _Examination:
    """One socket, and whom it asks."""

    def __init__(
        self, sock: UdpSocket, servers: list[tuple[Target, Address]], own: frozenset[str]
    ) -> None:
        self._socket = sock
        self._servers = servers
        self._own = own

    async def find(self) -> Nat:
        """Try one after the other."""
        asked = [self._bind(address) for address in dict.fromkeys(to for _, to in self._servers)]
        answers = [each for each in await asyncio.gather(*asked) if each is not None]
        mapped = [(where, each.mapped) for where, each in answers if each.mapped is not None]
        if not mapped:
            return Nat(udp=bool(answers))
        first = mapped[0][1]
        translated = first.host not in self._own
        for where, answer in answers:
            other = answer.address(Attribute.OTHER_ADDRESS)
            if other is not None and other.host != where.host and answer.mapped is not None:
                return await self._by_two_addresses(
                    where, other, answer.mapped, translated=translated
                )
        found = await self._by_relay(translated=translated)
        if found is not None:
            return found
        hosts = {where.host: seen for where, seen in mapped}
        if len(hosts) > 1:
            same = len(set(hosts.values())) == 1
            mapping = Behaviour.INDEPENDENT if same else Behaviour.ADDRESS_AND_PORT
            return Nat(udp=True, translated=translated, mapping=mapping, method="two servers")
        mapping = Behaviour.UNKNOWN if translated else Behaviour.INDEPENDENT
        return Nat(udp=True, translated=translated, mapping=mapping)

    async def _bind(self, to: Address) -> tuple[Address, Message] | None:
        answer = await self._socket.ask(request(Method.BINDING), to)
        return None if answer is None else (to, answer)

    async def _by_two_addresses(
        self, server: Address, other: Address, first: Address, *, translated: bool
    ) -> Nat:
        """Do the tests of RFC 5780: of filtering first, before we speak with the other."""
        filtering = Behaviour.ADDRESS_AND_PORT
        for change, behaviour in (
            (stun.CHANGE_BOTH, Behaviour.INDEPENDENT),
            (stun.CHANGE_PORT, Behaviour.ADDRESS),
        ):
            wanted = request(Method.BINDING, (Attribute.CHANGE_REQUEST, change))
            answer = await self._socket.ask(wanted, server, patience=_PATIENCE)
            if answer is not None and answer.kind == Kind.SUCCESS:
                filtering = behaviour
                break
        mapping = Behaviour.INDEPENDENT
        second = await self._mapped(Address(other.host, server.port))
        if second != first:
            third = await self._mapped(other)
            mapping = Behaviour.ADDRESS if third == second else Behaviour.ADDRESS_AND_PORT
        if second is None:
            mapping = Behaviour.UNKNOWN
        return Nat(
            udp=True, translated=translated, mapping=mapping, filtering=filtering, method="RFC 5780"
        )

    async def _mapped(self, to: Address) -> Address | None:
        answer = await self._bind(to)
        return None if answer is None else answer[1].mapped

    async def _by_relay(self, *, translated: bool) -> Nat | None:
        """Let a relay send to us, and see from where it hears us."""
        for target, to in self._servers:
            if not target.turn:
                continue
            async with opened_udp() as second:
                relay = await allocated(target, second, to)
                if relay is None:
                    continue
                seen = await self._mapped(to)
                if seen is None or not await relay.permit(seen):
                    await relay.free()
                    continue
                reached = await self._reached(second, to, seen)
                heard = await self._heard_from(second, relay.relayed)
                await relay.free()
            if heard is None:
                continue
            # Ports matter or they do not; whether addresses do, one server cannot tell.
            mapping = Behaviour.INDEPENDENT if heard == seen else Behaviour.ADDRESS_AND_PORT
            filtering = Behaviour.ADDRESS if reached else Behaviour.ADDRESS_AND_PORT
            if not translated and reached:
                filtering = Behaviour.INDEPENDENT
            return Nat(
                udp=True, translated=translated, mapping=mapping, filtering=filtering, method="TURN"
            )
        return None

    async def _reached(self, relaying: UdpSocket, server: Address, seen: Address) -> bool:
        """Tell whether what a relay sends to us from a port we have not spoken with arrives."""
        secret = secrets.token_bytes(16)
        arrived = asyncio.Event()
        self._socket.heard = lambda data, _: arrived.set() if data == secret else None
        for _ in range(_TIMES):
            sent = request(Method.SEND, kind=Kind.INDICATION)
            attributes = (
                (int(Attribute.XOR_PEER_ADDRESS), stun.pack_address(seen, sent.transaction)),
                (int(Attribute.DATA), secret),
            )
            message = Message(sent.method, sent.kind, sent.transaction, attributes)
            relaying.send(stun.encode(message), server)
            try:
                async with asyncio.timeout(_PATIENCE / _TIMES):
                    await arrived.wait()
                return True
            except TimeoutError:
                continue
        return False

    async def _heard_from(self, relaying: UdpSocket, relayed: Address) -> Address | None:
        """Return the address from which a relay hears us; None if it does not."""
        secret = secrets.token_bytes(16)
        heard: asyncio.Future[Address] = asyncio.get_running_loop().create_future()

        def listen(message: Message | bytes, _: Address) -> None:
            if isinstance(message, bytes) or message.get(Attribute.DATA) != secret:
                return
            source = message.address(Attribute.XOR_PEER_ADDRESS)
            if source is not None and not heard.done():
                heard.set_result(source)

        relaying.heard = listen
        for _ in range(_TIMES):
            self._socket.send(secret, relayed)
            done, _pending = await asyncio.wait({heard}, timeout=_PATIENCE / _TIMES)
            if done:
                return heard.result()
        return None
