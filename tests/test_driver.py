"""The driver: outputs in order, one timer, and no judgement by who has slept."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest

from thkmesh.core.machine import Slept, Tick
from thkmesh.driver import Driver
from thkmesh.testing.clock import VirtualLoop, process

Event: TypeAlias = str | Tick | Slept


@dataclass
class Diary:
    """A machine that writes down what it is handed, and wants a tick now and then."""

    interval: float | None = None
    seen: list[tuple[Event, float]] = field(default_factory=list)
    outputs: dict[str, list[str]] = field(default_factory=dict)
    faults: set[Event] = field(default_factory=set)
    """What it fails at."""
    deadline: float | None = None

    def handle(self, event: Event, now: float) -> list[str]:
        """Write it down."""
        self.seen.append((event, now))
        if event in self.faults:
            raise ZeroDivisionError
        if self.interval is not None:
            self.deadline = now + self.interval
        return self.outputs.get(event, []) if isinstance(event, str) else []


def drive(
    diary: Diary,
    scenario: Callable[[VirtualLoop, Driver[str, str]], None],
    *,
    until: float,
    perform: Callable[[str], None] = lambda _: None,
) -> list[tuple[Event, float]]:
    """Run a scenario with a driver that belongs to the process ``p``."""
    loop = VirtualLoop()

    async def begin() -> Driver[str, str]:
        return Driver(diary, perform, logger=logging.getLogger("thkmesh.test"))

    async def main() -> None:
        driver = await asyncio.create_task(begin(), context=process("p"))
        scenario(loop, driver)
        await asyncio.sleep(until)
        driver.close()

    loop.run(main())
    return diary.seen


def test_it_ticks_at_the_deadline() -> None:
    """A machine is woken when it asked for it, to the moment."""
    seen = drive(Diary(interval=2.0), lambda _, driver: driver.feed("go"), until=5)
    assert seen == [("go", 0), (Tick(), 2), (Tick(), 4)]


def test_there_is_one_timer() -> None:
    """However often it is fed, a machine is woken once."""

    def scenario(_: VirtualLoop, driver: Driver[str, str]) -> None:
        for number in range(100):
            driver.feed(f"event {number}")

    seen = drive(Diary(interval=2.0), scenario, until=3)
    assert [event for event, _ in seen].count(Tick()) == 1


def test_an_earlier_deadline_is_kept() -> None:
    """A deadline that comes closer wakes the machine in time."""
    diary = Diary(interval=3.0)

    def scenario(loop: VirtualLoop, driver: Driver[str, str]) -> None:
        def hurry() -> None:
            diary.interval = 0.25
            driver.feed("hurry")

        driver.feed("go")
        loop.call_at(1.0, hurry)

    seen = drive(diary, scenario, until=1.5)
    assert seen == [("go", 0), ("hurry", 1.0), (Tick(), 1.25), (Tick(), 1.5)]


def test_without_a_deadline_nobody_is_woken() -> None:
    """A machine that waits for nothing hears of nothing, even if it waited before."""
    diary = Diary(interval=1.0)

    def scenario(loop: VirtualLoop, driver: Driver[str, str]) -> None:
        def rest() -> None:
            diary.interval = diary.deadline = None
            driver.feed("rest")

        driver.feed("go")
        loop.call_at(0.5, rest)

    assert drive(diary, scenario, until=100) == [("go", 0), ("rest", 0.5)]


def test_what_fails_is_told_and_stops_nothing_else() -> None:
    """An output that cannot be performed reaches the loop's handler; the next is performed."""
    done: list[str] = []

    def perform(output: str) -> None:
        if output == "bad":
            raise ZeroDivisionError
        done.append(output)

    with pytest.raises(ExceptionGroup) as raised:
        drive(
            Diary(outputs={"go": ["bad", "good"]}),
            lambda _, driver: driver.feed("go"),
            until=1,
            perform=perform,
        )
    assert raised.group_contains(ZeroDivisionError)
    assert done == ["good"]


def test_a_machine_that_raises_stops_only_itself() -> None:
    """Who feeds it hears of the bug; what waited behind that event, and time, go on."""
    diary = Diary(interval=2.0, outputs={"go": ["one"]})
    diary.faults.add("bad")

    def scenario(_: VirtualLoop, driver: Driver[str, str]) -> None:
        feeds.append(driver.feed)
        with pytest.raises(ZeroDivisionError):
            driver.feed("go")

    def perform(output: str) -> None:
        feeds[0]("bad")
        feeds[0](f"after {output}")

    feeds: list[Callable[[str], None]] = []
    seen = drive(diary, scenario, until=3, perform=perform)
    assert seen == [("go", 0), ("bad", 0), ("after one", 0), (Tick(), 0), (Tick(), 2)]


def test_a_machine_that_fails_at_what_is_due_does_not_keep_us_busy() -> None:
    """Its deadline stays where it was; it is tried again, but not without end."""
    diary = Diary(deadline=0.0, faults={"go", Tick()})

    def scenario(loop: VirtualLoop, driver: Driver[str, str]) -> None:
        with pytest.raises(ZeroDivisionError):
            driver.feed("go")

    with pytest.raises(ExceptionGroup):
        drive(diary, scenario, until=1)
    assert 5 < len(diary.seen) < 15


def test_what_is_fed_while_performing_waits() -> None:
    """A machine never sees itself re-entered, and outputs keep their order."""
    diary = Diary(outputs={"go": ["one", "two"]})
    done: list[str] = []

    def scenario(_: VirtualLoop, driver: Driver[str, str]) -> None:
        feeds.append(driver.feed)
        driver.feed("go")

    def perform(output: str) -> None:
        feeds[0](f"did {output}")
        done.append(output)
        assert [event for event, _ in diary.seen] == ["go"]

    feeds: list[Callable[[str], None]] = []
    seen = drive(diary, scenario, until=1, perform=perform)
    assert done == ["one", "two"]
    assert [event for event, _ in seen] == ["go", "did one", "did two"]


def test_sleep_is_told_before_anything_else() -> None:
    """After a sleep the machine hears of it first, even when input is there before the timer."""

    def scenario(loop: VirtualLoop, driver: Driver[str, str]) -> None:
        driver.feed("go")
        loop.call_at(0.5, loop.hold, "p")
        loop.call_at(0.7, driver.feed, "heard in time, read late", context=process("p"))
        loop.call_at(20.0, loop.release, "p")

    seen = drive(Diary(interval=1.0), scenario, until=20.5)
    assert seen[1:3] == [(Slept(19.0), 20.0), ("heard in time, read late", 20.0)]
    assert not any(isinstance(event, Slept) for event, _ in seen[2:])


def test_sleep_is_noticed_without_input_too() -> None:
    """A timer that fires late means that nobody ran: that is told, and then it goes on."""

    def scenario(loop: VirtualLoop, driver: Driver[str, str]) -> None:
        driver.feed("go")
        loop.call_at(0.5, loop.hold, "p")
        loop.call_at(20.0, loop.release, "p")

    seen = drive(Diary(interval=1.0), scenario, until=22.5)
    assert seen[1:] == [(Slept(19.0), 20.0), (Tick(), 21.0), (Tick(), 22.0)]


def test_after_sleep_waiting_input_goes_before_the_tick() -> None:
    """What had arrived meanwhile is handed in before anything is judged by its absence."""

    def scenario(loop: VirtualLoop, driver: Driver[str, str]) -> None:
        driver.feed("go")
        loop.call_at(0.5, loop.hold, "p")
        loop.call_at(20.0, loop.release, "p")
        loop.call_at(20.05, driver.feed, "it was in a socket")

    seen = drive(Diary(interval=0.01), scenario, until=20.2)
    events = [event for event, time in seen if time >= 20]
    assert isinstance(events[0], Slept)
    assert events[1] == "it was in a socket"


def test_its_timer_belongs_to_where_it_was_made() -> None:
    """Who feeds a driver from elsewhere does not take its timer along."""

    def scenario(loop: VirtualLoop, driver: Driver[str, str]) -> None:
        driver.feed("from the test's own context")
        loop.hold("p")

    seen = drive(Diary(interval=1.0), scenario, until=10)
    assert len(seen) == 1


def test_nothing_follows_close() -> None:
    """A closed driver takes no event and sets no timer."""

    def scenario(loop: VirtualLoop, driver: Driver[str, str]) -> None:
        driver.feed("go")
        driver.close()
        driver.feed("too late")

    assert drive(Diary(interval=1.0), scenario, until=10) == [("go", 0)]


# --- other threads ------------------------------------------------------------------


def on_another_thread(work: Callable[[], object]) -> int:
    """Do something on another thread; return its identity."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert thread.ident is not None
    return thread.ident


async def test_another_thread_performs_what_it_may_and_leaves_the_rest_in_order() -> None:
    """Behind what only the loop can perform wait all others, later events' too, but one."""
    done: list[tuple[str, int]] = []
    home = threading.get_ident()
    outputs = {"a": ["any 1", "home 1", "any 2", "ahead"], "b": ["any 3"], "c": ["home 2"]}
    diary = Diary(outputs=outputs)
    driver = Driver(
        diary,
        lambda output: done.append((output, threading.get_ident())),
        logger=logging.getLogger("thkmesh.test"),
        anywhere=lambda output: output.startswith("any"),
        ahead=lambda output: output == "ahead",
    )
    away = on_another_thread(lambda: driver.feed("a"))
    assert done == [("any 1", away), ("ahead", away)]
    on_another_thread(lambda: driver.feed("b"))
    assert done == [("any 1", away), ("ahead", away)]
    driver.feed("c")
    assert done[2:] == [("home 1", home), ("any 2", home), ("any 3", home), ("home 2", home)]
    driver.close()


async def test_what_another_thread_leaves_is_done_soon_and_its_timer_set() -> None:
    """Nobody else has to feed for it, and the machine is woken when it asked for it."""
    done: list[str] = []
    ticked = asyncio.Event()

    def perform(output: str) -> None:
        done.append(output)
        if output == "on tick":
            ticked.set()

    class Clock(Diary):
        def handle(self, event: Event, now: float) -> list[str]:
            return super().handle(event, now) or ["on tick"]

    diary = Clock(interval=0.05, outputs={"a": ["home"]})
    driver = Driver(diary, perform, logger=logging.getLogger("thkmesh.test"))
    on_another_thread(lambda: driver.feed("a"))
    assert done == []
    async with asyncio.timeout(5):
        await ticked.wait()
    assert done == ["home", "on tick"]
    driver.close()


async def test_it_tells_when_it_has_settled_and_is_free() -> None:
    """By then other threads can feed; and a machine that fails does not keep it to itself."""
    free: list[bool] = []
    lock = threading.RLock()

    def settled() -> None:
        def look() -> None:
            free.append(lock.acquire(timeout=5))
            lock.release()

        on_another_thread(look)

    driver = Driver(
        Diary(outputs={"a": ["x", "y"]}),
        lambda _: driver.feed("b"),
        logger=logging.getLogger("thkmesh.test"),
        lock=lock,
        settled=settled,
    )
    driver.feed("a")
    assert free == [True]
    driver.close()


async def test_other_threads_tell_of_a_sleep_once() -> None:
    """Whoever feeds first after it says so, before what it feeds; the late timer adds nothing."""
    diary = Diary(interval=0.1)
    driver = Driver(diary, lambda _: None, logger=logging.getLogger("thkmesh.test"))
    driver.feed("first")
    time.sleep(1.5)  # noqa: ASYNC251 - the loop is held up
    for name in ("a", "b", "c"):
        on_another_thread(lambda name=name: driver.feed(name))  # type: ignore[misc]
    time.sleep(0.2)  # noqa: ASYNC251
    await asyncio.sleep(0.3)
    driver.close()
    seen = [event for event, _ in diary.seen]
    assert [type(event) for event in seen[:5]] == [str, Slept, str, str, str]
    assert sum(isinstance(event, Slept) for event in seen) == 1
    assert Tick() in seen


def test_a_closed_loop_is_no_fault_of_who_feeds() -> None:
    """Another thread may come too late: then nothing is performed."""
    done: list[str] = []

    async def make() -> Driver[str, str]:
        diary = Diary(outputs={"a": ["home"]})
        return Driver(diary, done.append, logger=logging.getLogger("thkmesh.test"))

    driver = asyncio.run(make())
    failed: list[BaseException] = []

    def feed() -> None:
        try:
            driver.feed("a")
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is one too many
            failed.append(error)

    on_another_thread(feed)
    assert (done, failed) == ([], [])
