"""The mesh thread: when it starts, when it ends, and what runs on it."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from tests.shell.world import PATIENCE
from thkmesh import sync
from thkmesh.core.contact import RETRY_BASE
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import LinkSettings
from thkmesh.core.session_events import SocketLost
from thkmesh.engines.simulated import Behaviour
from thkmesh.errors import InvalidArgument
from thkmesh.host import Lease, forked, require_context
from thkmesh.netwatch import NetworkWatch

_T = TypeVar("_T")


def ended(lease: Lease) -> threading.Event:
    """Give a lease back; return what is set once all of it has ended."""
    event = threading.Event()
    lease.release(event.set)
    return event


def on(lease: Lease, work: Coroutine[Any, Any, _T]) -> _T:
    """Do something on the mesh thread."""
    return asyncio.run_coroutine_threadsafe(work, lease.host.loop).result(PATIENCE)


def test_all_leases_share_one_thread() -> None:
    """It ends with the last of them; the next one starts another."""
    one, two = Lease(), Lease()
    assert one.host is two.host
    assert ended(one).is_set(), "nothing of the first has to be waited for"
    assert ended(two).wait(PATIENCE)
    one.host.join()
    three = Lease()
    assert three.host is not one.host
    assert ended(three).wait(PATIENCE)
    three.host.join()
    assert "thkmesh" not in {thread.name for thread in threading.enumerate()}


def watch(lease: Lease) -> NetworkWatch | None:
    """Return what watches the network for those on the mesh thread."""
    return lease.host._watch  # noqa: SLF001 - whether it is there is all that shows


def test_the_network_is_watched_while_somebody_wants_it(url: str, room: str) -> None:
    """From the first room that wants it to the last; a room may do without."""
    lease = Lease()
    with sync.join(url, room=room, watch_network=False):
        assert watch(lease) is None
        with sync.join(url, room=room), sync.join(url, room=room):
            assert watch(lease) is not None
        assert watch(lease) is None
    assert ended(lease).wait(PATIENCE)


def test_a_lease_is_given_back_once() -> None:
    """Giving it back twice does not end the thread that another one holds."""
    one, two = Lease(), Lease()
    assert ended(one).is_set()
    assert ended(one).is_set()
    on(two, asyncio.sleep(0))
    assert ended(two).wait(PATIENCE)


def test_the_end_is_told_when_the_thread_is_done() -> None:
    """Whoever is told finds no task left and the loop closed."""
    lease = Lease()
    tasks: list[asyncio.Task[None]] = []

    async def leave_a_task() -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(3600)))

    on(lease, leave_a_task())
    assert ended(lease).wait(PATIENCE)
    assert lease.host.loop.is_closed()
    assert tasks[0].cancelled()


def test_waiting_for_a_thread_that_goes_on_does_not_wait() -> None:
    """``join`` waits for the end of a thread that is stopping, and of no other."""
    lease = Lease()
    lease.host.join()
    on(lease, asyncio.sleep(0))
    assert ended(lease).wait(PATIENCE)
    lease.host.join()


def test_an_engine_is_made_once_a_thread() -> None:
    """All rooms of a process share it; what cannot be made is told."""
    lease = Lease()

    async def engine(name: str | None) -> object:
        return lease.host.engine(name)

    assert on(lease, engine(None)) is on(lease, engine(None))
    with pytest.raises(InvalidArgument):
        on(lease, engine("steam"))
    assert ended(lease).wait(PATIENCE)


def test_dice_are_fair_enough() -> None:
    """Retries of sessions are spread by them, so no two should agree."""
    lease = Lease()
    me, settings = SessionKey("a" * 26, "0" * 16), LinkSettings(Behaviour().capabilities)
    sessions = [lease.host.session(me, settings) for _ in range(100)]
    for session in sessions:
        session.handle(SocketLost(1006, ""), 0.0)
    retries = {session.deadline for session in sessions}
    assert len(retries) == 100
    assert all(retry is not None and 0 <= retry < RETRY_BASE for retry in retries)
    assert ended(lease).wait(PATIENCE)


def test_names_are_looked_up() -> None:
    """Its loop finds what the system's resolver finds, and fails as it fails."""
    lease = Lease()
    loop = lease.host.loop
    found = on(lease, loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM))
    assert sorted(found) == sorted(socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM))
    for nobody in ("nobody.invalid", "a..b", "x" * 64 + ".invalid"):
        with pytest.raises(OSError, match="is no address"):
            on(lease, loop.getaddrinfo(nobody, 80))
    assert ended(lease).wait(PATIENCE)


def test_a_lookup_that_nobody_wants_any_more_is_dropped() -> None:
    """It may be cancelled, and its answer may come when the loop is gone."""
    lease = Lease()
    lookup = asyncio.run_coroutine_threadsafe(
        lease.host.loop.getaddrinfo("localhost", 80), lease.host.loop
    )
    lookup.cancel()
    asyncio.run_coroutine_threadsafe(lease.host.loop.getaddrinfo("localhost", 80), lease.host.loop)
    assert ended(lease).wait(PATIENCE)
    for thread in threading.enumerate():
        if thread.name == "thkmesh-names":
            thread.join(PATIENCE)


def test_here_it_works() -> None:
    """In the process and the interpreter that began, nothing is refused."""
    require_context()
    assert not forked()
