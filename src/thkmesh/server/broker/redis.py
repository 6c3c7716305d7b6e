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
from collections.abc import Callable, Sequence

from thkmesh.core.backoff import full_jitter
from thkmesh.core.registry import LEASE
from thkmesh.core.room_events import Command, News, RoomRules
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
from thkmesh.server.broker.resp import Link, Words, address_of
from thkmesh.server.broker.scripts import (
    CHANNEL,
    SCRIPTS,
    Script,
    counted,
    joined,
    looked,
    news,
    posted,
    renewed,
)
from thkmesh.server.tickets import TICKET_TTL

__all__ = ["RedisBroker"]

logger = logging.getLogger("thkmesh.server")

_TIMEOUT = 5.0
"""Seconds after which Redis, if it does not answer, counts as away."""

_TICKET, _SECRET = "thkmesh:ticket:", "thkmesh:secret"

_BATCH = 256
"""How many commands are given to Redis at once."""

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
        lease: float = LEASE,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Be no node yet.

        Args:
            url: such as ``redis://:password@host:6379/0``, ``rediss://...`` (TLS), or
                ``unix:///path/of/socket``.
            rules: the limits and times; the same in all processes.
            lease: seconds after which a process that says nothing is taken for dead; the
                same in all processes.
            entropy: returns that many random bytes.

        Raises:
            InvalidArgument: ``url`` is no such URL.
        """
        rules = rules or RoomRules()
        self.node = entropy(8).hex()
        self._epoch = ""
        self._secret = ""
        self._entropy = entropy
        self._address = address_of(url)
        self._rules = rules
        self._lease = lease
        self._lease_ms = int(1000 * lease)
        self._more_ms = int(1000 * max(0.0, rules.grace - lease))
        self._ttl_ms = int(1000 * rules.room_ttl)
        self._wait_ms = int(1000 * (rules.grace + lease))
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._client: Link | None = None
        self._channel: Link | None = None
        self._hear: Hear | None = None
        self._running: asyncio.Task[None] | None = None
        self._heard_at = 0.0

    # --- life ---

    async def start(self, hear: Hear) -> None:
        """Become a node; ``Up`` has been heard when this returns.

        Raises:
            BrokerUnreachable: there is no Redis, or it does not let us in.
        """
        self._hear = hear
        try:
            await self._connect()
        except (OSError, TimeoutError) as error:
            raise BrokerUnreachable(str(error) or "it does not answer") from error
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Be a node no more; its sessions keep their seats for their grace."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None
            self._close()

    def _close(self) -> None:
        for link in (self._client, self._channel):
            if link is not None:
                link.close()
        self._client = self._channel = None

    async def _connect(self) -> None:
        """Connect twice, become a node, and tell."""
        self._outbox.forget(_Renew, _Bury)
        async with asyncio.timeout(_TIMEOUT):
            channel = await Link.open(self._address, self._published)
            try:
                client = await Link.open(self._address)
            except BaseException:
                channel.close()
                raise
        try:
            async with asyncio.timeout(_TIMEOUT):
                await _ask(channel, [("SUBSCRIBE", CHANNEL + self.node)])
                await _ask(client, [("SCRIPT", "LOAD", text) for text, _ in SCRIPTS.values()])
                [reply] = await _ask(client, [self._words(_Renew())])
                if self._secret:
                    await _ask(client, [("SET", _SECRET, self._secret, "NX")])
        except BaseException:
            channel.close()
            client.close()
            raise
        self._epoch, _, dead = renewed(reply)
        self._client, self._channel = client, channel
        self._heard_at = asyncio.get_running_loop().time()
        logger.info("node %s: in touch with Redis, epoch %s", self.node, self._epoch)
        self._tell(Up(self._epoch))
        for node in dead:
            self.submit(_Bury(node))

    async def _run(self) -> None:
        """Serve one pair of connections after the other."""
        while True:
            client, channel = self._client, self._channel
            assert client is not None, "it is connected"
            assert channel is not None, "it is connected"
            try:
                await self._serve(client, channel)
            except (OSError, TimeoutError, _GivenUpError) as error:
                logger.warning("node %s: Redis is away: %s", self.node, error)
            finally:
                self._close()
            self._tell(Down())
            await self._reconnect()

    async def _serve(self, client: Link, channel: Link) -> None:
        """Serve a pair of connections until one of three says why that has to end.

        Not a ``TaskGroup``: it would forget that we were cancelled if one of them failed in
        the same moment, and whoever stops us would wait for ever.
        """
        parts = [
            asyncio.create_task(each)
            for each in (self._write(client), self._watch(client, channel), self._renew())
        ]
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                await each
        finally:
            for each in parts:
                each.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _reconnect(self) -> None:
        attempt = 0
        while True:
            # All nodes have lost it in the same moment.
            delay = full_jitter(attempt, random.random(), base=_RETRY_BASE, cap=_RETRY_CAP)  # noqa: S311 - no secret
            await asyncio.sleep(delay)
            attempt += 1
            try:
                await self._connect()
            except (OSError, TimeoutError) as error:
                logger.debug("node %s: no Redis yet: %s", self.node, error)
            else:
                return

    @staticmethod
    async def _watch(client: Link, channel: Link) -> None:
        """End when either connection is lost."""
        await asyncio.wait((client.lost, channel.lost), return_when=asyncio.FIRST_COMPLETED)
        raise ConnectionResetError("a connection is lost")

    def _tell(self, news: News) -> None:
        """Hand on what we have heard; a fault in who hears it must not end us."""
        assert self._hear is not None, "start comes first"
        try:
            self._hear(news)
        except Exception as error:  # noqa: BLE001 - as above
            message = f"hearing {news!r:.100} failed"
            asyncio.get_running_loop().call_exception_handler(
                {"message": message, "exception": error}
            )

    # --- to Redis ---

    def submit(self, command: Command) -> None:
        """Have something done, after what was submitted and posted before."""
        self._outbox.submit(command)
        self._wake.set()

    def post(self, node: str, post: Post) -> None:
        """Send something to a session on another node."""
        self._outbox.post(node, post)
        self._wake.set()

    async def _write(self, client: Link) -> None:
        """Give Redis what waits, a batch at a time."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                await self._give(client, self._outbox.take(_BATCH))

    async def _give(self, client: Link, items: list[Item]) -> None:
        commands: list[Words] = [
            ("PUBLISH", CHANNEL + item.node, posted(item.posts))
            if isinstance(item, Parcel)
            else self._words(item)
            for item in items
        ]
        try:
            async with asyncio.timeout(_TIMEOUT):
                replies = await _ask(client, commands)
        except BaseException:
            # Of what is done twice nobody sees more than of what is done once. Whoever
            # waits for an answer is told that none comes.
            self._outbox.put_back(item for item in items if not isinstance(item, Join | Look))
            raise
        for item, reply in zip(items, replies, strict=True):
            self._answer(item, reply)

    def _words(self, command: Command) -> Words:  # long: one table
        """Return how Redis is asked."""
        node, rules, epoch = self.node, self._rules, self._epoch
        match command:
            case Join(room=room, key=key, words=words, claim=claim, away=away):
                flags = (int(claim), int(away), self._more_ms, self._ttl_ms)
                rest = (*flags, int(command.may_create))
                return _call("join", epoch, node, room, *key, words, rules.max_peers, *rest)
            case Depart(room=room, key=key, reason=reason):
                return _call("depart", epoch, node, room, *key, reason, self._ttl_ms)
            case Away(room=room, key=key):
                return _call("away", epoch, node, room, *key)
            case Entrust(room=room, to=to, text=text):
                limits = (rules.away_messages, rules.away_bytes, self._wait_ms)
                return _call("entrust", epoch, node, room, *to, text, *limits)
            case Tell(room=room, text=text):
                return _call("tell", epoch, node, room, text)
            case Look(room=room):
                return _call("look", epoch, room)
            case _Bury(node=dead):
                return _call("bury", epoch, dead, self._more_ms, self._ttl_ms)
            case _:
                # The first that comes to a Redis which knows nothing names its life.
                fresh = self._entropy(8).hex()
                return _call("renew", "", node, fresh, self._lease_ms, self._more_ms)

    def _answer(self, item: Item, reply: object) -> None:
        match item:
            case Parcel(posts=posts):
                if not reply:
                    self._undelivered(posts)
            case Join():
                self._tell(joined(item, reply))
            case Look(room=room):
                found, _ = looked(room, reply)
                self._tell(found or Looked(room, 0, ()))
            case Entrust(text=text):
                if reply in {b"unknown-session", b"queue-full"}:
                    full = reply == b"queue-full"
                    self._tell(Returned(text, "queue-full" if full else "unknown-session"))
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
            if not post.frame:
                self.submit(Entrust(post.room, post.to, post.text))

    # --- from Redis ---

    def _published(self, payload: bytes) -> None:
        """Take in what is published to us."""
        heard = news(payload)
        if heard is None:
            self._heard_at = asyncio.get_running_loop().time()
        else:
            self._tell(heard)

    # --- lease ---

    async def _renew(self) -> None:
        """Say that we live, and see that we hear."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(self._lease / 3)
            if loop.time() - before > self._lease:
                raise _GivenUpError("we were asleep")
            if loop.time() - self._heard_at > self._lease:
                raise _GivenUpError("our channel is silent")
            self.submit(_Renew())

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

    async def use_ticket(self, ticket: str) -> bool:
        """Take note that a ticket is used; False if it has been before."""
        life = int(2 * TICKET_TTL)
        return await self._said("SET", _TICKET + ticket, "", "NX", "EX", life) is not None

    async def share_secret(self, secret: bytes) -> bytes:
        """Return the secret that all nodes have; a Redis that forgets it is told again."""
        await self._said("SET", _SECRET, secret.hex(), "NX")
        shared = await self._said("GET", _SECRET)
        assert isinstance(shared, bytes), "it has just been set"
        self._secret = shared.decode()
        return bytes.fromhex(self._secret)

    async def _question(self, script: Script, *words: str | int) -> object:
        return await self._said(*_call(script, self._epoch, *words))

    async def _said(self, *words: str | bytes | int) -> object:
        """Return what Redis answers to one command."""
        if self._client is None:
            raise BrokerUnreachable("Redis is away")
        try:
            async with asyncio.timeout(_TIMEOUT):
                [reply] = await _ask(self._client, [words])
        except (OSError, TimeoutError) as error:
            raise BrokerUnreachable(str(error) or "it does not answer") from error
        return reply


async def _ask(link: Link, commands: Sequence[Words]) -> list[object]:
    """Have commands done; a reply that is an error is as good as no connection."""
    replies = await link.ask(commands)
    for reply in replies:
        if isinstance(reply, Exception):
            raise ConnectionRefusedError(str(reply))
    return replies


def _call(script: Script, *words: str | int) -> Words:
    return ("EVALSHA", SCRIPTS[script][1], 0, *words)
