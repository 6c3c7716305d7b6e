"""aiortc; it gathers all candidates before it describes itself, so none travel alone."""

import asyncio
from collections.abc import Callable

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.bare import Signal
from thkmesh.core.engine import CHANNELS

__all__ = ["Connection"]

LOW_WATER_BYTES = 16 * 1024
HIGH_WATER_BYTES = 64 * 1024
"""Less than for others: what it does for each message grows with how many wait."""


class Connection:
    """See ``benchmarks.bare.Bare``."""

    def __init__(self, signal: Callable[[Signal], None], received: Callable[[bytes], None]) -> None:
        """Make a connection and its three channels."""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._signal = signal
        self._low = asyncio.Event()
        # Without a configuration it would ask a STUN server on the Internet.
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channels = [
            self._pc.createDataChannel(
                spec.label,
                ordered=spec.ordered,
                maxRetransmits=spec.max_retransmits,
                negotiated=True,
                id=spec.id,
            )
            for spec in CHANNELS
        ]
        self._first = self._channels[0]
        self._first.bufferedAmountLowThreshold = LOW_WATER_BYTES
        self._first.on("open", lambda: self.opened.set_result(None))
        self._first.on("message", received)
        self._first.on("bufferedamountlow", self._low.set)

    async def offer(self) -> None:
        """Make an offer and send it."""
        await self._pc.setLocalDescription(await self._pc.createOffer())
        self._describe()

    async def take(self, signal: Signal) -> None:
        """Act on a signal of the other end."""
        await self._pc.setRemoteDescription(RTCSessionDescription(signal["sdp"], signal["type"]))
        if signal["type"] == "offer":
            await self._pc.setLocalDescription(await self._pc.createAnswer())
            self._describe()

    async def send(self, data: bytes) -> None:
        """Send a message, as soon as the engine holds little enough."""
        if self._first.bufferedAmount > HIGH_WATER_BYTES:
            self._low.clear()
            await self._low.wait()
        self._first.send(data)

    def send_nowait(self, data: bytes) -> None:
        """Send a message, whatever the engine holds."""
        self._first.send(data)

    async def close(self) -> None:
        """Close it."""
        await self._pc.close()

    def _describe(self) -> None:
        description = self._pc.localDescription
        self._signal({"type": description.type, "sdp": description.sdp})
