"""What gathers, and when it goes if nobody comes for it."""

import asyncio

from thkmesh.core.sending import BATCH_BYTES
from thkmesh.gathering import LOOK, Gathering

SMALL = ("x", 1, b"small")


class Gatherer:
    """A gathering on the running loop, and what was taken out of it."""

    def __init__(self) -> None:
        """Begin empty."""
        self._taken: asyncio.Queue[int] = asyncio.Queue()
        self.gathering = Gathering(asyncio.get_running_loop(), self.release)

    def release(self) -> None:
        """Take what is here."""
        self._taken.put_nowait(len(self.gathering.take()))

    async def taken(self) -> int:
        """Return how many were taken by who looks."""
        async with asyncio.timeout(10):
            return await self._taken.get()


async def test_only_bursts_gather() -> None:
    """What comes alone need not wait; what fills a datagram does not."""
    gathering = Gatherer().gathering
    assert not gathering.takes(b"alone")
    gathering.sent()
    assert gathering.takes(b"behind it")
    assert not gathering.takes(bytes(BATCH_BYTES))
    await asyncio.sleep(0.01)
    assert not gathering.takes(b"too late")
    gathering.add(SMALL)
    await asyncio.sleep(0)
    assert gathering.takes(b"not alone")
    gathering.add(("x", 1, bytes(BATCH_BYTES - 1)))
    assert gathering.full
    while gathering.takes(bytes(1000)):
        gathering.add(("x", 1, bytes(1000)))
    sizes = [len(payload) for _, _, payload in gathering.take()]
    assert 4 * BATCH_BYTES - 1000 < sum(sizes) < 4 * BATCH_BYTES + 1000
    assert not gathering.full


async def test_a_burst_grows_until_a_turn_adds_nothing() -> None:
    """Then it is over."""
    gathering = Gatherer().gathering
    gathering.add(SMALL)
    assert gathering.grows()
    gathering.add(SMALL)
    assert gathering.grows()
    assert not gathering.grows()


async def test_the_loop_looks_again_after_it_has_ceased() -> None:
    """Each message is found, however long nothing came."""
    gatherer = Gatherer()
    for _ in range(3):
        gatherer.gathering.add(SMALL)
        assert await gatherer.taken() == 1
        await asyncio.sleep(20 * LOOK)


async def test_an_idle_loop_does_not_look() -> None:
    """Nothing is to be found."""
    gatherer = Gatherer()
    gatherer.gathering.add(SMALL)
    assert await gatherer.taken() == 1
    await asyncio.sleep(30 * LOOK)
    gatherer.gathering.take()
    handles = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
    assert not [each for each in handles if "_look" in repr(each) and not each.cancelled()]
