"""What is peculiar to wrtc: each danger shown on the bare package, then our guard."""

import asyncio
import threading
from collections import deque

import pytest
import webrtc

from tests.engines.bare import bare, bare_pair, complete, opening
from tests.engines.remote import remote
from tests.engines.world import End, lab
from thkmesh.core.engine import (
    BULK,
    CHANNELS,
    CONTROL,
    ApplyRemote,
    ChannelClosed,
    ChannelSpec,
    ConnectionConfig,
    ConnectionState,
    Description,
    EngineEvent,
    FrameReceived,
    IceServer,
    MakeAnswer,
    MakeOffer,
    RollBack,
    SdpType,
)
from thkmesh.engines.wrtc import WrtcConnection, WrtcEngine

ROLLBACK = webrtc.RTCLocalSessionDescriptionInit("rollback")

# --- the application's loop is busy -------------------------------------------------

MESSAGES = 10


class Busy:
    """An application whose every turn of the loop takes a millisecond."""

    def __init__(self) -> None:
        """Count turns from now."""
        self.turns = 0
        self._pause = threading.Event()

    async def until(self, done: asyncio.Event) -> int:
        """Work until ``done``; return how many turns it took."""
        while not done.is_set():
            self.turns += 1
            self._pause.wait(0.001)
            await asyncio.sleep(0)
        return self.turns


async def _turns_on_the_same_loop() -> int:
    async with bare_pair() as pair:
        arrived = asyncio.Event()
        frames: list[webrtc.MessageEvent] = []

        def receive(event: webrtc.MessageEvent) -> None:
            frames.append(event)
            if len(frames) == MESSAGES:
                arrived.set()

        pair.b_channels[0].on("message", receive)
        for _ in range(MESSAGES):
            pair.a_channels[0].send(b"x")
        return await Busy().until(arrived)


async def _turns_with_a_thread_between() -> int:
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    ready, finished = threading.Event(), threading.Event()
    inbox: deque[FrameReceived] = deque()
    frames: list[FrameReceived] = []

    def take_batch() -> None:
        while inbox:
            frames.append(inbox.popleft())
        if len(frames) == MESSAGES:
            arrived.set()

    def hand_over(_: End, event: EngineEvent) -> None:
        if isinstance(event, FrameReceived):
            inbox.append(event)
            if len(inbox) == 1:
                loop.call_soon_threadsafe(take_batch)

    async def mesh() -> None:
        async with lab(WrtcEngine) as found:
            pair = found.pair(react=hand_over)
            await pair.connect()
            ready.set()
            for _ in range(MESSAGES):
                pair.a.send(CONTROL, b"x")
            await pair.b.received(CONTROL, MESSAGES)
            await asyncio.to_thread(finished.wait)

    thread = threading.Thread(target=lambda: asyncio.run(mesh()))
    thread.start()
    await asyncio.to_thread(ready.wait)
    turns = await Busy().until(arrived)
    finished.set()
    await asyncio.to_thread(thread.join)
    return turns


async def test_a_busy_loop_starves_wrtc_but_not_an_engine_on_its_own_thread() -> None:
    """Ten frames take hundreds of turns of a busy loop, and few with a thread between."""
    starved = await _turns_on_the_same_loop()
    guarded = await _turns_with_a_thread_between()
    assert starved > 30 * MESSAGES
    assert guarded * 3 < starved


# --- closed in mid-air --------------------------------------------------------------


async def test_the_bare_package_cancels_who_did_not_ask_for_it() -> None:
    """A pending operation of a closed connection looks as if its task had been cancelled."""
    pc, _ = bare()
    task = asyncio.create_task(pc.set_local_description())
    await asyncio.sleep(0)
    pc.close()
    await asyncio.wait([task])
    assert task.cancelled()
    assert task.cancelling() == 0


async def test_no_cancellation_leaks_from_a_connection_closed_in_mid_air() -> None:
    """Who closes while an operation or statistics are under way goes on as usual."""
    async with lab(WrtcEngine) as found:
        for _ in range(20):
            end = found.end()
            end.begin(MakeOffer())
            await asyncio.sleep(0)
            async with asyncio.TaskGroup() as group:
                stats = group.create_task(end.connection.stats())
                closing = group.create_task(end.connection.close())
            assert stats.done()
            assert not stats.cancelled()
            assert not closing.cancelled()
            assert end.results == []


# --- the remote end vanishes --------------------------------------------------------


async def test_a_vanished_remote_is_told_by_state_alone() -> None:
    """After SIGKILL no channel closes; ``disconnected`` comes within some seconds."""
    async with lab(WrtcEngine) as found, remote(found.engine()) as (end, process):
        assert end.send(CONTROL, b"there?")
        assert await end.received(CONTROL, 1) == [b"there?"]
        process.kill()
        await end.until(lambda: end.state is ConnectionState.DISCONNECTED)
        assert not end.of(ChannelClosed)
        assert end.send(CONTROL, b"into the void")


# --- rollback -----------------------------------------------------------------------


async def test_the_bare_package_forgets_its_channels_after_a_first_rollback() -> None:
    """Once a first offer is rolled back, no later offer has a data section."""
    pc, _ = bare()
    offers = []
    for _ in range(2):
        await pc.set_local_description()
        assert pc.local_description is not None
        offers.append("m=application" in pc.local_description.sdp)
        await pc.set_local_description(ROLLBACK)
    pc.close()
    assert offers == [True, False]


async def test_a_first_offer_is_not_rolled_back_but_its_connection_replaced() -> None:
    """RollBack of a first offer fails, and a fresh connection answers the other's offer."""
    async with lab(WrtcEngine) as found:
        ours, theirs = found.end(), found.end()
        await ours.describe(MakeOffer())
        offer = await theirs.describe(MakeOffer())
        await ours.refuses(RollBack(), ApplyRemote(offer))
        await ours.connection.close()
        fresh = End(ours.engine)
        pair = found.join(theirs, fresh)
        await pair.apply(fresh, offer)
        await pair.apply(theirs, await fresh.describe(MakeAnswer()))
        await fresh.opened()
        await pair.exchange()


async def test_after_a_negotiation_that_settles_nothing_the_engine_still_works() -> None:
    """Every operation of a wedged pair has a result, and its engines connect anew."""
    async with lab(WrtcEngine) as found:
        a, b = found.end(), found.end()
        await asyncio.gather(a.describe(MakeOffer()), b.describe(MakeOffer()))
        stale = Description(SdpType.ANSWER, (await found.end().describe(MakeOffer())).sdp)
        for end in (a, b):
            await end.refuses(RollBack(), MakeAnswer(), ApplyRemote(stale))
            await end.connection.close()
        pair = found.join(End(a.engine), End(b.engine))
        await pair.connect()
        await pair.exchange()


async def test_an_ice_restart_does_not_end_the_candidates_before_the_first() -> None:
    """The bare package writes end-of-candidates into the new offer; we trickle the end."""
    async with bare_pair() as bare:
        bare.a.restart_ice()
        await bare.a.set_local_description()
        assert bare.a.local_description is not None
        assert "a=end-of-candidates" in bare.a.local_description.sdp
    async with lab(WrtcEngine) as found:
        pair = await found.connected()
        offer = await pair.a.describe(MakeOffer(ice_restart=True))
        assert "a=end-of-candidates" not in offer.sdp
        assert "a=candidate" not in offer.sdp


# --- the end ------------------------------------------------------------------------


async def test_close_of_the_bare_package_drops_what_is_queued() -> None:
    """``RTCPeerConnection.close`` loses most of 12 MiB that wait."""
    async with bare_pair() as pair:
        frames: list[webrtc.MessageEvent] = []
        over = asyncio.Event()

        def notice(_: webrtc.Event) -> None:
            if pair.b.connection_state == "disconnected":
                over.set()

        pair.b_channels[0].on("message", frames.append)
        pair.b_channels[0].on("close", lambda _: over.set())
        # The one datagram that says goodbye may drown in the flood; then ICE notices.
        pair.b.on("connectionstatechange", notice)
        for _ in range(200):
            pair.a_channels[0].send(bytes(65_536))
        pair.a.close()
        await over.wait()
        assert len(frames) < 200


async def test_close_that_drains_delivers_what_is_queued() -> None:
    """The same 12 MiB arrive when the adapter closes with patience."""
    async with lab(WrtcEngine, patience=50) as found:
        pair = await found.connected()
        for number in range(200):
            assert pair.a.send(BULK, number.to_bytes(2, "big") * 32_768)
        await pair.a.connection.close(drain=45.0)
        await pair.b.closed()
        frames = pair.b.frames(BULK)
        assert sorted(int.from_bytes(frame[:2], "big") for frame in frames) == list(range(200))


# --- early frames -------------------------------------------------------------------


async def test_the_bare_package_loses_what_comes_before_the_listener() -> None:
    """Frames that arrive before ``on("message")`` are gone; so we listen from the start."""
    async with bare_pair() as pair:
        first, second = pair.b_channels
        marked, last = asyncio.Event(), asyncio.Event()
        frames: list[object] = []

        def receive(event: webrtc.MessageEvent) -> None:
            frames.append(event.data)
            if event.data == b"last":
                last.set()

        second.on("message", lambda _: marked.set())
        pair.a_channels[0].send(b"early")
        pair.a_channels[1].send(b"mark")
        await marked.wait()
        first.on("message", receive)
        pair.a_channels[0].send(b"last")
        await last.wait()
        assert frames == [b"last"]


# --- channels --------------------------------------------------------------------------


async def test_the_channels_are_what_their_specification_says() -> None:
    """Two are reliable and ordered; the third loses rather than waits."""
    async with lab(WrtcEngine) as found:
        connection = found.end().connection
        assert isinstance(connection, WrtcConnection)
        # Only a network that loses packets would show it from outside.
        channels = connection._channels  # noqa: SLF001
        found_specs = [
            ChannelSpec(each.id or 0, each.label, each.ordered, each.max_retransmits)
            for each in channels
        ]
        assert found_specs == list(CHANNELS)


# --- what the remote end may do -----------------------------------------------------


async def test_text_frames_are_refused_and_counted() -> None:
    """Ours are binary: a text message is dropped, and the bytes after it arrive."""
    async with lab(WrtcEngine) as found:
        end = found.end()
        pc, channels = bare()
        opened = opening(channels[CONTROL])
        offer = await complete(pc)
        await end.do(ApplyRemote(Description(SdpType.OFFER, offer.sdp)))
        answer = await end.describe(MakeAnswer())
        await pc.set_remote_description(webrtc.RTCSessionDescriptionInit("answer", answer.sdp))
        await opened.wait()
        channels[CONTROL].send("text")
        channels[CONTROL].send(b"bytes")
        assert await end.received(CONTROL, 1) == [b"bytes"]
        assert isinstance(end.connection, WrtcConnection)
        assert end.connection.text_frames_refused == 1
        pc.close()


async def test_a_frame_larger_than_the_remote_takes_is_not_sent() -> None:
    """``send`` returns False for it, and the channel stays open."""
    async with lab(WrtcEngine) as found:
        pair = await found.connected()
        limit = pair.a.engine.capabilities.max_message_bytes
        assert pair.a.send(CONTROL, bytes(limit + 1)) is False
        await pair.exchange()


async def test_unusable_descriptions_leave_no_line_on_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Libwebrtc prints what it refuses; a peer could fill our logs, so we look first."""
    async with lab(WrtcEngine) as found:
        sdp = (await found.end().describe(MakeOffer())).sdp
        end = found.end()
        for lost in ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"):
            start = sdp.index(lost)
            for broken in ("", f"{lost}!\r\n"):
                changed = sdp[:start] + broken + sdp[sdp.index("\n", start) + 1 :]
                await end.refuses(ApplyRemote(Description(SdpType.OFFER, changed)))
        await end.do(ApplyRemote(Description(SdpType.OFFER, sdp)))
    assert capfd.readouterr().err == ""


# --- other ICE servers --------------------------------------------------------------


class StunServer(asyncio.DatagramProtocol):
    """Counts who asks for its address (RFC 8489), and answers nobody."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Note that somebody asks."""
        if data[:2] == b"\x00\x01":
            self.asked.set()


async def test_an_ice_restart_asks_the_servers_of_now() -> None:
    """After ``reconfigure`` the new server is asked, by who offers and by who answers."""
    loop = asyncio.get_running_loop()
    servers: list[StunServer] = []
    urls: list[str] = []
    transports: list[asyncio.DatagramTransport] = []
    for _ in range(2):
        transport, protocol = await loop.create_datagram_endpoint(
            StunServer, local_addr=("127.0.0.1", 0)
        )
        transports.append(transport)
        servers.append(protocol)
        urls.append(f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}")
    try:
        async with lab(WrtcEngine) as found:
            pair = await found.connected()
            assert not any(server.asked.is_set() for server in servers)
            for end, url in ((pair.a, urls[0]), (pair.b, urls[1])):
                end.reconfigure(ConnectionConfig(ice_servers=(IceServer((url,)),)))
            await pair.negotiate(pair.a, pair.b, ice_restart=True)
            async with asyncio.timeout(20):
                for server in servers:
                    await server.asked.wait()
            await pair.exchange()
    finally:
        for transport in transports:
            transport.close()
