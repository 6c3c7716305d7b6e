"""Open rooms, passwords, the application's own login, tickets; over HTTP too."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.server.mint import ALL, SECRET, claims, minted, token
from tests.server.world import Client, Server, server
from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import Permit
from thkmesh.core.wire import Error, Leave, PeerLeft, PeerReady, Ping, Pong, Welcome
from thkmesh.errors import InvalidArgument
from thkmesh.keys import Identity
from thkmesh.server import AccessSettings, Asked, Password, RoomService, create_app
from thkmesh.server.clock import today
from thkmesh.server.gate import Gate, Handshake, Verdict
from thkmesh.server.tickets import MemoryUsedTickets

REQUIRED = AccessSettings(secret=SECRET, require_token=True)
UNAUTHORIZED = (CloseCode.UNAUTHORIZED, "unauthorized")
ADA = "a" * 26
UNAVAILABLE = (CloseCode.OVERLOADED, "unavailable")


async def ask(
    world: Server,
    method: str,
    path: str,
    shown: str = "",
    **options: Any,  # noqa: ANN401
) -> tuple[int, dict[str, Any]]:
    """Return the status and the answer of a request."""
    headers = {"authorization": f"Bearer {shown}"} if shown else {}
    async with httpx2.AsyncClient(base_url=world.http, trust_env=False) as client:
        answer = await client.request(method, path, headers=headers, **options)
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    return answer.status_code, answer.json()


async def ticket(world: Server, shown: str = "", **wanted: str) -> str:
    """Return a ticket for the lobby."""
    status, answer = await ask(
        world, "POST", "/api/tickets", shown, json={"room": "lobby"} | wanted
    )
    assert (status, answer["expires"]) == (201, 30.0)
    return str(answer["ticket"])


def with_address(client: Client, query: str) -> Client:
    """Let a client connect to another address of the same server."""
    client.url += query
    return client


# --- passwords ----------------------------------------------------------------------


async def test_a_password_is_asked_for_and_recognised() -> None:
    """Without it, in a word, one is asked for it; with another one, told so."""
    access = AccessSettings(password=Password.of("open sesame"))
    async with server(access=access) as world:
        assert await world.client().refused() == (CloseCode.UNAUTHORIZED, "password-required")
        for wrong in ("open", "open sesame ", "x" * 300, "\u00e9", "a.b.c", minted()):
            refused = await world.client().refused(token=wrong)
            assert refused == (CloseCode.UNAUTHORIZED, "password-wrong"), wrong
        for _ in range(2):
            welcome = await world.client().join(token="open sesame")
            assert (welcome.grants, welcome.expires) == (Welcome("r", "e", "s").grants, None)
        assert (await ask(world, "GET", "/api/rooms"))[0] == 401
        assert (await ask(world, "GET", "/api/rooms", "open sesame"))[0] == 200


async def test_tokens_do_beside_a_password() -> None:
    """Who moderates has a token, which says more than the password does."""
    access = AccessSettings(secret=SECRET, password=Password.of("open sesame"))
    async with server(access=access) as world:
        assert "kick" not in (await world.client().join(token="open sesame")).grants
        assert "kick" in (await world.client().join(token=minted())).grants
        assert await world.client().refused(token=minted("hall")) == UNAUTHORIZED


@pytest.mark.parametrize("text", ["", "x" * 257, "\ud800"])
def test_a_password_is_text(text: str) -> None:
    """What nobody could type is refused."""
    with pytest.raises(InvalidArgument):
        Password.of(text)


def test_a_password_is_not_kept() -> None:
    """What is kept does not show it."""
    password = Password.of("open sesame")
    assert "sesame" not in repr(password) + repr(vars(password)) + repr(
        AccessSettings(password=password)
    )


# --- the application's own login ----------------------------------------------------


async def test_the_hook_is_told_who_asks() -> None:
    """Room, proved id, token, headers, cookies and address; it says what they may do."""
    asked: list[Asked] = []

    async def authenticate(who: Asked) -> Verdict:
        asked.append(who)
        return {"join", "send"} if who.cookies.get("session") == "ada" else {"join", "create"}

    async with server(access=AccessSettings(authenticate=authenticate)) as world:
        first, ada = world.client(), world.client()
        assert (await first.join(token="x")).grants == ("join", "create")
        ada.options["additional_headers"] = {"Cookie": "theme=dark; session=ada", "X-Y": "z"}
        assert (await ada.join()).grants == ("join", "send")
    assert [(who.room, who.id, who.token) for who in asked] == [
        ("lobby", first.key.id, "x"),
        ("lobby", ada.key.id, ""),
    ]
    assert asked[1].cookies == {"theme": "dark", "session": "ada"}
    assert (asked[1].headers["x-y"], asked[1].address) == ("z", "127.0.0.1")


async def test_a_permit_of_the_hook_is_for_its_room_and_peer() -> None:
    """One for another room or peer admits nobody; one for this does, and a ticket for it."""
    allowed: list[Permit] = []

    async def authenticate(_: Asked) -> Verdict:
        return allowed[-1]

    async with server(access=AccessSettings(authenticate=authenticate)) as world:
        ada, eve = world.client(), world.client()
        wanted = {"room": "lobby"}
        allowed.append(Permit(room="hall"))
        assert await ada.refused() == UNAUTHORIZED
        assert (await ask(world, "POST", "/api/tickets", json=wanted))[0] == 401
        assert (await ask(world, "GET", "/api/rooms"))[0] == 200, "that is about no single room"
        allowed.append(Permit(room="lobby", peer=ada.key.id))
        assert await eve.refused() == UNAUTHORIZED
        await ada.join()
        own = await ticket(world)
        assert await eve.refused(token=own) == UNAUTHORIZED
        await ada.join(token=own)


async def test_the_hook_is_told_no_id_that_was_not_proved() -> None:
    """For whom a ticket is wanted is a claim; the ticket is for that peer alone."""
    asked: list[Asked] = []

    async def authenticate(who: Asked) -> Verdict:
        asked.append(who)
        return {"join", "create"}

    async with server(access=AccessSettings(authenticate=authenticate)) as world:
        ada, eve = world.client(), world.client()
        own = await ticket(world, id=ada.key.id)
        assert [who.id for who in asked] == [""]
        assert await eve.refused(token=own) == UNAUTHORIZED
        await ada.join(token=own)


async def _none(_: Asked) -> Verdict:
    return None


async def _raises(_: Asked) -> Verdict:
    raise OSError("the database is away")


async def _text(_: Asked) -> Verdict:
    return "join"


async def _typo(_: Asked) -> Verdict:
    return {"join", "sned"}


async def _ended(_: Asked) -> Verdict:
    return Permit(ttl=0.0)


async def _endless(_: Asked) -> Verdict:
    return Permit(ttl=float("inf"))


async def _never(_: Asked) -> Verdict:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("hook", "refusal"),
    [
        (_none, UNAUTHORIZED),
        (_raises, UNAVAILABLE),
        (_text, UNAVAILABLE),
        (_typo, UNAVAILABLE),
        (_ended, UNAVAILABLE),
        (_endless, UNAVAILABLE),
        (_never, UNAVAILABLE),
    ],
)
async def test_a_hook_that_does_not_admit_admits_nobody(
    hook: Callable[[Asked], Any], refusal: tuple[CloseCode, str]
) -> None:
    """It refuses for good; if it fails, or takes too long, one may try again later."""
    access = AccessSettings(authenticate=hook, authenticate_timeout=0.2)
    async with server(access=access) as world:
        assert await world.client().refused() == refusal
        status, _ = await ask(world, "POST", "/api/rooms", json={"room": "lobby"})
        assert status == (401 if refusal is UNAUTHORIZED else 503)
        assert world.service.room_count == 0


async def test_the_hook_stops_nobody_else() -> None:
    """While one is being looked at others come, talk and go; who does not wait is forgotten."""
    slow = asyncio.Event()
    cancelled: list[str] = []

    async def authenticate(who: Asked) -> Verdict:
        if who.token == "slow":
            try:
                await slow.wait()
            except asyncio.CancelledError:
                cancelled.append(who.id)
                raise
        return Permit(ttl=100.0)

    async with server(access=AccessSettings(authenticate=authenticate)) as world:
        waiting, gone, quick = world.client(), world.client(), world.client()
        for client in (waiting, gone):
            challenge = await client.connect()
            await client.send(client.hello(challenge.nonce, token="slow"))
        assert (await quick.join(token="quick")).expires == pytest.approx(100)
        await quick.send(Ping(7))
        assert await quick.next() == Pong(7)
        await gone.cut()
        while not cancelled:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        assert cancelled == [gone.key.id]
        slow.set()
        welcome = await waiting.expect(Welcome)
        assert [ready.session for ready in welcome.peers] == [quick.key]


async def test_whoever_leaves_waits_for_no_decision() -> None:
    """The place is free at once, though the client is gone before it is known who it is."""

    async def authenticate(who: Asked) -> Verdict:
        return await _never(who) if who.token == "slow" else {"join", "create"}

    async with server(access=AccessSettings(authenticate=authenticate)) as world:
        ada, bob = await world.joined(), await world.joined()
        await ada.expect(PeerReady)
        await bob.cut()
        challenge = await bob.connect()
        await bob.send(bob.hello(challenge.nonce, token="slow"))
        await bob.send(Leave())
        await bob.socket.close()
        assert bob.socket.close_code == 1000
        assert await ada.expect(PeerLeft) == PeerLeft("lobby", *bob.key, "left")


async def test_only_one_hello_is_looked_at() -> None:
    """A second one breaks the protocol, also while the first is being looked at."""
    access = AccessSettings(authenticate=_never)
    async with server(access=access) as world:
        ada = world.client()
        challenge = await ada.connect()
        for _ in range(2):
            await ada.send(ada.hello(challenge.nonce))
        assert (await ada.expect(Error)).reason == "already-joined"
        assert await ada.closed() is CloseCode.INVALID


def test_an_app_takes_settings_or_a_service() -> None:
    """A hook beside other settings is part of them; a service has its own."""
    app = create_app(access=REQUIRED, authenticate=_none)
    assert app.state.service.gate.settings.authenticate is _none
    assert app.state.service.gate.settings.secret == SECRET
    with pytest.raises(InvalidArgument, match="not both"):
        create_app(service=RoomService(), authenticate=_none)


# --- tickets ------------------------------------------------------------------------


async def test_a_ticket_admits_once() -> None:
    """In the hello or in the address, with what its token allows and as long as that holds."""
    async with server(access=REQUIRED) as world:
        first = await ticket(world, minted(grants=("join", "create")))
        welcome = await world.client().join(token=first)
        assert welcome.grants == ("join", "create")
        assert welcome.expires is not None
        assert 500 < welcome.expires <= 610
        second = await ticket(world, minted())
        await with_address(world.client(), f"?x=1&ticket={second}").join()


async def test_x2_a_ticket_that_was_used_admits_nobody() -> None:
    """X2: replayed in the hello, in the address, by its own peer, at once: 0 in."""
    async with server(access=REQUIRED) as world:
        used = await ticket(world, minted())
        ada = world.client()
        await ada.join(token=used)
        assert await ada.refused(token=used) == UNAUTHORIZED
        assert await world.client().refused(token=used) == UNAUTHORIZED
        assert await with_address(world.client(), f"?ticket={used}").refused() == UNAUTHORIZED
        contested = await ticket(world, minted())
        crowd = [world.client() for _ in range(10)]
        nonces = [(await each.connect()).nonce for each in crowd]
        for each, nonce in zip(crowd, nonces, strict=True):
            await each.send(each.hello(nonce, token=contested))
        answers = [await each.next() for each in crowd]
        assert sum(isinstance(answer, Welcome) for answer in answers) == 1
        assert sum(isinstance(answer, Error) for answer in answers) == 9


async def test_x2_a_ticket_for_others_admits_nobody() -> None:
    """X2: of another room, for another id, forged, by another server, or of a token: 0 in."""
    async with server(access=REQUIRED) as world:
        ada, eve = world.client(), world.client()
        own = await ticket(world, minted(), id=ada.key.id)
        assert await eve.refused(token=own) == UNAUTHORIZED
        hall = await ticket(world, minted("hall"), room="hall")
        assert await eve.refused(token=hall) == UNAUTHORIZED
        assert await eve.refused(token=own[:-2] + "AA") == UNAUTHORIZED
        other = Gate(AccessSettings(secret=b"another secret of 32 bytes or more"))
        foreign = other.ticket("lobby", Permit())
        assert await eve.refused(token=foreign) == UNAUTHORIZED
        assert await eve.refused(token=token(claims(aud="thkmesh-ticket", jti="1"))) == UNAUTHORIZED
        await ada.join(token=own)


async def test_x2_a_ticket_of_a_token_for_one_peer_is_for_that_peer() -> None:
    """X2: whoever found a token for Ada gets no ticket that admits anybody else."""
    async with server(access=REQUIRED) as world:
        ada, eve = world.client(), world.client()
        stolen = minted(sub=ada.key.id)
        assert await eve.refused(token=stolen) == UNAUTHORIZED
        own = await ticket(world, stolen)
        assert await eve.refused(token=own) == UNAUTHORIZED
        await ada.join(token=own)


@pytest.mark.parametrize("claimed", ["", ADA])
async def test_x2_a_ticket_buys_no_ticket(claimed: str) -> None:
    """X2: neither in the header nor in the address, for whomever it is said to be."""
    async with server(access=REQUIRED) as world:
        wanted = {"room": "lobby"} | ({"id": claimed} if claimed else {})
        first = await ticket(world, minted())
        assert (await ask(world, "POST", "/api/tickets", first, json=wanted))[0] == 401
        path = f"/api/tickets?ticket={first}"
        assert (await ask(world, "POST", path, json=wanted))[0] == 401
        await world.client().join(token=first)


async def test_x2_a_ticket_that_is_late_admits_nobody() -> None:
    """X2: after 30 s it is worth nothing; nor when what it stands for has ended."""
    clock = [1_790_000_000.0]
    gate = Gate(AccessSettings(secret=SECRET, require_token=True, today=lambda: clock[0]))

    async def later(seconds: float, permit: Permit) -> object:
        shown = gate.ticket("lobby", permit)
        clock[0] += seconds
        return await gate.decide(Asked("lobby", ADA, shown, Handshake()))

    assert await later(29.0, Permit(ttl=600.0)) == Permit(ttl=571.0, room="lobby")
    for seconds, permit in ((30.0, Permit()), (6.0, Permit(ttl=5.0))):
        denied = await later(seconds, permit)
        assert getattr(denied, "reason", None) == "unauthorized"


async def test_a_ticket_does_at_another_process_once() -> None:
    """Whoever shares the secret takes it; whoever shares what was used, once."""
    used = MemoryUsedTickets()
    here, there = (Gate(AccessSettings(secret=SECRET, used_tickets=used)) for _ in range(2))
    shown = Asked("lobby", ADA, here.ticket("lobby", Permit()), Handshake())
    assert isinstance(await there.decide(shown), Permit)
    assert not isinstance(await here.decide(shown), Permit)


async def test_tickets_are_for_who_may_join() -> None:
    """Nobody gets one without a token, or for what the token does not allow."""
    async with server(access=REQUIRED) as world:
        wanted = {"room": "lobby"}
        answers = [
            await ask(world, "POST", "/api/tickets", shown, json=json)
            for shown, json in (
                ("", wanted),
                (minted("hall"), wanted),
                (minted(grants=("list",)), wanted),
                (minted(sub=Identity.generate().id), wanted | {"id": Identity.generate().id}),
                (minted(), {"room": "a b"}),
                (minted(), {}),
                (minted(), wanted | {"id": "x"}),
            )
        ]
        assert [(status, answer["error"]) for status, answer in answers] == [
            (401, "unauthorized"),
            (401, "unauthorized"),
            (403, "not-granted"),
            (401, "unauthorized"),
            (400, "invalid-room"),
            (400, "invalid-request"),
            (400, "invalid-id"),
        ]
        status, _ = await ask(
            world, "POST", "/api/tickets", await ticket(world, minted()), json=wanted
        )
        assert status == 401, "or a ticket would be good for ever"


async def test_pages_of_strangers_get_no_ticket_by_a_login() -> None:
    """A cookie comes with every request, so its origin is asked for."""

    async def authenticate(who: Asked) -> Verdict:
        return {"join", "create"} if who.cookies.get("session") else None

    async with server(access=AccessSettings(authenticate=authenticate)) as world:
        async with httpx2.AsyncClient(base_url=world.http, trust_env=False) as client:
            headers = {"cookie": "session=1", "origin": "https://evil.example"}
            answer = await client.post("/api/tickets", json={"room": "lobby"}, headers=headers)
            assert answer.status_code == 403
            del headers["origin"]
            answer = await client.post("/api/tickets", json={"room": "lobby"}, headers=headers)
            assert answer.status_code == 201
            assert answer.headers["cache-control"] == "no-store"
        await world.client().join(token=answer.json()["ticket"])


async def test_used_tickets_are_forgotten_in_time() -> None:
    """They are remembered for longer than they are good, and then no longer."""
    loop = asyncio.get_running_loop()
    used = MemoryUsedTickets(lambda: now[0])
    now = [loop.time()]
    assert [await used.use("a"), await used.use("a"), await used.use("b")] == [True, False, True]
    now[0] += 59.0
    assert not await used.use("a")
    now[0] += 1.0
    assert await used.use("c")
    assert len(used) == 1


# --- over HTTP ------------------------------------------------------------------------


async def test_rest_takes_the_same_tokens() -> None:
    """List and look with list, make with create; each for the token's room alone."""
    async with server(access=REQUIRED) as world:
        lists, creates = minted(grants=("list",)), minted(grants=("create",))
        paths = ("/api/rooms", "/api/rooms/lobby", "/api/rooms/hall")

        async def statuses(shown: str) -> list[int]:
            return [(await ask(world, "GET", path, shown))[0] for path in paths]

        made = [
            (await ask(world, "POST", "/api/rooms", shown, json=json))[0]
            for shown, json in (
                ("", {"room": "lobby"}),
                (lists, {"room": "lobby"}),
                (creates, {"room": "hall"}),
                (token(claims(exp=today() - 11)), {"room": "lobby"}),
                (creates, {"room": "lobby", "listed": True}),
                (creates, {}),
            )
        ]
        assert made == [401, 403, 401, 401, 201, 409]
        assert await statuses("") == [401, 401, 401]
        assert await statuses(creates) == [403, 403, 401]
        assert await statuses(lists) == [200, 200, 401]
        assert (await ask(world, "GET", "/healthz"))[0] == 200


async def test_a_token_names_the_room_that_it_makes() -> None:
    """Where the request names none, that of the token comes into being."""
    async with server(access=REQUIRED) as world:
        status, room = await ask(world, "POST", "/api/rooms", minted("hall"), json={})
        assert (status, room["room"]) == (201, "hall")


async def test_no_token_is_ever_taken_from_the_address() -> None:
    """What is in an address is in logs and histories; only what is worthless by then is."""
    async with server(access=REQUIRED) as world:
        for name in ("token", "access_token", "ticket"):
            query = f"?{name}={minted()}"
            async with connect(world.ws + query) as socket:
                assert await socket.recv()
            assert await with_address(world.client(), query).refused() == UNAUTHORIZED
            assert (await ask(world, "GET", f"/api/rooms{query}"))[0] == 401
    assert set(ALL) == set(Permit().grants) | {"kick"}


async def test_no_password_is_taken_from_the_address() -> None:
    """It is good for longer than any token."""
    access = AccessSettings(password=Password.of("sesame"))
    async with server(access=access) as world:
        client = with_address(world.client(), "?ticket=sesame")
        assert await client.refused() == UNAUTHORIZED
        assert (await ask(world, "GET", "/api/rooms?ticket=sesame"))[0] == 401
        await client.join(token="sesame")


async def test_a_ticket_that_is_none_is_not_passed_over() -> None:
    """Whether everybody may in, or the hook would let somebody in: what was shown was wrong."""

    async def everybody(_: Asked) -> Verdict:
        return {"join", "create"}

    for access in (AccessSettings(), AccessSettings(authenticate=everybody)):
        async with server(access=access) as world:
            assert await with_address(world.client(), "?ticket=x").refused() == UNAUTHORIZED
            await world.client().join()
