"""The processes of ``benchmarks.scale``: servers that share rooms or do not, and a crowd."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

import psutil
import uvicorn

from benchmarks.relay import Bouncer
from benchmarks.stage import Cue
from tests.server.raw import Closed
from tests.server.redis_process import redis_process
from tests.server.world import Client
from thkmesh.core.wire import encode
from thkmesh.server import RoomService, ServerSettings, create_app
from thkmesh.server.broker.redis import RedisBroker
from thkmesh.server.serve import configure, listen
from thkmesh.server.shared import SharedRoomService

__all__ = ["PAIRS", "SIZE", "WAYS", "drive", "serve_rooms"]

PAIRS = 50
PEERS = 10
SIZE = 1024
WAYS = ("one process", "one of two", "across")
"""Both clients at a server that is alone; both at one of two that share; one at each."""

_SETTINGS = ServerSettings(
    max_rooms=100_000,
    idle_timeout=1e6,
    hello_timeout=1e6,
    outgoing_messages=1024,
    message_rate=0,
)
_WARM_UP = 0.3

_APART = 0.002


class _Ender(Bouncer):
    """One end of a pair, which bounces signals or notes how long they took."""

    def __init__(self, room: str) -> None:
        super().__init__(room)
        self.bouncing = False
        self.sent_at: float | None = None
        self.trips: list[float] = []

    async def bounce(self) -> None:
        """Take in signals, until the server is gone."""
        with suppress(Closed):
            while True:
                message = await self.socket.receive()
                if not message.startswith(b'{"type":"webrtc-'):
                    continue
                self.received += 1
                if self.sent_at is not None:
                    self.trips.append(time.perf_counter() - self.sent_at)
                    self.sent_at = None
                elif self.bouncing:
                    self.socket.send(self.signal)


Pair: TypeAlias = tuple[_Ender, _Ender]


class _Silent:
    """A member that is here for the room's sake; it has no socket."""

    def __init__(self) -> None:
        self.texts = 0

    def send(self, text: str) -> bool:
        """Count it."""
        self.texts += 1
        return True

    def relay(self, frame: bytes) -> None:
        """Nobody sends any."""

    def close(self, code: int, reason: str) -> None:
        """It stays."""
        raise AssertionError(reason)


async def serve_rooms(cue: Cue, redis: str | None) -> None:
    """Serve; then, for each number that comes, have so many rooms, a member in each.

    A server that is alone has two in each, as two that share have together.
    """
    service = RoomService(_SETTINGS, verify=lambda *_: True)
    if redis is not None:
        broker = RedisBroker(redis, _SETTINGS)
        service = SharedRoomService(broker, _SETTINGS, verify=lambda *_: True)
        await service.start()
    sockets = await listen("127.0.0.1", 0)
    server = uvicorn.Server(configure(create_app(service=service)))
    serving = asyncio.create_task(server.serve(sockets))
    cue.send(f"127.0.0.1:{sockets[0].getsockname()[1]}")
    filled = 0
    while not serving.done():
        wanted = await cue.receive()
        for number in range(filled, wanted):
            members = [_Silent() for _ in range(1 if redis else 2)]
            for member in members:
                client = Client("", room=f"idle-{number}")
                connection = service.open(member)
                connection.received(encode(client.hello("")))
            while not all(member.texts >= 2 for member in members):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        filled = wanted
        cue.send(service.room_count)


async def drive(cue: Cue) -> None:
    """Start Redis, then do what is asked with pairs of clients on each way."""
    async with redis_process(tcp=True) as redis:
        cue.send((redis.url, redis.pid))
        hosts: Sequence[str]
        hosts, pids = await cue.receive()
        alone, one, other = hosts
        ends = {"one process": (alone, alone), "one of two": (one, one), "across": (one, other)}
        ways = {way: await _meet(way, *ends[way]) for way in WAYS}
        readers = [
            asyncio.create_task(ender.bounce())
            for pairs in ways.values()
            for pair in pairs
            for ender in pair
        ]
        cue.send(None)
        while (request := await cue.receive()) is not None:
            what, way, seconds = request
            if what == "bounce":
                cue.send(await _bounce(ways[way], pids[way], seconds))
            else:
                cue.send(await _stamp(ways[way], pids[way], seconds))
        for reader in readers:
            reader.cancel()
    cue.send(None)


async def _meet(way: str, one: str, other: str) -> list[Pair]:
    """Fill rooms with pairs of clients, each with one end at each server."""
    pairs: list[Pair] = []
    for number in range(PAIRS):
        room = f"{way.replace(' ', '-')}-{2 * number // PEERS}"
        pair = _Ender(room), _Ender(room)
        for ender, host in zip(pair, (one, other), strict=True):
            await ender.join(host)
        pairs.append(pair)
    for first, second in pairs:
        first.aim(second.client.key, SIZE)
        second.aim(first.client.key, SIZE)
    return pairs


async def _bounce(crowd: list[Pair], pids: Sequence[int], seconds: float) -> tuple[float, float]:
    """Let all pairs bounce.

    Returns the processor time a signal in microseconds, and how many signals a second.
    """
    enders = [ender for pair in crowd for ender in pair]
    processes = [psutil.Process(pid) for pid in pids]
    for ender in enders:
        ender.bouncing = True
    for first, _ in crowd:
        first.serve()
    await asyncio.sleep(_WARM_UP)
    before, count, began = _spent(processes), _received(enders), time.perf_counter()
    await asyncio.sleep(seconds)
    after, more, ended = _spent(processes), _received(enders), time.perf_counter()
    for ender in enders:
        ender.bouncing = False
    await asyncio.sleep(_WARM_UP)
    return (after - before) / (more - count) * 1e6, (more - count) / (ended - began)


def _spent(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def _received(enders: list[_Ender]) -> int:
    return sum(ender.received for ender in enders)


async def _stamp(
    pairs: list[Pair], pids: Sequence[int], seconds: float
) -> tuple[float, list[float]]:
    """Send 500 signals a second.

    Returns the processor time a signal in microseconds, and how many milliseconds each took.
    """
    for _, second in pairs:
        second.trips.clear()
    processes = [psutil.Process(pid) for pid in pids]
    before = _spent(processes)
    for number in range(int(seconds / _APART)):
        first, second = pairs[number % len(pairs)]
        if second.sent_at is None:
            second.sent_at = time.perf_counter()
            first.serve()
        await asyncio.sleep(_APART)
    await asyncio.sleep(_WARM_UP)
    trips = [1000 * trip for _, second in pairs for trip in second.trips]
    return (_spent(processes) - before) / len(trips) * 1e6, trips
