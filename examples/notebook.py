"""Ask the room for measurements and average them: no event loop, cell by cell.

python examples/notebook.py [URL], or paste the cells into a notebook
"""

# %% Join. However long a cell computes, we stay connected.
import os
import sys
from statistics import mean

from thkmesh import Message, sync

url = next(iter(sys.argv[1:]), os.environ.get("THKMESH_URL", "http://localhost:8765"))
room = sync.join(url, room="lab", name="Notebook")
print("here:", *room.peers)

# %% Ask everybody, and wait for answers until two seconds pass without any.
room.send({"type": "measure", "what": "temperature"})
found: dict[str, float] = {}
try:
    while True:
        match room.receive(timeout=2.0):
            case Message(peer=peer, data={"type": "measured", "value": int() | float() as value}):
                found[peer.id] = value
            case _:
                pass
except TimeoutError:
    print(len(found), "answers")

# %% Tell them what came out, and leave.
if found:
    room.send({"type": "average", "value": mean(found.values())})
    print(f"average {mean(found.values()):.1f}")
room.leave()
