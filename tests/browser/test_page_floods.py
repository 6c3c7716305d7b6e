"""The page when very much is said at once: it stays quick, and shows the newest."""

from playwright.async_api import expect

from tests.browser.guests import enter, linked
from tests.browser.stage import Stage

COUNT = 1000
FRAMES = "globalThis.frames = 0, function frame() { frames += 1; requestAnimationFrame(frame); }()"
FLOOD = """
    (async () => {
      const { join } = await import("/thkmesh/index.js");
      const { Chat } = await import("/thkmesh/chat.js");
      globalThis.room = await join({ room: "lobby", name: "Flood" });
      globalThis.chat = new Chat(room);
      globalThis.flood = async (count) => {
        for (let number = 0; number < count; number += 1) await chat.say(`line ${number}.`);
      };
    })()
"""
CONVERSE = """
    (async () => {
      const { Conversation } = await import("/thkmesh/page/conversation.js");
      const log = document.getElementById("log");
      globalThis.over = new AbortController();
      const talk = new Conversation(log, document.getElementById("newer"), over.signal);
      const line = { key: "k", name: "Bob", timestamp: new Date(), mine: false };
      for (let number = 0; number < 5000; number += 1) talk.say({ ...line, content: `${number}` });
      if (LEFT) over.abort();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return [log.childElementCount, log.lastElementChild?.querySelector(".text").textContent];
    })()
"""


def test_messages_cost_a_layout_per_frame_not_each(stage: Stage) -> None:
    """Whoever sends a thousand messages does not freeze the page of anybody else."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada, stage.page() as evil:
            await enter(ada, server, "Ada")
            await evil.goto(f"{server.url}thkmesh/index.js")
            await evil.evaluate(FLOOD)
            await linked(ada, 1)
            devtools = await ada.context.new_cdp_session(ada)
            await devtools.send("Performance.enable")

            async def layouts() -> int:
                measured = await devtools.send("Performance.getMetrics")
                return next(
                    int(each["value"])
                    for each in measured["metrics"]
                    if each["name"] == "LayoutCount"
                )

            await ada.evaluate(FRAMES)
            before = await layouts()
            await evil.evaluate(f"flood({COUNT})")
            await expect(ada.locator(".message .text").last).to_have_text(f"line {COUNT - 1}.")
            frames = await ada.evaluate("frames")
            assert await layouts() - before < 3 * frames + COUNT / 10
            # What was said, and that somebody joined; the first of it has made room.
            assert await ada.locator("#log > *").count() <= COUNT

    stage.perform(play())


def test_only_what_will_be_shown_is_made(stage: Stage) -> None:
    """Of more lines than the log holds the newest are shown; of a room that was left, none."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as page:
            await page.goto(server.url)
            assert await page.evaluate(CONVERSE.replace("LEFT", "false")) == [1000, "4999"]
            await page.evaluate("over.abort()")
            assert await page.evaluate(CONVERSE.replace("LEFT", "true")) == [0, None]

    stage.perform(play())
