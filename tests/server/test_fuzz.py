"""Malformed messages, and what becomes of each of them (S1)."""

import asyncio
import json
import random
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psutil
import pytest

from tests.server.process import server_process
from tests.server.raw import BINARY, Closed, RawSocket
from tests.server.world import PATIENCE, Client
from thkmesh.core import wire
from thkmesh.core.identity import SessionKey
from thkmesh.core.sealed import RELAY_LIMIT_BYTES, UnknownVersion, addressed, addressee
from thkmesh.core.wire import Error, Message, Ping, Pong, encode
from thkmesh.errors import InvalidMessage

WARM_UP = 2_000
MESSAGES = 5_000
SETTINGS = "grace=0.5, room_ttl=0.5, message_rate=0, frame_rate=0"
"""Nobody is cut off for saying much: that is not what this is about."""
MARKER = Ping(2**53 - 1)
BROKEN = {"closed 1007", "closed 1009"}
NOBODY = SessionKey("z" * 26, "0" * 16)

ODD_VALUES = """
    null true false 0 -1 1.5 1e308 1e400 9007199254740992 18446744073709551616 "" "x" [] {} [[]]
    "\\ud800" "\\u0000" "\\udfff\\ud800" {"a":{"b":[]}} NaN Infinity -0 01 '' "2" ["lobby"]
""".split()  # noqa: SIM905 - a list of words, not of quotation marks


class Fuzzer:
    """Makes messages that are nearly right, from one seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def message(self, client: Client, nonce: str) -> str | bytes:
        """Return one mutated message, or garbage."""
        dice = self.dice
        kind = dice.randrange(80)
        if kind == 0:
            return self.frame(client)
        if kind == 1:
            return "".join(map(chr, dice.choices(range(0xD800), k=dice.randrange(200))))
        if kind == 2:
            depth = dice.choice([10, 500, 5000])
            return '{"type":"ping","x":' + "[" * depth + "]" * depth + "}"
        if kind == 3:
            return '{"type":"ping","n":' + "9" * dice.choice([16, 400, 60_000]) + "}"
        if kind == 4:
            return '{"type":"ping","x":"' + "y" * dice.choice([65_000, 66_000]) + '"}'
        fields = json.loads(encode(self.valid(client, nonce)))
        if kind < 68:
            return self.damaged_fields(fields)
        return self.damaged_text(json.dumps(fields, ensure_ascii=False))

    def valid(self, client: Client, nonce: str) -> Message:
        """Return a message that a client might send."""
        kind = self.dice.randrange(17)
        if kind == 0:
            return wire.Leave()
        if kind < 5:
            return Ping(kind)
        if kind < 7:
            return client.hello(nonce)
        signals = (wire.Offer, wire.Answer, wire.IceCandidate, wire.Restart, wire.Ack)
        return self.dice.choice(signals)(*self.envelope(client))

    def envelope(self, client: Client) -> tuple[Any, ...]:
        """Return the fields of a signal for nobody; the server verifies no signature."""
        me, seq = client.key, self.dice.randrange(1, 9)
        return (client.room, me.id, NOBODY.id, me.sid, NOBODY.sid, seq, 0, "{}", "s" * 86)

    def damaged_fields(self, fields: dict[str, object]) -> str:
        """Return an object with a field missing, strange, doubled, or of another type."""
        dice = self.dice
        name = dice.choice(list(fields))
        match dice.randrange(12):
            case 0:
                del fields[name]
            case 1:
                text = json.dumps(fields)
                return text[:-1] + f',"{name}":{dice.choice(ODD_VALUES)}' + "}"
            case 2:
                marker = secrets.token_hex(4)
                fields[name] = marker
                return json.dumps(fields).replace(f'"{marker}"', dice.choice(ODD_VALUES))
            case 3 | 4 | 5 | 6:
                fields["type"] = dice.choice(["hologram", "welcome", "chat-message", "", "PING"])
            case _:
                fields[f"x-{name}"] = [1, {"é": None}]
        return json.dumps(fields)

    def frame(self, client: Client) -> bytes:
        """Return a sealed frame, or what resembles one."""
        dice = self.dice
        size = dice.choice([24, 100, 66_000])
        frame = addressed(client.key, dice.randbytes(size))
        at = dice.randrange(60)
        return dice.choice(
            [
                frame,
                frame[:at],
                frame[:at] + dice.randbytes(1) + frame[at + 1 :],
                b"\x01" + dice.randbytes(dice.randrange(200)),
                dice.randbytes(dice.randrange(200)),
            ]
        )

    def damaged_text(self, text: str) -> str | bytes:
        """Return a text with some characters changed, or cut off."""
        dice = self.dice
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(text) + 1)
            some = dice.choice(['"', "{", "}", "\\", "\0", ",", "é", "\U0001f600", "\ud800", "7"])
            text = dice.choice(
                [text[:at] + some + text[at:], text[:at] + text[at + 1 :], text[: at + 1]]
            )
        return text


@dataclass
class Storm:
    """Sends what a fuzzer makes, and checks what comes back."""

    host: str
    fuzzer: Fuzzer
    client: Client = field(default_factory=lambda: Client(""))
    outcomes: Counter[str] = field(default_factory=Counter)
    socket: RawSocket | None = None
    nonce: str = ""
    joined: bool = False

    def __post_init__(self) -> None:
        self.client.room = self.client.key.id

    async def blow(self, number: int) -> None:
        """Send so many messages, coming back whenever one ends the connection."""
        for _ in range(number):
            socket = self.socket or await self.arrive()
            data = self.fuzzer.message(self.client, self.nonce)
            expected = self.expected(data)
            outcome = await self.outcome(socket, data, fatal=expected <= BROKEN)
            assert outcome in expected, f"{data[:300]!r}: {outcome!r}, not {expected}"
            self.outcomes[outcome] += 1

    async def arrive(self) -> RawSocket:
        """Connect anew, and mostly join."""
        self.socket = socket = await RawSocket.open(self.host)
        challenge = wire.decode_to_client(await socket.receive())
        assert isinstance(challenge, wire.Challenge)
        self.nonce = challenge.nonce
        self.joined = self.fuzzer.dice.random() < 0.9
        if self.joined:
            socket.send(encode(self.client.hello(self.nonce)).encode())
            assert isinstance(wire.decode_to_client(await socket.receive()), wire.Welcome)
        return socket

    def expected(self, data: str | bytes) -> set[str]:
        """Return what may become of a message."""
        if isinstance(data, bytes):
            return self.expected_of_frame(data)
        if not _encodable(data):
            return {"closed 1007"}
        if len(data.encode()) > wire.SIGNALING_LIMIT_BYTES:
            return {"closed 1009"}
        try:
            message = wire.decode_to_server(data)
        except wire.UnknownType:
            self.outcomes["unknown"] += 1
            return {""}
        except InvalidMessage:
            return {"closed 4400"}
        if isinstance(message, wire.Hello):
            return {"closed 4400", "closed 4401"}
        if not self.joined:
            return {"closed 4400"}
        if isinstance(message, wire.Leave):
            return {"closed 1000"}
        if isinstance(message, Ping):
            return {"Pong"}
        return {"closed 4400", "unsigned", "SignalRefused"}

    def expected_of_frame(self, frame: bytes) -> set[str]:
        """Return what may become of a binary message."""
        if len(frame) > RELAY_LIMIT_BYTES:
            return {"closed 1009"}
        try:
            addressee(frame)
        except UnknownVersion:
            self.outcomes["unknown"] += 1
            return {""}
        except InvalidMessage:
            return {"closed 4400"}
        return {""} if self.joined else {"closed 4400"}

    async def outcome(self, socket: RawSocket, data: str | bytes, *, fatal: bool) -> str:
        """Send a message and a marker behind it; tell what came before the marker's answer.

        Before the client has joined, the marker is its genuine hello; if it was welcome
        before, that is one hello too many, and the end. Where the WebSocket protocol
        itself is broken there is no marker: data behind the end would reset the socket.
        """
        said: list[str] = []
        if isinstance(data, bytes):
            socket.send(data, BINARY)
        else:
            socket.send(data.encode(errors="surrogatepass"))
        if not fatal:
            marker = MARKER if self.joined else self.client.hello(self.nonce)
            socket.send(encode(marker).encode())
        welcome_is_the_answer = not self.joined and not _is_hello(data)
        self.joined = True
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    answer = wire.decode_to_client(await socket.receive())
                    if answer == Pong(MARKER.n):
                        return " ".join(said)
                    if isinstance(answer, wire.Welcome) and welcome_is_the_answer:
                        return " ".join(said)
                    said.append(_word(answer))
        except Closed as closed:
            self.socket = None
            socket.cut()
            return f"closed {closed.code}"


def _word(answer: wire.ToClient) -> str:
    return answer.reason if isinstance(answer, Error) else type(answer).__name__


def _is_hello(data: str | bytes) -> bool:
    try:
        return isinstance(wire.decode_to_server(data), wire.Hello)
    except InvalidMessage:
        return False


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


async def harm(seed: int, warm_up: int, messages: int) -> None:
    """Blow at a server from four sides, and look what has become of it."""
    async with server_process(SETTINGS) as server:
        fuzzer = Fuzzer(seed)
        storms = [Storm(server.host, fuzzer) for _ in range(4)]
        await asyncio.gather(*(storm.blow(warm_up // 4) for storm in storms))
        memory = psutil.Process(server.process.pid).memory_info
        before = memory().rss
        await asyncio.gather(*(storm.blow(messages // 4) for storm in storms))
        assert memory().rss - before < 5 * 1024 * 1024
        outcomes = sum((storm.outcomes for storm in storms), Counter())
        async with httpx2.AsyncClient(trust_env=False) as http:
            health = (await http.get(f"http://{server.host}/healthz")).json()
        assert health["skippedMessages"] == outcomes["unknown"]
        for storm in storms:
            if storm.socket is not None:
                storm.socket.cut()
        kinds = {"", "Pong", "unsigned", "SignalRefused"}
        codes = {f"closed {code}" for code in (1000, 1007, 1009, 4400, 4401)}
        assert kinds | codes | {"unknown"} == set(outcomes), outcomes
        honest = Client(server.ws)
        await honest.join()
        await honest.cut()


@pytest.mark.parametrize("seed", range(4))
async def test_fuzzed_messages_harm_nobody(seed: int) -> None:
    """Each gets the answer or close code it deserves; the server lives and does not grow."""
    await harm(seed, WARM_UP, MESSAGES)


@pytest.mark.nightly
async def test_ninety_thousand_fuzzed_messages_harm_nobody() -> None:
    """S1, with the ten thousand frames of ``test_fuzz_frames``."""
    await harm(secrets.randbelow(2**32), WARM_UP, 90_000)
