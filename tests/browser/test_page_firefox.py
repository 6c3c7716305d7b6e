"""The page in Firefox: the policy lets its WebSocket through, and it works as in Chromium."""

from playwright.async_api import expect

from tests.browser.firefox import Firefox
from tests.browser.guests import enter, linked, say
from tests.browser.members import within
from tests.browser.stage import Stage

INTRODUCE = """
    (() => {
      document.querySelector("#name").value = "Fox";
      document.querySelector("#name").dispatchEvent(new Event("input"));
      document.querySelector("#enter").click();
    })()
"""
SAY = """
    (() => {
      document.querySelector("#message").value = "hello from Firefox";
      document.querySelector("#send").click();
    })()
"""


def test_firefox_and_chromium_chat(stage: Stage) -> None:
    """Each sees what the other says, in one room, and Firefox's console is silent."""

    async def play() -> None:
        async with stage.server() as server, stage.page() as ada:
            await enter(ada, server, "Ada")
            fox = await Firefox.start()
            try:
                await fox.goto(f"{server.url}#lobby")
                await fox.evaluate(INTRODUCE)
                await linked(ada, 1)
                connected = "document.querySelectorAll('#peers [data-state=connected]').length"
                await within("Firefox is connected", lambda: fox.evaluate(connected))
                await say(ada, "hello from Chromium")
                spoken = "document.querySelector('#log').textContent"
                await within(
                    "Firefox hears Chromium",
                    lambda: fox.evaluate(f"{spoken}.includes('hello from Chromium')"),
                )
                await fox.evaluate(SAY)
                await expect(ada.get_by_role("log")).to_contain_text("hello from Firefox")
                facts = "document.querySelectorAll('#peers .facts li').length"
                await within("the path is named", lambda: fox.evaluate(f"{facts} === 4"))
                assert fox.console == []
            finally:
                await fox.close()

    stage.perform(play())
