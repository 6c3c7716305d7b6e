"""The doctor's conclusions, for its twin: ``python -m tests.doctor.verdict_vectors``."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.rooms.processes import ROOT
from thkmesh.core.engine import IceServer
from thkmesh.doctor.calls import Call
from thkmesh.doctor.entrance import Entrance
from thkmesh.doctor.nat import Behaviour, Nat
from thkmesh.doctor.probes import Probed, Target, targets
from thkmesh.doctor.stun import Address
from thkmesh.doctor.verdict import Findings, judge

PATH = ROOT / "spec" / "vectors" / "doctor.json"

SEEN = Address("192.0.2.7", 4000)
STUN, UDP, TCP, TLS = targets(
    (
        IceServer(("stun:stun.example",)),
        IceServer(
            (
                "turn:turn.example?transport=udp",
                "turn:turn.example?transport=tcp",
                "turns:turn.example:443",
            ),
            "n",
            "s",
        ),
    )
)
RELAY = Call("server", seconds=0.01)
ENTRANCES = (
    Entrance("", 0.1, relay=RELAY),
    Entrance("", 0.1, relay=Call("server", "the server relays nothing", tried=False)),
    Entrance("", 0.1, relay=Call("server", "what was sent did not arrive")),
    Entrance("the room is full"),
)
NATS = (
    Nat(None),
    Nat(udp=False),
    Nat(udp=True, translated=True),
    *(
        Nat(udp=True, translated=translated, mapping=mapping, filtering=filtering)
        for translated, mapping, filtering in itertools.product(
            (True, False), (Behaviour.INDEPENDENT, Behaviour.ADDRESS), Behaviour
        )
    ),
)
GOOD = (Call("host", seconds=0.1), Call("srflx", "not connected"), Call("relay", seconds=0.2))
BAD = (Call("host", "not connected"), Call("relay", "not connected within 8 s"))
UNTRIED = (Call("host", seconds=0.1), Call("relay", "there is no server for it", tried=False))


def _works(target: Target) -> Probed:
    return Probed(target, "", 0.01, SEEN, answered=True)


PROBES: tuple[tuple[Probed, ...], ...] = (
    (),
    (_works(STUN),),
    (_works(STUN), _works(UDP)),
    (_works(STUN), _works(UDP), _works(TCP)),
    (Probed(STUN, "no answer"), Probed(UDP, "no answer"), _works(TLS)),
    (Probed(STUN, "no answer"), Probed(TCP, "Connection refused")),
    (_works(STUN), Probed(TCP, "it does not accept the name and the password", answered=True)),
)


def cases() -> Iterator[Findings]:
    """Yield what may be found, all that make a difference with all."""
    for entrance, probes, nat in itertools.product(ENTRANCES[:2], PROBES, NATS):
        yield Findings(entrance, probes, nat, GOOD)
    for entrance, calls in itertools.product(ENTRANCES, (GOOD, BAD, UNTRIED)):
        yield Findings(entrance, PROBES[3], NATS[4], calls)


def _call(call: Call) -> dict[str, Any]:
    return {
        "kind": call.kind,
        "reason": call.reason,
        "seconds": call.seconds,
        "tried": call.tried,
    }


def _vector(findings: Findings) -> dict[str, Any]:
    verdict = judge(findings)
    nat = findings.nat
    return {
        "findings": {
            "entrance": {
                "reason": findings.entrance.reason,
                "relay": _call(findings.entrance.relay),
            },
            "probes": [
                {
                    "url": each.target.url,
                    "host": each.target.host,
                    "port": each.target.port,
                    "transport": each.target.transport,
                    "turn": each.target.turn,
                    "reason": each.reason,
                    "answered": each.answered,
                    "mapped": each.mapped is not None,
                }
                for each in findings.probes
            ],
            "nat": {
                "udp": nat.udp,
                "translated": nat.translated,
                "mapping": nat.mapping.value,
                "filtering": nat.filtering.value,
            },
            "calls": [_call(call) for call in findings.calls],
        },
        "verdict": {
            "network": verdict.network.value,
            "ways": {
                other.name.lower().replace("_", "-"): way.name.lower()
                for other, way in verdict.ways.items()
            },
            "problems": verdict.problems,
            "advice": verdict.advice,
            "healthy": verdict.healthy,
        },
    }


def text() -> str:
    """Return the file, a vector a line."""
    lines = (json.dumps(_vector(each), separators=(",", ":")) for each in cases())
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
