"""A peer of the lab: one of ``tests.rooms.peer`` that can recite, and tell its kind of path."""

import asyncio
from random import Random
from typing import Any

import thkmesh
from tests.rooms import peer
from tests.rooms.watching import WatchingHost
from thkmesh.host import Lease
from thkmesh.keys import Identity
from thkmesh.settings import RoomSettings

__all__ = ["message"]


def message(number: int, large_bytes: int = 0) -> str:
    """Return the text of that number; every tenth is large, and does not compress well."""
    if number % 10:
        return str(number)
    return f"{number} {Random(number).randbytes(large_bytes // 2).hex()}"


class LabPeer(peer.Peer):
    """One room at a time, seen down to the engine."""

    _host: WatchingHost

    async def enter(self, **settings: Any) -> thkmesh.Room:  # noqa: ANN401 - see thkmesh.join
        """Join a room with an engine that is watched."""
        identity = Identity.from_seed(bytes.fromhex(settings.pop("identity")))
        told = RoomSettings(identity=identity, **settings)
        lease = Lease()
        self._host = WatchingHost(lease.host)
        room = thkmesh.Room(told, self._host, told.transport(), lease.release)
        await room.enter()
        return room

    async def recite(self, count: int, large_bytes: int) -> None:
        """Send so many messages to everybody, as fast as they are accepted."""
        for number in range(count):
            await self._room.send(message(number, large_bytes))

    async def path(self) -> None:
        """Tell what the newest connection's engine says of its path."""
        connection = self._host.watched.connections[-1]
        asking = asyncio.run_coroutine_threadsafe(connection.stats(), self._host.loop)
        stats = await asyncio.wrap_future(asking)
        peer.tell("Path", local=stats.local_type, remote=stats.remote_type)

    async def connections(self) -> None:
        """Tell how many connections were made since joining."""
        peer.tell("Connections", count=len(self._host.watched.connections))


if __name__ == "__main__":
    asyncio.run(peer.run(LabPeer()))
