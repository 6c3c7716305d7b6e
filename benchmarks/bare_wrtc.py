"""The package ``wrtc``, as its documentation would have it used."""

import asyncio
from collections.abc import Callable

import webrtc

from benchmarks.bare import HIGH_WATER_BYTES, LOW_WATER_BYTES, Signal
from thkmesh.core.engine import CHANNELS
from thkmesh.engines.environment import has_address

__all__ = ["Connection"]


class Connection:
    """See ``benchmarks.bare.Bare``."""

    def __init__(self, signal: Callable[[Signal], None], received: Callable[[bytes], None]) -> None:
        """Make a connection and its three channels."""
        if not has_address():
            webrtc.allow_loopback()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._signal = signal
        self._received = received
        self._described = False
        self._held: list[Signal] = []
        self._low = asyncio.Event()
        self._pc = webrtc.RTCPeerConnection()
        self._pc.on("icecandidate", self._on_candidate)
        self._channels = [
            self._pc.create_data_channel(
                spec.label,
                webrtc.RTCDataChannelInit(
                    ordered=spec.ordered,
                    max_retransmits=spec.max_retransmits,
                    negotiated=True,
                    id=spec.id,
                ),
            )
            for spec in CHANNELS
        ]
        self._first = self._channels[0]
        self._first.buffered_amount_low_threshold = LOW_WATER_BYTES
        self._first.on("open", lambda _: self.opened.set_result(None))
        self._first.on("message", self._on_message)
        self._first.on("bufferedamountlow", lambda _: self._low.set())

    async def offer(self) -> None:
        """Make an offer and send it."""
        await self._pc.set_local_description()
        self._describe()

    async def take(self, signal: Signal) -> None:
        """Act on a signal of the other end."""
        match signal:
            case {"candidate": candidate, "mid": mid, "index": index, "ufrag": ufrag}:
                await self._pc.add_ice_candidate(
                    webrtc.RTCIceCandidateInit(candidate, mid, index, ufrag)
                )
            case {"type": kind, "sdp": sdp}:
                await self._pc.set_remote_description(webrtc.RTCSessionDescriptionInit(kind, sdp))
                if kind == "offer":
                    await self._pc.set_local_description()
                    self._describe()
            case _:
                raise ValueError(signal)

    async def send(self, data: bytes) -> None:
        """Send a message, as soon as the engine holds little enough."""
        if self._first.buffered_amount > HIGH_WATER_BYTES:
            self._low.clear()
            await self._low.wait()
        self._first.send(data)

    def send_nowait(self, data: bytes) -> None:
        """Send a message, whatever the engine holds."""
        self._first.send(data)

    async def close(self) -> None:
        """Close it."""
        self._pc.close()
        self._pc.off()
        for channel in self._channels:
            channel.off()

    def _describe(self) -> None:
        """Send our description, and then the candidates that were there before it."""
        description = self._pc.local_description
        assert description is not None, "it was just set"
        self._signal({"type": description.type.value, "sdp": description.sdp})
        self._described = True
        for signal in self._held:
            self._signal(signal)

    def _on_message(self, event: webrtc.MessageEvent) -> None:
        assert isinstance(event.data, bytes), "only bytes are sent"
        self._received(event.data)

    def _on_candidate(self, event: webrtc.RTCPeerConnectionIceEvent) -> None:
        found = event.candidate
        if found is None or not found.candidate:
            return
        signal = {
            "candidate": found.candidate,
            "mid": found.sdp_mid,
            "index": found.sdp_m_line_index,
            "ufrag": found.username_fragment,
        }
        if self._described:
            self._signal(signal)
        else:
            self._held.append(signal)
