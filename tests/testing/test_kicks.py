"""Removing peers, and rooms with a secret, in the simulated world."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import pytest

from tests.server.mint import MODERATOR, moderated
from tests.testing.storm import ROOM, Member, Storm
from thkmesh import (
    Kicked,
    LeaveReason,
    Message,
    NotAMember,
    NotGranted,
    PeerJoined,
    PeerKicked,
    PeerLeft,
    Refused,
    Room,
    SecretWanted,
    ServerUnreachable,
    new_secret,
)
from thkmesh.server import AccessSettings
from thkmesh.testing import SERVER, World

OPERATOR = b"the operator's own, of the whole cluster"
ACCESS = AccessSettings(secret=OPERATOR, authenticate=moderated)
SECRET, OTHER = new_secret(), new_secret()


def world(access: AccessSettings = ACCESS) -> World:
    """Return one whose server has a secret, and lets Ada remove others."""
    return World(7, access=access)


async def company(world: World, *names: str) -> list[Room]:
    """Let some join one room, and link with each other."""
    tokens = {"ada": MODERATOR}
    rooms = [await world.join(name, room="lobby", token=tokens.get(name, "")) for name in names]
    await world.linked(*rooms)
    return rooms


def test_who_is_kicked_is_told_and_parted_from_all() -> None:
    """Everybody hears who, why and until when; the links are cut; nothing more arrives."""
    here = world()

    async def main() -> None:
        ada, bob, cat = await company(here, "ada", "bob", "cat")
        seen = [here.watch(room.me.name, room) for room in (ada, bob, cat)]
        await ada.kick(cat.me, reason="spam")
        assert ada.peers == (bob.me,)
        await asyncio.sleep(1.0)
        assert bob.peers == (ada.me,)
        until = here.wall_clock(SERVER).timestamp() + 59
        for witness in seen:
            [kicked] = [event for event in witness.events if isinstance(event, PeerKicked)]
            assert (kicked.id, kicked.why) == (cat.me.id, "spam")
            assert until - 2 < kicked.until < until + 2
        for witness in seen[:2]:
            assert PeerLeft(cat.me, LeaveReason.KICKED) in witness.events
        assert cat.closed
        assert isinstance(seen[2].error, Kicked)
        assert seen[2].error.why == "spam"

    here.run(main())


def test_a_kick_reaches_who_is_away_from_the_server() -> None:
    """By those who are linked with it; and by their links it reaches the kicked one, too."""
    here = world()

    async def main() -> None:
        ada, bob, cat = await company(here, "ada", "bob", "cat")
        for host in ("bob", "cat"):
            here.partition(host, SERVER)
        await asyncio.sleep(0.5)
        await ada.kick(cat.me)
        await asyncio.sleep(1.0)
        assert bob.peers == (ada.me,)
        await asyncio.sleep(10.0)  # until its WebSocket is closed
        assert isinstance(cat.error, Kicked)

    here.run(main())


def test_a_kick_reaches_who_was_cut_off_when_its_link_is_back() -> None:
    """A statement that holds is told over every connection that comes up."""
    here = world()

    async def main() -> None:
        ada, bob, cat = await company(here, "ada", "bob", "cat")
        for other in (SERVER, "ada"):
            here.partition("bob", other)
        await asyncio.sleep(0.5)
        await ada.ban(cat.me)
        here.partition("cat", "bob")
        await asyncio.sleep(1.0)
        here.heal("bob", "ada")
        await asyncio.sleep(10.0)
        assert cat.me not in bob.peers

    here.run(main())


def test_who_missed_it_hears_of_it_though_the_server_has_forgotten() -> None:
    """Every connection that comes up is told what holds."""
    here = world()

    async def main() -> None:
        ada, bob, cat = await company(here, "ada", "bob", "cat")
        seen = here.watch("bob", bob)
        here.partition("bob")
        await asyncio.sleep(0.5)
        await ada.ban(cat.me)
        here.restart_server()
        await asyncio.sleep(60.0)
        here.heal("bob")
        await asyncio.sleep(30.0)
        [kicked] = [event for event in seen.events if isinstance(event, PeerKicked)]
        assert kicked.id == cat.me.id
        assert bob.peers == (ada.me,)

    here.run(main())


def test_a_ban_keeps_out_until_it_ends() -> None:
    """Joining again fails meanwhile, and works afterwards."""
    here = world()

    async def main() -> None:
        ada, bob = await company(here, "ada", "bob")
        await ada.ban(bob.me, duration=100.0, reason="noise")
        with pytest.raises(Kicked, match="noise"):
            await here.join("bob", room="lobby")
        other = await here.join("bob", room="elsewhere")
        await other.leave()
        await asyncio.sleep(99.9)
        again = await here.join("bob", room="lobby")
        await here.linked(ada, again)

    here.run(main())


def test_who_is_not_granted_it_removes_nobody() -> None:
    """The server refuses; so it does, at once, where it is away."""
    here = world()

    async def main() -> None:
        ada, bob = await company(here, "ada", "bob")
        with pytest.raises(NotGranted):
            await bob.kick(ada.me)
        here.kill(SERVER)
        await asyncio.sleep(1.0)
        with pytest.raises(ServerUnreachable):
            await ada.kick(bob.me)
        assert ada.peers == (bob.me,)

    here.run(main())


def test_a_ban_is_told_to_who_comes_back() -> None:
    """Who was away from everybody learns of it with its welcome."""
    here = world()

    async def main() -> None:
        ada, bob, cat = await company(here, "ada", "bob", "cat")
        for other in (SERVER, "ada"):
            here.partition("bob", other)
        await asyncio.sleep(0.5)
        here.partition("cat", SERVER)
        here.partition("cat", "ada")
        await asyncio.sleep(0.5)
        await ada.ban(cat.me)
        await asyncio.sleep(1.0)
        assert cat.me in bob.peers
        here.heal("bob", SERVER)
        await asyncio.sleep(40.0)
        assert cat.me not in bob.peers
        assert isinstance(cat.error, Kicked)

    here.run(main())


def test_a_statement_under_another_key_is_inert() -> None:
    """Who has been away since before the server's key changed cannot tell that it is genuine."""
    here = World(9, access=AccessSettings(authenticate=moderated))

    async def main() -> None:
        ada, bob, cat = await company(here, "ada", "bob", "cat")
        seen = here.watch("bob", bob)
        here.partition("bob", SERVER)
        here.restart_server()
        await asyncio.sleep(10.0)
        await ada.ban(cat.me)
        await asyncio.sleep(10.0)
        assert not [event for event in seen.events if isinstance(event, PeerKicked | Refused)]
        here.heal("bob", SERVER)
        await asyncio.sleep(20.0)
        [kicked] = [event for event in seen.events if isinstance(event, PeerKicked)]
        assert kicked.id == cat.me.id
        assert bob.peers == (ada.me,)

    here.run(main())


class RemovalStorm(Storm):
    """A storm in which the server also removes peers, who come back when they may."""

    kinds = (*Storm.kinds, *("remove",) * 4)

    def __init__(self, seed: int) -> None:
        """Make the world of a seed."""
        world = World(seed, delay=0.02, jitter=0.03, access=AccessSettings(secret=OPERATOR))
        super().__init__(seed, world=world)
        self._coming: set[asyncio.Task[None]] = set()
        self._until: dict[str, float] = {}
        self.removed = 0

    async def _trouble(self) -> None:
        if self.dice.random() < 0.7:
            await super()._trouble()
            return
        member = self.dice.choice(self.members)
        service = self.world.server.service
        if service is None or member.room is None or member.room.closed:
            return
        duration = self.dice.uniform(1.0, 40.0)
        self.removed += 1
        service.kick(ROOM, member.room.me.id, duration)
        again = member.host in self._until
        until = max(self._until.get(member.host, 0.0), self.world.time + duration)
        self._until[member.host] = until
        if not again:
            task = asyncio.create_task(self._return(member, member.room))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _return(self, member: Member, room: Room) -> None:
        """Come back when the ban is over, if by then it has been heard of."""
        until = self.world.time + 200.0
        while (  # noqa: ASYNC110 - what it looks at is no event
            self.world.time < self._until[member.host] or not room.closed
        ) and (member.room is room and self.world.time < until):
            await asyncio.sleep(1.0)
        del self._until[member.host]
        if member.room is room and room.closed:
            # Should it be killed meanwhile, that comes to no end.
            await asyncio.wait({asyncio.create_task(self.join(member))}, timeout=60.0)

    async def calm(self) -> None:
        """End all trouble; wait until all are back."""
        self.world.heal()
        while self._coming:
            await asyncio.wait(self._coming)
        await super().calm()

    async def join(self, member: Member) -> None:
        """Join, and watch who is removed."""
        before = member.room
        await super().join(member)
        if member.room is not None and member.room is not before:
            self.world.spawn(member.host, self._watch(member, member.room))

    async def _read(self, member: Member, room: Room) -> None:
        with suppress(Kicked):
            await super()._read(member, room)

    async def _watch(self, member: Member, room: Room) -> None:
        """See that nobody comes before its time, nor stays when it is removed."""
        until: dict[str, float] = {}
        with suppress(Kicked):
            async for event in room.subscribe(unread=True):
                now = self.world.wall_clock(SERVER).timestamp()
                match event:
                    case PeerKicked(id=user_id):
                        until[user_id] = event.until
                        if now < event.until and user_id in [peer.id for peer in room.peers]:
                            member.faults.append(f"{user_id} is still here")
                    case PeerJoined(peer=peer) if until.get(peer.id, now) > now + 0.01:
                        member.faults.append(f"{peer.name} is here too soon")
                    case _:
                        pass


def blow(seeds: Iterable[int]) -> None:
    """Blow storms with removals; say which it was that failed."""
    removed = 0
    for seed in seeds:
        storm = RemovalStorm(seed)
        try:
            storm.blow()
        except BaseException as error:
            error.add_note(f"storm seed {seed}")
            raise
        removed += storm.removed
    assert removed > 0, "nobody was removed"


@pytest.mark.parametrize("first", [0, 10])
def test_after_a_storm_with_removals_every_pair_converges(first: int) -> None:
    """Nobody comes before its time, nobody removed stays, and in the end all are there."""
    blow(range(first, first + 10))


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 3000, 200))
def test_after_many_storms_with_removals_every_pair_converges(first: int) -> None:
    """The same law over two thousand seeds."""
    blow(range(first, first + 200))


def test_members_of_a_room_with_a_secret_meet() -> None:
    """Those with the same secret are linked, and with nobody else."""
    here = World(8)

    async def main() -> None:
        ada = await here.join("ada", room="lobby", secret=SECRET)
        bob = await here.join("bob", room="lobby", secret=SECRET)
        eve = await here.join("eve", room="lobby", secret=OTHER)
        guest = await here.join("guest", room="lobby")
        seen = [here.watch(room.me.name, room) for room in (ada, bob, eve, guest)]
        await here.linked(ada, bob)
        await ada.send("between us")
        await eve.send("let me in")
        await guest.send("hello?")
        await asyncio.sleep(60.0)
        assert ada.peers == (bob.me,)
        assert eve.peers == guest.peers == ()
        for witness in seen[:2]:
            said = [event.data for event in witness.events if isinstance(event, Message)]
            assert said in (["between us"], [])
        for witness, kind, count in ((seen[0], NotAMember, 2), (seen[2], NotAMember, 3)):
            refused = [event.error for event in witness.events if isinstance(event, Refused)]
            assert [type(error) for error in refused] == [kind] * count
        refused = [event.error for event in seen[3].events if isinstance(event, Refused)]
        assert [type(error) for error in refused] == [SecretWanted] * 3
        assert not any(isinstance(event, PeerJoined) for event in seen[3].events)

    here.run(main())
