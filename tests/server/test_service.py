"""The rooms on an event loop, without sockets, on virtual time."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.server.world import Client
from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import SessionKey
from thkmesh.core.sealed import RELAY_LIMIT_BYTES, addressed
from thkmesh.core.wire import Challenge, Error, IceServer, PeerLeft, Ping, Pong, Welcome, encode
from thkmesh.errors import InvalidArgument
from thkmesh.server import RoomService, ServerSettings
from thkmesh.server.names import readable_name
from thkmesh.server.service import Connection
from thkmesh.testing import clock


@dataclass
class Wire:
    """A client's end: what it has been sent, and how it was closed."""

    limit: int = 1000
    texts: list[str] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    closed: CloseCode | None = None

    def send(self, text: str) -> bool:
        """Take a message, up to the limit."""
        assert self.closed is None, "nothing follows a close"
        if len(self.texts) >= self.limit:
            return False
        self.texts.append(text)
        return True

    def relay(self, frame: bytes) -> None:
        """Take a sealed frame."""
        self.frames.append(frame)

    def close(self, code: int, reason: str) -> None:
        """Take note of the close code."""
        assert self.closed is None, "closed once"
        assert len(reason.encode()) <= 123, "it fits a close frame"
        self.closed = CloseCode(code)

    def heard(self) -> Iterator[wire.ToClient]:
        """Take what has been sent."""
        texts, self.texts = self.texts, []
        return map(wire.decode_to_client, texts)


def join(service: RoomService, client: Client) -> tuple[Wire, Connection]:
    """Bring a client into its room."""
    end = Wire()
    connection = service.open(end)
    [challenge] = end.heard()
    assert isinstance(challenge, Challenge)
    connection.received(encode(client.hello(challenge.nonce)))
    assert isinstance(wire.decode_to_client(end.texts.pop(0)), Welcome)
    return end, connection


def test_the_whole_grace_period_passes_on_virtual_time() -> None:
    """Half a minute after a drop, and not before, the others are told."""

    async def scenario() -> None:
        service, a, b = RoomService(), Client(""), Client("")
        _, ada = join(service, a)
        end, bob = join(service, b)
        ada.dropped()
        await asyncio.sleep(29.9)
        bob.received(encode(Ping(1)))
        assert list(end.heard()) == [Pong(1)]
        await asyncio.sleep(0.2)
        assert list(end.heard()) == [PeerLeft("lobby", *a.key, "timeout")]
        service.stop()
        assert end.closed is CloseCode.RESTARTING

    clock.run(scenario())


def test_a_client_that_takes_no_more_is_away() -> None:
    """It is closed with 4431, its session keeps its place, and what follows waits for it."""

    async def scenario() -> None:
        service, a, b = RoomService(), Client(""), Client("")
        full, _ = join(service, a)
        end, bob = join(service, b)
        full.limit = 3
        for seq in range(1, 10):
            bob.received(encode(b.offer(a.key, seq)))
        assert full.closed is CloseCode.SLOW_CONSUMER
        assert list(end.heard()) == []
        back, _ = join(service, a)
        assert [said.seq for said in back.heard() if isinstance(said, wire.Offer)] == [
            *range(4, 10)
        ]

    clock.run(scenario())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("x" * (wire.SIGNALING_LIMIT_BYTES + 1), CloseCode.TOO_LARGE),
        ("\U0001f98a" * (wire.SIGNALING_LIMIT_BYTES // 4) + "x", CloseCode.TOO_LARGE),
        ("\U0001f98a" * (wire.SIGNALING_LIMIT_BYTES // 4), CloseCode.INVALID),
        ("\ud800", CloseCode.INVALID),
        (b"\x01" * (RELAY_LIMIT_BYTES + 1), CloseCode.TOO_LARGE),
        (b"\x01", CloseCode.INVALID),
        (b"\x01" * 100, CloseCode.INVALID),
        (addressed(SessionKey("a" * 26, "0" * 16), bytes(24)), CloseCode.INVALID),
    ],
    ids=[
        "characters",
        "bytes",
        "just fits",
        "a lone surrogate",
        "a large frame",
        "a short frame",
        "a frame for nobody",
        "a frame before the hello",
    ],
)
async def test_limits_hold_whatever_carries_the_messages(
    said: str | bytes, code: CloseCode
) -> None:
    """A mounted app, or a simulated network, may let through what our server would not."""
    end = Wire()
    connection = RoomService().open(end)
    connection.received(said)
    assert end.closed is code
    assert isinstance([*end.heard()][-1], Error)
    connection.received("anything")
    connection.dropped()
    assert list(end.heard()) == []


async def test_a_stopped_service_takes_nobody_in() -> None:
    """Whoever comes is sent away at once."""
    service, end = RoomService(), Wire()
    service.stop()
    service.open(end)
    assert end.closed is CloseCode.RESTARTING
    assert service.create("lobby") is None


async def test_with_seeded_entropy_everything_repeats() -> None:
    """Epoch, nonces and names follow from the seed, and differ with it."""
    seen: list[list[str]] = []
    for seed in (1, 1, 2):
        service, end = RoomService(entropy=random.Random(seed).randbytes), Wire()
        service.open(end)
        view = service.create()
        assert view is not None
        seen.append([service.epoch, *end.texts, view.room])
    assert seen[0] == seen[1] != seen[2]


async def test_a_name_that_is_taken_is_not_given_again() -> None:
    """Dice that fall alike twice are thrown once more."""
    thrown = iter([bytes(8), bytes(8), bytes(8), bytes(7) + b"\1"])
    service = RoomService(entropy=lambda _: next(thrown))
    first, second = service.create(), service.create()
    assert first is not None
    assert second is not None
    assert first.room == "able-badger-10"
    assert second.room != first.room


def test_names_are_readable_and_many() -> None:
    """Two words and a number; a thousand draws hardly repeat."""
    dice = random.Random(7)
    names = {readable_name(dice.randbytes) for _ in range(1000)}
    assert len(names) > 990
    assert all(len(name) <= 20 for name in names)


@pytest.mark.parametrize(
    "limits",
    [
        {"outgoing_messages": 257},
        {"outgoing_bytes": 256 * 1024},
        {"max_peers": 100, "outgoing_bytes": 512 * 1024},
        {"max_peers": 0},
        {"max_peers": 101},
    ],
)
def test_settings_that_cannot_work_are_refused(limits: dict[str, int]) -> None:
    """A welcome must hold a full room, and who was away must take in what waited."""
    with pytest.raises(InvalidArgument):
        ServerSettings(**limits)  # type: ignore[arg-type]


STUN = IceServer(("stun:example.org:3478",))


@pytest.mark.parametrize(
    ("servers", "sentence"),
    [
        ((IceServer(("stun://example.org",)),), "'stun://example.org' is no URL like stun:host"),
        ((STUN, IceServer(("turn:example.org",), "ada")), "turn:example.org needs a username and"),
        ((IceServer(()),), "an IceServer needs a URL"),
        ((STUN,) * 30_000, "cannot hold so many ice_servers"),
    ],
)
def test_ice_servers_that_peers_could_not_use_are_refused(
    servers: tuple[IceServer, ...], sentence: str
) -> None:
    """One of them would keep every page from connecting, and too many from joining."""
    with pytest.raises(InvalidArgument, match=sentence):
        ServerSettings(ice_servers=servers, outgoing_bytes=2**30)


def test_many_ice_servers_count_as_part_of_a_welcome() -> None:
    """What waits for a client must still hold the welcome that names them all."""
    ServerSettings(ice_servers=(STUN,) * 1000)
    with pytest.raises(InvalidArgument, match="outgoing limits must hold a welcome"):
        ServerSettings(ice_servers=(STUN,) * 22_000)
