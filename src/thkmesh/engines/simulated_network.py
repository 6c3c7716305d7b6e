"""The network between simulated hosts: delay, jitter, loss, rate, and cuts.

A host is a computer, named by a string. Between any two there is one path; it has
conditions each way, can be cut and healed, and can be *moved*: who used it must
find it anew (an address changed, a NAT forgot us). A detached host reaches nobody.

Time is the running loop's, virtual or real; all chance comes from one seed.
"""

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from thkmesh.engines.simulated_ice import Agent

__all__ = ["Conditions", "Pipe", "SimulatedNetwork"]

_PACKET_BYTES = 1200

_DETOUR = 0.005
"""Seconds at least that a packet on a detour takes longer than others."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Conditions:
    """How one direction of a path is.

    Attributes:
        delay: seconds a packet travels at least.
        jitter: up to so many seconds more, evenly spread.
        loss: the probability that a packet is lost.
        rate_bytes: bytes a second, for each connection.
        reorder: the probability that a packet is held up until others overtake it.
    """

    delay: float = 0.02
    jitter: float = 0.005
    loss: float = 0.0
    rate_bytes: float = 12_500_000.0
    reorder: float = 0.0


class SimulatedNetwork:
    """Hosts and the paths between them."""

    def __init__(
        self,
        seed: int | str = 0,
        conditions: Conditions | None = None,
        *,
        trace: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make a network on which every host reaches every other.

        Args:
            seed: of all its chance.
            conditions: of every path; None means ``Conditions()``.
            trace: told in one line what happens.
        """
        self.trace = trace
        self.agents: dict[str, Agent] = {}
        """The ends of connections, by the ufrag that others find them by."""
        self._seed = seed
        self._default = conditions or Conditions()
        self._conditions: dict[tuple[str, str], Conditions] = {}
        self._cut: set[frozenset[str]] = set()
        self._detached: set[str] = set()
        self._routes: dict[frozenset[str], int] = {}
        self._watchers: dict[int, Callable[[], None]] = {}
        self._numbers: dict[str, int] = {}
        self._dice = self.dice("network")

    def number(self, kind: str) -> int:
        """Return 1, 2, 3 ... for each kind of thing."""
        self._numbers[kind] = number = self._numbers.get(kind, 0) + 1
        return number

    def dice(self, name: str) -> Random:
        """Return dice of their own for a part of the simulation; each call, others."""
        return Random(f"{self._seed}/{name}/{self.number(name)}")  # noqa: S311 - the point

    # --- how it is ---

    def conditions(self, source: str, target: str) -> Conditions:
        """Return how it is from one host to another."""
        return self._conditions.get((source, target), self._default)

    def reaches(self, a: str, b: str) -> bool:
        """Return whether packets pass between two hosts."""
        return not (
            a in self._detached
            or b in self._detached
            or (self._cut and frozenset((a, b)) in self._cut)
        )

    def route(self, a: str, b: str) -> int:
        """Return which route the path takes; another number after each move."""
        return self._routes.get(frozenset((a, b)), 0)

    def loses(self, source: str, target: str, size_bytes: int) -> bool:
        """Roll the dice: is a datagram of that size lost, as one packet of it is?"""
        loss = self.conditions(source, target).loss
        return loss > 0 and self._dice.random() >= (1 - loss) ** (1 + size_bytes // _PACKET_BYTES)

    def transit(self, source: str, target: str) -> float:
        """Return how many seconds one packet travels."""
        conditions = self.conditions(source, target)
        delay = conditions.delay + conditions.jitter * self._dice.random()
        if conditions.reorder and self._dice.random() < conditions.reorder:
            delay += _DETOUR + self._dice.random() * (conditions.delay + conditions.jitter)
        return delay

    def reliable_transit(self, source: str, target: str, size_bytes: int) -> float:
        """Return how many seconds a message travels, resending what is lost."""
        delay = self.transit(source, target)
        size = size_bytes
        while self.loses(source, target, size):
            # Three packets later, or after a time-out, the loss is seen and repaired.
            delay += self.transit(target, source) + 0.05 + self.transit(source, target)
            size = 0
        return delay

    # --- how it changes ---

    def set_conditions(self, a: str, b: str, conditions: Conditions) -> None:
        """Change how it is between two hosts, both ways."""
        self._conditions[a, b] = self._conditions[b, a] = conditions

    def partition(self, a: str, b: str) -> None:
        """Let no packet pass between two hosts."""
        self._cut.add(frozenset((a, b)))
        self._changed(f"cut {a} {b}")

    def heal(self, a: str, b: str) -> None:
        """Undo ``partition``."""
        self._cut.discard(frozenset((a, b)))
        self._changed(f"heal {a} {b}")

    def move(self, a: str, b: str) -> None:
        """Kill what runs between two hosts; they can find each other again."""
        self._routes[frozenset((a, b))] = self.route(a, b) + 1
        self._changed(f"move {a} {b}")

    def tear(self, a: str, b: str) -> None:
        """End every connection between two hosts; both ends see it fail at once.

        What was under way is lost, as when an engine or what carries it has a fault.
        """
        self.trace(f"tear {a} {b}")
        for agent in tuple(self.agents.values()):
            association = agent.association
            if association is not None and {agent.host, association.other(agent).host} == {a, b}:
                association.tear()

    def detach(self, host: str) -> None:
        """Let a host reach nobody."""
        self._detached.add(host)
        self._changed(f"detach {host}")

    def attach(self, host: str) -> None:
        """Undo ``detach``."""
        self._detached.discard(host)
        self._changed(f"attach {host}")

    def attach_all(self) -> None:
        """Undo every ``detach``."""
        for host in sorted(self._detached):
            self.attach(host)

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher`` after each change; return what ends that."""
        number = self.number("watcher")
        self._watchers[number] = watcher
        return lambda: self._watchers.pop(number, None) and None

    def _changed(self, what: str) -> None:
        self.trace(what)
        for watcher in tuple(self._watchers.values()):
            watcher()


class Pipe(Generic[_T]):
    """Delivers everything once, and usually in order, however often the path is cut."""

    def __init__(
        self,
        deliver: Callable[[_T], None],
        usable: Callable[[], bool],
        context: Context,
        *,
        ordered: bool = True,
    ) -> None:
        """Make an empty pipe.

        Args:
            deliver: is handed what arrives.
            usable: tells whether anything can arrive now. When it turns true
                again, whoever knows calls ``resume``.
            context: whose process it is delivered in.
            ordered: False: nothing waits for what is before it.
        """
        self._deliver = deliver
        self._ordered = ordered
        self._usable = usable
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[tuple[float, _T]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._stalled = False

    def put(self, item: _T, arrival: float) -> None:
        """Let ``item`` arrive at a time; in order: or after what is before it."""
        if self._ordered:
            self._under_way.append((arrival, item))
        else:
            insort(self._under_way, (arrival, item), key=lambda each: each[0])
            if self._timer is not None and self._under_way[0][0] == arrival:
                self._timer.cancel()
                self._timer = None
        if self._timer is None and not self._stalled:
            self._arm(arrival)

    def end(self, item: _T, arrival: float) -> None:
        """Let ``item`` arrive at a time, or after all others."""
        last = self._under_way[-1][0] if self._under_way else arrival
        self.put(item, max(arrival, last))

    @property
    def overdue(self) -> int:
        """How many items wait for a receiver that has not listened for a second."""
        late = self._under_way and self._under_way[0][0] < self._loop.time() - 1.0
        return len(self._under_way) if late else 0

    def resume(self, delay: float = 0.0) -> None:
        """Go on after a stall; what was lost takes ``delay`` seconds to come again."""
        if self._stalled:
            self._stalled = False
            if self._under_way:
                self._arm(max(self._under_way[0][0], self._loop.time() + delay))

    def clear(self) -> None:
        """Lose what is under way, for good."""
        self._under_way.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._land, context=self._context)

    def _land(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._under_way and self._under_way[0][0] <= now:
            if not self._usable():
                self._stalled = True
                return
            self._deliver(self._under_way.popleft()[1])
        if self._under_way and self._timer is None:
            self._arm(self._under_way[0][0])
