"""What the command line says of tokens, passwords and secrets, and where they are kept.

A secret is in a file or in the environment, never among the arguments, which everybody on
the machine can read. A password may be given there too, for trying out.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from thkmesh.cli.configuration import Kind, Setting
from thkmesh.cli.problem import Problem
from thkmesh.core.grants import ALL, AUDIENCE, OPEN, sorted_grants
from thkmesh.core.ice_url import is_ice_url, needs_credentials
from thkmesh.core.identity import is_id

__all__ = [
    "ACCESS",
    "TOKEN_TTL",
    "AccessOptions",
    "ShownOptions",
    "TokenOptions",
    "add_shown",
    "add_token",
    "kept",
    "read",
    "shown",
    "take_access",
    "take_shown",
    "text",
]

TOKEN_TTL: Final = 600.0
"""Seconds that a token is good for if nothing else is said."""

_LONGEST: Final = 366 * 86400.0


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """What ``thkmesh serve`` is told of who may do what."""

    secret_file: Path | None = None
    token_keys: tuple[tuple[str, Path], ...] = ()
    audience: str = AUDIENCE
    require_token: bool = False
    password: str | None = None
    password_file: Path | None = None
    turn: tuple[str, ...] = ()
    turn_secret_file: Path | None = None
    turn_ttl: float | None = None


@dataclass(frozen=True, kw_only=True)
class ShownOptions:
    """What a client is told to show the server."""

    token_file: Path | None = None
    password_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """``thkmesh token``."""

    room: str
    grants: tuple[str, ...]
    ttl: float
    id: str | None
    kid: str
    audience: str
    secret_file: Path | None


def add_shown(add: Callable[..., object]) -> None:
    """Add to a client's command what it may be told of this."""
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="show the server the token in this file; it is read anew when needed "
        "(default: $THKMESH_TOKEN)",
    )
    add(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="show the server the password in this file (default: $THKMESH_PASSWORD)",
    )


def add_token(parser: argparse.ArgumentParser, room: Callable[[str], str]) -> None:
    """Add what ``thkmesh token`` may be told."""
    parser.description = (
        "Make a token for one room, signed by the server's secret, which is in a file or in "
        "$THKMESH_SECRET."
    )
    add = parser.add_argument
    add("--room", type=room, required=True, help="the room it is for")
    add(
        "--grants",
        type=_grants,
        default=sorted_grants(OPEN),
        metavar="WORDS",
        help=f"what its bearer may do, of {','.join(ALL)} (default: all but kick)",
    )
    add(
        "--ttl",
        type=_duration,
        default=TOKEN_TTL,
        metavar="SECONDS",
        help="how long it is good (default: %(default)g)",
    )
    add("--id", type=_peer_id, help="the one peer that may use it (default: anybody)")
    add("--kid", default="", help="the name of the key, if it is not the server's own")
    add("--audience", default=AUDIENCE, help="whom it is for (default: %(default)s)")
    add("--secret-file", type=Path, metavar="FILE", help="where the secret is")


def take_access(given: dict[str, Any]) -> AccessOptions:
    """Take out of parsed arguments what is ours."""
    taken: dict[str, Any] = {name: given.pop(name) for name in AccessOptions.__dataclass_fields__}
    return AccessOptions(**taken)


def take_shown(given: dict[str, Any]) -> ShownOptions:
    """Take out of parsed arguments what is ours."""
    return ShownOptions(**{name: given.pop(name) for name in ShownOptions.__dataclass_fields__})


# --- what is kept where ---------------------------------------------------------------


def shown(
    options: ShownOptions, environ: Mapping[str, str] = os.environ
) -> tuple[str | Callable[[], str], str]:
    """Return the token, or what reads it anew, and the password to show a server.

    Raises:
        Problem: a file cannot be read.
    """
    if options.token_file is not None and options.password_file is not None:
        raise Problem("pass --token-file or --password-file, not both", 2)
    password = kept(options.password_file, "THKMESH_PASSWORD", environ)
    if options.token_file is not None:
        path = options.token_file
        read(path)
        return lambda: text(read(path)).strip(), ""
    if options.password_file is None and environ.get("THKMESH_TOKEN"):
        return environ["THKMESH_TOKEN"], ""
    return "", "" if password is None else text(password)


def kept(path: Path | None, name: str, environ: Mapping[str, str]) -> bytes | None:
    """Return what is in a file, or else in the environment, without the end of its line."""
    if path is not None:
        return read(path).rstrip(b"\r\n")
    return environ[name].encode() if environ.get(name) else None


def read(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
        Problem: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}", 2) from error


def text(raw: bytes) -> str:
    """Return what a file says.

    Raises:
        Problem: it is no text.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Problem("a token or a password is text in UTF-8", 2) from error


# --- what words mean ------------------------------------------------------------------


def _token_key(said: str) -> tuple[str, Path]:
    kid, equals, path = said.partition("=")
    if kid and equals and path:
        return kid, Path(path)
    raise argparse.ArgumentTypeError(f"{said!r:.80} will not do: use KID=FILE")


def _turn_url(said: str) -> str:
    if is_ice_url(said) and needs_credentials(said):
        return said
    raise argparse.ArgumentTypeError(
        f"{said!r:.80} is no TURN server: use turn:HOST:PORT?transport=udp"
    )


def _grants(said: str) -> tuple[str, ...]:
    words = said.split(",")
    grants = sorted_grants(words)
    if len(grants) == len(words):
        return grants
    raise argparse.ArgumentTypeError(f"{said!r:.80} are no grants: use some of {','.join(ALL)}")


def _peer_id(said: str) -> str:
    if is_id(said):
        return said
    raise argparse.ArgumentTypeError(f"{said!r:.80} is no peer's id: it has 26 of a-z 2-7")


def _duration(said: str) -> float:
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if 0.0 < seconds <= _LONGEST:
        return seconds
    raise argparse.ArgumentTypeError(f"{said!r} is no number of seconds up to a year")


# --- the rows of the table ------------------------------------------------------------

_WHO: Final = "who may do what"

ACCESS: Final = (
    Setting(
        name="secret-file",
        help="the server's secret, 32 bytes or more, which checks the tokens that name no key "
        "(default: $THKMESH_SECRET, or a random one)",
        metavar="FILE",
        parse=Path,
        group=_WHO,
    ),
    Setting(
        name="token-key",
        help="another key that tokens may name: a public key or certificate in PEM (RSA, P-256, "
        "Ed25519), or a secret",
        default=(),
        kind=Kind.LIST,
        metavar="KID=FILE",
        parse=_token_key,
        group=_WHO,
    ),
    Setting(
        name="audience",
        help="whom tokens have to be for",
        default=AUDIENCE,
        metavar="NAME",
        group=_WHO,
    ),
    Setting(
        name="require-token",
        help="let nobody in without a token",
        default=False,
        kind=Kind.FLAG,
        group=_WHO,
    ),
    Setting(
        name="password",
        help="let in who knows it; others on this machine can read it here, so better use a "
        "file (default: $THKMESH_PASSWORD)",
        metavar="TEXT",
        group=_WHO,
    ),
    Setting(
        name="password-file",
        help="the password is in a file",
        metavar="FILE",
        parse=Path,
        group=_WHO,
    ),
    Setting(
        name="turn",
        help="a TURN server that shares a secret with this one (use-auth-secret of coturn): every "
        "peer gets credentials of its own, for a while",
        default=(),
        kind=Kind.LIST,
        metavar="URL",
        parse=_turn_url,
        group=_WHO,
    ),
    Setting(
        name="turn-secret-file",
        help="that secret (default: $THKMESH_TURN_SECRET)",
        metavar="FILE",
        parse=Path,
        group=_WHO,
    ),
    Setting(
        name="turn-ttl",
        help="how long those credentials are good (default: an hour)",
        kind=Kind.NUMBER,
        metavar="SECONDS",
        parse=_duration,
        group=_WHO,
    ),
)
"""What ``thkmesh serve`` may be told of this."""
