"""How many messages a second? For information: making them more is a later matter.

One process sends messages of one size to another, one ``await send`` after the
other, until the other has told that all have come. Beside the bare engine, whose
sender waits while more than 1 MiB is in the engine (``benchmarks.bare``). What
THKMesh costs more is the hop between threads and back that each ``send`` waits for;
sending without it when the link is idle, and several messages in one datagram, are
in the design and not built yet.
"""

import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from benchmarks import report
from benchmarks.server import start_server
from benchmarks.stage import Cue, Stage
from benchmarks.throughput_actors import (
    count_in_room,
    count_on_wire,
    send_in_room,
    send_on_wire,
)

__all__ = ["RUNS", "SUMMARY", "run"]

SUMMARY = "messages a second by size, beside the bare engine (for information)"
RUNS = 5

_SIZES = {
    "100 B": (100, 5000),
    "1 KiB": (1024, 5000),
    "16 KiB": (16 * 1024, 2000),
    "64 KiB": (64 * 1024, 500),
}
"""The bytes of each size, and how many messages are sent of it."""

Rates: TypeAlias = dict[str, list[float]]
"""Messages a second of a contestant, by the name of the size."""


def run(results: Path, runs: int) -> None:
    """Measure, print a table, and write figures."""
    machine = report.machine("thkmesh", "wrtc")
    with Stage() as stage:
        measured = _measure(_contestants(stage), runs)
    spreads = {
        name: {size: report.Spread.of(figures) for size, figures in rates.items()}
        for name, rates in measured.items()
    }
    _print(spreads)
    content = {"machine": machine, "runs": runs, "unit": "messages/s", "spreads": spreads}
    report.write(results / "throughput.json", content)


def _contestants(stage: Stage) -> dict[str, Cue]:
    """Start all processes; return the way to the sending one of each contestant."""
    ours, theirs = socket.socketpair()
    stage.cast(count_on_wire, theirs, "wrtc")
    url = start_server(stage)
    stage.cast(count_in_room, url).answer()
    return {
        "bare wrtc": stage.cast(send_on_wire, ours, "wrtc"),
        "THKMesh": stage.cast(send_in_room, url),
    }


def _measure(contestants: Mapping[str, Cue], runs: int) -> dict[str, Rates]:
    """Let each run once to get warm, then ``runs`` times in a random order each time."""
    measured: dict[str, Rates] = {name: {} for name in contestants}
    for number in range(runs + 1):
        for name in random.sample(list(contestants), len(contestants)):
            for label, (size, count) in _SIZES.items():
                seconds: float = contestants[name].ask((size, count))
                if number:
                    measured[name].setdefault(label, []).append(count / seconds)
        report.progress(number, runs)
    return measured


def _print(spreads: Mapping[str, Mapping[str, report.Spread]]) -> None:
    rows = [
        [name]
        + [
            f"{rates[label].median:,.0f}/s {rates[label].median * size / 1e6:6.1f} MB/s"
            for label, (size, _) in _SIZES.items()
        ]
        for name, rates in spreads.items()
    ]
    report.print_table(["messages, medians", *_SIZES], rows)
    print("For information: throughput is a later matter.")
