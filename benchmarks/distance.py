"""How much gets through when the other end is far away, and some of it is lost?

Two namespaces and one wire of the fault lab between them (``tests.faults.wire``), which
delays every packet, and loses some. One process sends to another, 64 KiB at a time, for a
few seconds. What counts is what the receiving application has by then, over the time from
the first ``send`` until the last of it came: so connecting is not in it, finding out how
much the path bears is, and what merely waits in buffers counts for nothing.

THKMesh does it through its public API (``await room.send``, ``async for``). Beside it, on
the same wire in the same run and each in two processes: its engine alone; the transit of
magic-wormhole, which is what carries the file in ``wormhole send``; and TLS over TCP by
plain sockets. TCP is told to use Cubic, which Linux does unless told otherwise.

The contestants take turns in a random order, round by round, in processes that are fresh
each time. Each round first floods the wire with UDP: what comes above 70 % of what that
brings over says more of the wire than of the contestant. Processor time is that of both
ends, without the wire and the signaling server. It takes root, as the fault lab does.
"""

import asyncio
import json
import random
import secrets
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import psutil

from benchmarks import distance_actors as actors
from benchmarks import plot, report
from benchmarks.server import start_server
from benchmarks.stage import Cue, Stage
from tests.faults import ceiling, wiring
from tests.faults.ceiling import RECEIVER, SENDER
from tests.namespaces import Namespace
from thkmesh.server.tls import write_self_signed

__all__ = ["CELLS", "RUNS", "SUMMARY", "Cell", "Transfer", "measure", "rate", "run"]

SUMMARY = "throughput over long and lossy paths, beside magic-wormhole and TLS (as root)"
RUNS = 3

_MESH: Final = "THKMesh"
_BARE: Final = "bare wrtc"
_WORMHOLE: Final = "magic-wormhole"
_TLS: Final = "TLS over TCP"

_LIMITED: Final = 0.7
"""Above this share of the ceiling it is the wire that limits."""

_FLOOD_SECONDS = 0.3
_DATAGRAM_BYTES = 1200

_QUEUE_PACKETS = 10_000
"""What may wait for the wire at each end. With the usual 500 it loses whatever comes in a burst
while it is not scheduled, and so measures the machine."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a wire does.

    Attributes:
        trip_ms: its round trip.
        loss: the share of packets that it loses, each way.
        seconds: how long each contestant sends.
    """

    trip_ms: int
    loss: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.trip_ms} ms, {self.loss:.0%} lost"


CELLS: Final = tuple(
    Cell(trip_ms, loss, seconds)
    for loss, seconds in ((0.0, 2.5), (0.01, 3.5))
    for trip_ms in (20, 50, 100)
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one contestant did once.

    Attributes:
        rate: megabytes a second that reached the application.
        megabytes: how much that was.
        cpu: seconds of processor time of both ends, until time was up.
        dropped: packets that found no room in front of the wire, which is not to be.
    """

    rate: float
    megabytes: float
    cpu: float
    dropped: int = 0


@dataclass(slots=True)
class Figures:
    """What was measured on one kind of wire, round by round."""

    ceilings: list[float] = field(default_factory=list)
    transfers: dict[str, list[Transfer]] = field(default_factory=dict)

    def rate(self, name: str) -> float:
        """Return the median of what a contestant reached, in megabytes a second."""
        return statistics.median(each.rate for each in self.transfers[name])

    def share(self, name: str) -> float:
        """Return the share of the ceiling, the median of the rounds."""
        pairs = zip(self.transfers[name], self.ceilings, strict=True)
        return statistics.median(each.rate / most for each, most in pairs)

    def cpu_per_mb(self, name: str) -> float | None:
        """Return milliseconds of processor time for a megabyte; None if none came."""
        megabytes = sum(each.megabytes for each in self.transfers[name])
        seconds = sum(each.cpu for each in self.transfers[name])
        return 1000 * seconds / megabytes if megabytes else None


Contestant: TypeAlias = Callable[[Stage], tuple[Cue, Cue]]
"""Casts a sender and a receiver that will connect."""


def run(results: Path, runs: int) -> None:
    """Measure, print tables, and write figures and a plot."""
    packages = ["thkmesh", "wrtc", *(["magic-wormhole"] if _has_wormhole() else [])]
    machine = report.machine(*packages) | {"tcp": actors.CONGESTION}
    measured = asyncio.run(measure(CELLS, runs))
    _print(measured)
    report.write(
        results / "distance.json",
        {
            "machine": machine,
            "runs": runs,
            "message_bytes": actors.SIZE_BYTES,
            "cells": {str(cell): _record(figures) for cell, figures in measured.items()},
        },
    )
    plot.bars(
        results / "distance.svg",
        {
            str(cell): {name: figures.rate(name) for name in figures.transfers}
            for cell, figures in measured.items()
        },
        title=f"Megabytes a second by round trip and loss, median of {runs} rounds",
        rows=2,
        mark=None,
    )


def _has_wormhole() -> bool:
    there = find_spec("wormhole") is not None
    if not there:
        print("magic-wormhole is left out: it is not installed (make bench installs it)")
    return there


async def measure(
    cells: tuple[Cell, ...], runs: int, flood_seconds: float = _FLOOD_SECONDS
) -> dict[Cell, Figures]:
    """Let all contestants have their turns on each kind of wire, ``runs`` times."""
    seed = secrets.token_hex(4)
    print(f"the wire's seed: {seed}")
    measured = {cell: Figures() for cell in cells}
    with ExitStack() as stack:
        here, there = (stack.enter_context(Namespace.opened()) for _ in range(2))
        async with wiring.laid((here, "eth0"), (there, "eth0"), seed) as wire:
            for namespace, address in ((here, SENDER), (there, RECEIVER)):
                namespace.ip(
                    "link set eth0 addrgenmode none",
                    f"addr add {address}/24 dev eth0",
                    f"link set eth0 txqueuelen {_QUEUE_PACKETS}",
                    "link set eth0 up",
                )
            contestants = _contestants(stack, here.path, there.path)
            done = 0
            for _ in range(runs):
                for cell in random.sample(cells, len(cells)):
                    figures = measured[cell]
                    await wire.set("both", "clear", delay=cell.trip_ms / 2000, loss=cell.loss)
                    flooded = await ceiling.measure(
                        here, there, RECEIVER, size=_DATAGRAM_BYTES, seconds=flood_seconds
                    )
                    figures.ceilings.append(flooded.megabytes)
                    for name in random.sample(list(contestants), len(contestants)):
                        before = _dropped(here, there)
                        transfer = await _transfer(contestants[name], wire, cell)
                        transfer = replace(transfer, dropped=_dropped(here, there) - before)
                        figures.transfers.setdefault(name, []).append(transfer)
                    done += 1
                    report.progress(done, runs * len(cells))
    names = list(contestants)
    for figures in measured.values():
        figures.transfers = {name: figures.transfers[name] for name in names}
    return measured


def _dropped(*namespaces: Namespace) -> int:
    """Return how many packets the devices of the wire have not taken so far."""
    shown = [each.run("ip", "-s", "-j", "link", "show", "eth0") for each in namespaces]
    return sum(json.loads(text)[0]["stats64"]["tx"]["dropped"] for text in shown)


def _contestants(stack: ExitStack, here: str, there: str) -> dict[str, Contestant]:
    """Return who takes part; what all of them need ends with the stack."""
    url = start_server(stack.enter_context(Stage()), RECEIVER, there)
    folder = Path(stack.enter_context(TemporaryDirectory()))
    certificate = write_self_signed(folder, RECEIVER)

    def mesh(stage: Stage) -> tuple[Cue, Cue]:
        room = secrets.token_hex(8)
        return (
            stage.cast(actors.send_in_room, here, url, room),
            stage.cast(actors.receive_in_room, there, url, room),
        )

    def bare(stage: Stage) -> tuple[Cue, Cue]:
        with _hands() as (ours, theirs):
            return (
                stage.cast(actors.send_bare, here, ours),
                stage.cast(actors.receive_bare, there, theirs),
            )

    def wormhole(stage: Stage) -> tuple[Cue, Cue]:
        with _hands() as (ours, theirs):
            return (
                stage.cast(actors.send_transit, here, ours),
                stage.cast(actors.receive_transit, there, theirs),
            )

    def tls(stage: Stage) -> tuple[Cue, Cue]:
        with _hands() as (ours, theirs):
            return (
                stage.cast(actors.send_tls, here, ours, certificate[0]),
                stage.cast(actors.receive_tls, there, theirs, RECEIVER, certificate),
            )

    found: dict[str, Contestant] = {_MESH: mesh, _BARE: bare}
    if find_spec("wormhole") is not None:
        found[_WORMHOLE] = wormhole
    return found | {_TLS: tls}


@contextmanager
def _hands() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Have what carries signals by hand, until both ends are with the actors."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def _transfer(contestant: Contestant, wire: wiring.Wire, cell: Cell) -> Transfer:
    """Let a contestant send for a while; it connects before anything is lost."""
    delay = cell.trip_ms / 2000
    await wire.set("both", "clear", delay=delay)
    with Stage() as stage:
        ends = contestant(stage)
        sender, receiver = ends
        for end in ends:
            assert end.answer() == "ready"
        await wire.set("both", loss=cell.loss)
        before = _cpu(ends)
        began = sender.ask("go")
        await asyncio.sleep(began + cell.seconds - time.monotonic())
        cpu = _cpu(ends) - before
        seen: list[tuple[float, int]] = receiver.ask()
    return rate(seen, began, cell.seconds, cpu)


def rate(seen: list[tuple[float, int]], began: float, seconds: float, cpu: float) -> Transfer:
    """Return what came of what arrived until time was up.

    Args:
        seen: when something arrived, and how much.
        began: when sending did.
        seconds: how long it was given.
        cpu: seconds of processor time.
    """
    timely = [(at, size) for at, size in seen if at <= began + seconds]
    if not timely:
        return Transfer(0.0, 0.0, cpu)
    megabytes = sum(size for _, size in timely) / 1e6
    return Transfer(megabytes / (timely[-1][0] - began), megabytes, cpu)


def _cpu(ends: tuple[Cue, Cue]) -> float:
    times = [psutil.Process(end.pid).cpu_times() for end in ends]
    return sum(each.user + each.system for each in times)


# ---- what is told ------------------------------------------------------------


def _record(figures: Figures) -> dict[str, object]:
    return {
        "udp_ceiling_mb_s": [round(each, 1) for each in figures.ceilings],
        "contestants": {
            name: {
                "mb_s": [round(each.rate, 3) for each in transfers],
                "median_mb_s": round(figures.rate(name), 3),
                "share_of_ceiling": round(figures.share(name), 3),
                "limited_by_the_wire": figures.share(name) > _LIMITED,
                "cpu_ms_per_mb": _rounded(figures.cpu_per_mb(name)),
                "dropped_before_the_wire": sum(each.dropped for each in transfers),
            }
            for name, transfers in figures.transfers.items()
        },
    }


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 1)


def _print(measured: Mapping[Cell, Figures]) -> None:
    for cell, figures in measured.items():
        most = statistics.median(figures.ceilings)
        head = [f"{cell}; UDP {most:.0f} MB/s", "MB/s", "least", "most", "of UDP's", "of wrtc's"]
        rows = []
        for name, transfers in figures.transfers.items():
            rates = [each.rate for each in transfers]
            share = figures.share(name)
            cpu = figures.cpu_per_mb(name)
            rows.append(
                [
                    name,
                    *(f"{each:.2f}" for each in (figures.rate(name), min(rates), max(rates))),
                    f"{share:.0%}{' (the wire)' if share > _LIMITED else ''}",
                    f"{figures.rate(name) / figures.rate(_BARE):.2f}",
                    "" if cpu is None else f"{cpu:.0f}",
                ]
            )
        report.print_table([*head, "CPU ms/MB"], rows)
