"""What a page said before it left arrives."""

import asyncio

from tests.browser.chromium import Chromium
from tests.browser.firefox import Firefox
from tests.browser.members import Browser, PageMember
from tests.browser.namespace import in_namespace
from tests.rooms.processes import PeerProcess, Server

COUNT = 25
SIZE = 60_000
NARROW = "tc qdisc add dev lo root tbf rate 4mbit burst 128kb latency 1s"
"""Slow enough that what a connection holds takes seconds to arrive."""

SPEAK_AND_LEAVE = """
(async () => {
  for (let number = 0; number < COUNT; number += 1) {
    await room.send(new Uint8Array(SIZE).fill(number));
  }
  await room.leave();
  return room.closed;
})()
""".replace("COUNT", str(COUNT)).replace("SIZE", str(SIZE))


async def speak_and_leave(server: Server, peer: PeerProcess, page: Browser, name: str) -> None:
    """Have a page say megabytes and leave at once; compare what the process heard."""
    member = PageMember(name, page)
    await member.join(server.url, "lobby")
    assert await page.evaluate(SPEAK_AND_LEAVE) is True
    await peer.until(lambda: bool(peer.of("PeerLeft", peer=member.id)))
    [left] = peer.of("PeerLeft", peer=member.id)
    assert left["reason"] == "left"
    assert peer.heard(member.id, direct=False) == [bytes([n]) * SIZE for n in range(COUNT)]


async def leave_in_both() -> None:
    """In Chromium, then in Firefox, over a narrow network."""
    narrowing = await asyncio.create_subprocess_exec(*NARROW.split())
    assert await narrowing.wait() == 0
    server = Server()
    await server.start()
    peer = await PeerProcess.start("python")
    fox = await Firefox.start()
    try:
        peer.join(server.url, "lobby")
        await peer.until(lambda: bool(peer.id))
        async with Chromium() as chromium:
            await speak_and_leave(server, peer, await chromium.page(), "chromium")
        await speak_and_leave(server, peer, fox, "firefox")
    finally:
        await asyncio.gather(fox.close(), peer.kill(), server.kill())


def test_a_page_that_leaves_delivers_what_it_sent() -> None:
    """Megabytes that were accepted before leaving arrive, and then the goodbye."""
    in_namespace(leave_in_both)
