"""The files in ``deploy``: what checks them, and nginx before a server."""

import asyncio
import re
import secrets
import ssl
import sys
import tomllib
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.documents import ROOT
from tests.server.world import PATIENCE, Client, Server, server, until
from thkmesh.cli.arguments import ServeOptions, parse
from thkmesh.cli.serving import SETTINGS
from thkmesh.server import ServerSettings
from thkmesh.server.tls import write_self_signed

DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent


async def checked(*command: str | Path) -> str:
    """Run a checker that has nothing to say against it; return what it says."""
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode == 0, (out + err).decode()
    return (out + err).decode()


async def test_the_dockerfile_is_well_made() -> None:
    """By hadolint."""
    await checked(TOOLS / "hadolint", DEPLOY / "Dockerfile")


async def test_the_compose_file_is_one() -> None:
    """By the schema of the Compose Specification."""
    schema = ("--builtin-schema", "vendor.compose-spec")
    await checked(TOOLS / "check-jsonschema", *schema, DEPLOY / "compose.yaml")


async def test_the_unit_is_one_and_may_do_little(tmp_path: Path) -> None:
    """By systemd, with a program that there is; 10 is the most exposed."""
    unit = (DEPLOY / "thkmesh.service").read_text(encoding="utf-8")
    path = tmp_path / "thkmesh.service"
    path.write_text(unit.replace("/opt/thkmesh/bin/thkmesh", sys.executable), encoding="utf-8")
    assert await checked("systemd-analyze", "verify", path) == ""
    said = await checked("systemd-analyze", "security", "--offline=true", "--threshold=20", path)
    assert "OK" in said


def test_containers_are_told_of_settings_that_there_are() -> None:
    """No variable of ours means nothing."""
    known = {each.variable for each in SETTINGS}
    for name in ("Dockerfile", "compose.yaml"):
        text = (DEPLOY / name).read_text(encoding="utf-8")
        assert set(re.findall(r"\bTHKMESH_\w+", text)) - known == set()


def test_the_settings_file_can_be_read() -> None:
    """Also with the lines that are to be set."""
    path = DEPLOY / "thkmesh.toml"
    options = parse(["serve", "--config", str(path)])
    assert isinstance(options, ServeOptions)
    assert options.settings.trusted_proxies == ("127.0.0.1", "::1")
    text = path.read_text(encoding="utf-8")
    whole = tomllib.loads(re.sub(r"^#(\S)", r"\1", text, flags=re.MULTILINE))
    assert set(whole) <= {each.name for each in SETTINGS}


def test_caddy_is_told_where_the_server_is() -> None:
    """What it passes on unasked need not be said; nothing may take it back."""
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    assert "reverse_proxy 127.0.0.1:8765 {" in text
    assert "health_uri /readyz" in text
    assert "header_up" not in text
    assert text.count("{") == text.count("}")


WHOLE = """
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/thkmesh.conf;
}}
"""


async def listening(port: int) -> None:
    """Wait until somebody listens there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def nginx(folder: Path, *hosts: str) -> AsyncIterator[str]:
    """Run nginx, as our file has it, before some servers; give its host and port."""
    cert, key = write_self_signed(folder, "127.0.0.1")
    free = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    for ours, here in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/mesh.example.org.pem", str(cert)),
        ("/etc/ssl/mesh.example.org.key", str(key)),
        ("server 127.0.0.1:8765;", " ".join(f"server {host};" for host in hosts)),
    ):
        assert ours in text
        text = text.replace(ours, here)
    (folder / "thkmesh.conf").write_text(text, encoding="utf-8")
    (folder / "nginx.conf").write_text(WHOLE.format(folder=folder), encoding="utf-8")
    common = ("-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"))
    await checked("nginx", "-t", *common)
    process = await asyncio.create_subprocess_exec("nginx", *common, "-g", "daemon off;")
    try:
        await listening(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def test_nginx_passes_on_who_a_client_is(tmp_path: Path) -> None:
    """WebSockets, addresses, refusals; and whoever ends is not asked any more."""
    settings = ServerSettings(trusted_proxies=("127.0.0.1",), address_connections=1)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    async with (
        server(settings) as old,
        server(settings) as new,
        nginx(tmp_path, old.host, new.host) as host,
    ):
        front = Server(host, old.service, old.state)

        def client(said: str, **options: object) -> Client:
            options |= {"ssl": tls, "additional_headers": {"x-forwarded-for": said}}
            made = front.client(room=secrets.token_hex(4), options=options)
            made.url = f"wss://{host}/ws"
            return made

        def sources() -> int:
            return old.service.turnstile.sources + new.service.turnstile.sources

        # Who is no proxy is not believed: it is from this machine, and not counted.
        for _ in range(4):
            await client("192.0.2.1", local_addr=("127.0.0.2", 0)).join()
        assert sources() == 0
        # They take turns, and each takes one from an address.
        here = [client("192.0.2.1") for _ in range(2)]
        for each in here:
            await each.join()
        assert sources() == 2
        with pytest.raises(InvalidStatus) as refused:
            await client("192.0.2.1").connect()
        assert refused.value.response.status_code == 429
        for each in front.clients:
            await each.cut()
        await until(lambda: not old.service.turnstile.open + new.service.turnstile.open)
        await old.service.drain()
        for number in range(4):
            await client(f"192.0.2.{10 + number}").join()
        assert (old.service.turnstile.open, new.service.turnstile.open) == (0, 4)
        for each in front.clients:
            await each.cut()
