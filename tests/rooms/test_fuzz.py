"""A server that babbles: whatever it says, its clients live on (promise S1)."""

import asyncio
import secrets
from collections import Counter

import psutil
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.rooms.babble import Babble
from tests.rooms.conftest import StartPeers
from tests.rooms.figures import report
from tests.rooms.processes import PATIENCE, PeerProcess
from thkmesh.core import wire
from thkmesh.core.identity import proof_payload
from thkmesh.keys import verify

WARM_UP = 2_000
PORTION = 100
GROWTH_LIMIT_BYTES = 5 * 1024 * 1024
ROOM = "lobby"
TYPED = {
    "IdentityMismatch",
    "InvalidMessage",
    "InvalidSignature",
    "MalformedBody",
    "Unsigned",
    "WrongEnvelope",
}


class Babbler:
    """A server with one client, to whom it talks nonsense."""

    def __init__(self, client: PeerProcess, seed: int, count: int) -> None:
        """Be about to say so much to a client."""
        self.growth = 0
        self.babble: Babble
        self._client = client
        self._seed = seed
        self._count = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self, socket: ServerConnection) -> None:
        """Talk to the client; ends ``done``."""
        try:
            await self._talk(socket)
        except BaseException as error:
            self.done.set_exception(error)
            raise
        self.done.set_result(None)

    async def _talk(self, socket: ServerConnection) -> None:
        hello = await greet(socket)
        self.babble = Babble(self._seed, ROOM, hello.session)
        await socket.send(wire.encode(wire.Welcome(room_id=ROOM, epoch="a", resume="b")))
        process = psutil.Process(self._client.pid)
        before = 0
        for said in range(0, WARM_UP + self._count, PORTION):
            if said == WARM_UP:
                before = process.memory_info().rss
            for _ in range(PORTION):
                await socket.send(self.babble.message())
            # Its answer proves that it has heard all this, and is alive and sane.
            await greet(socket)
        self.growth = process.memory_info().rss - before


async def greet(socket: ServerConnection) -> wire.Hello:
    """Challenge the client; return its hello, which must be genuine."""
    nonce = secrets.token_hex(16)
    await socket.send(wire.encode(wire.Challenge(nonce, "a", wire.VERSIONS)))
    async with asyncio.timeout(PATIENCE):
        while True:
            said = wire.decode_to_server(await socket.recv())
            if isinstance(said, wire.Hello):
                break
    assert verify(said.key, said.proof, proof_payload(nonce, ROOM, said.session))
    return said


@pytest.mark.parametrize("count", [20_000, pytest.param(500_000, marks=pytest.mark.nightly)])
async def test_a_babbling_server_harms_nobody(start_peers: StartPeers, count: int) -> None:
    """Each message that breaks the protocol is a typed event; memory stays as it is."""
    seed = secrets.randbits(32)
    [client] = await start_peers(1)
    babbler = Babbler(client, seed, count)
    async with serve(babbler.serve, "127.0.0.1", 0) as server:
        [socket] = server.sockets
        client.join(f"http://127.0.0.1:{socket.getsockname()[1]}", ROOM)
        await babbler.done
        # What it has refused it may still be about to tell us.
        await client.until(lambda: len(client.of("Refused")) >= babbler.babble.invalid)
    refused = Counter(line["error"] for line in client.of("Refused"))
    report(f"seed {seed}: {dict(refused)}, memory grew by {babbler.growth / 2**20:.1f} MiB")
    assert babbler.babble.invalid > count // 5, f"seed {seed}"
    assert set(refused) <= TYPED, f"seed {seed}"
    assert not client.of("Message")
    assert babbler.growth < GROWTH_LIMIT_BYTES, f"seed {seed}"
