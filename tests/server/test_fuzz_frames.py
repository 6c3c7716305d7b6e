"""Malformed WebSocket frames, and what becomes of each of them (S1, RFC 6455)."""

import asyncio
import random
import secrets
from collections import Counter
from dataclasses import dataclass, field

import psutil
import pytest

from tests.server.process import ServerProcess, server_process
from tests.server.raw import BINARY, TEXT, Closed, RawSocket, frame
from tests.server.world import PATIENCE, Client
from thkmesh.core import wire
from thkmesh.core.wire import Ping, Pong, encode

WARM_UP = 400
FRAMES = 1_600
MARKER = Ping(2**53 - 1)

FIN = 0x80
CONTINUATION, CLOSE, PING, PONG = 0, 8, 9, 10
PROTOCOL_ERROR, NO_TEXT, TOO_LARGE = "closed 1002", "closed 1007", "closed 1009"
CUT = "closed 1006"


@dataclass
class Case:
    """Some bytes, what may become of them, and whether nothing can follow."""

    data: bytes
    expected: set[str]
    last: bool = False


@dataclass
class FrameFuzzer:
    """Makes frames that are nearly right, from one seed."""

    dice: random.Random

    def case(self) -> Case:
        """Return one case of any kind."""
        kinds = (
            self.reserved,
            self.unmasked,
            self.control,
            self.lost_continuation,
            self.broken_fragments,
            self.whole_fragments,
            self.oversized,
            self.no_text,
            self.closing,
            self.truncated,
            self.garbage,
        )
        return self.dice.choice(kinds)()

    def payload(self, most: int = 100) -> bytes:
        """Return some bytes."""
        return self.dice.randbytes(self.dice.randrange(most))

    def reserved(self) -> Case:
        """Return a frame with reserved bits, or of an opcode that means nothing."""
        bits = self.dice.choice([0x40, 0x20, 0x10, 0x70, 0])
        opcode = self.dice.choice([TEXT, BINARY, PING] if bits else [3, 4, 5, 6, 7, 11, 12, 15])
        return Case(frame(self.payload(), FIN | bits | opcode), {PROTOCOL_ERROR})

    def unmasked(self) -> Case:
        """Return a frame as only servers send them."""
        opcode = self.dice.choice([TEXT, BINARY, PING])
        return Case(frame(self.payload(), FIN | opcode, masked=False), {PROTOCOL_ERROR})

    def control(self) -> Case:
        """Return control frames: too long, in fragments, or many that are right."""
        kind = self.dice.choice([CLOSE, PING, PONG])
        match self.dice.randrange(3):
            case 0:
                data = frame(self.dice.randbytes(self.dice.choice([126, 200, 5000])), FIN | kind)
                return Case(data, {PROTOCOL_ERROR, TOO_LARGE})
            case 1:
                return Case(frame(self.payload(), kind), {PROTOCOL_ERROR})
            case _:
                few = range(self.dice.randrange(1, 50))
                kinds = [self.dice.choice([PING, PONG]) for _ in few]
                return Case(b"".join(frame(self.payload(), FIN | each) for each in kinds), {""})

    def lost_continuation(self) -> Case:
        """Return a continuation of nothing."""
        return Case(frame(self.payload(), self.dice.choice([0, FIN])), {PROTOCOL_ERROR})

    def broken_fragments(self) -> Case:
        """Return a message that begins in the middle of another."""
        data = frame(self.payload(), TEXT) + frame(self.payload(), CONTINUATION)
        return Case(data + frame(self.payload(), FIN | TEXT), {PROTOCOL_ERROR})

    def whole_fragments(self) -> Case:
        """Return a ping of ours in fragments, some empty, with control frames between."""
        text = encode(Ping(3)).encode()
        cuts = sorted(self.dice.choices(range(len(text) + 1), k=self.dice.randrange(30)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        data = b""
        for index, piece in enumerate(pieces):
            end = FIN if index == len(pieces) - 1 else 0
            data += frame(piece, end | (CONTINUATION if index else TEXT))
            if not end and self.dice.random() < 0.3:
                data += frame(self.payload(), FIN | PING)
        return Case(data, {"Pong"})

    def oversized(self) -> Case:
        """Return a head that promises more than any message may have."""
        size = self.dice.choice([65_537, 2**20, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
        data = frame(self.payload(), FIN | self.dice.choice([TEXT, BINARY]), size=size)
        return Case(data, {TOO_LARGE, PROTOCOL_ERROR})

    def no_text(self) -> Case:
        """Return text that is no UTF-8, whole or cut in the middle of a character."""
        wrong = self.dice.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"])
        return Case(frame(b'{"type":"ping"}' + wrong, FIN | TEXT), {NO_TEXT})

    def closing(self) -> Case:
        """Return a close frame: without code, with one that is no code, or with words."""
        match self.dice.randrange(4):
            case 0:
                return Case(frame(b"", FIN | CLOSE), {"closed 1005"})
            case 1:
                return Case(frame(b"\x03", FIN | CLOSE), {PROTOCOL_ERROR})
            case 2:
                code = self.dice.choice([0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535])
                return Case(frame(code.to_bytes(2, "big"), FIN | CLOSE), {PROTOCOL_ERROR})
            case _:
                code = self.dice.choice([1000, 1001, 3000, 4999])
                data = code.to_bytes(2, "big") + "tschüß".encode()
                return Case(frame(data, FIN | CLOSE), {f"closed {code}"})

    def truncated(self) -> Case:
        """Return a frame that breaks off with the connection."""
        data = frame(b"x" * self.dice.choice([10, 1000, 60_000]), FIN | TEXT)
        cut = data[: self.dice.randrange(1, len(data))]
        return Case(cut, {CUT, PROTOCOL_ERROR}, last=True)

    def garbage(self) -> Case:
        """Return what resembles nothing."""
        data = self.dice.randbytes(self.dice.randrange(1, 3000))
        every = {CUT, PROTOCOL_ERROR, NO_TEXT, TOO_LARGE, "closed 4400", "closed 1005", ""}
        return Case(data, every, last=True)


@dataclass
class FrameStorm:
    """Sends what a fuzzer makes, and checks what comes back."""

    server: ServerProcess
    fuzzer: FrameFuzzer
    outcomes: Counter[str] = field(default_factory=Counter)
    socket: RawSocket | None = None

    async def blow(self, number: int) -> None:
        """Send so many, coming back whenever one ends the connection."""
        for _ in range(number):
            socket = self.socket or await self.arrive()
            case = self.fuzzer.case()
            outcome = await self.outcome(socket, case)
            assert outcome in case.expected, f"{case.data[:80]!r}: {outcome!r} {case.expected}"
            self.outcomes[outcome] += 1

    async def arrive(self) -> RawSocket:
        """Join anew, as somebody else."""
        self.socket = socket = await RawSocket.open(self.server.host)
        client = Client("", room="frames")
        client.room = client.key.id
        challenge = wire.decode_to_client(await socket.receive())
        assert isinstance(challenge, wire.Challenge)
        socket.send(encode(client.hello(challenge.nonce)).encode())
        assert isinstance(wire.decode_to_client(await socket.receive()), wire.Welcome)
        return socket

    async def outcome(self, socket: RawSocket, case: Case) -> str:
        """Send a case and a marker behind it; tell what came before the marker's answer.

        Where the case ends the connection there is no marker: it would reset the socket.
        """
        said: list[str] = []
        socket.writer.write(case.data)
        if case.last:
            socket.writer.write_eof()
        elif case.expected & {"", "Pong"}:
            socket.send(encode(MARKER).encode())
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    answer = wire.decode_to_client(await socket.receive())
                    if answer == Pong(MARKER.n):
                        return " ".join(said)
                    if not isinstance(answer, wire.Error):
                        said.append(type(answer).__name__)
        except Closed as closed:
            self.socket = None
            socket.cut()
            return f"closed {closed.code or 1005}"


async def harm(seed: int, warm_up: int, frames: int) -> Counter[str]:
    """Blow at a server from four sides; return what became of it all."""
    async with server_process("grace=0.5, room_ttl=0.5, message_rate=0, frame_rate=0") as server:
        fuzzer = FrameFuzzer(random.Random(seed))
        storms = [FrameStorm(server, fuzzer) for _ in range(4)]
        await asyncio.gather(*(storm.blow(warm_up // 4) for storm in storms))
        memory = psutil.Process(server.process.pid).memory_info
        before = memory().rss
        await asyncio.gather(*(storm.blow(frames // 4) for storm in storms))
        assert memory().rss - before < 5 * 1024 * 1024, f"seed {seed}"
        for storm in storms:
            if storm.socket is not None:
                storm.socket.cut()
        honest = Client(server.ws)
        await honest.join()
        await honest.cut()
    return sum((storm.outcomes for storm in storms), Counter())


async def test_fuzzed_frames_harm_nobody() -> None:
    """Each ends in the close code it deserves, or in none; the server lives and does not grow."""
    outcomes = await harm(0, WARM_UP, FRAMES)
    assert {"", "Pong", PROTOCOL_ERROR, NO_TEXT, TOO_LARGE, CUT, "closed 1000"} <= set(outcomes)


@pytest.mark.nightly
async def test_ten_thousand_fuzzed_frames_harm_nobody() -> None:
    """S1, with the ninety thousand messages of ``test_fuzz``."""
    await harm(secrets.randbelow(2**32), 2 * WARM_UP, 10_000)
