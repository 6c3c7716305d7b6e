"""Who takes part in ``benchmarks.recovery``, as far as it is Python.

A talker does the same as a page does (``web/recovery-page.js``), under the same names.
"""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import thkmesh
from benchmarks.stage import Cue
from tests.namespaces import enter
from thkmesh.core.engine import ConnectionConfig, MakeOffer, Operation
from thkmesh.engines.wrtc import Emit, WrtcConnection, WrtcEngine
from thkmesh.server.serve import serve

__all__ = ["serve_all", "talk_in_rooms"]

_INTERVAL = 0.1


# ---- the servers -------------------------------------------------------------


async def serve_all(cue: Cue, host: str, where: str) -> None:
    """Be the signaling server of THKMesh, and the least of one for others, ``/signals/name``."""
    enter(where)
    rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)

    async def hand_on(socket: WebSocket) -> None:
        room = rooms[socket.path_params["name"]]
        await socket.accept()
        room.add(socket)
        try:
            async for text in socket.iter_text():
                for other in room - {socket}:
                    with suppress(Exception):  # it has just gone
                        await other.send_text(text)
        finally:
            room.discard(socket)

    def ready(port: int) -> None:
        cue.send(f"http://{host}:{port}")

    routes = [WebSocketRoute("/signals/{name}", hand_on)]
    await serve(host, 0, extra_routes=routes, on_ready=ready)


# ---- a peer ------------------------------------------------------------------


async def talk_in_rooms(cue: Cue, where: str, url: str, relay: bool) -> None:  # noqa: FBT001 - a prop
    """Do what the conductor asks for: the name of a function, and its arguments."""
    enter(where)
    talker = _Talker(url, relay=relay)
    while True:
        what, *given = await cue.receive()
        cue.send(await getattr(talker, what)(*given))


class _Talker:
    """One room at a time; see ``web/recovery-page.js``."""

    def __init__(self, url: str, *, relay: bool) -> None:
        self._url = url
        self._relay = relay
        self._room: thkmesh.Room
        self._linked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._asked = _Asked()
        self._said: list[float] = []
        self._heard: list[tuple[int, float, float]] = []
        self._relays: list[tuple[float, bool]] = []

    async def forget(self) -> None:
        """Begin anew, with nobody."""
        self._linked.clear()
        asked = (self._asked.made, self._asked.restarts)
        for memory in (self._said, self._heard, self._relays, *asked):
            memory.clear()

    async def prepare(self, name: str, _: object) -> None:
        """Join a room."""
        self._room = await thkmesh.join(self._url, room=name, relay=self._relay)
        self._tasks = [asyncio.create_task(self._listen())]

    async def _listen(self) -> None:
        async for event in self._room:
            match event:
                case thkmesh.Message(data={"n": int(n), "at": float(at)}):
                    self._heard.append((n, at, _now_ms()))
                case thkmesh.LinkChanged(state=thkmesh.LinkState.CONNECTED):
                    self._linked.set()
                case thkmesh.PathChanged(path=path):
                    self._relays.append((_now_ms(), path is thkmesh.Path.RELAY))
                case _:
                    pass

    async def connect(self) -> None:
        """Wait for the link."""
        await self._linked.wait()

    async def talk(self) -> None:
        """Say something all the time."""
        self._tasks.append(asyncio.create_task(self._talk()))

    async def _talk(self) -> None:
        while True:
            at = _now_ms()
            message: dict[str, Any] = {"n": len(self._said), "at": at}
            self._said.append(at)
            await self._room.send(message)
            await asyncio.sleep(_INTERVAL)

    async def hush(self) -> None:
        """Talk no more."""
        self._tasks.pop().cancel()

    async def recovered(self, since: float) -> float | None:
        """Return when the first came of what was said from a moment on."""
        return next((heard for _, at, heard in self._heard if at >= since), None)

    async def recall(self) -> dict[str, Any]:
        """Return all that is remembered; no application hears that a link is over."""
        return {
            "said": self._said,
            "heard": self._heard,
            "closings": [],
            "relays": self._relays,
            "made": self._asked.made,
            "restarts": self._asked.restarts,
        }

    async def end(self) -> None:
        """Leave the room."""
        await self._room.leave(patience=0)
        await asyncio.gather(*self._tasks)


def _now_ms() -> float:
    """Return the time of the clock that all processes and pages share."""
    return 1000 * time.time()


class _Asked:
    """What the engine of this process has been asked for; from outside it cannot be seen."""

    def __init__(self) -> None:
        self.made: list[float] = []
        self.restarts: list[float] = []
        perform, open_connection = WrtcConnection.perform, WrtcEngine.open

        def watched_perform(connection: WrtcConnection, operation: Operation) -> None:
            if isinstance(operation, MakeOffer) and operation.ice_restart:
                self.restarts.append(_now_ms())
            perform(connection, operation)

        def watched_open(
            engine: WrtcEngine, config: ConnectionConfig, emit: Emit
        ) -> WrtcConnection:
            self.made.append(_now_ms())
            return open_connection(engine, config, emit)

        WrtcConnection.perform = watched_perform  # type: ignore[assignment,method-assign]  # to count
        WrtcEngine.open = watched_open  # type: ignore[assignment,method-assign]  # as above
