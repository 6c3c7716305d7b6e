"""How frames travel, and what is known of their way."""

import random

from tests.engines.world import End, Lab
from thkmesh.core.engine import (
    BULK,
    CHANNELS,
    CONTROL,
    REALTIME,
    BufferLow,
    ChannelOpened,
    ConnectionConfig,
    EngineEvent,
    FrameReceived,
    Stats,
)

ICE_TYPES = {None, "host", "srflx", "prflx", "relay"}


async def frames_arrive_whole_and_in_order(lab: Lab) -> None:
    """Frames of any size up to the limit arrive intact, both ways; in bulk in any order."""
    pair = await lab.connected()
    limit = min(pair.a.engine.capabilities.max_message_bytes, 262_144)
    dice = random.Random(1)
    sizes = [0, 1, 1_100, 65_536, 0, min(65_536 + 16, limit), limit, 2]
    frames = [dice.randbytes(size) for size in sizes]
    for source, target in ((pair.a, pair.b), (pair.b, pair.a)):
        for frame in frames:
            for channel in (CONTROL, BULK):
                assert source.send(channel, frame)
        for channel in (CONTROL, BULK):
            received = await target.received(channel, len(frames))
            assert sorted(received) == sorted(frames)
            assert received == frames or channel == BULK
            assert all(type(frame) is bytes for frame in received)


async def many_small_frames_keep_their_order(lab: Lab) -> None:
    """A thousand frames on one channel come once each, in order."""
    pair = await lab.connected()
    frames = [b"%d" % number for number in range(1_000)]
    for frame in frames:
        assert pair.a.send(CONTROL, frame)
    assert await pair.b.received(CONTROL, len(frames)) == frames


async def realtime_frames_are_whole_or_lost(lab: Lab) -> None:
    """What arrives on the lossy channel is what was sent, at most once."""
    pair = await lab.connected()
    sent: list[bytes] = []
    while not pair.b.frames(REALTIME):
        frame = b"%d" % len(sent) * 20
        sent.append(frame)
        assert pair.a.send(REALTIME, frame)
        # The reliable channel tells when the lossy one had its chance.
        await pair.exchange()
    frames = pair.b.frames(REALTIME)
    assert set(frames) <= set(sent)
    assert len(frames) == len(set(frames))


async def what_is_sent_at_once_is_not_lost(lab: Lab) -> None:
    """A frame sent from within ``ChannelOpened``, before the other side knows, arrives."""

    def react(end: End, event: EngineEvent) -> None:
        if isinstance(event, ChannelOpened) and event.channel != REALTIME:
            assert end.send(event.channel, b"first")
            assert end.send(event.channel, b"second")

    pair = lab.pair(react=react)
    await pair.connect()
    for end in (pair.a, pair.b):
        for channel in (CONTROL, BULK):
            assert sorted(await end.received(channel, 2)) == [b"first", b"second"]
        events = [type(event) for event in end.events]
        assert events.index(ChannelOpened) < events.index(FrameReceived)


async def a_channel_that_is_not_open_takes_nothing(lab: Lab) -> None:
    """Before it opens, ``send`` returns False and nothing is buffered."""
    end = lab.end()
    for spec in CHANNELS:
        assert end.send(spec.id, b"too early") is False
        assert end.connection.buffered_bytes(spec.id) == 0


async def connections_of_one_engine_are_apart(lab: Lab) -> None:
    """Frames reach the counterpart and nobody else."""
    left, right = lab.engine(), lab.engine()
    pairs = [lab.join(End(left), End(right)) for _ in range(3)]
    for pair in pairs:
        await pair.connect()
    for number, pair in enumerate(pairs):
        assert pair.a.send(CONTROL, b"%d" % number)
    for number, pair in enumerate(pairs):
        assert await pair.b.received(CONTROL, 1) == [b"%d" % number]


# --- the buffer -------------------------------------------------------------------


async def the_buffer_tells_when_it_is_low(lab: Lab) -> None:
    """What waits is counted at once, and falling to the mark is told for that channel."""
    low = 64 * 1024
    pair = await lab.connected(ConnectionConfig(low_water_bytes=low))
    for _ in range(32):
        assert pair.a.send(BULK, bytes(65_536))
    assert pair.a.connection.buffered_bytes(BULK) > low
    assert pair.a.connection.buffered_bytes(CONTROL) == 0
    await pair.a.until(lambda: bool(pair.a.of(BufferLow)))
    assert pair.a.connection.buffered_bytes(BULK) <= low
    await pair.b.received(BULK, 32)
    assert {event.channel for event in pair.a.of(BufferLow)} == {BULK}


async def a_full_buffer_refuses_and_recovers(lab: Lab) -> None:
    """A channel that takes no more says False, and takes again when it has sent some."""
    pair = await lab.connected(ConnectionConfig(low_water_bytes=15 * 2**20))
    taken = 0
    while pair.a.send(CONTROL, taken.to_bytes(4, "big") * 16_384):
        taken += 1
        assert taken * 65_536 < 64 * 2**20, "no end to the buffer"
    await pair.a.until(lambda: bool(pair.a.of(BufferLow)))
    assert pair.a.connection.buffered_bytes(CONTROL) > 2**20, "told much too late"
    assert pair.a.send(CONTROL, taken.to_bytes(4, "big"))
    frames = await pair.b.received(CONTROL, 32)
    assert [int.from_bytes(frame[:4], "big") for frame in frames] == list(range(len(frames)))


async def the_mark_may_move(lab: Lab) -> None:
    """What was said last holds: to be told early of much, and late of little."""
    pair = await lab.connected(ConnectionConfig(low_water_bytes=0))
    pair.a.connection.mark_low(BULK, 15 * 2**20)
    count = 0
    while pair.a.send(BULK, bytes(65_536)):
        count += 1
    await pair.a.until(lambda: bool(pair.a.of(BufferLow)))
    pair.a.connection.mark_low(BULK, 65_536)
    assert pair.a.connection.buffered_bytes(BULK) > 2**20, "told much too late"
    await pair.a.until(lambda: len(pair.a.of(BufferLow)) == 2)
    assert pair.a.connection.buffered_bytes(BULK) <= 65_536
    await pair.b.received(BULK, count)


# --- knowledge --------------------------------------------------------------------


async def statistics_tell_the_path(lab: Lab) -> None:
    """Statistics never raise; what they tell of a connected pair is plausible."""
    pair = lab.pair()
    assert isinstance(await pair.a.connection.stats(), Stats)
    await pair.connect()
    for _ in range(4):
        assert pair.a.send(CONTROL, bytes(10_000))
    await pair.b.received(CONTROL, 4)
    for end in (pair.a, pair.b):
        stats = await end.connection.stats()
        assert stats.local_type in ICE_TYPES - {None}
        assert stats.remote_type in ICE_TYPES - {None}
        assert stats.protocol in {"udp", "tcp"}
        assert stats.ip_version in {None, 4, 6}
        assert stats.rtt is None or 0 <= stats.rtt < 10
        checks = stats.checks_answered, stats.checks_sent
        assert checks == (None, None) or 0 <= (checks[0] or 0) <= (checks[1] or 0)
        assert stats.bytes_received is None or stats.bytes_sent is not None
    stats = await pair.a.connection.stats()
    assert stats.bytes_sent is None or stats.bytes_sent >= 40_000
    await pair.a.connection.close()
    assert isinstance(await pair.a.connection.stats(), Stats)
