"""A signaling server on a given port: ``python -m tests.rooms.server PORT SETTINGS``."""

import asyncio
import json
import sys

from thkmesh.server import ServerSettings
from thkmesh.server.serve import new_event_loop, serve


def tell(port: int) -> None:
    """Say where clients can come."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    port, settings = sys.argv[1:]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        rules = ServerSettings(**json.loads(settings))
        runner.run(serve(port=int(port), settings=rules, on_ready=tell))
