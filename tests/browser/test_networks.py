"""Pages use the STUN servers that the signaling server offers."""

import asyncio
import socket

from tests.browser.guests import enter, linked
from tests.browser.namespace import ADDRESS
from tests.browser.stage import Stage
from thkmesh.core.wire import IceServer
from thkmesh.server import ServerSettings

BINDING_REQUEST = b"\x00\x01"
MAGIC_COOKIE = b"\x21\x12\xa4\x42"


def test_a_page_asks_the_stun_server_that_it_is_told_of(stage: Stage) -> None:
    """A binding request (RFC 8489, 5) comes from it as soon as there is a peer to connect to."""

    async def play() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun:
            stun.bind((ADDRESS, 0))
            stun.settimeout(0.0)
            offered = IceServer((f"stun:{ADDRESS}:{stun.getsockname()[1]}",))
            settings = ServerSettings(ice_servers=(offered,))
            # Two pages, because a Python peer would ask the server as well.
            async with stage.server(settings) as server, stage.page() as ada, stage.page() as bob:
                await enter(ada, server, "Ada")
                await enter(bob, server, "Bob")
                await linked(ada, 1)
                request = await asyncio.get_running_loop().sock_recv(stun, 2048)
        assert (request[:2], request[4:8]) == (BINDING_REQUEST, MAGIC_COOKIE)

    stage.perform(play())
