"""Two peers on two hosts of the lab, and what is expected of them."""

import asyncio
import secrets
from collections.abc import Callable
from random import Random

from tests.faults.lab import Host, Lab
from tests.faults.peer import message
from tests.rooms.figures import report
from tests.rooms.processes import PeerProcess, Server
from thkmesh.engines import DEFAULT
from thkmesh.keys import Identity

__all__ = ["Pair", "dice"]

JOIN_TIMEOUT = 60.0
"""Seconds; on the worst wires a handshake of TCP alone takes some."""


def dice() -> str:
    """Return a seed of a test's dice, which is told."""
    seed = secrets.token_hex(4)
    report(f"seed {seed}")
    return seed


class Pair:
    """Two peers; ``lower`` is the one that makes the first offer."""

    def __init__(self, server: Server, lower: PeerProcess, higher: PeerProcess) -> None:
        """Take two processes; use ``started``."""
        self.lower = lower
        self.higher = higher
        self._server = server

    @classmethod
    async def started(cls, lab: Lab, server: Server, lower: Host, higher: Host) -> "Pair":
        """Start both processes."""
        return cls(
            server, *await asyncio.gather(lab.peer(lower, "lower"), lab.peer(higher, "higher"))
        )

    @property
    def ends(self) -> tuple[PeerProcess, PeerProcess]:
        """Both."""
        return (self.lower, self.higher)

    @property
    def ways(self) -> tuple[tuple[PeerProcess, PeerProcess], tuple[PeerProcess, PeerProcess]]:
        """Who sends to whom."""
        return ((self.lower, self.higher), (self.higher, self.lower))

    def join(self, chance: Random, engines: tuple[str, str] = (DEFAULT, DEFAULT)) -> None:
        """Have both join a room of their own, with identities by chance and these engines."""
        room = f"{chance.randbytes(8).hex()}"
        seeds = sorted(
            (chance.randbytes(32) for _ in range(2)), key=lambda seed: Identity.from_seed(seed).id
        )
        for peer, seed, engine in zip(self.ends, seeds, engines, strict=True):
            settings = {"identity": seed.hex(), "timeout": JOIN_TIMEOUT, "engine": engine}
            peer.join(self._server.url, room, **settings)

    async def until(
        self, holds: Callable[[PeerProcess], bool], patience: float = JOIN_TIMEOUT
    ) -> None:
        """Wait until something is true of both."""
        for peer in self.ends:
            await peer.until(lambda: holds(peer), patience)  # noqa: B023 - not kept

    async def joined(self) -> None:
        """Wait until the server has welcomed both."""
        await self.until(lambda peer: bool(peer.id))

    async def linked(self, patience: float = JOIN_TIMEOUT) -> float:
        """Wait for the link; return when the later of both had it (CLOCK_MONOTONIC)."""
        await self.until(lambda peer: bool(peer.linked()), patience)
        return max(float(peer.of("LinkChanged", state="connected")[0]["at"]) for peer in self.ends)

    async def met(self, chance: Random, patience: float = JOIN_TIMEOUT) -> None:
        """Join, and wait for the link."""
        self.join(chance)
        await self.joined()
        await self.linked(patience)

    async def part(self) -> None:
        """Have both leave, and forget what was."""
        await asyncio.gather(*(peer.leave() for peer in self.ends))
        for peer in self.ends:
            peer.forget()

    # --- messages ---------------------------------------------------------------------

    async def recite(self, count: int, large_bytes: int, patience: float) -> None:
        """Have both send, and see that all arrives, once and in order."""
        for peer in self.ends:
            peer.tell("recite", count=count, large_bytes=large_bytes)
        expected = [message(number, large_bytes) for number in range(count)]
        for sender, receiver in self.ways:
            await receiver.until(lambda: self._heard(sender, receiver, count), patience)  # noqa: B023
            assert receiver.heard(sender, direct=False) == expected
        self.require_nothing_lost()

    @staticmethod
    def _heard(sender: PeerProcess, receiver: PeerProcess, count: int) -> bool:
        return len(receiver.heard(sender, direct=False)) >= count

    def talk(self) -> None:
        """Have both count aloud until ``hush``."""
        for peer in self.ends:
            peer.tell("talk")

    async def hush(self, patience: float = JOIN_TIMEOUT) -> None:
        """Have both end, and see that all that was said arrived, once and in order."""
        for peer in self.ends:
            peer.tell("hush")
        await self.until(lambda peer: bool(peer.of("Hushed")))
        for sender, receiver in self.ways:
            said = sender.of("Hushed")[0]["said"]
            await receiver.until(lambda: self._heard(sender, receiver, said), patience)  # noqa: B023
            assert receiver.heard(sender, direct=False) == list(range(said))
        self.require_nothing_lost()

    async def heard_since(self, moment: float, patience: float) -> float:
        """Wait until both have heard something after a moment; return how long the later took."""
        await self.until(lambda peer: max(peer.heard_at, default=0.0) >= moment, patience)
        return max(next(at for at in peer.heard_at if at >= moment) - moment for peer in self.ends)

    def require_nothing_lost(self) -> None:
        """See that nobody was told of a loss, and nobody has gone."""
        for peer in self.ends:
            for event in ("Lost", "Undelivered", "PeerLagging", "PeerLeft", "Refused"):
                assert not peer.of(event), peer.of(event)
