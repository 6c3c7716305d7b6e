"""The package ``webrtc`` itself, to show what the adapter guards against."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import webrtc


def bare() -> tuple[webrtc.RTCPeerConnection, list[webrtc.RTCDataChannel]]:
    """Return a connection with two negotiated channels."""
    pc = webrtc.RTCPeerConnection()
    options = [webrtc.RTCDataChannelInit(negotiated=True, id=number) for number in (0, 1)]
    return pc, [pc.create_data_channel("x", option) for option in options]


def opening(channel: webrtc.RTCDataChannel) -> asyncio.Event:
    """Return what will be set when a channel opens; call it before connecting."""
    opened = asyncio.Event()
    channel.once("open", lambda _: opened.set())
    return opened


async def complete(pc: webrtc.RTCPeerConnection) -> webrtc.RTCSessionDescription:
    """Return the local description with all its candidates."""
    gathered = asyncio.Event()

    def found(event: webrtc.RTCPeerConnectionIceEvent) -> None:
        if event.candidate is None:
            gathered.set()

    pc.on("icecandidate", found)
    await pc.set_local_description()
    await gathered.wait()
    description = pc.local_description
    assert description is not None
    return description


class BarePair:
    """Two bare connections, connected."""

    def __init__(self) -> None:
        """Open them; ``connect`` follows."""
        self.a, self.a_channels = bare()
        self.b, self.b_channels = bare()

    async def connect(self) -> None:
        """Negotiate and wait for the channels."""
        opened = [opening(channel) for channel in self.a_channels + self.b_channels]
        await self.b.set_remote_description(await complete(self.a))
        await self.a.set_remote_description(await complete(self.b))
        for event in opened:
            await event.wait()

    def close(self) -> None:
        """Close both."""
        self.a.close()
        self.b.close()


@asynccontextmanager
async def bare_pair() -> AsyncIterator[BarePair]:
    """Yield a connected bare pair."""
    pair = BarePair()
    try:
        await pair.connect()
        yield pair
    finally:
        pair.close()
