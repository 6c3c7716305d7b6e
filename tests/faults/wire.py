"""A bad network that can be told how bad it is: ``python -m tests.faults.wire``.

The problem: the kernels we test on have no ``tc netem``. The idea: two network
namespaces, a TUN device in each, and one process that carries packets from one to
the other, as late, as few and as confused as it is told to. Each of the two ways
has rules of its own, and dice of its own, thrown from one seed that is printed::

    namespace A  eth0 ──packets──▶ [drop, lose, double, queue, delay] ──▶ w1  namespace B
                      ◀────────────[    the same, the way back     ]◀──

A packet meets, in this order: ``block``, the number of ``drop``, ``loss``,
``duplicate``, the queue in front of ``rate``, then ``delay`` and ``jitter``. Jitter
keeps the order, as a queue in a router does; ``reorder`` is the share of packets
that overtake others on a shorter way, a random part of the delay.

It does what the lines on its standard input say, ``forward``, ``back`` or ``both``
followed by rules, and answers each with a line of counters in JSON::

    both delay=0.1 jitter=0.03 loss=0.03 reorder=0.03
    forward block=1
    back drop=7
    both rate=1250000 queue=65536

Lines add to what holds; ``both clear`` begins anew. It ends with its input.
"""

import argparse
import fcntl
import heapq
import json
import os
import secrets
import select
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import Any, Final

from tests.namespaces import enter

__all__ = ["Rules", "Way", "parse"]

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_LARGEST: Final = 65_536
_BATCH: Final = 64
"""Packets of one way before the other is looked at again."""

_UDP: Final = 17
_DEFAULT_QUEUE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How bad one way is.

    Attributes:
        delay: seconds that every packet takes.
        jitter: seconds by which it may take more or less; it keeps the order.
        loss: the share of packets that are lost.
        reorder: the share of packets that overtake others.
        duplicate: the share of packets that come twice.
        rate: bytes a second; infinity means no limit.
        burst: bytes that may go at once after a pause.
        queue: bytes that may wait for the rate; what finds no room is lost.
        drop: the number of the UDP packet, counted from now, that is lost; 0 means none.
        block: everything is lost.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    rate: float = inf
    burst: float = 0.0
    queue: float = _DEFAULT_QUEUE_BYTES
    drop: int = 0
    block: bool = False


@dataclass(slots=True)
class Counters:
    """What became of the packets of one way."""

    taken: int = 0
    carried: int = 0
    lost: int = 0
    dropped: int = 0
    """Those that were meant by their number."""

    blocked: int = 0
    overflowed: int = 0
    doubled: int = 0
    overtook: int = 0


class Way:
    """One direction; pure, time is an argument."""

    def __init__(self, seed: str) -> None:
        """Begin perfect."""
        self.rules = Rules()
        self.counters = Counters()
        self._dice = Random(seed)
        self._heap: list[tuple[float, int, bytes]] = []
        self._number = 0
        self._free_at = -inf
        """When the last byte of what waits for the rate will have gone."""
        self._last_due = 0.0
        self._until_drop = 0
        self._perfect = True

    @property
    def deadline(self) -> float:
        """When the next packet is due; infinity when none is on its way."""
        return self._heap[0][0] if self._heap else inf

    def change(self, rules: Rules) -> None:
        """Obey other rules from now on; what is on its way arrives as it would have."""
        if rules.drop:
            self._until_drop = rules.drop
        self.rules = replace(rules, drop=0)
        self._perfect = self.rules == Rules()

    def take(self, packet: bytes, now: float) -> bytes | None:
        """Take a packet; return it if it is there at once."""
        self.counters.taken += 1
        if self._perfect and not self._until_drop and not self._heap:
            self.counters.carried += 1
            return packet
        if self._survives(packet):
            self._queue(packet, now)
            if self.rules.duplicate and self._dice.random() < self.rules.duplicate:
                self.counters.doubled += 1
                self._queue(packet, now)
        return None

    def arrived(self, now: float) -> Iterator[bytes]:
        """Yield what has arrived."""
        while self._heap and self._heap[0][0] <= now:
            self.counters.carried += 1
            yield heapq.heappop(self._heap)[2]

    def _survives(self, packet: bytes) -> bool:
        if self.rules.block:
            self.counters.blocked += 1
            return False
        if self._until_drop and is_udp(packet):
            self._until_drop -= 1
            if not self._until_drop:
                self.counters.dropped += 1
                return False
        if self.rules.loss and self._dice.random() < self.rules.loss:
            self.counters.lost += 1
            return False
        return True

    def _queue(self, packet: bytes, now: float) -> None:
        rules, dice = self.rules, self._dice
        leaves = now
        if rules.rate != inf:
            begins = max(self._free_at, now - rules.burst / rules.rate)
            if (begins - now) * rules.rate > rules.queue:
                self.counters.overflowed += 1
                return
            self._free_at = begins + len(packet) / rules.rate
            leaves = max(now, self._free_at)
        if rules.reorder and dice.random() < rules.reorder:
            self.counters.overtook += 1
            due = leaves + rules.delay * dice.random()
        else:
            due = leaves + rules.delay
            if rules.jitter:
                due += rules.jitter * dice.uniform(-1.0, 1.0)
            self._last_due = due = max(due, self._last_due)
        self._number += 1
        heapq.heappush(self._heap, (due, self._number, packet))


def is_udp(packet: bytes) -> bool:
    """Tell whether an IP packet holds UDP, extension headers of IPv6 not looked behind."""
    return packet[9 if packet[0] >> 4 == 4 else 6] == _UDP


def parse(rules: Rules, words: list[str]) -> Rules:
    """Return rules with some of them changed.

    Raises:
        ValueError: a word is no rule.
    """
    kinds: dict[str, Callable[[str], Any]] = {"drop": int, "block": lambda text: text != "0"}
    for word in words:
        key, _, value = word.partition("=")
        if word == "clear":
            rules = Rules()
        elif key in Rules.__dataclass_fields__:
            rules = replace(rules, **{key: kinds.get(key, float)(value)})
        else:
            raise ValueError(f"no rule is called {key}; there are {list(Rules.__slots__)}")
    return rules


# --- the process ----------------------------------------------------------------


def open_tun(end: str) -> int:
    """Return a TUN device, made from ``namespace:device``; it belongs to the namespace."""
    namespace, _, device = end.partition(":")
    enter(namespace)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun


def pour(tun: int, packet: bytes) -> None:
    """Write a packet; a device that is down takes none."""
    try:
        os.write(tun, packet)
    except OSError:
        return


class Process:
    """Two devices, two ways and an ear for what it is told."""

    def __init__(self, ends: tuple[int, int], seed: str) -> None:
        """Join two TUN devices."""
        self._ways = {"forward": Way(f"{seed} forward"), "back": Way(f"{seed} back")}
        forward, back = self._ways.values()
        self._legs = ((ends[0], forward, ends[1]), (ends[1], back, ends[0]))
        self._text = b""

    def run(self) -> None:
        """Carry packets until standard input ends."""
        sources = [self._legs[0][0], self._legs[1][0], sys.stdin.fileno()]
        while True:
            now = time.monotonic()
            deadline = min(way.deadline for _, way, _ in self._legs)
            patience = None if deadline == inf else max(0.0, deadline - now)
            ready, _, _ = select.select(sources, [], [], patience)
            for source, way, target in self._legs:
                for packet in way.arrived(time.monotonic()):
                    pour(target, packet)
                if source in ready:
                    self._carry(source, way, target)
            if sys.stdin.fileno() in ready and not self._listen():
                return

    def _carry(self, source: int, way: Way, target: int) -> None:
        for _ in range(_BATCH):
            try:
                packet = os.read(source, _LARGEST)
            except OSError:  # empty, or down
                return
            at_once = way.take(packet, time.monotonic())
            if at_once is not None:
                pour(target, at_once)

    def _listen(self) -> bool:
        heard = os.read(sys.stdin.fileno(), 4096)
        *lines, self._text = (self._text + heard).split(b"\n")
        for line in lines:
            self._answer(self._obey(line.decode().split()))
        return bool(heard)

    def _obey(self, words: list[str]) -> dict[str, object]:
        which, *rules = words or ["both"]
        try:
            ways = self._ways if which == "both" else {which: self._ways[which]}
            changed = {name: parse(way.rules, rules) for name, way in ways.items()}
        except (KeyError, ValueError) as error:
            return {"error": str(error)}
        for name, rule in changed.items():
            self._ways[name].change(rule)
        return {
            name: {key: getattr(way.counters, key) for key in Counters.__slots__}
            for name, way in self._ways.items()
        }

    def _answer(self, answer: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Join two namespaces until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.wire")
    parser.add_argument("ends", nargs=2, metavar="NAMESPACE:DEVICE", help="both are made here")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="of the dice")
    arguments = parser.parse_args()
    first, second = map(open_tun, arguments.ends)
    process = Process((first, second), arguments.seed)
    sys.stdout.write(json.dumps({"seed": arguments.seed}) + "\n")
    sys.stdout.flush()
    process.run()


if __name__ == "__main__":
    main()
