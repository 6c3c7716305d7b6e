"""An application that only listens, and remembers."""

import asyncio

from thkmesh.errors import MeshError
from thkmesh.events import (
    ByteStream,
    Data,
    Event,
    Lost,
    Message,
    PeerLagging,
    PlainByteStream,
    Undelivered,
)
from thkmesh.peer import Peer
from thkmesh.room import Room

__all__ = ["Witness"]


class Witness:
    """Reads a room to its end; made by ``World.watch``.

    Attributes:
        events: all of them, in order.
        error: why the room ended, None if it was left or goes on.
    """

    def __init__(self, room: Room, pause: float = 0.0) -> None:
        """Use ``World.watch``."""
        self.events: list[Event] = []
        self.error: MeshError | None = None
        self._room = room
        self._pause = pause

    async def read(self) -> None:
        """Take event after event, and time for each."""
        try:
            async for event in self._room:
                self.events.append(event)
                if self._pause:
                    await asyncio.sleep(self._pause)
        except MeshError as error:
            self.error = error

    def said_by(self, peer: Peer, *, direct: bool = False) -> list[Data]:
        """Return what a peer has said to everybody, or to us alone; without streams."""
        return [
            event.data
            for event in self.events
            if isinstance(event, Message) and event.peer == peer and event.direct is direct
            if not isinstance(event.data, ByteStream | PlainByteStream)
        ]

    def lost(self, peer: Peer) -> int:
        """Return how many messages of a peer we are told to have lost; see ``Lost``."""
        return self._count(Lost, peer)

    def lagging(self, peer: Peer) -> int:
        """Return how many messages to a peer were given up; see ``PeerLagging``."""
        return self._count(PeerLagging, peer)

    def undelivered(self, peer: Peer) -> int:
        """Return how many messages to a peer may not have arrived; see ``Undelivered``."""
        return self._count(Undelivered, peer)

    def _count(self, kind: type[Lost | PeerLagging | Undelivered], peer: Peer) -> int:
        return sum(
            event.count or 0
            for event in self.events
            if isinstance(event, kind) and event.peer == peer
        )
