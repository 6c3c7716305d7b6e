"""What ``join`` is told, checked before anything is started."""

import asyncio
import secrets
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from thkmesh import engines
from thkmesh.core import wire
from thkmesh.core.engine import IceServer
from thkmesh.core.heartbeat import INTERVAL, PATIENCE
from thkmesh.core.ice_url import is_ice_url, needs_credentials
from thkmesh.core.identity import ID_LENGTH, is_id, is_room
from thkmesh.core.ijson import encode_json
from thkmesh.core.retry import SETTLE_TIMEOUT
from thkmesh.core.secret import RULE, is_secret
from thkmesh.errors import InvalidArgument
from thkmesh.invitation import Invitation, parse_link
from thkmesh.keys import Identity
from thkmesh.runner import ConnectionSettings
from thkmesh.signaling.client import SignalingSettings
from thkmesh.signaling.tokens import Token, TokenSource, check_token
from thkmesh.signaling.transport import Transport
from thkmesh.signaling.websocket import WebSocketTransport

__all__ = [
    "BAN_DURATION",
    "HURRIED_PATIENCE",
    "JOIN_TIMEOUT",
    "KICK_DURATION",
    "LEAVE_PATIENCE",
    "RoomSettings",
    "check_kick",
    "check_patience",
    "invited",
    "trusting",
]

JOIN_TIMEOUT = 10.0
LEAVE_PATIENCE = 10.0
HURRIED_PATIENCE = 1.0
"""Seconds that queued messages have when we leave because of an error."""

KICK_DURATION = 60.0
BAN_DURATION = 86_400.0
"""Seconds that who is removed stays out, unless told otherwise."""

METADATA_LIMIT_BYTES = 4096
NAME_LIMIT = 64
PASSWORD_LIMIT = 256
REASON_LIMIT = 200
SID_BYTES = 8
KEY_LENGTH = 43
SIGNATURE_LENGTH = 86

TIMES = {
    "heartbeat_interval": (0.5, 60.0),
    "disconnect_timeout": (1.0, 300.0),
    "failed_timeout": (2.0, 300.0),
}
"""Seconds that each may be, from and to: less breaks good links, more keeps dead ones."""

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def _is(value: object, *kinds: type) -> bool:
    """Tell whether a caller, perhaps without a type checker, passed one of these."""
    return isinstance(value, kinds)


def check_patience(patience: object) -> None:
    """Refuse what is no number of seconds; infinitely many are one.

    Raises:
        InvalidArgument: it is none.
    """
    if not (isinstance(patience, int | float) and patience >= 0):
        raise InvalidArgument("patience is a number of seconds, 0 or more")


def check_kick(user_id: object, duration: object, reason: object) -> None:
    """Refuse what no server removes.

    Raises:
        InvalidArgument: it is no id, no such duration or no such reason.
    """
    if not (isinstance(user_id, str) and is_id(user_id)):
        raise InvalidArgument("who is removed is a Peer, or a peer's id")
    if not (isinstance(duration, int | float) and 1 <= duration <= wire.KICK_LIMIT):
        raise InvalidArgument(f"duration is a number of seconds from 1 to {wire.KICK_LIMIT}")
    if not (isinstance(reason, str) and len(reason) <= REASON_LIMIT):
        raise InvalidArgument(f"a reason is text of up to {REASON_LIMIT} characters")


def _ice_server(server: IceServer | str) -> IceServer:
    return IceServer((server,)) if isinstance(server, str) else server


def _check_ice_server(server: IceServer | str) -> None:
    if not _is(server, IceServer, str):
        raise InvalidArgument("ice_servers is a list of URLs or IceServer")
    server = _ice_server(server)
    for url in server.urls:
        if not (_is(url, str) and is_ice_url(url)):
            raise InvalidArgument(
                f"{url!r:.80} is no URL like stun:example.org or turn:example.org:3478"
            )
        if needs_credentials(url) and (server.username is None or server.credential is None):
            raise InvalidArgument(f"{url:.80} needs IceServer((url,), username, credential)")


@dataclass(frozen=True, kw_only=True)
class RoomSettings:
    """Everything about how a room is joined; see ``thkmesh.join`` for each.

    Beyond that, for tests: ``hasty`` lets the higher session offer first too, and
    ``sid`` is the session's name in place of a random one, ``relay_seed`` what its key
    for the relay is made of.

    Raises:
        InvalidArgument: something has the wrong form; its text says what to pass.
    """

    url: str
    room: str
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key_file: str | Path | None = None
    identity: Identity | None = None
    token: Token = ""
    password: str = ""
    secret: str | None = None
    ice_servers: Sequence[IceServer | str] = ()
    privacy: str = "all"
    relay: bool = True
    engine: str | None = None
    ca_file: str | Path | None = None
    timeout: float = JOIN_TIMEOUT
    heartbeat_interval: float = INTERVAL
    disconnect_timeout: float = PATIENCE
    failed_timeout: float = SETTLE_TIMEOUT
    receive: bool = True
    watch_network: bool = True
    hasty: bool = False
    sid: str | None = None
    relay_seed: bytes | None = None

    def __post_init__(self) -> None:
        """Check everything that can be checked without a network."""
        if not (_is(self.room, str) and is_room(self.room)):
            raise InvalidArgument(
                f"{self.room!r:.80} cannot name a room: use 1 to 64 of A-Z a-z 0-9 . _ -"
            )
        self._check_self()
        self._check_connecting()
        self.websocket_url  # noqa: B018 - raises for a bad one

    def _check_self(self) -> None:
        """Check what the others are told, and what proves who we are."""
        if not (_is(self.name, str) and len(self.name) <= NAME_LIMIT):
            raise InvalidArgument(f"a name is text of up to {NAME_LIMIT} characters")
        if not _is(self.metadata, Mapping):
            raise InvalidArgument("metadata is a JSON object, like {'color': 'blue'}")
        size = len(encode_json(dict(self.metadata))) + len(encode_json(self.name))
        if size > METADATA_LIMIT_BYTES:
            raise InvalidArgument(
                f"name and metadata have {size} bytes; {METADATA_LIMIT_BYTES} are allowed"
            )
        self._check_introduction()
        if not _is(self.identity, Identity, NoneType):
            raise InvalidArgument("identity is a thkmesh.Identity")
        if not _is(self.key_file, str, PathLike, NoneType):
            raise InvalidArgument("key_file is the path of a file")
        if self.key_file is not None and self.identity is not None:
            raise InvalidArgument("pass key_file or identity, not both")
        if not callable(self.token):
            check_token(self.token)
        if not (_is(self.password, str) and len(self.password) <= PASSWORD_LIMIT):
            raise InvalidArgument(f"a password is text of up to {PASSWORD_LIMIT} characters")
        if self.password and self.token:
            raise InvalidArgument("pass a token or a password, not both")
        if self.secret is not None and not (_is(self.secret, str) and is_secret(self.secret)):
            raise InvalidArgument(RULE)

    def _check_introduction(self) -> None:
        """Check that the server will pass on what we say of ourselves.

        Quotation marks and the like take more on the wire, where this is text in text.
        """
        introduction = wire.Introduction(
            protocol=wire.VERSIONS,
            name=self.name,
            metadata=dict(self.metadata),
            relay="x" * KEY_LENGTH if self.relay else "",
            membership="x" * KEY_LENGTH if self.secret else "",
        )
        ready = wire.PeerReady(
            room_id=self.room,
            from_user_id="x" * ID_LENGTH,
            from_sid="x" * 2 * SID_BYTES,
            key="x" * KEY_LENGTH,
            body=wire.encode_body(introduction),
            signature="x" * SIGNATURE_LENGTH,
        )
        size = len(wire.encode(ready).encode())
        if size > wire.PEER_READY_LIMIT_BYTES:
            raise InvalidArgument(
                f"name and metadata make an introduction of {size} bytes, escaped as it is on its "
                f"way; {wire.PEER_READY_LIMIT_BYTES} are allowed"
            )

    def _check_connecting(self) -> None:
        """Check by what means and how patiently we connect."""
        if not _is(self.ice_servers, list, tuple):
            raise InvalidArgument("ice_servers is a list of URLs or IceServer")
        for server in self.ice_servers:
            _check_ice_server(server)
        if self.privacy not in ("all", "relay"):
            raise InvalidArgument("privacy is 'all' or 'relay'")
        if not _is(self.relay, bool):
            raise InvalidArgument("relay is True or False")
        if not (_is(self.timeout, int, float) and self.timeout > 0):
            raise InvalidArgument("timeout is a number of seconds above 0")
        for name, (least, most) in TIMES.items():
            seconds = getattr(self, name)
            if not (_is(seconds, int, float) and least <= seconds <= most):
                raise InvalidArgument(f"{name} is a number of seconds from {least:g} to {most:g}")
        if not _is(self.ca_file, str, PathLike, NoneType):
            raise InvalidArgument("ca_file is the path of a PEM file")
        engines.check(self.engine)

    @property
    def websocket_url(self) -> str:
        """The URL of the server's WebSocket.

        Raises:
            InvalidArgument: ``url`` is not that of a server.
        """
        hint = f"{self.url!r:.80} is no server: pass something like http://localhost:8765"
        if not _is(self.url, str):
            raise InvalidArgument(hint)
        try:
            parts = urlsplit(self.url)
            valid = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
        except ValueError as error:
            raise InvalidArgument(hint) from error
        if not valid or parts.query or parts.fragment:
            raise InvalidArgument(hint)
        path = parts.path.rstrip("/") + "/ws"
        return urlunsplit(SplitResult(_SCHEMES[parts.scheme], parts.netloc, path, "", ""))

    def signaling(self, loop: asyncio.AbstractEventLoop | None = None) -> SignalingSettings:
        """Return what the signaling client needs, with a fresh session.

        Args:
            loop: where the application's code is called; None means in threads.

        Raises:
            InvalidArgument: the key file is not one, or cannot be read or made.
        """
        return SignalingSettings(
            url=self.websocket_url,
            room=self.room,
            identity=self.identity or self._own_identity(),
            sid=self.sid or secrets.token_hex(SID_BYTES),
            name=self.name,
            metadata=dict(self.metadata),
            token=TokenSource(self.password or self.token, loop),
            secret=self.secret,
            relay=self.relay,
            relay_seed=self.relay_seed,
        )

    def _own_identity(self) -> Identity:
        if self.key_file is None:
            return Identity.generate()
        try:
            return Identity.load(Path(self.key_file))
        except OSError as error:
            raise InvalidArgument(f"key_file cannot be used: {error}") from error

    def connecting(self) -> ConnectionSettings:
        """Return how direct connections are made."""
        servers = tuple(map(_ice_server, self.ice_servers))
        return ConnectionSettings(
            servers,
            relay_only=self.privacy == "relay",
            hasty=self.hasty,
            heartbeat_interval=self.heartbeat_interval,
            disconnect_timeout=self.disconnect_timeout,
            failed_timeout=self.failed_timeout,
            watch_network=self.watch_network,
        )

    def transport(self) -> Transport:
        """Return what opens WebSockets.

        Raises:
            InvalidArgument: the file of authorities cannot be read.
        """
        return WebSocketTransport(None if self.ca_file is None else trusting(self.ca_file))


def invited(
    url: str, room: str | None, secret: str | None, *, room_if_none: str | None = None
) -> Invitation:
    """Return what to join: a link may name the room, and hold its secret.

    Raises:
        InvalidArgument: it is no link, or contradicts what stands beside it, or no room
            is named at all.
    """
    link = parse_link(url) if _is(url, str) else Invitation(url, None, None)
    for name, ours, theirs in (("room", room, link.room), ("secret", secret, link.secret)):
        if ours is not None and theirs is not None and ours != theirs:
            raise InvalidArgument(f"the link has another {name}: pass one of the two")
    found = (link.room or room_if_none) if room is None else room
    if found is None:
        raise InvalidArgument("None cannot name a room: pass room=, or the link to one")
    return Invitation(link.url, found, link.secret if secret is None else secret)


def trusting(ca_file: str | Path | None) -> ssl.SSLContext:
    """Return a context that trusts the authorities in a file; None means the system's.

    Raises:
        InvalidArgument: the file cannot be read, or is no PEM.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        text = f"{ca_file} holds no certificates: pass a PEM file of them"
        raise InvalidArgument(text) from error
    except OSError as error:
        raise InvalidArgument(f"{ca_file} holds no certificates: {error.strerror}") from error
