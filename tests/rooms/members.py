"""Members of rooms in this process, each with all it heard."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

from tests.rooms.processes import PATIENCE
from tests.rooms.watching import WatchingHost
from thkmesh import Content, Event, Kicked, LinkChanged, LinkState, Message, Peer, Room
from thkmesh.core.identity import SessionKey
from thkmesh.core.link_events import LinkEvent
from thkmesh.core.session_events import FromLink
from thkmesh.host import Lease
from thkmesh.settings import RoomSettings
from thkmesh.signaling.transport import Transport

_E = TypeVar("_E")
_T = TypeVar("_T")


class Member:
    """One session in a room."""

    def __init__(self, settings: RoomSettings, transport: Transport | None = None) -> None:
        """Begin outside; ``enter`` joins."""
        lease = Lease()
        self.host = WatchingHost(lease.host)
        way = transport or settings.transport()
        self.room = Room(settings, self.host, way, lease.release)
        self.events: list[Event] = []
        self._news = asyncio.Condition()
        self._reading: asyncio.Task[None]

    @property
    def me(self) -> Peer:
        """What the others see of us."""
        return self.room.me

    @property
    def key(self) -> SessionKey:
        """Our session."""
        return SessionKey(self.me.id, self.me.sid)

    async def enter(self) -> "Member":
        """Join."""
        await self.room.enter()
        self._reading = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        with suppress(Kicked):  # who is removed hears no more
            async for event in self.room:
                async with self._news:
                    self.events.append(event)
                    self._news.notify_all()

    async def leave(self) -> None:
        """Leave, with little patience, and hear what was still to come."""
        await self.room.leave(patience=1.0)
        await self._reading

    # --- what it heard ---

    def of(self, kind: type[_E]) -> list[_E]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def heard(self, sender: "Member") -> list[Content]:
        """Return the messages of another member, in order."""
        return [event.data for event in self.of(Message) if event.peer.id == sender.me.id]

    def linked(self) -> set[str]:
        """Return whom it has a link to right now."""
        states = {event.peer.id: event.state for event in self.of(LinkChanged)}
        return {peer for peer, state in states.items() if state is LinkState.CONNECTED}

    async def until(self, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait for the event that makes something true."""
        try:
            async with asyncio.timeout(patience), self._news:
                await self._news.wait_for(holds)
        except TimeoutError:
            last = [f"{event!r:.200}" for event in self.events[-12:]]
            raise AssertionError(f"{self.me.name} waited {patience} s in vain: {last}") from None

    # --- its session, on the loop of the session ---

    async def on_mesh(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the session's loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.host.loop))

    def to_link(self, other: "Member", event: LinkEvent) -> None:
        """Hand an event to our link to another member."""
        self.host.runner.feed(FromLink(other.key, event))


Admit: TypeAlias = Callable[..., Awaitable[Member]]


@asynccontextmanager
async def admission() -> AsyncIterator[Admit]:
    """Give what lets a member into a room; all leave in the end.

    It takes what ``RoomSettings`` takes, and a ``transport``.
    """
    members: list[Member] = []

    async def admit(*, transport: Transport | None = None, **settings: Any) -> Member:  # noqa: ANN401
        member = Member(RoomSettings(**settings), transport)
        await member.enter()
        members.append(member)
        return member

    try:
        yield admit
    finally:
        await asyncio.gather(*(member.leave() for member in members))


async def connected(*members: Member) -> None:
    """Wait until every member has a link to every other."""
    ids = {member.me.id for member in members}
    for member in members:
        await member.until(lambda: member.linked() >= ids - {member.me.id})  # noqa: B023 - not kept
