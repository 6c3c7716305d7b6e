"""Figures of several runs, as a table for people and as a file for the record."""

import datetime as dt
import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Spread", "machine", "print_table", "progress", "write"]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, and what nine of ten are above and below."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """Return the spread of at least two figures."""
        tenths = statistics.quantiles(figures, n=10, method="inclusive")
        return cls(*(round(each, 2) for each in (statistics.median(figures), tenths[0], tenths[8])))

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.p10:.1f} to {self.p90:.1f})"


def machine(*packages: str) -> dict[str, Any]:
    """Describe where the figures come from, without naming the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def progress(done: int, of: int) -> None:
    """Show that something goes on."""
    print("." if done % 10 else str(done), end="" if done < of else "\n\n", flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, ["-" * width for width in widths], *rows):
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        print("  ".join(cells))
    print()


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write figures as JSON."""
    path.write_text(json.dumps(content, indent=1, default=asdict) + "\n", encoding="utf-8")
    print(f"written: {path}")
