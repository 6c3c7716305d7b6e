"""The errors of THKMesh, one small tree.

::

    MeshError
    ├── JoinError              join() could not enter the room
    │   ├── ServerUnreachable  no answer from the signaling server in time
    │   ├── RoomFull           the room has its maximum of peers
    │   ├── Unauthorized       the server refused who we are, or the token
    │   │   └── NotGranted     the token does not allow to enter, or to make the room
    │   ├── ProtocolMismatch   no protocol version in common
    │   └── Replaced           a newer session of the same identity took over
    ├── RoomClosed             the room was left, or the server closed it for good
    ├── MessageTooLarge        a message is over the limit
    ├── UnknownPeer            the addressee is not in the room
    ├── NotListening           the addressee does not listen to that channel
    ├── ChannelClosed          the channel was closed
    ├── ChannelFull            a channel of latest values holds as many as it may
    ├── WouldWait              send_nowait() would have to wait
    ├── StreamBroken           a streamed message ended before it was whole
    ├── InvalidArgument        an argument has the wrong form (also a ValueError)
    ├── WrongContext           called after fork, or the plain face inside a loop
    ├── EngineError            the WebRTC engine could not do what it must
    └── PeerError              something a remote peer or the server did
        ├── InvalidMessage     what arrived does not follow the protocol
        ├── InvalidSignature   a signal or hello is not signed by its sender
        └── IdentityMismatch   an id is not the hash of the key beside it

Users meet them from ``join``, ``send`` and iteration; ``PeerError`` s arrive in
events, because what a peer does never raises in our code. Anything else raised
is our bug.
"""

__all__ = [
    "ChannelClosed",
    "ChannelFull",
    "EngineError",
    "IdentityMismatch",
    "InvalidArgument",
    "InvalidMessage",
    "InvalidSignature",
    "JoinError",
    "MeshError",
    "MessageTooLarge",
    "NotGranted",
    "NotListening",
    "PeerError",
    "ProtocolMismatch",
    "Replaced",
    "RoomClosed",
    "RoomFull",
    "ServerUnreachable",
    "StreamBroken",
    "Unauthorized",
    "UnknownPeer",
    "WouldWait",
    "WrongContext",
]


class MeshError(Exception):
    """The root of every error THKMesh raises on purpose."""


class JoinError(MeshError):
    """The room could not be entered."""


class ServerUnreachable(JoinError):
    """The signaling server did not answer in time."""


class RoomFull(JoinError):
    """The room already holds its maximum of peers."""


class Unauthorized(JoinError):
    """The server refused the identity or the token."""


class NotGranted(Unauthorized):
    """The token is genuine, but does not allow to enter the room, or to bring it into being."""


class ProtocolMismatch(JoinError):
    """The two ends have no protocol version in common."""


class Replaced(JoinError):
    """A newer session of the same identity took this one's place."""


class RoomClosed(MeshError):
    """The room was left or closed; nothing more can be sent or received."""


class MessageTooLarge(MeshError):
    """A message is larger than the limit named in its text."""


class UnknownPeer(MeshError):
    """The addressee is not, or no longer, in the room."""


class NotListening(MeshError):
    """The addressee has not opened that channel, so nothing on it reaches it."""


class ChannelClosed(MeshError):
    """The channel was closed; nothing more can be sent on it."""


class ChannelFull(MeshError):
    """A channel of latest values holds as many keys or bytes as it may; the text says which."""


class WouldWait(MeshError):
    """Too much is waiting already; ``send`` would wait until some of it has gone."""


class StreamBroken(MeshError):
    """A streamed message ended before it was whole; the text says why."""


class InvalidArgument(MeshError, ValueError):
    """An argument has the wrong type or form; the text says what to pass."""


class WrongContext(MeshError, RuntimeError):
    """The call is not possible here; the text says where it is."""


class EngineError(MeshError):
    """The WebRTC engine is missing or failed in a way that ends the room."""


class PeerError(MeshError):
    """A remote peer or the server did something the protocol forbids.

    ``reason`` is the short machine-readable word used on the wire and in logs.
    """

    reason = "peer-error"


class InvalidMessage(PeerError):
    """A message does not follow the wire protocol."""

    reason = "invalid-message"


class InvalidSignature(PeerError):
    """A hello or signal is unsigned, or not signed by the peer it names."""

    reason = "invalid-signature"


class IdentityMismatch(PeerError):
    """A peer's id is not the hash of the public key shown with it."""

    reason = "identity-mismatch"
