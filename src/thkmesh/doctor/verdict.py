"""What was found, in plain words, and what to do about it.

Two peers connect directly if the first packets of each get through to the other. What
lets them through is in the table, by RFC 4787; ``tests/faults`` holds the engine to it.

===================== ============= ========= ============ ==========
the other is behind   no router     a router  a strict one no UDP
===================== ============= ========= ============ ==========
us: no router         direct        direct    direct       relay
us: a router          direct        direct    direct/relay relay
us: a strict router   direct        d./relay  relay        relay
us: no UDP            relay         relay     relay        relay
===================== ============= ========= ============ ==========

A strict router takes another port for every destination (symmetric). A plain router
lets in a packet from such a port only if its filtering does not look at ports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from thkmesh.doctor.calls import Call
from thkmesh.doctor.entrance import Entrance
from thkmesh.doctor.nat import Behaviour, Nat
from thkmesh.doctor.probes import Probed

__all__ = ["Findings", "Network", "Other", "Verdict", "Way", "judge"]


@dataclass(frozen=True)
class Findings:
    """All that was looked at."""

    entrance: Entrance
    probes: Sequence[Probed] = ()
    nat: Nat = field(default_factory=lambda: Nat(None))
    calls: Sequence[Call] = ()


class Network(Enum):
    """What we are behind."""

    OPEN = "open"
    ROUTER = "router"
    STRICT_ROUTER = "strict router"
    NO_UDP = "no UDP"
    UNKNOWN = "unknown"


class Other(Enum):
    """What the other peer is behind."""

    OPEN = "someone without a router"
    ROUTER = "someone behind an ordinary router"
    STRICT_ROUTER = "someone behind a strict router (symmetric NAT)"
    NO_UDP = "someone whose network blocks UDP"


class Way(Enum):
    """How two peers reach each other."""

    DIRECT = "directly"
    TURN = "through TURN"
    SERVER = "through the signaling server, slowly"
    NOT = "not at all"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """What follows.

    Attributes:
        network: what we are behind.
        ways: how we reach whom.
        problems: what is wrong, in sentences, the worst first.
        advice: what to do, in sentences.
        healthy: whether everybody can be reached at full speed.
    """

    network: Network
    ways: dict[Other, Way]
    problems: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether everybody is reached, and not through the signaling server."""
        good = {Way.DIRECT, Way.TURN}
        return bool(self.ways) and not self.problems and set(self.ways.values()) <= good


_NOBODY: Final = (
    "Nobody can join a room before that is mended. See that the URL is right, that the server "
    "runs, and that a proxy in front of it passes WebSockets on."
)


def judge(findings: Findings) -> Verdict:
    """Conclude."""
    if not findings.entrance.works:
        problem = f"The signaling server cannot be used: {findings.entrance.reason}."
        return Verdict(Network.UNKNOWN, {}, (problem,), (_NOBODY,))
    network = _network(findings.nat)
    ways = {other: _way(network, other, findings) for other in Other}
    complaints = list(_complaints(findings, network, ways))
    remedies = dict.fromkeys(each.remedy for each in complaints if each.remedy)
    return Verdict(network, ways, tuple(each.problem for each in complaints), tuple(remedies))


def _network(nat: Nat) -> Network:
    if nat.udp is None:
        return Network.UNKNOWN
    if not nat.udp:
        return Network.NO_UDP
    if nat.mapping in {Behaviour.ADDRESS, Behaviour.ADDRESS_AND_PORT}:
        return Network.STRICT_ROUTER
    if nat.translated is False:
        return Network.OPEN
    return Network.UNKNOWN if nat.mapping is Behaviour.UNKNOWN else Network.ROUTER


def _way(network: Network, other: Other, findings: Findings) -> Way:
    direct = _direct(network, other, findings.nat.filtering)
    if not findings.probes:
        # Nobody tells a peer its address, so only addresses that need no translation work.
        direct = other is Other.OPEN
    if direct:
        return Way.DIRECT
    relays = {each.target.transport for each in findings.probes if each.target.turn and each.works}
    # Whoever has no UDP needs a way to the relay without it, too.
    if relays if other is not Other.NO_UDP else relays - {"udp"}:
        return Way.TURN
    if direct is None:
        return Way.UNKNOWN
    return Way.SERVER if findings.entrance.relay.works else Way.NOT


def _direct(network: Network, other: Other, filtering: Behaviour) -> bool | None:
    """Tell whether packets of both get through; None if that cannot be told."""
    if Network.NO_UDP is network or other is Other.NO_UDP:
        return False
    if Network.OPEN is network or other is Other.OPEN:
        return True
    if network is Network.UNKNOWN:
        return None
    if network is Network.ROUTER:
        strict_with_strict = filtering in {Behaviour.ADDRESS_AND_PORT, Behaviour.UNKNOWN}
        return other is not Other.STRICT_ROUTER or not strict_with_strict
    # The other's filtering is not known; most routers look at ports.
    return False


class _Complaint(NamedTuple):
    """What is wrong, and what to do about it."""

    problem: str
    remedy: str


def _complaints(
    findings: Findings, network: Network, ways: dict[Other, Way]
) -> Iterator[_Complaint]:
    """Yield all that is wrong, the worst first."""
    turn = any(each.target.turn for each in findings.probes)
    missing = [other.value for other, way in ways.items() if way in {Way.SERVER, Way.NOT}]
    if network is Network.NO_UDP:
        yield _Complaint(
            "Your network lets no UDP through to the servers, so there are no direct connections "
            "with anybody outside it.",
            "Allow UDP out of your network, to port 3478 of the TURN server at least; or see that "
            "the server offers TURN over TCP and TLS (turn:HOST:3478?transport=tcp, "
            "turns:HOST:443?transport=tcp).",
        )
    if not findings.probes:
        yield _Complaint(
            "The server offers neither STUN nor TURN, so peers connect directly only within one "
            "network.",
            "Name a STUN server, or better a TURN server, with --ice-server to thkmesh serve.",
        )
    without_udp = turn and any(each.target.transport != "udp" for each in findings.probes)
    if turn and not without_udp:
        yield _Complaint(
            "TURN is offered over UDP only, which does not help those whose network blocks UDP.",
            "Offer it over TCP, too: --ice-server turn:HOST:3478?transport=tcp; best over TLS on "
            "port 443, which the strictest firewalls let through.",
        )
    if missing and not turn:
        yield _Complaint(
            f"You have no fast path to {_listed(missing)}, for the server offers no TURN server.",
            "Run coturn with deploy/coturn.conf, and name it to the server: thkmesh serve "
            "--ice-server turn:HOST:3478?transport=udp --ice-server turn:HOST:3478?transport=tcp.",
        )
    yield from (_unreached(each, network) for each in findings.probes if not each.works)
    for host, exposed in {each.target.host: each.exposed for each in findings.probes}.items():
        if exposed:
            yield _Complaint(
                f"{host} relays to addresses that are not of the internet ({_listed(exposed)}), so "
                "whoever may use it reaches what is in its own network.",
                "Deny them: deploy/coturn.conf has a line for each kind, and says why.",
            )
    yield from _failed_calls(findings)


def _unreached(probed: Probed, network: Network) -> _Complaint:
    target = probed.target
    problem = f"{target.url} does not work: {probed.reason}."
    if probed.answered:
        return _Complaint(
            problem,
            f"{target.host} can be reached, so mend its configuration: compare the name and the "
            "password that thkmesh serve hands out with those of coturn, and its clock.",
        )
    if target.transport == "udp" and network is Network.NO_UDP:
        return _Complaint(problem, "")  # said already
    through = "UDP" if target.transport == "udp" else "TCP"
    return _Complaint(
        problem,
        f"See that {target.host} runs {'TURN' if target.turn else 'STUN'} on port {target.port}, "
        f"and that both firewalls, its own and yours, let {through} through to it.",
    )


def _failed_calls(findings: Findings) -> Iterator[_Complaint]:
    """Yield what the calls say that the probes do not."""
    calls = {call.kind: call for call in findings.calls}
    host, relay = calls.get("host"), calls.get("relay")
    if host is not None and not host.works:
        yield _Complaint(
            f"Even a call within this machine fails: {host.reason}.",
            "A firewall on this machine may block UDP between its own programs; let it pass.",
        )
    allocated = any(each.target.turn and each.works for each in findings.probes)
    if relay is not None and relay.tried and not relay.works and allocated:
        yield _Complaint(
            f"TURN lets us in, but a call through it fails: {relay.reason}.",
            "The TURN server must reach its own relays: set external-ip in coturn.conf if it is "
            "behind a router, and open its ports 49152 to 65535 for UDP.",
        )
    server = findings.entrance.relay
    if server.tried and not server.works:
        yield _Complaint(
            f"The relay through the signaling server fails: {server.reason}.",
            "See that no proxy in front of the server keeps binary messages back.",
        )


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)
