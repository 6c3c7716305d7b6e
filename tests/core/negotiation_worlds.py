"""The worlds that two negotiators are explored in: what may happen, and how often."""

from dataclasses import dataclass
from enum import Enum

from tests.core.negotiation_model import Engine, Side
from thkmesh.core.negotiation import Begin, Negotiator


class Slip(Enum):
    """What signaling without sequencing does, once, at any time, to any signal."""

    LOSE = "lose"
    DOUBLE = "double"
    DOUBLE_ANSWER = "double an answer"
    REORDER = "reorder"


class Fence(Enum):
    """What becomes of signals of a former life when the higher side restarts."""

    SIDS = "dropped"
    NONE = "delivered"


@dataclass(frozen=True)
class World:
    """What may happen, and how often on each side."""

    changes: int = 0
    ice_restarts: int = 0
    replaces: int = 0
    failures: int = 0
    hangs: int = 0
    candidates: int = 0
    both_begin: bool = False
    can_rollback: bool = True
    can_restart_ice: bool = True
    forgets: bool = False  # the engines have libwebrtc's bug
    slip: Slip | None = None
    reboot: Fence | None = None  # the higher restarts once
    strict: bool = True  # a violation is a fault
    lower: type[Negotiator] = Negotiator
    higher: type[Negotiator] = Negotiator
    polite: tuple[bool, bool] = (True, False)

    def sides(self) -> tuple[Side, Side]:
        """Return the two sides before anything has happened."""
        common = Side(
            name="",
            negotiator=(),
            changes=self.changes,
            ice_restarts=self.ice_restarts,
            replaces=self.replaces,
            failures=self.failures,
            hangs=self.hangs,
            candidates=self.candidates,
            strict=self.strict,
            engine=Engine(forgets=self.forgets),
        )
        lower, higher = (
            kind(
                polite=polite,
                can_rollback=self.can_rollback,
                can_restart_ice=self.can_restart_ice,
            ).snapshot()
            for kind, polite in zip((self.lower, self.higher), self.polite, strict=True)
        )
        force = Begin(force=True) if self.both_begin else None
        return (
            common._replace(name="a", negotiator=lower, begin=Begin()),
            common._replace(
                name="b", negotiator=higher, begin=force, reboots=int(self.reboot is not None)
            ),
        )


WORLDS = {
    "1 change": World(changes=1),
    "2 changes": World(changes=2),
    "3 changes": World(changes=3),
    "4 changes": World(changes=4),
    "4 changes, both begin": World(changes=4, both_begin=True),
    "4 changes, no rollback": World(changes=4, can_rollback=False),
    "2 changes, 2 candidates": World(changes=2, candidates=2),
    "2 changes, 1 candidate, both begin": World(changes=2, candidates=1, both_begin=True),
    "2 changes, 1 candidate, no rollback": World(changes=2, candidates=1, can_rollback=False),
    "1 change, 1 ICE restart, 1 candidate": World(changes=1, ice_restarts=1, candidates=1),
    "1 change, 1 replacement, 1 candidate": World(changes=1, replaces=1, candidates=1),
    "1 change, 1 ICE restart, 1 replacement": World(changes=1, ice_restarts=1, replaces=1),
    "1 ICE restart, 1 replacement, 1 candidate": World(ice_restarts=1, replaces=1, candidates=1),
    "1 ICE restart, 1 replacement, both begin": World(ice_restarts=1, replaces=1, both_begin=True),
    "1 ICE restart, 2 candidates, no rollback": World(
        ice_restarts=1, candidates=2, can_rollback=False
    ),
    "1 change, 1 ICE restart, which replaces": World(
        changes=1, ice_restarts=1, can_restart_ice=False
    ),
    "1 change, 1 failure, 1 candidate": World(changes=1, failures=1, candidates=1),
    "1 change, 1 hang, 1 candidate": World(changes=1, hangs=1, candidates=1),
    "1 change, 1 hang, both begin": World(changes=1, hangs=1, both_begin=True),
    "1 replacement, 1 failure, 1 hang": World(replaces=1, failures=1, hangs=1),
    "1 change, 1 candidate, the higher restarts": World(changes=1, candidates=1, reboot=Fence.SIDS),
    "2 changes, an answer is doubled": World(changes=2, slip=Slip.DOUBLE_ANSWER),
}
"""What is explored in every run of the tests; the numbers are for each side."""
