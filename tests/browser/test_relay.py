"""No direct path, for real: the server carries what two say, and cannot read it."""

import asyncio
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from playwright.async_api import expect

from tests.browser.guests import enter, say
from tests.browser.namespace import GATEWAY, Outpost, outpost
from tests.browser.stage import PythonPeer, Stage, WebServer
from thkmesh.core.heartbeat import INTERVAL, PATIENCE
from thkmesh.core.relay import RELAY_AFTER

ROOM = "relay"


def block(network: Outpost, port: int) -> None:
    """Let nothing in or out but TCP to a port: as a strict firewall does."""
    rules = (
        "add table inet f; "
        "add chain inet f i { type filter hook input priority 0; policy drop; }; "
        "add chain inet f o { type filter hook output priority 0; policy drop; }; "
        f"add rule inet f i tcp sport {port} accept; add rule inet f o tcp dport {port} accept; "
        "add rule inet f i iif lo accept; add rule inet f o oif lo accept"
    )
    subprocess.run([*network.prefix, "nft", rules], check=True, capture_output=True, timeout=10)


@asynccontextmanager
async def chatter(server: WebServer, name: str, prefix: Sequence[str]) -> AsyncIterator[PythonPeer]:
    """Have a Python process in the room."""
    where = ("--url", f"http://{GATEWAY}:{server.port}", "--room", ROOM, "--name", name)
    process = await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-u", "-m", "thkmesh", "chat", *where, stdin=PIPE, stdout=PIPE
    )
    try:
        yield PythonPeer(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def introduced(one: PythonPeer, other: PythonPeer, name: str) -> None:
    """Wait until each hears the other: what is said before somebody comes is not for it."""

    async def insist() -> None:
        while True:
            one.say("are you there?")
            await asyncio.sleep(0.2)

    insisting = asyncio.create_task(insist())
    try:
        await until(other, f"{name}: are you there?")
    finally:
        insisting.cancel()


async def until(peer: PythonPeer, line: str) -> float:
    """Wait until a line was printed; return when."""
    while (heard := await peer.heard()) != line:
        assert heard or line == "", "it ended"
    return time.monotonic()


def test_two_processes_behind_firewalls_talk_through_the_server(stage: Stage) -> None:
    """From the beginning without UDP: the first line is there a second after both are."""

    async def play() -> float:
        async with stage.server(host="0.0.0.0") as server:
            with outpost() as network:
                block(network, server.port)
                async with (
                    chatter(server, "Ada", ()) as ada,
                    chatter(server, "Bob", network.prefix) as bob,
                ):
                    begun = time.monotonic()
                    await introduced(ada, bob, "Ada")
                    first = time.monotonic() - begun
                    bob.say("hello, Ada")
                    await until(ada, "Bob: hello, Ada")
                    for number in range(50):
                        ada.say(f"line {number}")
                    for number in range(50):
                        await until(bob, f"Ada: line {number}")
                    return first

    first = stage.perform(play())
    sys.stdout.write(f"both processes started to first line relayed: {first:.2f} s\n")


def test_a_path_that_breaks_is_bridged(stage: Stage) -> None:
    """The firewall closes while they talk: soon all goes on, and no line is missing."""

    async def play() -> float:
        async with stage.server(host="0.0.0.0") as server:
            with outpost() as network:
                async with (
                    chatter(server, "Ada", ()) as ada,
                    chatter(server, "Bob", network.prefix) as bob,
                ):
                    await introduced(ada, bob, "Ada")
                    ada.say("before")
                    await until(bob, "Ada: before")
                    cut = time.monotonic()
                    block(network, server.port)
                    for number in range(20):
                        ada.say(f"after {number}")
                    took = await until(bob, "Ada: after 0") - cut
                    for number in range(1, 20):
                        await until(bob, f"Ada: after {number}")
                    return took

    took = stage.perform(play())
    sys.stdout.write(f"path lost to first message: {took:.2f} s\n")
    assert took < 5 * (INTERVAL + PATIENCE + RELAY_AFTER)


def test_a_page_and_a_process_talk_through_the_server(stage: Stage) -> None:
    """Both ways, and the page says how."""

    async def play() -> None:
        async with stage.server(host="0.0.0.0") as server, stage.page() as page:
            with outpost() as network:
                block(network, server.port)
                await enter(page, server, "Ada", ROOM)
                async with chatter(server, "Bob", network.prefix) as bob:
                    row = page.locator("#peers li", has_text="Bob")
                    await expect(row).to_contain_text("relayed by the server")
                    bob.say("from a process")
                    await expect(page.get_by_text("from a process")).to_be_visible()
                    await say(page, "from a page")
                    await until(bob, "Ada: from a page")

    stage.perform(play())
