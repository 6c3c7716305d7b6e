"""Tokens, passwords and secrets on the command line, and ``thkmesh token``."""

import json
from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from tests.cli.programs import ran, served
from tests.server.mint import signers
from thkmesh.cli import main
from thkmesh.cli.access import AccessOptions
from thkmesh.cli.permits import access_settings, turn_settings
from thkmesh.cli.problem import Problem
from thkmesh.core.grants import ALL, OPEN, sorted_grants

SECRET = "a secret of the tests, of 32 bytes and more"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET", "PASSWORD", "TOKEN", "TURN_SECRET"):
        monkeypatch.delenv(f"THKMESH_{name}", raising=False)


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    """A file with the secret, and the end of its line."""
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return str(path)


def test_a_token_says_what_it_was_told(
    secret_file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten minutes, all grants but kick, for anybody; or what else is wanted."""
    assert main(["token", "--room", "lobby", "--secret-file", secret_file]) == 0
    said = jwt.decode(capsys.readouterr().out.strip(), SECRET, ["HS256"], audience="thkmesh")
    assert said["exp"] - said["nbf"] == 600
    assert (said["room"], said["grants"]) == ("lobby", list(sorted_grants(OPEN)))
    assert "sub" not in said
    monkeypatch.setenv("THKMESH_SECRET", SECRET)
    wanted = f"token --room hall --grants kick,join --ttl 5 --id {'a' * 26} --kid k --audience me"
    assert main(wanted.split()) == 0
    shown = capsys.readouterr().out.strip()
    said = jwt.decode(shown, SECRET, ["HS256"], audience="me")
    assert (said["room"], said["grants"], said["sub"]) == ("hall", ["join", "kick"], "a" * 26)
    assert said["exp"] - said["nbf"] == 5
    assert jwt.get_unverified_header(shown)["kid"] == "k"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("token --room x", "THKMESH_SECRET"),
        ("token", "--room"),
        ("token --room x --grants fly", ALL[0]),
        ("token --room x --ttl 0", "seconds"),
        ("token --room x --ttl x", "seconds"),
        ("token --room x --id me", "26"),
        ("token --room x --secret-file nowhere", "nowhere"),
        ("serve --require-token", "--token-key"),
        ("serve --token-key x", "KID=FILE"),
        ("serve --token-key x=nowhere", "nowhere"),
        ("serve --secret-file nowhere", "nowhere"),
        ("serve --password x --password-file nowhere", "not both"),
        ("serve --password-file nowhere", "nowhere"),
        ("serve --turn stun:x", "TURN"),
        ("serve --turn turn:x", "--turn-secret-file"),
        ("serve --turn-secret-file pyproject.toml", "--turn"),
        ("chat --token-file nowhere", "nowhere"),
        ("chat --token-file pyproject.toml --password-file x", "not both"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing, or will not do, and where."""
    assert mistaken(arguments, capsys).count(complaint)


def mistaken(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence that answers a mistaken command line."""
    code: object
    try:
        code = main(arguments.split())
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (2, "", 1)
    return said.err


@pytest.mark.parametrize(
    ("secret", "turn", "complaint"),
    [("short", "x", "32 bytes"), (SECRET, "", "THKMESH_TURN_SECRET")],
)
def test_secrets_of_the_environment_are_checked_too(
    secret: str,
    turn: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Too short, or empty, which is none."""
    monkeypatch.setenv("THKMESH_SECRET", secret)
    monkeypatch.setenv("THKMESH_TURN_SECRET", turn)
    assert complaint in mistaken("serve --turn turn:x", capsys)


async def test_a_chat_needs_a_token_where_one_is_required(secret_file: str, tmp_path: Path) -> None:
    """From a file; the demo has one of its own, and who lists peers needs one too."""
    token_file = tmp_path / "token"
    key = signers()[2]
    key_file = tmp_path / "key.pem"
    key_file.write_bytes(key.pem)
    required = ("--secret-file", secret_file, "--require-token", "--token-key", f"ed={key_file}")
    async with served("--demo", *required) as server:
        place = ("--url", server.url)
        refused = await ran("peers", *place)
        assert (refused.code, "a token is needed" in refused.complaint) == (1, True)
        token = await ran("token", "--room", "lobby", "--secret-file", secret_file)
        token_file.write_text(token.out)
        shown = ("--token-file", str(token_file))
        chatted = await ran("chat", *place, "--linger", "0", *shown, stdin="hello\n")
        assert chatted.code == 0, chatted.err
        listed = await ran("peers", "--json", *place, *shown)
        assert [peer["name"] for peer in json.loads(listed.out)["peers"]] == ["Demo"]


async def test_a_chat_needs_the_password_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or the environment; nobody has to type it as an argument."""
    password_file = tmp_path / "password"
    password_file.write_text("ouvre-toi, s\u00e9same\n", encoding="utf-8")
    async with served("--password-file", str(password_file)) as server:
        place = ("--url", server.url)
        chat = ("chat", *place, "--linger", "0")
        assert "password-required" in (await ran(*chat)).complaint
        assert (await ran(*chat, "--password-file", str(password_file))).code == 0
        assert (await ran("peers", *place, "--password-file", str(password_file))).code == 0
        monkeypatch.setenv("THKMESH_PASSWORD", "sesame")
        assert "not the password" in (await ran("peers", *place)).complaint


async def test_the_password_is_where_it_was_put(tmp_path: Path) -> None:
    """In a file, without the end of its line; in the environment; among the arguments."""
    path = tmp_path / "password"
    path.write_text("sesame \r\n")
    for options, environ, right in (
        (AccessOptions(password_file=path), {"THKMESH_PASSWORD": "no"}, "sesame "),
        (AccessOptions(), {"THKMESH_PASSWORD": "sesame"}, "sesame"),
        (AccessOptions(password="x"), {"THKMESH_PASSWORD": "no"}, "x"),
    ):
        password = access_settings(options, environ).password
        assert password is not None
        assert await password.matches(right)
        assert not await password.matches("no")
    assert access_settings(AccessOptions(), {}).password is None


def test_turn_is_as_it_was_told() -> None:
    """Its secret from the environment, its time an hour if nothing is said."""
    options = AccessOptions(turn=("turn:a", "turns:b"))
    turn = turn_settings(options, {"THKMESH_TURN_SECRET": "shared"})
    assert turn is not None
    assert (turn.urls, turn.secret, turn.ttl) == (("turn:a", "turns:b"), b"shared", 3600.0)
    assert turn_settings(AccessOptions(), {"THKMESH_TURN_SECRET": "shared"}) is None
    with pytest.raises(Problem, match="seconds"):
        turn_settings(replace(options, turn_ttl=1.0), {"THKMESH_TURN_SECRET": "shared"})
