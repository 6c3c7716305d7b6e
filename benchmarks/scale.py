"""What a signal costs that goes from one server process to another, through Redis.

Pairs of clients bounce signals of 1 KiB, one under way in each pair: at a server that is
alone; at one of two that share their rooms, both clients at the same one; and with one
client at each. The figure is processor time, user and system, of all server processes and
of Redis, for each signal delivered; runs are interleaved, so that a noisy moment meets
all alike. Meanwhile there are ever more rooms that have a member at each server, from ten to
ten thousand: what a signal costs must not depend on them. Latencies are of 500 signals a
second, from one client to the other, both in one process; then there is nothing to put together
on the way, and the cost is that of each signal alone.
"""

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks import plot, report
from benchmarks.scale_actors import PAIRS, SIZE, WAYS, drive, serve_rooms
from benchmarks.stage import Cue, Stage
from thkmesh.server.serve import new_event_loop

__all__ = ["RUNS", "SUMMARY", "run"]

SUMMARY = "a signal from process to process through Redis, beside one process alone"
RUNS = 5

ROOMS = (10, 100, 1_000, 10_000)
SECONDS = 1.5
_AIM = 3.0


def run(results: Path, runs: int) -> None:
    """Measure, print tables, and write figures and a plot."""
    costs: dict[int, dict[str, list[float]]] = {}
    rates: dict[str, list[float]] = defaultdict(list)
    trips: dict[str, list[float]] = {}
    calm: dict[str, float] = {}
    with Stage() as stage:
        crowd, servers = _set_up(stage)
        machine = report.machine("thkmesh", "uvicorn", "hiredis")
        done, of = 0, len(ROOMS) * runs
        for rooms in ROOMS:
            for server in servers:
                server.send(rooms)
            for server in servers:
                server.answer()
            costs[rooms] = {way: [] for way in WAYS}
            for _ in range(runs):
                for way in WAYS:
                    cost, rate = crowd.ask(("bounce", way, SECONDS))
                    costs[rooms][way].append(cost)
                    rates[way].append(rate)
                done += 1
                report.progress(done, of)
        for way in WAYS:
            calm[way], trips[way] = crowd.ask(("stamp", way, 4 * SECONDS))
        crowd.ask(None)  # and Redis has ended
    facts = {"machine": machine, "runs": runs, "calm": calm}
    _report(results, facts, costs, rates, trips)


def _set_up(stage: Stage) -> tuple[Cue, list[Cue]]:
    """Start Redis, the servers, and the crowd, which is in its rooms then."""
    crowd = stage.cast(drive, loop_factory=new_event_loop)
    url, redis = crowd.answer()
    servers = [
        stage.cast(serve_rooms, shared, loop_factory=new_event_loop) for shared in (None, url, url)
    ]
    hosts = [server.answer() for server in servers]
    alone, one, other = (server.pid for server in servers)
    shared = (one, other, redis)
    crowd.ask((hosts, {"one process": (alone,), "one of two": shared, "across": shared}))
    return crowd, servers


def _report(
    results: Path,
    facts: dict[str, Any],
    costs: dict[int, dict[str, list[float]]],
    rates: dict[str, list[float]],
    trips: dict[str, list[float]],
) -> None:
    rows: list[list[str]] = []
    for rooms, ways in costs.items():
        spreads = [str(report.Spread.of(ways[way])) for way in WAYS]
        rows.append([f"{rooms:,} rooms", *spreads, f"{_ratio(ways):.2f}"])
    print(f"{PAIRS} pairs, {SIZE} bytes: microseconds of processor time a signal, Redis included")
    report.print_table(["", *WAYS, "ratio"], rows)
    figures = [
        [
            way,
            f"{statistics.median(rates[way]):.0f}",
            f"{facts['calm'][way]:.0f}",
            *_latency(trips[way]),
        ]
        for way in WAYS
    ]
    print("signals a second in the same runs; at 500 a second: microseconds, milliseconds")
    report.print_table(["", "a second", "us", "p50", "p99"], figures)
    overall = {way: [each for ways in costs.values() for each in ways[way]] for way in WAYS}
    print(f"over all: {_ratio(overall):.2f} times the cost of one process; aim: {_AIM:g} at most\n")
    report.write(
        results / "scale.json",
        facts
        | {
            "unit": "us",
            "costs": {
                rooms: {way: report.Spread.of(ways[way]) for way in WAYS}
                for rooms, ways in costs.items()
            },
            "ratios": {rooms: round(_ratio(ways), 2) for rooms, ways in costs.items()},
            "ratio": round(_ratio(overall), 2),
            "signals_a_second": {way: round(statistics.median(rates[way])) for way in WAYS},
            "latency_ms": {way: report.Spread.of(trips[way]) for way in WAYS},
        },
    )
    plot.lines(
        results / "scale.svg",
        {
            way: [(rooms, statistics.median(ways[way])) for rooms, ways in costs.items()]
            for way in WAYS
        },
        title="Processor time a signal of 1 KiB, all processes and Redis",
        axes=("rooms with a member at each server", "microseconds"),
    )


def _ratio(ways: dict[str, list[float]]) -> float:
    return statistics.median(ways["across"]) / statistics.median(ways["one process"])


def _latency(trips: list[float]) -> tuple[str, str]:
    percentiles = statistics.quantiles(trips, n=100)
    return f"{statistics.median(trips):.2f}", f"{percentiles[98]:.2f}"
