"""What every machine of the core has in common.

A machine has one method and one property. It never sleeps, reads a clock, rolls
dice, logs, or raises for what a peer did. Everything a peer can do is an input,
everything we want done is an output, time is an argument: seconds of a clock
that never goes back. ``handle`` first settles everything that ``now`` has made
due, then the event; a ``Tick`` is only a wake-up.

``Slept`` tells a machine that nobody listened for a while (the computer slept,
the process was stopped, C code held the interpreter): it moves every deadline
by which others are judged, because their silence was ours.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["CATCH_UP", "Ignored", "Machine", "Slept", "Tick"]

CATCH_UP = 0.1
"""Seconds after sleep in which waiting input comes in before anybody is judged."""

_Event = TypeVar("_Event", contravariant=True)
_Output = TypeVar("_Output")


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline has passed; nothing else happened."""


@dataclass(frozen=True, slots=True)
class Slept:
    """We were not running for ``duration`` seconds."""

    duration: float


@dataclass(frozen=True, slots=True)
class Ignored:
    """An output: something that arrived was without effect.

    ``violation`` tells what no correct peer does from what delays and
    collisions explain; ``reason`` is for counters and the log.
    """

    reason: str
    violation: bool = False


class Machine(Protocol[_Event, _Output]):
    """The contract of the core."""

    def handle(self, event: _Event | Tick | Slept, now: float) -> "list[_Output]":
        """Settle what is due at ``now``, then ``event``; return what to do."""
        ...

    @property
    def deadline(self) -> float | None:
        """When to tick at the latest; None when there is nothing to wait for."""
