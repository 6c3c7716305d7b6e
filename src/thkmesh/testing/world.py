"""A whole world from one seed: hosts, their network, and a signaling server.

::

    def test_a_message_survives_an_outage() -> None:
        world = World(seed=7, delay=0.1, loss=0.05)

        async def main() -> None:
            ada = await world.join("ada", room="lobby")
            bob = await world.join("bob", room="lobby")
            await world.linked(ada, bob)
            heard = world.watch("bob", bob)
            world.partition("ada", "bob")
            await ada.send("hello")
            await asyncio.sleep(8)
            world.heal()
            await asyncio.sleep(8)
            assert heard.said_by(ada.me) == ["hello"]

        world.run(main())

Time is virtual, so it costs nothing to wait; chance comes from the seed, so what
went wrong once goes wrong again. ``trace_digest`` sums up all that happened.

What can go wrong: ``partition`` and ``heal``, ``kill_path``, ``kill`` a process,
``stall`` or ``suspend`` it, ``restart_server``, ``jump_clock``; an application that
reads slowly, or never (``watch``); and whatever ``network`` (conditions of each path)
and ``server`` (its WebSockets, and what they say) offer beside that.

Each host runs one *process* at a time. What is scheduled in its context (see
``spawn``) belongs to it and can be suspended, stalled, or killed with it.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar

from thkmesh.core.engine import ConnectionConfig
from thkmesh.core.session import Session
from thkmesh.engines.simulated import Behaviour, SimulatedEngine
from thkmesh.engines.simulated_network import Conditions, SimulatedNetwork
from thkmesh.events import LinkState
from thkmesh.host import InlineHost, Mind
from thkmesh.keys import Identity
from thkmesh.peer import Peer
from thkmesh.room import Room
from thkmesh.server import AccessSettings, RoomService, ServerSettings
from thkmesh.server.clock import today
from thkmesh.settings import RoomSettings
from thkmesh.signaling.transport import Transport
from thkmesh.testing.clock import Step, VirtualLoop, present, process
from thkmesh.testing.network import SERVER, SignalingServer
from thkmesh.testing.notary import KnownIdentity, Notary
from thkmesh.testing.witness import Witness

__all__ = ["World"]

_LINES = 20_000

_GENESIS = datetime(2000, 1, 1, tzinfo=UTC)
"""What every clock on a wall says when the world begins."""

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
        reorder: float = 0.0,
        disconnect_every: float | None = None,
        behaviour: Behaviour | None = None,
        settings: ServerSettings | None = None,
        access: AccessSettings | None = None,
        mind: Mind = Session,
    ) -> None:
        """Make a world; nothing happens before ``run``.

        Args:
            seed: of all its chance.
            delay: seconds a packet travels at least, between any two hosts.
            jitter: up to so many seconds more.
            loss: the probability that a packet is lost.
            rate_bytes: bytes a second that a connection can send.
            reorder: the probability that a packet is overtaken by others.
            disconnect_every: seconds after which a WebSocket breaks on average;
                None means never.
            behaviour: of every WebRTC engine; None means a good one.
            settings: of the signaling server; None means the defaults.
            access: who may do what there; None means everything but to kick, for
                everybody. It goes by this world's clock, unless it has another.
            mind: makes the machine of every session; one that watches itself, say.
        """
        self.seed = seed
        self._notary = Notary()
        self.network = SimulatedNetwork(
            seed, Conditions(delay, jitter, loss, rate_bytes, reorder), trace=self.trace
        )
        access = access or AccessSettings()
        if access.today is today:
            access = replace(access, today=lambda: self.wall_clock(SERVER).timestamp())
        self.server = SignalingServer(
            self.network,
            lambda: RoomService(
                settings, access=access, entropy=self.entropy, verify=self._notary.verify
            ),
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
        self._cuts: set[tuple[str, str]] = set()
        self._clocks: dict[str, timedelta] = {}
        self._inlines: dict[str, list[InlineHost]] = {}

    def run(self, main: Coroutine[Any, Any, _T], *, limit: float = 3600.0) -> _T:
        """Start the server, run ``main`` on virtual time, and return its result.

        Args:
            main: what happens; what it leaves running is cancelled.
            limit: virtual seconds it may take.

        Raises:
            Stuck: it comes to no end, or not within ``limit`` seconds.
            ExceptionGroup: ``main`` succeeded, but something else did not.
        """
        with self.steps(limit=limit) as step:
            return step(main)

    @contextmanager
    def steps(self, *, limit: float = 3600.0) -> Generator[Step]:
        """Give what runs one coroutine after the other, for tests that are none themselves.

        Between two of them time stands still. Raises what ``run`` raises.
        """
        assert self._loop is None, "a world runs once"
        self._loop = VirtualLoop()

        async def begin() -> None:
            self.server.start()

        try:
            with self._loop.steps(limit=limit) as step:
                step(begin())
                yield step
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
        sid = self.entropy(8).hex()
        settings = RoomSettings(
            url=self.url,
            room=room,
            name=name,
            identity=identity or self.identity(name),
            sid=sid,
            relay_seed=hashlib.sha256(sid.encode()).digest(),
            **options,
        )
        return await self.spawn(host, self._enter(host, settings))

    async def _enter(self, host: str, settings: RoomSettings) -> Room:
        life = self._process(host)
        inline = InlineHost(
            self.engine(host), self.dice("session").random, self._mind, lambda: present() == life
        )
        self._inlines.setdefault(host, []).append(inline)
        room = Room(settings, inline, self.transport(host))
        await room.enter()
        return room

    async def linked(self, *rooms: Room) -> None:
        """Wait until each of these, in one room, is linked with all the others."""
        while not all(  # noqa: ASYNC110 - what it looks at is no event
            _is_linked(room, other.me) for room in rooms for other in rooms
        ):
            await asyncio.sleep(0.05)

    def watch(self, host: str, room: Room, *, pause: float = 0.0) -> Witness:
        """Read a room as an application on its host does, and remember all of it.

        Args:
            host: where the room was joined.
            room: which one.
            pause: seconds that the application takes for each event. One that never
                reads is one that is not made: without this, nothing reads a room.
        """
        witness = Witness(room, pause)
        self.spawn(host, witness.read())
        return witness

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

    def configs(self, host: str) -> list[ConnectionConfig]:
        """Return by what each connection of a host gathers candidates, the oldest first."""
        engines = [engine for engine in self._engines if engine.host == host]
        return [config for engine in engines for config in engine.configs]

    def transport(self, host: str) -> Transport:
        """Return what opens WebSockets from a host, in its present process."""
        return self.server.transport(host, self.context(host))

    def identity(self, name: str) -> Identity:
        """Return the identity of that name: the same for a seed, whenever it is asked for."""
        seed = Random(f"{self.seed}/{name}").randbytes(32)  # noqa: S311 - the point
        return KnownIdentity(seed, self._notary)

    def entropy(self, size: int) -> bytes:
        """Return that many bytes, random but for the seed."""
        return self._entropy.randbytes(size)

    def dice(self, name: str) -> Random:
        """Return seeded dice of their own; for a name, each call returns others."""
        return self.network.dice(name)

    # --- what goes wrong: the network ---

    def partition(self, host: str, other: str | None = None) -> None:
        """Let no packet pass between two hosts; the server is one, called ``server``.

        ``other`` None means all, so that the host is alone.
        """
        if other is None:
            self.network.detach(host)
        else:
            self._cuts.add((host, other))
            self.network.partition(host, other)

    def heal(self, host: str | None = None, other: str | None = None) -> None:
        """Undo ``partition``: of two hosts, of one that was alone, or whatever there is."""
        if host is None:
            for cut in sorted(self._cuts):
                self.network.heal(*cut)
            self._cuts.clear()
            self.network.attach_all()
        elif other is None:
            self.network.attach(host)
        else:
            self._cuts -= {(host, other), (other, host)}
            self.network.heal(host, other)

    def kill_path(self, host: str, other: str, *, silently: bool = True) -> None:
        """End the connections between two hosts, with all that is under way on them.

        Silently, as when a NAT forgets them: packets do not arrive any more, and each
        end finds out for itself. Else both see at once that they have failed.
        """
        if silently:
            self.network.move(host, other)
        else:
            self.network.tear(host, other)

    def restart_server(self, downtime: float = 1.0) -> None:
        """Kill the server now; so many seconds later another begins, and knows nobody."""
        self.kill(SERVER)
        self.loop.call_later(downtime, self._start_server, context=Context())

    def _start_server(self) -> None:
        if self.server.service is None:
            self.server.start()

    # --- what goes wrong: clocks ---

    def wall_clock(self, host: str) -> datetime:
        """Return what the clock on a host's wall says: UTC, right or wrong.

        What is measured with the loop's clock does not depend on it.
        """
        return _GENESIS + timedelta(seconds=self.time) + self._clocks.get(host, timedelta())

    def jump_clock(self, host: str, seconds: float) -> None:
        """Put a host's wall clock forward, or back."""
        self.trace(f"{host} clock jumps {seconds}")
        self._clocks[host] = self._clocks.get(host, timedelta()) + timedelta(seconds=seconds)

    # --- what goes wrong: processes ---

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

    def change_network(self, host: str) -> None:
        """Tell a host's present process that its network has changed, as its system would.

        That is all it does: what has changed is up to ``network``.
        """
        self.trace(f"{host} is told of another network")
        for inline in self._inlines.get(host, ()):
            self.loop.call_soon(inline.network_changed, context=self.context(host).copy())

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
        self._inlines.pop(host, None)

    def _process(self, host: str) -> str:
        """Return the name of a host's present process."""
        return f"{host}/{self._lives.get(host, 0)}"

    # --- what happened ---

    def trace(self, what: str) -> None:
        """Add a line to the trace."""
        line = f"{self.time!r} {what}"
        self.lines.append(line)
        self._digest.update(f"{line}\n".encode())

    def trace_digest(self) -> str:
        """Return what differs if anything happened otherwise, or at another time."""
        return self._digest.hexdigest()

    @property
    def illegal(self) -> list[str]:
        """What engines were asked for in the wrong signaling state: bugs of ours."""
        return [line for engine in self._engines for line in engine.illegal]


def _is_linked(room: Room, to: Peer) -> bool:
    if to == room.me:
        return True
    view = room.link(to)
    return view is not None and view.state is LinkState.CONNECTED
