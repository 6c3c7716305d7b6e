"""Virtual time: the whole of asyncio runs on it, in one order, without waiting."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from thkmesh.testing.clock import Stuck, VirtualLoop, process, run


def now() -> float:
    """Return the running loop's time."""
    return asyncio.get_running_loop().time()


# --- time -----------------------------------------------------------------------


def test_a_year_of_sleep_takes_no_time() -> None:
    """The clock jumps to the next timer and stands exactly where it was set."""

    async def main() -> float:
        await asyncio.sleep(365 * 86_400.0)
        return now()

    assert run(main(), limit=1e9) == 365 * 86_400.0


def test_a_timer_never_fires_before_its_time() -> None:
    """At its call-back the clock shows the timer's time to the last bit."""
    times = [0.1 * n for n in range(1, 1000)]

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        for when in reversed(times):
            loop.call_at(when, lambda: seen.append(loop.time()))
        await asyncio.sleep(1000)
        return seen

    assert run(main()) == times


def test_timers_of_one_time_fire_in_the_order_they_were_set() -> None:
    """Equal times are first in, first out; a heap alone would not see to that."""

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        for n in range(100):
            loop.call_at(1.0, seen.append, n)
        await asyncio.sleep(2)
        return seen

    assert run(main()) == list(range(100))


def test_cancelled_timers_do_not_pile_up() -> None:
    """A program that renews a far time-out for ever stays small."""

    async def main(loop: VirtualLoop) -> int:
        for _ in range(10_000):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0.01)
        return len(loop._timers)  # noqa: SLF001 - nothing else would show it

    loop = VirtualLoop()
    assert loop.run(main(loop)) < 300


# --- asyncio on it ----------------------------------------------------------------


async def _timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.Event().wait()
    assert now() == 5


async def _wait_for() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(100), 7)
    assert now() == 7


async def _queue() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)

    async def produce() -> None:
        for n in range(5):
            await queue.put(n)
            await asyncio.sleep(1)

    producer = asyncio.create_task(produce())
    assert [await queue.get() for _ in range(5)] == [0, 1, 2, 3, 4]
    await producer
    assert now() == 5


async def _task_group() -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError

    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the group raises, not a line in it
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(100))
            group.create_task(fail())
    assert now() == 1


async def _gather_and_wait() -> None:
    a, b = await asyncio.gather(asyncio.sleep(2, "a"), asyncio.sleep(1, "b"))
    assert (a, b) == ("a", "b")
    slow, fast = asyncio.create_task(asyncio.sleep(9)), asyncio.create_task(asyncio.sleep(1))
    done, _ = await asyncio.wait([slow, fast], return_when=asyncio.FIRST_COMPLETED)
    assert done == {fast}
    slow.cancel()


async def _condition() -> None:
    condition, lock = asyncio.Condition(), asyncio.Semaphore(1)

    async def wake() -> None:
        await asyncio.sleep(3)
        async with lock, condition:
            condition.notify_all()

    waker = asyncio.create_task(wake())
    async with condition:
        await condition.wait()
    await waker
    assert now() == 3


async def _to_thread() -> None:
    assert await asyncio.to_thread(sum, [1, 2, 3]) == 6
    with pytest.raises(ZeroDivisionError):
        await asyncio.get_running_loop().run_in_executor(None, divmod, 1, 0)
    asyncio.get_running_loop().call_soon_threadsafe(int)


async def _generators() -> None:
    async def ticks() -> AsyncIterator[float]:
        while True:
            await asyncio.sleep(1)
            yield now()

    async for tick in ticks():
        if tick >= 3:
            break
    assert now() == 3


@pytest.mark.parametrize(
    "program",
    [
        _timeout,
        _wait_for,
        _queue,
        _task_group,
        _gather_and_wait,
        _condition,
        _to_thread,
        _generators,
    ],
)
def test_asyncio_works_on_virtual_time(program: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """What asyncio offers keeps its meaning, and its seconds are the clock's."""
    run(program())


def test_tasks_left_over_are_cancelled_and_may_clean_up() -> None:
    """A task that outlives ``main`` is cancelled, and what it then waits for comes."""
    log: list[str] = []

    async def stay() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(10)
            log.append(f"cleaned up at {now()}")

    async def main() -> None:
        task = asyncio.create_task(stay())
        await asyncio.sleep(1)
        assert not task.done()

    run(main(), limit=5)
    assert log == ["cleaned up at 11.0"]


def test_sets_of_tasks_have_one_order() -> None:
    """Who is cancelled first depends on the program, not on addresses in memory."""

    async def main(shift: int) -> list[int]:
        ballast = [object() for _ in range(shift)]
        order: list[int] = []

        async def stay(n: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                order.append(n)

        async def stop() -> None:
            await asyncio.sleep(1)
            raise ValueError

        with pytest.raises(ExceptionGroup):  # noqa: PT012 - the group raises, not a line in it
            async with asyncio.TaskGroup() as group:
                for n in range(20):
                    group.create_task(stay(n))
                group.create_task(stop())
        del ballast
        return order

    orders = [run(main(7 * shift)) for shift in range(10)]
    assert all(order == orders[0] for order in orders)


# --- where it ends ------------------------------------------------------------------


def test_a_deadlock_is_an_error_that_names_who_waits() -> None:
    """With nothing ready and no timer set, the loop says so instead of hanging."""

    async def wait_for_nothing() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match=r"deadlock at 0\.0 s[\s\S]*in \S*wait_for_nothing|Event.wait"):
        run(wait_for_nothing())


def test_the_limit_ends_a_program_that_goes_on_for_ever() -> None:
    """Virtual seconds have a bound, whatever timers keep coming."""

    async def tick() -> None:
        while True:  # noqa: ASYNC110 - the point
            await asyncio.sleep(1)

    with pytest.raises(Stuck, match=r"not done after 100\.0 s"):
        run(tick(), limit=100.0)


def test_a_busy_wait_is_an_error() -> None:
    """Waiting without letting time pass would hang: it is told."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - the point
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="something spins"):
        run(spin())


def test_an_error_in_a_callback_fails_the_run() -> None:
    """What a real loop would only log cannot pass unseen in a test."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(divmod, 1, 0)
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(ZeroDivisionError)


def test_an_error_of_main_comes_first_and_others_are_noted() -> None:
    """The test's own error is raised as it is; what the loop met is beside it."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(divmod, 1, 0)
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        run(main())
    assert any("ZeroDivisionError" in note for note in caught.value.__notes__)


def test_other_threads_are_refused() -> None:
    """When another thread calls would depend on the machine: that is an error."""

    async def main() -> list[str]:
        loop, seen = asyncio.get_running_loop(), list[str]()

        def call() -> None:
            try:
                loop.call_soon_threadsafe(int)
            except RuntimeError as error:
                seen.append(str(error))

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return seen

    assert run(main()) == ["virtual time knows no other threads"]


# --- processes ----------------------------------------------------------------------


def test_a_held_process_misses_its_time_and_catches_up_in_order() -> None:
    """Timers and tasks of a held process come late, in order; all others go on."""

    async def main(loop: VirtualLoop) -> list[tuple[str, float, float]]:
        seen: list[tuple[str, float, float]] = []

        async def tick(name: str) -> None:
            for _ in range(4):
                due = loop.time() + 1
                await asyncio.sleep(1)
                seen.append((name, due, loop.time()))

        ada = asyncio.create_task(tick("ada"), context=process("ada"))
        bob = asyncio.create_task(tick("bob"), context=process("bob"))
        loop.call_at(1.5, loop.hold, "ada")
        loop.call_at(7.0, loop.release, "ada")
        await asyncio.gather(ada, bob)
        return seen

    loop = VirtualLoop()
    seen = loop.run(main(loop))
    assert [line for line in seen if line[0] == "bob"] == [("bob", n, n) for n in (1, 2, 3, 4)]
    assert [line for line in seen if line[0] == "ada"] == [
        ("ada", 1, 1),
        ("ada", 2, 7),
        ("ada", 8, 8),
        ("ada", 9, 9),
    ]


def test_what_a_process_starts_belongs_to_it() -> None:
    """Tasks and timers made by a process are held with it, however deep."""

    async def main(loop: VirtualLoop) -> list[float]:
        seen: list[float] = []

        async def start() -> None:
            asyncio.create_task(nap())  # noqa: RUF006 - the loop keeps it long enough
            loop.call_later(2, lambda: seen.append(loop.time()))

        async def nap() -> None:
            await asyncio.sleep(3)
            seen.append(loop.time())

        await asyncio.create_task(start(), context=process("ada"))
        loop.hold("ada")
        await asyncio.sleep(10)
        loop.release("ada")
        await asyncio.sleep(1)
        return seen

    loop = VirtualLoop()
    assert loop.run(main(loop)) == [10, 10]


def test_a_process_held_for_good_does_not_keep_the_world() -> None:
    """A killed process is a deadlock for who waits for it, and no hindrance at the end."""

    async def main(loop: VirtualLoop) -> None:
        task = asyncio.create_task(asyncio.sleep(1), context=process("ada"))
        loop.hold("ada")
        await asyncio.sleep(10)
        assert not task.done()

    loop = VirtualLoop()
    loop.run(main(loop))
