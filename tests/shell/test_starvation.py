"""An application that does not let its own event loop run, and one that is not run itself."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.shell.programs import run
from tests.shell.world import PATIENCE, Program, received
from thkmesh import LinkChanged, LinkState, Message, PeerLeft, sync

BLOCKED = 30.0
"""Seconds for which the applications block their loops."""

PEERS = """
def linked_to(joined, count):
    linked = set()
    for event in joined:
        if isinstance(event, LinkChanged) and event.state is LinkState.CONNECTED:
            linked.add(event.peer)
            if len(linked) == count:
                return

def notes(joined, talkers):
    '''Read until so many have said all; return what they said, and what befell the links.'''
    said, links = {}, []
    for event in joined:
        match event:
            case Message(peer=peer, data="end"):
                talkers -= 1
                if not talkers:
                    return said, links
            case Message(peer=peer, data=int(number)):
                said.setdefault(peer.name, []).append(number)
            case LinkChanged() | thkmesh.PeerLeft() | thkmesh.Lost():
                links.append(repr(event))
"""

TALKER = f"""
import json
{PEERS}
with sync.join(url, room=room, name=f"talker {{os.getpid()}}") as joined:
    linked_to(joined, 5)
    print("linked", flush=True)
    sys.stdin.readline()
    number, until = 0, time.monotonic() + {BLOCKED + 2}
    while time.monotonic() < until:
        joined.send(number)
        number += 1
        time.sleep(0.02)
    joined.send("end")
    print(json.dumps([joined.me.name, number, notes(joined, 1)]), flush=True)
    sys.stdin.readline()
"""

STARVED = f"""
import json
{PEERS}
def sleep():
    time.sleep({BLOCKED})

def spin():
    until = time.monotonic() + {BLOCKED}
    while time.monotonic() < until:
        pass

async def main():
    async with thkmesh.join(url, room=room) as joined:
        plain = await asyncio.to_thread(sync.join, url, room=room)
        await asyncio.to_thread(linked_to, plain, 5)
        linked = 0
        async for event in joined:
            linked += isinstance(event, LinkChanged)
            if linked == 5:
                break
        print("linked", flush=True)
        sys.stdin.readline()
        {{block}}()
        loop = asyncio.get_running_loop()
        events, ends = [], 0
        async for event in joined:
            events.append(event)
            ends += event == Message(event.peer, "end") if isinstance(event, Message) else 0
            if ends == 2:
                break
        print(json.dumps([notes(events, 2), await asyncio.to_thread(notes, plain, 2)]), flush=True)
        sys.stdin.readline()
        await asyncio.to_thread(plain.leave)

asyncio.run(main())
"""


def test_a_blocked_loop_costs_no_link_and_no_message(url: str, room: str) -> None:
    """After 30 s of sleep or of pure Python every link is up and every message is there."""
    sources = [TALKER, TALKER, *(STARVED.replace("{block}", each) for each in ("sleep", "spin"))]
    with ExitStack() as stack:
        programs = [stack.enter_context(run(source, url, room)) for source in sources]
        for program in programs:
            assert program.line() == "linked"
        for program in programs:
            program.tell("go")
        told = [program.value(patience=BLOCKED + PATIENCE) for program in programs]
        counts = {name: count for name, count, _ in told[:2]}
        assert all(count > BLOCKED for count in counts.values())
        views = [view for _, _, view in told[:2]] + told[2] + told[3]
        for said, links in views:
            assert links == []
            assert said == {name: list(range(counts[name])) for name in said}
        assert [len(said) for said, _ in views] == [1, 1, 2, 2, 2, 2]
        for program in programs:
            program.tell("leave")
            assert program.end() == (0, "", "")


SLEEPER = f"""
import ctypes, json
{PEERS}
def hold_the_interpreter():
    for line in sys.stdin:
        ctypes.PyDLL(None).usleep(int(float(line) * 1e6))

with sync.join(url, room=room) as joined:
    linked_to(joined, 2)
    threading.Thread(target=hold_the_interpreter, daemon=True).start()
    print("linked", flush=True)
    _, befallen = notes(joined, 2)
    joined.send("awake")
    print(json.dumps(befallen), flush=True)
    list(joined)
"""


def stop(program: Program, duration: float) -> None:
    """Let a process not run for a while."""
    program.process.send_signal(signal.SIGSTOP)
    time.sleep(duration)
    program.process.send_signal(signal.SIGCONT)


def hold(program: Program, duration: float) -> None:
    """Let C code in a process hold the interpreter for a while."""
    program.tell(str(duration))
    time.sleep(duration)


def changes_until_awake(reader: sync.Room) -> list[LinkState]:
    """Return what befalls the links until the sleeper says that it is awake."""
    changes: list[LinkState] = []
    while True:
        match reader.receive(PATIENCE):
            case LinkChanged(state=state):
                changes.append(state)
            case PeerLeft() as left:
                raise AssertionError(left)
            case Message(data="awake"):
                return changes
            case _:
                pass


def generations(reader: sync.Room) -> list[int]:
    """Return how many connections there have been to each other peer."""
    return [view.generation for peer in reader.peers if (view := reader.link(peer))]


@pytest.mark.parametrize("sleep", [stop, hold])
def test_a_short_sleep_is_not_noticed(
    url: str, room: str, sleep: Callable[[Program, float], None]
) -> None:
    """A process that could not run for 3 s blames nobody, and nobody blames it."""
    with (
        sync.join(url, room=room) as ada,
        sync.join(url, room=room) as bob,
        run(SLEEPER, url, room) as sleeper,
    ):
        assert sleeper.line() == "linked"
        sleep(sleeper, 3.0)
        ada.send("end")
        bob.send("end")
        assert sleeper.value() == []
        for each in (ada, bob):
            assert changes_until_awake(each) == [LinkState.CONNECTED] * 2


@pytest.mark.parametrize("sleep", [stop, hold])
def test_after_a_long_sleep_links_recover_by_themselves(
    url: str, room: str, sleep: Callable[[Program, float], None]
) -> None:
    """R4: after 10 s a process is missed, but it has not left; all is well when it wakes."""
    with (
        sync.join(url, room=room) as ada,
        sync.join(url, room=room) as bob,
        run(SLEEPER, url, room) as sleeper,
    ):
        assert sleeper.line() == "linked"
        sleep(sleeper, 10.0)
        for each in (ada, bob):
            received(each, LinkChanged, lambda event: event.state is LinkState.RECONNECTING)
            each.send("end")
        befallen = sleeper.value()
        assert not any("PeerLeft" in event or "CLOSED" in event for event in befallen)
        for each in (ada, bob):
            changes = changes_until_awake(each)
            assert changes[-1] is LinkState.CONNECTED
            assert LinkState.CLOSED not in changes
            assert len(each.peers) == 2
            assert generations(each) == [1, 1], "R4: no healthy link is replaced"
