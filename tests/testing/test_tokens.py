"""Rooms whose tokens end, in a simulated world: members ask for fresh ones and notice nothing."""

import asyncio

import pytest

import thkmesh
from tests.server.mint import SECRET
from thkmesh.core.grants import AUDIENCE, Claims
from thkmesh.errors import JoinError, NotGranted, ServerUnreachable, Unauthorized
from thkmesh.server import AccessSettings, Asked, Password, Permit, ServerSettings, Turn
from thkmesh.server.gate import Verdict
from thkmesh.server.keyring import Key
from thkmesh.testing import World


class Issuer:
    """Mints tokens on the world's time, and counts them."""

    def __init__(self, ttl: float = 600.0, **changes: object) -> None:
        self.world = World(access=AccessSettings(**self.settings(), **changes))  # type: ignore[arg-type]
        self.ttl = ttl
        self.grants: tuple[str, ...] = ("join", "send", "create")
        self.minted = 0
        self.failing = 0

    def settings(self) -> dict[str, object]:
        """Return how the server checks what is minted here."""
        return {
            "secret": SECRET,
            "require_token": True,
            "leeway": 0.0,
            "today": lambda: self.world.time,
        }

    def token(self) -> str:
        """Return a fresh token."""
        now = self.world.time
        said = Claims(AUDIENCE, now + self.ttl, "lobby", self.grants)
        self.minted += 1
        return Key("", "HS256", SECRET).sign(said)

    async def slowly(self) -> str:
        """Return one after a while; or fail, as often as it is to."""
        await asyncio.sleep(1.0)
        if self.failing:
            self.failing -= 1
            raise OSError("the login page is away")
        return self.token()


def test_a_room_outlives_its_tokens() -> None:
    """A function is asked for a fresh one before each ends; nobody notices anything."""
    issuer = Issuer()
    world = issuer.world

    async def main() -> None:
        ada = await world.join("ada", room="lobby", token=issuer.slowly)
        bob = await world.join("bob", room="lobby", token=issuer.token)
        await world.linked(ada, bob)
        said = world.watch("bob", bob)
        before = issuer.minted
        changes = world.watch("ada", ada)
        await asyncio.sleep(3000.0)
        assert issuer.minted - before == 2 * 5
        news = [each for each in changes.events if isinstance(each, thkmesh.ServerChanged)]
        assert news == [thkmesh.ServerChanged(thkmesh.ServerState.CONNECTED)]
        await ada.send("still here")
        await asyncio.sleep(1.0)
        assert said.said_by(ada.me) == ["still here"]
        assert ada.grants == {"join", "send", "create"}
        issuer.grants = ("join", "send")
        await asyncio.sleep(600.0)
        assert ada.grants == {"join", "send"}

    world.run(main(), limit=10_000.0)


def test_whoever_comes_back_shows_a_fresh_token() -> None:
    """After a break of the connection the first one would be refused; the function is asked."""
    issuer = Issuer()
    world = issuer.world

    async def main() -> None:
        ada = await world.join("ada", room="lobby", token=issuer.slowly)
        await asyncio.sleep(300.0)
        world.partition("ada", "server")
        await asyncio.sleep(400.0)
        assert ada.server.value == "reconnecting"
        world.heal()
        await asyncio.sleep(30.0)
        assert ada.server.value == "connected"
        assert issuer.minted == 2

    world.run(main(), limit=10_000.0)


def test_a_token_that_is_always_the_same_ends_the_room_with_it() -> None:
    """Whoever passes a text is closed at its end, and not let in with it again."""
    issuer = Issuer()
    world = issuer.world

    async def main() -> None:
        ada = await world.join("ada", room="lobby", token=issuer.token())
        await asyncio.sleep(599.0)
        assert "4401" not in str(ada.error)
        await asyncio.sleep(30.0)
        assert isinstance(ada.error, Unauthorized)
        assert "4401" in str(ada.error)

    world.run(main(), limit=10_000.0)


def test_a_function_that_fails_is_asked_again() -> None:
    """Its failure is no refusal: joining goes on until its time is over, and says why."""
    issuer = Issuer()
    world = issuer.world

    async def main() -> None:
        issuer.failing = 2
        ada = await world.join("ada", room="lobby", token=issuer.slowly)
        issuer.failing = 10**9
        with pytest.raises(ServerUnreachable, match="login page is away"):
            await world.join("bob", room="lobby", token=issuer.slowly)
        with pytest.raises(ServerUnreachable, match="a token is ASCII text"):
            await world.join("cat", room="lobby", token=lambda: 7)
        await ada.leave()

    world.run(main())


def test_whoever_leaves_waits_for_no_token() -> None:
    """A function that never answers keeps nobody."""
    issuer = Issuer()
    world = issuer.world

    async def never() -> str:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def main() -> None:
        with pytest.raises(ServerUnreachable):
            await world.join("ada", room="lobby", token=never)
        ada = await world.join("ada", room="lobby", token=issuer.token)
        await ada.leave()

    world.run(main())


def test_errors_say_what_a_token_was_lacking() -> None:
    """No token, a wrong one, one that does not allow to join."""
    issuer = Issuer()
    world = issuer.world

    async def main() -> None:
        for shown in ("", "x", "x.y.z"):
            with pytest.raises(Unauthorized, match="4401: unauthorized"):
                await world.join("ada", room="lobby", token=shown)
        issuer.grants = ("send",)
        with pytest.raises(NotGranted, match="4403: not-granted"):
            await world.join("ada", room="lobby", token=issuer.token())

    world.run(main())


def test_members_outlive_a_restart_before_the_moderator_is_back() -> None:
    """Who may not make the room waits for who may; who has lost the grant to join does not."""
    issuer = Issuer()
    world = issuer.world

    async def main() -> None:
        ada = await world.join("ada", room="lobby", token=issuer.token)
        issuer.grants = ("join", "send")
        bob = await world.join("bob", room="lobby", token=issuer.token)
        await world.linked(ada, bob)
        world.partition("ada", "server")
        world.restart_server()
        await asyncio.sleep(20.0)
        assert (bob.server.value, bob.error) == ("reconnecting", None)
        with pytest.raises(NotGranted):
            await world.join("cat", room="lobby", token=issuer.token)
        issuer.grants = ("join", "send", "create")
        world.heal()
        await asyncio.sleep(20.0)
        assert (ada.server.value, bob.server.value) == ("connected", "connected")
        issuer.grants = ("send",)
        await asyncio.sleep(600.0)
        assert isinstance(bob.error, NotGranted)

    world.run(main(), limit=10_000.0)


@pytest.mark.parametrize(("failures", "late"), [(3, 0.0), (0, 59.6)])
def test_a_login_that_is_away_or_slow_ends_no_permit(failures: int, late: float) -> None:
    """It is asked again while the old permit lasts; and what it decides on came in time."""
    failing = [0]

    async def authenticate(_: Asked) -> Verdict:
        await asyncio.sleep(1.0)
        failing[0] -= 1
        if failing[0] >= 0:
            raise OSError("the database is away")
        return Permit(ttl=600.0)

    async def token() -> str:
        await asyncio.sleep(late if world.time > 60.0 else 0.0)
        return "ada"

    world = World(access=AccessSettings(authenticate=authenticate))

    async def main() -> None:
        ada = await world.join("ada", room="lobby", token=token)
        changes = world.watch("ada", ada)
        failing[0] = failures
        await asyncio.sleep(1000.0)
        assert failing[0] < 0, "it was asked"
        states = [each.state for each in changes.events if isinstance(each, thkmesh.ServerChanged)]
        assert set(states) <= {thkmesh.ServerState.CONNECTED}
        failing[0] = 10**9
        await asyncio.sleep(700.0)
        assert ada.server.value == "reconnecting", "then it is over"

    world.run(main(), limit=10_000.0)


def test_a_password_admits_whoever_knows_it() -> None:
    """Texts that look alike are alike; a wrong one, or none, is refused in a word."""
    world = World(access=AccessSettings(password=Password.of("caf\u00e9 \U0001f98a")))

    async def main() -> None:
        ada = await world.join("ada", room="lobby", password="cafe\u0301 \U0001f98a")
        assert "kick" not in ada.grants
        assert "create" in ada.grants
        bob = await world.join("bob", room="lobby", password="caf\u00e9 \U0001f98a")
        await world.linked(ada, bob)
        with pytest.raises(Unauthorized, match="password-wrong"):
            await world.join("eve", room="lobby", password="cafe \U0001f98a")
        with pytest.raises(Unauthorized, match="password-required"):
            await world.join("eve", room="lobby")
        with pytest.raises(JoinError):
            await world.join("eve", room="lobby", token="cafe")

    world.run(main())


def test_credentials_for_turn_are_taken_over() -> None:
    """They change after half of their time: for what is connected, and for what will be."""
    turn = Turn(urls=("turn:turn.example.org",), secret=b"shared", ttl=600.0)
    own = thkmesh.IceServer(("stun:stun.example.org",))
    worlds: list[World] = []
    access = AccessSettings(today=lambda: worlds[0].time)
    world = World(settings=ServerSettings(turn=turn), access=access)
    worlds.append(world)

    def expiries(host: str) -> list[int]:
        """Return when the credentials of each of its connections end."""
        found = []
        for config in world.configs(host):
            assert config.ice_servers[0] == own
            [server] = config.ice_servers[1:]
            expiry, _, _ = (server.username or "").partition(":")
            assert (server.urls, server.username) == (turn.urls, f"{expiry}:{ids[host]}")
            found.append(int(expiry))
        return found

    ids: dict[str, str] = {}

    async def main() -> None:
        rooms = []
        for name in ("ada", "bob"):
            rooms.append(await world.join(name, room="lobby", ice_servers=[own]))
            ids[name] = rooms[-1].me.id
        await world.linked(*rooms)
        assert (expiries("ada"), expiries("bob")) == ([600], [600])
        await asyncio.sleep(301.0)
        assert (expiries("ada"), expiries("bob")) == ([900], [900])
        cat = await world.join("cat", room="lobby", ice_servers=[own])
        ids["cat"] = cat.me.id
        await world.linked(*rooms, cat)
        assert (expiries("ada"), expiries("cat")) == ([900, 900], [901, 901])

    world.run(main())
