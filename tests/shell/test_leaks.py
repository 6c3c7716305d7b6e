"""Rooms come and go for as long as a process lives, and leave nothing behind."""

from tests.shell.programs import run

WARM_UP = 100
CYCLES = 300
"""Half of them with an event loop, half without."""

KIB_A_CYCLE = 30
"""Measured: 3 in the long run, the engine's own, and up to 4 MiB to and fro in all."""

OBJECTS_A_CYCLE = 0.1

PROGRAM = f"""
import gc, json, psutil

def linked_all(*joined):
    for each in joined:
        linked(each)

def plain(cycle):
    name = f"{{room}}-{{cycle}}"
    with sync.join(url, room=name) as one, sync.join(url, room=name) as other:
        linked_all(one, other)
        one.send(cycle)
        while not isinstance(other.receive(), Message):
            pass

async def with_a_loop(cycle):
    name = f"{{room}}-{{cycle}}"
    async with thkmesh.join(url, room=name) as one, thkmesh.join(url, room=name) as other:
        await linked_async(one)
        await linked_async(other)
        await one.send(cycle)
        async for event in other:
            if isinstance(event, Message):
                break

def count():
    for thread in threading.enumerate():
        if thread.name == "thkmesh":
            thread.join()
    gc.collect()
    process = psutil.Process()
    end = time.monotonic() + 5.0
    while process.num_threads() > 2 and time.monotonic() < end:
        time.sleep(0.05)  # the engine's own threads end a little after their connections
    return dict(
        fds=process.num_fds(),
        threads=threading.active_count(),
        native_threads=process.num_threads(),
        objects=len(gc.get_objects()),
        kib=process.memory_info().rss // 1024,
    )

async def half(cycles):
    for cycle in cycles:
        await with_a_loop(cycle)
    return len(asyncio.all_tasks())

def all_of(cycles):
    tasks = asyncio.run(half(cycles[::2]))
    for cycle in cycles[1::2]:
        plain(cycle)
    return count() | dict(tasks=tasks)

print(json.dumps([all_of(range({WARM_UP})), all_of(range({CYCLES}))]), flush=True)
"""


def test_three_hundred_rooms_leave_nothing_behind(url: str, room: str) -> None:
    """Tasks, threads and files are as before, and memory grows by next to nothing a room."""
    with run(PROGRAM, url, room) as program:
        before, after = program.value(patience=55.0)
        assert program.end() == (0, "", "")
    figures = f"before: {before}, after: {after}"
    assert before["tasks"] == after["tasks"] == 1, figures
    assert before["threads"] == after["threads"] == 1, figures
    assert after["native_threads"] <= before["native_threads"] + 1, figures
    assert after["fds"] <= before["fds"] + 3, figures
    assert after["objects"] - before["objects"] < OBJECTS_A_CYCLE * CYCLES, figures
    assert after["kib"] - before["kib"] < KIB_A_CYCLE * CYCLES, figures
