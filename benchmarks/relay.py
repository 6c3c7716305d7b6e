"""What the signaling server spends on passing on one signal.

``python -m benchmarks.relay`` starts a server process, fills twenty rooms of ten over
loopback, and lets a hundred pairs bounce signals, one under way in each pair. The figure
is the server's processor time (user and system) for each signal passed on; the clients
run in this process and do not count.
"""

import argparse
import asyncio
import statistics

import psutil

from tests.server.process import ServerProcess, server_process
from tests.server.raw import Closed, RawSocket
from tests.server.world import Client
from thkmesh.core import wire
from thkmesh.core.identity import SessionKey
from thkmesh.keys import Identity

ROOMS = 20
PEERS = 10
SIZES = (300, 2048)


class Bouncer:
    """One client, which sends a signal to its partner whenever it gets one."""

    def __init__(self, room: str) -> None:
        self.client = Client("", Identity.generate(), room=room)
        self.received = 0

    async def join(self, host: str) -> None:
        """Connect and enter the room."""
        self.socket = await RawSocket.open(host)
        challenge = wire.decode_to_client(await self.socket.receive())
        assert isinstance(challenge, wire.Challenge)
        self.socket.send(wire.encode(self.client.hello(challenge.nonce)).encode())
        await self.socket.receive()

    def aim(self, partner: SessionKey, size: int) -> None:
        """Make the signal: ``size`` bytes, filled up with a field that nobody knows."""
        me = self.client.key
        signal: wire.Signal = wire.Ack(self.client.room, me.id, partner.id, me.sid, partner.sid)
        if size > 1024:
            signal = self.client.offer(partner, body="x" * 1024)
        text = wire.encode(signal)[:-1] + ',"x":"'
        self.signal = (text + "y" * (size - len(text) - 2) + '"}').encode()
        assert len(self.signal) == size

    def serve(self) -> None:
        """Begin."""
        self.socket.send(self.signal)

    async def bounce(self) -> None:
        """Answer every signal with one, until the server is gone."""
        try:
            while True:
                message = await self.socket.receive()
                if message.startswith(b'{"type":"webrtc-'):
                    self.received += 1
                    self.socket.send(self.signal)
        except Closed:
            return


async def measure(server: ServerProcess, size: int, seconds: float, runs: int) -> list[float]:
    """Return the microseconds of processor time for each signal, run by run."""
    crowd = [Bouncer(f"room-{size}-{number // PEERS}") for number in range(ROOMS * PEERS)]
    for bouncer in crowd:
        await bouncer.join(server.host)
    for one, other in zip(crowd[::2], crowd[1::2], strict=True):
        one.aim(other.client.key, size)
        other.aim(one.client.key, size)
    async with asyncio.TaskGroup() as group:
        for bouncer in crowd:
            group.create_task(bouncer.bounce())
        for bouncer in crowd[::2]:
            bouncer.serve()
        process = psutil.Process(server.process.pid)
        figures: list[float] = []
        await asyncio.sleep(seconds / 2)
        for _ in range(runs):
            before, count = process.cpu_times(), sum(each.received for each in crowd)
            await asyncio.sleep(seconds)
            after, more = process.cpu_times(), sum(each.received for each in crowd)
            spent = after.user + after.system - before.user - before.system
            figures.append(spent / (more - count) * 1e6)
            print(f"{size} bytes: {figures[-1]:.1f} us, {(more - count) / seconds:.0f} a second")
        for bouncer in crowd:
            bouncer.socket.cut()
    return figures


async def main(seconds: float, runs: int) -> None:
    """Measure both sizes and print the medians."""
    async with server_process() as server:
        for size in SIZES:
            figures = await measure(server, size, seconds, runs)
            print(
                f"{size} bytes: median {statistics.median(figures):.1f} us, "
                f"least {min(figures):.1f} us of server processor time a signal"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each run")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    asyncio.run(main(args.seconds, args.runs))
