"""Hypothesis looks for a history of a simulated room in which the promise does not hold.

It plays a room's members, its network and its server: they join, leave, crash, speak and
whisper, part, heal, sleep and restart, in any order. All the time what each has heard is
in order and of who is there; in the end all see all, and each has either heard what it
was owed or been told how much of it is lost.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.testing.storm import Member, Storm
from thkmesh import Room
from thkmesh.testing import SERVER, Step

HOSTS = st.integers(0, 2)
SLEEPS = st.sampled_from((0.5, 3.0, 9.0, 25.0))


class RoomStory(RuleBasedStateMachine):
    """One room, told step by step."""

    def __init__(self) -> None:
        """Begin before the world does."""
        super().__init__()
        self.ends = ExitStack()
        self.storm: Storm
        self.step: Step

    @initialize(seed=st.integers(0, 2**16), scrambled=st.booleans())
    def begin(self, seed: int, scrambled: bool) -> None:
        """Make the world, and let two of three join."""
        self.storm = Storm(seed, hosts=3)
        self.world = self.storm.world
        self.storm.scrambler.active = scrambled
        self.world.server.tamper = self.storm.scrambler
        self.step = self.ends.enter_context(self.world.steps(limit=100_000.0))
        for member in self.storm.members[:2]:
            self.step(self.storm.join(member))

    def later(self, member: Member, work: Coroutine[Any, Any, None]) -> None:
        """Begin something in a member's process, and see nothing of it yet."""

        async def begin() -> None:
            self.world.spawn(member.host, work)

        self.step(begin())

    def present(self, number: int) -> tuple[Member, Room | None]:
        """Return a member, and its room if it is in it."""
        member = self.storm.members[number]
        room = member.room
        return member, None if room is None or room.closed else room

    # --- members ---

    @rule(number=HOSTS)
    def join(self, number: int) -> None:
        """A member that is not in the room tries to join."""
        member, room = self.present(number)
        if room is None:
            self.step(self.storm.join(member))

    @rule(number=HOSTS)
    def leave(self, number: int) -> None:
        """A member leaves, with a goodbye."""
        member, room = self.present(number)
        if room is not None:
            member.room = None
            self.later(member, room.leave(patience=3.0))

    @rule(number=HOSTS)
    def crash(self, number: int) -> None:
        """A member's process is killed."""
        member, _ = self.present(number)
        member.room = None
        self.world.kill(member.host)

    @rule(number=HOSTS, count=st.sampled_from((1, 1, 5)))
    def speak(self, number: int, count: int) -> None:
        """A member says something to all."""
        member, room = self.present(number)
        if room is not None:
            for _ in range(count):
                member.sent += 1
                self.later(member, self.storm.say(member, room, member.sent))

    @rule(number=HOSTS, other=HOSTS, count=st.sampled_from((1, 1, 5)))
    def whisper(self, number: int, other: int, count: int) -> None:
        """A member says something to one other."""
        member, room = self.present(number)
        _, theirs = self.present(other)
        if room is not None and theirs is not None and theirs.me in room.peers:
            for _ in range(count):
                self.later(member, self.storm.whisper(member, room, theirs.me))

    # --- trouble ---

    @rule(number=HOSTS, other=HOSTS)
    def partition(self, number: int, other: int) -> None:
        """The network parts: two hosts, or one from the server."""
        there = SERVER if number == other else f"h{other}"
        self.world.partition(f"h{number}", there)

    @rule(number=HOSTS)
    def isolate(self, number: int) -> None:
        """A host is without network."""
        self.world.partition(f"h{number}")

    @rule(number=HOSTS)
    def absence(self, number: int) -> None:
        """A host is without network for so long that the others give it up."""
        self.world.partition(f"h{number}")
        self.step(asyncio.sleep(120.0))
        self.world.heal(f"h{number}")

    @rule()
    def heal(self) -> None:
        """All is well with the network."""
        self.world.heal()

    @rule(number=HOSTS, step=st.integers(1, 2), silently=st.booleans())
    def kill_path(self, number: int, step: int, silently: bool) -> None:
        """The connections between two hosts end."""
        self.world.kill_path(f"h{number}", f"h{(number + step) % 3}", silently=silently)

    @rule(number=HOSTS, duration=SLEEPS, whole=st.booleans())
    def sleep(self, number: int, duration: float, whole: bool) -> None:
        """A process, or its whole host, stands still."""
        (self.world.suspend if whole else self.world.stall)(f"h{number}", duration)
        self.storm.awake_at = max(self.storm.awake_at, self.world.time + duration)

    @rule(number=HOSTS)
    def disconnect(self, number: int) -> None:
        """A WebSocket breaks."""
        self.world.server.disconnect(f"h{number}")

    @precondition(lambda self: self.world.server.service is not None)
    @rule(downtime=SLEEPS)
    def restart_server(self, downtime: float) -> None:
        """The server is killed, and another begins."""
        self.world.restart_server(downtime)
        self.storm.awake_at = max(self.storm.awake_at, self.world.time + downtime)

    @rule(duration=st.sampled_from((0.01, 0.1, 1.0, 7.0, 40.0)))
    def wait(self, duration: float) -> None:
        """Time passes."""
        self.step(asyncio.sleep(duration))

    # --- the promise ---

    @invariant()
    def nothing_is_wrong(self) -> None:
        """What was heard is in order, once, and of who is there; no engine is misused."""
        for member in self.storm.members:
            assert member.faults == [], f"{member.host}: {member.faults}"
        assert self.world.illegal == []

    def teardown(self) -> None:
        """All trouble ends: then everybody sees everybody, and has heard or been told."""
        if not hasattr(self, "step"):
            return
        with self.ends:
            self.step(self.conclude())

    async def conclude(self) -> None:
        """Come to rest, say a last word, and compare."""
        storm = self.storm
        storm.scrambler.active = False
        self.world.heal()
        await asyncio.sleep(max(0.0, storm.awake_at - self.world.time))
        await storm.calm()
        await storm.talk()
        for number in range(3):
            member, room = self.present(number)
            if room is not None:
                for peer in room.peers:
                    self.world.spawn(member.host, storm.whisper(member, room, peer))
        await asyncio.sleep(5.0)
        storm.check()
        for number in range(3):
            _, room = self.present(number)
            if room is not None:
                await room.leave(patience=1.0)


def test_a_room_keeps_its_promise() -> None:
    """M6: the laws hold for what a hundred examples do to a room, the same ones each time."""
    hundred = settings(max_examples=100, stateful_step_count=25, derandomize=True)
    run_state_machine_as_test(RoomStory, settings=hundred)


@pytest.mark.nightly
def test_a_room_keeps_its_promise_whatever_happens() -> None:
    """M6, nightly: the same for five thousand examples, each of more steps."""
    run_state_machine_as_test(
        RoomStory, settings=settings(max_examples=5_000, stateful_step_count=50)
    )
