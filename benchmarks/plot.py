"""Plots, where matplotlib is installed."""

import random
import statistics
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks import report

__all__ = ["strips"]


def strips(path: Path, samples: Mapping[str, Sequence[float]], *, title: str, axis: str) -> None:
    """Draw every sample as a dot and each median as a bar, one strip a name.

    What lies far out is written at the right edge, so that the rest can be told apart.
    """
    if find_spec("matplotlib") is None:
        print(f"not drawn: {path} (matplotlib is missing; make bench installs it)")
        return
    import matplotlib as mpl  # noqa: PLC0415 - only where it is

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "thkmesh"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of the backend

    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.7 * len(samples)), layout="constrained")
    dice = random.Random(1)
    edge = 1.5 * max(report.Spread.of(figures).p90 for figures in samples.values())
    for row, figures in enumerate(samples.values()):
        near = [each for each in figures if each <= edge]
        heights = [row + dice.uniform(-0.18, 0.18) for _ in near]
        (dots,) = axes.plot(near, heights, "o", markersize=4, alpha=0.6, markeredgewidth=0)
        far = ", ".join(f"{each:.0f}" for each in sorted(figures) if each > edge)
        if far:
            axes.annotate(f"{far} \N{RIGHTWARDS ARROW}", (edge, row), ha="right", fontsize=9)
        median = statistics.median(figures)
        axes.plot([median, median], [row - 0.32, row + 0.32], color=dots.get_color(), linewidth=3)
        axes.annotate(f"{median:.0f}", (median, row - 0.34), ha="center", va="bottom", fontsize=9)
    axes.set_yticks(range(len(samples)), list(samples))
    axes.set_ylim(len(samples) - 0.5, -0.7)
    axes.set_xlim(0, edge)
    axes.set_xlabel(axis)
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(f"drawn: {path}")


def bars(
    path: Path,
    groups: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    rows: int = 1,
    mark: float | None = 1.0,
) -> None:
    """Draw one panel a group, one bar a name; each is written out.

    Args:
        path: where to.
        groups: the values of each group by name, all with the same names.
        title: what stands above.
        rows: how many rows of panels; they must come out even.
        mark: a value that is marked; None marks none.
    """
    if find_spec("matplotlib") is None:
        print(f"not drawn: {path} (matplotlib is missing; make bench installs it)")
        return
    import matplotlib as mpl  # noqa: PLC0415 - only where it is

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "thkmesh"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of the backend

    names = list(next(iter(groups.values())))
    columns = len(groups) // rows
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(2.4 + 2.2 * columns, 0.6 + rows * (0.4 + 0.36 * len(names))),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, (group, values) in zip(grid.flat, groups.items(), strict=True):
        colors = ["C1" if name.startswith("THKMesh") else "C0" for name in names]
        drawn = axes.barh(range(len(names)), [values[name] for name in names], color=colors)
        axes.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8)
        if mark is not None:
            axes.axvline(mark, color="0.4", linewidth=1, linestyle=":")
        axes.set_xlim(0, 1.25 * max(values.values()))
        axes.set_title(group, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(names)), names, fontsize=9)
    grid[0, 0].invert_yaxis()
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(f"drawn: {path}")


def strip_panels(
    path: Path,
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    title: str,
    axis: str,
    none: str,
) -> None:
    """Draw one panel a group: every sample as a dot and each median as a bar, a strip a name.

    Args:
        path: where to.
        groups: the samples of each group by name.
        title: what stands above.
        axis: what stands below.
        none: what stands in the place of no samples.
    """
    if find_spec("matplotlib") is None:
        print(f"not drawn: {path} (matplotlib is missing; make bench installs it)")
        return
    import matplotlib as mpl  # noqa: PLC0415 - only where it is

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "thkmesh"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of the backend

    heights = [len(samples) for samples in groups.values()]
    figure, panels = plt.subplots(
        len(groups),
        1,
        figsize=(8, 0.8 + sum(0.35 * height + 0.55 for height in heights)),
        height_ratios=[height + 0.6 for height in heights],
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    dice = random.Random(1)
    for axes, (group, samples) in zip(panels[:, 0], groups.items(), strict=True):
        for row, (name, figures) in enumerate(samples.items()):
            color = "C1" if name.startswith("THKMesh") else "C0"
            if not figures:
                axes.annotate(f"  {none}", (0, row), va="center", fontsize=9, color="0.4")
                continue
            places = [row + dice.uniform(-0.15, 0.15) for _ in figures]
            axes.plot(figures, places, "o", color=color, markersize=4, alpha=0.6, markeredgewidth=0)
            median = statistics.median(figures)
            axes.plot([median, median], [row - 0.3, row + 0.3], color=color, linewidth=3)
            axes.annotate(f"  {median:.1f}", (max(figures), row), va="center", fontsize=9)
        axes.set_yticks(range(len(samples)), list(samples), fontsize=9)
        axes.set_ylim(len(samples) - 0.5, -0.5)
        axes.set_title(group, fontsize=10, loc="left")
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[-1, 0].set_xlim(left=0)
    panels[-1, 0].set_xlabel(axis)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(f"drawn: {path}")


def lines(
    path: Path,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    axes: tuple[str, str],
) -> None:
    """Draw one line a name over a logarithmic axis; the other begins at nought."""
    if find_spec("matplotlib") is None:
        print(f"not drawn: {path} (matplotlib is missing; make bench installs it)")
        return
    import matplotlib as mpl  # noqa: PLC0415 - only where it is

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "thkmesh"
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of the backend

    figure, panel = plt.subplots(figsize=(8, 4), layout="constrained")
    for name, points in series.items():
        panel.plot(*zip(*points, strict=True), "o-", label=name)
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    panel.set_xlabel(axes[0])
    panel.set_ylabel(axes[1])
    panel.set_title(title, fontsize=11, loc="left")
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(f"drawn: {path}")
