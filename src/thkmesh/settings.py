"""What ``join`` is told, checked before anything is started."""

import secrets
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from thkmesh.core.engine import IceServer
from thkmesh.core.frames import encode_json
from thkmesh.core.identity import is_room
from thkmesh.errors import InvalidArgument
from thkmesh.keys import Identity
from thkmesh.runner import ConnectionSettings
from thkmesh.signaling.client import SignalingSettings
from thkmesh.signaling.transport import Transport
from thkmesh.signaling.websocket import WebSocketTransport

__all__ = ["JOIN_TIMEOUT", "LEAVE_PATIENCE", "RoomSettings"]

JOIN_TIMEOUT = 10.0
LEAVE_PATIENCE = 10.0
METADATA_LIMIT_BYTES = 4096
NAME_LIMIT = 64
SID_BYTES = 8

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def _is_text(value: object) -> bool:
    """Tell whether a caller, perhaps without a type checker, passed text."""
    return isinstance(value, str)


@dataclass(frozen=True, kw_only=True)
class RoomSettings:
    """Everything about how a room is joined; see ``thkmesh.join`` for each.

    Beyond that, for tests: ``hasty`` lets the higher session offer first too, and
    ``sid`` is the session's name in place of a random one.

    Raises:
        InvalidArgument: something has the wrong form; its text says what to pass.
    """

    url: str
    room: str
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    key_file: str | Path | None = None
    identity: Identity | None = None
    token: str = ""
    ice_servers: Sequence[IceServer | str] = ()
    privacy: str = "all"
    engine: str | None = None
    ca_file: str | Path | None = None
    timeout: float = JOIN_TIMEOUT
    receive: bool = True
    hasty: bool = False
    sid: str | None = None

    def __post_init__(self) -> None:
        """Check everything that can be checked without a network."""
        if not (_is_text(self.room) and is_room(self.room)):
            raise InvalidArgument(
                f"{self.room!r:.80} cannot name a room: use 1 to 64 of A-Z a-z 0-9 . _ -"
            )
        if not (_is_text(self.name) and len(self.name) <= NAME_LIMIT):
            raise InvalidArgument(f"a name is text of up to {NAME_LIMIT} characters")
        size = len(encode_json(dict(self.metadata))) + len(encode_json(self.name))
        if size > METADATA_LIMIT_BYTES:
            raise InvalidArgument(f"metadata has {size} bytes; {METADATA_LIMIT_BYTES} are allowed")
        if self.privacy not in {"all", "relay"}:
            raise InvalidArgument("privacy is 'all' or 'relay'")
        if self.timeout <= 0:
            raise InvalidArgument("timeout is a number of seconds above 0")
        if self.key_file is not None and self.identity is not None:
            raise InvalidArgument("pass key_file or identity, not both")
        self.websocket_url  # noqa: B018 - raises for a bad one

    @property
    def websocket_url(self) -> str:
        """The URL of the server's WebSocket.

        Raises:
            InvalidArgument: ``url`` is not that of a server.
        """
        hint = f"{self.url!r:.80} is no server: pass something like http://localhost:8765"
        if not _is_text(self.url):
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

    def signaling(self) -> SignalingSettings:
        """Return what the signaling client needs, with a fresh session.

        Raises:
            InvalidArgument: the key file is not one.
        """
        identity = self.identity
        if identity is None:
            identity = Identity.load(Path(self.key_file)) if self.key_file else Identity.generate()
        return SignalingSettings(
            url=self.websocket_url,
            room=self.room,
            identity=identity,
            sid=self.sid or secrets.token_hex(SID_BYTES),
            name=self.name,
            metadata=dict(self.metadata),
            token=self.token,
        )

    def connecting(self) -> ConnectionSettings:
        """Return how direct connections are made."""
        servers = tuple(
            IceServer((each,)) if isinstance(each, str) else each for each in self.ice_servers
        )
        return ConnectionSettings(servers, relay_only=self.privacy == "relay", hasty=self.hasty)

    def transport(self) -> Transport:
        """Return what opens WebSockets.

        Raises:
            InvalidArgument: the file of authorities cannot be read.
        """
        if self.ca_file is None:
            return WebSocketTransport()
        try:
            return WebSocketTransport(ssl.create_default_context(cafile=self.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise InvalidArgument(f"{self.ca_file} holds no certificates: {error}") from error
