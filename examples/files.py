"""Send a file of any size to everybody in a room, or save what others send.

python examples/files.py [URL] saves what comes; python examples/files.py URL FILE sends it.
"""

import contextlib
import os
import sys
from pathlib import Path

from thkmesh import LinkChanged, LinkState, StreamBroken, sync

URL = next(iter(sys.argv[1:]), os.environ.get("THKMESH_URL", "http://localhost:8765"))


def save(sender: str, stream: sync.ByteStream) -> None:
    """Write what comes as it comes."""
    with Path(f"from-{sender}").open("wb") as file:
        try:
            file.writelines(stream)
            print(f"{file.tell()} bytes in {file.name}", flush=True)
        except StreamBroken as error:
            print(f"{file.name} is not whole: {error}", flush=True)


# A channel of its own: nothing else in the room waits for it.
with sync.join(URL, room="files") as room, room.channel("files", priority="low") as files:
    if sys.argv[2:]:
        for event in room:
            if isinstance(event, LinkChanged) and event.state is LinkState.CONNECTED:
                break
        with Path(sys.argv[2]).open("rb") as film:
            files.send(film)
    else:
        print("waiting", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            for message in files:
                if isinstance(message.data, sync.ByteStream):
                    save(message.peer.id, message.data)
