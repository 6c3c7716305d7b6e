"""How much, how often, how soon? Messages over a connection that stands.

One process sends messages of one size to another, which answers when it has all of them;
and small ones go there and back, one at a time. THKMesh does it through its public API
(``await room.send``, ``async for``); beside it, in the same run and each in two processes,
its engine alone (one message a datagram, and small ones together), aiortc and
node-datachannel alone, and pages of Chromium with and without THKMesh.

The contestants take turns in a random order, round by round. A ratio is the median of the
ratios within each round, so what slows down a whole round leaves it alone. Processor time
is that of both ends, over all rounds. All is in a network namespace, as browsers offer no
loopback candidates; so it takes root, as the tests with browsers do.
"""

import random
import statistics
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import bare, link_memory, plot, report
from benchmarks.server import start_server
from benchmarks.stage import Stage
from benchmarks.throughput_contestants import (
    Contestant,
    bare_engine,
    chromium_pair,
    mesh,
    mesh_pages,
    node,
)
from tests.browser.chromium import Chromium
from tests.browser.namespace import in_namespace

__all__ = ["RUNS", "SUMMARY", "run"]

SUMMARY = "messages a second by size, round trips, and memory of a link, beside others"
RUNS = 5

_SIZES: Final = {"64 KiB": 65536, "16 KiB": 16384, "1 KiB": 1024, "100 B": 100}
_SECONDS = 0.4
"""How long one measurement of a stream should take."""

_FIRST_BYTES = 4_000_000
_FIRST_MESSAGES = 2000
"""What is sent at most before it is known how much a contestant can do."""

_LAST_MESSAGES = 200_000
_BOUNCES = 200
_BATCH_BYTES = 16 * 1024

_BARE = "bare wrtc"
_BATCHED = "bare wrtc, batches"
_AIORTC = "bare aiortc"
_NODE = "bare node-datachannel"
_MESH = "THKMesh"
_CHROMIUM = "bare Chromium"
_PAGES = "THKMesh, Chromium to Chromium"
_PAGE = "THKMesh, Chromium to Python"


@dataclass(slots=True)
class Figures:
    """What one contestant did, round by round.

    Attributes:
        rates: messages a second, by the name of the size.
        cpu: seconds of processor time of both ends, for so many bytes, by size.
        trips: the round trips of each round, in milliseconds.
        busy: the same beside a busy thread; empty where that was not measured.
    """

    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, tuple[float, int]] = field(default_factory=dict)
    trips: list[list[float]] = field(default_factory=list)
    busy: list[list[float]] = field(default_factory=list)

    def cpu_per_mb(self, size: str) -> float:
        """Return milliseconds of processor time for a megabyte."""
        seconds, count = self.cpu[size]
        return 1000 * seconds / (count / 1e6)


def run(results: Path, runs: int) -> None:
    """Measure, print tables, and write figures and a plot."""
    machine, measured, memory = in_namespace(lambda: _perform(runs))
    content = {
        "machine": machine,
        "runs": runs,
        "streams": {name: _stream_record(each) for name, each in measured.items()},
        "round_trips_ms": {name: _trip_record(each) for name, each in measured.items()},
        "memory_kib_per_link": memory,
    }
    _print(measured, memory)
    report.write(results / "throughput.json", content)
    plot.bars(
        results / "throughput.svg",
        {
            label: {
                name: _median_ratio(each.rates[label], measured[_BARE].rates[label])
                for name, each in measured.items()
            }
            for label in _SIZES
        },
        title=f"Messages a second beside the bare engine (wrtc = 1), median of {runs} rounds",
    )


async def _perform(
    runs: int,
) -> tuple[dict[str, object], dict[str, Figures], dict[str, float]]:
    """Set all up in this thread's network; return the machine and the figures."""
    packages = ["thkmesh", "wrtc", *(["aiortc"] if bare.installed("aiortc") else [])]
    machine = report.machine(*packages)
    memory = link_memory.measure()
    async with AsyncExitStack() as stack:
        stage = stack.enter_context(Stage())
        url = start_server(stage)
        contestants = {
            _BARE: bare_engine(stage, "wrtc"),
            _BATCHED: bare_engine(stage, "wrtc", _BATCH_BYTES),
            _MESH: mesh(stage, url),
        }
        if "aiortc" in packages:
            contestants[_AIORTC] = bare_engine(stage, "aiortc")
        if nodes := await stack.enter_async_context(node()):
            contestants[_NODE] = nodes
        chromium = await stack.enter_async_context(Chromium())
        contestants[_CHROMIUM] = await chromium_pair(chromium, url)
        contestants[_PAGES] = await mesh_pages(chromium, url, None)
        contestants[_PAGE] = await mesh_pages(chromium, url, stage)
        return machine, await _measure(contestants, runs), memory


async def _measure(contestants: Mapping[str, Contestant], runs: int) -> dict[str, Figures]:
    """Let each get warm, then measure it ``runs`` times, in a random order each time."""
    counts = {name: await _calibrate(each) for name, each in contestants.items()}
    measured = {name: Figures() for name in contestants}
    for number in range(runs):
        for name in random.sample(list(contestants), len(contestants)):
            await _round(contestants[name], counts[name], measured[name], busy=name == _MESH)
        report.progress(number + 1, runs)
    return measured


async def _calibrate(contestant: Contestant) -> dict[str, int]:
    """Return how many messages of each size it sends in the time for one measurement."""
    counts = {}
    for label, size in _SIZES.items():
        count = min(_FIRST_MESSAGES, _FIRST_BYTES // size)
        for _ in range(2):
            seconds: float = await contestant.ask("stream", size, count)
            count = min(_LAST_MESSAGES, max(10, int(count / seconds * _SECONDS)))
        counts[label] = count
    return counts


async def _round(
    contestant: Contestant, counts: Mapping[str, int], figures: Figures, *, busy: bool
) -> None:
    for label, size in _SIZES.items():
        count = counts[label]
        before = contestant.cpu()
        seconds: float = await contestant.ask("stream", size, count)
        used, total = figures.cpu.get(label, (0.0, 0))
        figures.cpu[label] = (used + contestant.cpu() - before, total + size * count)
        figures.rates.setdefault(label, []).append(count / seconds)
    figures.trips.append(await contestant.ask("bounce", _BOUNCES))
    if busy:
        figures.busy.append(await contestant.ask("busy", _BOUNCES // 4))


# ---- what it comes to ----------------------------------------------------------


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def _p50(trips: list[float]) -> float:
    return statistics.median(trips)


def _p99(trips: list[float]) -> float:
    return statistics.quantiles(trips, n=100, method="inclusive")[98]


def _stream_record(figures: Figures) -> dict[str, object]:
    return {
        label: {
            "messages_per_s": report.Spread.of(rates),
            "mb_per_s": round(statistics.median(rates) * _SIZES[label] / 1e6, 3),
            "cpu_ms_per_mb": round(figures.cpu_per_mb(label), 2),
        }
        for label, rates in figures.rates.items()
    }


def _trip_record(figures: Figures) -> dict[str, float]:
    kinds = {"": figures.trips, "busy_": figures.busy}
    return {
        f"{kind}{name}": round(statistics.median(map(of, rounds)), 4)
        for kind, rounds in kinds.items()
        if rounds
        for name, of in {"p50": _p50, "p99": _p99}.items()
    }


def _print(measured: Mapping[str, Figures], memory: Mapping[str, float]) -> None:
    others = [name for name in (_BARE, _NODE, _AIORTC) if name in measured]
    for label, size in _SIZES.items():
        head = [label, *(f"ratio to {name.removeprefix('bare ')}" for name in others)]
        head += ["messages/s", "MB/s", "CPU ms/MB"]
        rows = []
        for name, figures in measured.items():
            rates = figures.rates[label]
            row = [name]
            row += [f"{_median_ratio(rates, measured[o].rates[label]):.2f}" for o in others]
            median = statistics.median(rates)
            row += [f"{median:,.0f}", f"{median * size / 1e6:.2f}"]
            rows.append([*row, f"{figures.cpu_per_mb(label):.1f}"])
        report.print_table(head, rows)
    base = list(map(_p50, measured[_BARE].trips))
    rows = []
    for name, figures in measured.items():
        rows.append(_trip_row(name, figures.trips, base))
        if figures.busy:
            rows.append(_trip_row(f"{name}, busy thread beside it", figures.busy, base))
    report.print_table([f"round trip of {100} B", "ratio to wrtc", "p50 ms", "p99 ms"], rows)
    rows = [[name, f"{kib:,.0f}"] for name, kib in memory.items()]
    report.print_table(["memory of a link", "KiB"], rows)
    _judge(measured, memory)


def _trip_row(name: str, rounds: list[list[float]], base: list[float]) -> list[str]:
    p50, p99 = [list(map(of, rounds)) for of in (_p50, _p99)]
    ratio = _median_ratio(p50, base)
    return [name, f"{ratio:.2f}", f"{statistics.median(p50):.3f}", f"{statistics.median(p99):.3f}"]


def _judge(measured: Mapping[str, Figures], memory: Mapping[str, float]) -> None:
    """Say which aims were reached."""

    def rate(ours: str, theirs: str, label: str) -> float | None:
        if theirs not in measured or ours not in measured:
            return None
        return _median_ratio(measured[ours].rates[label], measured[theirs].rates[label])

    trips = [list(map(_p50, measured[name].trips)) for name in (_MESH, _BARE)]
    busy = statistics.median(map(_p50, measured[_MESH].busy))
    beyond = memory["THKMesh"] - memory["bare wrtc"]
    at_least = {
        "64 KiB messages beside the bare engine": (rate(_MESH, _BARE, "64 KiB"), 0.95),
        "64 KiB messages beside aiortc": (rate(_MESH, _AIORTC, "64 KiB"), 10),
        "100 B messages beside node-datachannel": (rate(_MESH, _NODE, "100 B"), 1.5),
        "100 B messages beside aiortc": (rate(_MESH, _AIORTC, "100 B"), 40),
        "64 KiB, Chromium to Python beside Chromium": (rate(_PAGE, _PAGES, "64 KiB"), 0.9),
    }
    at_most = {
        "round trip beside the bare engine": (_median_ratio(*trips), 1.5),
        "round trip beside a busy thread, ms": (busy, 10.0),
        "memory of a link beyond the engine's, KiB": (beyond, 1024.0),
    }
    rows = []
    for aims, sign in ((at_least, 1), (at_most, -1)):
        for name, (figure, aim) in aims.items():
            if figure is not None:
                verdict = "reached" if sign * figure >= sign * aim else "missed"
                relation = "at least" if sign > 0 else "at most"
                rows.append([name, f"{figure:.2f}", f"{relation} {aim:g}", verdict])
    report.print_table(["aim", "measured", "wanted", ""], rows)
