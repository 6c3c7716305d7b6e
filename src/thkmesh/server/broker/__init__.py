"""What server processes that serve the same rooms have in common.

``Broker`` is the protocol. ``memory`` is one for services within a process, ``redis`` one
for any number of processes on any number of machines. What they do is written down in
``thkmesh.core.registry``; a conformance suite holds both to it.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from thkmesh.core.room_events import Command, News
from thkmesh.core.shared_events import Member, Post

__all__ = ["Broker", "BrokerUnreachable", "Hear", "RoomRecord"]

Hear: TypeAlias = Callable[[News], None]


class BrokerUnreachable(OSError):
    """The broker cannot be reached, or is none."""


class RoomRecord:
    """A room as the broker has it."""

    __slots__ = ("listed", "members")

    def __init__(self, members: tuple[Member, ...], *, listed: bool) -> None:
        self.members = members
        self.listed = listed


class Broker(Protocol):
    """One node's way to all others.

    Answers and news come through the callback that ``start`` is given, in order:
    ``Up`` first; after ``Down`` no answers, until the next ``Up``. What was to be done and
    has no answer is done later then. A node that the others had given up is told
    ``Down`` and ``Up``.
    """

    @property
    def node(self) -> str:
        """Its name."""
        ...

    async def start(self, hear: Hear) -> None:
        """Become a node; ``Up`` has been heard when this returns.

        Raises:
            BrokerUnreachable: there is nothing there.
        """

    async def stop(self) -> None:
        """Be a node no more; its sessions keep their seats for their grace."""

    def submit(self, command: Command) -> None:
        """Have something done, after what was submitted and posted before."""

    def post(self, node: str, post: Post) -> None:
        """Send something to a session on another node.

        A signal that nobody there takes in is entrusted to the broker, a sealed frame is
        dropped.
        """

    async def look(self, room: str) -> RoomRecord | None:
        """Return who is in a room, None if there is no such room."""
        ...

    async def listed(self) -> list[tuple[str, int]]:
        """Return the rooms that want to be found, and how many are there."""
        ...

    async def create(self, room: str, *, listed: bool) -> bool:
        """Make a room; False if there is one."""
        ...

    async def use_ticket(self, ticket: str) -> bool:
        """Take note that a ticket is used; False if it has been before (see ``tickets``).

        Raises:
            BrokerUnreachable: nobody can say.
        """
        ...

    async def share_secret(self, secret: bytes) -> bytes:
        """Return the secret that all nodes have: that of the first who asks, kept from then on.

        Raises:
            BrokerUnreachable: there is nobody to be asked.
        """
        ...

    async def assign_hub(self, room: str, hub: str) -> str:
        """Assign a room to a hub, unless it has one; return which it has.

        The assignment ends with the room.
        """
        ...
