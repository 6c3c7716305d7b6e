"""The settings of ``serve``: a flag, the environment, a file, under one name."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from tests.cli import settings_table
from thkmesh.cli.arguments import ServeOptions, parse
from thkmesh.cli.configuration import CONFIG, Kind
from thkmesh.cli.serving import SETTINGS
from thkmesh.server import ServerSettings

Serve = Callable[..., ServeOptions]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Serve:
    """Return what reads settings from flags, a file's content, and the environment."""

    def read(*flags: str, file: str | None = None, **environment: str) -> ServeOptions:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if file is not None:
            path = tmp_path / "thkmesh.toml"
            path.write_text(file, encoding="utf-8")
            flags += ("--config", str(path))
        options = parse(["serve", *flags])
        assert isinstance(options, ServeOptions)
        return options

    return read


def test_the_document_has_every_setting() -> None:
    """``python -m tests.cli.settings_table`` writes what is missing."""
    assert settings_table.PATH.read_text(encoding="utf-8") == settings_table.written()


def test_every_setting_of_the_server_can_be_given() -> None:
    """None is out of reach, none is there twice."""
    given = [each.name for each in SETTINGS]
    assert len(set(given)) == len(given)
    defaults = parse(["serve"])
    assert isinstance(defaults, ServeOptions)
    assert defaults.settings == ServerSettings()
    plural = {"allow-origin": "allowed_origins", "ice-server": "ice_servers"}
    plural |= {"trusted-proxy": "trusted_proxies"}
    names = {plural.get(name, name.replace("-", "_")) for name in given}
    derived = {"ice_rotation"}  # of the time that credentials for TURN are good
    assert {each.name for each in fields(ServerSettings)} - derived <= names


def test_a_flag_is_before_the_environment_and_that_before_the_file(serve: Serve) -> None:
    """And the file before the default."""
    assert serve().settings.max_peers == 10
    file = "max-peers = 3\nmax-rooms = 3\ngrace = 3.5\n"
    options = serve("--max-peers", "5", file=file, THKMESH_MAX_PEERS="4", THKMESH_MAX_ROOMS="4")
    settings = options.settings
    assert (settings.max_peers, settings.max_rooms, settings.grace) == (5, 4, 3.5)
    assert options.flags == {"max-peers", "config"}


def test_the_environment_may_name_the_file(serve: Serve, tmp_path: Path) -> None:
    """For containers."""
    path = tmp_path / "a.toml"
    path.write_text("max-peers = 7\n", encoding="utf-8")
    assert serve(THKMESH_CONFIG=str(path)).settings.max_peers == 7


def test_each_kind_can_be_written_in_each_way(serve: Serve) -> None:
    """Texts, numbers, switches and lists."""
    file = 'host = "::1"\nport = 80\ndemo = true\ntrusted-proxy = ["10.0.0.0/8", "::1"]\n'
    by_file = serve(file=file)
    by_flag = serve(
        *("--host", "::1", "--port", "80", "--demo"),
        *("--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1"),
    )
    by_environment = serve(
        THKMESH_HOST="::1",
        THKMESH_PORT="80",
        THKMESH_DEMO="yes",
        THKMESH_TRUSTED_PROXY="10.0.0.0/8, ::1",
    )
    for options in (by_file, by_flag, by_environment):
        assert (options.host, options.port, options.demo) == ("::1", 80, True)
        assert options.settings.trusted_proxies == ("10.0.0.0/8", "::1")


def test_what_is_switched_on_can_be_switched_off(serve: Serve) -> None:
    """By a flag or by the environment; an empty variable says nothing."""
    assert serve(file="demo = true\n").demo
    assert serve(file="demo = true\n", THKMESH_DEMO="").demo
    assert not serve("--no-demo", file="demo = true\n").demo
    assert not serve(file="demo = true\n", THKMESH_DEMO="off").demo


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("max-peer = 3\n", "'max-peer' means nothing; perhaps max-peers"),
        ("max_peers = 3\n", "'max_peers' means nothing; perhaps max-peers"),
        ("[limits]\nmax-peers = 3\n", "'limits' means nothing"),
        ('config = "other.toml"\n', "'config' means nothing"),
        ('max-peers = "3"\n', "max-peers must be a number"),
        ("max-peers = true\n", "max-peers must be a number"),
        ("max-peers = 1\n", "max-peers: '1' will not do"),
        ("max-rooms = 1.5\n", "max-rooms: '1.5' will not do"),
        ("max-rooms = -1\n", "max-rooms: '-1' will not do"),
        ("grace = nan\n", "grace: 'nan' will not do"),
        ("grace = inf\n", "grace: 'inf' will not do"),
        ("host = 1\n", "host must be a text"),
        ('demo = "yes"\n', "demo must be true or false"),
        ('allow-origin = "https://example.org"\n', "allow-origin must be a list of texts"),
        ("allow-origin = [1]\n", "allow-origin must be a list of texts"),
        ('allow-origin = ["example.org"]\n', "allow-origin: 'example.org' is no origin"),
        ('log-format = "xml"\n', "log-format: 'xml' is none of text, json"),
        ("max-peers\n", "Expected '='"),
        ('trusted-proxy = ["example.org"]\n', "neither an address nor a network"),
        ("outgoing-bytes = 1\n", "outgoing limits"),
    ],
)
def test_a_wrong_file_is_explained(
    serve: Serve, file: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, which says where."""
    with pytest.raises(SystemExit) as ended:
        serve(file=file)
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert complaint in said


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("THKMESH_MAX_PEER", "3", "THKMESH_MAX_PEER in the environment means nothing; perhaps THK"),
        ("THKMESH_MAX_PEERS", "one", "THKMESH_MAX_PEERS: 'one' will not do"),
        ("THKMESH_DEMO", "maybe", "THKMESH_DEMO: 'maybe' is neither yes nor no"),
        ("THKMESH_LOG_LEVEL", "loud", "THKMESH_LOG_LEVEL: 'loud' is none of debug"),
        ("THKMESH_CONFIG", "/nowhere/at.all", "/nowhere/at.all: No such file"),
        ("THKMESH_PORT", "tcp://10.0.0.1:8765", "THKMESH_PORT: 'tcp://10.0.0.1:8765' is no port"),
    ],
)
def test_a_wrong_environment_is_explained(
    serve: Serve, name: str, value: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, which says where."""
    with pytest.raises(SystemExit) as ended:
        serve(**{name: value})
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert complaint in said


def test_variables_of_others_are_none_of_ours(serve: Serve) -> None:
    """Clients have theirs; and what does not begin like ours does not matter."""
    assert serve(THKMESH_URL="https://example.org", HTHKMESH_X="1") == serve()


def test_each_has_a_name_for_every_place() -> None:
    """The same words: only the hyphens differ."""
    for each in SETTINGS:
        assert each.flag == f"--{each.name}"
        assert each.variable == "THKMESH_" + each.name.upper().replace("-", "_")
        assert each.kind in Kind
        assert each.help
    assert SETTINGS[0].name == CONFIG
