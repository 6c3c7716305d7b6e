"""How a page comes into a room where its browser or its network are not as they should be."""

import json
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.browser.chromium import ARGUMENTS, program
from tests.browser.stage import Stage, WebServer
from thkmesh import Grade

BLANK = "thkmesh/index.js"
"""A page of the server that does nothing by itself."""

COOKIES_BLOCKED = {"profile": {"default_content_setting_values": {"cookies": 2}}}
"""What Chromium notes where its user blocks cookies, and with them all site data."""

NEVER_ANSWERS = """
await new Promise((opened) => {
  const opening = indexedDB.open("thkmesh", 1);
  opening.addEventListener("upgradeneeded", () => {
    const store = opening.result.createObjectStore("identities");
    const again = () => store.get(0).addEventListener("success", again);
    again();
    opened();
  });
});
"""
"""Have a transaction that never ends, behind which whoever opens the storage waits."""


GIVEN_UP = "WebSocket is closed before the connection is established"
"""What Chromium itself says where a join is given up."""

GRADES = {grade.value for grade in Grade}


async def play(page: Page, script: str) -> Any:  # noqa: ANN401 - whatever the script returns
    """Run a script with the library at hand."""
    begin = 'const { Identity, join } = await import("/thkmesh/index.js");'
    return await page.evaluate(f"(async () => {{ {begin} {script} }})()")


async def blank(page: Page, server: WebServer) -> None:
    """Open a page that does nothing by itself."""
    await page.goto(server.url + BLANK)


def test_a_page_without_storage_gets_in(stage: Stage, tmp_path: Path) -> None:
    """Where all site data is blocked, it has an identity as long as it lives."""
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(COOKIES_BLOCKED))

    async def perform() -> None:
        browser = stage.chromium.browser_type
        context = await browser.launch_persistent_context(
            tmp_path, executable_path=program(), args=list(ARGUMENTS)
        )
        try:
            async with stage.server() as server:
                page = context.pages[0]
                await blank(page, server)
                refused = "try { sessionStorage; return ''; } catch ({ name }) { return name; }"
                assert await play(page, refused) == "SecurityError"
                for identity in ("tab", "stable"):
                    enter = f'const room = await join({{ room: "a", identity: "{identity}" }});'
                    assert await play(page, f"{enter} await room.leave(); return room.closed;")
        finally:
            await context.close()

    stage.perform(perform())


def test_storage_that_never_answers_is_not_waited_for(stage: Stage) -> None:
    """After two seconds the identity is a fresh one, and the slot is free again."""

    async def perform() -> None:
        async with stage.server() as server, stage.page() as page:
            await blank(page, server)
            await play(page, NEVER_ANSWERS)
            entered = await play(
                page,
                """
                const began = performance.now();
                const room = await join({ room: "a" });
                const took = performance.now() - began;
                const { held } = await navigator.locks.query();
                await room.leave();
                return [took, held.length];
                """,
            )
            assert 2000 <= entered[0] < 20_000
            assert entered[1] == 0

    stage.perform(perform())


def test_giving_up_leaves_nothing_behind(stage: Stage) -> None:
    """Aborted early or late, a join rejects with the reason, and holds no identity."""

    async def perform() -> None:
        async with stage.server() as server, stage.page(GIVEN_UP) as page:
            await blank(page, server)
            outcome = await play(
                page,
                """
                const reasons = [];
                for (let delay = -1; delay < 20; delay += 1) {
                  const given = new AbortController();
                  if (delay < 0) given.abort(delay);
                  else setTimeout(() => given.abort(delay), delay);
                  try {
                    const room = await join({ room: "a", signal: given.signal });
                    await room.leave();
                    reasons.push(delay);
                  } catch (reason) {
                    reasons.push(reason);
                  }
                }
                let held;
                do ({ held } = await navigator.locks.query()); while (held.length > 0);
                const room = await join({ room: "a" });
                const others = room.peers.length;
                await room.leave();
                return { reasons, others };
                """,
            )
            assert outcome == {"reasons": list(range(-1, 20)), "others": 0}

    stage.perform(perform())


def test_there_is_an_identity_for_everybody(stage: Stage) -> None:
    """Beyond 64 tabs the identity is a fresh one; a stored one is held until its last room."""

    async def perform() -> None:
        async with stage.server() as server, stage.page() as page:
            await blank(page, server)
            found = await play(
                page,
                """
                const many = [];
                for (let count = 0; count < 66; count += 1) many.push(await Identity.ofTab());
                for (const { release } of many) release();
                const held = async () => (await navigator.locks.query()).held.length;
                while (await held() > 0);
                const identity = await Identity.ofTab();
                const one = await join({ room: "one", identity });
                const two = await join({ room: "two", identity });
                await one.leave();
                const [after, other] = [await held(), await Identity.ofTab()];
                other.release();
                await two.leave();
                while (await held() > 0);
                return [new Set(many.map(({ id }) => id)).size, after, other.id !== identity.id];
                """,
            )
            assert found == [66, 1, True]

    stage.perform(perform())


def test_infinite_patience_delivers(stage: Stage) -> None:
    """Who leaves with all the time there is loses nothing; the quality of the link is known."""

    async def perform() -> None:
        async with stage.server() as server, stage.page() as page:
            await blank(page, server)
            heard, asked, told = await play(
                page,
                """
                const a = await join({ room: "a", heartbeatInterval: 0.5, disconnectTimeout: 30 });
                const b = await join({ room: "a" });
                const linked = (room) => room.peers.some((peer) => room.link(peer)?.quality);
                const later = () => new Promise((resolve) => setTimeout(resolve, 10));
                while (!linked(a) || !linked(b)) await later();
                const data = new Uint8Array(60_000);
                for (let count = 0; count < 100; count += 1) await a.send(data);
                const { quality } = a.link(a.peers[0]);
                const left = a.leave({ patience: Infinity });
                let heard = 0;
                let told = null;
                for await (const event of b) {
                  if (event.type === "message") heard += 1;
                  if (event.type === "quality-changed") told ??= event.quality;
                  if (event.type === "peer-left") break;
                }
                await left;
                await b.leave();
                return [heard, quality, told];
                """,
            )
            assert heard == 100
            for quality in (asked, told):
                assert quality["grade"] in GRADES
                assert 0 <= quality["score"] <= 100
                assert 0 <= quality["rtt"] < 10
                path = quality["path"]
                assert path["local"] == "host"
                assert path["remote"] in {"host", "prflx"}
                assert path["protocol"] == "udp"
                assert path["ipVersion"] in {4, 6, None}

    stage.perform(perform())


def test_ice_servers_that_the_browser_refuses_are_refused_at_once(stage: Stage) -> None:
    """URLs will do; what would keep every connection from being made is an argument's fault."""

    async def perform() -> None:
        async with stage.server() as server, stage.page() as page:
            await blank(page, server)
            outcome = await play(
                page,
                """
                const outcome = [];
                for (const url of ["stun:127.0.0.1:9", "stun:host:port", "stun:", "host"]) {
                  try {
                    const room = await join({ room: "a", iceServers: [url] });
                    await room.leave();
                    outcome.push("joined");
                  } catch ({ name }) {
                    outcome.push(name);
                  }
                }
                return outcome;
                """,
            )
            assert outcome == ["joined", *["InvalidArgument"] * 3]

    stage.perform(perform())
