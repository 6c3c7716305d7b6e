"""Only what is signed by whom it names gets past here.

A peer is known by its signed introduction; its signals are checked against the
key shown there. So a server can keep things from us, but not change them: not a
DTLS fingerprint in an offer, not a name, not the order of signals. In a room with a
secret it cannot add anybody either (see ``secret``).
"""

from collections.abc import Callable

from thkmesh.core import wire
from thkmesh.core.expulsion import Statement
from thkmesh.core.identity import (
    SessionKey,
    decode_bytes,
    hello_payload,
    id_of_key,
    is_id,
    kicked_payload,
    signal_payload,
)
from thkmesh.core.link_events import SignalArrived
from thkmesh.core.secret import membership_key, proves
from thkmesh.errors import (
    IdentityMismatch,
    InvalidMessage,
    InvalidSignature,
    NotAMember,
    PeerError,
    SecretWanted,
)
from thkmesh.keys import verify

__all__ = ["MalformedBody", "Verifier"]

_KEY_BYTES = 32
_REMEMBERED = 1024


class IncompatiblePeer(PeerError):
    """A peer speaks no version of the protocol that we speak."""

    reason = "protocol-mismatch"


class MalformedBody(InvalidMessage):
    """A signal in its sender's own words, which do not follow the protocol.

    ``signal`` is what it is worth all the same: what follows it waits for its number.
    """

    def __init__(self, text: str, signal: SignalArrived) -> None:
        """Take the fault and the number."""
        super().__init__(text)
        self.signal = signal


class Verifier:
    """Checks introductions and signals for one session."""

    def __init__(
        self,
        room: str,
        me: SessionKey,
        verify: Callable[[str, str, bytes], bool] = verify,
        *,
        secret: str | None = None,
    ) -> None:
        """Begin knowing nobody.

        Args:
            room: its name.
            me: our own session.
            verify: does what ``keys.verify`` does.
            secret: that of the room; None if it has none, as far as we know.
        """
        self.room_key = ""
        """The key of the latest welcome, which statements are signed with; empty before."""
        self._member_key = None if secret is None else membership_key(secret, room)
        self._verify = verify
        self._room = room
        self._me = me
        # Bounded: the oldest is forgotten, and introduced again by the next welcome.
        self._keys: dict[SessionKey, str] = {}

    def introduce(self, ready: wire.PeerReady) -> wire.Introduction:
        """Return what a peer says of itself, once that is proven, and remember its key.

        Raises:
            InvalidMessage: it is malformed, or for another room.
            IdentityMismatch: the id is not the hash of the key.
            InvalidSignature: the introduction is not signed by that key.
            NotAMember: the room has a secret, and the peer has not proven to know it.
            SecretWanted: it seems to have one, which we do not know.
            PeerError: it speaks no protocol version of ours.
        """
        if ready.room_id != self._room:
            raise InvalidMessage(f"an introduction to the room {ready.room_id!r}")
        key = decode_bytes(ready.key, _KEY_BYTES)
        if key is None or id_of_key(key) != ready.from_user_id:
            raise IdentityMismatch(f"the id {ready.from_user_id!r} is not the hash of its key")
        payload = hello_payload(self._room, ready.session, ready.key, ready.body)
        if not self._verify(ready.key, ready.signature, payload):
            raise InvalidSignature(f"the introduction of {ready.from_user_id!r} is not its own")
        said = wire.decode_introduction(ready.body)
        low, high = said.protocol
        if not low <= wire.PROTOCOL <= high:
            raise IncompatiblePeer(f"{said.name!r} speaks protocol {low} to {high}")
        self._check_membership(ready, said)
        self._keys[ready.session] = ready.key
        if len(self._keys) > _REMEMBERED:
            del self._keys[next(iter(self._keys))]
        return said

    def _check_membership(self, ready: wire.PeerReady, said: wire.Introduction) -> None:
        who = f"{said.name!r} ({ready.from_user_id})"
        if self._member_key is None:
            if said.membership:
                raise SecretWanted(f"{who} is in a room with a secret: join by the whole link")
            return
        proof = said.membership, self._member_key, self._room, ready.session, ready.key
        if not proves(*proof):
            what = "has another secret" if said.membership else "has not the room's secret"
            raise NotAMember(f"{who} {what}")

    def statement(self, body: str, signature: str) -> Statement:
        """Return what the server says of who is removed, once that is proven.

        Raises:
            InvalidSignature: it is not signed with the room's key as we know it.
            InvalidMessage: it is malformed, which no server's is.
        """
        payload = kicked_payload(self._room, body)
        if not (self.room_key and self._verify(self.room_key, signature, payload)):
            raise InvalidSignature("that somebody is removed is not signed with the room's key")
        said = wire.decode_expulsion(body)
        if not is_id(said.user_id):
            raise InvalidMessage("somebody is removed who has no id")
        return Statement(said.user_id, said.at, said.until, said.reason, body, signature)

    def signal(self, signal: wire.Signal) -> SignalArrived:
        """Return what a signal says, once it is proven to be for us and its sender's.

        What is of a kind we do not know has no body.

        Raises:
            MalformedBody: what is signed is malformed; its number counts all the same.
            InvalidMessage: it is unsigned, for another session, or in the wrong
                envelope: that is not signed, so the genuine one may still come.
            InvalidSignature: it is not signed by the peer it names.
        """
        if not (signal.signature or isinstance(signal, wire.Ack)):
            raise wire.Unsigned(f"an unsigned signal from {signal.from_user_id!r}")
        if signal.room_id != self._room or signal.to != self._me:
            raise InvalidMessage("a signal for another session")
        if isinstance(signal, wire.Ack):
            # It says only what the server could say by dropping or keeping signals.
            return SignalArrived(0, signal.ack, None)
        key = self._keys.get(signal.source)
        if key is None:
            raise InvalidSignature(f"a signal from {signal.from_user_id!r}, not introduced")
        payload = signal_payload(self._room, signal.source, self._me, signal.seq, signal.body)
        if not self._verify(key, signal.signature, payload):
            raise InvalidSignature(f"a signal from {signal.from_user_id!r} was changed on its way")
        if signal.seq == 0:
            raise InvalidMessage("a signal without a sequence number")
        try:
            body = wire.decode_signal_body(signal)
        except wire.UnknownType:
            body = None  # of a later version: skipped, but what follows it waits for its number
        except wire.WrongEnvelope:
            raise
        except InvalidMessage as error:
            raise MalformedBody(str(error), SignalArrived(signal.seq, signal.ack, None)) from error
        return SignalArrived(signal.seq, signal.ack, body)
