"""The errors of THKMesh, one small tree.

::

    MeshError
    ├── JoinError              join() could not enter the room
    │   ├── ServerUnreachable  no answer from the signaling server in time
    │   ├── RoomFull           the room has its maximum of peers
    │   ├── Unauthorized       the server refused who we are, or the token
    │   │   └── NotGranted     the token does not allow to enter, to make the room, or to remove
    │   ├── ProtocolMismatch   no protocol version in common
    │   ├── Replaced           a newer session of the same identity took over
    │   └── Kicked             we were removed from the room, and may not come back yet
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
        ├── IdentityMismatch   an id is not the hash of the key beside it
        ├── NotAMember         a peer has not proven that it knows the room's secret
        └── SecretWanted       a peer is in a room with a secret, and we gave none

Users meet them from ``join``, ``send`` and iteration; ``PeerError`` s arrive in
events, because what a peer does never raises in our code. Anything else raised
is our bug.
"""

from datetime import UTC, datetime

__all__ = [
    "ChannelClosed",
    "ChannelFull",
    "EngineError",
    "IdentityMismatch",
    "InvalidArgument",
    "InvalidMessage",
    "InvalidSignature",
    "JoinError",
    "Kicked",
    "MeshError",
    "MessageTooLarge",
    "NotAMember",
    "NotGranted",
    "NotListening",
    "PeerError",
    "ProtocolMismatch",
    "Replaced",
    "RoomClosed",
    "RoomFull",
    "SecretWanted",
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
    """We may not enter the room, bring it into being, or remove others; the text says what.

    The server knows who we are, but our token, or whatever admitted us, has no such grant.
    """


class ProtocolMismatch(JoinError):
    """The two ends have no protocol version in common."""


class Replaced(JoinError):
    """A newer session of the same identity took this one's place."""


class Kicked(JoinError):
    """We were removed from the room, and may not come back yet.

    Attributes:
        why: what was said of it, maybe nothing.
        until: when we may, in seconds since 1970 by the server's clock; None if that is
            known from the text alone.
    """

    def __init__(self, why: str = "", until: float | None = None) -> None:
        """Take what was said, and the time."""
        super().__init__(why, until)
        self.why = why
        self.until = until

    def __str__(self) -> str:
        """Return it as a sentence."""
        when = ""
        if self.until is not None:
            when = f" until {datetime.fromtimestamp(int(self.until), UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"removed from the room{when}" + (f": {self.why}" if self.why else "")


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


class NotAMember(PeerError):
    """A peer has not proven that it knows the room's secret, so nobody connects to it."""

    reason = "not-a-member"


class SecretWanted(PeerError):
    """A peer is in a room with a secret, which we have not: it does not connect to us."""

    reason = "secret-wanted"
