"""Collisions on purpose, on real engines: two sides that speak at once (promise N3)."""

import asyncio
import itertools
import random
import secrets
import time
from dataclasses import dataclass, field

import pytest

from tests.rooms.figures import percentile, report, summary
from tests.rooms.members import Admit, Member, admission, connected
from tests.rooms.processes import Server
from thkmesh import LinkState
from thkmesh.core.link_events import LinkEvent, Renew
from thkmesh.core.negotiation import Change

BATCH = 5
"""Pairs that collide at the same time; more would measure how many fit one thread."""

LIMIT = 5.0
"""Seconds; we promise two."""

NEARLY = 0.004
"""Seconds between two sides' wishes, at most: about what a signal takes."""

WISHES: tuple[LinkEvent, ...] = (Change(), Change(ice_restart=True), Renew())


@dataclass
class Collisions:
    """What came of the pairs so far."""

    server: Server
    dice: random.Random
    seconds: list[float] = field(default_factory=list)
    withdrawn: int = 0
    """How many offers were taken back because the other side's crossed them."""

    async def pair(self, admit: Admit, *, hasty: bool = False) -> list[Member]:
        """Let two members into a room of their own, not quite at the same moment."""
        room = secrets.token_hex(8)

        async def one(delay: float) -> Member:
            await asyncio.sleep(delay)
            return await admit(url=self.server.url, room=room, hasty=hasty)

        members = await asyncio.gather(one(0.0), one(self.dice.uniform(0.0, 0.02)))
        return sorted(members, key=lambda member: member.key)

    async def first_offers(self, admit: Admit) -> None:
        """Have both sides of a new pair offer first."""
        begun = time.monotonic()
        polite, impolite = await self.pair(admit, hasty=True)
        await connected(polite, impolite)
        self.seconds.append(time.monotonic() - begun)
        self.withdrawn += len(polite.host.watched.connections) - 1
        await converse(polite, impolite)

    async def wishes(self, admit: Admit) -> None:
        """Have both sides of a connected pair want something, at about the same time."""
        polite, impolite = await self.pair(admit)
        await connected(polite, impolite)
        await converse(polite, impolite)
        wishes = [
            (
                side,
                other,
                self.dice.choice(WISHES),
                self.dice.choice([0.0, 1.0]) * self.dice.uniform(0.0, NEARLY),
            )
            for side, other in itertools.permutations((polite, impolite))
        ]
        self.seconds.append(await polite.on_mesh(collide(wishes)))
        self.withdrawn += sum(each.rollbacks for each in polite.host.watched.connections)
        await converse(polite, impolite)


async def collide(wishes: list[tuple[Member, Member, LinkEvent, float]]) -> float:
    """Hand each side its wish after its delay; return the seconds until both are at rest."""
    loop = asyncio.get_running_loop()
    await rest(wishes)
    begun = loop.time()
    for side, other, wish, delay in wishes:
        loop.call_later(delay, side.to_link, other, wish)
    # Timers run in the order of their times: when this one does, both sides have their wish.
    handed = loop.create_future()
    loop.call_later(max(delay for *_, delay in wishes), handed.set_result, None)
    await handed
    await rest(wishes)
    return loop.time() - begun


async def rest(wishes: list[tuple[Member, Member, LinkEvent, float]]) -> None:
    """Wait until neither side has anything in flight."""
    while not all(settled(side, other) for side, other, *_ in wishes):
        for side, other, *_ in wishes:
            await side.host.until(lambda: settled(side, other))  # noqa: B023 - not kept


def settled(side: Member, other: Member) -> bool:
    """Tell whether a link is connected and nothing is being negotiated on it."""
    mine, theirs = side.host.runner.link(other.me), other.host.runner.link(side.me)
    if mine is None or theirs is None or mine.generation != theirs.generation:
        return False
    at_rest = side.host.watched.connections[-1].at_rest
    return at_rest and mine.state is LinkState.CONNECTED


async def converse(*pair: Member) -> None:
    """See that messages pass, both ways and in order."""
    for sender, receiver in itertools.permutations(pair):
        before = len(receiver.heard(sender))
        for number in range(5):
            await sender.room.send(number)
        await receiver.until(lambda: len(receiver.heard(sender)) == before + 5)  # noqa: B023
        assert receiver.heard(sender)[before:] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("pairs", [100, pytest.param(1000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", ["first_offers", "wishes"])
async def test_no_collision_wedges_a_pair(server: Server, kind: str, pairs: int) -> None:
    """However two sides' offers, restarts and renewals cross, they connect and go on talking."""
    seed = secrets.randbits(32)
    report(f"seed {seed}")
    collisions = Collisions(server, random.Random(seed))
    for _ in range(pairs // BATCH):
        async with admission() as admit:
            await asyncio.gather(*(getattr(collisions, kind)(admit) for _ in range(BATCH)))
    report(f"{kind}: {collisions.withdrawn} offers withdrawn; {summary(collisions.seconds)}")
    assert collisions.withdrawn > pairs // 20, "too few collisions to tell anything"
    assert percentile(collisions.seconds, 99) < LIMIT
