"""The rooms of a process that serves them together with others.

``SharedRoomService`` is a ``RoomService`` whose machine is ``SharedRooms`` and which gives
the machine's commands to a broker. To the service a session on another node is one more
client to send to, so nothing else differs, and nothing costs more, for those who are here.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace

from thkmesh.core.room_events import Command
from thkmesh.core.room_state import PeerView, RoomView
from thkmesh.core.shared_events import Member, Mount, Post, Unmount
from thkmesh.core.shared_rooms import SharedRooms
from thkmesh.core.wire import PeerReady, decode_introduction, decode_to_client
from thkmesh.errors import InvalidMessage
from thkmesh.keys import verify
from thkmesh.server.broker import Broker, RoomRecord
from thkmesh.server.gate import AccessSettings
from thkmesh.server.greeting import Verify
from thkmesh.server.names import readable_name
from thkmesh.server.service import RoomService, ServerSettings, rules_of

__all__ = ["SharedRoomService"]


class _Elsewhere:
    """The way to a session on another node."""

    __slots__ = ("_broker", "_id", "_node", "_room", "_sid")

    def __init__(self, broker: Broker, mount: Mount) -> None:
        self._broker = broker
        self._node = mount.node
        self._room = mount.room
        self._id, self._sid = mount.key

    def send(self, text: str) -> bool:
        """Take a message."""
        self._broker.post(self._node, Post(self._room, self._id, self._sid, text))
        return True

    def relay(self, frame: bytes) -> None:
        """Take a sealed frame."""
        self._broker.post(self._node, Post(self._room, self._id, self._sid, "", frame))

    def close(self, code: int, reason: str) -> None:
        """Nobody closes what is another's."""


class _UsedTickets:
    """Remembers which tickets have been used, at any node."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def use(self, ticket: str) -> bool:
        """Take note that a ticket is used; False if it has been before."""
        return await self._broker.use_ticket(ticket)


class SharedRoomService(RoomService):
    """All rooms that have members here, shared through a broker."""

    def __init__(
        self,
        broker: Broker,
        settings: ServerSettings | None = None,
        *,
        access: AccessSettings | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        verify: Verify = verify,
    ) -> None:
        """Make a server without clients, which takes in some once it has been started.

        ``access`` must be the same in all processes. Where it has no secret, the broker
        has one for all of them; where it remembers no used tickets, the broker does.
        """
        settings, access = settings or ServerSettings(), access or AccessSettings()
        if access.used_tickets is None:
            access = replace(access, used_tickets=_UsedTickets(broker))
        rooms = SharedRooms(broker.node, rules_of(settings))
        super().__init__(settings, access=access, entropy=entropy, verify=verify, rooms=rooms)
        self.broker = broker
        self._mounts: set[int] = set()

    async def start(self) -> None:
        """Become a node of the cluster.

        Raises:
            BrokerUnreachable: there is none.
        """
        await self.broker.start(self.feed)
        if self.gate.settings.secret is None:
            self.gate.adopt(await self.broker.share_secret(self.gate.secret))

    async def leave(self) -> None:
        """Be one no more; after ``stop``."""
        await self.broker.stop()

    def _command(self, command: Command) -> None:
        match command:
            case Mount(conn=number):
                self._outbounds[number] = _Elsewhere(self.broker, command)
                self._mounts.add(number)
            case Unmount(conn=number):
                self._outbounds.pop(number, None)
                self._mounts.discard(number)
            case _:
                self.broker.submit(command)

    @property
    def client_count(self) -> int:
        """How many clients are spoken with, here."""
        return len(self._outbounds) - len(self._mounts)

    # --- rooms, wherever their members are ---

    async def look_up(self, room: str) -> RoomView | None:
        """Return what is known of a room, None if there is no such room."""
        record = await self.broker.look(room)
        return None if record is None else self._view(room, record)

    async def list_rooms(self) -> list[tuple[str, int]]:
        """Return the rooms that want to be found, and how many are there."""
        return await self.broker.listed()

    async def make_room(self, room: str | None = None, *, listed: bool = False) -> RoomView | None:
        """Make a room, under a readable name if it is given none; None if it exists."""
        name = room or readable_name(self.entropy)
        while not await self.broker.create(name, listed=listed):
            if room is not None:
                return None
            name = readable_name(self.entropy)
        return self._view(name, RoomRecord((), listed=listed))

    def _view(self, room: str, record: RoomRecord) -> RoomView:
        peers = tuple(_view(member) for member in record.members)
        return RoomView(room, record.listed, self.settings.max_peers, peers)


def _view(member: Member) -> PeerView:
    ready = decode_to_client(member.words)
    name = ""
    if isinstance(ready, PeerReady):
        try:
            name = decode_introduction(ready.body).name
        except InvalidMessage:
            name = ""
    age = round(member.age, 3)
    return PeerView(member.id, name, age, "reconnecting" if member.away else "connected")
