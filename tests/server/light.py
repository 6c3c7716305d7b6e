"""Clients that are light enough for many in one process, and as stubborn as real ones.

They speak the protocol over raw WebSockets, come back by themselves as ``core.contact`` says,
and number and repeat their signals by ``core.sequencing``, as every client of ours does. What
they leave out is WebRTC, and checking each other's signatures.
"""

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from typing import Self

from tests.server.raw import Closed, RawSocket
from tests.server.world import Client
from thkmesh.core import sequencing, wire
from thkmesh.core.backoff import full_jitter
from thkmesh.core.contact import RETRY_BASE, RETRY_CAP
from thkmesh.core.identity import SessionKey
from thkmesh.core.machine import Tick
from thkmesh.core.sequencing import Sequencer

__all__ = ["LightClient"]

_SIGNATURE = "s" * 86
_SOON = 0.05


class LightClient:
    """One session, which comes back until it is told to leave.

    Attributes:
        key: which session it is.
        others: who else is in the room, as far as it has been told.
        said: how many signals it has sent to each.
        heard: the signals it has been sent by each, in order.
        welcomes: when it was welcomed, whether resumed, and in which epoch.
        closed: how its connections ended: a code, or an error.
        left: sessions that it was told have left.
    """

    def __init__(self, host: str, room: str, dice: random.Random) -> None:
        self.host = host
        self._client = Client("", room=room)
        self.key = self._client.key
        self.others: set[SessionKey] = set()
        self.said: defaultdict[SessionKey, int] = defaultdict(int)
        self.heard: defaultdict[SessionKey, list[int]] = defaultdict(list)
        self.welcomes: list[tuple[float, bool, str]] = []
        self.closed: list[str] = []
        self.left: list[SessionKey] = []
        self.connected = asyncio.Event()
        self._dice = dice
        self._sequencers: dict[SessionKey, Sequencer[int]] = {}
        self._socket: RawSocket | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._stay()), asyncio.create_task(self._repeat())]
        await self.connected.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.cut()

    # --- what it does ---

    def say(self, to: SessionKey) -> None:
        """Send a signal: its number among those to that session."""
        self._feed(to, sequencing.Send(wire.Offer, str(self.said[to])))
        self.said[to] += 1

    async def _stay(self) -> None:
        attempt = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._converse()
            except (OSError, asyncio.IncompleteReadError, AssertionError) as error:
                self.closed.append(repr(error))
            except Closed as closed:
                self.closed.append(str(closed.code))
            self.connected.clear()
            for key in list(self._sequencers):
                self._feed(key, sequencing.Pause())
            attempt = 0 if asyncio.get_running_loop().time() - began > 5 else attempt + 1
            await asyncio.sleep(
                full_jitter(attempt, self._dice.random(), base=RETRY_BASE, cap=RETRY_CAP)
            )

    async def _converse(self) -> None:
        self._socket = socket = await RawSocket.open(self.host)
        try:
            challenge = wire.decode_to_client(await socket.receive())
            assert isinstance(challenge, wire.Challenge)
            socket.send(wire.encode(self._client.hello(challenge.nonce)).encode())
            while True:
                self._hear(wire.decode_to_client(await socket.receive()))
        finally:
            self._socket = None
            socket.cut()

    async def _repeat(self) -> None:
        """Let sequencers do what is due."""
        while True:
            await asyncio.sleep(_SOON)
            now = asyncio.get_running_loop().time()
            for key, sequencer in list(self._sequencers.items()):
                if sequencer.deadline is not None and sequencer.deadline <= now:
                    self._feed(key, Tick())

    # --- what it hears ---

    def _hear(self, message: wire.ToClient) -> None:
        match message:
            case wire.Welcome():
                now = asyncio.get_running_loop().time()
                self.welcomes.append((now, message.resumed, message.epoch))
                self.connected.set()
                self.others = {ready.session for ready in message.peers}
                for key in self.others:
                    self._feed(key, sequencing.Resume())
            case wire.PeerReady():
                self.others.add(message.session)
                self._feed(message.session, sequencing.Resume())
            case wire.PeerLeft():
                self.others.discard(message.session)
                self.left.append(message.session)
            case wire.Offer() | wire.Ack():
                assert message.to == self.key, "a signal for somebody else"
                number = int(message.body or -1)
                received = sequencing.Received(message.seq, message.ack, number)
                self._feed(message.source, received)
            case wire.SignalRefused(reason="unknown-session"):
                self._feed(message.to, sequencing.Pause())
            case _:
                pass

    def _feed(self, key: SessionKey, event: "sequencing.SequencingEvent[int] | Tick") -> None:
        sequencer = self._sequencers.setdefault(key, Sequencer())
        for output in sequencer.handle(event, asyncio.get_running_loop().time()):
            match output:
                case sequencing.Deliver(payload=number):
                    self.heard[key].append(number)
                case sequencing.Transmit():
                    self._transmit(key, output)
                case _:
                    pass

    def _transmit(self, to: SessionKey, signal: sequencing.Transmit) -> None:
        if self._socket is None:
            return
        me = self.key
        envelope = signal.envelope(
            room_id=self._client.room,
            from_user_id=me.id,
            to_user_id=to.id,
            from_sid=me.sid,
            to_sid=to.sid,
            seq=signal.seq,
            ack=signal.ack,
            body=signal.body,
            signature=_SIGNATURE if signal.body else "",
        )
        with suppress(RuntimeError):  # The transport is closing.
            self._socket.send(wire.encode(envelope).encode())
