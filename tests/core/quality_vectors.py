"""Golden vectors of a link's quality: what a meter is told, when, and what it says then.

``python -m tests.core.quality_vectors`` writes ``spec/vectors/quality.json``, which
``spec/vectors/README.md`` describes; a test refuses a file that is out of date.
"""

import json
from dataclasses import astuple
from pathlib import Path
from random import Random
from typing import Any

from thkmesh.core.engine import Stats
from thkmesh.core.quality import Counts, Meter, score_of
from thkmesh.events import Quality

PATH = Path(__file__).parents[2] / "spec" / "vectors" / "quality.json"

_LINKS = ((0.002, 0.0), (0.08, 0.1), (0.35, 0.3), (2.0, 0.0))
"""Round trip, and the part of the pings that nobody answers."""

_KINDS = (None, "host", "srflx", "prflx", "relay")


def _life(number: int, rtt: float, loss: float) -> list[list[Any]]:
    """Return what a meter is told in two minutes, and what it says after each."""
    dice = Random(f"quality {number}")
    meter = Meter()
    steps: list[list[Any]] = []
    counts = Counts()
    now = 0.0

    def tell(after: float, call: str, *arguments: object, plain: object = ()) -> None:
        nonlocal now
        now = round(now + after, 3)
        asked = getattr(meter, call)(*arguments, *(() if call in _TIMELESS else (now,)))
        steps.append([now, call, plain, bool(asked), _shown(meter.quality), _shown(meter.news())])

    tell(0.0, "pinged", 1, counts, plain=[1, *astuple(counts)])
    for connection in range(2):
        meter.start(now, counts)
        steps.append([now, "start", astuple(counts), False, None, None])
        for n in range(1, 31):
            counts = Counts(
                counts.acknowledged + dice.choice((0, 0, 60_000)),
                counts.received + dice.randrange(2_000),
                dice.choice((0, 0, 40_000, 400_000)),
            )
            tell(2.0, "pinged", n, counts, plain=[n, *astuple(counts)])
            took = rtt * dice.uniform(0.8, 1.6) * (8 if 12 < n < 18 else 1)
            if dice.random() >= loss:
                tell(min(took, 1.9), "answered", n, plain=[n])
            if n % 5 == connection:
                stats = Stats(
                    rtt=dice.choice((None, rtt)),
                    local_type=dice.choice(_KINDS),
                    remote_type="host",
                    protocol="udp",
                    ip_version=dice.choice((None, 4, 6)),
                    checks_sent=dice.choice((None, 4 * n)),
                    checks_answered=3 * n,
                )
                tell(0.05, "reported", stats, plain=list(astuple(stats)[:7]))
            if n == 20:
                tell(dice.choice((0.0, 30.0)), "slept")
            if n == 21:
                tell(0.0, "answered", 7, plain=[7])
        tell(0.1, "stop")
        tell(0.1, "answered", 30, plain=[30])
    return steps


_TIMELESS = ("slept", "stop")


def _shown(quality: Quality | None) -> list[Any] | None:
    if quality is None:
        return None
    *figures, path = astuple(quality)
    return [quality.grade.value, *figures[1:], path]


def text() -> str:
    """Return the file, one value a line."""
    scores = [[delay / 1000, score_of(delay / 1000)] for delay in range(0, 1100, 7)]
    lives = [_life(number, *link) for number, link in enumerate(_LINKS)]
    rows = ",\n".join("[\n" + ",\n".join(map(_json, steps)) + "\n]" for steps in lives)
    return f'{{\n"scores": {_json(scores)},\n"lives": [\n{rows}\n]\n}}\n'


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
