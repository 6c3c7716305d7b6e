"""``join``: the way into a room."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from thkmesh.core.engine import IceServer
from thkmesh.core.heartbeat import INTERVAL, PATIENCE
from thkmesh.core.retry import SETTLE_TIMEOUT
from thkmesh.host import Lease, forked
from thkmesh.keys import Identity
from thkmesh.room import Room
from thkmesh.settings import (
    HURRIED_PATIENCE,
    JOIN_TIMEOUT,
    LEAVE_PATIENCE,
    RoomSettings,
    invited,
)
from thkmesh.signaling.tokens import Token

__all__ = ["Joining", "join"]


class Joining:
    """A room being joined: ``await`` it, or use it with ``async with``."""

    def __init__(self, settings: RoomSettings) -> None:
        """Use ``join``."""
        self._settings = settings
        self._room: Room | None = None

    def __await__(self) -> Generator[Any, None, Room]:
        """Join; leaving is then up to the caller."""
        return self._join().__await__()

    async def __aenter__(self) -> Room:
        """Join."""
        self._room = await self._join()
        return self._room

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave; after an error with less patience."""
        assert self._room is not None, "entered before left"
        if not forked():  # the child of a fork has nothing to leave: the room is its parent's
            await self._room.leave(patience=LEAVE_PATIENCE if kind is None else HURRIED_PATIENCE)

    async def _join(self) -> Room:
        transport = self._settings.transport()
        lease = Lease()
        try:
            room = Room(self._settings, lease.host, transport, lease.release)
        except BaseException:
            lease.release(_nothing)
            raise
        await room.enter()
        return room


def _nothing() -> None:
    """Do nothing."""


def join(
    url: str,
    *,
    room: str | None = None,
    name: str = "",
    metadata: Mapping[str, Any] | None = None,
    key_file: str | Path | None = None,
    identity: Identity | None = None,
    token: Token = "",
    password: str = "",
    secret: str | None = None,
    ice_servers: Sequence[IceServer | str] = (),
    privacy: str = "all",
    relay: bool = True,
    engine: str | None = None,
    ca_file: str | Path | None = None,
    timeout: float = JOIN_TIMEOUT,
    heartbeat_interval: float = INTERVAL,
    disconnect_timeout: float = PATIENCE,
    failed_timeout: float = SETTLE_TIMEOUT,
    receive: bool = True,
    watch_network: bool = True,
) -> Joining:
    """Join a room, for ``async with`` or ``await``.

    Args:
        url: the signaling server, like ``http://localhost:8765``; http, https, ws
            or wss, with the path it is mounted at. Or the link to a room, as pages show
            it: ``http://localhost:8765/#lobby``, maybe with ``&secret=...`` behind it.
        room: 1 to 64 of ``A-Z a-z 0-9 . _ -``; it comes into being when joined. None: the
            link names it.
        name: what the others call us; up to 64 characters, need not be unique.
        metadata: a JSON object shown to the others; up to 4 KiB encoded.
        key_file: where our identity is kept (made if missing); None means a fresh
            identity for this room.
        identity: our identity itself, instead of a file.
        token: for servers that ask for one: the token, or a function (a coroutine function
            too) that returns a fresh one. It is called on this event loop (``thkmesh.sync``:
            in a thread) when we join, when we come back, and before a token ends. A room
            that outlives its token needs a function.
        password: for servers that ask for one.
        secret: that of a private room, of ``new_secret()``; the server does not hear it. We
            connect to nobody who has not the same, and they not to us (``Refused``). None:
            that of the link, if it has one.
        ice_servers: STUN and TURN servers beside those the server offers; URLs or
            ``IceServer``. None are needed within one network; across routers STUN is,
            and through some of them TURN.
        privacy: "relay" hides our addresses from the room (TURN, or the relay below).
        relay: False never sends messages through the signaling server. Else they go that
            way, sealed so that it cannot read them, slowly, and only while there is no
            direct path (see ``PathChanged``).
        engine: the WebRTC engine; None means the default, "wrtc". With "wrtc-warp" connecting
            takes one round trip of the transport and not three, where both ends have it: an
            experiment of libwebrtc's, which holds for the whole process.
        ca_file: PEM file of the authorities trusted for https, None for the system's.
        timeout: seconds until ``ServerUnreachable``.
        heartbeat_interval: seconds between two pings on each link, 0.5 to 60. Fewer pings
            cost less, and a dead link and a worse quality are noticed later.
        disconnect_timeout: seconds that a ping may stay unanswered before a link is
            reconnected, 1 to 300. What a link that is silent for longer had to carry
            waits; too little breaks links that are only slow.
        failed_timeout: seconds that an attempt to connect may take before it has failed
            and the next begins, 2 to 300.
        receive: False throws events away that nobody would read.
        watch_network: False does without what the system tells of interfaces and addresses;
            only silence then tells that the network has changed.

    Raises:
        InvalidArgument: an argument has the wrong form.
        ServerUnreachable: the server did not answer in time, or its certificate is not
            trusted.
        RoomFull: the room has its maximum of peers.
        Kicked: we were removed from the room, and may not come back yet.
        Unauthorized: the server refused who we are, the token or the password.
        NotGranted: the token does not allow to join, or to make the room.
        ProtocolMismatch: the server speaks no version of ours.
        EngineError: the engine is missing.
        WrongContext: in a process forked from one that had joined a room.

    All but ``InvalidArgument`` come from ``await`` or ``async with``.
    """
    place = invited(url, room, secret)
    return Joining(
        RoomSettings(
            url=place.url,
            room=place.room or "",
            name=name,
            metadata={} if metadata is None else metadata,
            key_file=key_file,
            identity=identity,
            token=token,
            password=password,
            secret=place.secret,
            ice_servers=ice_servers,
            privacy=privacy,
            relay=relay,
            engine=engine,
            ca_file=ca_file,
            timeout=timeout,
            heartbeat_interval=heartbeat_interval,
            disconnect_timeout=disconnect_timeout,
            failed_timeout=failed_timeout,
            receive=receive,
            watch_network=watch_network,
        )
    )
