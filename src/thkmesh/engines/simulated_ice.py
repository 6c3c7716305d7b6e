"""How simulated connections find each other, stay connected, and are lost.

An ``Agent`` (RFC 8445) is one connection's end. Two agents meet when the settled
descriptions of each name the other's ufrag, each knows a candidate of the other,
and packets pass between them. Then DTLS compares certificates with the
fingerprints that were signaled; if they agree an ``Association`` lies between the
two, and their channels open. A later meeting under new ufrags (an ICE restart)
gives the same association a new route.

Loss is noticed as libwebrtc does (measured): ``disconnected`` 5 seconds after the
last packet, ``failed`` after 15. A connection recovers by itself while one end
has not failed; after that only an ICE restart repairs it. Nothing on the reliable
channels is lost as long as both ends live.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass

from thkmesh.core.engine import ConnectionState
from thkmesh.engines.simulated_channels import Flow, FlowEnds
from thkmesh.engines.simulated_jsep import Sdp
from thkmesh.engines.simulated_network import SimulatedNetwork

__all__ = ["Agent", "Association", "Reports"]

_DISCONNECTED_AFTER = 5.0
_FAILED_AFTER = 15.0

_FIRST_TRIPS = 4
"""Round trips until a new pair is connected: ICE, then DTLS."""

_RESTART_TRIPS = 1


@dataclass(frozen=True, slots=True)
class Reports:
    """Whom an agent tells what happens, in its own process."""

    state: Callable[[ConnectionState], None]
    opened: Callable[[], None]
    frame: Callable[[int, bytes | None], None]
    low: Callable[[int], None]


class Agent:
    """One end: ICE, DTLS and the state of the connection."""

    def __init__(
        self,
        network: SimulatedNetwork,
        host: str,
        reports: Reports,
        *,
        low_water_bytes: int,
        context: Context,
    ) -> None:
        """Begin in ``new``."""
        self.host = host
        self.kind = "host"
        """The type of its candidates."""
        self.reports = reports
        self.low_water_bytes = low_water_bytes
        self.context = context
        self.state = ConnectionState.NEW
        self.open = False
        """Whether our channels carry frames."""
        self.gone = False
        self.local: Sdp | None = None
        self.remote: Sdp | None = None
        self.association: Association | None = None
        self.checking = False
        """Whether we look for the other end."""
        self.meeting = False
        """Whether both have found each other and are at it."""
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._dice = network.dice("agent")
        self._known: set[str] = set()
        """The remote ufrags we have candidates of."""
        self._broken = False
        self._timer: asyncio.TimerHandle | None = None
        self._unwatch = network.watch(self.look)

    # --- what the connection tells it ---

    def settle(self, local: Sdp, remote: Sdp) -> None:
        """Take what both sides agreed on."""
        anew = self.remote is None or self.remote.ufrag != remote.ufrag
        if self.local is not None:
            self._network.agents.pop(self.local.ufrag, None)
        self.local, self.remote = local, remote
        self._network.agents[local.ufrag] = self
        if remote.candidates:
            self._known.add(remote.ufrag)
        if anew and not self._broken:
            self.checking = True
            self._set_timer(_FAILED_AFTER, self._give_up)
            if self.state in {ConnectionState.NEW, ConnectionState.FAILED}:
                self._become(ConnectionState.CONNECTING)
        self.look()

    def learn(self, ufrag: str) -> None:
        """Take a remote candidate."""
        self._known.add(ufrag)
        self.look()

    def leave(self, *, tell: bool) -> None:
        """Be gone; the other end is told if ``tell``, and if it can be."""
        if self.gone:
            return
        self.gone = True
        self._unwatch()
        self._cancel_timer()
        if self.local is not None:
            self._network.agents.pop(self.local.ufrag, None)
        if self.association is not None:
            self.association.leave(self, tell=tell)

    # --- meeting ---

    def look(self) -> None:
        """See whether we can meet the other end by now."""
        if self.remote is None:
            return
        peer = self._network.agents.get(self.remote.ufrag)
        if (
            peer is None
            or self.meeting
            or peer.meeting
            or not (self.expects(peer) and peer.expects(self))
            or not self._network.reaches(self.host, peer.host)
        ):
            return
        self.meeting = peer.meeting = True
        trips = _RESTART_TRIPS if self.association else _FIRST_TRIPS
        transits = (self._network.transit(self.host, peer.host) for _ in range(2 * trips))
        # In no process: an engine's own threads do this.
        self._loop.call_later(sum(transits), self._meet, peer, context=Context())

    def expects(self, peer: "Agent") -> bool:
        """Return whether we look for just this agent, and know where it is."""
        return (
            self.checking
            and not self.gone
            and self.remote is not None
            and peer.local is not None
            and self.remote.ufrag == peer.local.ufrag
            and self.remote.ufrag in self._known
        )

    def _meet(self, peer: "Agent") -> None:
        """Complete what ``look`` began, unless it is overtaken."""
        self.meeting = peer.meeting = False
        if not (self.expects(peer) and peer.expects(self)):
            self.look()
            peer.look()
            return
        if not self._network.reaches(self.host, peer.host):
            return
        self.checking = peer.checking = False
        if not (self.trusts(peer) and peer.trusts(self)):
            for agent in (self, peer):
                self._loop.call_soon(agent.distrust, context=agent.context)
            return
        if self.association is None:
            self.association = peer.association = Association(self._network, self, peer)
        self.association.establish()

    def trusts(self, peer: "Agent") -> bool:
        """Return whether DTLS accepts the other end's certificate (RFC 8122)."""
        assert self.remote is not None
        assert peer.local is not None
        known = self.association is None or self.association is peer.association
        return known and self.remote.fingerprint == peer.local.fingerprint

    def distrust(self) -> None:
        """Fail for good: the other end is not who was announced."""
        self._broken = True
        self._cancel_timer()
        self._become(ConnectionState.FAILED)

    # --- staying connected ---

    def recover(self) -> None:
        """Packets pass (again): notice it soon."""
        delay = self._dice.uniform(0.0, 0.05)
        self._loop.call_later(delay, self._connect, context=self.context)

    def miss(self) -> None:
        """Packets pass no more: notice it later."""
        if self.state is ConnectionState.CONNECTED and self._timer is None:
            self._set_timer(_DISCONNECTED_AFTER, self._disconnect)

    @property
    def _hears(self) -> bool:
        return self.association is not None and self.association.hears(self)

    def _connect(self) -> None:
        if self.gone or not self._hears:
            return
        if not self.checking:
            self._cancel_timer()
        self._become(ConnectionState.CONNECTED)
        if not self.open:
            delay = self._dice.uniform(0.0, 0.02)
            self._loop.call_later(delay, self._open, context=self.context)

    def _open(self) -> None:
        if self.gone or self.open or self.association is None:
            return
        self.open = True
        self.reports.opened()
        self.association.resume()

    def _disconnect(self) -> None:
        self._timer = None
        if not self._hears:
            self._set_timer(_FAILED_AFTER - _DISCONNECTED_AFTER, self._give_up)
            self._become(ConnectionState.DISCONNECTED)

    def _give_up(self) -> None:
        self._timer = None
        self.checking = False
        if not self._hears:
            self._become(ConnectionState.FAILED)

    def _become(self, state: ConnectionState) -> None:
        if state is not self.state and not self.gone:
            self.state = state
            self.reports.state(state)

    def _set_timer(self, delay: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        delay += self._dice.uniform(0.0, 0.3)
        self._timer = self._loop.call_later(delay, call, context=self.context)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Association:
    """What lies between two agents that trust each other: a route, and frames both ways."""

    def __init__(self, network: SimulatedNetwork, a: Agent, b: Agent) -> None:
        """Lie between ``a`` and ``b``; ``establish`` opens it."""
        self._network = network
        self._ends = (a, b)
        self._hosts = (a.host, b.host)
        self._flows = (self._flow(a, b), self._flow(b, a))
        self._route = 0
        self._alive = False
        """Whether packets passed when we looked last."""
        self._dead = False
        """Whether both ends have failed: nobody tries any more."""
        self._dice = network.dice("association")
        self._loop = asyncio.get_running_loop()
        self._unwatch = network.watch(self.check)

    def _flow(self, source: Agent, target: Agent) -> Flow:
        return Flow(
            self._network,
            FlowEnds(
                source=source.host,
                target=target.host,
                takes=lambda: self.hears(source),
                lands=lambda: self._alive and target.open,
                deliver=target.reports.frame,
                low=source.reports.low,
                low_water_bytes=source.low_water_bytes,
                sender=source.context,
                receiver=target.context,
            ),
        )

    def outgoing(self, agent: Agent) -> Flow:
        """Return the flow an agent sends into."""
        return self._flows[self._ends.index(agent)]

    def incoming(self, agent: Agent) -> Flow:
        """Return the flow an agent receives from."""
        return self._flows[1 - self._ends.index(agent)]

    def other(self, agent: Agent) -> Agent:
        """Return the other end."""
        return self._ends[1 - self._ends.index(agent)]

    def hears(self, agent: Agent) -> bool:
        """Return whether an agent gets packets of the other end."""
        return self._alive and not self.other(agent).gone

    def establish(self) -> None:
        """Take the route that packets take now."""
        self._route = self._network.route(*self._hosts)
        self._dead = self._alive = False
        self.check()

    def check(self) -> None:
        """See whether packets pass, and let both ends know."""
        self._dead = self._dead or all(end.state is ConnectionState.FAILED for end in self._ends)
        alive = (
            not self._dead
            and self._network.reaches(*self._hosts)
            and self._network.route(*self._hosts) == self._route
        )
        before, self._alive = self._alive, alive
        if alive and not before:
            for end in self._ends:
                end.recover()
            # SCTP has backed off; it tries again when its timer says so (measured).
            self.resume(self._dice.uniform(0.1, 1.3))
        elif before and not alive:
            for end, flow in zip(self._ends, self._flows, strict=True):
                end.miss()
                if end.gone:
                    flow.vanish()

    def tear(self) -> None:
        """Fail for good, at both ends and now; what is under way is lost."""
        self._dead, self._alive = True, False
        for end, flow in zip(self._ends, self._flows, strict=True):
            flow.vanish()
            self._loop.call_soon(end.distrust, context=end.context)

    def resume(self, delay: float = 0.0) -> None:
        """Let frames flow on."""
        for flow in self._flows:
            flow.resume(delay)

    def leave(self, agent: Agent, *, tell: bool) -> None:
        """Do without an end."""
        self.incoming(agent).lose()
        if tell and self.hears(agent):
            self.outgoing(agent).finish()
        else:
            self.outgoing(agent).vanish()
        other = self.other(agent)
        other.miss()
        if other.gone:
            self._unwatch()
