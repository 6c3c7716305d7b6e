"""``thkmesh serve --redis`` and ``--workers``: what they need, and how they end."""

import asyncio
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.cli.programs import PATIENCE, ran, started
from tests.server.cluster import eventually, server_cluster
from tests.server.redis_process import redis_process
from tests.server.world import Client
from thkmesh.core.closing import CloseCode
from thkmesh.core.wire import PeerReady
from thkmesh.server.workers import Supervisor


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "2"], "--workers 2 needs --redis URL"),
        (["--workers", "0"], "from 1 to 64"),
        (["--redis", "redis://h", "--demo"], "--demo is for one process"),
        (["--redis", "redis://h", "--workers", "2", "--metrics-port", "65535"], "--metrics-port"),
        (["--redis", "http://127.0.0.1:6379"], "redis://HOST:PORT"),
        (
            ["--redis", "redis://h", "--workers", "2", "--tls-self-signed"],
            "--tls-self-signed is for one process",
        ),
    ],
)
async def test_what_does_not_go_together_is_said(options: list[str], words: str) -> None:
    """In one sentence, before anything is started."""
    ended = await ran("serve", "--port", "0", *options)
    assert (ended.code, words in ended.complaint) == (2, True), ended.complaint


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_redis_that_is_not_there_is_said_once(workers: str) -> None:
    """Whatever number of processes wanted it."""
    address = "unix:///nowhere/redis.sock"
    ended = await ran("serve", "--port", "0", "--redis", address, "--workers", workers)
    assert ended.code == 1
    assert "Redis cannot be reached" in ended.complaint


async def test_two_servers_that_name_one_redis_have_the_same_rooms() -> None:
    """Each with a port of its own, as on two machines; ``peers`` sees all from both."""
    async with redis_process() as redis:
        options = ("serve", "--port", "0", "--redis", redis.url)
        async with started(*options) as one, started(*options) as other:
            urls = [
                (await program.line("^ready: ")).removeprefix("ready: ") for program in (one, other)
            ]
            a, b = (Client(url.replace("http", "ws") + "/ws") for url in urls)
            await a.join("Ada")
            await b.join("Bob")
            assert (await a.expect(PeerReady)).session == b.key
            for url in urls:
                out = (await ran("peers", "--url", url)).out
                assert "Ada" in out
                assert "Bob" in out
            await a.cut()
            await b.cut()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, 130, marks=pytest.mark.nightly)],
)
async def test_a_signal_ends_all_workers(number: signal.Signals, code: int) -> None:
    """Clients are closed with 1012; nobody is left behind."""
    async with server_cluster(2) as cluster:
        workers = cluster.workers
        clients = [Client(f"ws://{cluster.host}/ws") for _ in range(6)]
        for client in clients:
            await client.join()
        cluster.process.send_signal(number)
        for client in clients:
            assert await client.closed() is CloseCode.RESTARTING
        assert await cluster.ended() == (code, "")
        await eventually(lambda: not any(worker.is_running() for worker in workers))


def _two_ports() -> int:
    """Return a port that is free, as the next one is."""
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as one:
            port: int = one.getsockname()[1]
            with suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port
    raise AssertionError("no two ports are free")


async def test_workers_may_be_asked_for_in_a_file_and_each_has_its_metrics(tmp_path: Path) -> None:
    """Who is a worker starts no more of them; the next port has the next one's."""
    config, port = tmp_path / "thkmesh.toml", _two_ports()
    async with redis_process() as redis:
        config.write_text(f"redis = '{redis.url}'\nworkers = 2\nmetrics-port = {port}\n")
        async with (
            started("serve", "--port", "0", "--config", str(config)) as program,
            httpx2.AsyncClient(trust_env=False) as http,
        ):
            await program.line("^ready: ")
            for each in (port, port + 1):
                text = (await http.get(f"http://127.0.0.1:{each}/metrics")).text
                assert "thkmesh_connections 0.0" in text
            assert len(psutil.Process(program.process.pid).children(recursive=True)) == 2


async def test_workers_are_told_again_to_end() -> None:
    """The second time each wish to end is a signal of its own, as it is for one server."""
    patient = (
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: "
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)); print('ready', flush=True); time.sleep(99)"
    )
    ready = asyncio.Event()
    supervisor = Supervisor(
        (sys.executable, "-c", patient),
        1,
        is_ready=lambda line: line == "ready",
        on_ready=lambda _: ready.set(),
        patience=99,
    )
    running = asyncio.create_task(supervisor.run("127.0.0.1", 0))
    async with asyncio.timeout(PATIENCE):
        await ready.wait()
        while not running.done():
            supervisor.stop()
            await asyncio.wait([running], timeout=0.1)
    await running


@pytest.mark.nightly
async def test_a_taken_port_is_said() -> None:
    """Though workers could share it with whoever shares."""
    async with server_cluster(2) as cluster:
        port = cluster.host.rpartition(":")[2]
        again = ("serve", "--port", port, "--redis", cluster.redis.url)
        for workers in ("1", "2"):
            ended = await ran(*again, "--workers", workers)
            assert (ended.code, "in use" in ended.complaint) == (1, True)
