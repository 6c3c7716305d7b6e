"""One network of ``benchmarks.recovery``: two hosts, all contestants on both, and one outage.

::

    near ──cable── internet ──cable── far        each host: Chromium, with a page for each
                   servers, nft                  contestant; and a Python process
"""

import asyncio
import json
import random
import secrets
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeAlias

from playwright.async_api import Browser, Page, Playwright, async_playwright

from benchmarks.recovery_actors import serve_all, talk_in_rooms
from benchmarks.recovery_outages import Outage
from benchmarks.stage import Cue, Stage
from tests.browser.chromium import ARGUMENTS, program
from tests.faults.lab import INTERNET, Host, Lab
from tests.faults.lab import opened as lab_opened
from thkmesh.server.serve import new_event_loop

__all__ = [
    "BOUND",
    "Contestant",
    "Lane",
    "Outcome",
    "judge",
    "opened",
]

BOUND = 60.0
"""Seconds from the loss after which a contestant has not recovered."""

_WEB = Path(__file__).parent / "web"
_PATIENCE = 30.0
_WARM = (2.5, 4.5)
"""Seconds of talk before the loss, so that it meets no contestant's timers always alike."""

_LOOK_INTERVAL = 0.2
_SETTLE = 10.0
"""Seconds after all have recovered in which what is late may still come, before it is lost."""

Memory: TypeAlias = Mapping[str, Any]
"""What one end remembers; see ``web/recovery-page.js``."""


# ---- who takes part ----------------------------------------------------------


class End(Protocol):
    """One end of a contestant."""

    async def ask(self, what: str, *given: object) -> Any:  # noqa: ANN401 - see recovery_actors
        """Have it call one of its functions; return what that returns."""


class _PageEnd:
    def __init__(self, page: Page) -> None:
        self._page = page

    async def ask(self, what: str, *given: object) -> Any:  # noqa: ANN401 - as above
        return await self._page.evaluate(f"{what}({','.join(map(json.dumps, given))})")


class _ProcessEnd:
    def __init__(self, cue: Cue) -> None:
        self._cue = cue

    async def ask(self, what: str, *given: object) -> Any:  # noqa: ANN401 - as above
        return await asyncio.to_thread(self._cue.ask, (what, *given))


@dataclass(frozen=True, slots=True)
class Contestant:
    """Two ends of one kind; the first calls."""

    first: End
    second: End

    async def both(self, what: str) -> Sequence[Any]:
        """Have both call one of their functions."""
        return await asyncio.gather(self.first.ask(what), self.second.ask(what))

    async def meet(self) -> None:
        """Begin anew, with a connection."""
        name = f"r{secrets.token_hex(8)}"
        await self.both("forget")
        await self.second.ask("prepare", name, False)  # noqa: FBT003 - it calls nobody
        await self.first.ask("prepare", name, True)  # noqa: FBT003 - it calls
        await self.both("connect")

    async def recovered(self, since_ms: float) -> bool:
        """Tell whether each has heard what the other has said since."""
        ends = (self.first, self.second)
        return None not in [await end.ask("recovered", since_ms) for end in ends]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one contestant in one outage; seconds count from the loss.

    Attributes:
        recovered: when both had heard what the other said after it; None if never.
        closed: when the library first told an application that the connection is over.
        back: when the network was there again.
        said: how many messages were said until it had recovered, or the time was up.
        lost: how many of them never arrived.
        doubled: how many messages came twice.
        how: what carried the first message: the "same" connection, after a "restart" of its
            ICE, or one that "replaced" it; the "relay"; or one that the application made
            when it was told that the connection was over, "called again".
    """

    recovered: float | None
    closed: float | None
    back: float
    said: int
    lost: int
    doubled: int
    how: str


def judge(ends: Sequence[Memory], lost_ms: float, back_ms: float, end_ms: float) -> Outcome:
    """Return what became of a contestant.

    Args:
        ends: what its two ends remember.
        lost_ms: when the path was lost; all times are those of one clock.
        back_ms: when the network was back.
        end_ms: when nobody waited any longer.
    """
    arrived = [next((came for _, at, came in end["heard"] if at >= lost_ms), None) for end in ends]
    recovered = None if None in arrived else max(filter(None, arrived))
    until = end_ms if recovered is None else recovered
    closings = [at for end in ends for at in end["closings"] if at >= lost_ms]
    said = lost = doubled = 0
    for sayer, hearer in (ends, reversed(ends)):
        heard = [number for number, _, _ in hearer["heard"]]
        known = set(heard)
        doubled += len(heard) - len(known)
        for number, at in enumerate(sayer["said"]):
            if lost_ms <= at <= until:
                said += 1
                lost += number not in known
    return Outcome(
        recovered=None if recovered is None else (recovered - lost_ms) / 1000,
        closed=(min(closings) - lost_ms) / 1000 if closings else None,
        back=(back_ms - lost_ms) / 1000,
        said=said,
        lost=lost,
        doubled=doubled,
        how=_how(ends, until) if not closings or min(closings) > until else "called again",
    )


def _how(ends: Sequence[Memory], at_ms: float) -> str:
    for end in ends:
        relayed = [by_relay for since, by_relay in end["relays"] if since <= at_ms]
        if relayed and relayed[-1]:
            return "relay"
    made, restarts = (
        [sum(when <= at_ms for when in end[of]) for end in ends] for of in ("made", "restarts")
    )
    if max(made) > 1:
        return "replaced"
    return "restart" if any(restarts) else "same"


# ---- rounds ------------------------------------------------------------------


class Lane:
    """A network with an outage, and who takes part; use ``opened``."""

    def __init__(
        self, outage: Outage, contestants: Mapping[str, Contestant], chromium: str
    ) -> None:
        """Take what is ready."""
        self.chromium = chromium
        """Its version."""
        self._outage = outage
        self._contestants = contestants

    async def round(
        self, bounds: Mapping[str, float], warm: tuple[float, float] = _WARM
    ) -> dict[str, Outcome]:
        """Let all meet and talk, lose the path, and see who recovers.

        Args:
            bounds: how many seconds each is waited for.
            warm: for how many seconds they talk before the loss, at least and at most.
        """
        contestants = list(self._contestants.values())
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*(each.meet() for each in contestants))
        await asyncio.gather(*(each.both("talk") for each in contestants))
        await asyncio.sleep(random.uniform(*warm))
        self._outage.lose()
        lost = back = time.time()
        if self._outage.seconds:
            await asyncio.sleep(self._outage.seconds)
            self._outage.restore()
            back = time.time()
        await asyncio.gather(
            *(
                self._until_recovered(each, lost, lost + bounds[name])
                for name, each in self._contestants.items()
            )
        )
        end = time.time()
        await asyncio.gather(*(each.both("hush") for each in contestants))
        times = (1000 * lost, 1000 * back, 1000 * end)
        outcomes = await asyncio.gather(*(self._outcome(each, times) for each in contestants))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*(each.both("end") for each in contestants))
        if not self._outage.seconds:
            self._outage.restore()
        return dict(zip(self._contestants, outcomes, strict=True))

    @staticmethod
    async def _outcome(contestant: Contestant, times: tuple[float, float, float]) -> Outcome:
        """Return what became of a contestant, once all has arrived that will."""
        until = time.time() + _SETTLE
        while True:
            outcome = judge(await contestant.both("recall"), *times)
            if outcome.recovered is None or not outcome.lost or time.time() >= until:
                return outcome
            await asyncio.sleep(_LOOK_INTERVAL)

    @property
    def names(self) -> Sequence[str]:
        """Who takes part."""
        return list(self._contestants)

    @staticmethod
    async def _until_recovered(contestant: Contestant, lost: float, end: float) -> None:
        while time.time() < end and not await contestant.recovered(1000 * lost):  # noqa: ASYNC110 - pages tell when asked
            await asyncio.sleep(_LOOK_INTERVAL)


@asynccontextmanager
async def opened(outage: type[Outage], *, browsers: bool = True) -> AsyncIterator[Lane]:
    """Have a lane; whatever it starts has ended when it is left.

    Args:
        outage: what happens there.
        browsers: have pages, too, and not only processes.
    """
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(lab_opened())
        hosts = lab.wired(), lab.wired()
        stage = stack.enter_context(Stage())
        serving = stage.cast(serve_all, INTERNET, lab.internet.path, loop_factory=new_event_loop)
        url: str = await asyncio.to_thread(serving.answer)
        contestants: dict[str, Contestant] = {}
        for relay in (True, False) if outage.mends else (True,):
            talking = [stage.cast(talk_in_rooms, host.namespace.path, url, relay) for host in hosts]
            name = f"THKMesh, Python{'' if relay else _NO_RELAY}"
            contestants[name] = Contestant(*map(_ProcessEnd, talking))
        version = ""
        if browsers:
            port = await stack.enter_async_context(_peerjs_server(lab))
            playwright = await stack.enter_async_context(async_playwright())
            chromiums = [
                await stack.enter_async_context(_chromium(playwright, host, url)) for host in hosts
            ]
            version = chromiums[0].version
            told = {"host": INTERNET, "port": port}
            for name, scripts in _PAGES.items():
                if outage.mends or not name.endswith(_NO_RELAY):
                    told["relay"] = not name.endswith(_NO_RELAY)
                    pages = [await _page(chromium, url, told, scripts) for chromium in chromiums]
                    contestants[name] = Contestant(*map(_PageEnd, pages))
        yield Lane(outage(lab, hosts[0]), contestants, version)


_NO_RELAY = ", no relay"
_PAGES = {
    "THKMesh": ("recovery-thkmesh.js",),
    f"THKMesh{_NO_RELAY}": ("recovery-thkmesh.js",),
    "PeerJS": ("node_modules/peerjs/dist/peerjs.min.js", "recovery-peerjs.js"),
    "simple-peer": ("node_modules/simple-peer/simplepeer.min.js", "recovery-simple-peer.js"),
}


async def _page(
    chromium: Browser, url: str, told: Mapping[str, object], scripts: Sequence[str]
) -> Page:
    page = await (await chromium.new_context()).new_page()
    await page.goto(f"{url}/thkmesh/index.js")
    await page.evaluate(f"globalThis.told = {json.dumps(told)}")
    for script in ("recovery-page.js", *scripts):
        await page.add_script_tag(path=_WEB / script)
    return page


@asynccontextmanager
async def _chromium(playwright: Playwright, host: Host, url: str) -> AsyncIterator[Browser]:
    """Have Chromium on a host, with pages that tell their address without STUN.

    Chromium hides it behind a name of mDNS, which does not reach beyond one network.
    """
    with TemporaryDirectory() as folder:
        start = Path(folder) / "chromium"
        command = " ".join((*host.namespace.prefix, program()))
        start.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        start.chmod(0o700)
        chromium = await playwright.chromium.launch(
            executable_path=start,
            args=[
                *ARGUMENTS,
                f"--unsafely-treat-insecure-origin-as-secure={url}",
                "--disable-features=HttpsUpgrades,WebRtcHideLocalIpsWithMdns",
            ],
        )
        try:
            yield chromium
        finally:
            await chromium.close()


@asynccontextmanager
async def _peerjs_server(lab: Lab) -> AsyncIterator[int]:
    """Have PeerJS's server in the middle; yield its port."""
    command = (*lab.internet.prefix, "node", str(_WEB / "peerjs-server.js"), INTERNET)
    server = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert server.stdout is not None
    try:
        async with asyncio.timeout(_PATIENCE):
            port = int(await server.stdout.readline())
        yield port
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()
