"""What a server counts, as Prometheus reads it."""

import asyncio
import socket
from contextlib import suppress

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from tests.server.world import PATIENCE, Client, Server, server, serving
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import SessionKey
from thkmesh.core.sealed import addressed
from thkmesh.core.wire import Ping, SignalRefused, encode
from thkmesh.server.metrics import Metrics
from thkmesh.server.serve import serve

STRANGER = SessionKey("z" * 26, "0" * 16)


async def scraped(url: str) -> dict[str, float]:
    """Return each sample, by its name and its labels."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def busy(world: Server) -> tuple[Client, Client]:
    """Let some of everything happen."""
    a, b = await world.joined(), await world.joined()
    await a.send(a.offer(b.key))
    await a.send(a.offer(STRANGER, 2))
    await a.send(addressed(b.key, b"x" * 40))
    await a.send(addressed(STRANGER, b"x" * 40))
    await a.send('{"type":"hologram"}')
    await b.send(a.offer(b.key))
    await b.closed()
    while not isinstance(await a.next(), SignalRefused):
        pass
    return a, b


async def test_everything_is_counted() -> None:
    """Who is there, what passed, what was refused, and how long it took."""
    async with server() as world:
        metrics = Metrics(world.service)
        a, b = await busy(world)
        for number in range(200):
            await a.send(Ping(number))
        assert await a.closed() is CloseCode.RATE_LIMITED
        async with serving(Starlette(routes=[metrics.route])) as (host, _):
            found = await scraped(f"http://{host}/metrics")
    wanted = {
        "thkmesh_connections": 0,
        "thkmesh_rooms": 1,
        "thkmesh_peers": 2,
        "thkmesh_draining": 0,
        "thkmesh_signals_total": 1,
        "thkmesh_signal_bytes_total": len(encode(a.offer(b.key))),
        "thkmesh_frames_total": 1,
        "thkmesh_frame_bytes_total": len(addressed(b.key, b"x" * 40)),
        "thkmesh_dropped_frames_total": 1,
        "thkmesh_skipped_messages_total": 1,
        "thkmesh_closed_total{code=4400,reason=not-yours}": 1,
        "thkmesh_closed_total{code=4429,reason=rate-limited}": 1,
        "thkmesh_denied_total{reason=rate-limited}": 1,
        "thkmesh_welcome_seconds_count": 2,
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert 0 < found["thkmesh_welcome_seconds_sum"] < 2 * PATIENCE


async def test_metrics_have_a_port_of_their_own() -> None:
    """Where nobody else comes; with the lateness of the loop, and the process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/metrics"
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(port=0, metrics_port=port, on_ready=ready.set_result))
    try:
        main = await ready
        async with asyncio.timeout(PATIENCE):
            found = await scraped(url)
            while not found["thkmesh_loop_lag_seconds_count"]:
                found = await scraped(url)
        assert found["process_resident_memory_bytes"] > 1_000_000
        async with httpx2.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{main}/metrics")).status_code == 404
            assert (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 404
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
