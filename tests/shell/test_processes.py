"""However a process ends, those who were in a room with it hear of it."""

import signal
import time

import pytest

from tests.shell.programs import farewell, run
from tests.shell.world import received, server
from thkmesh import LeaveReason, LinkChanged, Message, PeerJoined, sync

LONGEST_EXIT = 5.0
"""Seconds from the last line of a program to its end: 2 for goodbyes, else for a busy machine."""

# --- exit ---------------------------------------------------------------------------

ENDS = [
    pytest.param("", (0, ""), id="falls off the end"),
    pytest.param("sys.exit()", (0, ""), id="sys.exit"),
    pytest.param("sys.exit(7)", (7, ""), id="sys.exit(7)"),
    pytest.param("sys.exit('why')", (1, "why\n"), id="sys.exit(text)"),
    pytest.param("1 / 0", (1, "ZeroDivisionError: division by zero\n"), id="exception"),
    pytest.param("raise KeyboardInterrupt", (-2, "KeyboardInterrupt\n"), id="interrupt"),
]

PLAIN = """
joined = linked(sync.join(url, room=room))
joined.send("last words")
"""

ASYNC = """
async def main():
    joined = await thkmesh.join(url, room=room)
    await linked_async(joined)
    await joined.send("last words")
    return joined

loop = asyncio.new_event_loop()
joined = loop.run_until_complete(main())
"""


def must_say_goodbye(
    source: str, url: str, watcher: sync.Room, code: int = 0, complaint: str = ""
) -> None:
    """Check how a program ends that prints the time before; others and the server must hear."""
    with run(source, url, watcher.name) as program:
        began = program.value()
        assert farewell(watcher) == (["last words"], LeaveReason.LEFT)
        ended_with, printed, complaints = program.end()
        assert time.monotonic() - began < LONGEST_EXIT
        assert (ended_with, printed) == (code, "")
        assert complaints.endswith(complaint)
        assert complaints.count("Traceback") == int("Error" in complaint or "Inter" in complaint)
        assert complaint or not complaints
    with sync.join(url, room=watcher.name) as latecomer:
        assert set(latecomer.peers) == {watcher.me, *watcher.peers} - {latecomer.me}


@pytest.mark.parametrize(("end", "expected"), ENDS)
def test_however_a_program_ends_it_says_goodbye(
    watcher: sync.Room, url: str, end: str, expected: tuple[int, str]
) -> None:
    """Its last words arrive, the others see that it left, and it ends soon and quietly."""
    source = f"{PLAIN}\nprint(time.monotonic(), flush=True)\n{end}\n"
    must_say_goodbye(source, url, watcher, *expected)


@pytest.mark.parametrize("closing", ["", "loop.close()"], ids=["open loop", "closed loop"])
def test_a_loop_that_does_not_run_is_no_hindrance(
    watcher: sync.Room, url: str, closing: str
) -> None:
    """The same goes for programs with an event loop, left open or closed."""
    source = f"{ASYNC}\nprint(time.monotonic(), flush=True)\n{closing}\n"
    must_say_goodbye(source, url, watcher)


def test_a_frozen_peer_is_no_hindrance(watcher: sync.Room, url: str) -> None:
    """Who does not take our last words does not hold up the end, nor what the others hear."""
    with run("joined = sync.join(url, room=room); time.sleep(60)", url, watcher.name) as frozen:
        received(watcher, LinkChanged)
        source = f"""
joined = sync.join(url, room=room)
for _ in range(2):
    linked(joined)
os.kill({frozen.process.pid}, signal.SIGSTOP)
joined.send("last words")
print(time.monotonic(), flush=True)
"""
        must_say_goodbye(source, url, watcher)


def test_an_exit_among_blocked_threads_says_goodbye(watcher: sync.Room, url: str) -> None:
    """Daemon threads that wait for events do not hold up the end, nor are they heard of."""
    source = """
joined = linked(sync.join(url, room=room))
threading.Thread(target=lambda: list(joined), daemon=True).start()
joined.send("last words")
print("ready", flush=True)
"""
    with run(source, url, watcher.name) as program:
        assert program.line() == "ready"
        assert farewell(watcher) == (["last words"], LeaveReason.LEFT)
        assert program.end() == (0, "", "")


def test_a_dead_name_server_does_not_hold_up_the_end(watcher: sync.Room, url: str) -> None:
    """A lookup that hangs for a minute delays neither the time-out nor the exit."""
    source = """
sys.addaudithook(lambda event, _: event == "socket.getaddrinfo" and time.sleep(60))
try:
    sync.join("http://example.test", room=room, timeout=0.2)
except thkmesh.ServerUnreachable:
    print(time.monotonic(), flush=True)
"""
    with run(source, url, watcher.name) as program:
        began = program.value()
        assert program.end() == (0, "", "")
        assert time.monotonic() - began < LONGEST_EXIT


def test_an_exit_while_the_server_is_away_is_quiet(room: str) -> None:
    """A link says goodbye by itself; nobody tries to reach the server any more."""
    source = """
joined = linked(sync.join(url, room=room))
print("ready", flush=True)
for event in joined:
    if event == thkmesh.ServerChanged(thkmesh.ServerState.RECONNECTING):
        break
"""
    with server() as url, sync.join(url, room=room) as watcher:
        program = run(source, url, watcher.name)
        assert program.line() == "ready"
        received(watcher, PeerJoined)
    with program:
        assert program.end() == (0, "", "")


# --- Ctrl-C -------------------------------------------------------------------------

INTERRUPTED = [
    pytest.param("for event in joined: pass", id="iterating"),
    pytest.param("while True: joined.receive(60)", id="receiving"),
    pytest.param("time.sleep(60)", id="sleeping"),
    pytest.param("while True: joined.send('x')", id="sending"),
]


@pytest.mark.parametrize("doing", INTERRUPTED)
def test_ctrl_c_leaves(watcher: sync.Room, url: str, doing: str) -> None:
    """Whatever a program was doing in the room, Ctrl-C ends it, and the room is left."""
    source = f"""
with sync.join(url, room=room) as joined:
    linked(joined)
    try:
        print("ready", flush=True)
        {doing}
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise
"""
    with run(source, url, watcher.name) as program:
        assert program.line() == "ready"
        program.process.send_signal(signal.SIGINT)
        assert program.line() == "interrupted"
        _, reason = farewell(watcher)
        assert reason is LeaveReason.LEFT
        code, printed, complaints = program.end()
        assert (code, printed) == (-signal.SIGINT, "")
        assert complaints.endswith("KeyboardInterrupt\n")
        assert complaints.count("Traceback") == 1


FULL = """
joined = sync.join(url, room=room)
for _ in range(2):
    linked(joined)
print("linked", flush=True)
sys.stdin.readline()
for _ in range(2):
    joined.send(bytes(8 * 1024 * 1024))
try:
    print("full", flush=True)
    joined.send("interrupted")
except KeyboardInterrupt:
    print("not sent", flush=True)
sys.stdin.readline()
joined.send("sent")
joined.leave()
"""


def test_an_interrupted_send_was_not_sent(watcher: sync.Room, url: str) -> None:
    """What Ctrl-C interrupts while it waits for who is slow goes to nobody, also not later."""
    source = "joined = sync.join(url, room=room, name='frozen'); time.sleep(60)"
    with run(source, url, watcher.name) as frozen, run(FULL, url, watcher.name) as sender:
        assert sender.line() == "linked"
        frozen.process.send_signal(signal.SIGSTOP)
        sender.tell("go on")
        assert sender.line() == "full"
        time.sleep(0.5)
        sender.process.send_signal(signal.SIGINT)
        assert sender.line() == "not sent"
        frozen.process.send_signal(signal.SIGCONT)
        sender.tell("go on")
        said = received(watcher, Message, lambda message: isinstance(message.data, str))
        assert said.data == "sent"
        assert sender.end() == (0, "", "")


def test_ctrl_c_while_joining_ends_it(watcher: sync.Room, url: str) -> None:
    """A server that does not answer is not waited for; another room can then be joined."""
    source = """
import socket
silent = socket.create_server(("127.0.0.1", 0))
print("ready", flush=True)
try:
    sync.join(f"http://127.0.0.1:{silent.getsockname()[1]}", room=room, timeout=60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
with sync.join(url, room=room) as joined:
    print("joined", flush=True)
print([thread.name for thread in threading.enumerate()])
"""
    with run(source, url, watcher.name) as program:
        assert program.line() == "ready"
        time.sleep(0.5)
        program.process.send_signal(signal.SIGINT)
        assert program.line() == "interrupted"
        assert program.line() == "joined"
        assert program.end() == (0, "['MainThread']\n", "")
