"""Messages over connections that are killed under them, on a real engine (promise M1)."""

import asyncio
import random
import secrets
import time

import pytest

from tests.rooms.figures import report, summary
from tests.rooms.members import Admit, Member, admission, connected
from tests.rooms.processes import Server
from thkmesh import LinkChanged, LinkState, Lost, PeerLagging, Undelivered
from thkmesh.core.retry import STEADY

PAIRS = 4
ROUND = 250
"""Messages of each side that are on their way to be accepted at the same time."""


class Talk:
    """A pair that talks while its connections are killed."""

    def __init__(self, pair: list[Member], dice: random.Random) -> None:
        """Take two that are connected."""
        self.pair = pair
        self.count = 0
        """How many messages each side has sent."""
        self.seconds: list[float] = []
        """How long each was without a connection."""
        self._dice = dice

    async def go_on(self, seconds: float, least: int) -> None:
        """Send both ways, to all and to the other alone, for so long and so much."""
        one, other = self.pair
        until, enough = time.monotonic() + seconds, self.count + least
        while time.monotonic() < until or self.count < enough:
            numbers = range(self.count, self.count + ROUND)
            self.count += ROUND
            await asyncio.gather(
                *(one.room.send(each, to=other.me if each % 3 == 0 else None) for each in numbers),
                *(other.room.send(each, to=one.me if each % 3 == 0 else None) for each in numbers),
            )

    async def kill(self) -> None:
        """Kill the connection of one side, with all that its engine holds; await the next."""
        victim = self._dice.choice(self.pair)
        before = [len(each.of(LinkChanged)) for each in self.pair]
        sending = asyncio.create_task(self.go_on(0.0, ROUND))
        await asyncio.sleep(self._dice.uniform(0.0, 0.02))
        begun = time.monotonic()
        await victim.on_mesh(victim.host.watched.connections[-1].close())
        for each, known in zip(self.pair, before, strict=True):
            await each.until(lambda: up_again(each, known))  # noqa: B023 - not kept
        self.seconds.append(time.monotonic() - begun)
        await sending

    async def end(self) -> None:
        """Wait until all has arrived; see that it is all, once and in order."""
        for one, other in (self.pair, self.pair[::-1]):
            await other.until(lambda: len(other.heard(one)) >= self.count)  # noqa: B023
            heard = [each for each in other.heard(one) if isinstance(each, int)]
            for alone in (False, True):
                wanted = [each for each in range(self.count) if (each % 3 == 0) is alone]
                assert [each for each in heard if (each % 3 == 0) is alone] == wanted
            assert not other.of(Lost) + other.of(PeerLagging) + other.of(Undelivered)


def up_again(member: Member, before: int) -> bool:
    """Tell whether a link has broken since, and is connected again."""
    news = member.of(LinkChanged)[before:]
    return len(news) > 1 and news[-1].state is LinkState.CONNECTED


async def converse(
    server: Server, admit: Admit, dice: random.Random, kills: int, least: int
) -> Talk:
    """Let a pair talk through so many kills."""
    room = secrets.token_hex(8)
    pair = [await admit(url=server.url, room=room) for _ in range(2)]
    await connected(*pair)
    talk = Talk(pair, dice)
    for _ in range(kills):
        await talk.go_on(STEADY, least)
        await talk.kill()
    await talk.end()
    return talk


@pytest.mark.parametrize(
    ("kills", "least"), [(5, 1_000), pytest.param(25, 4_000, marks=pytest.mark.nightly)]
)
async def test_killed_connections_lose_nothing(server: Server, kills: int, least: int) -> None:
    """Each message arrives once and in order, whenever the connection under it dies."""
    seed = secrets.randbits(32)
    report(f"seed {seed}")
    dice = [random.Random(seed + number) for number in range(PAIRS)]
    async with admission() as admit:
        talks = await asyncio.gather(
            *(converse(server, admit, each, kills, least) for each in dice)
        )
    seconds = [each for talk in talks for each in talk.seconds]
    total = sum(2 * talk.count for talk in talks)
    report(f"{total} messages, {len(seconds)} connections killed; back after {summary(seconds)}")
    assert len(seconds) == PAIRS * kills
