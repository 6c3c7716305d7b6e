"""A broker in memory, for several services on one event loop.

A single service needs no broker, and has none: this is for tests and simulations, where
a cluster runs on virtual time, and it is what ``thkmesh.core.registry`` says, no more.
"""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial

from thkmesh.core.registry import LEASE, Registry
from thkmesh.core.room_events import Command, News, RoomRules
from thkmesh.core.shared_events import Down, Entrust, Post, Posted, Up
from thkmesh.server.broker import BrokerUnreachable, Hear, RoomRecord

__all__ = ["MemoryBroker", "MemoryCluster"]


class MemoryCluster:
    """What several memory brokers share."""

    def __init__(
        self,
        rules: RoomRules | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.rules = rules or RoomRules()
        self.entropy = entropy
        self.nodes: dict[str, Hear] = {}
        """Who hears what is told to a node."""
        self.brokers: list[MemoryBroker] = []
        self.registry: Registry | None = None
        self.tickets: set[str] = set()
        self.secret = b""
        self.start()

    def start(self) -> None:
        """Begin a life, which knows nobody."""
        self.registry = Registry(self.entropy(8).hex(), self.rules, self.deliver)
        for broker in self.brokers:
            broker.connect()

    def stop(self) -> None:
        """End it: all is forgotten, and the nodes are told."""
        self.registry = None
        for broker in self.brokers:
            broker.disconnect()

    def deliver(self, node: str, news: News) -> bool:
        """Hand news to a node, soon; False if nobody listens."""
        hear = self.nodes.get(node)
        if hear is None:
            return False
        # A registry in a network would not call back from within a question either.
        asyncio.get_running_loop().call_soon(partial(self._hand_over, node, hear, news))
        return True

    def _hand_over(self, node: str, hear: Hear, news: News) -> None:
        if self.nodes.get(node) is hear:
            hear(news)


class MemoryBroker:
    """One node's way to the others of its cluster."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self.node = cluster.entropy(8).hex()
        self._hear: Hear | None = None
        self._renewal: asyncio.TimerHandle | None = None

    async def start(self, hear: Hear) -> None:
        """Become a node; ``Up`` has been heard when this returns."""
        if self._cluster.registry is None:
            raise BrokerUnreachable("the cluster in memory is stopped")
        self._hear = hear
        self._cluster.brokers.append(self)
        self.connect()

    def connect(self) -> None:
        """Tell that the registry is there (again); for the cluster."""
        assert self._hear is not None, "start comes first"
        assert self._cluster.registry is not None, "it is there"
        self._cluster.nodes[self.node] = self._hear
        self._hear(Up(self._cluster.registry.epoch))
        self._renew()

    def disconnect(self) -> None:
        """Tell that the registry is away; for the cluster."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._cluster.nodes.pop(self.node, None) is not None and self._hear is not None:
            self._hear(Down())

    def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        registry = self._cluster.registry
        if registry is not None:
            for dead in registry.renew(self.node, loop.time()):
                registry.bury(dead, loop.time())
        self._renewal = loop.call_later(LEASE / 3, self._renew)

    async def stop(self) -> None:
        """Be a node no more."""
        self._cluster.nodes.pop(self.node, None)
        if self in self._cluster.brokers:
            self._cluster.brokers.remove(self)
        if self._renewal is not None:
            self._renewal.cancel()

    def submit(self, command: Command) -> None:
        """Have something done."""
        registry, loop = self._cluster.registry, asyncio.get_running_loop()
        if registry is not None:
            answer = registry.obey(self.node, command, loop.time())
            if answer is not None:
                self._cluster.deliver(self.node, answer)

    def post(self, node: str, post: Post) -> None:
        """Send something to a session on another node."""
        heard = self._cluster.deliver(node, Posted((post,)))
        if not heard and not post.frame:
            self.submit(Entrust(post.room, post.to, post.text))

    async def look(self, room: str) -> RoomRecord | None:
        """Return who is in a room, None if there is no such room."""
        now = asyncio.get_running_loop().time()
        record = self._registry.room(room, now)
        return None if record is None else RoomRecord(record.members(now), listed=record.listed)

    async def listed(self) -> list[tuple[str, int]]:
        """Return the rooms that want to be found, and how many are there."""
        return list(self._registry.listed(asyncio.get_running_loop().time()))

    async def create(self, room: str, *, listed: bool) -> bool:
        """Make a room; False if there is one."""
        return self._registry.create(room, asyncio.get_running_loop().time(), listed=listed)

    async def assign_hub(self, room: str, hub: str) -> str:
        """Assign a room to a hub, unless it has one; return which it has."""
        return self._registry.assign_hub(room, hub, asyncio.get_running_loop().time())

    async def use_ticket(self, ticket: str) -> bool:
        """Take note that a ticket is used; False if it has been before."""
        if self._cluster.registry is None:
            raise BrokerUnreachable("the cluster in memory is stopped")
        fresh = ticket not in self._cluster.tickets
        self._cluster.tickets.add(ticket)
        return fresh

    async def share_secret(self, secret: bytes) -> bytes:
        """Return the secret that all nodes have."""
        self._cluster.secret = self._cluster.secret or secret
        return self._cluster.secret

    @property
    def _registry(self) -> Registry:
        if self._cluster.registry is None:
            raise BrokerUnreachable("the cluster in memory is stopped")
        return self._cluster.registry
