"""What can be said on the command line."""

import argparse
import getpass
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from thkmesh import __version__
from thkmesh.cli.access import ShownOptions, TokenOptions, add_shown, add_token, take_shown
from thkmesh.cli.configuration import WrongSetting, add_flags, read_settings
from thkmesh.cli.serving import OTHER_VARIABLES, SETTINGS, ServeOptions, serve_options
from thkmesh.core.identity import is_room
from thkmesh.errors import InvalidArgument
from thkmesh.settings import JOIN_TIMEOUT, NAME_LIMIT, invited

__all__ = [
    "LINGER",
    "ChatOptions",
    "DoctorOptions",
    "Options",
    "PeersOptions",
    "ServeOptions",
    "parse",
]

DEFAULT_URL: Final = "http://localhost:8765"
DEFAULT_ROOM: Final = "lobby"
LINGER: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """``thkmesh chat``."""

    url: str
    room: str
    secret: str | None
    name: str
    key_file: Path | None
    ca_file: Path | None
    timeout: float
    linger: float
    shown: ShownOptions = field(default_factory=ShownOptions)


@dataclass(frozen=True, kw_only=True)
class PeersOptions:
    """``thkmesh peers``."""

    url: str
    room: str
    ca_file: Path | None
    json: bool
    shown: ShownOptions = field(default_factory=ShownOptions)


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """``thkmesh doctor``."""

    url: str
    room: str | None
    ca_file: Path | None
    json: bool
    shown: ShownOptions = field(default_factory=ShownOptions)


Options: TypeAlias = ServeOptions | ChatOptions | PeersOptions | TokenOptions | DoctorOptions


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Return what the command line asks for; None means that of the process.

    Raises:
        SystemExit: it asks for help or the version (code 0), or makes no sense (2).
    """
    parsed, rest = _parser().parse_known_args(arguments)
    given = vars(parsed)
    command: argparse.ArgumentParser = given.pop("command")
    if rest:
        command.error(_surplus(rest, given))
    make: type[Options] = given.pop("options")
    if make is not ServeOptions:
        if "url" in given:
            _follow_link(given, command, None if make is DoctorOptions else DEFAULT_ROOM)
        if make is not TokenOptions:
            given["shown"] = take_shown(given)
        return make(**given)
    try:
        settings = read_settings(SETTINGS, given, os.environ, OTHER_VARIABLES)
        return serve_options(settings, frozenset(given))
    except (WrongSetting, InvalidArgument) as error:
        command.error(str(error))


def _follow_link(given: dict[str, Any], command: argparse.ArgumentParser, room: str | None) -> None:
    """Take apart a link that stands where the server is named; ``room`` is if none is named."""
    try:
        place = invited(given["url"], given["room"], None, room_if_none=room or "")
    except InvalidArgument as error:
        command.error(f"argument --url: {error}")
    given["url"], secret = place.url, place.secret
    given["room"] = place.room or None
    if "name" in given:  # who only asks the server needs no secret
        given["secret"] = secret


def _surplus(rest: list[str], given: dict[str, Any]) -> str:
    """Return what is wrong with words that mean nothing where they are."""
    text = f"unrecognized arguments: {' '.join(rest)}"
    word = rest[0]
    if "url" not in given or word.startswith("-"):
        return text
    if "://" in word:
        return f"{text}; the server is named with --url {word}"
    return f"{text}; the room is named with --room {word}" if is_room(word) else text


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="thkmesh",
        description="Rooms in which Python processes and browser pages talk directly.",
    )
    parser.add_argument("--version", action="version", version=f"thkmesh {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands.add_parser("serve", help="run the signaling server"))
    _add_chat(commands.add_parser("chat", help="chat in a room, also through pipes"))
    _add_peers(commands.add_parser("peers", help="list who is in a room"))
    token = commands.add_parser("token", help="make a token that admits to a room")
    token.set_defaults(options=TokenOptions, command=token)
    add_token(token, _room)
    _add_doctor(commands.add_parser("doctor", help="find out why peers do not connect"))
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [--config FILE] [OPTION ...]"
    parser.description = (
        "Run the signaling server until Ctrl-C or SIGTERM. Each option can also stand in the "
        "environment, like THKMESH_MAX_PEERS, or in the TOML file, like max-peers."
    )
    parser.set_defaults(options=ServeOptions, command=parser)
    add_flags(parser, SETTINGS)


def _add_chat(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Chat in a room. Where standard input or output is no terminal, each line of input is "
        "sent, and each message is printed as 'name: text'."
    )
    parser.set_defaults(options=ChatOptions, command=parser)
    _add_place(parser)
    add = parser.add_argument
    add("--name", type=_name, default=_user(), help="your name (default: %(default)s)")
    add("--key-file", type=Path, metavar="FILE", help="keep your identity here")
    add(
        "--timeout",
        type=_seconds,
        default=JOIN_TIMEOUT,
        metavar="SECONDS",
        help="how long to try to join (default: %(default)g)",
    )
    add(
        "--linger",
        type=_seconds,
        default=LINGER,
        metavar="SECONDS",
        help="how long to wait for answers when the input ends (default: %(default)g)",
    )


def _add_peers(parser: argparse.ArgumentParser) -> None:
    parser.description = "List who is in a room, without joining it."
    parser.set_defaults(options=PeersOptions, command=parser)
    _add_place(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Find out whom this machine can be connected with, by which path, and why not with all. "
        "The exit code is 0 if everybody can be reached, directly or through TURN, else 1."
    )
    parser.set_defaults(options=DoctorOptions, command=parser)
    _add_place(parser, room="one of its own")
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_place(parser: argparse.ArgumentParser, room: str = DEFAULT_ROOM) -> None:
    add = parser.add_argument
    add_shown(add)
    url = os.environ.get("THKMESH_URL") or DEFAULT_URL
    what = "the server, or a link to a room of it (default: $THKMESH_URL or " + DEFAULT_URL + ")"
    add("--url", default=url, help=what)
    add("--room", type=_room, help=f"the room (default: that of the link, or {room})")
    add("--ca-file", type=Path, metavar="FILE", help="authorities to trust for https, PEM")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds >= 0.0 and math.isfinite(seconds):
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


def _room(text: str) -> str:
    if is_room(text):
        return text
    message = f"{text!r:.80} cannot name a room: use 1 to 64 of A-Z a-z 0-9 . _ -"
    raise argparse.ArgumentTypeError(message)


def _name(text: str) -> str:
    if len(text) <= NAME_LIMIT:
        return text
    raise argparse.ArgumentTypeError(f"a name has up to {NAME_LIMIT} characters")


def _user() -> str:
    try:
        return getpass.getuser()[:NAME_LIMIT]
    except (OSError, KeyError):  # a container may run under a number without a name
        return "guest"
