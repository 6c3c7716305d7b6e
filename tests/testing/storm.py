"""A storm over a simulated room: everything goes wrong, then it is quiet.

What may happen: processes are killed and come back as new sessions, stall, or are
suspended; the network parts; the ways between two hosts change or fail; clocks on
walls jump; WebSockets break; the server is killed and comes back empty; and between
the two ends of every WebSocket signals are doubled, held back and replayed from
former lives. After it, the laws of a room must hold again.

An *hour* (``Storm.hour``) is a storm with the troubles of an ordinary bad day.
"""

import asyncio
from dataclasses import dataclass, field

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
from thkmesh.testing import SERVER, Scrambler, World

ROOM = "storm"
KINDS = ("kill", "stall", "suspend", "partition", "heal", "disconnect", "restart")
"""The troubles of processes, of whole hosts and of the server."""

QUIET = 240.0
"""Seconds that a room has to come to rest after the last trouble: to find the server again, and
to forgive for a while whoever a server that restarted does not list."""

UNNOTICED = 10.0
"""Seconds for which everybody may believe in a path that is dead: see ``heartbeat``."""


@dataclass
class Member:
    """One host, its present session, and what the application has seen of it."""

    host: str
    room: Room | None = None
    sent: int = 0
    first: int = 1
    """The first number that this session says."""
    owes: dict[Peer, int] = field(default_factory=dict)
    """By who was here when it was said, the first number of this session's."""
    given_up: set[Peer] = field(default_factory=set)
    """Who was here and was not, for a while or for good."""
    whispered: dict[Peer, int] = field(default_factory=dict)
    """The last number that was for a session alone; they begin with 1."""
    unsaid: dict[Peer, int] = field(default_factory=dict)
    """How many of these could not be sent, because it was not here."""
    whispers: dict[Peer, list[int]] = field(default_factory=dict)
    """What was for us alone, by who said it."""
    heard: dict[Peer, list[int]] = field(default_factory=dict)
    lost: dict[Peer, int] = field(default_factory=dict)
    present: set[Peer] = field(default_factory=set)
    refused: list[Refused] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Storm:
    """One run; ``blow`` does it all and checks the laws."""

    kinds: tuple[str, ...] = (*KINDS, "away", "gone", "move", "tear", "clock")

    def __init__(
        self,
        seed: int,
        *,
        hosts: int = 4,
        troubles: int = 10,
        every: float = 4.0,
        chatter: float | None = None,
        linger: bool = False,
        world: World | None = None,
    ) -> None:
        """Make the world of a seed, or take one.

        Args:
            seed: of everything.
            hosts: how many there are, each with a member of the room.
            troubles: how many there will be.
            every: seconds between two of them, on average.
            chatter: seconds between two things that everybody says, beside what is
                said after each trouble; None means nothing.
            linger: let all of ``QUIET`` pass, though the room is at rest before.
            world: None means one of that seed.
        """
        self.world = world or World(seed, delay=0.02, jitter=0.03)
        self.dice = self.world.dice("storm")
        self.members = [Member(f"h{n}") for n in range(hosts)]
        self.troubles = troubles
        self.every = every
        self.chatter = chatter
        self.linger = linger
        self.awake_at = 0.0
        """When nobody sleeps any more, and nobody is in error."""
        self.scrambler = Scrambler(
            self.world.dice("replayer"), doubled=0.05, held=0.05, replayed=0.05
        )

    @classmethod
    def hour(cls, seed: int) -> "Storm":
        """Return an hour of two to four peers, with twelve troubles and some talk."""
        return cls(
            seed,
            hosts=(2, 2, 3, 2, 3, 2, 3, 2, 3, 4)[seed % 10],
            troubles=12,
            every=300.0,
            chatter=60.0,
        )

    def blow(self) -> str:
        """Run the storm; return the digest of its trace."""
        self.world.run(self._blow(), limit=36_000.0)
        assert self.world.illegal == [], "an engine was asked for what is illegal"
        return self.world.trace_digest()

    async def _blow(self) -> None:
        self.world.server.tamper = self.scrambler
        for member in self.members:
            await self.join(member)
        chatting = asyncio.create_task(self._chat()) if self.chatter else None
        for _ in range(self.troubles):
            await asyncio.sleep(self.dice.expovariate(1 / self.every))
            await self._trouble()
            await self.talk()
        if chatting is not None:
            chatting.cancel()
        await self.calm()
        await self.talk()
        await asyncio.sleep(5.0)
        self.check()
        for member in self.members:
            if member.room is not None:
                await member.room.leave(patience=1.0)

    async def calm(self) -> None:
        """End all trouble; wait until the room is at rest, or should be."""
        self.scrambler.active = False
        self.world.heal()
        until = self.world.time + QUIET
        self.awake_at = max(self.awake_at, self.world.time) + UNNOTICED
        while self.world.time < until:
            await asyncio.sleep(1.0)
            if not self.linger and self.world.time > self.awake_at and self._is_at_rest():
                return

    def _is_at_rest(self) -> bool:
        """Tell whether everybody sees everybody, as at the end it must."""
        try:
            for member in self.members:
                if member.room is not None and not member.room.closed:
                    self._check_presence(member, member.room)
        except AssertionError:
            return False
        return True

    async def _chat(self) -> None:
        while True:
            await asyncio.sleep(self.dice.expovariate(1 / (self.chatter or QUIET)))
            await self.talk()

    async def join(self, member: Member) -> None:
        """Let a host's present process join, and read everything it gets."""
        try:
            room = await self.world.join(member.host, room=ROOM)
        except MeshError:
            return
        member.room = room
        member.first = member.sent + 1
        member.owes = {}
        member.given_up = set()
        member.whispered = {}
        member.unsaid = {}
        member.heard = {}
        member.whispers = {}
        member.lost = {}
        member.present = set()
        self.world.spawn(member.host, self._read(member, room))

    async def _read(self, member: Member, room: Room) -> None:
        async for event in room:
            if member.room is not room:
                return  # It has left, or is in another life.
            match event:
                case Message(peer=peer, data=int(number), direct=direct):
                    heard = (member.whispers if direct else member.heard).setdefault(peer, [])
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
                    member.given_up.add(peer)
                case Refused():
                    member.refused.append(event)
                case _:
                    pass

    async def talk(self) -> None:
        """Let everybody say a number, each higher than its last."""
        for member in self.members:
            if member.room is not None and not member.room.closed:
                member.sent += 1
                self.world.spawn(member.host, self.say(member, member.room, member.sent))

    async def say(self, member: Member, room: Room, number: int) -> None:
        """Let a member say a number, and note whom it owes it."""
        before = set(room.peers)
        try:
            async with asyncio.timeout(60.0):
                await room.send(number)
        except (MeshError, TimeoutError):
            return
        if member.room is room:
            for peer in before.intersection(room.peers):
                member.owes.setdefault(peer, number)

    async def whisper(self, member: Member, room: Room, peer: Peer) -> None:
        """Let a member say the next number to one session alone."""
        member.whispered[peer] = number = member.whispered.get(peer, 0) + 1
        try:
            await room.send(number, to=peer)
        except MeshError:
            member.unsaid[peer] = member.unsaid.get(peer, 0) + 1

    async def _trouble(self) -> None:
        member = self.dice.choice(self.members)
        other = self.dice.choice([each for each in self.members if each is not member])
        world, dice, host = self.world, self.dice, member.host
        match dice.choice(self.kinds):
            case "kill":
                world.kill(host)
                member.room = None
                await asyncio.sleep(dice.uniform(0.0, 3.0))
                await self.join(member)
            case "stall":
                world.stall(host, self._sleep())
            case "suspend":
                world.suspend(host, self._sleep())
            case "partition":
                world.partition(host, other.host)
            case "heal":
                world.heal(host, other.host)
            case "disconnect":
                world.server.disconnect(host)
            case "restart":
                world.kill(SERVER)
                await asyncio.sleep(dice.uniform(0.0, 5.0))
                world.server.start()
            case "away":
                world.partition(host, SERVER)
                world.loop.call_later(dice.uniform(1.0, 60.0), world.heal, host, SERVER)
            case "gone":
                world.partition(host)
                world.loop.call_later(dice.uniform(1.0, 200.0), world.heal, host)
            case "move":
                world.kill_path(host, other.host)
            case "tear":
                world.kill_path(host, other.host, silently=False)
            case _:
                world.jump_clock(host, dice.choice([-86_400.0, -3600.0, 3600.0, 86_400.0]))

    def _sleep(self) -> float:
        duration = self.dice.uniform(0.5, 20.0)
        self.awake_at = max(self.awake_at, self.world.time + duration)
        return duration

    # --- the laws -----------------------------------------------------------------

    def check(self) -> None:
        """Hold everybody to the laws."""
        for member in self.members:
            assert member.faults == [], f"{member.host}: {member.faults}"
            if member.room is None or member.room.closed:
                # A killed server may have had its last room full of ghosts.
                continue
            self._check_room(member, member.room)

    def _check_room(self, member: Member, room: Room) -> None:
        self._check_presence(member, room)
        for other in self.members:
            if other.room in (None, room) or other.room.closed:
                continue
            peer = other.room.me
            heard = member.heard.get(peer, [])
            assert heard[-1:] == [other.sent], f"{member.host} heard {heard} of {other.host}"
            alone = member.whispers.get(peer, [])
            owed = other.sent + 1 + other.whispered.get(room.me, 0) - other.unsaid.get(room.me, 0)
            owed -= len(heard) + len(alone)
            least = most = owed - min(heard[0], other.owes.get(room.me, heard[0]))
            if room.me in other.given_up:
                # It lost what was said meanwhile, too; but before there was ever a connection
                # it was given up as a stranger, and returned as one.
                least, most = owed - heard[0] - (alone[0] - 1 if alone else 0), owed - other.first
            told = member.lost.get(peer, 0)
            said = f"{heard} {alone} of {other.host}"
            assert least <= told <= most, f"{member.host}: {least} missing, {told} told: {said}"
        for refused in member.refused:
            # Replays of former lives and unsigned copies; never a violation by a correct peer.
            allowed = isinstance(refused.error, InvalidMessage) and not isinstance(
                refused.error, Unsigned
            )
            assert allowed or "not introduced" in str(refused.error), f"{refused}"

    def _check_presence(self, member: Member, room: Room) -> None:
        assert room.server is ServerState.CONNECTED
        alive = {m.room.me for m in self.members if m.room is not None and not m.room.closed} - {
            room.me
        }
        assert set(room.peers) == alive, f"{member.host} sees {room.peers}, not {alive}"
        for peer in room.peers:
            view = room.link(peer)
            assert view is not None
            assert view.state is LinkState.CONNECTED, f"{member.host} to {peer.name}: {view}"
