"""Clusters of either kind, one node a broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from tests.server.redis_process import RedisProcess, redis_process
from tests.server.world import PATIENCE
from thkmesh.core.room_events import News, RoomRules
from thkmesh.server.broker import Broker
from thkmesh.server.broker.memory import MemoryBroker, MemoryCluster
from thkmesh.server.broker.redis import RedisBroker

_N = TypeVar("_N", bound=News)


@dataclass
class Ear:
    """A node that notes what its broker says."""

    broker: Broker
    news: list[News] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, news: News) -> None:
        """Note it."""
        self.news.append(news)
        self._more.set()

    async def next(self, kind: type[_N]) -> _N:
        """Return the next news, which is of that kind."""
        async with asyncio.timeout(PATIENCE):
            while not self.news:
                self._more.clear()
                await self._more.wait()
        news = self.news.pop(0)
        assert isinstance(news, kind), news
        return news


class BrokerCluster:
    """Brokers that share something, which can be restarted."""

    def __init__(self, make: Callable[[], Broker], shared: "RedisProcess | MemoryCluster") -> None:
        self._make = make
        self._shared = shared
        self.ears: list[Ear] = []

    async def node(self) -> Ear:
        """Start a node; its first word has been heard."""
        ear = Ear(self._make())
        self.ears.append(ear)
        await ear.broker.start(ear.hear)
        return ear

    async def restart(self) -> None:
        """Have what they share forget everything."""
        if isinstance(self._shared, RedisProcess):
            await self._shared.kill()
            await self._shared.start()
        else:
            self._shared.stop()
            self._shared.start()

    async def stop(self) -> None:
        """Have it be away."""
        if isinstance(self._shared, RedisProcess):
            await self._shared.kill()
        else:
            self._shared.stop()


RULES = RoomRules(max_peers=2, away_messages=2, away_bytes=10)


@pytest.fixture(params=["memory", "redis"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[BrokerCluster]:
    """Return a cluster without nodes."""
    async with AsyncExitStack() as stack:
        if request.param == "redis":
            redis = await stack.enter_async_context(redis_process())
            brokers = BrokerCluster(lambda: RedisBroker(redis.url, RULES), redis)
        else:
            memory = MemoryCluster(RULES)
            brokers = BrokerCluster(lambda: MemoryBroker(memory), memory)
        yield brokers
        for ear in brokers.ears:
            await ear.broker.stop()
