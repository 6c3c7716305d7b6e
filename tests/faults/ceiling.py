"""What the wire itself can carry: ``python -m tests.faults.ceiling``.

Two namespaces, a wire between them, and as many datagrams of UDP as one process can
send. What arrives is the ceiling of everything that is measured on the wire: a
figure above 70 % of it says more of the wire than of what ran over it. The sender
takes a core of its own, so on a small machine this is a lower bound.
"""

import argparse
import asyncio
import socket
import sys
import time
from asyncio.subprocess import PIPE
from contextlib import ExitStack
from dataclasses import dataclass

from tests.faults import wiring
from tests.namespaces import Namespace
from tests.rooms.figures import report
from tests.rooms.processes import ROOT

__all__ = ["Ceiling", "measure"]

SENDER, RECEIVER = "198.18.0.1", "198.18.0.2"
PORT = 9
_BUFFER_BYTES = 4 * 2**20
_LULL = 0.5
"""Seconds without a datagram that end the count."""


@dataclass(frozen=True)
class Ceiling:
    """What a wire carried.

    Attributes:
        packets: a second.
        megabytes: a second, of 1,000,000 bytes of payload.
        lost: the share of what was sent that did not arrive.
    """

    packets: float
    megabytes: float
    lost: float


def send(address: str, size: int, seconds: float) -> int:
    """Send datagrams as fast as it goes; return how many."""
    payload = bytes(size)
    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        sending.connect((address, PORT))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sending.send(payload)
            count += 1
    return count


def receive(listening: socket.socket, patience: float) -> tuple[int, float]:
    """Count datagrams until there are no more; return how many in which time."""
    listening.settimeout(patience)
    listening.recv(65_536)
    listening.settimeout(_LULL)
    began = last = time.monotonic()
    count = 0
    try:
        while True:
            listening.recv(65_536)
            count += 1
            last = time.monotonic()
    except TimeoutError:
        return count, last - began


def listen(address: str) -> socket.socket:
    """Return a socket with room for a lull of ours."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    listening.bind((address, PORT))
    return listening


async def measure(
    sender: Namespace, receiver: Namespace, address: str, *, size: int, seconds: float
) -> Ceiling:
    """Flood an address from one namespace to the other, for so many seconds."""
    words = (sys.executable, "-m", "tests.faults.ceiling", "--send", address)
    with receiver.within(lambda: listen(address)) as listening:
        process = await asyncio.create_subprocess_exec(
            *(*sender.prefix, *words, "--size", str(size), "--seconds", str(seconds)),
            cwd=ROOT,
            stdout=PIPE,
        )
        count, duration = await asyncio.to_thread(receive, listening, seconds + 20.0)
        sent, _ = await process.communicate()
    return Ceiling(count / duration, count * size / duration / 1e6, 1 - count / int(sent))


async def compare(size: int, seconds: float) -> None:
    """Report the ceiling of a wire without rules, and of one that delays."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(Namespace.opened()) for _ in range(2))
        async with wiring.laid((one, "eth0"), (other, "eth0"), "ceiling") as wire:
            for namespace, address in ((one, SENDER), (other, RECEIVER)):
                namespace.ip(
                    "link set eth0 addrgenmode none",
                    f"addr add {address}/24 dev eth0",
                    "link set eth0 up",
                )
            for delay in (0.0, 0.025):
                await wire.set(delay=delay)
                found = await measure(one, other, RECEIVER, size=size, seconds=seconds)
                report(
                    f"{size} bytes, delay {delay * 1000:g} ms: {found.packets:,.0f} packets/s, "
                    f"{found.megabytes:.1f} MB/s; {found.lost:.0%} of the flood found no room"
                )


def main() -> None:
    """Measure, or send for who measures."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.ceiling")
    parser.add_argument("--size", type=int, default=1_200, help="bytes of payload")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each flood")
    parser.add_argument("--send", metavar="ADDRESS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        report(str(send(arguments.send, arguments.size, arguments.seconds)))
    else:
        asyncio.run(compare(arguments.size, arguments.seconds))


if __name__ == "__main__":
    main()
