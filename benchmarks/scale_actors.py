"""The processes of ``benchmarks.scale``: servers that share rooms or do not, and a crowd."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

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
    max_rooms=100_000, idle_timeout=1e6, hello_timeout=1e6, outgoing_messages=1024
)
_WARM_UP = 0.3

Pair: TypeAlias = tuple[Bouncer, Bouncer]


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
        cue.send(None)
        while True:
            what, way, seconds = await cue.receive()
            if what == "bounce":
                cue.send(await _bounce(ways[way], pids[way], seconds))
            else:
                cue.send(await _stamp(ways[way], seconds))


async def _meet(way: str, one: str, other: str) -> list[Pair]:
    """Fill rooms with pairs of clients, each with one end at each server."""
    pairs: list[Pair] = []
    for number in range(PAIRS):
        room = f"{way.replace(' ', '-')}-{2 * number // PEERS}"
        pair = Bouncer(room), Bouncer(room)
        for bouncer, host in zip(pair, (one, other), strict=True):
            await bouncer.join(host)
        pairs.append(pair)
    for first, second in pairs:
        first.aim(second.client.key, SIZE)
        second.aim(first.client.key, SIZE)
    return pairs


async def _bounce(pairs: list[Pair], pids: Sequence[int], seconds: float) -> tuple[float, float]:
    """Let all pairs bounce; return processor time a signal in microseconds, and signals a second."""
    bouncers = [bouncer for pair in pairs for bouncer in pair]
    processes = [psutil.Process(pid) for pid in pids]
    tasks = [asyncio.create_task(bouncer.bounce()) for bouncer in bouncers]
    for first, _ in pairs:
        first.serve()
    await asyncio.sleep(_WARM_UP)
    before, count, began = _spent(processes), _received(bouncers), time.perf_counter()
    await asyncio.sleep(seconds)
    after, more, ended = _spent(processes), _received(bouncers), time.perf_counter()
    await _stop(bouncers, tasks)
    return (after - before) / (more - count) * 1e6, (more - count) / (ended - began)


async def _stop(bouncers: list[Bouncer], tasks: list["asyncio.Task[None]"]) -> None:
    """Let every signal come to rest at who gets it next."""
    for bouncer in bouncers:
        bouncer.resting = True
    count = -1
    while count != _received(bouncers):
        count = _received(bouncers)
        await asyncio.sleep(_WARM_UP)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for bouncer in bouncers:
        bouncer.resting = False


def _spent(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def _received(bouncers: list[Bouncer]) -> int:
    return sum(bouncer.received for bouncer in bouncers)


async def _stamp(pairs: list[Pair], seconds: float) -> list[float]:
    """Send 500 signals a second; return how many milliseconds each took."""
    trips: list[float] = []
    sent: dict[int, float] = {}

    async def listen_to(bouncer: Bouncer, number: int) -> None:
        try:
            while True:
                message = await bouncer.socket.receive()
                if message.startswith(b'{"type":"webrtc-'):
                    trips.append(1000 * (time.perf_counter() - sent.pop(number)))
        except Closed:
            return

    tasks = [asyncio.create_task(listen_to(pair[1], number)) for number, pair in enumerate(pairs)]
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        which = number % len(pairs)
        number += 1
        if which not in sent:
            sent[which] = time.perf_counter()
            pairs[which][0].serve()
        await asyncio.sleep(0.002)
    await asyncio.sleep(_WARM_UP)
    for task in tasks:
        task.cancel()
    results: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    del results
    return trips
