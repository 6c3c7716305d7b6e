"""How soon does the first message arrive after the path was lost, and what is lost meanwhile?

Two hosts on cables, servers in the middle, all of it network namespaces. On both hosts a
Chromium with a page for each contestant, and a Python process: THKMesh as it is and without
its relay, PeerJS with its own server, and simple-peer with the least of a signaling. All of
them have a connection, and say a number every 100 ms both ways. Then all lose the path at
once, in one of four ways (``CASES``), each in a network of its own:

- *another way*: what lies between has forgotten the flows that there are, as a router that
  was restarted; new ones pass. A restart of ICE finds them.
- *20 s without network*: the cable of one host is pulled. By the time it is in again a
  connection is beyond help, and has to be replaced.
- *20 s without UDP*: a firewall lets only TCP to the servers pass. Only a relay helps.
- *5 s without network*: nobody need do anything. For comparison.

A contestant has recovered when both ends have heard something that was said after the loss;
what is measured is the time until the later of the two. Whoever has not after 60 s *does not
recover*: that is no figure. To keep the whole short, who did not in either of the first two
rounds is waited for 30 s afterwards. An application hears from PeerJS and simple-peer when a
connection is over; ours then calls again, as theirs would. Whatever was said after the loss
and before the recovery, and never arrived, counts as lost.

The cases run side by side, and all contestants of a case meet the same outage. Chromium is
told to tell its addresses without STUN. It takes root, as the fault lab does.
"""

import asyncio
import json
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks import plot, report
from benchmarks.recovery_lane import BOUND, Outcome, opened
from benchmarks.recovery_outages import Cable, Firewall, ForgottenFlows, Outage, Stumble

__all__ = ["CASES", "RUNS", "SUMMARY", "percentiles", "run"]

SUMMARY = "path lost to first message, beside PeerJS and simple-peer (as root)"
RUNS = 10

CASES: Final[Mapping[str, type[Outage]]] = {
    "another way": ForgottenFlows,
    "20 s without network": Cable,
    "20 s without UDP": Firewall,
    "5 s without network": Stumble,
}

_WEB = Path(__file__).parent / "web"
_PATIENT_ROUNDS = 2
_SHORT_BOUND = 30.0

Rounds = Mapping[str, Sequence[Outcome]]
"""What became of each contestant, round by round."""


def run(results: Path, runs: int) -> None:
    """Measure, print tables, and write figures and a plot."""
    there = (_WEB / "node_modules/simple-peer").is_dir() and shutil.which("node") is not None
    if not there:
        print("recovery is left out: simple-peer or node is not installed (make bench does that)")
        return
    machine = report.machine("thkmesh", "wrtc")
    for name in ("peerjs", "simple-peer"):
        manifest = (_WEB / "node_modules" / name / "package.json").read_text(encoding="utf-8")
        machine[name] = json.loads(manifest)["version"]
    measured, machine["chromium"] = asyncio.run(_perform(runs))
    _print(measured)
    report.write(
        results / "recovery.json",
        {
            "machine": machine,
            "runs": runs,
            "unit": "s",
            "bound": BOUND,
            "cases": {
                case: {name: _record(outcomes) for name, outcomes in rounds.items()}
                for case, rounds in measured.items()
            },
        },
    )
    plot.strip_panels(
        results / "recovery.svg",
        {
            case: {
                name: [each.recovered for each in outcomes if each.recovered is not None]
                for name, outcomes in rounds.items()
            }
            for case, rounds in measured.items()
        },
        title=f"Path lost to first message, {runs} outages each",
        axis="seconds (the bar is the median)",
        none="does not recover",
    )


async def _perform(runs: int) -> tuple[dict[str, Rounds], str]:
    """Play all cases side by side; return what became of all, and Chromium's version."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        report.progress(done, runs * len(CASES))

    async with asyncio.TaskGroup() as group:
        tasks = {
            case: group.create_task(_case(outage, runs, tick)) for case, outage in CASES.items()
        }
    results = {case: task.result() for case, task in tasks.items()}
    versions = {version for _, version in results.values()}
    return {case: rounds for case, (rounds, _) in results.items()}, versions.pop()


async def _case(outage: type[Outage], runs: int, tick: Callable[[], None]) -> tuple[Rounds, str]:
    async with opened(outage) as lane:
        rounds: dict[str, list[Outcome]] = {name: [] for name in lane.names}
        for number in range(runs):
            outcomes = await lane.round(_bounds(rounds, number))
            for name, outcome in outcomes.items():
                rounds[name].append(outcome)
            tick()
        return rounds, lane.chromium


def _bounds(rounds: Rounds, number: int) -> dict[str, float]:
    """Return how long each is waited for, by what became of it so far."""
    return {
        name: _SHORT_BOUND
        if number >= _PATIENT_ROUNDS and all(each.recovered is None for each in outcomes)
        else BOUND
        for name, outcomes in rounds.items()
    }


# ---- what is told ------------------------------------------------------------


def percentiles(figures: Sequence[float]) -> tuple[float, float] | None:
    """Return the 50th and the 95th percentile; None for no figures."""
    if not figures:
        return None
    if len(figures) == 1:
        return figures[0], figures[0]
    twentieths = statistics.quantiles(figures, n=20, method="inclusive")
    return round(twentieths[9], 2), round(twentieths[18], 2)


def _record(outcomes: Sequence[Outcome]) -> dict[str, object]:
    recovered, since = _times(outcomes)
    return {
        "recovered": f"{len(recovered)} of {len(outcomes)}",
        "p50_p95_from_the_loss": percentiles(recovered),
        "p50_p95_from_the_return": percentiles(since),
        "said": sum(each.said for each in outcomes),
        "lost": sum(each.lost for each in outcomes),
        "doubled": sum(each.doubled for each in outcomes),
        "seconds": [
            None if each.recovered is None else round(each.recovered, 3) for each in outcomes
        ],
        "how": dict(Counter(each.how for each in outcomes if each.recovered is not None)),
        "told_that_it_is_over": sum(each.closed is not None for each in outcomes),
    }


def _times(outcomes: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    """Return the times from the loss, and from the return of the network, of who recovered.

    Who did before the network was back needed none of that time.
    """
    there = [(each.recovered, each.back) for each in outcomes if each.recovered is not None]
    return [each for each, _ in there], [max(0.0, each - back) for each, back in there]


def _print(measured: Mapping[str, Rounds]) -> None:
    for case, rounds in measured.items():
        head = [case, "recovered", "p50 s", "p95 s", "after return p50", "p95"]
        rows = []
        for name, outcomes in rounds.items():
            times = [percentiles(each) for each in _times(outcomes)]
            cells = [
                cell
                for pair in times
                for cell in (("", "") if pair is None else (f"{each:.2f}" for each in pair))
            ]
            if times[0] is None:
                cells[0] = "does not recover"
            said, lost = (sum(getattr(each, of) for each in outcomes) for of in ("said", "lost"))
            how = Counter(each.how for each in outcomes if each.recovered is not None)
            rows.append(
                [
                    name,
                    f"{sum(how.values())} of {len(outcomes)}",
                    *cells,
                    f"{lost:,} of {said:,}",
                    ", ".join(f"{way} {count}" for way, count in how.most_common()),
                ]
            )
        report.print_table([*head, "lost", "how"], rows)
