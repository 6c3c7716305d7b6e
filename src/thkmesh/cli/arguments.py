"""What can be said on the command line."""

import argparse
import getpass
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from thkmesh import __version__
from thkmesh.core.ice_url import is_ice_url
from thkmesh.core.identity import is_room
from thkmesh.core.room_events import PEERS_LIMIT
from thkmesh.errors import InvalidArgument
from thkmesh.settings import JOIN_TIMEOUT, NAME_LIMIT, invited

__all__ = ["LINGER", "ChatOptions", "Options", "PeersOptions", "ServeOptions", "parse"]

DEFAULT_URL: Final = "http://localhost:8765"
DEFAULT_ROOM: Final = "lobby"
LINGER: Final = 2.0
_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?"
)
_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """``thkmesh serve``."""

    host: str
    port: int
    demo: bool
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: bool
    allowed_origins: list[str]
    max_peers: int
    ice_servers: tuple[str, ...]
    ice_username: str | None
    ice_credential: str | None
    log_level: str


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


@dataclass(frozen=True, kw_only=True)
class PeersOptions:
    """``thkmesh peers``."""

    url: str
    room: str
    ca_file: Path | None
    json: bool


Options: TypeAlias = ServeOptions | ChatOptions | PeersOptions


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
    if "url" in given:
        _follow_link(given, command)
    if "ice_servers" in given:
        given["ice_servers"] = tuple(given["ice_servers"])
    return make(**given)


def _follow_link(given: dict[str, Any], command: argparse.ArgumentParser) -> None:
    """Take apart a link that stands where the server is named."""
    try:
        place = invited(given["url"], given["room"], None, room_if_none=DEFAULT_ROOM)
    except InvalidArgument as error:
        command.error(f"argument --url: {error}")
    given["url"], given["room"], secret = place
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
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run the signaling server until Ctrl-C or SIGTERM."
    parser.set_defaults(options=ServeOptions, command=parser)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=8765, help="0 takes a free one (default: %(default)s)")
    add("--demo", action="store_true", help="put a peer that answers into the room lobby")
    add("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    add("--tls-key", type=Path, metavar="FILE", help="its key, PEM, if not in the same file")
    add("--tls-self-signed", action="store_true", help="make a certificate for this run")
    add(
        "--allow-origin",
        type=_origin,
        action="append",
        default=[],
        dest="allowed_origins",
        metavar="ORIGIN",
        help="let in pages from elsewhere, like https://example.org; * is all; may be repeated",
    )
    add(
        "--max-peers",
        type=_count,
        default=10,
        metavar="N",
        help="peers a room may have (default: %(default)s)",
    )
    add(
        "--ice-server",
        action="append",
        type=_ice_url,
        default=[],
        dest="ice_servers",
        metavar="URL",
        help="a STUN or TURN server for peers in different networks, like stun:HOST:3478 or "
        "turn:HOST:3478?transport=udp; may be repeated (default: none)",
    )
    add("--ice-username", metavar="NAME", help="for the TURN servers")
    add(
        "--ice-credential",
        metavar="SECRET",
        help="for the TURN servers; every peer is told it (default: $THKMESH_ICE_CREDENTIAL)",
    )
    add(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="warning",
        help="what is logged to standard error (default: %(default)s)",
    )


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


def _add_place(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    url = os.environ.get("THKMESH_URL") or DEFAULT_URL
    what = "the server, or a link to a room of it (default: $THKMESH_URL or " + DEFAULT_URL + ")"
    add("--url", default=url, help=what)
    add("--room", type=_room, help=f"the room (default: that of the link, or {DEFAULT_ROOM})")
    add("--ca-file", type=Path, metavar="FILE", help="authorities to trust for https, PEM")


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: use a number from 0 to 65535")


def _origin(text: str) -> str:
    """Return an origin as browsers write it (RFC 6454, section 6.2)."""
    if text == "*":
        return text
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        hint = "use something like https://example.org or http://localhost:5173, or *"
        raise argparse.ArgumentTypeError(f"{text!r:.80} is no origin: {hint}")
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != _PORTS.get(scheme) else "")


def _count(text: str) -> int:
    if text.isdecimal() and 2 <= int(text) <= PEERS_LIMIT:
        return int(text)
    message = f"{text!r} will not do: use a number from 2 to {PEERS_LIMIT}"
    raise argparse.ArgumentTypeError(message)


def _ice_url(text: str) -> str:
    if is_ice_url(text):
        return text
    message = (
        f"{text!r:.80} is no STUN or TURN server: use stun:HOST:PORT or "
        "turn:HOST:PORT?transport=udp, with [..] around an IPv6 address"
    )
    raise argparse.ArgumentTypeError(message)


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
