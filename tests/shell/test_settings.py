"""What ``join`` refuses before anything is started, and what it says."""

import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

import thkmesh
from thkmesh import IceServer, Identity, InvalidArgument
from thkmesh.settings import RoomSettings

NEEDED: dict[str, Any] = {"url": "http://localhost:8765", "room": "lobby"}


def settings(**arguments: Any) -> RoomSettings:  # noqa: ANN401
    """Return the settings of a join with these arguments."""
    return RoomSettings(**NEEDED | arguments)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"room": ""}, "'' cannot name a room: use 1 to 64 of A-Z a-z 0-9 . _ -"),
    ({"room": "two words"}, "'two words' cannot name a room"),
    ({"room": "é"}, "'é' cannot name a room"),
    ({"room": "lobby\n"}, r"'lobby\n' cannot name a room"),
    ({"room": "x" * 65}, "cannot name a room"),
    ({"room": 7}, "7 cannot name a room"),
    ({"room": None}, "None cannot name a room"),
    ({"url": "localhost:8765"}, "pass something like http://localhost:8765"),
    ({"url": "ftp://localhost"}, "'ftp://localhost' is no server"),
    ({"url": "http://"}, "'http://' is no server"),
    ({"url": "http://host:0"}, "'http://host:0' is no server"),
    ({"url": "http://host:99999"}, "'http://host:99999' is no server"),
    ({"url": "http://[::1"}, "'http://[::1' is no server"),
    ({"url": "http://host/?rooms=x"}, "'http://host/?rooms=x' is no server"),
    ({"url": "http://host/?room=x"}, "the link has another room: pass one of the two"),
    ({"url": "http://host/#x"}, "the link has another room: pass one of the two"),
    ({"url": "http://host/#!x"}, "the link leads to no room: '!x'"),
    ({"url": "http://host/#lobby&secret=short"}, "cut off or changed: a secret has 22 to 128"),
    ({"url": f"http://host/#lobby&secret={'x' * 22}", "secret": "y" * 22}, "has another secret"),
    ({"url": f"http://host/#secret={'x' * 22}"}, "has a secret, but names no room"),
    ({"secret": "x" * 21}, "a secret has 22 to 128 of A-Z a-z 0-9 _ -"),
    ({"secret": "correct horse battery staple"}, "drawn at random, not thought up"),
    ({"secret": 7}, "a secret has 22 to 128"),
    ({"url": b"http://host"}, "b'http://host' is no server"),
    ({"url": None}, "None is no server"),
    ({"name": "x" * 65}, "a name is text of up to 64 characters"),
    ({"name": None}, "a name is text of up to 64 characters"),
    ({"name": "\ud800"}, "text has lone surrogates and cannot be sent"),
    ({"metadata": [1]}, "metadata is a JSON object, like {'color': 'blue'}"),
    ({"metadata": "x"}, "metadata is a JSON object, like {'color': 'blue'}"),
    ({"metadata": {1: 2}}, "JSON keys are text, not int"),
    ({"metadata": {"a": math.nan}}, "nan is not JSON: send None or text"),
    ({"metadata": {"a": 2**53}}, "9007199254740992 is beyond 2**53 - 1"),
    ({"metadata": {"a": object()}}, "not object"),
    ({"metadata": {"a": "x" * 4096}}, "name and metadata have 4106 bytes; 4096 are allowed"),
    ({"metadata": {"a": '"' * 2000}}, "name and metadata make an introduction of 8395 bytes"),
    ({"identity": "me"}, "identity is a thkmesh.Identity"),
    ({"key_file": 7}, "key_file is the path of a file"),
    ({"key_file": "k", "identity": Identity.generate()}, "pass key_file or identity, not both"),
    ({"token": None}, "a token is ASCII text of up to 8192 characters"),
    ({"token": "é"}, "a token is ASCII text of up to 8192 characters"),
    ({"token": "x" * 8193}, "a token is ASCII text of up to 8192 characters"),
    ({"ice_servers": "stun:host"}, "ice_servers is a list of URLs or IceServer"),
    ({"ice_servers": [7]}, "ice_servers is a list of URLs or IceServer"),
    ({"ice_servers": ["host:3478"]}, "'host:3478' is no URL like stun:example.org"),
    ({"ice_servers": [IceServer(("http://host",))]}, "'http://host' is no URL like stun:"),
    ({"ice_servers": ["turn:host"]}, "turn:host needs IceServer((url,), username, credential)"),
    ({"privacy": "high"}, "privacy is 'all' or 'relay'"),
    ({"privacy": []}, "privacy is 'all' or 'relay'"),
    ({"relay": "no"}, "relay is True or False"),
    ({"timeout": 0}, "timeout is a number of seconds above 0"),
    ({"timeout": -1.0}, "timeout is a number of seconds above 0"),
    ({"timeout": math.nan}, "timeout is a number of seconds above 0"),
    ({"timeout": "10"}, "timeout is a number of seconds above 0"),
    ({"timeout": None}, "timeout is a number of seconds above 0"),
    ({"heartbeat_interval": 0.4}, "heartbeat_interval is a number of seconds from 0.5 to 60"),
    ({"heartbeat_interval": math.nan}, "heartbeat_interval is a number of seconds"),
    ({"disconnect_timeout": 301}, "disconnect_timeout is a number of seconds from 1 to 300"),
    ({"disconnect_timeout": "10"}, "disconnect_timeout is a number of seconds"),
    ({"failed_timeout": 0}, "failed_timeout is a number of seconds from 2 to 300"),
    ({"failed_timeout": None}, "failed_timeout is a number of seconds"),
    ({"ca_file": 7}, "ca_file is the path of a PEM file"),
    ({"engine": "steam"}, "no engine is called 'steam'; there is wrtc"),
    ({"engine": ""}, "no engine is called ''; there is wrtc"),
    ({"engine": ["wrtc"]}, "no engine is called ['wrtc']; there is wrtc"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED)
def test_what_cannot_be_meant_is_refused_at_once(arguments: dict[str, Any], sentence: str) -> None:
    """A wrong argument raises from the call itself, and the text says what to pass."""
    with pytest.raises(InvalidArgument, match=re.escape(sentence)):
        thkmesh.join(**NEEDED | arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"room": "x" * 64},
        {"room": "A-z_0.9"},
        {"name": "\N{GRINNING FACE}" * 64},
        {"metadata": {"color": "blue", "tags": [1, None, {"deep": True}]}},
        {"metadata": {"a": "x" * 4085}},
        {"token": "x" * 8192},
        {"ice_servers": ["stun:host", IceServer(("turns:host?transport=tcp",), "ada", "secret")]},
        {"ice_servers": ()},
        {"privacy": "relay"},
        {"timeout": math.inf},
        {"timeout": 1},
        {"engine": "wrtc"},
        {"key_file": Path("somewhere")},
    ],
)
def test_what_can_be_meant_is_accepted(arguments: dict[str, Any]) -> None:
    """Limits include their last value."""
    settings(**arguments)


@pytest.mark.parametrize(
    ("url", "websocket"),
    [
        ("http://localhost:8765", "ws://localhost:8765/ws"),
        ("http://localhost:8765/", "ws://localhost:8765/ws"),
        ("https://example.org/mesh/", "wss://example.org/mesh/ws"),
        ("ws://[::1]:80", "ws://[::1]:80/ws"),
        ("wss://ada:secret@example.org", "wss://ada:secret@example.org/ws"),
    ],
)
def test_the_websocket_is_beside_the_page(url: str, websocket: str) -> None:
    """It is spoken to where the server is mounted."""
    assert settings(url=url).websocket_url == websocket


def test_privacy_and_servers_reach_the_engine() -> None:
    """URLs become servers without credentials; relay means relay only."""
    turn = IceServer(("turn:host",), "ada", "secret")
    connecting = settings(ice_servers=["stun:host", turn], privacy="relay").connecting()
    assert connecting.ice_servers == (IceServer(("stun:host",)), turn)
    assert connecting.relay_only
    assert not settings().connecting().relay_only


def test_each_session_is_another() -> None:
    """Without a key file the identity is fresh too."""
    one, two = settings().signaling(), settings().signaling()
    assert one.sid != two.sid
    assert one.identity.id != two.identity.id


def test_a_key_file_keeps_the_identity(tmp_path: Path) -> None:
    """It is made when it is missing, readable by its owner only, and used from then on."""
    path = tmp_path / "key"
    one, two = (settings(key_file=each).signaling() for each in (path, os.fspath(path)))
    assert one.identity.id == two.identity.id
    assert one.sid != two.sid
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_text("not a key"), "is not a key file: it should hold 43"),
        (lambda path: path.mkdir(), "key_file cannot be used: "),
    ],
)
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, make: Any, sentence: str) -> None:  # noqa: ANN401
    """What is there is neither used nor overwritten."""
    make(tmp_path / "key")
    with pytest.raises(InvalidArgument, match=sentence):
        settings(key_file=tmp_path / "key").signaling()


def test_a_key_file_in_no_folder_is_refused(tmp_path: Path) -> None:
    """The system's reason is in the text."""
    with pytest.raises(InvalidArgument, match=r"key_file cannot be used: .*No such file"):
        settings(key_file=tmp_path / "no" / "key").signaling()


def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A missing file and one without certificates are told."""
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(InvalidArgument, match=f"{path} holds no certificates: "):
            settings(ca_file=path).transport()
