"""The watch of the machine's addresses: it tells of each change once, and of nothing else."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from thkmesh.netwatch import GATHERING, INTERVAL, NetworkWatch, Ways, sources, ways

HERE: Ways = frozenset({("eth0", "192.0.2.2"), ("", "192.0.2.2")})
THERE: Ways = frozenset({("eth0", "203.0.113.2"), ("", "203.0.113.2")})
NOWHERE: Ways = frozenset()


class Machine:
    """A machine with addresses, and a watch on it that counts."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.ways = HERE
        self.looks = 0
        self.told = 0
        self.news, self._far = socket.socketpair()
        self.news.setblocking(False)  # noqa: FBT003 - the socket's own word

    def look(self) -> Ways:
        """Return how it is."""
        self.looks += 1
        return self.ways

    def changed(self) -> None:
        """Take note of a change."""
        self.told += 1

    def say(self) -> None:
        """Let the system say something."""
        self._far.send(b"news")

    @contextmanager
    def watched(self, *, quiet: bool) -> Iterator[NetworkWatch]:
        """Watch it; a ``quiet`` system says nothing of its own."""
        news = (lambda: None) if quiet else (lambda: self.news)
        watch = NetworkWatch(self.changed, look=self.look, news=news)
        try:
            yield watch
        finally:
            watch.close()
            self._far.close()
            self.news.close()


async def test_a_change_is_told_soon_and_once() -> None:
    """All that comes with one cable is one change, though the system says much of it."""
    machine = Machine()
    with machine.watched(quiet=False):
        for machine.ways in (NOWHERE, THERE):
            for _ in range(100):
                machine.say()
            await asyncio.sleep(4 * GATHERING)
        assert machine.told == 2
        assert machine.looks <= 5


async def test_what_changes_nothing_is_not_told() -> None:
    """A neighbour, or a cable of others: the system speaks, but we are reached as before."""
    machine = Machine()
    with machine.watched(quiet=False):
        machine.say()
        await asyncio.sleep(4 * GATHERING)
        assert (machine.looks, machine.told) == (2, 0)


async def test_where_nobody_tells_it_looks_from_time_to_time() -> None:
    """Once a second is enough, and each change is told once."""
    machine = Machine()
    with machine.watched(quiet=True):
        machine.ways = THERE
        await asyncio.sleep(2.5 * INTERVAL)
        assert machine.told == 1
        assert 1 < machine.looks < 4


@pytest.mark.parametrize("quiet", [True, False])
async def test_closed_it_looks_no_more(quiet: bool) -> None:
    """Also if something was said before; and closing twice is harmless."""
    machine = Machine()
    with machine.watched(quiet=quiet) as watch:
        machine.say()
        await asyncio.sleep(GATHERING / 2)
        watch.close()
        looks, machine.ways = machine.looks, THERE
        await asyncio.sleep(1.2 * INTERVAL)
        assert (machine.looks, machine.told) == (looks, 0)


def test_a_machine_is_reached_by_what_leads_elsewhere() -> None:
    """Loopback and what ends at the cable are no ways; the addresses packets leave from are."""
    found = ways()
    assert {address for name, address in found if not name} == set(sources())
    for _, address in found:
        assert not address.startswith(("127.", "fe80:", "169.254."))
        assert address != "::1"
