"""A whole world from one seed: hosts, their network, and a signaling server.

::

    def test_a_message_survives_an_outage() -> None:
        world = World(seed=7, delay=0.1, loss=0.05)

        async def main() -> None:
            ada = await world.join("ada", room="lobby")
            bob = await world.join("bob", room="lobby")
            world.network.partition("ada", "bob")
            await ada.send("hello")
            await asyncio.sleep(8)
            world.network.heal("ada", "bob")
            async for event in bob:
                ...

        world.run(main())

Time is virtual, so it costs nothing to wait; chance comes from the seed, so what
went wrong once goes wrong again. ``trace_digest`` sums up all that happened.

Each host runs one *process* at a time. What is scheduled in its context (see
``spawn``) belongs to it and can be suspended, stalled, or killed with it.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from random import Random
from typing import Any, TypeVar

from thkmesh.core.session import Session
from thkmesh.engines.simulated import Behaviour, SimulatedEngine
from thkmesh.engines.simulated_network import Conditions, SimulatedNetwork
from thkmesh.host import InlineHost, Mind
from thkmesh.keys import Identity
from thkmesh.room import Room
from thkmesh.server import RoomService, ServerSettings
from thkmesh.settings import RoomSettings
from thkmesh.signaling.transport import Transport
from thkmesh.testing.clock import VirtualLoop, present, process
from thkmesh.testing.network import SERVER, SignalingServer

__all__ = ["World"]

_LINES = 20_000
_T = TypeVar("_T")


class World:
    """Everything a room needs, simulated; runs once."""

    def __init__(
        self,
        seed: int | str = 0,
        *,
        delay: float = 0.02,
        jitter: float = 0.005,
        loss: float = 0.0,
        rate_bytes: float = 12_500_000.0,
        disconnect_every: float | None = None,
        behaviour: Behaviour | None = None,
        settings: ServerSettings | None = None,
        mind: Mind = Session,
    ) -> None:
        """Make a world; nothing happens before ``run``.

        Args:
            seed: of all its chance.
            delay: seconds a packet travels at least, between any two hosts.
            jitter: up to so many seconds more.
            loss: the probability that a packet is lost.
            rate_bytes: bytes a second that a connection can send.
            disconnect_every: seconds after which a WebSocket breaks on average;
                None means never.
            behaviour: of every WebRTC engine; None means a good one.
            settings: of the signaling server; None means the defaults.
            mind: makes the machine of every session; one that watches itself, say.
        """
        self.seed = seed
        self.network = SimulatedNetwork(
            seed, Conditions(delay, jitter, loss, rate_bytes), trace=self.trace
        )
        self.server = SignalingServer(
            self.network,
            lambda: RoomService(settings, entropy=self.entropy),
            context=lambda: self.context(SERVER),
            disconnect_every=disconnect_every,
        )
        self.lines: deque[str] = deque(maxlen=_LINES)
        """The end of the trace: when, and what."""
        self._digest = hashlib.sha256()
        self._entropy = self.dice("entropy")
        self._behaviour = behaviour
        self._mind = mind
        self._loop: VirtualLoop | None = None
        self._contexts: dict[str, Context] = {}
        self._lives: dict[str, int] = {}
        self._engines: list[SimulatedEngine] = []

    def run(self, main: Coroutine[Any, Any, _T], *, limit: float = 3600.0) -> _T:
        """Start the server, run ``main`` on virtual time, and return its result.

        Raises:
            Stuck: it comes to no end, or not within ``limit`` seconds.
            ExceptionGroup: ``main`` succeeded, but something else did not.
        """
        assert self._loop is None, "a world runs once"
        self._loop = VirtualLoop()

        async def live() -> _T:
            self.server.start()
            return await main

        try:
            return self._loop.run(live(), limit=limit)
        except BaseException as error:
            error.add_note(f"in World({self.seed!r}) after {self.time} s")
            raise

    # --- what there is to work with ---

    @property
    def loop(self) -> VirtualLoop:
        """The loop, from ``run`` on."""
        assert self._loop is not None, "not before run"
        return self._loop

    @property
    def time(self) -> float:
        """Seconds since the world began."""
        return 0.0 if self._loop is None else self._loop.time()

    @property
    def url(self) -> str:
        """Where the server is, as far as anybody asks."""
        return f"http://{SERVER}"

    async def join(
        self,
        host: str,
        *,
        room: str,
        name: str | None = None,
        identity: Identity | None = None,
        **options: Any,  # noqa: ANN401 - each has the type that RoomSettings gives it
    ) -> Room:
        """Let a host's present process join a room.

        Args:
            host: where it is.
            room: which one.
            name: None means that of the host.
            identity: None means ``identity(name)``, so that whoever comes back
                under a name is the same peer, in another session.
            options: what else ``thkmesh.join`` takes.

        Raises:
            JoinError: see ``thkmesh.join``.
        """
        name = host if name is None else name
        settings = RoomSettings(
            url=self.url,
            room=room,
            name=name,
            identity=identity or self.identity(name),
            sid=self.entropy(8).hex(),
            **options,
        )
        return await self.spawn(host, self._enter(host, settings))

    async def _enter(self, host: str, settings: RoomSettings) -> Room:
        life = self._process(host)
        inline = InlineHost(
            self.engine(host), self.dice("session").random, self._mind, lambda: present() == life
        )
        room = Room(settings, inline, self.transport(host))
        await room.enter()
        return room

    def engine(self, host: str, behaviour: Behaviour | None = None) -> SimulatedEngine:
        """Return a new WebRTC engine on a host, of its present process."""
        engine = SimulatedEngine(
            self.network,
            host,
            behaviour=behaviour or self._behaviour,
            context=self.context(host),
        )
        self._engines.append(engine)
        return engine

    def transport(self, host: str) -> Transport:
        """Return what opens WebSockets from a host, in its present process."""
        return self.server.transport(host, self.context(host))

    def identity(self, name: str) -> Identity:
        """Return the identity of that name: the same for a seed, whenever it is asked for."""
        return Identity.from_seed(Random(f"{self.seed}/{name}").randbytes(32))  # noqa: S311

    def entropy(self, size: int) -> bytes:
        """Return that many bytes, random but for the seed."""
        return self._entropy.randbytes(size)

    def dice(self, name: str) -> Random:
        """Return seeded dice of their own; for a name, each call returns others."""
        return self.network.dice(name)

    # --- processes ---

    def context(self, host: str) -> Context:
        """Return the context of the present process of a host."""
        if host not in self._contexts:
            self._contexts[host] = process(self._process(host))
        return self._contexts[host]

    def spawn(
        self, host: str, work: Coroutine[Any, Any, _T], *, name: str | None = None
    ) -> "asyncio.Task[_T]":
        """Run a coroutine as part of a host's present process."""
        return self.loop.create_task(work, name=name, context=self.context(host).copy())

    def stall(self, host: str, duration: float) -> None:
        """Stop a host's Python code, as C code does that holds the interpreter.

        Its engine goes on receiving; what it has to say is heard afterwards.
        """
        life = self._process(host)
        self.trace(f"{host} stalls")
        self.loop.hold(life)
        self.loop.call_later(duration, self._go_on, host, life, context=Context())

    def _go_on(self, host: str, life: str) -> None:
        if life == self._process(host):
            self.trace(f"{host} goes on")
            self.loop.release(life)

    def suspend(self, host: str, duration: float) -> None:
        """Stop a host altogether, as a closed lid does, or SIGSTOP."""
        self.network.detach(host)
        # Attached before it goes on: what it then finds is a network that works.
        self.loop.call_later(duration, self.network.attach, host, context=Context())
        self.stall(host, duration)

    def kill(self, host: str) -> None:
        """End a host's process at once, as SIGKILL does.

        The system closes its WebSockets; its WebRTC peers hear nothing more. What
        runs on the host from now on (``engine``, ``spawn`` ...) is a new process.
        For a power cut, ``network.detach`` the host first.
        """
        self.trace(f"{host} is killed")
        self.loop.hold(self._process(host))
        for engine in self._engines:
            if engine.host == host:
                engine.vanish()
        if host == SERVER:
            self.server.kill()
        else:
            self.server.disconnect(host)
        self._lives[host] = self._lives.get(host, 0) + 1
        self._contexts.pop(host, None)

    def _process(self, host: str) -> str:
        """Return the name of a host's present process."""
        return f"{host}/{self._lives.get(host, 0)}"

    # --- what happened ---

    def trace(self, what: str) -> None:
        """Add a line to the trace."""
        line = f"{self.time!r} {what}"
        self.lines.append(line)
        self._digest.update(line.encode())
        self._digest.update(b"\n")

    def trace_digest(self) -> str:
        """Return what differs if anything happened otherwise, or at another time."""
        return self._digest.hexdigest()

    @property
    def illegal(self) -> list[str]:
        """What engines were asked for in the wrong signaling state: bugs of ours."""
        return [line for engine in self._engines for line in engine.illegal]
