"""A storm over a simulated room: everything goes wrong, then it is quiet.

What may happen: processes are killed and come back as new sessions, stall, or are
suspended; the network parts; WebSockets break; the server is killed and comes
back empty; and between the two ends of every WebSocket signals are doubled, held
back and replayed from former lives. After it, the laws of a room must hold again.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from random import Random

from thkmesh import (
    InvalidMessage,
    LinkState,
    Lost,
    MeshError,
    Message,
    Peer,
    PeerJoined,
    PeerLeft,
    Refused,
    Room,
    ServerState,
)
from thkmesh.core.wire import Unsigned
from thkmesh.testing import Direction, World

ROOM = "storm"
QUIET = 60.0
"""Seconds that a room has to come to rest after the last trouble."""


@dataclass
class Member:
    """One host, its present session, and what the application has seen of it."""

    host: str
    room: Room | None = None
    sent: int = 0
    heard: dict[Peer, list[int]] = field(default_factory=dict)
    lost: dict[Peer, int] = field(default_factory=dict)
    present: set[Peer] = field(default_factory=set)
    refused: list[Refused] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Replayer:
    """Doubles and holds back what goes through the server, and replays old signals."""

    def __init__(self, dice: Random) -> None:
        """Keep the dice; remember the last few hundred signals."""
        self._dice = dice
        self._past: deque[str] = deque(maxlen=200)
        self._held: dict[tuple[Direction, str], list[str]] = {}
        self.active = True

    def __call__(self, direction: Direction, host: str, text: str) -> list[str]:
        """Return what travels on in the place of ``text``."""
        key = (direction, host)
        held = self._held.pop(key, [])
        if not self.active or '"type":"webrtc-' not in text:
            return [text, *held]
        out = [text, *held]
        chance = self._dice.random()
        if chance < 0.05:
            out.append(text)
        elif chance < 0.10 and direction is Direction.TO_CLIENT:
            self._held[key] = out
            return []
        elif chance < 0.15 and direction is Direction.TO_CLIENT and self._past:
            out.append(self._dice.choice(self._past))
        self._past.append(text)
        return out


class Storm:
    """One run; ``blow`` does it all and checks the laws."""

    def __init__(
        self, seed: int, *, hosts: int = 4, troubles: int = 10, world: World | None = None
    ) -> None:
        """Make the world of a seed, or take one."""
        self.world = world or World(seed, delay=0.02, jitter=0.03)
        self.dice = self.world.dice("storm")
        self.members = [Member(f"h{n}") for n in range(hosts)]
        self.troubles = troubles
        self.replayer = Replayer(self.world.dice("replayer"))

    def blow(self) -> str:
        """Run the storm; return the digest of its trace."""
        self.world.run(self._blow(), limit=7200.0)
        assert self.world.illegal == [], "an engine was asked for what is illegal"
        return self.world.trace_digest()

    async def _blow(self) -> None:
        self.world.server.tamper = self.replayer
        for member in self.members:
            await self._join(member)
        for _ in range(self.troubles):
            await asyncio.sleep(self.dice.expovariate(1 / 4.0))
            await self._trouble()
            await self._talk()
        self.replayer.active = False
        for a in self.members:
            for b in self.members:
                if a is not b:
                    self.world.network.heal(a.host, b.host)
        await asyncio.sleep(QUIET)
        await self._talk()
        await asyncio.sleep(5.0)
        self._check()
        for member in self.members:
            if member.room is not None:
                await member.room.leave(patience=1.0)

    async def _join(self, member: Member) -> None:
        """Let a host's present process join, and read everything it gets."""
        try:
            room = await self.world.join(member.host, room=ROOM)
        except MeshError:
            return
        member.room = room
        member.heard = {}
        member.lost = {}
        member.present = set()
        self.world.spawn(member.host, self._read(member, room))

    async def _read(self, member: Member, room: Room) -> None:
        async for event in room:
            match event:
                case Message(peer=peer, data=int(number)):
                    heard = member.heard.setdefault(peer, [])
                    if heard and number <= heard[-1]:
                        member.faults.append(f"{number} after {heard[-1]} from {peer.name}")
                    if peer not in member.present:
                        member.faults.append(f"a message of {peer.name}, who is not here")
                    heard.append(number)
                case Lost(peer=peer, count=int(count)):
                    member.lost[peer] = member.lost.get(peer, 0) + count
                case PeerJoined(peer=peer):
                    if peer in member.present:
                        member.faults.append(f"{peer.name} joined twice")
                    member.present.add(peer)
                case PeerLeft(peer=peer):
                    if peer not in member.present:
                        member.faults.append(f"{peer.name} left without having joined")
                    member.present.discard(peer)
                case Refused():
                    member.refused.append(event)
                case _:
                    pass

    async def _talk(self) -> None:
        """Let everybody say a number, each higher than its last."""
        for member in self.members:
            if member.room is not None and not member.room.closed:
                member.sent += 1
                self.world.spawn(member.host, self._say(member.room, member.sent))

    async def _say(self, room: Room, number: int) -> None:
        try:
            async with asyncio.timeout(60.0):
                await room.send(number)
        except (MeshError, TimeoutError):
            pass

    async def _trouble(self) -> None:
        member = self.dice.choice(self.members)
        other = self.dice.choice([each for each in self.members if each is not member])
        match self.dice.randrange(7):
            case 0:
                self.world.kill(member.host)
                member.room = None
                await asyncio.sleep(self.dice.uniform(0.0, 3.0))
                await self._join(member)
            case 1:
                self.world.stall(member.host, self.dice.uniform(0.5, 20.0))
            case 2:
                self.world.suspend(member.host, self.dice.uniform(0.5, 20.0))
            case 3:
                self.world.network.partition(member.host, other.host)
            case 4:
                self.world.network.heal(member.host, other.host)
            case 5:
                self.world.server.disconnect(member.host)
            case _:
                self.world.kill("server")
                await asyncio.sleep(self.dice.uniform(0.0, 5.0))
                self.world.server.start()

    # --- the laws -----------------------------------------------------------------

    def _check(self) -> None:
        for member in self.members:
            assert member.faults == [], f"{member.host}: {member.faults}"
            if member.room is None or member.room.closed:
                # A killed server may have had its last room full of ghosts.
                continue
            self._check_room(member, member.room)

    def _check_room(self, member: Member, room: Room) -> None:
        assert room.server is ServerState.CONNECTED
        alive = {m.room.me for m in self.members if m.room is not None and not m.room.closed} - {
            room.me
        }
        assert set(room.peers) == alive, f"{member.host} sees {room.peers}, not {alive}"
        for peer in room.peers:
            view = room.link(peer)
            assert view is not None
            assert view.state is LinkState.CONNECTED, f"{member.host} to {peer.name}: {view}"
        for other in self.members:
            if other.room is not None and other.room.me in alive:
                heard = member.heard.get(other.room.me, [None])
                assert heard[-1] == other.sent, f"{member.host} heard {heard[-1]} of {other.host}"
                missing = other.sent - (heard[0] or 0) + 1 - len(heard)
                told = member.lost.get(other.room.me, 0)
                assert missing == told, f"{member.host}: {missing} missing, {told} told: {heard}"
        for refused in member.refused:
            # Replays of former lives and unsigned copies; never a violation by a correct peer.
            allowed = isinstance(refused.error, InvalidMessage) and not isinstance(
                refused.error, Unsigned
            )
            assert allowed or "not introduced" in str(refused.error), f"{refused}"
