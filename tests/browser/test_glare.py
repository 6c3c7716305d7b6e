"""Collisions on purpose between Python, Chromium and Firefox (promise N3).

The same as between Python peers, in ``tests/rooms/test_glare.py``; here each engine
meets each other one, in either role.
"""

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest

from tests.browser.chromium import Page
from tests.browser.firefox import Firefox
from tests.browser.sides import Home, PageHome, ProcessHome, Side, State, Wish
from tests.browser.stage import Stage
from tests.rooms.figures import percentile, report, summary

BATCH = 5
"""Pairs that collide at the same time; more would measure how many fit one thread."""

LIMIT = 15.0
"""Seconds; we promise two. On two cores with a load of 28 the slowest pair took three."""

PATIENCE = 20.0
"""Seconds after which a pair is stuck; a negotiation is given up after 15."""

LEAD = 0.1
"""Seconds from telling a wish until it is wanted, so that both sides know theirs in time."""

NEARLY = 0.004
"""Seconds between two sides' wishes, at most: about what a signal takes."""

ROUNDS = 3
"""So often the pairs are played, at most, until enough have collided: a busy machine is late."""

COUPLES = (("Python", "Chromium"), ("Python", "Firefox"), ("Chromium", "Firefox"))

CHANGE: Wish = {"type": "change", "iceRestart": False}
RESTART: Wish = {"type": "change", "iceRestart": True}
RENEW: Wish = {"type": "renew"}

WORDS = [0, 1, 2, 3, 4]


def wishes_of(one: str, other: str) -> tuple[Wish, ...]:
    """Return what one engine wishes of another.

    An ICE restart that wrtc offers to Firefox now and then leaves their path dead (7 times of
    90, without any collision) until the heartbeat has the connection replaced, seconds later.
    No link asks for one by itself; a connection that fails is replaced.
    """
    if (one, other) == ("Python", "Firefox"):
        return CHANGE, RENEW
    return CHANGE, RESTART, RENEW


@dataclass
class Collisions:
    """What came of the pairs so far."""

    couple: tuple[str, str]
    homes: tuple[Home, Home]
    dice: random.Random
    seconds: list[float] = field(default_factory=list)
    withdrawn: int = 0
    """How many offers were taken back because the other side's crossed them."""
    stuck: list[str] = field(default_factory=list)
    """What each wanted where that led nowhere."""

    def __post_init__(self) -> None:
        """Have every wish of one cross every wish of the other, in an order of chance."""
        one, other = self.couple
        crossings = list(itertools.product(wishes_of(one, other), wishes_of(other, one)))
        self.dice.shuffle(crossings)
        self._crossings = itertools.cycle(crossings)

    async def batch(self, kind: str, polite: int) -> None:
        """Have some pairs collide at the same time; ``polite`` tells which home is."""
        await asyncio.gather(*(self._pair(kind, polite) for _ in range(BATCH)))

    async def _pair(self, kind: str, polite: int) -> None:
        pair = [Side(home, polite=number == polite) for number, home in enumerate(self.homes)]
        try:
            async with asyncio.timeout(PATIENCE):
                await getattr(self, kind)(pair)
        except TimeoutError:
            self.stuck.append(str([(side.polite, side.wish) for side in pair]))
            return
        await asyncio.gather(*(side.leave() for side in pair))

    async def first_offers(self, pair: list[Side]) -> None:
        """Have both sides of a new pair offer first."""
        begun = time.monotonic()
        await enter(pair, hasty=True)
        polite = await rest(pair)
        seconds = time.monotonic() - begun
        await converse(pair, times=1)
        self.seconds.append(seconds)
        self.withdrawn += polite.connections - 1

    async def wishes(self, pair: list[Side]) -> None:
        """Have both sides of a connected pair want something, at about the same time."""
        await enter(pair)
        await rest(pair)
        await converse(pair, times=1)
        begun = time.time() + LEAD
        times = [begun, begun + self.dice.choice([0.0, 1.0]) * self.dice.uniform(0.0, NEARLY)]
        self.dice.shuffle(times)
        crossing = zip(pair, next(self._crossings), times, strict=True)
        await asyncio.gather(*(side.want(wish, at) for side, wish, at in crossing))
        polite = await rest(pair)
        seconds = time.time() - begun
        await converse(pair, times=2)
        self.seconds.append(seconds)
        self.withdrawn += polite.rollbacks


async def enter(pair: list[Side], *, hasty: bool = False) -> None:
    """Let a pair into a room of its own."""
    room = secrets.token_hex(8)
    await asyncio.gather(*(side.enter(room, hasty=hasty) for side in pair))


async def rest(pair: list[Side]) -> State:
    """Wait until neither side has anything in flight; return how it is with the polite one.

    Each looks at a moment of its own. That is enough: a side at rest wants nothing, and only
    the other's offer or demand disturbs it, and that one rests no sooner than it is settled.
    """
    generation = 0
    while True:
        states = [await side.rest(generation) for side in pair]
        if states[0].generation == states[1].generation:
            assert [state.polite for state in states] == [side.polite for side in pair]
            return next(state for state in states if state.polite)
        generation = max(state.generation for state in states)


async def converse(pair: list[Side], *, times: int) -> None:
    """See that messages pass, both ways and in order, for so many times by now."""
    await asyncio.gather(*(side.say(*WORDS) for side in pair))
    for side in pair:
        assert await side.hear(times * len(WORDS)) == times * WORDS


@pytest.fixture(scope="module")
def homes(stage: Stage, firefox: Firefox) -> Iterator[dict[str, Home]]:
    """Where ends of links can be: each engine once, all at one server."""
    things = AsyncExitStack()

    async def furnish() -> dict[str, Home]:
        server = await things.enter_async_context(stage.server())
        context = await stage.chromium.new_context()
        things.push_async_callback(context.close)
        chromium = PageHome(Page(await context.new_page()), server.url)
        fox = PageHome(firefox, server.url)
        python = await ProcessHome.start(server.url)
        things.push_async_callback(python.close)
        return {"Python": python, "Chromium": chromium, "Firefox": fox}

    yield stage.perform(furnish())
    stage.perform(things.aclose())


@pytest.mark.parametrize("pairs", [10, pytest.param(50, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", ["first_offers", "wishes"])
@pytest.mark.parametrize("couple", COUPLES, ids=" and ".join)
def test_no_collision_wedges_a_pair(
    stage: Stage, homes: dict[str, Home], couple: tuple[str, str], kind: str, pairs: int
) -> None:
    """However offers of two engines cross, in either role, they connect and go on talking."""
    seed = secrets.randbits(32)
    report(f"seed {seed}")
    one, other = (homes[name] for name in couple)
    for home in (one, other):
        stage.perform(home.renew())
    collisions = Collisions(couple, (one, other), random.Random(seed))
    for _ in range(ROUNDS):
        for polite, _ in itertools.product((0, 1), range(pairs // BATCH)):
            stage.perform(collisions.batch(kind, polite))
        if collisions.withdrawn > 2 * pairs // 20:
            break
    report(
        f"{' and '.join(couple)}, {kind}: {len(collisions.seconds)} settled, "
        f"{len(collisions.stuck)} stuck, {collisions.withdrawn} offers withdrawn; "
        f"{summary(collisions.seconds)}"
    )
    assert one.complaints() + other.complaints() == []
    assert collisions.stuck == []
    assert collisions.withdrawn > 2 * pairs // 20, "too few collisions to tell anything"
    assert percentile(collisions.seconds, 99) < LIMIT
