"""What the simulated engine does beyond the laws that hold for every engine."""

import asyncio
import random
from dataclasses import replace

import pytest

from tests.engines.weather import Weather, simulate
from tests.engines.world import End, Pair
from thkmesh.core.engine import (
    BULK,
    CONTROL,
    REALTIME,
    ApplyRemote,
    CandidateFound,
    Capabilities,
    ChannelClosed,
    ChannelOpened,
    ConnectionConfig,
    ConnectionState,
    Description,
    EngineEvent,
    FrameReceived,
    IceServer,
    MakeAnswer,
    MakeOffer,
    OperationDone,
    RollBack,
    SdpType,
    StateChanged,
)
from thkmesh.engines.simulated import Behaviour, SimulatedEngine
from thkmesh.engines.simulated_network import Conditions

CONNECTED = ConnectionState.CONNECTED
DISCONNECTED = ConnectionState.DISCONNECTED
FAILED = ConnectionState.FAILED


def numbered(count: int) -> list[bytes]:
    """Return frames that can be told apart."""
    return [b"%d" % number for number in range(count)]


def states(end: End) -> list[ConnectionState]:
    """Return the states an end was in, one after the other."""
    return [event.state for event in end.of(StateChanged)]


async def settle(time: float = 60.0) -> None:
    """Let everything happen that is going to."""
    await asyncio.sleep(time)


# --- one seed, one history ----------------------------------------------------------


async def _busy(weather: Weather) -> None:
    pair = await weather.lab.connected()
    for number in range(200):
        for end in (pair.a, pair.b):
            for channel in (CONTROL, BULK, REALTIME):
                end.send(channel, bytes(number * 10))
        await asyncio.sleep(0.01)
        if number == 100:
            await weather.outage(7)
    await pair.negotiate(pair.b, pair.a, ice_restart=True)
    for end in (pair.a, pair.b):
        await end.received(BULK, 200)


def test_a_seed_tells_everything_that_happens() -> None:
    """Two runs of one seed are the same to the last bit; two seeds are not."""
    bad = Conditions(delay=0.05, jitter=0.03, loss=0.05)
    first, again, other = (simulate(_busy, seed=seed, conditions=bad) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) > 1000


# --- who is who -----------------------------------------------------------------------


@pytest.mark.parametrize("forged", [SdpType.OFFER, SdpType.ANSWER])
def test_a_forged_fingerprint_lets_nothing_through(forged: SdpType) -> None:
    """Whichever description was changed on its way, both ends fail and no channel opens."""

    async def scenario(weather: Weather) -> None:
        pair = weather.lab.pair()
        a, b = pair.a, pair.b
        other = weather.lab.end()
        fingerprint = _line(await other.describe(MakeOffer()), "a=fingerprint")

        def pass_on(description: Description) -> Description:
            if description.type is not forged:
                return description
            genuine = _line(description, "a=fingerprint")
            return replace(description, sdp=description.sdp.replace(genuine, fingerprint))

        await pair.apply(b, pass_on(await a.describe(MakeOffer())))
        await pair.apply(a, pass_on(await b.describe(MakeAnswer())))
        await settle()
        for end in (a, b):
            assert states(end) == [ConnectionState.CONNECTING, FAILED]
            assert not end.of(ChannelOpened)
            assert not end.send(CONTROL, b"secret")

    simulate(scenario)


def _line(description: Description, start: str) -> str:
    return next(line for line in description.sdp.splitlines() if line.startswith(start))


def test_without_candidates_nobody_meets() -> None:
    """Descriptions alone connect nobody; after fifteen seconds both ends give up."""

    async def scenario(weather: Weather) -> None:
        a, b = weather.lab.end(), weather.lab.end()
        await b.do(ApplyRemote(await a.describe(MakeOffer())))
        await a.do(ApplyRemote(await b.describe(MakeAnswer())))
        await settle(14)
        assert states(a) == states(b) == [ConnectionState.CONNECTING]
        await settle(2)
        assert states(a)[-1] is states(b)[-1] is FAILED

    simulate(scenario)


def test_a_peer_that_only_heard_half_is_not_met() -> None:
    """As long as the answer is missing, the side that answered waits in vain."""

    async def scenario(weather: Weather) -> None:
        pair = weather.lab.pair()
        await pair.apply(pair.b, await pair.a.describe(MakeOffer()))
        answer = await pair.b.describe(MakeAnswer())
        await settle(10)
        assert states(pair.a) == []
        assert states(pair.b) == [ConnectionState.CONNECTING]
        await pair.apply(pair.a, answer)
        await pair.a.opened()
        await pair.exchange()

    simulate(scenario)


# --- negotiation ------------------------------------------------------------------------


def test_an_answer_to_another_offer_is_refused_and_held_against_us() -> None:
    """An answer names its offer; a stale one changes nothing and is on record."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        a, b = pair.a, pair.b
        await b.do(ApplyRemote(await a.describe(MakeOffer())))
        stale = await b.describe(MakeAnswer())
        await a.do(RollBack())
        await a.describe(MakeOffer())
        await a.refuses(ApplyRemote(stale))
        assert len(weather.engines[0].illegal) == 1
        await a.do(RollBack())
        await a.refuses(MakeAnswer())
        assert len(weather.engines[0].illegal) == 2
        assert not weather.engines[1].illegal

    simulate(scenario)


def test_a_rollback_restores_the_ice_generation() -> None:
    """A withdrawn restart leaves the ufrag as it was, and the path in use."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        a = pair.a
        before = _line(await a.describe(MakeOffer()), "a=ice-ufrag")
        await a.do(RollBack())
        restarted = _line(await a.describe(MakeOffer(ice_restart=True)), "a=ice-ufrag")
        await a.do(RollBack())
        a.withdrawn |= {a.made, a.made - 1}
        after = _line(await a.describe(MakeOffer()), "a=ice-ufrag")
        assert before == after != restarted
        await a.do(RollBack())
        await pair.exchange()

    simulate(scenario)


def test_a_withdrawn_generation_gathers_no_more() -> None:
    """After the rollback of a restart no candidate of it is reported."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        await settle()
        a = pair.a
        found = len(a.candidates)
        await a.describe(MakeOffer(ice_restart=True))
        await a.do(RollBack())
        a.withdrawn.add(a.made)
        await settle()
        assert len(a.candidates) == found

    simulate(scenario, behaviour=Behaviour(operation=(0.001, 0.001), candidate=(0.1, 0.2)))


def test_a_first_offer_is_not_withdrawn() -> None:
    """Like libwebrtc, which does not survive it; links replace the connection."""

    async def scenario(weather: Weather) -> None:
        end = weather.lab.end()
        await end.describe(MakeOffer())
        await end.refuses(RollBack())

    simulate(scenario)


def test_without_trickle_descriptions_carry_the_candidates() -> None:
    """An engine that gathers first says so, reports none, and connects."""
    capabilities = replace(Behaviour().capabilities, trickle=False)

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        await pair.exchange()
        assert not pair.a.of(CandidateFound)

    simulate(scenario, behaviour=Behaviour(capabilities=capabilities))


def test_who_cannot_restart_refuses_a_restart_from_elsewhere() -> None:
    """An offer with new ICE credentials fails there, and the old path goes on."""
    bare = Capabilities(rollback=False, ice_restart=False, trickle=True, max_message_bytes=262_144)

    async def scenario(weather: Weather) -> None:
        simple = SimulatedEngine(weather.network, "h9", behaviour=Behaviour(capabilities=bare))
        pair = Pair(weather.lab.end(), End(simple))
        weather.lab.pairs.append(pair)
        await pair.connect()
        await pair.b.refuses(ApplyRemote(await pair.a.describe(MakeOffer(ice_restart=True))))
        await pair.exchange()
        await pair.b.connection.close()

    simulate(scenario)


def test_relay_only_offers_no_address_of_ours() -> None:
    """With a TURN server there are relay candidates; without one there are none."""
    turn = IceServer(("turn:turn.example.org",), "user", "secret")

    async def scenario(weather: Weather) -> None:
        hidden = await weather.lab.connected(ConnectionConfig((turn,), relay_only=True))
        assert "typ relay" in hidden.a.candidates[0][1].candidate.candidate
        assert (await hidden.a.connection.stats()).local_type == "relay"
        lonely = weather.lab.end(ConnectionConfig(relay_only=True))
        await lonely.describe(MakeOffer())
        await settle()
        assert [found.candidate.candidate for _, found in lonely.candidates] == [""]

    simulate(scenario)


# --- the path -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outage", "noticed"),
    [(4, []), (8, [DISCONNECTED, CONNECTED]), (14, [DISCONNECTED, CONNECTED])],
)
def test_a_short_outage_heals_and_loses_nothing(
    outage: float, noticed: list[ConnectionState]
) -> None:
    """After five seconds it is noticed; until fifteen it heals by itself."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        frames = numbered(2000)
        cut = asyncio.create_task(weather.outage(outage))
        for frame in frames:
            assert pair.a.send(CONTROL, frame)
            await asyncio.sleep(0.01)
        await cut
        assert await pair.b.received(CONTROL, len(frames)) == frames
        for end in (pair.a, pair.b):
            assert states(end)[2:] == noticed

    simulate(scenario)


def test_a_long_outage_fails_until_ice_restarts() -> None:
    """After fifteen seconds both give up for good; a restart brings back every frame."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        frames = numbered(100)
        cut = asyncio.create_task(weather.outage(20))
        for frame in frames:
            assert pair.a.send(CONTROL, frame)
            await asyncio.sleep(0.01)
        await cut
        await settle()
        for end in (pair.a, pair.b):
            assert states(end)[2:] == [DISCONNECTED, FAILED]
        assert pair.a.send(CONTROL, b"the channel stays open")
        assert not pair.b.frames(CONTROL)[1:]
        await pair.negotiate(pair.b, pair.a, ice_restart=True)
        assert await pair.b.received(CONTROL, 101) == [*frames, b"the channel stays open"]
        for end in (pair.a, pair.b):
            assert states(end)[-2:] == [ConnectionState.CONNECTING, CONNECTED]
            assert not end.of(ChannelClosed)

    simulate(scenario)


def test_a_moved_path_heals_by_a_restart_only() -> None:
    """When an address changes nothing recovers by itself, and a restart loses nothing."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        weather.network.move("h1", "h2")
        assert pair.a.send(CONTROL, b"late")
        await settle(7)
        assert states(pair.a)[-1] is states(pair.b)[-1] is DISCONNECTED
        assert not pair.b.frames(CONTROL)
        await pair.negotiate(pair.a, pair.b, ice_restart=True)
        assert await pair.b.received(CONTROL, 1) == [b"late"]
        await pair.exchange()

    simulate(scenario)


def test_a_restart_during_an_outage_waits_for_the_path() -> None:
    """New credentials are of no use while nothing passes, and are used once it does."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        cut = asyncio.create_task(weather.outage(30))
        await settle(20)
        assert pair.a.state is FAILED
        await pair.negotiate(pair.a, pair.b, ice_restart=True)
        await settle(5)
        assert pair.a.state is ConnectionState.CONNECTING
        await cut
        await pair.exchange()
        assert pair.a.state is pair.b.state is CONNECTED

    simulate(scenario)


def test_a_vanished_peer_leaves_only_silence() -> None:
    """A killed process closes no channel: its peer sees disconnected, then failed."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        weather.engines[1].vanish()
        seen = len(pair.b.events)
        await settle(6)
        assert states(pair.a)[2:] == [DISCONNECTED]
        assert pair.a.send(CONTROL, b"anyone?")
        await settle(60)
        assert states(pair.a)[2:] == [DISCONNECTED, FAILED]
        assert not pair.a.of(ChannelClosed)
        assert len(pair.b.events) == seen

    simulate(scenario)


@pytest.mark.parametrize("cut_before", [True, False])
def test_a_close_nobody_can_hear_is_like_vanishing(cut_before: bool) -> None:
    """A goodbye that the cut path swallows is lost, also for when it heals."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        if cut_before:
            weather.network.partition("h1", "h2")
        await pair.b.connection.close(drain=2)
        weather.network.partition("h1", "h2")
        await settle(1)
        weather.network.heal("h1", "h2")
        await settle()
        assert not pair.a.of(ChannelClosed)
        assert pair.a.state is FAILED

    simulate(scenario)


def test_a_held_process_gets_everything_late() -> None:
    """What arrives for a process that is held waits, and comes in order."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        seen = len(pair.b.events)
        weather.loop.hold("h2")
        frames = numbered(100)
        for frame in frames:
            assert pair.a.send(CONTROL, frame)
        await settle(20)
        assert len(pair.b.events) == seen
        weather.loop.release("h2")
        assert await pair.b.received(CONTROL, 100) == frames
        assert states(pair.a)[2:] == states(pair.b)[2:] == []

    simulate(scenario)


# --- frames -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_frame_is_never_earlier_than_its_channel(seed: int) -> None:
    """What one end sends before the other has opened waits for that."""

    def react(end: End, event: EngineEvent) -> None:
        if isinstance(event, ChannelOpened):
            assert end.send(event.channel, b"first")

    async def scenario(weather: Weather) -> None:
        pair = weather.lab.pair(react=react)
        await pair.connect()
        for end in (pair.a, pair.b):
            for channel in (CONTROL, BULK):
                await end.received(channel, 1)
            kinds = [type(event) for event in end.events]
            assert kinds.index(FrameReceived) > kinds.index(ChannelOpened)

    simulate(scenario, seed=seed, conditions=Conditions(delay=0.0, jitter=0.0))


def test_loss_delays_reliable_frames_and_costs_lossy_ones() -> None:
    """At 20 % loss one channel brings all in order, one all and one most of it in any."""
    frames = numbered(2000)

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        for frame in frames:
            for channel in (CONTROL, BULK, REALTIME):
                assert pair.a.send(channel, frame)
            await asyncio.sleep(0.002)
        assert await pair.b.received(CONTROL, len(frames)) == frames
        bulk = await pair.b.received(BULK, len(frames))
        assert sorted(bulk, key=int) == frames != bulk
        lossy = pair.b.frames(REALTIME)
        assert 1500 < len(lossy) < 1700
        assert len(set(lossy)) == len(lossy)
        assert sorted(lossy, key=int) != lossy

    simulate(scenario, conditions=Conditions(delay=0.1, jitter=0.05, loss=0.2))


def test_the_buffer_drains_at_the_rate_of_the_path() -> None:
    """A megabyte at a megabyte a second takes a second, shared by the channels."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        start = weather.loop.time()
        for _ in range(50):
            for channel in (CONTROL, BULK):
                assert pair.a.send(channel, bytes(10_000))
        await asyncio.sleep(0.5)
        for channel in (CONTROL, BULK):
            assert pair.a.connection.buffered_bytes(channel) == pytest.approx(250_000, abs=20_000)
        assert pair.a.send(CONTROL, b"last")
        await pair.b.received(CONTROL, 51)
        assert weather.loop.time() - start == pytest.approx(1.02, abs=0.02)

    simulate(scenario, conditions=Conditions(delay=0.02, rate_bytes=1e6))


def test_a_cut_path_fills_the_buffer() -> None:
    """What cannot leave stays in the buffer, up to its limit, and is not lost."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        weather.network.partition("h1", "h2")
        taken = 0
        while pair.a.send(BULK, bytes(262_144)):
            taken += 1
        assert taken == 64
        assert not pair.a.send(BULK, b"x")
        assert pair.a.send(CONTROL, b"another channel has its own")
        assert not pair.a.send(CONTROL, bytes(262_145))
        weather.network.heal("h1", "h2")
        assert len(await pair.b.received(BULK, 64)) == 64

    simulate(scenario)


# --- faults that can be ordered -----------------------------------------------------------


def test_a_failing_operation_changes_nothing() -> None:
    """Whatever fails for no reason can be tried again."""

    async def scenario(weather: Weather) -> None:
        end = weather.lab.end()
        for _ in range(100):
            if isinstance(await end.perform(MakeOffer()), OperationDone):
                return
        raise AssertionError("it never worked")

    simulate(scenario, behaviour=Behaviour(failing=0.9))


def test_a_stuck_operation_never_ends_until_closed() -> None:
    """It reports nothing for ever; closing is possible all the same."""

    async def scenario(weather: Weather) -> None:
        end = weather.lab.end()
        end.begin(MakeOffer())
        await settle(1000)
        assert end.events == []
        await end.connection.close()

    simulate(scenario, behaviour=Behaviour(stuck=1.0))


def test_slow_operations_end_all_the_same() -> None:
    """Slowness costs time and nothing else."""

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        await pair.exchange()
        assert weather.loop.time() > 1

    simulate(scenario, behaviour=Behaviour(slow=1.0, slowness=(0.5, 1.0)))


# --- everything at once -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_no_frame_is_lost_doubled_or_reordered_whatever_happens(seed: int) -> None:
    """Outages, moves, restarts, holds and loss: a living connection delivers every frame."""
    dice = random.Random(seed)

    async def trouble(weather: Weather, pair: Pair) -> None:
        for _ in range(10):
            await asyncio.sleep(dice.uniform(0, 5))
            match dice.randrange(5):
                case 0:
                    await weather.outage(dice.uniform(0, 25))
                case 1:
                    weather.network.move("h1", "h2")
                case 2:
                    weather.loop.hold("h2")
                    await asyncio.sleep(dice.uniform(0, 20))
                    weather.loop.release("h2")
                case 3:
                    await pair.negotiate(pair.a, pair.b, ice_restart=dice.random() < 0.5)
                case _:
                    await pair.negotiate(pair.b, pair.a, ice_restart=dice.random() < 0.5)

    async def scenario(weather: Weather) -> None:
        pair = await weather.lab.connected()
        troubles = asyncio.create_task(trouble(weather, pair))
        sent: dict[tuple[End, int], list[bytes]] = {}
        for number in range(1000):
            source, channel = dice.choice((pair.a, pair.b)), dice.choice((CONTROL, BULK))
            frame = b"%d" % number
            assert source.send(channel, frame)
            sent.setdefault((source, channel), []).append(frame)
            await asyncio.sleep(dice.uniform(0, 0.1))
        await troubles
        await pair.negotiate(pair.a, pair.b, ice_restart=True)
        for (source, channel), frames in sent.items():
            target = pair.b if source is pair.a else pair.a
            received = await target.received(channel, len(frames))
            assert sorted(received) == sorted(frames)
            assert received == frames or channel == BULK
        for end in (pair.a, pair.b):
            assert not end.of(ChannelClosed)
            opened = next(n for n, e in enumerate(end.events) if isinstance(e, ChannelOpened))
            assert not any(isinstance(event, FrameReceived) for event in end.events[:opened])
        assert not any(engine.illegal for engine in weather.engines)

    simulate(scenario, seed=seed, conditions=Conditions(loss=dice.choice([0.0, 0.1])))
