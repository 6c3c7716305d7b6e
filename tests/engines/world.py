"""Two ends of a connection that a test can watch and wait for.

Nothing here sleeps or looks at a clock: an end records its events, and whoever
waits is woken by the next one. So the same scenario runs on real time and on a
virtual loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

from thkmesh.core.engine import (
    CHANNELS,
    AddCandidate,
    ApplyRemote,
    CandidateFound,
    ChannelClosed,
    ChannelOpened,
    ConnectionConfig,
    ConnectionState,
    Description,
    Engine,
    EngineEvent,
    FrameReceived,
    MakeAnswer,
    MakeOffer,
    Operation,
    OperationDone,
    OperationFailed,
    StateChanged,
)

MakeEngine: TypeAlias = Callable[[], Engine]
Result: TypeAlias = OperationDone | OperationFailed
_T = TypeVar("_T")


class End:
    """One connection and all it has reported."""

    def __init__(
        self,
        engine: Engine,
        config: ConnectionConfig | None = None,
        react: Callable[["End", EngineEvent], None] | None = None,
    ) -> None:
        """Open a connection; ``react`` sees each event as it comes."""
        self.engine = engine
        self.events: list[EngineEvent] = []
        self.begun: list[Operation] = []
        self._react = react
        self._news = asyncio.Event()
        self._calling = False
        self._turn = asyncio.Lock()
        self.made = 0
        """How many descriptions it has made."""
        self.delivered = 0
        """Which of them its counterpart applied last."""
        self.withdrawn: set[int] = set()
        """Which of them will never be applied."""
        self.candidates: list[tuple[int, CandidateFound]] = []
        """What it found, with the description each belongs to."""
        self._calling = True
        self.connection = engine.open(config or ConnectionConfig(), self._record)
        self._calling = False

    def _record(self, event: EngineEvent) -> None:
        assert not self._calling, f"{event} from within a call into the connection"
        self.events.append(event)
        if isinstance(event, OperationDone) and event.description is not None:
            self.made += 1
        if isinstance(event, CandidateFound):
            self.candidates.append((self.made, event))
        self._news.set()
        if self._react is not None:
            self._react(self, event)

    # --- calls ---

    def send(self, channel: int, data: bytes) -> bool:
        """Send, and see that nothing is emitted meanwhile."""
        return self._call(lambda: self.connection.send(channel, data))

    def reconfigure(self, config: ConnectionConfig) -> None:
        """Use other ICE servers, and see that nothing is emitted meanwhile."""
        self._call(lambda: self.connection.reconfigure(config))

    def begin(self, operation: Operation) -> None:
        """Begin an operation, and see that nothing is emitted meanwhile."""
        self.begun.append(operation)
        self._call(lambda: self.connection.perform(operation))

    def _call(self, call: Callable[[], _T]) -> _T:
        self._calling = True
        try:
            return call()
        finally:
            self._calling = False

    async def perform(self, operation: Operation) -> Result:
        """Perform an operation once those before it are done; return its result."""
        async with self._turn:
            await self.settled()
            count = len(self.results)
            self.begin(operation)
            await self.until(lambda: len(self.results) > count)
            result = self.results[count]
            assert result.operation == operation
            return result

    async def do(self, operation: Operation) -> Description | None:
        """Perform an operation that must succeed."""
        result = await self.perform(operation)
        assert isinstance(result, OperationDone), result
        return result.description

    async def describe(self, operation: MakeOffer | MakeAnswer) -> Description:
        """Perform an operation that must make a description."""
        description = await self.do(operation)
        assert description is not None
        return description

    async def refuses(self, *operations: Operation) -> None:
        """Perform operations that must fail."""
        for operation in operations:
            result = await self.perform(operation)
            assert isinstance(result, OperationFailed), result
            assert result.reason
            assert "\n" not in result.reason

    # --- what it reported ---

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the event that makes ``holds`` true."""
        while not holds():
            self._news.clear()
            await self._news.wait()

    async def settled(self) -> None:
        """Wait until nothing it was asked for is without a result."""
        await self.until(lambda: len(self.results) == len(self.begun))

    async def opened(self) -> None:
        """Wait until all channels are open."""
        await self.until(lambda: len(self.of(ChannelOpened)) == len(CHANNELS))

    async def closed(self) -> None:
        """Wait until all channels are closed."""
        await self.until(lambda: len(self.of(ChannelClosed)) == len(CHANNELS))

    async def received(self, channel: int, count: int) -> list[bytes]:
        """Wait for ``count`` frames on a channel; return all it had so far."""
        await self.until(lambda: len(self.frames(channel)) >= count)
        return self.frames(channel)

    def of(self, kind: type[_T]) -> list[_T]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def frames(self, channel: int) -> list[bytes]:
        """Return the frames of one channel."""
        return [frame.data for frame in self.of(FrameReceived) if frame.channel == channel]

    @property
    def results(self) -> list[Result]:
        """The results of all operations so far."""
        return [
            event for event in self.events if isinstance(event, OperationDone | OperationFailed)
        ]

    @property
    def state(self) -> ConnectionState:
        """The state it was in last."""
        changes = self.of(StateChanged)
        return changes[-1].state if changes else ConnectionState.NEW


class Pair:
    """Two ends, and the signaling between them: ordered, reliable, and without delay."""

    def __init__(self, a: End, b: End) -> None:
        """Carry candidates from now on; ``stop`` ends it."""
        self.a = a
        self.b = b
        self._trickles = [
            asyncio.create_task(trickle) for trickle in (_trickle(a, b), _trickle(b, a))
        ]

    async def stop(self) -> None:
        """Carry no more candidates; tell if one was refused."""
        for trickle in self._trickles:
            trickle.cancel()
        await asyncio.wait(self._trickles)
        for trickle in self._trickles:
            if not trickle.cancelled():
                trickle.result()

    async def connect(self) -> None:
        """Negotiate, a offering, and wait until every channel is open."""
        await self.negotiate(self.a, self.b)
        await self.a.opened()
        await self.b.opened()

    async def negotiate(self, offerer: End, answerer: End, *, ice_restart: bool = False) -> None:
        """Make one round of offer and answer, which must succeed."""
        await self.apply(answerer, await offerer.describe(MakeOffer(ice_restart)))
        await self.apply(offerer, await answerer.describe(MakeAnswer()))

    async def apply(self, target: End, description: Description) -> None:
        """Hand the latest description of one end to the other, which must take it."""
        source = self.a if target is self.b else self.b
        made = source.made
        await target.do(ApplyRemote(description))
        source.delivered = made
        source._news.set()  # noqa: SLF001 - its candidates may go now

    async def exchange(self, text: bytes = b"still there?") -> None:
        """See that one frame gets through each way on the reliable channels."""
        for source, target in ((self.a, self.b), (self.b, self.a)):
            for channel in (0, 1):
                count = len(target.frames(channel))
                assert source.send(channel, text)
                frames = await target.received(channel, count + 1)
                assert frames[count:] == [text]


async def _trickle(source: End, target: End) -> None:
    """Add each candidate of one end to the other, after the description it belongs to."""
    for index in range(1_000_000):
        await source.until(lambda: len(source.candidates) > index)  # noqa: B023 - not kept
        made, found = source.candidates[index]
        await source.until(lambda: source.delivered >= made or made in source.withdrawn)  # noqa: B023
        if made in source.withdrawn:
            continue
        result = await target.perform(AddCandidate(found.candidate))
        # A late one, of a generation that is over, may be refused.
        assert isinstance(result, OperationDone) or made < source.delivered, result


class Lab:
    """Makes ends and pairs, and clears up."""

    def __init__(self, make_engine: MakeEngine) -> None:
        """Take what makes an engine on the running loop."""
        self._make_engine = make_engine
        self.engines: list[Engine] = []
        self.ends: list[End] = []
        self.pairs: list[Pair] = []

    def engine(self) -> Engine:
        """Make an engine."""
        engine = self._make_engine()
        self.engines.append(engine)
        return engine

    def end(
        self,
        config: ConnectionConfig | None = None,
        react: Callable[[End, EngineEvent], None] | None = None,
    ) -> End:
        """Open a connection of an engine of its own."""
        end = End(self.engine(), config, react)
        self.ends.append(end)
        return end

    def join(self, a: End, b: End) -> Pair:
        """Put signaling between two ends."""
        pair = Pair(a, b)
        self.ends += [end for end in (a, b) if end not in self.ends]
        self.pairs.append(pair)
        return pair

    def pair(
        self,
        config: ConnectionConfig | None = None,
        react: Callable[[End, EngineEvent], None] | None = None,
    ) -> Pair:
        """Open two connections with signaling between them."""
        return self.join(self.end(config, react), self.end(config, react))

    async def connected(self, config: ConnectionConfig | None = None) -> Pair:
        """Return a connected pair."""
        pair = self.pair(config)
        await pair.connect()
        return pair

    async def close(self) -> None:
        """Close all engines; nothing they started may be left."""
        for pair in self.pairs:
            await pair.stop()
        for engine in self.engines:
            await engine.close()


Scenario: TypeAlias = Callable[[Lab], Coroutine[Any, Any, None]]


@asynccontextmanager
async def lab(make_engine: MakeEngine, *, patience: float = 30.0) -> AsyncIterator[Lab]:
    """Give a scenario a lab; on a time-out, tell what each end saw last."""
    before = asyncio.all_tasks()
    surprises: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))
    found = Lab(make_engine)
    try:
        async with asyncio.timeout(patience):
            yield found
    except TimeoutError:
        seen = [[f"{event!r:.100}" for event in end.events[-12:]] for end in found.ends]
        raise AssertionError(f"waited {patience} s in vain; the last events: {seen}") from None
    finally:
        await found.close()
    left = asyncio.all_tasks() - before
    assert not left, f"tasks left behind: {left}"
    assert not surprises, f"the loop's exception handler was called: {surprises}"
