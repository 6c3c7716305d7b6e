"""What does the signaling server spend, and how many clients does it hold?

``thkmesh serve`` beside peerjs-server, in the same run. The server is on one core and the
generator (this process) on another. Four questions:

* **Relay**: two hundred clients in pairs bounce signals of 300 bytes and of 1 KiB, one
  under way in each pair, which keeps the server busy. The figure is its processor time
  (user and system) for each signal relayed: what others do on the machine weighs on it
  far less than on rates by the clock, which are written down, too.
* **Latency**: the same clients send 2,000 signals a second, whatever comes back.
* **Storm**: a thousand clients come at once. Ours enter rooms of ten, prove their keys, and
  are introduced to each other; PeerJS's are let in as they are.
* **Idle**: ten thousand clients stay, in a fresh server. The figure is the memory of the
  process (PSS) for each; what the kernel keeps for a socket is not in it.

Relay, latency and storm are measured in rounds, in which all servers have their turn.
"""

import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import psutil

from benchmarks import plot, report
from benchmarks.server_dialects import Dialect, PeerJs, ThkMesh
from benchmarks.server_generator import Crowd
from benchmarks.stage import Cue, Stage
from tests.namespaces import enter
from thkmesh.server.serve import new_event_loop, serve

__all__ = [
    "RUNS",
    "SUMMARY",
    "Contestant",
    "Running",
    "contestants",
    "run",
    "running",
    "start_server",
]

SUMMARY = "what the signaling server spends, beside peerjs-server"
RUNS = 5

_WEB = Path(__file__).parent / "web"
_BASE = "peerjs-server"
_SIZES = (300, 1024)
_ROOM = 10
_TALKERS = 200
_STORM = 1000
_IDLE = 10_000
_RATE = 2000.0
_SECONDS = 1.5
_WARM = 0.5
_AT_ONCE = 100
"""Clients under way at the same time when there is no storm; nobody's backlog is shorter."""
_SETTLE = 2.0

_UNLIMITED = {"THKMESH_MESSAGE_RATE": "0"}
"""What takes the limit off that keeps one client from sending as much as here."""

Figures: TypeAlias = dict[str, list[float]]
"""The figures of a contestant, round by round, by the name of what was measured."""


@dataclass(frozen=True)
class Contestant:
    """A server: the command that starts it, and how its clients speak.

    The command prints a line with the port, as the last number in it.
    """

    command: tuple[str, ...]
    dialect: Callable[[str], Dialect]


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    contestant: Contestant
    process: psutil.Process
    port: int

    def crowd(self, count: int, name: str) -> Crowd:
        """Return clients that have not connected, ten of them to each room."""
        rooms = (f"{name}-{number // _ROOM}" for number in range(count))
        return Crowd("127.0.0.1", self.port, [self.contestant.dialect(room) for room in rooms])

    @property
    def cpu(self) -> float:
        """The processor time it has had, in microseconds."""
        times = self.process.cpu_times()
        return 1e6 * (times.user + times.system)

    @property
    def memory(self) -> int:
        """Its proportional set size, in bytes."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(encoding="ascii")
        found = re.search(r"^Pss: *(\d+) kB", rollup, re.MULTILINE)
        assert found is not None
        return 1024 * int(found[1])


def contestants() -> dict[str, Contestant]:
    """Return the servers that there are."""
    ours = (sys.executable, "-m", "thkmesh", "serve", "--port", "0")
    found = {"THKMesh": Contestant(ours, ThkMesh)}
    if shutil.which("node") is None or not (_WEB / "node_modules").is_dir():
        print("without peerjs-server: it or node is not installed (make bench installs them)")
        return found
    return found | {_BASE: Contestant(("node", str(_WEB / "peerjs-server.js")), PeerJs)}


def run(results: Path, runs: int) -> None:
    """Measure, print a table, and write figures and a plot."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("server is left out: it takes two cores")
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, cores[1:])
    try:
        machine = report.machine("thkmesh", "uvicorn", "websockets", "uvloop")
        machine["cores"] = len(cores)
        measured = _measure(contestants(), cores[0], runs, min(_IDLE, hard - 500))
    finally:
        os.sched_setaffinity(0, cores)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    summary = {
        name: {what: round(_typical(what, each), 2) for what, each in figures.items()}
        for name, figures in measured.items()
    }
    _print(summary)
    content = {"machine": machine, "runs": runs, "summary": summary, "figures": measured}
    report.write(results / "server.json", content)
    _draw(results / "server.svg", summary)


def _typical(what: str, figures: Sequence[float]) -> float:
    """Return the median; of what the clock says the best, which others disturbed least."""
    if what.endswith(("_ms", "_s")):
        return min(figures)
    return max(figures) if what.endswith("_per_second") else statistics.median(figures)


@contextmanager
def running(contestant: Contestant, core: int | None = None) -> Iterator[Running]:
    """Have a server, on a core."""
    environment = os.environ | _UNLIMITED
    with subprocess.Popen(
        contestant.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment
    ) as process:
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            assert process.stdout is not None
            port = re.findall(rb"\d+", process.stdout.readline())[-1]
            yield Running(contestant, psutil.Process(process.pid), int(port))
        finally:
            process.kill()


def _measure(
    found: Mapping[str, Contestant], core: int, runs: int, idle: int
) -> dict[str, Figures]:
    """Measure all in turns; one more round comes before, for everybody to get warm."""
    measured: dict[str, Figures] = {name: {} for name in found}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(running(contestant, core))
            for name, contestant in found.items()
        }
        for number in range(runs + 1):
            for name in random.sample(list(servers), len(servers)):
                for what, figure in _round(servers[name], f"round-{number}").items():
                    if number:
                        measured[name].setdefault(what, []).append(round(figure, 3))
            report.progress(number, runs)
    for name, contestant in found.items():
        with running(contestant, core) as server:
            for what, figure in _hold(server, idle).items():
                measured[name][what] = [round(figure, 3)]
    return measured


def _round(server: Running, name: str) -> dict[str, float]:
    """Measure one server's relay, latency and storm."""
    figures: dict[str, float] = {}
    crowd = server.crowd(_TALKERS, name)
    crowd.join(_AT_ONCE)
    for size in _SIZES:
        crowd.pair(size)
        crowd.kick_off()
        crowd.bounce(_WARM)
        before, busy, start = server.cpu, time.process_time(), time.perf_counter()
        count = crowd.bounce(_SECONDS)
        spent = time.perf_counter() - start
        figures[f"relay_{size}_us"] = (server.cpu - before) / count
        figures[f"relay_{size}_per_second"] = count / spent
        figures[f"relay_{size}_generator_load"] = (time.process_time() - busy) / spent
        crowd.drain()
    before = server.cpu
    took = crowd.pace(_RATE, _SECONDS)
    figures["paced_us"] = (server.cpu - before) / len(took)
    figures["paced_p50_ms"] = 1000 * took[len(took) // 2]
    figures["paced_p99_ms"] = 1000 * took[99 * len(took) // 100]
    crowd.close()
    storm = server.crowd(_STORM, f"{name}-storm")
    before, start = server.cpu, time.perf_counter()
    took = storm.join(_STORM)
    figures["storm_s"] = time.perf_counter() - start
    figures["storm_p99_s"] = took[99 * len(took) // 100]
    figures["storm_us"] = (server.cpu - before) / _STORM
    storm.close()
    time.sleep(0.2)  # for the server to see them gone
    return figures


def _hold(server: Running, count: int) -> dict[str, float]:
    """Measure what clients cost that are only there."""
    crowd = server.crowd(count, "idle")
    before, cpu = server.memory, server.cpu
    crowd.join(_AT_ONCE)
    joined = server.cpu
    crowd.idle(_SETTLE)
    after = server.memory
    crowd.close()
    return {
        "idle_connections": count,
        "idle_kib": (after - before) / 1024 / count,
        "idle_join_us": (joined - cpu) / count,
    }


_ROWS = {
    **{f"relay_{size}_us": f"CPU, us a signal of {size} B" for size in _SIZES},
    **{f"relay_{size}_per_second": f"signals/s of {size} B" for size in _SIZES},
    **{f"relay_{size}_generator_load": f"generator's load, {size} B" for size in _SIZES},
    "paced_us": f"CPU, us a signal at {_RATE:.0f}/s",
    "paced_p50_ms": f"p50, ms at {_RATE:.0f}/s",
    "paced_p99_ms": f"p99, ms at {_RATE:.0f}/s",
    "storm_s": f"storm of {_STORM}, s",
    "storm_p99_s": "p99 of a join in it, s",
    "storm_us": "CPU, us a join in it",
    "idle_connections": "idle connections held",
    "idle_kib": "KiB each (PSS)",
    "idle_join_us": "CPU, us a join of these",
}


def _print(summary: Mapping[str, Mapping[str, float]]) -> None:
    base = summary.get(_BASE)
    rows = []
    for what, title in _ROWS.items():
        row = [title]
        for figures in summary.values():
            ratio = f" ({figures[what] / base[what]:.2f})" if base and base[what] else ""
            row.append(f"{figures[what]:.{0 if figures[what] >= 1000 else 2}f}{ratio}")
        rows.append(row)
    report.print_table([f"median, or best (of {_BASE}'s)", *summary], rows)


def _draw(path: Path, summary: Mapping[str, Mapping[str, float]]) -> None:
    shown = ("relay_300_us", "relay_1024_us", "paced_p99_ms", "storm_us", "idle_kib")
    panels = {
        _ROWS[what]: {name: figures[what] for name, figures in summary.items()} for what in shown
    }
    title = "The signaling server on one core (less is better)"
    plot.bars(path, panels, title=title, mark=None)


# ---- a server for the other benchmarks ---------------------------------------


def start_server(stage: Stage, host: str = "127.0.0.1", where: str | None = None) -> str:
    """Start a server, in a process of its own as ``thkmesh serve`` is; return its URL.

    Args:
        stage: where it lives.
        host: the address that it listens on.
        where: the path of the namespace that has this address; None means ours.
    """
    url: str = stage.cast(_serve, host, where, loop_factory=new_event_loop).answer()
    return url


async def _serve(cue: Cue, host: str, where: str | None) -> None:
    if where is not None:
        enter(where)
    await serve(host, 0, on_ready=lambda port: cue.send(f"http://{host}:{port}"))
