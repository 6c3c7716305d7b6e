"""How offers, answers and candidates come about and are taken."""

import asyncio

from tests.engines.world import End, Lab
from thkmesh.core.engine import (
    CHANNELS,
    CONTROL,
    END_OF_CANDIDATES,
    AddCandidate,
    ApplyRemote,
    Candidate,
    CandidateFound,
    ChannelClosed,
    ChannelOpened,
    ConnectionConfig,
    ConnectionState,
    Description,
    EngineEvent,
    IceServer,
    MakeAnswer,
    MakeOffer,
    OperationDone,
    RollBack,
    SdpType,
    StateChanged,
)


async def offer_and_answer_connect(lab: Lab) -> None:
    """One round of offer, answer and candidates opens all channels, each once."""
    pair = await lab.connected()
    for end in (pair.a, pair.b):
        await end.until(lambda: end.state is ConnectionState.CONNECTED)  # noqa: B023 - not kept
        assert sorted(event.channel for event in end.of(ChannelOpened)) == [0, 1, 2]
        assert not end.of(ChannelClosed)
        assert all(type(event) is StateChanged for event in end.of(StateChanged))
    await pair.exchange()


async def the_engine_says_what_it_can(lab: Lab) -> None:
    """Name and capabilities are known before the first connection is used."""
    engine = lab.end().engine
    assert engine.name == engine.name.lower().strip()
    assert engine.capabilities.max_message_bytes >= 65_536


async def a_description_comes_before_its_candidates(lab: Lab) -> None:
    """Who sends signals in the order of events never sends a candidate too early."""
    pair = await lab.connected()
    for end in (pair.a, pair.b):
        assert all(made > 0 for made, _ in end.candidates)


async def candidates_name_their_generation(lab: Lab) -> None:
    """Every candidate carries a ufrag, and the last one of a round says that it is."""
    pair = await lab.connected()
    for end in (pair.a, pair.b):
        if not end.engine.capabilities.trickle:
            continue
        await end.until(
            lambda: any(
                found.candidate.candidate == END_OF_CANDIDATES
                for found in end.of(CandidateFound)  # noqa: B023 - not kept
            )
        )
        assert len({found.candidate.ufrag for found in end.of(CandidateFound)}) == 1
        assert all(found.candidate.ufrag for found in end.of(CandidateFound))


async def what_is_illegal_fails_and_changes_nothing(lab: Lab) -> None:
    """In each signaling state every other operation fails, and the legal one still works."""
    pair = lab.pair()
    a, b = pair.a, pair.b
    stranger = await lab.end().describe(MakeOffer())
    answer = Description(SdpType.ANSWER, stranger.sdp)
    candidate = AddCandidate(Candidate("", "0", 0, "none"))

    await a.refuses(MakeAnswer(), RollBack(), ApplyRemote(answer), candidate)
    offer = await a.describe(MakeOffer())
    await a.refuses(MakeOffer(), MakeAnswer(), ApplyRemote(stranger), candidate)
    await pair.apply(b, offer)
    await b.refuses(MakeOffer(), RollBack(), ApplyRemote(stranger), ApplyRemote(answer))
    await pair.apply(a, await b.describe(MakeAnswer()))
    for end in (a, b):
        await end.refuses(MakeAnswer(), RollBack(), ApplyRemote(answer))

    await a.opened()
    await b.opened()
    await pair.exchange()


async def an_operation_may_follow_from_a_result(lab: Lab) -> None:
    """The next operation may begin while the result of the last is being emitted."""

    def react(end: End, event: EngineEvent) -> None:
        match event:
            case OperationDone(operation=ApplyRemote(description=Description(SdpType.OFFER))):
                end.begin(MakeAnswer())
            case _:
                pass

    a = lab.end()
    b = lab.end(react=react)
    await b.perform(ApplyRemote(await a.describe(MakeOffer())))
    await b.until(lambda: len(b.results) == 2)
    done = b.results[1]
    assert isinstance(done, OperationDone)
    assert done.description is not None
    await a.do(ApplyRemote(done.description))


async def nonsense_does_no_harm(lab: Lab) -> None:
    """Descriptions and candidates that make no sense fail, and the pair still connects."""
    pair = lab.pair()
    a, b = pair.a, pair.b
    offer = await a.describe(MakeOffer())
    nonsense = ["", "nonsense", "v=0\r\n", "\0" * 1000, "\N{PILE OF POO}", "\ud800", offer.sdp[:40]]
    for text in nonsense:
        await b.refuses(ApplyRemote(Description(SdpType.OFFER, text)))
        await a.refuses(ApplyRemote(Description(SdpType.ANSWER, text)))
    await pair.apply(b, offer)
    ufrag = a.candidates[0][1].candidate.ufrag if a.candidates else "none"
    for text in ("nonsense", "candidate:", "candidate:1 1 udp", "\ud800"):
        await b.refuses(AddCandidate(Candidate(text, "0", 0, ufrag)))
    await pair.apply(a, await b.describe(MakeAnswer()))
    await a.opened()
    await b.opened()
    await pair.exchange()


async def a_connected_pair_negotiates_again(lab: Lab) -> None:
    """Further rounds, from either side, disturb nothing that is open."""
    pair = await lab.connected()
    for offerer, answerer in ((pair.a, pair.b), (pair.b, pair.a), (pair.b, pair.a)):
        await pair.negotiate(offerer, answerer)
        await pair.exchange()
    assert not pair.a.of(ChannelClosed)
    assert len(pair.a.of(ChannelOpened)) == len(CHANNELS)


async def a_later_offer_can_be_withdrawn(lab: Lab) -> None:
    """After a rollback the other side's offer is taken; an engine without rollback says so."""
    pair = await lab.connected()
    a, b = pair.a, pair.b
    await a.describe(MakeOffer())
    if not a.engine.capabilities.rollback:
        await a.refuses(RollBack())
        await pair.exchange()
        return
    await a.do(RollBack())
    a.withdrawn.add(a.made)
    await pair.exchange()
    await pair.negotiate(b, a)
    await pair.negotiate(a, b)
    await pair.exchange()


async def glare_on_a_connected_pair_is_harmless(lab: Lab) -> None:
    """When both offer, one withdraws, takes the other's, and offers again."""
    pair = await lab.connected()
    polite, impolite = pair.a, pair.b
    if not polite.engine.capabilities.rollback:
        return
    for _ in range(5):
        offer, _ = await asyncio.gather(
            impolite.describe(MakeOffer()), polite.describe(MakeOffer())
        )
        await polite.do(RollBack())
        polite.withdrawn.add(polite.made)
        await pair.apply(polite, offer)
        await pair.apply(impolite, await polite.describe(MakeAnswer()))
        await pair.negotiate(polite, impolite)
        await pair.exchange()


async def other_ice_servers_disturb_nothing(lab: Lab) -> None:
    """They may come at any time, also when it is too late; what is connected goes on."""
    other = ConnectionConfig(ice_servers=(IceServer(("stun:127.0.0.1:9",)),))
    pair = await lab.connected()
    for end in (pair.a, pair.b):
        end.reconfigure(other)
    await pair.exchange()
    if pair.a.engine.capabilities.ice_restart:
        await pair.negotiate(pair.a, pair.b, ice_restart=True)
        await pair.exchange()
    await pair.a.connection.close()
    pair.a.reconfigure(ConnectionConfig())


async def an_ice_restart_keeps_the_channels(lab: Lab) -> None:
    """A restart brings new candidates and loses nothing; who cannot, refuses."""
    pair = await lab.connected()
    a, b = pair.a, pair.b
    if not a.engine.capabilities.ice_restart:
        await a.refuses(MakeOffer(ice_restart=True))
        await pair.exchange()
        return
    before = {found.candidate.ufrag for _, found in a.candidates}
    for offerer, answerer in ((a, b), (b, a)):
        frames = [b"%d" % number for number in range(40)]
        count = len(answerer.frames(CONTROL))
        for frame in frames[:20]:
            assert offerer.send(CONTROL, frame)
        await pair.negotiate(offerer, answerer, ice_restart=True)
        for frame in frames[20:]:
            assert offerer.send(CONTROL, frame)
        received = await answerer.received(CONTROL, count + len(frames))
        assert received[count:] == frames
        await pair.exchange()
    after = {found.candidate.ufrag for _, found in a.candidates}
    assert len(after - before) == 2
    assert not a.of(ChannelClosed)
