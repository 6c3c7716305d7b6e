"""Whole simulated rooms in small storms, whose sessions are recorded for the vectors."""

import asyncio
from dataclasses import replace

from tests.core.session_traces import Recorder, Trace
from tests.testing.storm import KINDS, Storm
from thkmesh.engines.simulated import Behaviour
from thkmesh.testing import World

__all__ = ["blow"]

GOOD = Behaviour()
BEHAVIOURS = {
    "good": GOOD,
    "no rollback": replace(GOOD, capabilities=replace(GOOD.capabilities, rollback=False)),
    "no restart": replace(GOOD, capabilities=replace(GOOD.capabilities, ice_restart=False)),
    "no trickle": replace(GOOD, capabilities=replace(GOOD.capabilities, trickle=False)),
    "bad": Behaviour(failing=0.05, slow=0.1, stuck=0.05),
}
"""Engines, by what the storms call them."""

TROUBLES = 7
QUIET = 8.0


class _Squall(Storm):
    """A storm too short for its laws to be checked; what happens in it is all that counts."""

    kinds = KINDS

    async def _blow(self) -> None:
        self.world.server.tamper = self.scrambler
        for member in self.members:
            await self.join(member)
        for _ in range(self.troubles):
            await asyncio.sleep(self.dice.uniform(0.0, 5.0))
            await self._trouble()
            await self.talk()
        await asyncio.sleep(QUIET)
        for member in self.members:
            if member.room is not None:
                await member.room.leave(patience=self.dice.choice((0.0, 1.0)))


def blow(kind: str, seed: int) -> list[Trace]:
    """Return the lives of the sessions of one storm, in the order in which they began."""
    recorder = Recorder()
    world = World(seed, delay=0.02, jitter=0.03, behaviour=BEHAVIOURS[kind], mind=recorder.mind)
    _Squall(seed, hosts=3, troubles=TROUBLES, world=world).blow()
    return recorder.traces
