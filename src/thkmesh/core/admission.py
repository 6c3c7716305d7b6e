"""Who may come in, and how often: what one place in the network gets of a server.

A **source** is what an attacker would have to pay for: one IPv4 address, or the 64 bits
of an IPv6 prefix, for whoever has one address of it has all (RFC 6177). From each so
many connections at once, so many new ones in time, so many new rooms, and so many guesses
at a password; and so many connections in all. Loopback is no source: who is on the
machine itself is not limited, nor is who came in a way without addresses. All whom a
proxy does not name are one.

What a connection may say in time is its own ``Pace``. All rates are token buckets:
so much at once, then at a steady rate.

A source is remembered until it has everything back, and a bounded number of them: the
one that was idle longest gives way.
"""

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal, TypeAlias

from thkmesh.core.allowance import Allowance
from thkmesh.core.timeouts import Timeouts

__all__ = ["NAMELESS", "AdmissionRules", "Denial", "Pace", "Reason", "Turnstile", "source_of"]

Reason: TypeAlias = Literal[
    "rate-limited", "too-many-connections", "server-full", "moving", "origin-refused"
]

NAMELESS: Final = "unknown"
"""Stands for the address that a proxy does not name (RFC 7239, section 6.2); all are one source."""

SOURCES: Final = 65_536
"""So many sources are remembered that have no connection."""

FULL_WAIT: Final = 10.0
"""Seconds after which a place may have become free."""

_PER_PEER: Final = (6.0, 12.0)
"""Messages a second, and at once, for each peer that a room may have: joining costs so many."""


@dataclass(frozen=True, kw_only=True)
class AdmissionRules:
    """How much of the server anybody gets; 0 anywhere means without limit.

    Attributes:
        max_connections: connections in all; more are refused with 503.
        address_connections: connections from one address at once; more are refused
            with 429. An IPv6 address counts as its /64, loopback not at all.
        address_arrivals: new connections a second from one address.
        address_arrivals_burst: how many at once.
        address_rooms: new rooms a second from one address, by joining or by REST.
        address_rooms_burst: how many at once.
        address_guesses: passwords tried a second from one address, by joining or by REST;
            one that was right before does not count.
        address_guesses_burst: how many at once.
        message_rate: messages a second from one connection, or 6 for each peer that a
            room may have, if that is more; beyond it the connection is closed (4429).
        message_burst: how many at once, or 12 for each peer.
        frame_rate: sealed frames a second from one connection, beside their bytes.
        frame_burst: how many at once.
    """

    max_connections: int = 16_384
    address_connections: int = 20
    address_arrivals: float = 4.0
    address_arrivals_burst: int = 40
    address_rooms: float = 0.2
    address_rooms_burst: int = 60
    address_guesses: float = 0.2
    address_guesses_burst: int = 10
    message_rate: float = 60.0
    message_burst: int = 120
    frame_rate: float = 1000.0
    frame_burst: int = 4000


@dataclass(frozen=True)
class Denial:
    """Why somebody may not; ``retry_after`` is in seconds."""

    reason: Reason
    message: str
    retry_after: float


def source_of(address: str | None) -> str | None:
    """Return what an address is counted as; None if it is not counted."""
    if address == NAMELESS:
        return NAMELESS
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if found.is_loopback:
        return None
    if isinstance(found, IPv6Address):
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)


@dataclass(slots=True)
class _Source:
    arrivals: Allowance
    rooms: Allowance
    guesses: Allowance
    connections: int = 0


class Turnstile:
    """Counts who is there, and tells who may come.

    Attributes:
        open: how many connections there are.
        draining: whether nobody may come any more.
        denied: how often somebody was turned away, by reason; the shell counts its own.
    """

    def __init__(self, rules: AdmissionRules) -> None:
        """Begin without anybody."""
        self.open = 0
        self.draining = False
        self.denied: Counter[Reason] = Counter()
        self._rules = rules
        self._sources: dict[str, _Source] = {}
        self._idle: Timeouts[str] = Timeouts(_recovery(rules))

    @property
    def sources(self) -> int:
        """How many sources are remembered."""
        return len(self._sources)

    def enter(self, source: str | None, now: float) -> Denial | None:
        """Count a connection in, or return why not; ``leave`` counts it out."""
        denial = self._judge(source, now)
        if denial is not None:
            self.denied[denial.reason] += 1
            return denial
        self.open += 1
        if source is not None:
            self._idle.stop(source)
            self._sources[source].connections += 1
        return None

    def leave(self, source: str | None, now: float) -> None:
        """Count a connection out."""
        self.open -= 1
        if source is not None:
            self._sources[source].connections -= 1
            self._rest(source, now)

    def make_room(self, source: str | None, now: float) -> Denial | None:
        """Count a new room, or return why there may be none."""
        if source is None or not self._rules.address_rooms:
            return None
        if self._at(source, now).rooms.take(1, now):
            return None
        wait = 1 / self._rules.address_rooms
        return Denial("rate-limited", "too many new rooms from your address", wait)

    def guess(self, source: str | None, now: float) -> Denial | None:
        """Count a guess at a password, or return why there may be none."""
        if source is None or not self._rules.address_guesses:
            return None
        if self._at(source, now).guesses.take(1, now):
            return None
        wait = 1 / self._rules.address_guesses
        return Denial("rate-limited", "too many passwords were tried from your address", wait)

    def _judge(self, source: str | None, now: float) -> Denial | None:
        rules = self._rules
        if self.draining:
            return Denial("moving", "this server is about to stop", 0.0)
        if rules.max_connections and self.open >= rules.max_connections:
            return Denial("server-full", "this server has all the connections it takes", FULL_WAIT)
        if source is None:
            return None
        here = self._at(source, now)
        if rules.address_arrivals and not here.arrivals.take(1, now):
            wait = 1 / rules.address_arrivals
            return Denial("rate-limited", "too many new connections from your address", wait)
        if rules.address_connections and here.connections >= rules.address_connections:
            text = f"there are {rules.address_connections} connections from your address"
            return Denial("too-many-connections", text, FULL_WAIT)
        return None

    def _at(self, source: str, now: float) -> _Source:
        for idle in self._idle.expired(now):
            del self._sources[idle]
        here = self._sources.get(source)
        if here is None:
            rules = self._rules
            here = self._sources[source] = _Source(
                Allowance(rules.address_arrivals_burst, rules.address_arrivals),
                Allowance(rules.address_rooms_burst, rules.address_rooms),
                Allowance(rules.address_guesses_burst, rules.address_guesses),
            )
        self._rest(source, now)
        return here

    def _rest(self, source: str, now: float) -> None:
        """Forget a source some time after its last connection."""
        if not self._sources[source].connections:
            self._idle.start(source, now)
            if len(self._idle) > SOURCES:
                del self._sources[self._idle.pop()]


def _recovery(rules: AdmissionRules) -> float:
    """Return the seconds after which any source has everything back."""
    rates = (
        (rules.address_arrivals_burst, rules.address_arrivals),
        (rules.address_rooms_burst, rules.address_rooms),
        (rules.address_guesses_burst, rules.address_guesses),
    )
    return max((burst / rate for burst, rate in rates if rate), default=0.0)


class Pace:
    """What one connection may still say."""

    def __init__(self, rules: AdmissionRules, max_peers: int) -> None:
        """Begin with all of it; ``max_peers`` is how many a room may have."""
        rate, burst = _PER_PEER
        self._rate = max(rules.message_rate, rate * max_peers) if rules.message_rate else 0.0
        self._burst = max(rules.message_burst, burst * max_peers)
        self._messages = Allowance(self._burst, self._rate)
        self._frame_rate = rules.frame_rate
        self._frame_burst = rules.frame_burst
        self._frames = Allowance(rules.frame_burst, rules.frame_rate)

    def message(self, now: float) -> Denial | None:
        """Count a message, or return that it is one too many."""
        if not self._rate or self._messages.take(1, now):
            return None
        text = f"{self._rate:g} messages a second are enough"
        return Denial("rate-limited", text, self._burst / self._rate)

    def frame(self, now: float) -> Denial | None:
        """Count a sealed frame, or return that it is one too many."""
        if not self._frame_rate or self._frames.take(1, now):
            return None
        text = f"{self._frame_rate:g} sealed frames a second are enough"
        return Denial("rate-limited", text, self._frame_burst / self._frame_rate)
