"""Nothing that anybody says, is called, or puts into a link is ever more than text."""

import json

from playwright.async_api import Page, expect

from tests.browser.guests import enter, field, introduce, notice
from tests.browser.payloads import PAYLOADS
from tests.browser.stage import Stage
from tests.server.world import Client
from thkmesh.core.closing import CloseCode
from thkmesh.core.wire import Leave

WITNESS = """
    globalThis.hits = 0;
    globalThis.hit = () => { hits += 1; };
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
"""
ELEMENTS = "[...new Set([...document.querySelectorAll('*')].map((each) => each.localName))]"
OURS = """
    a aside b bdi body button circle code dd details dialog div dl dt form h1 h2 h3 head header
    html input label li link main meta p path script section span summary svg textarea time title ul
"""
"""All kinds of elements that the page is made of."""
SPEAK = """
    (async () => {
      const { join } = await import("/thkmesh/index.js");
      const room = await join({ room: "lobby", name: NAME });
      const said = (text) => ({
        type: "chat-message", id: text.slice(0, 128), roomId: "lobby", authorId: room.me.id,
        authorName: text, content: text, timestamp: new Date().toISOString(),
      });
      for (const text of TEXTS) await room.send(said(text));
    })()
"""
WANDER = """
    (async () => {
      const shown = [];
      for (const text of TEXTS) {
        const changed = new Promise((resolve) => addEventListener("hashchange", resolve));
        location.hash = encodeURIComponent(text);
        await changed;
        shown.push(document.querySelector(".notice")?.textContent ?? text);
      }
      return shown;
    })()
"""


async def unharmed(page: Page) -> None:
    """Check that nothing ran, nothing was tried and blocked, and no element is foreign."""
    assert await page.evaluate("hits") == 0
    assert await page.evaluate("violations") == []
    assert set(await page.evaluate(ELEMENTS)) <= set(OURS.split())
    assert await page.evaluate("document.scripts.length") == 1


def test_messages_are_text(stage: Stage) -> None:
    """A thousand messages that are scripts are shown as they are, also after a reload."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as victim, stage.page() as evil:
            await victim.add_init_script(WITNESS)
            await enter(victim, server, PAYLOADS[0][:64])
            await evil.goto(server.url)
            texts, name = json.dumps(PAYLOADS), json.dumps(PAYLOADS[-1][:64])
            await evil.evaluate(SPEAK.replace("TEXTS", texts).replace("NAME", name))
            last = victim.locator(".message .text").last
            await expect(last).to_have_text(PAYLOADS[-1])
            shown = await victim.locator(".message .text").all_text_contents()
            clean = [text.replace("\t", " ") for text in PAYLOADS]
            assert shown == clean[-len(shown) :]
            assert len(shown) > 900
            await unharmed(victim)
            await evil.goto("about:blank")
            await expect(victim.get_by_role("log")).to_contain_text("left")
            await victim.reload()
            await expect(field(victim)).to_be_enabled()
            shown = await victim.locator(".message .text").all_text_contents()
            assert len(shown) > 100
            assert shown == clean[-len(shown) :]
            await unharmed(victim)

    stage.perform(play())


def test_names_are_text(stage: Stage) -> None:
    """Peers that are called like scripts come, are listed, type and go."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as victim:
            await victim.add_init_script(WITNESS)
            await enter(victim, server, "<b>Ada</b>")
            names = sorted({text[:64] for text in PAYLOADS})[::15]
            assert len(names) > 50
            for start in range(0, len(names), 8):
                batch = names[start : start + 8]
                clients = [Client(f"ws://127.0.0.1:{server.port}/ws") for _ in batch]
                for client, name in zip(clients, batch, strict=True):
                    await client.join(name)
                rows = victim.locator("#peers > li")
                await expect(rows).to_have_count(len(batch) + 1)
                listed = await rows.locator(".name").all_text_contents()
                assert {name.split("#")[0] for name in listed} >= {
                    name.replace("\t", " ").strip().split("#")[0] for name in batch
                }
                for client in clients:
                    await client.send(Leave())
                    # Cut off at once, the goodbye might be lost with the connection.
                    assert await client.closed() is CloseCode.NORMAL
                await expect(rows).to_have_count(1)
            await unharmed(victim)

    stage.perform(play())


def test_links_are_text(stage: Stage) -> None:
    """Links with scripts for rooms lead nowhere, and say so."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as victim:
            await victim.add_init_script(WITNESS)
            await victim.goto(f"{server.url}#<script>hit()</script>")
            await expect(notice(victim)).to_have_count(1)
            # Chromium lets a page change its address 200 times in 10 seconds.
            texts = PAYLOADS[::7]
            shown = await victim.evaluate(WANDER.replace("TEXTS", json.dumps(texts)))
            assert len(shown) == len(texts) > 140
            assert all("leads to no room" in each for each in shown)
            await unharmed(victim)
            for text in PAYLOADS[::50]:
                await victim.goto(f"{server.url}?room={text}&name={text}")
                await expect(notice(victim)).to_contain_text("leads to no room")
                await unharmed(victim)
            await introduce(victim, PAYLOADS[3][:64])
            await expect(field(victim)).to_be_enabled()
            await unharmed(victim)

    stage.perform(play())


def test_the_policy_stops_what_slips_through(stage: Stage) -> None:
    """Were there a hole, markup, inline scripts, eval and foreign addresses would still fail."""

    async def play() -> None:
        complaints = (
            "Content Security Policy",
            "Content Security policy",
            "TrustedHTML",
            "TrustedScript",
        )
        async with stage.server() as server, stage.page(*complaints) as page:
            await page.add_init_script(WITNESS)
            await page.goto(server.url)
            refused = await page.evaluate("""
                (async () => {
                  const script = document.createElement("script");
                  const image = document.createElement("img");
                  const tries = [
                    () => { document.body.innerHTML = "<img src=x onerror=hit()>"; },
                    () => { script.text = "hit()"; },
                    () => document.write("<p>"),
                    () => { setTimeout("hit()"); },
                    () => { image.setAttribute("onerror", "hit()"); },
                    () => trustedTypes.createPolicy("mine", {}),
                    () => fetch("https://evil.example/"),
                    () => import("data:text/javascript,hit()"),
                    () => new Worker("data:text/javascript,"),
                    () => { throw new WebSocket("wss://evil.example/").url; },
                  ];
                  const refused = [];
                  for (const attempt of tries) {
                    try {
                      await attempt();
                      refused.push(false);
                    } catch {
                      refused.push(true);
                    }
                  }
                  return refused;
                })()
            """)
            assert refused == [True] * 10
            assert await page.evaluate("hits") == 0
            assert len(await page.evaluate("violations")) >= 5

    stage.perform(play())
