"""What can be said on the command line, and what is answered to the rest."""

from pathlib import Path

import pytest

from thkmesh import __version__
from thkmesh.cli.access import AccessOptions
from thkmesh.cli.arguments import ChatOptions, DoctorOptions, PeersOptions, ServeOptions, parse
from thkmesh.server import ServerSettings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THKMESH_URL", raising=False)
    monkeypatch.setenv("LOGNAME", "ada")


def test_nothing_has_to_be_said() -> None:
    """Every option has a default that works on one machine."""
    assert parse(["serve"]) == ServeOptions(
        host="127.0.0.1",
        port=8765,
        demo=False,
        tls_cert=None,
        tls_key=None,
        tls_self_signed=False,
        settings=ServerSettings(),
        access=AccessOptions(),
        ice_servers=(),
        ice_username=None,
        ice_credential=None,
        metrics_host="127.0.0.1",
        metrics_port=None,
        log_level="warning",
        log_format="text",
        redis=None,
        workers=1,
        flags=frozenset(),
    )
    assert parse(["chat"]) == ChatOptions(
        url="http://localhost:8765",
        room="lobby",
        secret=None,
        name="ada",
        key_file=None,
        ca_file=None,
        timeout=10.0,
        linger=2.0,
    )
    assert parse(["peers"]) == PeersOptions(
        url="http://localhost:8765", room="lobby", ca_file=None, json=False
    )


def test_everything_can_be_said() -> None:
    """Each option arrives where it belongs."""
    given = (
        "serve --host :: --port 0 --demo --tls-cert c --tls-key k --max-peers 3 --log-level info"
    )
    options = parse(given.split())
    assert isinstance(options, ServeOptions)
    assert (options.host, options.port, options.demo) == ("::", 0, True)
    assert options.settings.max_peers == 3
    assert (options.tls_cert, options.tls_key, options.log_level) == (Path("c"), Path("k"), "info")
    given = (
        "serve --ice-server stun:a:1 --ice-server turn:b:2?transport=udp --ice-username n "
        "--ice-credential s"
    )
    options = parse(given.split())
    assert isinstance(options, ServeOptions)
    assert options.ice_servers == ("stun:a:1", "turn:b:2?transport=udp")
    assert (options.ice_username, options.ice_credential) == ("n", "s")
    given = "chat --url https://x --room r --name n --key-file k --ca-file c --timeout 3 --linger 0"
    assert parse(given.split()) == ChatOptions(
        url="https://x",
        room="r",
        secret=None,
        name="n",
        key_file=Path("k"),
        ca_file=Path("c"),
        timeout=3.0,
        linger=0.0,
    )


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://example.org", "https://example.org"),
        ("HTTPS://Example.ORG/", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("*", "*"),
    ],
)
def test_an_origin_is_understood_as_browsers_write_it(given: str, origin: str) -> None:
    """In lower case, without a path, without a port that goes without saying."""
    options = parse(["serve", "--allow-origin", "http://a.example", "--allow-origin", given])
    assert isinstance(options, ServeOptions)
    assert options.settings.allowed_origins == ("http://a.example", origin)


def test_the_server_can_be_named_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """THKMESH_URL stands in for --url."""
    monkeypatch.setenv("THKMESH_URL", "http://mesh.example")
    for command in ("chat", "peers"):
        options = parse([command])
        assert isinstance(options, ChatOptions | PeersOptions)
        assert options.url == "http://mesh.example"


SECRET = "0123456789abcdefghijkl"


def test_a_link_says_where_and_holds_the_secret() -> None:
    """What a page hands on is understood as it is; who only asks the server needs no secret."""
    link = f"https://host/#den&secret={SECRET}"
    for given in (["--url", link], ["--url", link, "--room", "den"]):
        options = parse(["chat", *given])
        assert isinstance(options, ChatOptions)
        assert (options.url, options.room, options.secret) == ("https://host/", "den", SECRET)
        asked = parse(["peers", *given])
        assert isinstance(asked, PeersOptions)
        assert (asked.url, asked.room) == ("https://host/", "den")
        examined = parse(["doctor", *given])
        assert isinstance(examined, DoctorOptions)
        assert (examined.url, examined.room) == ("https://host/", "den")
    examined = parse(["doctor", "--url", "https://host/"])
    assert isinstance(examined, DoctorOptions)
    assert (examined.url, examined.room) == ("https://host/", None)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("", "COMMAND"),
        ("dance", "dance"),
        ("serve extra", "extra"),
        ("chat --url https://host/#den --room lobby", "another room"),
        ("chat --url https://host/#den&secret=short", "cut off or changed"),
        (f"chat --url https://host/#secret={SECRET}", "names no room"),
        ("serve --port", "--port"),
        ("serve --port eighty", "'eighty' is no port"),
        ("serve --port 65536", "no port"),
        ("serve --port -1", "--port"),
        ("serve --max-peers 1", "from 2"),
        ("serve --max-peers many", "from 2"),
        ("serve --log-level loud", "loud"),
        ("serve --allow-origin example.org", "'example.org' is no origin"),
        ("serve --allow-origin localhost:5173", "is no origin"),
        ("serve --allow-origin https://example.org/app", "is no origin"),
        ("serve --allow-origin https://example.org?x", "is no origin"),
        ("serve --allow-origin https://example.org#x", "is no origin"),
        ("serve --allow-origin https://ada@example.org", "is no origin"),
        ("serve --allow-origin https://*.example.org", "is no origin"),
        ("serve --allow-origin https://example.org:many", "is no origin"),
        ("serve --allow-origin https://[::1", "is no origin"),
        ("serve --allow-origin https://", "is no origin"),
        ("serve --allow-origin null", "is no origin"),
        ("serve --ice-server example.org", "use stun:HOST:PORT or turn:HOST:PORT"),
        ("serve --ice-server stun://example.org", "'stun://example.org' is no STUN"),
        ("serve --ice-server turn:ada:secret@example.org", "is no STUN or TURN server"),
        ("chat --room a/b", "cannot name a room"),
        ("chat --room " + "x" * 65, "cannot name a room"),
        ("chat --name " + "x" * 65, "64 characters"),
        ("chat --linger soon", "no number of seconds"),
        ("chat --linger -1", "no number of seconds"),
        ("chat --linger inf", "no number of seconds"),
        ("chat --colour", "--colour (see thkmesh chat --help)"),
        ("chat garden", "the room is named with --room garden (see thkmesh chat --help)"),
        ("peers http://host", "the server is named with --url http://host"),
        ("serve --max-peers 3 extra", "extra (see thkmesh serve --help)"),
        ("peers --room ..%", "cannot name a room"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    given: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names what is wrong; the exit code says that it was the command."""
    with pytest.raises(SystemExit) as ending:
        parse(given.split())
    out, err = capsys.readouterr()
    assert (ending.value.code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err


@pytest.mark.parametrize("given", ["--help", "serve --help", "chat --help", "peers --help"])
def test_help_is_given(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, and that is no failure."""
    with pytest.raises(SystemExit) as ending:
        parse(given.split())
    out, err = capsys.readouterr()
    assert (ending.value.code, err) == (0, "")
    assert out.startswith("usage: thkmesh")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the package's."""
    with pytest.raises(SystemExit) as ending:
        parse(["--version"])
    assert ending.value.code == 0
    assert capsys.readouterr().out == f"thkmesh {__version__}\n"
