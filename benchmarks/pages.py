"""How long from ``join`` to the first message between two pages of one Chromium?

The measured page joins a room in which another page waits; that one sends a message as
soon as it knows of the newcomer. The clock of the measured page runs until its
application has the message. Beside it, in the same run and in the same browser, PeerJS
with its own server. PeerJS has no rooms: its newcomer is told whom to connect to, and
nobody signs or verifies anything, so it has less to do. Every page is warm: the library
is loaded, and it has connected once before.

Neither uses STUN or TURN. All is in a network namespace, as browsers offer no loopback
candidates; so it takes root, as the tests with browsers do.
"""

import asyncio
import random
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

import psutil

from benchmarks import plot, report
from benchmarks.server import start_server
from benchmarks.stage import Stage
from tests.browser.chromium import Chromium, Page
from tests.browser.namespace import in_namespace

__all__ = ["RUNS", "SUMMARY", "measure", "open_pair", "run"]

SUMMARY = "from join to the first message in Chromium, beside PeerJS"
RUNS = 20

_WEB = Path(__file__).parent / "web"
_BASE = "PeerJS"
_MESH = "THKMesh"
_PAUSE = 0.1
"""Seconds that the former contestant has to finish what nobody waits for."""
_PATIENCE = 10.0
"""Seconds after which no message will come any more."""

Laps: TypeAlias = dict[str, list[float]]
"""All figures of a contestant in milliseconds, by the name of the lap."""


def run(results: Path, runs: int) -> None:
    """Measure, print a table, and write figures and a plot."""
    if shutil.which("node") is None or not (_WEB / "node_modules").is_dir():
        print("pages is left out: PeerJS or node is not installed (make bench installs them)")
        return
    machine, measured = in_namespace(lambda: _perform(runs))
    spreads = {
        name: {lap: report.Spread.of(figures) for lap, figures in laps.items() if lap != "cpu"}
        for name, laps in measured.items()
    }
    cpu = {name: round(fmean(laps["cpu"]), 1) for name, laps in measured.items()}
    silent = {name: runs - len(laps["message"]) for name, laps in measured.items()}
    _print(spreads, cpu, silent)
    messages = {name: laps["message"] for name, laps in measured.items()}
    report.write(
        results / "pages.json",
        {
            "machine": machine,
            "runs": runs,
            "unit": "ms",
            "spreads": spreads,
            "cpu_mean": cpu,
            "without_message": silent,
            "messages": {name: [round(each, 2) for each in ms] for name, ms in messages.items()},
        },
    )
    plot.strips(
        results / "pages.svg",
        {f"{_BASE}\n(peer id known)": messages[_BASE], f"{_MESH}\n(room)": messages[_MESH]},
        title=f"Chromium: from join to the first message, {runs} warm runs each, interleaved",
        axis="milliseconds (the bar is the median)",
    )


async def _perform(runs: int) -> tuple[dict[str, object], dict[str, Laps]]:
    """Set all up in this thread's network; return the machine and the figures."""
    with Stage() as stage:
        ours = f"{start_server(stage)}/thkmesh/index.js"
        async with _peerjs_server() as theirs, Chromium() as chromium:
            contestants = {
                _BASE: await open_pair(chromium, f"{theirs}/peerjs.min.js", "peerjs-page.js"),
                _MESH: await open_pair(chromium, ours, "thkmesh-page.js"),
            }
            machine = report.machine("thkmesh")
            machine["chromium"] = await contestants[_MESH].evaluate(
                r"/Chrome\/([\d.]+)/.exec(navigator.userAgent)[1]"
            )
            machine["peerjs"] = await contestants[_BASE].evaluate("peerjs.util.CLIENT_VERSION")
            return machine, await measure(contestants, runs)


@asynccontextmanager
async def _peerjs_server() -> AsyncIterator[str]:
    """Have PeerJS's server in a process of its own; yield its URL."""
    server = await asyncio.create_subprocess_exec("node", _WEB / "peerjs-server.js", stdout=PIPE)
    assert server.stdout is not None
    try:
        port = await asyncio.wait_for(server.stdout.readline(), _PATIENCE)
        yield f"http://127.0.0.1:{int(port)}"
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def open_pair(chromium: Chromium, url: str, script: str) -> Page:
    """Open a page that greets and one that arrives, both warm; return the latter."""
    greeter, newcomer = await chromium.page(), await chromium.page()
    for page in (greeter, newcomer):
        await page.goto(url)
        await page.page.add_script_tag(path=_WEB / script)
        await page.evaluate("load()")
    await greeter.evaluate("greet()")
    return newcomer


async def measure(contestants: Mapping[str, Page], runs: int) -> dict[str, Laps]:
    """Let each run once to get warm, then ``runs`` times in a random order each time."""
    measured: dict[str, Laps] = {name: {} for name in contestants}
    for number in range(runs + 1):
        for name in random.sample(list(contestants), len(contestants)):
            figures = await _arrive(contestants[name])
            if number:
                for lap, figure in figures.items():
                    measured[name].setdefault(lap, []).append(figure)
        report.progress(number, runs)
    return measured


async def _arrive(page: Page) -> dict[str, float]:
    """Let a page join and leave; return its laps, and what all of Chromium computed for it.

    Nothing where no message came: that is counted, and not among the figures.
    """
    before = _chromium_cpu()
    laps: dict[str, float] = {}
    try:
        async with asyncio.timeout(_PATIENCE):
            laps = await page.evaluate("arrive()")
        laps["cpu"] = _chromium_cpu() - before
    except TimeoutError:
        so_far = await page.evaluate("laps")
        print(f"\n{page.page.url}: no message within {_PATIENCE:g} s; it came to {so_far}")
    await page.evaluate("depart()")
    await asyncio.sleep(_PAUSE)
    return laps


def _chromium_cpu() -> float:
    """Return the processor time of the Chromium that we started, in milliseconds.

    The system counts it in steps of 10 ms a process, so only a mean of many is exact.
    """
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return 1000 * total


def _print(
    spreads: Mapping[str, Mapping[str, report.Spread]],
    cpu: Mapping[str, float],
    silent: Mapping[str, int],
) -> None:
    base = spreads[_BASE]["message"].median
    head = ["ms: median (p10 to p90)", "joined", "connected", "first message", "ratio"]
    head += ["difference", "Chromium's CPU, mean", "ratio", "no message"]
    rows = []
    for name, laps in spreads.items():
        median = laps["message"].median
        row = [name, *(str(laps[lap]) for lap in ("joined", "connected", "message"))]
        row += [f"{median / base:.2f}", f"{median - base:+.1f}"]
        row += [f"{cpu[name]:.0f}", f"{cpu[name] / cpu[_BASE]:.2f}"]
        rows.append([*row, str(silent[name])])
    report.print_table(head, rows)
    print(f"{_BASE} has less to do: it is told whom to connect to, and nothing is signed.")
