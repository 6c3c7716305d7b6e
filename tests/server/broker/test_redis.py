"""What only a Redis can do to us: leases, sleep, passwords, and being somebody else's."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from tests.core.room_world import A, B, ready
from tests.server.broker.conftest import Ear
from tests.server.cluster import eventually
from tests.server.redis_process import RedisProcess, redis_process
from tests.server.world import PATIENCE
from thkmesh.core.room_events import RoomRules
from thkmesh.core.shared_events import Came, Down, Join, Joined, Look, Looked, Up, Went
from thkmesh.core.wire import encode
from thkmesh.server.broker import BrokerUnreachable
from thkmesh.server.broker.redis import RedisBroker
from thkmesh.server.broker.resp import Address, Link, address_of

LEASE = 0.6
RULES = RoomRules(grace=1.2)


@pytest.fixture
async def redis() -> AsyncIterator[RedisProcess]:
    """Return a Redis."""
    async with redis_process(tcp=True) as process:
        yield process


async def test_members_of_a_process_that_was_killed_are_gone_in_time(redis: RedisProcess) -> None:
    """Whoever renews its own lease buries the dead; a room of nobody is forgotten, too."""
    ears = [Ear(RedisBroker(redis.url, RULES, lease=LEASE)) for _ in range(2)]
    one, other = ears
    for ear, who in zip(ears, (A, B), strict=True):
        await ear.broker.start(ear.hear)
        await ear.next(Up)
        ear.broker.submit(Join(1, "lobby", who, encode(ready(who))))
        await ear.next(Joined)
    for room in range(60):
        other.broker.submit(Join(1, f"room-{room}", B, encode(ready(B))))
    await one.next(Came)
    await other.broker.stop()
    went = await one.next(Went)
    assert (went.key, went.reason) == (B, "timeout")
    one.broker.submit(Look("lobby"))
    assert [each.key for each in (await one.next(Looked)).members] == [A]
    link = await Link.open(address_of(redis.url))
    mine = f"thkmesh:of:{one.broker.node}".encode()
    async with asyncio.timeout(PATIENCE):
        left: list[object] = []
        while left != [[mine], 1]:
            await asyncio.sleep(0.01)
            left = await link.ask([("KEYS", "thkmesh:of:*"), ("ZCARD", "thkmesh:nodes")])
    link.close()
    await one.broker.stop()


async def test_a_process_that_was_given_up_begins_anew(redis: RedisProcess) -> None:
    """It finds itself forgotten when it renews its lease."""
    ear = Ear(RedisBroker(redis.url, RULES, lease=LEASE))
    await ear.broker.start(ear.hear)
    await ear.next(Up)
    link = await Link.open(address_of(redis.url))
    await link.ask([("DEL", "thkmesh:nodes")])
    await ear.next(Down)
    await ear.next(Up)
    link.close()
    await ear.broker.stop()


async def test_a_redis_that_hangs_is_away(redis: RedisProcess) -> None:
    """After a lease's time without a sign of life, though the connections stand."""
    ear = Ear(RedisBroker(redis.url, RULES, lease=LEASE))
    await ear.broker.start(ear.hear)
    await ear.next(Up)
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        await ear.next(Down)
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    await ear.next(Up)
    await ear.broker.stop()


async def test_a_node_whose_channel_is_cut_has_missed_something(redis: RedisProcess) -> None:
    """It cannot know what, so it begins anew, with both connections."""
    ear = Ear(RedisBroker(redis.url, RULES))
    await ear.broker.start(ear.hear)
    await ear.next(Up)
    link = await Link.open(address_of(redis.url))
    await link.ask([("CLIENT", "KILL", "TYPE", "pubsub")])
    await ear.next(Down)
    await ear.next(Up)
    link.close()
    await ear.broker.stop()


@pytest.mark.parametrize("turns", range(5))
async def test_a_node_that_loses_redis_while_it_stops_stops(
    redis: RedisProcess, turns: int
) -> None:
    """Whichever comes first, by turns of the loop."""
    broker = RedisBroker(redis.url, RULES)
    await broker.start(lambda _: None)
    assert broker._client is not None  # noqa: SLF001 - nothing else is lost at a certain turn
    broker._client.close()  # noqa: SLF001 - as above
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE / 4):
        await broker.stop()


async def test_a_password_is_needed_where_one_is_set(redis: RedisProcess) -> None:
    """And it is not in what is said of the failure."""
    link = await Link.open(address_of(redis.url))
    await link.ask([("CONFIG", "SET", "requirepass", "s/cret")])
    link.close()
    good = redis.url.replace("://", "://:s%2Fcret@")
    for url in (redis.url, good.replace("s%2Fcret", "wrong")):
        with pytest.raises(BrokerUnreachable) as caught:
            await RedisBroker(url).start(lambda _: None)
        assert "wrong" not in str(caught.value)
    broker = RedisBroker(good)
    await broker.start(lambda _: None)
    await broker.stop()


async def test_what_is_no_redis_is_said(redis: RedisProcess) -> None:
    """A web server, say."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(BrokerUnreachable):
        await RedisBroker(f"redis://127.0.0.1:{port}").start(lambda _: None)
    server.close()


async def test_a_connection_that_is_lost_answers_nothing(redis: RedisProcess) -> None:
    """Neither what was asked before nor what is asked later."""
    link = await Link.open(address_of(redis.url))
    assert await link.ask([]) == []
    asked = asyncio.create_task(link.ask([("BLPOP", "nothing", 0)]))
    await asyncio.sleep(0)
    await redis.kill()
    with pytest.raises(ConnectionError):
        await asked
    await eventually(link.lost.done)
    with pytest.raises(ConnectionError):
        await link.ask([("PING",)])


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", Address(host="h")),
        ("rediss://h:1/2", Address(host="h", port=1, tls=True, greeting=(("SELECT", 2),))),
        ("redis://:p%40@[::1]", Address(host="::1", greeting=(("AUTH", "p@"),))),
        ("redis://u:p@h", Address(host="h", greeting=(("AUTH", "u", "p"),))),
        ("unix:///a/b.sock?db=3", Address(path="/a/b.sock", greeting=(("SELECT", 3),))),
    ],
)
def test_an_address_is_a_url(url: str, address: Address) -> None:
    """Host, port, database, user and password, as everybody writes them."""
    assert address_of(url) == address


@pytest.mark.parametrize("url", ["", "h:1", "http://h", "redis://", "redis://h/x", "redis://h:x"])
def test_no_other_url_is(url: str) -> None:
    """A mistyped one is found before anything is started."""
    with pytest.raises(ValueError, match="address of Redis"):
        address_of(url)
