"""``thkmesh serve``: when it is ready, how it ends, and what it says of mistakes."""

import asyncio
import json
import re
import signal
import socket
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import thkmesh
from tests.browser.namespace import ADDRESS, in_namespace
from tests.cli.programs import PATIENCE, ran, served, started
from tests.documents import ROOT
from tests.server.world import Client
from thkmesh.core.wire import IceServer
from thkmesh.server.tls import write_self_signed

HAS_IPV6 = socket.has_ipv6 and Path("/proc/net/if_inet6").exists()


@pytest.mark.parametrize("demo", [(), ("--demo",)], ids=["plain", "demo"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["term", "int"]
)
async def test_it_serves_until_a_signal(
    number: signal.Signals, code: int, demo: tuple[str, ...]
) -> None:
    """After ``ready`` nothing more is said; the exit code tells how it was stopped."""
    async with served(*demo) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
        ended = await server.program.end(number)
    assert (ended.code, ended.out, ended.err) == (code, "", "")


async def test_when_the_demo_is_ready_it_is_there() -> None:
    """The command that it prints for the second terminal leads to it."""
    async with started("serve", "--port", "0", "--demo") as program:
        command = await program.line("chat --url")
        url = (await program.line("^ready: ")).removeprefix("ready: ")
        assert command.split()[-4:] == ["thkmesh", "chat", "--url", url]
        here = json.loads((await ran("peers", "--json", "--url", url)).out)
        assert [peer["name"] for peer in here["peers"]] == ["Demo"]


async def test_without_a_demo_rooms_are_empty() -> None:
    """The server puts nobody into a room unasked."""
    async with served() as server:
        ended = await ran("peers", "--url", server.url)
    assert (ended.code, ended.out) == (0, "Nobody is in lobby.\n")


async def test_a_self_signed_certificate_can_be_trusted_at_once() -> None:
    """The command for the second terminal names it; it is gone with the server."""
    async with started("serve", "--port", "0", "--demo", "--tls-self-signed") as program:
        command = (await program.line("chat --url")).split()
        url, file = command[-3], command[-1]
        assert await program.line("^ready: ") == f"ready: {url}"
        assert url.startswith("https://")
        chatted = await ran("chat", "--url", url, "--ca-file", file, stdin="hello\n")
        assert "Nice to hear from you" in chatted.out
        asked = await ran("peers", "--url", url, "--ca-file", file)
        assert "Demo" in asked.out
        refused = await ran("peers", "--url", url)
        assert refused.code == 1
        assert "certificate is not trusted" in refused.complaint
        assert "--ca-file" in refused.complaint
        plain = await ran("peers", "--url", url.replace("https:", "http:"))
        assert (plain.code, f"try {url}" in plain.complaint) == (1, True)
        assert (await program.end(signal.SIGTERM)).code == 0
    assert not Path(file).exists()  # noqa: ASYNC240 - once, on a local disk


def test_other_machines_can_trust_a_self_signed_certificate() -> None:
    """With every address to listen on, it is good for every address; the best is printed."""

    async def serve_and_ask() -> list[str]:
        every = ("serve", "--port", "0", "--demo", "--host", "0.0.0.0", "--tls-self-signed")
        async with started(*every) as program:
            page = (await program.line("other machines")).split()[0]
            file = (await program.line("chat --url")).split()[-1]
            command = (await program.line("chat --url")).split()
            url = command[command.index("--url") + 1]
            assert page == f"{url}/#lobby"
            await program.line("^ready: https://127.0.0.1:")
            assert url.startswith(f"https://{ADDRESS}:")
            others = [url, url.replace(ADDRESS, "10.77.0.2"), url.replace(ADDRESS, "127.0.0.1")]
            return [(await ran("peers", "--url", at, "--ca-file", file)).out for at in others]

    assert ["Demo" in out for out in in_namespace(serve_and_ask)] == [True] * 3


async def test_a_certificate_names_no_wildcard(tmp_path: Path) -> None:
    """Nobody can be at 0.0.0.0 or ::."""
    for number, host in enumerate(("0.0.0.0", "::")):
        (folder := tmp_path / str(number)).mkdir()
        cert, _ = write_self_signed(folder, host)
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.IPAddress)
        assert not [address for address in found if address.is_unspecified]


def test_without_tls_the_url_for_other_machines_is_told_too() -> None:
    """Before ``ready``, with the hint that pages need https there."""

    async def serve_twice() -> tuple[str, str]:
        every = ("serve", "--port", "0", "--host", "0.0.0.0")
        async with started(*every) as program:
            plain = await program.line()
            await program.line("^ready: http://127.0.0.1:")
        async with started(*every, "--demo") as program:
            await program.line(f"http://{ADDRESS}:")
            hint = await program.line("https")
            await program.line("^ready: ")
        return plain, hint

    plain, hint = in_namespace(serve_twice)
    assert re.fullmatch(rf"from other machines: http://{ADDRESS}:\d+", plain)
    assert "--tls-self-signed" in hint


def issue(folder: Path, name: str) -> tuple[Path, Path]:
    """Have an authority issue a certificate for a name; return certificate and key file."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Some Authority")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(authority, SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    return files


async def test_a_given_certificate_serves_the_demo_too(tmp_path: Path) -> None:
    """Whatever name it is for, and whoever issued it, the peer in the same process gets in."""
    cert, key = issue(tmp_path, "mesh.example")
    arguments = ("--demo", "--tls-cert", str(cert), "--tls-key", str(key), "--log-level", "info")
    async with served(*arguments) as server:
        ended = await server.program.end(signal.SIGTERM)
    assert ended.code == 0
    assert "hello connection=" in ended.err


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
async def test_ipv6_is_written_as_in_urls(host: str) -> None:
    """The address in ``ready`` can be used as it stands, with all addresses as with one."""
    async with served("--host", host, "--demo") as server:
        assert re.fullmatch(r"http://\[::1\]:\d+", server.url)
        assert "Demo" in (await ran("peers", "--url", server.url)).out


async def test_a_port_in_use_is_said_in_one_sentence() -> None:
    """It names the port and a way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = await ran("serve", "--demo", "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert f"port {port} on 127.0.0.1 is in use" in ended.complaint
    assert "--port" in ended.complaint


async def test_make_run_names_its_own_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who started it by make is told how make chooses a port."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (told,) = re.findall(r'THKMESH_PORT_OPTION="(.*?)"', makefile)
    monkeypatch.setenv("THKMESH_PORT_OPTION", told)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = await ran("serve", "--port", str(taken.getsockname()[1]))
    assert "choose another with make run PORT=" in ended.complaint


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ("--host 192.0.2.1", 1, "192.0.2.1 is no address of this machine"),
        ("--host nowhere.invalid", 1, "nowhere.invalid is no address of this machine"),
        ("--tls-cert nowhere.pem", 2, "nowhere.pem: No such file"),
        ("--tls-cert {cert} --tls-key nowhere.pem", 2, "nowhere.pem: No such file"),
        ("--tls-cert {cert} --tls-key {other}", 1, "cannot be used"),
        ("--tls-cert {key} --tls-key {key}", 1, "cannot be used"),
        ("--tls-key {key}", 2, "--tls-key needs --tls-cert"),
        ("--tls-cert {cert} --tls-self-signed", 2, "not both"),
        ("--ice-server turn:host", 2, "turn:host needs --ice-username and --ice-credential"),
        ("--ice-server turn:host --ice-username ada", 2, "needs --ice-username and"),
        ("--ice-server stun:host --ice-username ada", 2, "name a server with --ice-server turn:"),
        ("--ice-credential secret", 2, "name a server with --ice-server turn:"),
    ],
)
async def test_mistakes_are_said_in_one_sentence(
    arguments: str, code: int, complaint: str, tmp_path: Path
) -> None:
    """Nothing is served, and nobody has to read a traceback."""
    files: dict[str, Path] = {}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        files["cert"], files["key"] = write_self_signed(tmp_path / folder, "localhost")
        files.setdefault("other", files["key"])
    given = [word.format_map(files) for word in arguments.split()]
    ended = await ran("serve", "--port", "0", *given)
    assert (ended.code, ended.out) == (code, "")
    assert complaint in ended.complaint


@pytest.mark.parametrize(
    ("origins", "page", "status"),
    [
        ((), "http://localhost:5173", 403),
        (("http://localhost:5173",), "http://localhost:5173", 201),
        (("http://localhost:5173",), "http://localhost:5174", 403),
        (("http://a.example", "https://b.example:443/"), "https://b.example", 201),
        (("*",), "https://c.example", 201),
    ],
)
async def test_pages_of_the_origins_it_is_told_are_let_in(
    origins: tuple[str, ...], page: str, status: int
) -> None:
    """Those of its own always are; others only if their origin was named, or all were."""
    async with served(*(f"--allow-origin={origin}" for origin in origins)) as server:

        def asked(origin: str) -> int:
            headers = {"Origin": origin}
            request = urllib.request.Request(f"{server.url}/api/rooms", b"", headers)
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    return answer.status  # type: ignore[no-any-return]
            except urllib.error.HTTPError as refusal:
                with refusal:
                    return refusal.code

        assert await asyncio.to_thread(asked, page) == status
        assert await asyncio.to_thread(asked, server.url) == 201


async def test_its_stun_server_is_asked_by_the_peers() -> None:
    """Whoever joins is told of it, and uses it: a binding request comes (RFC 8489, 5)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun:
        stun.bind(("127.0.0.1", 0))
        stun.settimeout(0.0)
        address = f"stun:127.0.0.1:{stun.getsockname()[1]}"
        async with (
            served("--ice-server", address) as server,
            thkmesh.join(server.url, room="lobby"),
            thkmesh.join(server.url, room="lobby"),
            asyncio.timeout(PATIENCE),
        ):
            request = await asyncio.get_running_loop().sock_recv(stun, 2048)
    assert (request[:2], request[4:8]) == (b"\x00\x01", b"\x21\x12\xa4\x42")


async def test_servers_and_credentials_are_told_to_who_joins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TURN has its name and secret, from the environment too; STUN is given none."""
    monkeypatch.setenv("THKMESH_ICE_CREDENTIAL", "secret")
    stun, turn = "stun:stun.invalid:3478", "turn:turn.invalid:3478?transport=udp"
    arguments = ("--ice-server", stun, "--ice-server", turn, "--ice-username", "ada")
    async with served(*arguments) as server:
        client = Client(server.url.replace("http:", "ws:") + "/ws")
        welcome = await client.join()
        await client.cut()
    assert welcome.ice_servers == (IceServer((stun,)), IceServer((turn,), "ada", "secret"))


async def test_the_log_is_written_where_it_does_not_disturb() -> None:
    """It goes to standard error, as much of it as was asked for."""
    async with served("--demo", "--log-level", "info") as server:
        ended = await server.program.end(signal.SIGTERM)
    assert ended.out == ""
    assert "INFO thkmesh.server: listening on" in ended.err
    assert "DEBUG" not in ended.err
