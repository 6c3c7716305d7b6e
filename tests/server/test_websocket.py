"""The WebSocket of a real server: every rule and every close code, over loopback."""

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.server.world import Client, server, until
from thkmesh.core import wire
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import SessionKey, hello_payload
from thkmesh.core.sealed import RELAY_LIMIT_BYTES, addressed
from thkmesh.core.wire import (
    Ack,
    Error,
    Leave,
    PeerLeft,
    PeerReady,
    Ping,
    Pong,
    SignalRefused,
    encode,
)
from thkmesh.keys import Identity, verify
from thkmesh.server import ServerSettings

STRANGER = SessionKey("z" * 26, "0" * 16)


async def quiet(client: Client) -> bool:
    """Tell whether the server has said nothing to a client that it did not have to."""
    await client.send(Ping(999))
    return await client.next() == Pong(999)


# --- entering ---------------------------------------------------------------------


async def test_two_clients_meet_and_exchange_signals() -> None:
    """The whole way: challenge, hello, welcome, peer-ready, signals, leave, peer-left."""
    async with server() as world:
        a, b = world.client(), world.client()
        challenge = await a.connect()
        assert challenge.protocol == wire.VERSIONS
        assert len(challenge.nonce) == 32
        await a.send(a.hello(challenge.nonce, "Ada"))
        welcome = await a.expect(wire.Welcome)
        assert (welcome.room_id, welcome.epoch, welcome.peers) == ("lobby", challenge.epoch, ())
        assert (len(welcome.resume), welcome.resumed, welcome.ping_interval) == (32, False, 20.0)
        listed = (await b.join("Bob")).peers
        assert [(ready.session, ready.key) for ready in listed] == [(a.key, a.identity.public_key)]
        assert wire.decode_introduction(listed[0].body).name == "Ada"
        assert (await a.expect(PeerReady)).session == b.key
        await a.send(a.offer(b.key))
        assert await b.next() == a.offer(b.key)
        await b.send(Leave())
        assert await b.closed() is CloseCode.NORMAL
        assert await a.next() == PeerLeft("lobby", *b.key, "left")


async def test_introductions_can_be_verified_by_everybody() -> None:
    """What the others are told is signed by the peer, not vouched for by the server."""
    async with server() as world:
        a = await world.joined()
        b = world.client()
        await b.join("Bob")
        ready = await a.expect(PeerReady)
        said = hello_payload(ready.room_id, ready.session, ready.key, ready.body)
        assert verify(ready.key, ready.signature, said)


async def test_signals_travel_as_the_exact_text() -> None:
    """Spaces, escapes, the order of fields and unknown ones arrive as they were sent."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        fields = json.loads(encode(a.offer(b.key, body='{"x":"é"}')))
        text = json.dumps(fields | {"surprise": [1, {"é": None}]}, indent=1)
        await a.send(text)
        assert await b.text() == text


async def test_bare_acknowledgements_pass() -> None:
    """They carry no body and no signature."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        ack = Ack("lobby", a.key.id, b.key.id, a.sid, b.sid, ack=7)
        await a.send(ack)
        assert await b.next() == ack


async def test_two_rooms_hear_nothing_of_each_other() -> None:
    """No peer-ready, no signal, no peer-left crosses from one to the other."""
    async with server() as world:
        a, b = await world.joined("left"), await world.joined("right")
        await b.send(b.offer(a.key))
        assert await b.next() == SignalRefused(*a.key, 1, "unknown-session")
        await b.send(Leave())
        assert await b.closed() is CloseCode.NORMAL
        assert await quiet(a)


def _forged(client: Client, nonce: str) -> dict[str, tuple[wire.Hello, str, CloseCode]]:
    """Return hellos that must not be believed, with the reason and code of the refusal."""
    other = Identity.generate()
    genuine = client.hello(nonce)
    unauthorized, invalid = CloseCode.UNAUTHORIZED, CloseCode.INVALID
    identity, signature = "identity-mismatch", "invalid-signature"
    stolen = client.hello(nonce, key=other.public_key)
    future = wire.encode_body(wire.Introduction(protocol=(2, 9)))
    past_nonce = client.hello("0" * 32).proof
    upper = client.hello(nonce, from_user_id=client.key.id.upper())
    return {
        "another's key": (stolen, identity, unauthorized),
        "another's id": (client.hello(nonce, from_user_id=other.id), identity, unauthorized),
        "an id in capitals": (upper, identity, unauthorized),
        "a key that is none": (client.hello(nonce, key="!" * 43), identity, unauthorized),
        "another room": (client.hello(nonce, room_id="vault"), signature, unauthorized),
        "another sid": (client.hello(nonce, from_sid="0" * 16), signature, unauthorized),
        "another signature": (
            client.hello(nonce, signature=genuine.proof),
            signature,
            unauthorized,
        ),
        "an old proof": (client.hello(nonce, proof=past_nonce), signature, unauthorized),
        "no JSON inside": (client.hello(nonce, body="{"), "invalid-message", invalid),
        "no hello inside": (client.hello(nonce, body='{"kind":"x"}'), "unknown-type", invalid),
        "versions to come": (
            client.hello(nonce, body=future),
            "protocol-mismatch",
            CloseCode.PROTOCOL_MISMATCH,
        ),
        "too long": (client.hello(nonce, body=_long_body()), "introduction-too-large", invalid),
    }


def _long_body() -> str:
    said = wire.Introduction(protocol=wire.VERSIONS, metadata={"x": "y" * 6000})
    return wire.encode_body(said)


_ANY = Client("ws://nowhere")


@pytest.mark.parametrize("forgery", _forged(_ANY, "0" * 32))
async def test_no_hello_is_believed_that_does_not_prove_itself(forgery: str) -> None:
    """Each way to lie about oneself gets its reason and its close code, and no entry."""
    async with server() as world:
        client = world.client()
        challenge = await client.connect()
        hello, reason, code = _forged(client, challenge.nonce)[forgery]
        await client.send(hello)
        assert (await client.expect(Error)).reason == reason
        assert await client.closed() is code
        assert world.service.room_count == 0


async def test_a_recorded_hello_is_worth_nothing() -> None:
    """A hello proves possession of the key now: its replay fails on the next challenge."""
    async with server() as world:
        a, thief = world.client(), world.client()
        hello = a.hello((await a.connect()).nonce)
        await a.send(hello)
        await a.expect(wire.Welcome)
        await thief.connect()
        await thief.send(hello)
        assert await thief.closed() is CloseCode.UNAUTHORIZED
        assert await quiet(a)


async def test_a_silent_connection_is_closed_in_time() -> None:
    """Whoever does not say hello in time is closed with 4408."""
    async with server(ServerSettings(hello_timeout=0.05)) as world:
        client = world.client()
        await client.connect()
        assert await client.closed() is CloseCode.HELLO_TIMEOUT


async def test_a_full_room_says_so() -> None:
    """The eleventh is refused with 4430."""
    async with server() as world:
        for _ in range(10):
            await world.joined()
        eleventh = world.client()
        challenge = await eleventh.connect()
        await eleventh.send(eleventh.hello(challenge.nonce))
        assert (await eleventh.expect(Error)).reason == "room-full"
        assert await eleventh.closed() is CloseCode.ROOM_FULL


async def test_a_server_full_of_rooms_says_so() -> None:
    """A room beyond the maximum is refused with 1013."""
    async with server(ServerSettings(max_rooms=1)) as world:
        await world.joined("one")
        late = world.client("two")
        await late.send(late.hello((await late.connect()).nonce))
        assert await late.closed() is CloseCode.OVERLOADED


# --- coming back ------------------------------------------------------------------


async def test_the_newest_session_of_an_identity_wins() -> None:
    """The older gets an error and 4409, the others see it replaced."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        await a.expect(PeerReady)
        again = world.client(identity=a.identity)
        await again.join()
        assert (await a.expect(Error)).reason == "replaced"
        assert await a.closed() is CloseCode.REPLACED
        assert await b.next() == PeerLeft("lobby", *a.key, "replaced")
        assert (await b.expect(PeerReady)).session == again.key


async def test_a_newer_connection_of_a_session_takes_over() -> None:
    """The older connection gets 4410, and nobody else hears of it."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        again = world.client(identity=a.identity, sid=a.sid)
        assert (await again.join()).resumed
        assert await a.closed() is CloseCode.SUPERSEDED
        assert await quiet(b)


@pytest.mark.parametrize("clean", [False, True], ids=["cut", "closed"])
async def test_a_return_loses_no_signal_and_is_noticed_by_nobody(*, clean: bool) -> None:
    """Signals sent while a session was away follow its welcome, in order."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        if clean:
            await a.socket.close(1000)
        await a.cut()
        await until(lambda: world.service.connection_count == 1)
        for seq in range(1, 101):
            await b.send(b.offer(a.key, seq))
        assert await quiet(b)
        assert (await a.join()).resumed
        for seq in range(1, 101):
            assert await a.next() == b.offer(a.key, seq)
        assert await quiet(a)
        assert await quiet(b)


async def test_a_page_that_goes_away_is_gone_at_once() -> None:
    """Browsers close with 1001 when the page goes, some before it can say goodbye."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        await a.socket.close(1001)
        assert await b.next() == PeerLeft("lobby", *a.key, "timeout")
        assert not (await a.join()).resumed


async def test_what_waits_is_bounded() -> None:
    """Signal 257 for somebody who is away is refused, and still owed by its sender."""
    async with server(ServerSettings(message_rate=0)) as world:
        a, b = await world.joined(), await world.joined()
        await a.cut()
        await until(lambda: world.service.connection_count == 1)
        for seq in range(1, 258):
            await b.send(b.offer(a.key, seq))
        assert await b.next() == SignalRefused(*a.key, 257, "queue-full")
        await a.join()
        assert [(await a.expect(wire.Offer)).seq for _ in range(256)] == [*range(1, 257)]


async def test_after_the_grace_period_a_session_is_gone() -> None:
    """Then, and only then, the others are told; coming back is arriving."""
    async with server(ServerSettings(grace=0.05)) as world:
        a, b = await world.joined(), await world.joined()
        await a.cut()
        assert await b.next() == PeerLeft("lobby", *a.key, "timeout")
        assert not (await a.join()).resumed
        assert (await b.expect(PeerReady)).session == a.key


async def test_a_session_that_says_nothing_is_closed() -> None:
    """Silence costs the connection (4411); pings keep it."""
    async with server(ServerSettings(idle_timeout=0.3)) as world:
        a, b = await world.joined(), await world.joined()
        ended = asyncio.create_task(a.closed())
        while not ended.done():
            assert await quiet(b)
            await asyncio.wait({ended}, timeout=0.05)
        assert ended.result() is CloseCode.IDLE


# --- what must not be said ------------------------------------------------------------


async def test_signals_are_fenced_by_session() -> None:
    """A signal for another life of a peer, or for a stranger, is refused, not delivered."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        await a.expect(PeerReady)
        for to in (SessionKey(b.key.id, "f" * 16), STRANGER):
            await a.send(a.offer(to, 4))
            assert await a.next() == SignalRefused(*to, 4, "unknown-session")
        assert await quiet(b)


async def test_nobody_speaks_for_another() -> None:
    """A signal in another's name closes with 4400 and is not delivered."""
    async with server() as world:
        a, b, c = await world.joined(), await world.joined(), await world.joined()
        await b.expect(PeerReady)
        await a.send(b.offer(c.key))
        assert await a.closed() is CloseCode.INVALID
        assert await quiet(c)


async def test_the_seeds_unsigned_signals_are_refused_gently() -> None:
    """They get an error and go nowhere; the connection stands."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        await a.expect(PeerReady)
        seed = {
            "type": "webrtc-offer",
            "roomId": "lobby",
            "fromUserId": a.key.id,
            "toUserId": b.key.id,
            "offer": {"type": "offer", "sdp": "v=0"},
        }
        await a.send(json.dumps(seed))
        assert (await a.expect(Error)).reason == "unsigned"
        assert await quiet(a)
        assert await quiet(b)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("{", CloseCode.INVALID),
        ('{"type":"ping","n":-1}', CloseCode.INVALID),
        ('{"type":"ping"}', CloseCode.INVALID),  # a known message before the hello
        (b"\x01\x00", CloseCode.INVALID),
        (json.dumps({"type": "ping", "x": "y" * 66_000}), CloseCode.TOO_LARGE),
    ],
    ids=["no JSON", "a wrong field", "too early", "binary", "too large"],
)
async def test_what_breaks_the_protocol_is_closed(said: str | bytes, code: CloseCode) -> None:
    """Each kind of nonsense has its close code."""
    async with server() as world:
        client = world.client()
        await client.connect()
        await client.send(said)
        assert await client.closed() is code


async def test_a_second_hello_is_one_too_many() -> None:
    """It closes with 4400."""
    async with server() as world:
        a = world.client()
        hello = a.hello((await a.connect()).nonce)
        await a.send(hello)
        await a.send(hello)
        assert await a.closed() is CloseCode.INVALID


async def test_the_largest_message_passes() -> None:
    """Exactly 64 KiB is relayed, one byte more is not."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        text = encode(a.offer(b.key))
        fits = text[:-1] + f', "x": "{"y" * (wire.SIGNALING_LIMIT_BYTES - len(text) - 9)}"' + "}"
        assert len(fits) == wire.SIGNALING_LIMIT_BYTES
        await a.send(fits)
        assert await b.text() == fits
        await a.send(fits + " ")
        assert await a.closed() is CloseCode.TOO_LARGE


async def test_unknown_messages_are_counted() -> None:
    """A type of a later version is skipped; the connection stands."""
    async with server() as world:
        a = await world.joined()
        for _ in range(3):
            await a.send('{"type":"hologram","x":1}')
        assert await quiet(a)
        assert world.service.counts.skipped == 3


# --- origins ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "allowed", "enters"),
    [
        (None, (), True),
        ("http://{host}", (), True),
        ("https://{host}", (), True),
        ("http://evil.example", (), False),
        ("http://{host}.evil.example", (), False),
        ("null", (), False),
        ("http://[", (), False),
        ("", (), False),
        ("https://app.example", ("https://app.example",), True),
        ("https://evil.example", ("https://app.example",), False),
        ("https://evil.example", ("*",), True),
    ],
)
async def test_pages_of_other_origins_stay_out(
    origin: str | None, allowed: tuple[str, ...], *, enters: bool
) -> None:
    """Same host, no browser, or allowed by the operator; anybody else gets 403."""
    async with server(ServerSettings(allowed_origins=allowed)) as world:
        options: dict[str, Any] = {}
        if origin is not None:
            options["additional_headers"] = {"Origin": origin.format(host=world.host)}
        client = world.client(options=options)
        if enters:
            await client.join()
            return
        with pytest.raises(InvalidStatus) as refused:
            await client.connect()
        assert refused.value.response.status_code == 403
        assert world.service.turnstile.denied == {"origin-refused": 1}


# --- many, and slow ones ------------------------------------------------------------------


async def test_a_herd_joins() -> None:
    """Two hundred at once fill twenty rooms; all see all of their room and nobody else."""
    async with server() as world:
        herd = [world.client(f"room-{number % 20}") for number in range(200)]

        async def settle(client: Client) -> set[SessionKey]:
            seen = {ready.session for ready in (await client.join()).peers}
            while len(seen) < 9:
                seen.add((await client.expect(PeerReady)).session)
            return seen

        seen = await asyncio.gather(*map(settle, herd))
        for client, others in zip(herd, seen, strict=True):
            assert others == {c.key for c in herd if c.room == client.room} - {client.key}
        assert world.service.connection_count == 200
        assert world.service.room_count == 20


async def test_a_slow_consumer_is_cut_off_and_nobody_else_is_hurt() -> None:
    """Its room goes on, every signal arrives; its socket is freed though it reads nothing."""
    async with server(ServerSettings(close_timeout=0.2, message_rate=0)) as world:
        stuck, a, b = await world.joined(), await world.joined(), await world.joined()
        await a.expect(PeerReady)
        stuck.socket.transport.pause_reading()
        seq = 0
        while world.service.connection_count == 3:
            seq += 1
            await a.send(a.offer(stuck.key, seq, "x" * 40_000))
            await a.send(a.offer(b.key, seq))
            assert (await b.expect(wire.Offer)).seq == seq
        view = world.service.inspect("lobby")
        assert view is not None
        assert [peer.state for peer in view.peers] == ["reconnecting", "connected", "connected"]
        assert await quiet(a)
        assert await quiet(b)
        await until(lambda: world.open_sockets == 2)


async def test_a_slow_consumer_that_reads_in_time_learns_why() -> None:
    """Whoever takes in what is left gets the close code 4431."""
    settings = ServerSettings(away_messages=6, outgoing_messages=8, message_rate=0)
    async with server(settings) as world:
        a, b = await world.joined(), await world.joined()
        await a.expect(PeerReady)
        b.socket.transport.pause_reading()
        seq = 0
        while world.service.connection_count == 2:
            seq += 1
            await a.send(a.offer(b.key, seq, "x" * 40_000))
            await a.send(Ping(1))
            while not isinstance(await a.next(), Pong):
                pass
        b.socket.transport.resume_reading()
        assert await b.closed() is CloseCode.SLOW_CONSUMER


# --- sealed frames ------------------------------------------------------------------


async def test_a_sealed_frame_passes_whole() -> None:
    """The largest, too; with the sender's name in place of the recipient's."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        await a.expect(PeerReady)
        for rest in (bytes(24), bytes(RELAY_LIMIT_BYTES - 43)):
            await a.send(addressed(b.key, rest))
            assert await b.socket.recv() == addressed(a.key, rest)
        assert await quiet(a)
        assert await quiet(b)


async def test_a_sealed_frame_of_another_version_is_counted() -> None:
    """A later client may say what we do not know."""
    async with server() as world:
        a, b = await world.joined(), await world.joined()
        await a.expect(PeerReady)
        await a.send(b"\x02" + bytes(100))
        assert await quiet(a)
        assert await quiet(b)
        assert world.service.counts.skipped == 1


async def test_who_does_not_read_loses_sealed_frames_and_nothing_else() -> None:
    """They are dropped and it is not cut off; signals that come later are there first."""
    settings = ServerSettings(
        relay_bytes=10_000_000, relay_burst_bytes=30_000_000, outgoing_relay_bytes=200_000
    )
    async with server(settings) as world:
        a, b = await world.joined(), await world.joined()
        await a.expect(PeerReady)
        b.socket.transport.pause_reading()
        sent = 300
        for number in range(sent):
            await a.send(addressed(b.key, number.to_bytes(8, "big") + bytes(50_000)))
        await a.send(a.offer(b.key))
        assert await quiet(a)
        assert world.service.connection_count == 2
        b.socket.transport.resume_reading()
        heard: list[str | bytes] = []
        while not heard or isinstance(heard[-1], bytes):
            heard.append(await b.socket.recv())
        await b.send(Ping(1))
        while heard[-1] != encode(Pong(1)):
            heard.append(await b.socket.recv())
        numbers = [int.from_bytes(each[43:51], "big") for each in heard if isinstance(each, bytes)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) < sent
        behind = heard[heard.index(encode(a.offer(b.key))) :]
        assert any(isinstance(each, bytes) for each in behind), "it came past what waited"
