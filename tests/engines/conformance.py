"""The laws every engine keeps, whatever is inside it.

A law is a scenario: a coroutine function that takes a ``Lab``. Every public one
of the modules ``laws_*`` is a law. A harness says how one engine runs a scenario
(on which loop, on whose time); see ``test_conformance.py``, where adding an
engine takes one line.
"""

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.engines import laws_close, laws_frames, laws_negotiation
from tests.engines.world import MakeEngine, Scenario, lab

LAWS: list[Scenario] = [
    function
    for module in (laws_negotiation, laws_frames, laws_close)
    for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
]

Run: TypeAlias = Callable[[Callable[[MakeEngine], Coroutine[Any, Any, None]]], None]


@dataclass(frozen=True)
class Harness:
    """An engine under test.

    Attributes:
        name: what the engine calls itself.
        run: makes a loop, calls its argument with a factory of engines that can
            reach each other, and runs the coroutine it gets to the end.
    """

    name: str
    run: Run

    def check(self, law: Scenario) -> None:
        """Raise ``AssertionError`` if the engine breaks a law."""

        async def scenario(make_engine: MakeEngine) -> None:
            async with lab(make_engine) as found:
                await law(found)

        self.run(scenario)
