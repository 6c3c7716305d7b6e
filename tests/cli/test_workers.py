"""``thkmesh serve --redis`` and ``--workers``: what they need, and how they end."""

import signal

import pytest

from tests.cli.programs import ran, started
from tests.server.cluster import eventually, server_cluster
from tests.server.redis_process import redis_process
from tests.server.world import Client
from thkmesh.core.closing import CloseCode
from thkmesh.core.wire import PeerReady


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "2"], "--workers 2 needs --redis URL"),
        (["--workers", "0"], "from 1 to 64"),
        (["--redis", "http://127.0.0.1:6379"], "redis://HOST:PORT"),
        (["--redis", "redis://h", "--workers", "2", "--demo"], "--demo is for one process"),
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


async def test_a_taken_port_is_said() -> None:
    """Though workers could share it with whoever shares."""
    async with server_cluster(2) as cluster:
        port = cluster.host.rpartition(":")[2]
        again = ("serve", "--port", port, "--redis", cluster.redis.url)
        for workers in ("1", "2"):
            ended = await ran(*again, "--workers", workers)
            assert (ended.code, "in use" in ended.complaint) == (1, True)
