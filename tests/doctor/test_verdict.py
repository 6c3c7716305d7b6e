"""What the doctor concludes from what it found."""

import dataclasses

import pytest

from tests.doctor.verdict_vectors import PATH, text
from tests.faults.nat import Kind as Router
from tests.faults.test_nat import PathKind, expected
from thkmesh.core.engine import IceServer
from thkmesh.doctor.calls import Call
from thkmesh.doctor.entrance import Entrance
from thkmesh.doctor.nat import Behaviour, Nat
from thkmesh.doctor.probes import Probed, Target, targets
from thkmesh.doctor.stun import Address
from thkmesh.doctor.verdict import Findings, Network, Other, Way, judge

SEEN = Address("192.0.2.7", 4000)
STUN, UDP, TCP = targets(
    (
        IceServer(("stun:stun.example",)),
        IceServer(("turn:turn.example?transport=udp", "turn:turn.example?transport=tcp"), "n", "s"),
    )
)
ENTRANCE = Entrance("", 0.1, relay=Call("server", seconds=0.01))
CALLS = (Call("host", seconds=0.1), Call("srflx", "not connected"), Call("relay", seconds=0.2))
CONE = Nat(udp=True, translated=True, mapping=Behaviour.INDEPENDENT)
PORTS = dataclasses.replace(CONE, filtering=Behaviour.ADDRESS_AND_PORT)
NATS = {
    Router.NONE: Nat(udp=True, translated=False, mapping=Behaviour.INDEPENDENT),
    Router.FULL_CONE: dataclasses.replace(CONE, filtering=Behaviour.INDEPENDENT),
    Router.ADDRESS_RESTRICTED: dataclasses.replace(CONE, filtering=Behaviour.ADDRESS),
    Router.PORT_RESTRICTED: PORTS,
    Router.SYMMETRIC: dataclasses.replace(PORTS, mapping=Behaviour.ADDRESS_AND_PORT),
    Router.UDP_BLOCKED: Nat(udp=False),
}


def works(*asked: Target) -> tuple[Probed, ...]:
    """Return that servers work."""
    return tuple(Probed(target, "", 0.01, SEEN, answered=True) for target in asked)


OTHERS = {
    Other.OPEN: Router.NONE,
    Other.ROUTER: Router.PORT_RESTRICTED,
    Other.STRICT_ROUTER: Router.SYMMETRIC,
    Other.NO_UDP: Router.UDP_BLOCKED,
}


@pytest.mark.parametrize("router", Router)
@pytest.mark.parametrize("other", Other)
def test_the_outlook_is_what_the_fault_lab_finds(router: Router, other: Other) -> None:
    """The table of the verdict is that by which real engines connect through real routers."""
    verdict = judge(Findings(ENTRANCE, works(STUN, UDP, TCP), NATS[router], CALLS))
    path = expected((router, OTHERS[other]))
    assert verdict.ways[other] is (Way.TURN if path is PathKind.RELAY else Way.DIRECT)


def test_all_is_well_where_everybody_is_reached() -> None:
    """Nothing is wrong then, and nothing need be done."""
    verdict = judge(Findings(ENTRANCE, works(STUN, UDP, TCP), PORTS, CALLS))
    assert (verdict.network, verdict.healthy) == (Network.ROUTER, True)
    assert (verdict.problems, verdict.advice) == ((), ())


def test_without_the_server_nothing_else_matters() -> None:
    """There is one problem, and its reason is in it."""
    verdict = judge(Findings(Entrance("no signaling server at ws://x: refused")))
    assert not verdict.healthy
    assert verdict.ways == {}
    [problem] = verdict.problems
    assert "refused" in problem


def test_without_any_server_peers_meet_within_one_network() -> None:
    """And with those who need nobody to tell them their address."""
    verdict = judge(Findings(ENTRANCE, (), Nat(None), CALLS))
    assert verdict.ways == {
        Other.OPEN: Way.DIRECT,
        Other.ROUTER: Way.SERVER,
        Other.STRICT_ROUTER: Way.SERVER,
        Other.NO_UDP: Way.SERVER,
    }
    assert "within one network" in verdict.problems[0]


def test_without_any_relay_some_are_not_reached_at_all() -> None:
    """Neither TURN nor the signaling server's."""
    entrance = Entrance("", 0.1, relay=Call("server", "the server relays nothing", tried=False))
    verdict = judge(Findings(entrance, works(STUN), NATS[Router.SYMMETRIC], CALLS))
    assert verdict.ways[Other.STRICT_ROUTER] is Way.NOT
    assert "no TURN server" in verdict.problems[0]


def test_what_cannot_be_told_is_not_guessed() -> None:
    """One STUN server tells that there is a router, and not of what kind."""
    nat = Nat(udp=True, translated=True)
    verdict = judge(Findings(ENTRANCE, works(STUN), nat, CALLS))
    assert verdict.network is Network.UNKNOWN
    assert verdict.ways[Other.OPEN] is Way.DIRECT
    assert verdict.ways[Other.ROUTER] is Way.UNKNOWN


def test_turn_over_udp_alone_does_not_help_everybody() -> None:
    """Whoever has no UDP is told of, and so is the remedy."""
    verdict = judge(Findings(ENTRANCE, works(STUN, UDP), PORTS, CALLS))
    assert verdict.ways[Other.NO_UDP] is Way.SERVER
    assert "over UDP only" in verdict.problems[0]
    assert "transport=tcp" in verdict.advice[0]


def test_a_relay_that_leads_nowhere_is_told_of() -> None:
    """Coturn behind a router without external-ip lets in and relays nothing."""
    calls = (CALLS[0], CALLS[1], Call("relay", "not connected within 8 s"))
    verdict = judge(Findings(ENTRANCE, works(STUN, UDP, TCP), PORTS, calls))
    assert "a call through it fails" in verdict.problems[0]
    assert "external-ip" in verdict.advice[0]
    assert not verdict.healthy


def test_a_relay_into_a_private_network_is_told_of_once() -> None:
    """Whatever works: that it does is what is wrong."""
    probes = [dataclasses.replace(each, exposed=("10.0.0.1",)) for each in works(UDP, TCP)]
    verdict = judge(Findings(ENTRANCE, (*works(STUN), *probes), PORTS, CALLS))
    [problem] = verdict.problems
    assert "10.0.0.1" in problem
    assert not verdict.healthy


@pytest.mark.parametrize(
    ("url", "host", "port", "transport", "turn"),
    [
        ("stun:example.org", "example.org", 3478, "udp", False),
        ("stun:192.0.2.1:19302", "192.0.2.1", 19302, "udp", False),
        ("turn:example.org?transport=tcp", "example.org", 3478, "tcp", True),
        ("turns:example.org", "example.org", 5349, "tls", True),
        ("turns:[2001:db8::7]:443?transport=tcp", "2001:db8::7", 443, "tls", True),
    ],
)
def test_urls_are_read_as_browsers_read_them(
    url: str, host: str, port: int, transport: str, *, turn: bool
) -> None:
    """With the default ports and transports of RFC 7064 and RFC 7065."""
    [target] = targets((IceServer((url,), "name", "secret"), IceServer((url,), "name", "secret")))
    assert (target.host, target.port) == (host, port)
    assert (target.transport, target.turn) == (transport, turn)


def test_the_vectors_are_up_to_date() -> None:
    """The file in the tree is what ``python -m tests.doctor.verdict_vectors`` writes."""
    current = PATH.read_text(encoding="utf-8") == text()
    assert current, "run: python -m tests.doctor.verdict_vectors"
