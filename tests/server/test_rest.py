"""The rooms over HTTP, on a real server."""

import asyncio
import random
import re

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from tests.server.mint import SECRET, minted
from tests.server.world import Client, Server, server, serving, until
from thkmesh.core.closing import CloseCode
from thkmesh.core.identity import kicked_payload
from thkmesh.core.wire import Kicked, decode_expulsion
from thkmesh.keys import verify
from thkmesh.server import AccessSettings, ServerSettings, create_app
from thkmesh.server.gate import Asked, Verdict
from thkmesh.server.rest import BODY_LIMIT_BYTES


async def ask(
    world: Server, method: str, path: str, **options: object
) -> tuple[int, dict[str, object], httpx2.Headers]:
    """Return the status, the JSON answer and the headers of one request."""
    async with httpx2.AsyncClient(base_url=world.http, trust_env=False) as client:
        answer = await client.request(method, path, **options)  # type: ignore[arg-type]
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json(), answer.headers


async def test_a_room_is_made_under_a_readable_name() -> None:
    """Without a name the server finds one; the answer says where the room is."""
    async with server() as world:
        status, room, headers = await ask(world, "POST", "/api/rooms")
        assert status == 201
        name = room["room"]
        assert isinstance(name, str)
        assert re.fullmatch(r"[a-z]+-[a-z]+-\d\d", name)
        assert headers["location"] == f"/api/rooms/{name}"
        assert room == {"room": name, "listed": False, "maxPeers": 10, "peers": []}
        assert (await ask(world, "GET", headers["location"]))[:2] == (200, room)


async def test_only_listed_rooms_are_listed() -> None:
    """A room is found by those who know its name, unless it wants more."""
    async with server() as world:
        await ask(world, "POST", "/api/rooms", json={"room": "secret"})
        await ask(world, "POST", "/api/rooms", json={"room": "stage", "listed": True})
        await world.joined("stage")
        _, answer, _ = await ask(world, "GET", "/api/rooms")
        assert answer == {"rooms": [{"room": "stage", "peers": 1, "maxPeers": 10}]}


async def test_a_room_shows_who_is_in_it() -> None:
    """Each peer's id, name, time and state, the away included."""
    async with server() as world:
        a, b = world.client(), world.client()
        await a.join("Ada")
        await b.join("Bob")
        await b.cut()
        await until(lambda: world.service.connection_count == 1)
        _, room, _ = await ask(world, "GET", "/api/rooms/lobby")
        peers = room["peers"]
        assert isinstance(peers, list)
        assert [(peer["id"], peer["name"], peer["state"]) for peer in peers] == [
            (a.key.id, "Ada", "connected"),
            (b.key.id, "Bob", "reconnecting"),
        ]
        assert all(0 <= peer["connectedFor"] < 60 for peer in peers)


async def test_the_server_tells_its_health() -> None:
    """That it is alive, which life, and how much there is."""
    async with server() as world:
        await world.joined()
        status, health, _ = await ask(world, "GET", "/healthz")
        assert (status, health) == (
            200,
            {
                "status": "ok",
                "epoch": world.service.epoch,
                "rooms": 1,
                "connections": 1,
                "skippedMessages": 0,
            },
        )


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "error"),
    [
        ("GET", "/nowhere", {}, 404, "not-found"),
        ("GET", "/ws", {}, 404, "not-found"),
        ("GET", "/api/rooms/nobody", {}, 404, "unknown-room"),
        ("GET", "/api/rooms/a%20b", {}, 400, "invalid-room"),
        ("GET", f"/api/rooms/{'x' * 65}", {}, 400, "invalid-room"),
        ("DELETE", "/api/rooms", {}, 405, "method-not-allowed"),
        ("PUT", "/api/rooms/lobby", {}, 405, "method-not-allowed"),
        ("POST", "/healthz", {}, 405, "method-not-allowed"),
        ("POST", "/api/rooms", {"json": {"room": "taken"}}, 409, "room-exists"),
        ("POST", "/api/rooms", {"json": {"room": ""}}, 400, "invalid-room"),
        ("POST", "/api/rooms", {"json": {"room": "a/b"}}, 400, "invalid-room"),
        ("POST", "/api/rooms", {"json": {"room": "ä"}}, 400, "invalid-room"),
        ("POST", "/api/rooms", {"json": {"room": "x" * 65}}, 400, "invalid-request"),
        ("POST", "/api/rooms", {"json": {"room": 7}}, 400, "invalid-request"),
        ("POST", "/api/rooms", {"json": {"listed": "yes"}}, 400, "invalid-request"),
        ("POST", "/api/rooms", {"json": []}, 400, "invalid-request"),
        ("POST", "/api/rooms", {"data": {"room": "x"}}, 415, "not-json"),
        ("POST", "/api/rooms", {"content": b"{}"}, 415, "not-json"),
        ("POST", "/api/rooms", {"json": "x" * BODY_LIMIT_BYTES}, 413, "too-large"),
        (
            "POST",
            "/api/rooms",
            {"headers": {"origin": "http://evil.example"}},
            403,
            "origin-refused",
        ),
    ],
)
async def test_what_is_wrong_is_said_in_one_form(
    method: str, path: str, options: dict[str, object], status: int, error: str
) -> None:
    """Every error is JSON with a word and a sentence, under the right status."""
    async with server() as world:
        await ask(world, "POST", "/api/rooms", json={"room": "taken"})
        got, answer, headers = await ask(world, method, path, **options)
        assert (got, answer["error"]) == (status, error)
        assert isinstance(answer["message"], str)
        assert set(answer) == {"error", "message"}
        assert ("allow" in headers) == (status == 405)


async def test_no_more_rooms_than_the_maximum() -> None:
    """Beyond it the answer is 503."""
    async with server(ServerSettings(max_rooms=2)) as world:
        for _ in range(2):
            assert (await ask(world, "POST", "/api/rooms"))[0] == 201
        status, answer, _ = await ask(world, "POST", "/api/rooms")
        assert (status, answer["error"]) == (503, "too-many-rooms")


async def test_allowed_pages_of_other_origins_can_use_it() -> None:
    """For them, and only them, there are CORS headers."""
    page = "https://app.example"
    async with server(ServerSettings(allowed_origins=(page,))) as world:
        status, _, headers = await ask(world, "POST", "/api/rooms", headers={"origin": page})
        assert (status, headers["access-control-allow-origin"]) == (201, page)
        evil = {"origin": "https://evil.example"}
        status, _, headers = await ask(world, "GET", "/api/rooms", headers=evil)
        assert "access-control-allow-origin" not in headers
        await world.client(options={"origin": page}).join()


async def test_it_can_be_mounted_in_another_application() -> None:
    """Under a prefix, beside other routes, with a lifespan that is not ours, it all works."""
    outer = Starlette(
        routes=[
            Route("/", lambda _: PlainTextResponse("mine")),
            Mount("/mesh", create_app()),
        ]
    )
    async with serving(outer) as (host, _):
        client = Client(f"ws://{host}/mesh/ws")
        await client.join()
        async with httpx2.AsyncClient(base_url=f"http://{host}", trust_env=False) as http:
            assert (await http.get("/")).text == "mine"
            assert (await http.get("/mesh/api/rooms/lobby")).json()["room"] == "lobby"
            made = await http.post("/mesh/api/rooms", json={"room": "x"})
            assert made.headers["location"] == "/mesh/api/rooms/x"
        await client.cut()


async def test_more_routes_can_be_added() -> None:
    """They are looked at after our own."""
    mine = Route("/{path:path}", lambda _: PlainTextResponse("mine"))
    async with (
        serving(create_app(extra_routes=[mine])) as (host, _),
        httpx2.AsyncClient(base_url=f"http://{host}", trust_env=False) as http,
    ):
        assert (await http.get("/anything")).text == "mine"
        assert (await http.get("/api/rooms")).json() == {"rooms": []}


async def test_our_own_faults_have_the_same_form() -> None:
    """A bug in a route is a 500 that says no more than that."""

    async def broken(_: Request) -> Response:
        raise RuntimeError("a secret")

    async with (
        serving(create_app(extra_routes=[Route("/broken", broken)]), faultless=False) as (host, _),
        httpx2.AsyncClient(base_url=f"http://{host}", trust_env=False) as http,
    ):
        answer = await http.get("/broken")
        assert (answer.status_code, answer.json()["error"]) == (500, "internal")
        assert "secret" not in answer.text


async def test_a_body_must_come_in_time() -> None:
    """A request whose body is not all there in time is answered with 408."""
    async with server(ServerSettings(request_timeout=0.05)) as world:
        reader, writer = await asyncio.open_connection(*world.host.split(":"))
        writer.write(b"POST /api/rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_fuzzed_requests_are_answered_in_one_form() -> None:
    """A thousand mutated requests: JSON and a status below 500 each, and nobody is hurt."""
    dice = random.Random(20261123)
    paths = ["/api/rooms", "/api/rooms/lobby", "/healthz", "/", "/ws", "/api", "/api/rooms/%00"]
    bodies = [b"", b"{}", b'{"room":"x"}', b'{"listed":true}', b"[" * 2000, b'{"room":"\\ud800"}']
    types = ["application/json", "text/plain", "", "application/json; charset=utf-16"]
    async with server(ServerSettings(max_rooms=20)) as world:
        inside = await world.joined()
        async with httpx2.AsyncClient(base_url=world.http, trust_env=False) as client:
            for _ in range(1000):
                body = bytearray(dice.choice(bodies))
                for _ in range(dice.randrange(3)):
                    body.insert(dice.randrange(len(body) + 1), dice.randrange(256))
                path = dice.choice(paths)
                if dice.random() < 0.3:
                    path += "/" + "".join(dice.choices("%2F.ab?&=~", k=5)).replace("%", "%25")
                answer = await client.request(
                    dice.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
                    path,
                    content=bytes(body),
                    headers={"content-type": dice.choice(types)},
                )
                assert answer.status_code < 500 or answer.json()["error"] == "too-many-rooms"
                if answer.status_code >= 400 and answer.request.method != "HEAD":
                    assert set(answer.json()) == {"error", "message"}, answer.text
        await inside.send('{"type":"ping"}')
        await inside.text()


OPERATOR = "what only the operator of this server knows"
BEARER = {"authorization": f"Bearer {OPERATOR}"}


async def test_an_operator_removes_a_peer() -> None:
    """It hears the signed statement and is closed with 4412; the answer says until when."""
    async with server(access=AccessSettings(secret=OPERATOR.encode())) as world:
        a = world.client()
        await a.join("Ada")
        path, wanted = "/api/rooms/lobby/kick", {"userId": a.key.id, "reason": "spam"}
        status, answer, _ = await ask(world, "POST", path, json=wanted, headers=BEARER)
        assert status == 200
        assert {"room": "lobby", "userId": a.key.id}.items() <= answer.items()
        statement = await a.expect(Kicked)
        said = decode_expulsion(statement.body)
        assert (said.user_id, said.reason, said.until / 1000) == (
            *(a.key.id, "spam"),
            answer["until"],
        )
        assert said.until - said.at == 60_000
        key = world.service.keys.public_key("lobby")
        assert verify(key, statement.signature, kicked_payload("lobby", statement.body))
        assert await a.closed() == CloseCode.KICKED


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, (403, "not-granted")),
        ({"authorization": OPERATOR}, (403, "not-granted")),
        ({"authorization": f"Basic {OPERATOR}"}, (403, "not-granted")),
        ({"authorization": "Bearer"}, (403, "not-granted")),
        ({"authorization": "Bearer guessed"}, (401, "unauthorized")),
        ({"authorization": f"Bearer {minted()}"}, (401, "unauthorized")),
    ],
)
async def test_nobody_else_removes_a_peer(
    headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    """Without the server's secret, or without one that anybody could know, it is refused."""
    wanted = {"userId": "a" * 26}
    for access in (AccessSettings(secret=OPERATOR.encode()), AccessSettings()):
        async with server(access=access) as world:
            answer = await ask(world, "POST", "/api/rooms/lobby/kick", json=wanted, headers=headers)
        assert (answer[0], answer[1]["error"]) == refusal
        assert (answer[2].get("www-authenticate") == "Bearer") == (answer[0] == 401)


@pytest.mark.parametrize(
    ("grants", "room", "status"),
    [(("kick",), "lobby", 200), (("kick",), "hall", 401), (("join", "list"), "lobby", 403)],
)
async def test_a_token_that_grants_it_removes_a_peer(
    grants: tuple[str, ...], room: str, status: int
) -> None:
    """For its own room, and nothing else of it is needed."""
    bearer = {"authorization": f"Bearer {minted(room, grants)}"}
    wanted = {"userId": "a" * 26}
    async with server(access=AccessSettings(secret=SECRET)) as world:
        answer = await ask(world, "POST", "/api/rooms/lobby/kick", json=wanted, headers=bearer)
    assert answer[0] == status


async def test_pages_of_strangers_remove_nobody_by_a_login() -> None:
    """A cookie comes with every request, so its origin is asked for."""

    async def authenticate(who: Asked) -> Verdict:
        return {"kick"} if who.cookies.get("session") else None

    wanted = {"userId": "a" * 26}
    async with server(access=AccessSettings(authenticate=authenticate)) as world:
        for origin, status in (("https://evil.example", 403), (world.http, 200)):
            headers = {"cookie": "session=1", "origin": origin}
            answer = await ask(world, "POST", "/api/rooms/lobby/kick", json=wanted, headers=headers)
            assert answer[0] == status


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"userId": "somebody"},
        {"userId": "a" * 26, "duration": 0},
        {"userId": "a" * 26, "duration": 31_536_001},
        {"userId": "a" * 26, "reason": "x" * 201},
    ],
)
async def test_what_no_server_removes_is_refused(wanted: dict[str, object]) -> None:
    """No peer, no time, or more words than anybody is told."""
    async with server(access=AccessSettings(secret=OPERATOR.encode())) as world:
        path = "/api/rooms/lobby/kick"
        status, answer, _ = await ask(world, "POST", path, json=wanted, headers=BEARER)
        assert (status, answer["error"]) == (400, "invalid-request")
