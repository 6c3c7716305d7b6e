"""Join a room, say hello, and print what happens there; Ctrl-C leaves.

python examples/hello.py [URL]
"""

import asyncio
import contextlib
import os
import sys

import thkmesh

URL = next(iter(sys.argv[1:]), os.environ.get("THKMESH_URL", "http://localhost:8765"))


async def main() -> None:
    """Stay in the lobby."""
    async with thkmesh.join(URL, room="lobby", name="Hello") as room:
        await room.send("hello, everyone")
        async for event in room:
            match event:
                case thkmesh.PeerJoined(peer=peer):
                    print(peer, "joined", flush=True)
                case thkmesh.PeerLeft(peer=peer):
                    print(peer, "left", flush=True)
                case thkmesh.Message(peer=peer, data=data):
                    print(f"{peer} says {data!r}", flush=True)
                case _:
                    pass


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
