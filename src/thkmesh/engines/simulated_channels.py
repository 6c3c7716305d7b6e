"""Frames one way between two simulated connections.

A frame waits in the buffer of its channel until the path takes it, at the path's
rate and bit by bit, as SCTP does; channels take turns, frame by frame. Then it is on
the wire: on the reliable channels it arrives once, later where it had to be sent again,
and on the ordered one what follows waits for it; on the lossy one it arrives when it does,
or not.
Source: RFC 8831; the limits are libwebrtc's.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass

from thkmesh.core.engine import CHANNELS
from thkmesh.engines.simulated_network import Pipe, SimulatedNetwork

__all__ = ["BUFFER_BYTES", "Flow", "FlowEnds"]

BUFFER_BYTES = 16 * 2**20
"""What a channel buffers at most."""

_PIECE_BYTES = 8 * 1024
"""So much of a frame leaves the buffer at a time."""

_BURST = 0.001
"""Seconds that the sender may be ahead of the path's rate, to need fewer timers."""


@dataclass(frozen=True, slots=True)
class FlowEnds:
    """What a flow lies between.

    Attributes:
        source: the sending host.
        target: the receiving host.
        takes: whether the wire takes frames: both ends are there, and packets pass.
        lands: whether what is on the wire can arrive now.
        deliver: is handed each frame, None for the end of a channel.
        low: is told in the sender's process that a channel's buffer fell to the mark.
        low_water_bytes: that mark, at first.
        sender: the context of the sender's process.
        receiver: the context of the receiver's process.
    """

    source: str
    target: str
    takes: Callable[[], bool]
    lands: Callable[[], bool]
    deliver: Callable[[int, bytes | None], None]
    low: Callable[[int], None]
    low_water_bytes: int
    sender: Context
    receiver: Context


class Flow:
    """The three channels, one way.

    Attributes:
        drained: set while nothing waits in the buffers.
        sent_bytes: how much was put into them.
        low_water_bytes: the mark of each channel.
    """

    def __init__(self, network: SimulatedNetwork, ends: FlowEnds) -> None:
        """Begin with everything empty."""
        self.drained = asyncio.Event()
        self.drained.set()
        self.sent_bytes = 0
        self.low_water_bytes = [ends.low_water_bytes for _ in CHANNELS]
        self._network = network
        self._ends = ends
        self._loop = asyncio.get_running_loop()
        self._waiting: list[deque[bytes]] = [deque() for _ in CHANNELS]
        self._buffered = [0 for _ in CHANNELS]
        self._count = 0
        """How many frames wait."""
        self._pipes = [
            Pipe[tuple[int, bytes | None]](
                self._land, ends.lands, ends.receiver, ordered=spec.ordered
            )
            for spec in CHANNELS
        ]
        self._turn = 0
        self._begun_bytes = 0
        """How much of the next frame of the channel whose turn it is has left."""
        self._wire_free = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._finished = False

    def send(self, channel: int, data: bytes) -> bool:
        """Take a frame into a channel's buffer; False when that is full."""
        if self._finished or self._buffered[channel] + len(data) > BUFFER_BYTES:
            return False
        self._waiting[channel].append(data)
        self._count += 1
        self._buffered[channel] += len(data)
        self.sent_bytes += len(data)
        self.drained.clear()
        self._pump()
        return True

    def buffered_bytes(self, channel: int) -> int:
        """Return how many bytes wait in a channel's buffer."""
        return self._buffered[channel]

    def resume(self, delay: float = 0.0) -> None:
        """Go on: the path is back, or the receiver ready, and lost frames come again."""
        for pipe in self._pipes:
            pipe.resume(delay)
        self._pump()

    def finish(self) -> None:
        """Close the channels behind what is on the wire; drop what waits."""
        if self._finished:
            return
        self._drop_waiting()
        source, target = self._ends.source, self._ends.target
        for channel, pipe in enumerate(self._pipes):
            arrival = self._loop.time() + self._network.reliable_transit(source, target, 0)
            pipe.end((channel, None), max(arrival, self._wire_free))

    def vanish(self) -> None:
        """Lose everything, on the wire too: the sender is gone."""
        self._drop_waiting()
        self.lose()

    def lose(self) -> None:
        """Lose what is on the wire: the receiver is gone."""
        for pipe in self._pipes:
            pipe.clear()

    def _drop_waiting(self) -> None:
        self._finished = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in self._waiting:
            waiting.clear()
        self._count = self._begun_bytes = 0
        self._buffered = [0 for _ in CHANNELS]
        self.drained.set()

    # --- from the buffer to the wire ---

    def _pump(self) -> None:
        if self._timer is not None:
            return
        while self._count and self._ends.takes():
            now = self._loop.time()
            if self._wire_free > now + _BURST:
                # It belongs to no process: an engine's own threads do this.
                self._timer = self._loop.call_at(self._wire_free, self._wake, context=Context())
                return
            if not self._begun_bytes:
                self._turn = self._next()
            self._depart(self._turn, now)
        if not self._count:
            self.drained.set()

    def _wake(self) -> None:
        self._timer = None
        self._pump()

    def _next(self) -> int:
        """Return the channel whose turn it is."""
        channel = self._turn
        while True:
            channel = (channel + 1) % len(CHANNELS)
            if self._waiting[channel]:
                return channel

    def _depart(self, channel: int, now: float) -> None:
        """Let a piece of a channel's next frame go; with the last of it the frame is off."""
        source, target = self._ends.source, self._ends.target
        rate = self._network.conditions(source, target).rate_bytes
        data = self._waiting[channel][0]
        size = len(data)
        piece = min(size - self._begun_bytes, _PIECE_BYTES)
        self._wire_free = max(now, self._wire_free) + piece / rate
        before = self._buffered[channel]
        self._buffered[channel] = after = before - piece
        if after <= self.low_water_bytes[channel] < before:
            self._loop.call_soon(self._ends.low, channel, context=self._ends.sender)
        self._begun_bytes += piece
        if self._begun_bytes == size:
            self._begun_bytes = 0
            self._count -= 1
            self._waiting[channel].popleft()
            self._launch(channel, data)

    def _launch(self, channel: int, data: bytes) -> None:
        source, target, size = self._ends.source, self._ends.target, len(data)
        if CHANNELS[channel].max_retransmits is None:
            transit = self._network.reliable_transit(source, target, size)
            self._pipes[channel].put((channel, data), self._wire_free + transit)
        elif not self._network.loses(source, target, size):
            arrival = self._wire_free + self._network.transit(source, target)
            self._loop.call_at(
                arrival, self._land_lossy, channel, data, context=self._ends.receiver
            )

    # --- from the wire to the receiver ---

    def _land(self, item: tuple[int, bytes | None]) -> None:
        self._ends.deliver(*item)

    def _land_lossy(self, channel: int, data: bytes) -> None:
        if self._ends.lands():
            self._ends.deliver(channel, data)
