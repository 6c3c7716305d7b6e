"""A simulated world for engines alone: two or more hosts, one seed, virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.engines.world import Lab, MakeEngine, lab
from thkmesh.engines.simulated import Behaviour, SimulatedEngine
from thkmesh.engines.simulated_network import Conditions, SimulatedNetwork
from thkmesh.testing.clock import VirtualLoop, process


@dataclass
class Weather:
    """A lab whose engines are on the hosts ``h1``, ``h2`` ... of one network."""

    lab: Lab
    network: SimulatedNetwork
    loop: VirtualLoop
    engines: list[SimulatedEngine] = field(default_factory=list)

    async def at(self, time: float) -> None:
        """Wait until a time."""
        await asyncio.sleep(time - self.loop.time())

    async def outage(self, duration: float) -> None:
        """Cut the path of the first pair for a while."""
        self.network.partition("h1", "h2")
        await asyncio.sleep(duration)
        self.network.heal("h1", "h2")


Scenario: TypeAlias = Callable[[Weather], Coroutine[Any, Any, None]]


def simulate(
    scenario: Scenario,
    *,
    seed: int = 0,
    conditions: Conditions | None = None,
    behaviour: Behaviour | None = None,
) -> list[str]:
    """Run a scenario on virtual time; return the trace."""
    trace: list[str] = []
    loop = VirtualLoop()

    async def main() -> None:
        network = SimulatedNetwork(
            seed, conditions, trace=lambda what: trace.append(f"{loop.time()!r} {what}")
        )
        engines: list[SimulatedEngine] = []

        def make() -> SimulatedEngine:
            host = f"h{len(engines) + 1}"
            engine = SimulatedEngine(network, host, behaviour=behaviour, context=process(host))
            engines.append(engine)
            return engine

        async with lab(make, patience=3000.0) as found:
            await scenario(Weather(found, network, loop, engines))

    loop.run(main(), limit=1e6)
    return trace


def keep_the_law(
    scenario: Callable[[MakeEngine], Coroutine[Any, Any, None]], *, seed: int, behaviour: Behaviour
) -> None:
    """Run a scenario of the conformance suite."""

    async def main() -> None:
        network = SimulatedNetwork(seed)
        await scenario(
            lambda: SimulatedEngine(network, f"h{network.number('host')}", behaviour=behaviour)
        )

    VirtualLoop().run(main())
