"""A broker in Redis, for any number of processes on any number of machines.

Two connections: one on which a single task gives Redis all that waits, pipelined, and
reads the answers; one that is subscribed to the node's channel and to nothing else. They
live and die together: whoever may have missed something claims its sessions anew, so
nothing has to be counted. Nobody polls: lease and pulse are the only things that are done
without a cause, every five seconds a process.

One Redis (with a replica, if wanted) serves a cluster; scripts compute the names of keys,
which Redis Cluster does not allow.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import PubSub, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from thkmesh.core.backoff import full_jitter
from thkmesh.core.registry import LEASE
from thkmesh.core.room_events import Command, RoomRules
from thkmesh.core.shared_events import (
    Away,
    Depart,
    Down,
    Entrust,
    Join,
    Look,
    Looked,
    Post,
    Returned,
    Tell,
    Up,
)
from thkmesh.server.broker import BrokerUnreachable, Hear, RoomRecord
from thkmesh.server.broker.outbox import Item, Outbox, Parcel
from thkmesh.server.broker.scripts import (
    CHANNEL,
    PULSE,
    SCRIPTS,
    Script,
    counted,
    joined,
    looked,
    news,
    posted,
    renewed,
)

__all__ = ["RedisBroker"]

logger = logging.getLogger("thkmesh.server")

_TIMEOUT = 5.0
"""Seconds after which Redis, if it does not answer, counts as away."""

_BATCH = 256
"""How many commands are given to Redis at once."""

_TURN = 16
"""After so many payloads it is the turn of others."""

_RETRY_BASE, _RETRY_CAP = 0.1, 1.0


class _Renew(Command, frozen=True):
    """Renew our lease."""


class _Bury(Command, frozen=True):
    """Take the members of a dead node out."""

    node: str


class _GivenUpError(Exception):
    """Redis knows us no more, or not what it knew."""


class RedisBroker:
    """One node's way to the others that use the same Redis."""

    def __init__(
        self,
        url: str,
        rules: RoomRules | None = None,
        *,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Be no node yet.

        Args:
            url: such as ``redis://:password@host:6379/0``, ``rediss://...`` (TLS), or
                ``unix:///path/of/socket``.
            rules: the limits and times; the same in all processes.
            entropy: returns that many random bytes.
        """
        rules = rules or RoomRules()
        self.node = entropy(8).hex()
        self._epoch = ""
        self._fresh_epoch = entropy(8).hex()
        self._url = url
        self._rules = rules
        self._lease_ms = int(1000 * LEASE)
        self._more_ms = int(1000 * max(0.0, rules.grace - LEASE))
        self._ttl_ms = int(1000 * rules.room_ttl)
        self._wait_ms = int(1000 * (rules.grace + LEASE))
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._client: Redis | None = None
        self._hear: Hear | None = None
        self._running: asyncio.Task[None] | None = None
        self._heard_at = 0.0

    # --- life ---

    async def start(self, hear: Hear) -> None:
        """Become a node; ``Up`` has been heard when this returns.

        Raises:
            BrokerUnreachable: there is no Redis, or it lets us do nothing.
        """
        self._hear = hear
        try:
            client, channel = await self._connect()
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            raise BrokerUnreachable(f"{self._shown_url}: {error}") from error
        self._running = asyncio.create_task(self._run(client, channel))

    @property
    def _shown_url(self) -> str:
        """The URL without the password."""
        scheme, _, rest = self._url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"

    async def stop(self) -> None:
        """Be a node no more; its sessions keep their seats for their grace."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def _connect(self) -> tuple[Redis, PubSub]:
        """Connect twice, become a node, and tell."""
        assert self._hear is not None, "start comes first"
        client = Redis.from_url(
            self._url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
        )
        channel = client.pubsub()
        try:
            await channel.subscribe(CHANNEL + self.node)
            await channel.get_message(timeout=_TIMEOUT)
            pipeline = client.pipeline(transaction=False)
            for text, _ in SCRIPTS.values():
                pipeline.execute_command("SCRIPT", "LOAD", text)
            await pipeline.execute()
            reply = await client.execute_command(*self._words(_Renew()))
            self._epoch, _, dead = renewed(reply)
        except BaseException:
            await _close(client, channel)
            raise
        self._client = client
        self._heard_at = asyncio.get_running_loop().time()
        logger.info("node %s: in touch with Redis, epoch %s", self.node, self._epoch)
        self._hear(Up(self._epoch))
        for node in dead:
            self.submit(_Bury(node))
        return client, channel

    async def _run(self, client: Redis, channel: PubSub) -> None:
        """Serve one pair of connections after the other."""
        assert self._hear is not None, "start comes first"
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._write(client))
                    group.create_task(self._read(channel))
                    group.create_task(self._renew())
            except* (RedisError, OSError, TimeoutError, _GivenUpError) as errors:
                logger.warning("node %s: Redis is away: %s", self.node, errors.exceptions[0])
            except* Exception as errors:
                logger.exception("node %s: starting anew", self.node, exc_info=errors)
            finally:
                self._client = None
                await _close(client, channel)
            self._hear(Down())
            client, channel = await self._reconnect()

    async def _reconnect(self) -> tuple[Redis, PubSub]:
        attempt = 0
        while True:
            # All nodes have lost it in the same moment.
            delay = full_jitter(attempt, random.random(), base=_RETRY_BASE, cap=_RETRY_CAP)  # noqa: S311 - no secret
            await asyncio.sleep(delay)
            attempt += 1
            try:
                return await self._connect()
            except (RedisError, OSError, TimeoutError) as error:
                logger.debug("node %s: no Redis yet: %s", self.node, error)

    # --- to Redis ---

    def submit(self, command: Command) -> None:
        """Have something done, after what was submitted and posted before."""
        self._outbox.submit(command)
        self._wake.set()

    def post(self, node: str, post: Post) -> None:
        """Send something to a session on another node."""
        self._outbox.post(node, post)
        self._wake.set()

    async def _write(self, client: Redis) -> None:
        """Give Redis what waits, a batch at a time."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                await self._give(client, self._outbox.take(_BATCH))

    async def _give(self, client: Redis, items: list[Item]) -> None:
        pipeline = client.pipeline(transaction=False)
        for item in items:
            if isinstance(item, Parcel):
                pipeline.execute_command("PUBLISH", CHANNEL + item.node, posted(item.posts))
            else:
                pipeline.execute_command(*self._words(item))
        try:
            replies = await pipeline.execute(raise_on_error=False)
        except BaseException:
            # Of what is done twice nobody sees more than of what is done once. Whoever
            # waits for an answer is told that none comes.
            self._outbox.put_back(
                item for item in items if not isinstance(item, Join | Look | _Renew | _Bury)
            )
            raise
        for item, reply in zip(items, replies, strict=True):
            if isinstance(reply, Exception):
                raise reply
            self._answer(item, reply)

    def _words(self, command: Command) -> tuple[str | bytes | int, ...]:  # long: one table
        """Return how Redis is asked."""
        node, rules = self.node, self._rules
        match command:
            case Join(room=room, key=key, words=words, claim=claim, away=away):
                flags = (int(claim), int(away), self._more_ms, self._ttl_ms)
                return _call("join", node, room, *key, words, rules.max_peers, *flags)
            case Depart(room=room, key=key, reason=reason):
                return _call("depart", node, room, *key, reason, self._ttl_ms)
            case Away(room=room, key=key):
                return _call("away", node, room, *key)
            case Entrust(room=room, to=to, text=text):
                limits = (rules.away_messages, rules.away_bytes, self._wait_ms)
                return _call("entrust", node, room, *to, text, *limits)
            case Tell(room=room, text=text):
                return _call("tell", node, room, text)
            case Look(room=room):
                return _call("look", room)
            case _Bury(node=dead):
                return _call("bury", dead, self._more_ms, self._ttl_ms)
            case _:
                return _call("renew", node, self._fresh_epoch, self._lease_ms, self._more_ms)

    def _answer(self, item: Item, reply: object) -> None:
        assert self._hear is not None, "start comes first"
        match item:
            case Parcel(posts=posts):
                if not reply:
                    self._undelivered(posts)
            case Join():
                self._hear(joined(item, reply))
            case Look(room=room):
                found, _ = looked(room, reply)
                self._hear(found or Looked(room, 0, ()))
            case Entrust(text=text):
                if reply in {b"unknown-session", b"queue-full"}:
                    full = reply == b"queue-full"
                    self._hear(Returned(text, "queue-full" if full else "unknown-session"))
            case _Renew():
                self._renewed(reply)
            case _Bury():
                if reply:
                    self.submit(item)
            case _:
                pass

    def _undelivered(self, posts: list[Post]) -> None:
        """Have kept what nobody on the node has taken in."""
        for post in posts:
            if isinstance(post.content, str):
                self.submit(Entrust(post.room, post.to, post.content))

    # --- from Redis ---

    async def _read(self, channel: PubSub) -> None:
        """Take in what is published to us."""
        assert self._hear is not None, "start comes first"
        count = 0
        while True:
            message = await channel.get_message(timeout=None)
            payload = message["data"] if message is not None else None
            if not isinstance(payload, bytes):
                continue
            heard = news(payload)
            if heard is None:
                self._heard_at = asyncio.get_running_loop().time()
            else:
                self._hear(heard)
            count += 1
            if count % _TURN == 0:
                await asyncio.sleep(0)

    # --- lease ---

    async def _renew(self) -> None:
        """Say that we live, and see that we hear."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(LEASE / 3)
            if loop.time() - before > LEASE:
                raise _GivenUpError("we were asleep")
            if loop.time() - self._heard_at > LEASE:
                raise _GivenUpError("our channel is silent")
            self.submit(_Renew())
            assert self._client is not None, "it is connected"
            await self._client.execute_command("PUBLISH", CHANNEL + self.node, PULSE)

    def _renewed(self, reply: object) -> None:
        epoch, known, dead = renewed(reply)
        if not known or epoch != self._epoch:
            raise _GivenUpError("Redis has forgotten us")
        for node in dead:
            self.submit(_Bury(node))

    # --- questions ---

    async def look(self, room: str) -> RoomRecord | None:
        """Return who is in a room, None if there is no such room."""
        found, listed = looked(room, await self._question("look", room))
        return None if found is None else RoomRecord(found.members, listed=listed)

    async def listed(self) -> list[tuple[str, int]]:
        """Return the rooms that want to be found, and how many are there."""
        return counted(await self._question("listed"))

    async def create(self, room: str, *, listed: bool) -> bool:
        """Make a room; False if there is one."""
        return bool(await self._question("create", room, int(listed), self._ttl_ms))

    async def assign_hub(self, room: str, hub: str) -> str:
        """Assign a room to a hub, unless it has one; return which it has."""
        assigned = await self._question("hub", room, hub, self._ttl_ms)
        assert isinstance(assigned, bytes)
        return assigned.decode()

    async def _question(self, script: Script, *words: str | int) -> object:
        if self._client is None:
            raise BrokerUnreachable("Redis is away")
        try:
            return await self._client.execute_command(*_call(script, *words))
        except (RedisError, OSError, TimeoutError) as error:
            raise BrokerUnreachable(str(error)) from error


def _call(script: Script, *words: str | int) -> tuple[str | int, ...]:
    return ("EVALSHA", SCRIPTS[script][1], 0, *words)


async def _close(client: Redis, channel: PubSub) -> None:
    with suppress(RedisError, OSError, TimeoutError):
        await channel.aclose()
    with suppress(RedisError, OSError, TimeoutError):
        await client.aclose()
