"""The page and the browser client over HTTP, on a real server; and in the wheel."""

import asyncio
import gzip
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.server.world import serving
from thkmesh.server import ServerSettings, create_app
from thkmesh.server.linking import link

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WEB = ROOT / "src" / "thkmesh" / "web"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = sorted(path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.suffix in TYPES)
MODULES = [name for name in FILES if name.endswith(".js")]
ASTRAY = (
    "/thkmesh/",
    "/thkmesh/core",
    "/thkmesh/core/",
    "/thkmesh/nothing.js",
    "/thkmesh/index.js/",
    "/thkmesh/INDEX.JS",
    "/thkmesh//index.js",
    "/thkmesh/./index.js",
    "/thkmesh/page/../index.js",
    "/thkmesh/index.js%00",
    "/thkmesh/%00",
    "/thkmesh/../server/web.py",
    "/thkmesh/page/../../server/web.py",
    "/thkmesh/%2e%2e/server/web.py",
    "/thkmesh/..%2fserver%2fweb.py",
    "/thkmesh/..\\server\\web.py",
    "/thkmesh//etc/passwd",
    "/thkmesh/%2fetc%2fpasswd",
    "/page/page.js",
    "/index.html",
    "/.env",
)


@asynccontextmanager
async def browsing(app: Starlette | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve the application, and look at it."""
    async with (
        serving(app or create_app()) as (host, _),
        httpx2.AsyncClient(base_url=f"http://{host}", trust_env=False) as client,
    ):
        yield client


async def test_every_file_is_served_as_what_it_is() -> None:
    """Each file of web/ comes whole, under its type; there are modules, styles and a page."""
    assert {Path(name).suffix for name in FILES} == set(TYPES)
    async with browsing() as client:
        for name in FILES:
            answer = await client.get(f"/thkmesh/{name}")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == TYPES[Path(name).suffix]
            if name not in MODULES:
                assert answer.content == (WEB / name).read_bytes()


async def test_modules_are_served_without_what_is_for_people() -> None:
    """They take half as much, and a browser reads the same code in them."""
    sources = {name: (WEB / name).read_text(encoding="utf-8") for name in MODULES}
    sources |= link(sources, ["page/page.js", "page/hall.js", "page/qr.js"])
    async with browsing() as client:
        served = {name: (await client.get(f"/thkmesh/{name}")).text for name in MODULES}
    assert sum(map(len, served.values())) < sum(map(len, sources.values())) * 0.6
    texts = {name: (source, served[name]) for name, source in sources.items()}
    assert differing(texts) == []


def test_other_code_is_noticed() -> None:
    """The comparison above sees a word, a text, and the end of a statement."""
    code = "const one = `a  ${1}`;\nreturn1();"
    for other in ("const two = `a  ${1}`;return1();", "const one = `a ${1}`;return1();"):
        assert differing({"x.js": (code, other)}) == ["x.js"]
    assert differing({"x.js": ("let a = b\n++c", "let a=b++c")}) == ["x.js"]
    assert differing({"x.js": (code, "const one=`a  ${1}`;return1();")}) == []


def differing(texts: dict[str, tuple[str, str]]) -> list[str]:
    """Return the names whose two texts are not the same code."""
    done = subprocess.run(
        ["node", str(HERE / "same_code.js")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


async def test_the_page_is_at_the_root() -> None:
    """What is served at / is the page, and all that it names is there."""
    async with browsing() as client:
        answer = await client.get("/")
        assert answer.headers["content-type"] == TYPES[".html"]
        named = re.findall(r'(?:href|src)="(?!\./")([^"]+)"', answer.text)
        assert {Path(name).suffix for name in named} == {".css", ".js", ".svg"}
        for reference in named:
            assert (await client.get(reference)).status_code == 200


async def test_no_document_may_do_more_than_it_must() -> None:
    """Nothing inline, nothing from elsewhere, no frames, no guessed types, no referrer."""
    async with browsing() as client:
        for name in FILES:
            headers = (await client.get(f"/thkmesh/{name}")).headers
            assert headers["x-content-type-options"] == "nosniff"
        for path in ("/", *(f"/thkmesh/{name}" for name in FILES if not name.endswith(".js"))):
            headers = (await client.get(path)).headers
            policy = dict(
                directive.split(" ", 1)
                for directive in headers["content-security-policy"].split("; ")
            )
            assert policy.pop("require-trusted-types-for") == "'script'"
            nothing = {"default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"}
            assert {policy.pop(each) for each in nothing} == {"'none'"}
            assert set(policy) == {"script-src", "style-src", "img-src", "connect-src"}
            assert set(policy.values()) == {"'self'"}
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-opener-policy"] == "same-origin"


async def test_the_page_has_nothing_inline() -> None:
    """The policy above breaks nothing: no script, style or handler is in the page itself."""
    page = (WEB / "page" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    for path in (WEB / "page").glob("*.js"):
        code = path.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", code
        )


async def test_pages_of_other_origins_can_import_the_library() -> None:
    """Modules are fetched with CORS, so every module allows it; the page itself does not."""
    async with browsing() as client:
        origin = {"origin": "https://app.example"}
        for name in FILES:
            headers = (await client.get(f"/thkmesh/{name}", headers=origin)).headers
            allowed = headers.get("access-control-allow-origin")
            assert allowed == ("*" if name.endswith(".js") else None)
        assert "access-control-allow-origin" not in (await client.get("/", headers=origin)).headers
    async with browsing(
        create_app(ServerSettings(allowed_origins=("https://a.example",)))
    ) as client:
        for origin in ({"origin": "https://a.example"}, {"origin": "https://app.example"}):
            headers = (await client.get("/thkmesh/index.js", headers=origin)).headers
            assert headers["access-control-allow-origin"] in {"*", origin["origin"]}


async def test_a_browser_asks_but_downloads_once() -> None:
    """Files may be kept, are asked about each time, and come again only if they changed."""
    async with browsing() as client:
        for path in ("/", "/thkmesh/index.js"):
            for coding in ("gzip", "identity"):
                headers = {"accept-encoding": coding}
                first = await client.get(path, headers=headers)
                assert first.headers["cache-control"] == "no-cache"
                assert first.headers["vary"] == "accept-encoding"
                tag = first.headers["etag"]
                for known in (tag, f'"other", W/{tag}', "*"):
                    again = await client.get(path, headers=headers | {"if-none-match": known})
                    assert (again.status_code, again.content) == (304, b"")
                    assert again.headers["etag"] == tag
                for stale in ('"other"', tag.strip('"'), ""):
                    again = await client.get(path, headers=headers | {"if-none-match": stale})
                    assert (again.status_code, again.content) == (200, first.content)
            one, other = [
                (await client.get(path, headers={"accept-encoding": coding})).headers["etag"]
                for coding in ("gzip", "identity")
            ]
            assert one != other


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("gzippy", False),
        ("identity", False),
        ("", False),
    ],
)
async def test_files_are_compressed_for_those_who_can_read_it(
    accepted: str, *, zipped: bool
) -> None:
    """They are zipped where Accept-Encoding allows it, and the same bytes either way."""
    async with browsing() as client:
        request = client.build_request(
            "GET", "/thkmesh/page/page.css", headers={"accept-encoding": accepted}
        )
        answer = await client.send(request, stream=True)
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
        assert (answer.headers.get("content-encoding") == "gzip") is zipped
        assert int(answer.headers["content-length"]) == len(raw)
        content = (WEB / "page" / "page.css").read_bytes()
        assert (gzip.decompress(raw) if zipped else raw) == content


async def test_only_the_files_of_the_client_can_be_asked_for() -> None:
    """No path, however it is written, leads anywhere else; a folder is no file either."""
    async with serving(create_app()) as (host, _):
        for path in ASTRAY:
            reader, writer = await asyncio.open_connection(*host.split(":"))
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 404 "), path


async def test_the_page_can_be_left_out() -> None:
    """With serve_page=False there are the rooms and nothing else."""
    async with browsing(create_app(serve_page=False)) as client:
        for path in ("/", "/thkmesh/index.js"):
            assert (await client.get(path)).json()["error"] == "not-found"
        assert (await client.get("/healthz")).status_code == 200


async def test_the_page_works_below_a_prefix() -> None:
    """Mounted in another application, all it needs is beside it."""
    async with browsing(Starlette(routes=[Mount("/mesh", create_app())])) as client:
        page = await client.get("/mesh/")
        for reference in re.findall(r'(?:href|src)="(?!\./")([^"]+)"', page.text):
            assert (await client.get(f"/mesh/{reference}")).status_code == 200


async def test_only_reading_is_possible() -> None:
    """HEAD has the headers of GET; other methods are refused in the one form of errors."""
    async with browsing() as client:
        for path in ("/", "/thkmesh/index.js"):
            head, whole = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["etag"] == whole.headers["etag"]
            answer = await client.post(path)
            assert (answer.status_code, answer.json()["error"]) == (405, "method-not-allowed")


def test_the_wheel_has_all_of_it(tmp_path: Path) -> None:
    """What is installed serves what the checkout serves."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=50)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        inside = {
            name.removeprefix("thkmesh/web/"): packed.read(name)
            for name in packed.namelist()
            if name.startswith("thkmesh/web/")
        }
    assert inside == {name: (WEB / name).read_bytes() for name in FILES}
