"""A peer that connects properly, and then says whatever a test wants.

It is made of the public pieces that a session is made of: an identity, the
signaling client, a ``Link`` to its victim, and the engine's connections, whose
channels take any bytes. What a session would do for it, it leaves undone.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.rooms.processes import PATIENCE
from thkmesh.core import frames, wire
from thkmesh.core.channels import Channels
from thkmesh.core.contact import SayHello
from thkmesh.core.credit import Budget
from thkmesh.core.engine import (
    CONTROL,
    Connection,
    ConnectionConfig,
    Description,
    EngineEvent,
    FrameReceived,
    MakeOffer,
    OperationDone,
)
from thkmesh.core.identity import SessionKey
from thkmesh.core.link import Link, LinkSettings
from thkmesh.core.link_events import (
    CloseConnection,
    FromEngine,
    LinkEvent,
    LinkOutput,
    Online,
    OpenConnection,
    Perform,
    SendFrame,
    TransmitSignal,
)
from thkmesh.core.session_events import Heard, Introduced, SessionEvent, SignalVerified, Welcomed
from thkmesh.core.traffic import Traffic
from thkmesh.driver import Driver
from thkmesh.engines.wrtc import WrtcEngine
from thkmesh.events import LinkState
from thkmesh.keys import Identity
from thkmesh.settings import RoomSettings
from thkmesh.signaling.client import SignalingClient
from thkmesh.signaling.websocket import WebSocketTransport

_log = logging.getLogger("thkmesh.client")


class Rogue:
    """One session that speaks to one victim."""

    def __init__(self, url: str, room: str, identity: Identity, victim: str) -> None:
        """Begin outside; ``rogue`` enters."""
        self._victim = victim
        settings = RoomSettings(url=url, room=room, name="rogue", identity=identity)
        signaling = settings.signaling()
        self.me = signaling.session
        self.client = SignalingClient(signaling, WebSocketTransport(), self._heard)
        self.met: dict[str, SessionKey] = {}
        """The sessions that are in the room, by peer id."""
        self.opened = 0
        """How many connections there have been."""
        self.engine = WrtcEngine()
        self.said = 0
        """How many signals were said with ``say``."""
        self.acknowledged = 0
        """How many of ours the victim acknowledged."""
        self._driver: Driver[LinkEvent, LinkOutput] | None = None
        self._link: Link
        self._connection: Connection
        self._closing: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    async def until(self, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait for what makes something true."""
        async with asyncio.timeout(patience):
            while not holds():
                self._news.clear()
                await self._news.wait()

    # --- signaling ---

    def _heard(self, event: SessionEvent) -> None:
        match event:
            case Heard(message=wire.Challenge(nonce=nonce)):
                self.client.hello(SayHello(nonce, ""))
            case Welcomed(peers=peers):
                self.met |= {peer.id: SessionKey(peer.id, peer.sid) for peer in peers}
            case Introduced(peer=peer):
                self.met[peer.id] = SessionKey(peer.id, peer.sid)
            case SignalVerified(source=source, signal=signal) if source.id == self._victim:
                self.acknowledged = max(self.acknowledged, signal.ack)
                if self._driver is not None:
                    self._driver.feed(signal)
            case _:
                pass
        self._news.set()

    # --- the link ---

    def say(self, victim: SessionKey, body: str, envelope: type[wire.Signal]) -> None:
        """Send a signal of any body, signed and numbered as it should be."""
        self.said += 1
        self.client.signal(TransmitSignal(victim, envelope, self.said, 0, body))

    def connect(self, victim: SessionKey) -> None:
        """Begin to connect, as any peer would."""
        traffic = Traffic(victim, Channels(), Budget())
        settings = LinkSettings(self.engine.capabilities)
        self._link = Link(self.me, victim, settings, random.random, traffic)
        self._driver = Driver(self._link, self._perform, logger=_log)
        self._driver.feed(Online())

    @property
    def connected(self) -> bool:
        """Tell whether frames can be sent."""
        return self._driver is not None and self._link.state is LinkState.CONNECTED

    def send(self, frame: bytes, channel: int = CONTROL) -> bool:
        """Send any bytes; False when the connection takes no more."""
        return self._connection.send(channel, frame)

    def _perform(self, output: LinkOutput) -> None:
        match output:
            case OpenConnection(number=number):
                self.opened = number
                self._connection = self._open(number)
            case CloseConnection():
                self._close(self._connection)
            case Perform(operation=operation):
                self._connection.perform(operation)
            case SendFrame(channel=channel, frame=frame):
                self._connection.send(channel, frame)
            case TransmitSignal():
                self.client.signal(output)
            case _:
                pass
        self._news.set()

    def _open(self, number: int) -> Connection:
        def emit(event: EngineEvent) -> None:
            if isinstance(event, FrameReceived):
                # Its link knows nothing of what a test sends: that is not acknowledged to it.
                said = [f for f in frames.parse(event.data) if not isinstance(f, frames.Ack)]
                event = FrameReceived(event.channel, frames.datagram(*said))
            if self._driver is not None:
                self._driver.feed(FromEngine(number, event))

        return self.engine.open(ConnectionConfig(), emit)

    def _close(self, connection: Connection) -> None:
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def offer(self) -> Description:
        """Return an offer of the engine's, with nobody behind it."""
        made: asyncio.Future[Description] = asyncio.get_running_loop().create_future()

        def emit(event: EngineEvent) -> None:
            if isinstance(event, OperationDone) and event.description is not None:
                made.set_result(event.description)

        self.engine.open(ConnectionConfig(), emit).perform(MakeOffer())
        return await made

    async def leave(self) -> None:
        """Vanish."""
        if self._driver is not None:
            self._driver.close()
        await self.engine.close()
        self.client.close()
        await self.client.closed()


def identity(*, polite: bool, to: str) -> Identity:
    """Return an identity that is polite to that of the id, or is not."""
    while True:
        found = Identity.generate()
        if (found.id < to) == polite:
            return found


@asynccontextmanager
async def rogue(url: str, room: str, victim: str, *, polite: bool) -> AsyncIterator[Rogue]:
    """Let a rogue into a room, polite to its victim or not; it vanishes in the end."""
    found = Rogue(url, room, identity(polite=polite, to=victim), victim)
    found.client.open()
    try:
        await found.until(lambda: victim in found.met)
        yield found
    finally:
        await found.leave()
