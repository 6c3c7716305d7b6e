"""``thkmesh doctor``: what was found, for people or for programs."""

import secrets
import sys
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from thkmesh.cli.access import shown
from thkmesh.cli.arguments import DoctorOptions
from thkmesh.cli.running import run
from thkmesh.doctor.calls import Call
from thkmesh.doctor.examination import examine
from thkmesh.doctor.nat import Behaviour, Nat
from thkmesh.doctor.probes import Probed
from thkmesh.doctor.verdict import Findings, Network, Verdict, judge
from thkmesh.settings import RoomSettings

__all__ = ["doctor"]

_NETWORKS: Final = {
    Network.OPEN: "No router translates your address: others reach you as you are.",
    Network.ROUTER: "You are behind an ordinary router: it keeps one address for all.",
    Network.STRICT_ROUTER: "You are behind a strict router (symmetric NAT): it takes another "
    "port for everybody you speak with.",
    Network.NO_UDP: "Your network blocks UDP.",
    Network.UNKNOWN: "What your router does could not be found out.",
}
_CALLS: Final = {
    "host": "within this machine",
    "srflx": "by the router's address",
    "relay": "through TURN",
    "server": "through the signaling server",
}
_HAIRPIN: Final = "does not work, which matters only to peers behind the same router"


def doctor(options: DoctorOptions) -> int:
    """Examine, and print what was found; return the exit code.

    Raises:
        InvalidArgument: the URL is not that of a server, or a file cannot be read.
        Problem: so it is with the file of a token or a password.
    """
    token, password = shown(options.shown)
    settings = RoomSettings(
        url=options.url,
        room=options.room or f"doctor-{secrets.token_hex(8)}",
        token=token,
        password=password,
        ca_file=options.ca_file,
    )
    return run(_examine(settings, json=options.json))


async def _examine(settings: RoomSettings, *, json: bool) -> int:
    if not json and sys.stderr is not None and sys.stderr.isatty():
        print("This takes some seconds ...", file=sys.stderr, flush=True)
    findings = await examine(settings)
    verdict = judge(findings)
    if json:
        print(msgspec.json.encode(_for_programs(findings, verdict)).decode())
    else:
        print("\n".join(_for_people(settings.url, findings, verdict)))
    return 0 if verdict.healthy else 1


def _for_people(url: str, findings: Findings, verdict: Verdict) -> Iterator[str]:
    entrance = findings.entrance
    said = f"joined in {_ms(entrance.seconds)}" if entrance.works else entrance.reason
    yield f"Signaling   {url}: {said}"
    for probed in findings.probes:
        yield f"{'TURN' if probed.target.turn else 'STUN':11} {_probed(probed)}"
    if entrance.works:
        yield f"Network     {_NETWORKS[verdict.network]}"
        yield from _nat(findings.nat)
    for call in (*findings.calls, *([entrance.relay] if entrance.works else [])):
        yield f"Call        {_CALLS[call.kind]}: {_call(call)}"
    if verdict.ways:
        yield ""
        yield "You are connected"
        width = max(len(way.value) for way in verdict.ways.values())
        for other, way in verdict.ways.items():
            yield f"  {way.value:{width}}  with {other.value}"
    for title, sentences in (("What is wrong", verdict.problems), ("What to do", verdict.advice)):
        if sentences:
            yield ""
            yield title
            yield from (f"  - {sentence}" for sentence in sentences)
    if verdict.healthy:
        yield ""
        yield "All is well."


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"


def _probed(probed: Probed) -> str:
    target = probed.target
    how = f"{target.url} ({target.transport.upper()})"
    if not probed.works:
        return f"{how}: {probed.reason}"
    seen = f", sees you as {probed.mapped.host}:{probed.mapped.port}" if probed.mapped else ""
    return f"{how}: works, {_ms(probed.rtt)}{seen}"


def _nat(nat: Nat) -> Iterator[str]:
    if nat.method:
        known = nat.filtering is not Behaviour.UNKNOWN
        filtering = f", filtering {nat.filtering.value}" if known else ""
        yield f"            Mapping {nat.mapping.value}{filtering} (told by {nat.method})."


def _call(call: Call) -> str:
    if call.works:
        return f"works, {_ms(call.seconds)}"
    if not call.tried:
        return f"not tried, {call.reason}"
    if call.kind == "srflx":
        return f"{_HAIRPIN} ({call.reason})"
    return f"fails, {call.reason}"


def _for_programs(findings: Findings, verdict: Verdict) -> dict[str, Any]:
    entrance, nat = findings.entrance, findings.nat
    return {
        "healthy": verdict.healthy,
        "network": verdict.network.value,
        "ways": {
            other.name.lower().replace("_", "-"): way.name.lower()
            for other, way in verdict.ways.items()
        },
        "problems": verdict.problems,
        "advice": verdict.advice,
        "signaling": {
            "works": entrance.works,
            "reason": entrance.reason,
            "seconds": entrance.seconds,
        },
        "servers": [
            {
                "url": each.target.url,
                "transport": each.target.transport,
                "works": each.works,
                "reason": each.reason,
                "seconds": each.rtt,
                "seenAs": f"{each.mapped.host}:{each.mapped.port}" if each.mapped else None,
            }
            for each in findings.probes
        ],
        "nat": {
            "udp": nat.udp,
            "translated": nat.translated,
            "mapping": nat.mapping.value,
            "filtering": nat.filtering.value,
            "method": nat.method,
        },
        "calls": [
            {
                "path": call.kind,
                "works": call.works,
                "tried": call.tried,
                "reason": call.reason,
                "seconds": call.seconds,
            }
            for call in (*findings.calls, entrance.relay)
        ],
    }
