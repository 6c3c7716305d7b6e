"""The shell of the conversation with the server: sockets, coding and signatures.

It turns what the machine wants said into signed text, and what arrives into
events that are proven true, strictly in order of arrival.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from thkmesh.core import wire
from thkmesh.core.contact import SayHello
from thkmesh.core.identity import SessionKey, hello_payload, proof_payload, signal_payload
from thkmesh.core.link_events import Relayed, SendRelayed, TransmitSignal
from thkmesh.core.sealed import UnknownVersion, claimed
from thkmesh.core.secret import membership_key, membership_proof
from thkmesh.core.session_events import (
    CheckStatement,
    Expelled,
    FromLink,
    Heard,
    Introduced,
    SessionEvent,
    SignalVerified,
    SocketLost,
    Suspected,
    Welcomed,
)
from thkmesh.errors import InvalidMessage, MeshError, NotAMember, PeerError, SecretWanted
from thkmesh.keys import Identity
from thkmesh.peer import Peer
from thkmesh.sealing import Sealer
from thkmesh.signaling.tokens import TokenSource
from thkmesh.signaling.transport import ABNORMAL, Socket, SocketClosed, Transport
from thkmesh.signaling.verification import MalformedBody, Verifier

__all__ = ["SignalingClient", "SignalingSettings"]

_REMEMBERED = 1024
"""So many strangers are told of once; then the oldest is told of again."""
_SENTENCE = 1024
"""Characters of an error's sentence (see ``wire.Error``)."""

_log = logging.getLogger("thkmesh.client")


@dataclass(frozen=True, slots=True)
class SignalingSettings:
    """Where to join, and as whom.

    ``url`` is that of the WebSocket; ``token`` gives what admits to the room; ``secret`` is
    that of the room, if it has one, and the server does not hear it. Without ``relay`` no
    message ever goes through the server; ``relay_seed`` is for tests.
    """

    url: str
    room: str
    identity: Identity
    sid: str
    name: str = ""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    token: TokenSource = field(default_factory=TokenSource)
    secret: str | None = None
    relay: bool = True
    relay_seed: bytes | None = None

    @property
    def session(self) -> SessionKey:
        """The session we are."""
        return SessionKey(self.identity.id, self.sid)

    @property
    def me(self) -> Peer:
        """What the others see of us."""
        return Peer(self.identity.id, self.sid, self.name, self.metadata)


class SignalingClient:
    """One session's WebSocket, whichever it is at the moment."""

    def __init__(
        self,
        settings: SignalingSettings,
        transport: Transport,
        feed: Callable[[SessionEvent], None],
    ) -> None:
        """Begin without a WebSocket; ``feed`` gets what happens, on the running loop."""
        self._settings = settings
        self._transport = transport
        self._feed = feed
        self._verifier = Verifier(
            settings.room, settings.session, settings.identity.verify, secret=settings.secret
        )
        # Those who are no members: told of once, whatever comes from them.
        self._strangers: dict[SessionKey, None] = {}
        self._sealer: Sealer | None = None
        if settings.relay:
            self._sealer = Sealer(settings.room, settings.session, settings.relay_seed)
        self._socket: Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[None] | None = None
        """Who waits for a token, if it is not there at once."""
        self.unknown = 0
        """How many messages and signals of a kind we do not know were skipped."""

    # --- what the machine asks for ------------------------------------------------

    def open(self) -> None:
        """Connect, and feed what comes."""
        self._reader = asyncio.create_task(self._read())

    def close(self) -> None:
        """Let go of the WebSocket; nothing more is fed from it."""
        self._ask_no_more()
        reader, self._reader = self._reader, None
        if reader is not None:
            # The task ends in its own time: a goodbye just queued still goes out.
            self._closing.add(reader)
            reader.add_done_callback(self._closing.discard)
            reader.cancel()

    async def closed(self) -> None:
        """Wait until every WebSocket let go of has closed."""
        while self._closing:
            await asyncio.wait(self._closing)

    def hello(self, wanted: SayHello) -> None:
        """Introduce ourselves, with proof that we hold the key now, and a token of now."""
        fixed = self._settings.token.fixed
        if fixed is not None:
            self._introduce(wanted, fixed)
            return

        def lost(reason: str) -> None:
            self.close()
            self._lost(ABNORMAL, reason)

        self._ask(lambda token: self._introduce(wanted, token), lost)

    def renew(self) -> None:
        """Show a fresh token, for the one that we showed ends before long."""
        if self._settings.token.fixed is None:
            self._ask(lambda token: self.send(wire.RenewToken(token)), lambda _: None)

    def _ask(self, then: Callable[[str], None], otherwise: Callable[[str], None]) -> None:
        """Have the application asked for a token, and go on with it, or with what is wrong."""

        async def ask() -> None:
            try:
                token = await self._settings.token.fetch()
            except Exception as error:  # noqa: BLE001 - the application's own: it is for a later try
                reason = f"there is no token: {type(error).__name__}: {error}"
                _log.warning("%s", reason)
                self._asking = None
                otherwise(reason)
            else:
                self._asking = None
                then(token)

        self._ask_no_more()
        self._asking = asyncio.create_task(ask())

    def _ask_no_more(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            self._closing.add(asking)
            asking.add_done_callback(self._closing.discard)
            asking.cancel()

    def _introduce(self, wanted: SayHello, token: str) -> None:
        mine = self._settings
        introduction = wire.Introduction(
            protocol=wire.VERSIONS,
            name=mine.name,
            metadata=mine.metadata,
            relay=self._sealer.public_key if self._sealer else "",
            membership=self._membership(),
        )
        body = wire.encode_body(introduction)
        key = mine.identity.public_key
        sign = mine.identity.sign
        self.send(
            wire.Hello(
                room_id=mine.room,
                from_user_id=mine.identity.id,
                from_sid=mine.sid,
                key=key,
                body=body,
                signature=sign(hello_payload(mine.room, mine.session, key, body)),
                proof=sign(proof_payload(wanted.nonce, mine.room, mine.session)),
                resume=wanted.resume,
                token=token,
            )
        )

    def _membership(self) -> str:
        mine = self._settings
        if mine.secret is None:
            return ""
        key = membership_key(mine.secret, mine.room)
        return membership_proof(key, mine.room, mine.session, mine.identity.public_key)

    def check(self, wanted: CheckStatement) -> None:
        """See whether what a peer passed on is the server's; if it is not, it is inert.

        That is no fault of the peer's: it may know another key, after the server was away.
        """
        try:
            statement = self._verifier.statement(wanted.body, wanted.signature)
        except PeerError:
            self.unknown += 1
        else:
            self._feed(Expelled(statement))

    def signal(self, wanted: TransmitSignal) -> None:
        """Sign a signal and send it."""
        mine = self._settings
        signature = ""
        if wanted.seq:
            payload = signal_payload(mine.room, mine.session, wanted.to, wanted.seq, wanted.body)
            signature = mine.identity.sign(payload)
        self.send(
            wanted.envelope(
                room_id=mine.room,
                from_user_id=mine.identity.id,
                from_sid=mine.sid,
                to_user_id=wanted.to.id,
                to_sid=wanted.to.sid,
                seq=wanted.seq,
                ack=wanted.ack,
                body=wanted.body,
                signature=signature,
            )
        )

    def relay(self, wanted: SendRelayed) -> None:
        """Seal a datagram and send it; it may be dropped anywhere."""
        if self._socket is not None and self._sealer is not None:
            frame = self._sealer.seal(wanted.to, wanted.datagram)
            if frame is not None:
                self._socket.send_frame(frame)

    def send(self, message: wire.Message) -> None:
        """Send a message; without a WebSocket it is dropped, as the network might."""
        if self._socket is not None:
            self._socket.send(wire.encode(message))

    # --- what arrives ---------------------------------------------------------------

    async def _read(self) -> None:
        socket: Socket | None = None
        try:
            socket = self._socket = await self._transport.open(self._settings.url)
            while True:
                self._received(await socket.receive())
        except SocketClosed as closed:
            if closed.retry_after is not None:
                # As if it had let us in to say so: what it means is the same.
                error = wire.Error("refused", closed.reason[:_SENTENCE], closed.retry_after)
                self._feed(Heard(error))
            self._lost(closed.code, closed.reason)
        except MeshError as error:
            self._lost(ABNORMAL, str(error))
        finally:
            if socket is not None:
                if self._socket is socket:
                    self._socket = None
                await socket.close()

    def _lost(self, code: int, reason: str) -> None:
        self._ask_no_more()
        self._reader = None
        self._socket = None
        _log.info("signaling lost: %s %s", code, reason)
        self._feed(SocketLost(code, reason))

    def _received(self, text: str | bytes) -> None:
        if isinstance(text, bytes):
            self._relayed(text)
            return
        try:
            message = wire.decode_to_client(text)
        except wire.UnknownType:
            self.unknown += 1
        except InvalidMessage as error:
            self._feed(Suspected(None, error))
        else:
            event = self._proven(message)
            if event is not None:
                self._feed(event)
            if isinstance(message, wire.Welcome):
                for each in message.kicked:
                    self._feed(self._statement(each))

    def _statement(self, kicked: wire.Kicked) -> SessionEvent:
        try:
            return Expelled(self._verifier.statement(kicked.body, kicked.signature))
        except PeerError as error:
            return Suspected(None, error)

    def _relayed(self, frame: bytes) -> None:
        if self._sealer is None:
            self._feed(Suspected(None, InvalidMessage("a sealed frame that nobody asked for")))
            return
        try:
            source, datagram = self._sealer.open(frame)
        except UnknownVersion:
            self.unknown += 1
        except PeerError as error:
            if claimed(frame) not in self._strangers:
                self._feed(Suspected(claimed(frame), error))
        else:
            self._feed(FromLink(source, Relayed(datagram)))

    def _proven(self, message: wire.ToClient) -> SessionEvent | None:
        """Return what a message is worth; None where that has been said already."""
        match message:
            case wire.Welcome(peers=peers):
                self._verifier.room_key = message.room_key
                if self._sealer is not None:
                    self._sealer.keep({each.session for each in peers})
                known = [each for each in map(self._introduced, peers) if each is not None]
                sealed = tuple(SessionKey(p.id, p.sid) for p, agreed in known if agreed)
                return Welcomed(message, tuple(peer for peer, _ in known), sealed)
            case wire.PeerReady():
                introduced = self._introduced(message)
                return None if introduced is None else Introduced(*introduced)
            case wire.Kicked():
                return self._statement(message)
            case wire.Signal():
                if message.source in self._strangers:
                    return None
                try:
                    signal = self._verifier.signal(message)
                except MalformedBody as error:
                    self._feed(Suspected(message.source, error))
                    return SignalVerified(message.source, error.signal)
                except PeerError as error:
                    return Suspected(message.source, error)
                self.unknown += signal.seq > 0 and signal.body is None
                return SignalVerified(message.source, signal)
            case wire.PeerLeft() if self._sealer is not None:
                self._sealer.forget(message.session)
                return Heard(message)
            case _:
                return Heard(message)

    def _introduced(self, ready: wire.PeerReady) -> tuple[Peer, bool] | None:
        """Return whom an introduction proves, and whether keys are agreed with it."""
        try:
            said = self._verifier.introduce(ready)
        except (NotAMember, SecretWanted) as error:
            if ready.session not in self._strangers:
                self._feed(Suspected(ready.session, error))
            self._strangers[ready.session] = None
            if len(self._strangers) > _REMEMBERED:
                del self._strangers[next(iter(self._strangers))]
            return None
        except PeerError as error:
            self._feed(Suspected(ready.session, error))
            return None
        self._strangers.pop(ready.session, None)
        peer = Peer(ready.from_user_id, ready.from_sid, said.name, said.metadata)
        return peer, self._sealer is not None and self._sealer.agree(ready.session, said.relay)
