"""The whole examination, in the order in which one thing tells where to look next."""

import asyncio
import ssl

from thkmesh.doctor.calls import call_all
from thkmesh.doctor.entrance import enter
from thkmesh.doctor.nat import find_nat
from thkmesh.doctor.probes import probe, targets
from thkmesh.doctor.verdict import Findings
from thkmesh.server.addresses import own_addresses
from thkmesh.settings import RoomSettings, trusting

__all__ = ["examine"]


async def examine(settings: RoomSettings) -> Findings:
    """Look at everything that two peers in a room depend on.

    Args:
        settings: how the room would be joined; ``ice_servers`` are asked, too.

    Raises:
        InvalidArgument: the file of authorities cannot be read.
    """
    tls: ssl.SSLContext | None = None
    if settings.ca_file is not None:
        tls = trusting(settings.ca_file)
    entrance = await enter(settings)
    if not entrance.works:
        return Findings(entrance)
    servers = (*entrance.ice_servers, *settings.connecting().ice_servers)
    asked = targets(servers)
    probes = await asyncio.gather(*(probe(target, tls) for target in asked))
    own = frozenset(str(address) for address in own_addresses())
    reached = [each.target for each in probes if each.answered]
    if not reached or not any(each.transport == "udp" for each in reached):
        # None answered over UDP: asking them again would only take time.
        reached = [each for each in asked if each.transport == "udp"][:1]
    calling = call_all(
        servers,
        stun=any(each.mapped for each in probes),
        turn=any(each.target.turn and each.works for each in probes),
    )
    nat, calls = await asyncio.gather(find_nat(reached, own), calling)
    return Findings(entrance, probes, nat, calls)
