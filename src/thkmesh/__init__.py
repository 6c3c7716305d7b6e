"""Rooms in which Python processes and browser pages talk directly.

::

    import asyncio
    import thkmesh

    async def main():
        async with thkmesh.join("http://localhost:8765", room="lobby", name="Ada") as room:
            await room.send("hello, everyone")
            async for event in room:
                match event:
                    case thkmesh.PeerJoined(peer=peer):
                        print(peer.name, "joined")
                    case thkmesh.Message(peer=peer, data=data):
                        print(peer.name, "says", data)

    asyncio.run(main())
"""

# The interpreter first: where nothing can work, importing it says so.
from thkmesh import interpreter as _  # noqa: F401  # pyright: ignore[reportUnusedImport]
from thkmesh import sync
from thkmesh.channel import Channel
from thkmesh.core.engine import IceServer
from thkmesh.errors import (
    ChannelClosed,
    ChannelFull,
    EngineError,
    IdentityMismatch,
    InvalidArgument,
    InvalidMessage,
    InvalidSignature,
    JoinError,
    Kicked,
    MeshError,
    MessageTooLarge,
    NotAMember,
    NotGranted,
    NotListening,
    PeerError,
    ProtocolMismatch,
    Replaced,
    RoomClosed,
    RoomFull,
    SecretWanted,
    ServerUnreachable,
    StreamBroken,
    Unauthorized,
    UnknownPeer,
    WouldWait,
    WrongContext,
)
from thkmesh.events import (
    ByteStream,
    Content,
    Data,
    Event,
    Grade,
    LeaveReason,
    LinkChanged,
    LinkState,
    Lost,
    Message,
    Path,
    PathChanged,
    PathKind,
    PeerJoined,
    PeerKicked,
    PeerLagging,
    PeerLeft,
    Quality,
    QualityChanged,
    Refused,
    ServerChanged,
    ServerState,
    Undelivered,
)
from thkmesh.invitation import new_secret
from thkmesh.joining import Joining, join
from thkmesh.keys import Identity
from thkmesh.peer import Peer
from thkmesh.room import Room
from thkmesh.runner import LinkView
from thkmesh.subscription import Subscription
from thkmesh.transfer import Source

__version__ = "0.1.0.dev0"

__all__ = [
    "ByteStream",
    "Channel",
    "ChannelClosed",
    "ChannelFull",
    "Content",
    "Data",
    "EngineError",
    "Event",
    "Grade",
    "IceServer",
    "Identity",
    "IdentityMismatch",
    "InvalidArgument",
    "InvalidMessage",
    "InvalidSignature",
    "JoinError",
    "Joining",
    "Kicked",
    "LeaveReason",
    "LinkChanged",
    "LinkState",
    "LinkView",
    "Lost",
    "MeshError",
    "Message",
    "MessageTooLarge",
    "NotAMember",
    "NotGranted",
    "NotListening",
    "Path",
    "PathChanged",
    "PathKind",
    "Peer",
    "PeerError",
    "PeerJoined",
    "PeerKicked",
    "PeerLagging",
    "PeerLeft",
    "ProtocolMismatch",
    "Quality",
    "QualityChanged",
    "Refused",
    "Replaced",
    "Room",
    "RoomClosed",
    "RoomFull",
    "SecretWanted",
    "ServerChanged",
    "ServerState",
    "ServerUnreachable",
    "Source",
    "StreamBroken",
    "Subscription",
    "Unauthorized",
    "Undelivered",
    "UnknownPeer",
    "WouldWait",
    "WrongContext",
    "__version__",
    "join",
    "new_secret",
    "sync",
]
