"""A signaling server: ``python -m tests.rooms.server HOST PORT SETTINGS``."""

import asyncio
import sys

import msgspec

from thkmesh.server import AccessSettings, ServerSettings
from thkmesh.server.serve import new_event_loop, serve


def tell(port: int) -> None:
    """Say where clients can come."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    host, port, settings = sys.argv[1:]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        given = msgspec.json.decode(settings)
        access = AccessSettings(secret=given.pop("secret", "").encode() or None)
        rules = msgspec.convert(given, ServerSettings)
        runner.run(serve(host, int(port), settings=rules, access=access, on_ready=tell))
