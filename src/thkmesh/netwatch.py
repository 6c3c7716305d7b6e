"""Has this machine come to another network?

Engines notice after five seconds at best, and an address that is gone they do not
miss at all. But the system knows at once: an interface went up or down, an address
came or went, packets leave by another way. A watch tells of it; whoever hears asks
whether the ways it has still work, so a word too many costs a few pings, and one
too few costs the time until silence is noticed.

Linux says when something has changed (rtnetlink(7)); what it says is not read, it
only makes us look. Elsewhere, and where that is forbidden, we look once a second:
that costs a fifth of a millisecond.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Final, TypeAlias

import psutil

__all__ = ["NetworkWatch", "Ways", "sources", "ways"]

INTERVAL: Final = 1.0
"""Seconds from look to look, where nobody tells us when to."""

GATHERING: Final = 0.05
"""Seconds that changes wait for those that come with them: one cable is many changes."""

_ELSEWHERE: Final = ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that belong to nobody (RFC 5737, RFC 3849)."""

# linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_NEWS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_NEWS_BYTES: Final = 65_536

Ways: TypeAlias = frozenset[tuple[str, str]]
"""Interfaces and their addresses; under no name, those that packets to elsewhere leave from."""


def ways() -> Ways:
    """Return how others can be reached from here: what is up, beyond this host and its cable."""
    with contextlib.suppress(OSError):
        return frozenset((*_addresses(), *(("", source) for source in sources())))
    return frozenset()


def sources() -> Iterator[str]:
    """Yield the addresses that packets to anywhere else would leave from; sends nothing."""
    for family, address in _ELSEWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            yield str(probe.getsockname()[0])


def _addresses() -> Iterator[tuple[str, str]]:
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    for name, found in psutil.net_if_addrs().items():
        for each in found:
            if name in up and each.family in {socket.AF_INET, socket.AF_INET6}:
                address = ip_address(each.address)
                if not (address.is_loopback or address.is_link_local):
                    yield name, each.address


class NetworkWatch:
    """Calls ``changed`` whenever the ways to others are other ones, until it is closed."""

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        look: Callable[[], Ways] = ways,
        news: "Callable[[], socket.socket | None] | None" = None,
    ) -> None:
        """Begin to watch, on the running loop.

        Args:
            changed: called on that loop.
            look: returns how it is; the system is asked if it is not given.
            news: returns a socket that can be read when it is time to look, or None
                where there is none; the system's own if it is not given.
        """
        self._changed = changed
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._known = look()
        self._timer: asyncio.TimerHandle | None = None
        self._news = (_system_news if news is None else news)()
        if self._news is None:
            self._timer = self._loop.call_later(INTERVAL, self._compare)
        else:
            self._loop.add_reader(self._news, self._told)

    def close(self) -> None:
        """Watch no more; harmless when done before."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._news is not None:
            self._loop.remove_reader(self._news)
            self._news.close()
            self._news = None

    def _told(self) -> None:
        assert self._news is not None
        # It may say that there was more than fits: that is news, too.
        with contextlib.suppress(OSError):
            while self._news.recv(_NEWS_BYTES):
                pass
        if self._timer is None:
            self._timer = self._loop.call_later(GATHERING, self._compare)

    def _compare(self) -> None:
        self._timer = None
        if self._news is None:
            self._timer = self._loop.call_later(INTERVAL, self._compare)
        before, self._known = self._known, self._look()
        if self._known != before:
            self._changed()


def _system_news() -> socket.socket | None:
    """Return what can be read when Linux has something to say of its interfaces."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    try:
        news = socket.socket(family, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        news.setblocking(False)  # noqa: FBT003 - the socket's own word
        news.bind((0, _NEWS))
    except OSError:
        return None
    return news
