"""The table of what ``thkmesh serve`` can be told (see ``configuration``)."""

import argparse
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, get_args

from thkmesh.cli.access import ACCESS, AccessOptions, take_access
from thkmesh.cli.configuration import CONFIG, Kind, Setting
from thkmesh.core.ice_url import is_ice_url
from thkmesh.core.room_events import PEERS_LIMIT
from thkmesh.server import ServerSettings
from thkmesh.server.logs import LogFormat
from thkmesh.server.proxies import ProxyHeader
from thkmesh.server.workers import WORKER_VARIABLE

__all__ = ["OTHER_VARIABLES", "SETTINGS", "ServeOptions", "serve_options"]

OTHER_VARIABLES: Final = frozenset(
    {
        *("THKMESH_URL", "THKMESH_TOKEN", "THKMESH_PORT_OPTION"),
        WORKER_VARIABLE,
        *("THKMESH_SECRET", "THKMESH_PASSWORD", "THKMESH_TURN_SECRET"),
    }
)
"""Variables of other commands, of the Makefile and of workers; and secrets: see ``access``."""

_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?"
)
_WORKERS_LIMIT: Final = 64
_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """``thkmesh serve``.

    Attributes:
        settings: all but the ICE servers, for which two options more have to fit.
        access: who may do what, and where secrets are.
        flags: the names of what was given as a flag.
    """

    host: str
    port: int
    demo: bool
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: bool
    settings: ServerSettings
    access: AccessOptions
    ice_servers: tuple[str, ...]
    ice_username: str | None
    ice_credential: str | None
    metrics_host: str
    metrics_port: int | None
    log_level: str
    log_format: LogFormat
    redis: str | None
    workers: int
    flags: frozenset[str]


def serve_options(given: dict[str, Any], flags: frozenset[str]) -> ServeOptions:
    """Return what was asked for.

    Raises:
        InvalidArgument: settings do not fit each other.
    """
    renamed = {_FIELDS.get(name, name.replace("-", "_")): value for name, value in given.items()}
    renamed |= {name: tuple(renamed[name]) for name in _FIELDS.values()}
    access = take_access(renamed)
    of_server = {each.name for each in fields(ServerSettings)} & renamed.keys() - {"ice_servers"}
    server = {name: renamed.pop(name) for name in of_server}
    del renamed[CONFIG]
    return ServeOptions(settings=ServerSettings(**server), access=access, flags=flags, **renamed)


# --- values -----------------------------------------------------------------------


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


def _peers(text: str) -> int:
    if text.isdecimal() and 2 <= int(text) <= PEERS_LIMIT:
        return int(text)
    message = f"{text!r} will not do: use a number from 2 to {PEERS_LIMIT}"
    raise argparse.ArgumentTypeError(message)


def _count(text: str) -> int:
    if text.isdecimal() and len(text) < 16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r:.80} will not do: use a whole number from 0 on")


def _workers(text: str) -> int:
    if text.isdecimal() and len(text) < 3 and 1 <= int(text) <= _WORKERS_LIMIT:
        return int(text)
    message = f"{text!r:.80} will not do: use a number from 1 to {_WORKERS_LIMIT}"
    raise argparse.ArgumentTypeError(message)


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number >= 0.0 and math.isfinite(number):
        return number
    raise argparse.ArgumentTypeError(f"{text!r:.80} will not do: use a number from 0 on")


def _ice_url(text: str) -> str:
    if is_ice_url(text):
        return text
    message = (
        f"{text!r:.80} is no STUN or TURN server: use stun:HOST:PORT or "
        "turn:HOST:PORT?transport=udp, with [..] around an IPv6 address"
    )
    raise argparse.ArgumentTypeError(message)


# --- the table --------------------------------------------------------------------

_FIELDS: Final = {
    "allow-origin": "allowed_origins",
    "ice-server": "ice_servers",
    "token-key": "token_keys",
    "turn": "turn",
    "trusted-proxy": "trusted_proxies",
}
"""Those that may be given several times are named for one; the program names them for all."""

_DEFAULTS: Final = {each.name: each.default for each in fields(ServerSettings)}


def _server(name: str, text: str, parse: Callable[[str], object], group: str) -> Setting:
    """Return the row of a number of ``ServerSettings``."""
    default = _DEFAULTS[name.replace("-", "_")]
    metavar = "BYTES" if "bytes" in name else "SECONDS" if "seconds" in text else "N"
    return Setting(
        name=name,
        help=text,
        default=default,
        kind=Kind.NUMBER,
        parse=parse,
        group=group,
        metavar=metavar,
    )


_ROOMS: Final = "rooms"
_LIMITS: Final = "limits (0 is without)"
_NETWORK: Final = "networks"
_OPERATION: Final = "operation"
_PROCESSES: Final = "many processes"

SETTINGS: Final[Sequence[Setting]] = (
    Setting(name=CONFIG, help="a TOML file with settings", metavar="FILE", parse=Path),
    Setting(name="host", help="address to listen on", default="127.0.0.1"),
    Setting(
        name="port",
        help="0 takes a free one",
        default=8765,
        kind=Kind.NUMBER,
        parse=_port,
        metavar="PORT",
    ),
    Setting(
        name="demo",
        help="put a peer that answers into the room lobby",
        default=False,
        kind=Kind.FLAG,
    ),
    Setting(name="tls-cert", help="certificate chain, PEM", metavar="FILE", parse=Path),
    Setting(
        name="tls-key", help="its key, PEM, if not in the same file", metavar="FILE", parse=Path
    ),
    Setting(
        name="tls-self-signed",
        help="make a certificate for this run",
        default=False,
        kind=Kind.FLAG,
    ),
    Setting(
        name="allow-origin",
        help="let in pages from elsewhere, like https://example.org; * is all",
        default=(),
        kind=Kind.LIST,
        parse=_origin,
        metavar="ORIGIN",
    ),
    *ACCESS,
    _server("max-peers", "peers a room may have", _peers, _ROOMS),
    _server("max-rooms", "rooms there may be", _count, _ROOMS),
    _server("grace", "seconds that a peer keeps its place without connection", _amount, _ROOMS),
    _server("room-ttl", "seconds that a room outlives its last peer", _amount, _ROOMS),
    _server("away-messages", "signals that wait for a peer without connection", _count, _ROOMS),
    _server("away-bytes", "bytes of them", _count, _ROOMS),
    _server("ping-interval", "seconds between pings of a client", _amount, _ROOMS),
    Setting(
        name="ice-server",
        help="a STUN or TURN server for peers in different networks, like stun:HOST:3478 or "
        "turn:HOST:3478?transport=udp",
        default=(),
        kind=Kind.LIST,
        parse=_ice_url,
        metavar="URL",
        group=_NETWORK,
    ),
    Setting(name="ice-username", help="for the TURN servers", metavar="NAME", group=_NETWORK),
    Setting(
        name="ice-credential",
        help="for the TURN servers; every peer is told it. Better in the environment",
        metavar="SECRET",
        group=_NETWORK,
    ),
    _server(
        "relay-bytes",
        "bytes a second that each peer may send through the server, sealed; 0 is none",
        _count,
        _NETWORK,
    ),
    _server("relay-burst-bytes", "bytes of that at once", _count, _NETWORK),
    Setting(
        name="trusted-proxy",
        help="address or network of a proxy that says who a client is; * is whoever connects",
        default=(),
        kind=Kind.LIST,
        metavar="ADDRESS",
        group=_NETWORK,
    ),
    Setting(
        name="proxy-header",
        help="the header in which it says so",
        default="x-forwarded-for",
        choices=get_args(ProxyHeader),
        group=_NETWORK,
    ),
    _server("max-connections", "connections there may be", _count, _LIMITS),
    _server("address-connections", "connections from one address", _count, _LIMITS),
    _server("address-arrivals", "new connections a second from one address", _amount, _LIMITS),
    _server("address-arrivals-burst", "new connections from one address at once", _count, _LIMITS),
    _server("address-rooms", "new rooms a second from one address", _amount, _LIMITS),
    _server("address-rooms-burst", "new rooms from one address at once", _count, _LIMITS),
    _server("address-guesses", "passwords tried a second from one address", _amount, _LIMITS),
    _server("address-guesses-burst", "passwords from one address at once", _count, _LIMITS),
    _server(
        "message-rate",
        "messages a second from one connection, but 6 for each of max-peers at least",
        _amount,
        _LIMITS,
    ),
    _server(
        "message-burst",
        "messages from one connection at once, but 12 for each of max-peers at least",
        _count,
        _LIMITS,
    ),
    _server("frame-rate", "sealed frames a second from one connection", _amount, _LIMITS),
    _server("frame-burst", "sealed frames from one connection at once", _count, _LIMITS),
    _server("hello-timeout", "seconds that a client may take to say who it is", _amount, "times"),
    _server("idle-timeout", "seconds that a client may say nothing", _amount, "times"),
    _server("request-timeout", "seconds that the body of a request may take", _amount, "times"),
    _server("close-timeout", "seconds that a client has to take in the end", _amount, "times"),
    _server("outgoing-messages", "messages that may wait for a client to read", _count, "queues"),
    _server("outgoing-bytes", "bytes of them", _count, "queues"),
    _server("outgoing-relay-bytes", "bytes of sealed frames behind them", _count, "queues"),
    _server("drain", "seconds to ask all clients to move when it ends", _amount, _OPERATION),
    Setting(
        name="metrics-host",
        help="address on which Prometheus finds /metrics",
        default="127.0.0.1",
        metavar="HOST",
        group=_OPERATION,
    ),
    Setting(
        name="metrics-port",
        help="port of it, and of each further worker the next one; without it there are no metrics",
        kind=Kind.NUMBER,
        parse=_port,
        metavar="PORT",
        group=_OPERATION,
    ),
    Setting(
        name="log-level",
        help="what is logged to standard error",
        default="warning",
        choices=("debug", "info", "warning", "error"),
        group=_OPERATION,
    ),
    Setting(
        name="log-format",
        help="how it is written",
        default="text",
        choices=get_args(LogFormat),
        group=_OPERATION,
    ),
    Setting(
        name="redis",
        help="serve the same rooms as all servers that name this Redis, like redis://HOST:6379. "
        "With a password better in the environment",
        metavar="URL",
        group=_PROCESSES,
    ),
    Setting(
        name="workers",
        help="server processes on this port; more than one needs redis",
        default=1,
        kind=Kind.NUMBER,
        parse=_workers,
        metavar="N",
        group=_PROCESSES,
    ),
)
