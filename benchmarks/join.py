"""How long from ``join`` to the first message?

The measured process joins a room in which one peer waits in another process; that
peer sends a message as soon as it knows of the newcomer. The clock stops when the
application has the message. Beside it, in the same run and also with two processes,
the bare engines of ``benchmarks.bare``. Every process is warm: it has connected once
before. Runs are interleaved, so that a noisy moment meets all alike.
"""

import itertools
import random
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from benchmarks import bare, plot, report
from benchmarks.join_actors import answer_calls, greet_newcomers, join_rooms, place_calls
from benchmarks.server import start_server
from benchmarks.stage import Cue, Stage

__all__ = ["RUNS", "SUMMARY", "run"]

SUMMARY = "from join to the first message, beside bare engines"
RUNS = 30

_BASE = "bare wrtc"
_MESH = "THKMesh"
_AIM_MS = 60.0
_PAUSE = 0.05
"""Seconds that the former contestant has to finish what nobody waits for."""

Laps: TypeAlias = dict[str, list[float]]
"""All figures of a contestant in milliseconds, by the name of the lap."""


def run(results: Path, runs: int) -> None:
    """Measure, print a table, and write figures and a plot."""
    with Stage() as stage:
        contestants = _contestants(stage)
        packages = ["thkmesh", "wrtc"] + ["aiortc"] * ("bare aiortc" in contestants)
        machine = report.machine(*packages)
        measured = _measure(contestants, runs)
    spreads = {
        name: {lap: report.Spread.of(figures) for lap, figures in laps.items()}
        for name, laps in measured.items()
    }
    _print(spreads)
    report.write(
        results / "join.json",
        {
            "machine": machine,
            "runs": runs,
            "unit": "ms",
            "spreads": spreads,
            "messages": {
                name: [round(each, 2) for each in laps["message"]]
                for name, laps in measured.items()
            },
        },
    )
    plot.strips(
        results / "join.svg",
        {name: laps["message"] for name, laps in measured.items()},
        title=f"From join to the first message, {runs} warm runs each, interleaved",
        axis="milliseconds (the bar is the median)",
    )


def _contestants(stage: Stage) -> dict[str, Cue]:
    """Start all processes; return the way to the measured one of each contestant."""
    contestants = {}
    for engine in filter(bare.installed, ("wrtc", "aiortc")):
        ours, theirs = socket.socketpair()
        stage.cast(answer_calls, theirs, engine)
        contestants[f"bare {engine}"] = stage.cast(place_calls, ours, engine)
    url = start_server(stage)
    stage.cast(greet_newcomers, url).answer()
    contestants[_MESH] = stage.cast(join_rooms, url)
    return contestants


def _measure(contestants: Mapping[str, Cue], runs: int) -> dict[str, Laps]:
    """Let each run once to get warm, then ``runs`` times in a random order each time."""
    measured: dict[str, Laps] = {name: {} for name in contestants}
    offers = itertools.cycle((True, False))
    for number in range(runs + 1):
        offering = next(offers)
        for name in random.sample(list(contestants), len(contestants)):
            figures: dict[str, float] = contestants[name].ask(offering)
            time.sleep(_PAUSE)
            if number:
                for lap, figure in figures.items():
                    measured[name].setdefault(lap, []).append(figure)
        report.progress(number, runs)
    return measured


def _print(spreads: Mapping[str, Mapping[str, report.Spread]]) -> None:
    base = spreads[_BASE]["message"].median
    head = ["ms: median (p10 to p90)", "joined", "connected", "first message", "ratio"]
    head += ["difference", "CPU"]
    rows = []
    for name, laps in spreads.items():
        median = laps["message"].median
        row = [name, *(str(laps.get(lap, "")) for lap in ("joined", "connected", "message"))]
        rows.append([*row, f"{median / base:.2f}", f"{median - base:+.1f}", str(laps["cpu"])])
    report.print_table(head, rows)
    ours = spreads[_MESH]["message"].median - base
    verdict = "reached" if ours <= _AIM_MS else "missed"
    print(f"Aim: within {_AIM_MS:g} ms of {_BASE}; {verdict} with {ours:.1f} ms.")
