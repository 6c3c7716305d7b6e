"""A robot that tells everybody where it is, and whom anybody may steer.

python examples/robot.py [URL]; steer it by sending it {"type": "steer", "to": "north"}
"""

import asyncio
import contextlib
import os
import sys

from thkmesh import Message, Room, join

URL = next(iter(sys.argv[1:]), os.environ.get("THKMESH_URL", "http://localhost:8765"))
WAYS = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0), "stop": (0, 0)}
position, heading = [0.0, 0.0], [0, 0]


async def drive(room: Room) -> None:
    """Move, and publish the position ten times a second."""
    while True:
        position[:] = [p + h * 0.1 for p, h in zip(position, heading, strict=True)]
        await room.send({"type": "telemetry", "position": list(position)})
        await asyncio.sleep(0.1)


async def main() -> None:
    """Obey what is said to the robot alone."""
    async with join(URL, room="robots", name="Robot") as room, asyncio.TaskGroup() as tasks:
        tasks.create_task(drive(room))
        async for event in room:
            match event:
                case Message(peer, {"type": "steer", "to": str(to)}, direct=True) if to in WAYS:
                    heading[:] = WAYS[to]
                    print(f"{peer} steers {to}", flush=True)
                case _:
                    pass


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
