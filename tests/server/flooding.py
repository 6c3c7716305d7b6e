"""A flood from one address, in a process of its own: ``python -m tests.server.flooding URL``.

It says when it has been cut off for the first time, and floods on until it is killed.
"""

import asyncio
import random
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.server.world import Client
from thkmesh.core import wire
from thkmesh.core.wire import Ping, encode

FLOODS = 20
"""As many as one address may have connections."""

CUT_OFF = "cut off"
_HEADERS = {"x-forwarded-for": "192.0.2.1"}
_PING = encode(Ping(1))


async def flood(url: str) -> None:
    """Say a thousand things a second; come back whenever that is cut off."""
    while True:
        try:
            async with connect(url, compression=None, additional_headers=_HEADERS) as socket:
                client = Client(url)
                challenge = wire.decode_to_client(await socket.recv())
                assert isinstance(challenge, wire.Challenge)
                await socket.send(encode(client.hello(challenge.nonce)))
                while True:
                    for _ in range(50):
                        await socket.send(_PING)
                    await asyncio.sleep(0.05)
        except (OSError, WebSocketException):
            sys.stdout.write(CUT_OFF + "\n")
            sys.stdout.flush()
            await asyncio.sleep(random.uniform(0, 0.4))


async def _flood_together(url: str) -> None:
    await asyncio.gather(*(flood(url) for _ in range(FLOODS)))


if __name__ == "__main__":
    asyncio.run(_flood_together(sys.argv[1]))
