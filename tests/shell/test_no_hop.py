"""Sending on the thread that calls it: at once, in order, and never in place of correctness."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import thkmesh
from tests.rooms.watching import WatchingHost
from tests.shell.world import PATIENCE, Program, heard, messages, ready, received
from thkmesh import Message, PeerJoined, Room, sync
from thkmesh.core import wire
from thkmesh.core.contact import SendToServer
from thkmesh.core.credit import READ_BYTES
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import LinkSettings
from thkmesh.core.machine import Slept, Tick
from thkmesh.core.session import Session
from thkmesh.core.session_events import Send, SendAll, SessionEvent, SessionOutput
from thkmesh.host import Lease
from thkmesh.settings import RoomSettings


class Threads(logging.Handler):
    """Notes on which threads sessions are told to send."""

    def __init__(self) -> None:
        """Note nothing yet."""
        super().__init__(logging.DEBUG)
        self.sends: list[int | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note who hands in a message."""
        if record.getMessage().startswith("in  Send"):
            self.sends.append(record.thread)


@contextmanager
def watched() -> Iterator[Threads]:
    """Note who enters sessions."""
    logger, threads = logging.getLogger("thkmesh.client"), Threads()
    level = logger.level
    logger.addHandler(threads)
    logger.setLevel(logging.DEBUG)
    try:
        yield threads
    finally:
        logger.setLevel(level)
        logger.removeHandler(threads)


async def test_an_idle_room_is_entered_by_who_sends(two: tuple[Room, Room]) -> None:
    """One message after another goes out on the thread of the application."""
    ada, bob = two
    with watched() as threads:
        for number in range(20):
            await ada.send(number)
            assert await messages(bob, 1) == [number]
    here = threads.sends.count(threading.get_ident())
    assert here > 10, "but for when the other thread was in the session just then"


async def test_channels_are_entered_by_who_sends(two: tuple[Room, Room]) -> None:
    """So is what is sent on a channel, to everybody and to one, waiting or not."""
    ada, bob = two
    sending, heard_on = ada.channel("x"), bob.channel("x")
    await ready(sending, heard_on)
    taking = heard_on.subscribe()
    with watched() as threads:
        for number in range(10):
            await sending.send(number)
            await sending.send(number, to=bob.me)
            sending.send_nowait(number)
            sending.send_nowait(number, to=bob.me)
            assert await messages(taking, 4) == [number] * 4
    here = threads.sends.count(threading.get_ident())
    assert here > 20, "but for when the other thread was in the session just then"


async def test_a_burst_on_channels_keeps_the_order_of_each(two: tuple[Room, Room]) -> None:
    """Bursts on several channels, with a flush behind each, arrive once and in order."""
    ada, bob = two
    names = ("x", "y")
    channels = {name: ada.channel(name, receive=False) for name in names}
    there = {name: bob.channel(name) for name in names}
    for name in names:
        await ready(channels[name], there[name])
    taking = {name: there[name].subscribe() for name in names}
    for start in range(0, 300, 100):
        for number in range(start, start + 100):
            await ada.send(number)
            for name in names:
                if number % 3:
                    await channels[name].send(number)
                else:
                    channels[name].send_nowait(number)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(each.flush() for each in channels.values()))
    assert await messages(bob, 300) == list(range(300))
    for name in names:
        assert await messages(taking[name], 300) == list(range(300))


async def test_what_is_read_does_not_hold_up_what_is_sent(two: tuple[Room, Room]) -> None:
    """Receipts go to the session's thread in their own time."""
    ada, bob = two
    echoes = 30

    async def echo() -> None:
        async for event in bob:
            if isinstance(event, Message):
                await bob.send(event.data)

    echoing = asyncio.create_task(echo())
    with watched() as threads:
        for _ in range(echoes):
            await ada.send("x" * READ_BYTES)
            await messages(ada, 1)
    echoing.cancel()
    here = threads.sends.count(threading.get_ident())
    assert here > echoes, "of twice as many, but for when the other thread was in the session"


async def test_a_burst_arrives_once_and_in_order(two: tuple[Room, Room]) -> None:
    """To everybody and to one peer, by many tasks at once, of all sizes."""
    ada, bob = two
    count = 300
    sizes = (0, 3, 400, 20_000)

    async def send(task: int) -> None:
        for number in range(count):
            to = bob.me if task == 3 else None
            await ada.send([task, number, "x" * sizes[number % 4]], to=to)

    sending = [asyncio.create_task(send(task)) for task in range(4)]
    got = await messages(bob, 4 * count)
    await asyncio.gather(*sending)
    for task in range(4):
        mine = [each for each in got if isinstance(each, list) and each[0] == task]
        assert [each[1] for each in mine] == list(range(count))


class Nagging(Session):
    """A session in which something for the server is due whenever a message is sent."""

    def handle(self, event: SessionEvent | Tick | Slept, now: float) -> list[SessionOutput]:
        """Settle that first."""
        due: list[SessionOutput] = []
        if isinstance(event, Send | SendAll):
            due.append(SendToServer(wire.Ping(1)))
        return due + super().handle(event, now)


class NaggingHost(WatchingHost):
    """Has such sessions."""

    def session(self, me: SessionKey, settings: LinkSettings) -> Session:
        """Return the mind of a new session."""
        return Nagging(me, settings, lambda: 0.5)


async def test_what_falls_due_meanwhile_doubles_nothing(url: str, room: str) -> None:
    """What only the session's thread can do holds up what follows, but not the answer."""
    settings = RoomSettings(url=url, room=room)
    lease = Lease()
    async with thkmesh.join(url, room=room) as bob:
        ada = Room(settings, NaggingHost(lease.host), settings.transport(), lease.release)
        await ada.enter()
        await heard(bob, PeerJoined)
        for number in range(100):
            await ada.send(number)
            if number % 3 == 0:
                await asyncio.sleep(0.001)
        assert await messages(bob, 100) == list(range(100))
        await ada.leave()


async def test_tasks_that_send_once_keep_their_order(two: tuple[Room, Room]) -> None:
    """Whatever way each message takes, none overtakes another."""
    ada, bob = two
    for start in range(0, 1000, 250):
        await asyncio.gather(*(ada.send(number) for number in range(start, start + 250)))
    assert await messages(bob, 1000) == list(range(1000))


async def test_a_blocked_loop_holds_nothing_back(url: str, room: str) -> None:
    """What was sent goes out although the application computes without a pause."""
    arrived = threading.Event()

    def read() -> None:
        with sync.join(url, room=room) as bob:
            joined.set()
            for _ in range(5):
                received(bob, Message)
            arrived.set()

    joined = threading.Event()
    reading = threading.Thread(target=read)
    async with thkmesh.join(url, room=room) as ada:
        reading.start()
        async for event in ada:
            if isinstance(event, thkmesh.LinkChanged):
                break
        await asyncio.to_thread(joined.wait, PATIENCE)
        for number in range(5):
            await ada.send(number)
        assert arrived.wait(PATIENCE), "blocking the loop, as nobody should"
        reading.join()


async def test_a_burst_goes_though_its_program_computes(two: tuple[Room, Room]) -> None:
    """What gathers needs no turn of the loop that said it."""
    ada, bob = two
    with watched() as threads:
        for number in range(3):
            ada.send_nowait(number)
        time.sleep(0.5)  # noqa: ASYNC251 - that is what it is about
        meanwhile = list(threads.sends)
    assert meanwhile
    assert len(threads.sends) == len(meanwhile), "nothing was left for afterwards"
    assert await messages(bob, 3) == [0, 1, 2]


async def test_a_burst_that_ends_waits_for_nothing(two: tuple[Room, Room]) -> None:
    """The next turns of the loop that said it hand it on."""
    ada, bob = two
    with watched() as threads:
        for start in range(20):
            for number in range(3):
                ada.send_nowait([start, number])
            assert len(await messages(bob, 3)) == 3
    here = threads.sends.count(threading.get_ident())
    assert here > len(threads.sends) // 2, "but for when the other thread looked just then"


async def test_leaving_delivers_a_burst(url: str, room: str) -> None:
    """All that was sent before it arrives, though nothing waited."""
    async with thkmesh.join(url, room=room) as bob:
        async with thkmesh.join(url, room=room) as ada:
            async for event in bob:
                if isinstance(event, PeerJoined):
                    break
            for number in range(500):
                await ada.send(number)
        assert await messages(bob, 500) == list(range(500))


async def test_sending_lets_others_run(two: tuple[Room, Room]) -> None:
    """A task that only sends does not keep the loop for itself."""
    ada, _ = two
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    for number in range(1000):
        await ada.send(number)
    ticking.cancel()
    assert turns >= 10


def test_threads_send_side_by_side(url: str, room: str) -> None:
    """Each thread's messages arrive once and in its order, on whichever channel."""
    with sync.join(url, room=room) as ada, sync.join(url, room=room) as bob:
        received(ada, PeerJoined)
        taking, channel = bob.channel("x"), ada.channel("x", receive=False)

        def send(thread: int) -> None:
            for number in range(100):
                ada.send([thread, number])
                channel.send([thread, number])

        with watched() as threads:
            sending = [threading.Thread(target=send, args=(each,)) for each in range(3)]
            for each in sending:
                each.start()
            got = [received(bob, Message).data for _ in range(300)]
            beside = [taking.receive(PATIENCE).data for _ in range(300)]
            idents = {each.ident for each in sending}
            for each in sending:
                each.join()
        for thread in range(3):
            for heard_there in (got, beside):
                mine = [e for e in heard_there if isinstance(e, list) and e[0] == thread]
                assert [each[1] for each in mine] == list(range(100))
        assert idents & set(threads.sends), "some on the thread that called"


_RAW_LOOP = """
import asyncio, logging, sys, threading
import thkmesh
from thkmesh import sync

entered = []

class Threads(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("in  Send"):
            entered.append(record.thread == threading.main_thread().ident)

logging.getLogger("thkmesh.client").addHandler(Threads())
logging.getLogger("thkmesh.client").setLevel(logging.DEBUG)

async def main():
    async with thkmesh.join(sys.argv[1], room="raw") as room:
        for number in range(20):
            await room.send(number)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
with sync.join(sys.argv[1], room="raw") as room:
    for number in range(20):
        room.send(number)
print(len(entered), any(entered))
"""


def test_ctrl_c_cannot_strike_inside_a_session(url: str) -> None:
    """Where it raises anywhere in the main thread, that thread does not enter."""
    with Program(_RAW_LOOP, url) as program:
        assert program.line() == "40 False"


async def test_after_the_end_nothing_is_entered(url: str, room: str) -> None:
    """A room that was left says so, in a burst as well."""
    async with thkmesh.join(url, room=room) as ada:
        for number in range(3):
            await ada.send(number)
        leaving = asyncio.create_task(ada.leave())
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(thkmesh.RoomClosed):
                await ada.send("too late")
        await leaving
        with pytest.raises(thkmesh.RoomClosed):
            await ada.send("much too late")
