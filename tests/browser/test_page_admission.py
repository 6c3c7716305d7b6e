"""Who gets in: the page asks for a password, and pages of others bring tokens."""

from playwright.async_api import expect
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.browser.guests import field, introduce, notice
from tests.browser.stage import Stage
from tests.server.mint import SECRET, claims, minted, token
from thkmesh.server import AccessSettings, Password
from thkmesh.server.clock import today


def test_the_page_asks_for_the_password(stage: Stage) -> None:
    """Until it is right; it is not asked for again in another room, and stored nowhere."""

    async def play() -> None:
        access = AccessSettings(password=Password.of("open s\u00e9same"))
        async with stage.server(access=access) as server, stage.page() as page:
            await page.goto(f"{server.url}#lobby")
            await introduce(page, "Ada")
            lock = page.get_by_role("dialog", name="This server asks for a password")
            secret = lock.get_by_label("Password")
            await expect(secret).to_be_focused()
            await secret.fill("sesame")
            await page.keyboard.press("Enter")
            await expect(notice(page)).to_contain_text("That is not the password.")
            await expect(secret).to_have_value("")
            await page.keyboard.press("Escape")
            await page.get_by_role("button", name="Try again").click()
            await secret.fill("open se\u0301same")
            await lock.get_by_role("button", name="Enter the room").click()
            await expect(field(page)).to_be_enabled()
            await expect(lock).to_be_hidden()
            await expect(notice(page)).to_have_count(0)
            await page.goto(f"{server.url}#hall")
            await expect(page.get_by_role("heading", name="hall")).to_be_visible()
            await expect(field(page)).to_be_enabled()
            kept = await page.evaluate("JSON.stringify([localStorage, sessionStorage])")
            assert "same" not in kept

    stage.perform(play())


_JOIN = """async () => {
  const { join } = await import("/thkmesh/index.js");
  const token = async () => (await fetch("/token")).text();
  const room = await join({ room: "lobby", name: "Ada", token });
  globalThis.room = room;
  return [...room.grants];
}"""


_RENEWED = """async () => {
  for (let turn = 0; turn < 1000 && room.grants.size !== 2; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return room.grants.size;
}"""


def test_a_page_brings_fresh_tokens(stage: Stage) -> None:
    """Its function is asked when it joins, and again when the server asks; nobody is thrown out."""
    asked: list[str] = []

    async def issue(_: Request) -> PlainTextResponse:
        # The first one is good for a part of the leeway only, and so has to be renewed soon.
        shown = minted(grants=("join", "list")) if asked else token(claims(exp=today() - 6))
        asked.append(shown)
        return PlainTextResponse(shown)

    async def play() -> None:
        access = AccessSettings(secret=SECRET, require_token=True)
        routes = [Route("/token", issue)]
        async with stage.server(access=access, routes=routes) as server, stage.page() as page:
            await page.goto(server.url)
            grants = await page.evaluate(_JOIN)
            assert grants == ["join", "send", "relay", "create", "kick", "list"]
            assert await page.evaluate(_RENEWED) == 2
            assert await page.evaluate("[room.server, room.closed]") == ["connected", False]
            assert len(asked) == 2
            refused = await page.evaluate(
                """async () => {
                  const { join, Unauthorized } = await import("/thkmesh/index.js");
                  const joining = join({ room: "hall", token: "x.y.z" });
                  return joining.catch((error) => [error instanceof Unauthorized, error.message]);
                }"""
            )
            assert refused == [True, "the signaling server closed with 4401: unauthorized"]

    stage.perform(play())


_RECONFIGURE = """async () => {
  const made = [];
  const Plain = RTCPeerConnection;
  globalThis.RTCPeerConnection = class extends Plain {
    constructor(...how) {
      super(...how);
      made.push(this);
    }
  };
  const { Connection } = await import("/thkmesh/engine.js");
  const config = { iceServers: [], relayOnly: false, lowWaterBytes: 1 };
  const connection = new Connection(config, () => {});
  const turn = { urls: ["turn:turn.example.org"], username: "1:me", credential: "secret" };
  connection.reconfigure({ ...config, iceServers: [turn] });
  const [{ username, urls }] = made[0].getConfiguration().iceServers;
  await connection.close();
  connection.reconfigure(config);
  return [username, urls];
}"""


def test_a_connection_of_a_browser_takes_over_other_ice_servers(stage: Stage) -> None:
    """What was connected gathers by them from then on; what is closed does not care."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await page.goto(server.url)
            assert await page.evaluate(_RECONFIGURE) == ["1:me", ["turn:turn.example.org"]]

    stage.perform(play())
