"""The client in pages of others: from a bundler, by a script tag, from their origin and ours."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import expect
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from tests.browser.stage import Stage
from tests.cli.programs import present
from tests.documents import ROOT, blocks
from thkmesh.server import ServerSettings, create_app

VITE = ROOT / "node_modules" / ".bin" / "vite"
EXAMPLE = ROOT / "examples" / "page.html"
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "how-to" / "page.md"
WRITTEN = "http://localhost:8765"
"""The server in everything that we have written for others."""

INDEX = """<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <title>Mine</title>
  <link rel="icon" href="data:,">
  <ul></ul>
  <script type="module" src="/{}"></script>
</html>
"""
POLICY = '<meta http-equiv="Content-Security-Policy" content="{}">'
MODULE = """<!doctype html>
<title>Mine</title>
<script type="module">{}</script>
"""


def block(path: Path, language: str) -> str:
    """Return the one block of a document that is in a language."""
    (found,) = (each.text for each in blocks(path) if each.language == language)
    return found


@asynccontextmanager
async def running(*command: str | Path, folder: Path, ready: str) -> AsyncIterator[re.Match[str]]:
    """Have a program that serves a folder; give what it prints once it is ready."""
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=PIPE)
    try:
        assert process.stdout is not None
        match = None
        while match is None:
            line = (await process.stdout.readline()).decode()
            assert line, f"{command} ended and was not ready"
            match = re.search(ready, line)
        yield match
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def elsewhere(folder: Path) -> AsyncIterator[str]:
    """Serve a folder from an origin of its own; give the origin."""
    (folder / "favicon.ico").touch()  # or Chromium complains
    command = (sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0")
    async with running(*command, folder=folder, ready=r"port (\d+)") as match:
        yield f"http://127.0.0.1:{match[1]}"


def test_a_bundle_of_vite_is_a_peer(stage: Stage, application: Path) -> None:
    """The guide's program, built by Vite and served from elsewhere, talks with Python."""

    async def play() -> None:
        built = application / "dist"
        built.mkdir(exist_ok=True)
        async with (
            elsewhere(built) as origin,
            stage.server(ServerSettings(allowed_origins=(origin,))) as server,
            stage.peer(server.url, "lobby", "Python") as peer,
            stage.page() as page,
        ):
            program = block(GUIDE, "ts").replace(WRITTEN, server.url.rstrip("/"))
            (application / "main.ts").write_text(program, encoding="utf-8")
            (application / "index.html").write_text(INDEX.format("main.ts"), encoding="utf-8")
            command = (
                VITE,
                "build",
                "--logLevel",
                "warn",
                "--outDir",
                built,
                "--emptyOutDir=false",
            )
            building = await asyncio.create_subprocess_exec(*command, cwd=application)
            assert await building.wait() == 0
            await present(server.url, "Python")
            await page.goto(f"{origin}/index.html")
            assert await peer.heard() == "Vite: hello from a bundle"
            peer.say("hello, bundle")
            await expect(page.get_by_role("listitem")).to_have_text("Python: hello, bundle")

    stage.perform(play())


def test_the_dev_server_of_vite_serves_it(stage: Stage, application: Path) -> None:
    """The package's README runs unbuilt, and the guide's program through Vite's proxy."""

    async def play() -> None:
        origin = "http://127.0.0.1:5173"  # Vite's own port; nobody else is in this network
        async with stage.server(ServerSettings(allowed_origins=(origin,))) as server:
            readme = [b.text for b in blocks(ROOT / "npm" / "README.md") if b.language == "js"]
            assert len(readme) == 3
            programs = {
                "first.js": readme[0],
                "second.js": readme[1],
                "third.js": readme[2],
                "fourth.ts": block(GUIDE, "ts").replace(f'url: "{WRITTEN}", ', ""),
                "vite.config.js": block(GUIDE, "js"),
                "all.js": "".join(
                    f'import("./{name}");'
                    for name in ("first.js", "second.js", "third.js", "fourth.ts")
                ),
                "index.html": INDEX.format("all.js"),
            }
            for name, program in programs.items():
                text = program.replace(WRITTEN, server.url.rstrip("/"))
                (application / name).write_text(text, encoding="utf-8")
            command = (VITE, "--host", "127.0.0.1", "--strictPort")
            said: list[str] = []
            async with (
                # With CI set it is coloured: "Local" is bold, and its colon is not.
                running(*command, folder=application, ready=r"Local.*5173"),
                stage.peer(server.url, "lobby", "Python") as peer,
                stage.page() as page,
            ):
                page.on("console", lambda message: said.append(message.text))
                await present(server.url, "Python")
                await page.goto(origin)
                heard = {await peer.heard() for _ in range(3)}
                greetings = {"Ada: hello, everyone", "Bob: hello", "Vite: hello from a bundle"}
                assert heard == greetings
                peer.say("hello, pages")
                await expect(page.get_by_text("Python: hello, pages")).to_be_visible()
                while "Python hello, pages" not in said:
                    await page.wait_for_event("console")

    stage.perform(play())


def test_a_script_tag_of_the_same_origin_needs_nothing(stage: Stage) -> None:
    """The pages of the guide and of our README, served beside the server's own, converse."""
    documents = {"/guide": block(GUIDE, "html"), "/readme": MODULE.format(block(README, "js"))}

    async def written(request: Request) -> HTMLResponse:
        return HTMLResponse(documents[request.url.path])

    async def play() -> None:
        async with (
            stage.server(routes=[Route(path, written) for path in documents]) as server,
            stage.page() as guide,
            stage.page() as readme,
            stage.peer(server.url, "lobby", "Python") as peer,
        ):
            lines = guide.get_by_role("listitem")
            await guide.goto(f"{server.url}guide")
            await present(server.url, "Python", "Page")
            async with readme.expect_console_message(lambda each: "Python says" in each.text):
                await readme.goto(f"{server.url}readme")
                await expect(lines).to_have_text('Cem: "hello from a browser"')
                peer.say("I can hear you")
            await expect(lines.last).to_contain_text("I can hear you")

    stage.perform(play())


def test_a_server_below_a_path_is_found_by_it(stage: Stage) -> None:
    """Where it is mounted, the client is imported from there, and joins there."""

    async def play() -> None:
        async with (
            stage.server(routes=[Mount("/mesh", create_app())]) as server,
            stage.page() as page,
        ):
            await page.goto(server.url)
            script = """import("/mesh/thkmesh/index.js").then(async ({ join }) => {
                const room = await join({ url: "/mesh", room: "lobby", name: "Page" });
                const seen = await (await fetch("/mesh/api/rooms/lobby")).json();
                return [room.server, ...seen.peers.map((peer) => peer.name)];
            })"""
            assert await page.evaluate(script) == ["connected", "Page"]
            await present(server.url)

    stage.perform(play())


def test_the_example_page_is_a_chat(stage: Stage, tmp_path: Path) -> None:
    """From elsewhere, it shows who is here and what is said, and says what is typed."""

    async def play() -> None:
        async with (
            elsewhere(tmp_path) as origin,
            stage.server(ServerSettings(allowed_origins=(origin,))) as server,
            stage.page() as page,
        ):
            here, lines = page.get_by_role("status"), page.get_by_role("listitem")
            policy = (
                f"default-src 'none'; script-src 'unsafe-inline' {server.url}; "
                f"connect-src ws://127.0.0.1:{server.port}"
            )
            text = EXAMPLE.read_text(encoding="utf-8").replace(WRITTEN, server.url.rstrip("/"))
            page_text = text.replace("<meta charset", POLICY.format(policy) + "<meta charset")
            (tmp_path / "page.html").write_text(page_text, encoding="utf-8")
            async with stage.peer(server.url, "lobby", "Ada"):
                await present(server.url, "Ada")
                await page.goto(f"{origin}/page.html")
                await expect(here).to_have_text("Ada")
                async with stage.peer(server.url, "lobby", "Bob") as bob:
                    await expect(here).to_have_text("Ada, Bob")
                    await page.get_by_label("Message").fill("hello <b>there</b>")
                    await page.get_by_role("button", name="Say").click()
                    assert await bob.heard() == "Page: hello <b>there</b>"
                    bob.say("<i>hi</i>, Page")
                    await expect(lines).to_have_text(
                        ["Page: hello <b>there</b>", "Bob: <i>hi</i>, Page"]
                    )

    stage.perform(play())


def test_the_example_page_is_short() -> None:
    """Thirty lines, and they say how to run it."""
    text = EXAMPLE.read_text(encoding="utf-8")
    assert text.count("\n") <= 30
    assert "thkmesh serve --demo --allow-origin http://localhost:8000" in text
    assert "python -m http.server 8000 --directory examples" in text


def test_a_page_that_is_not_let_in_is_told_what_it_may_be(stage: Stage, tmp_path: Path) -> None:
    """A browser does not tell why a WebSocket fails, so both reasons are named."""

    async def play() -> None:
        async with (
            elsewhere(tmp_path) as origin,
            stage.server(ServerSettings(allowed_origins=("http://other.example",))) as server,
            stage.page("WebSocket connection to", "403") as page,
        ):
            await page.goto(origin)
            script = """async (url) => {
                const { join, ServerUnreachable } = await import(`${url}thkmesh/index.js`);
                const error = await join({ url, room: "lobby", timeout: 1 }).catch((e) => e);
                return error instanceof ServerUnreachable ? error.message : String(error);
            }"""
            assert await page.evaluate(script, server.url) == (
                f"not joined within 1 s: no server at ws://127.0.0.1:{server.port}/ws, "
                f"or one that does not let in pages of {origin}"
            )

    stage.perform(play())
