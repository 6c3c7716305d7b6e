"""How wrtc stands to processes, networks and loops."""

import asyncio
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.engines.world import lab
from thkmesh.core.engine import (
    END_OF_CANDIDATES,
    CandidateFound,
    ConnectionConfig,
    IceServer,
    MakeOffer,
)
from thkmesh.engines.wrtc import WrtcEngine
from thkmesh.errors import EngineError, WrongContext


def run(program: str, *command: str) -> str:
    """Run a program in a fresh interpreter; return what it printed."""
    done = subprocess.run(
        [*command, sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- fork ---------------------------------------------------------------------------

FORK = """
    import asyncio, os, select, signal
    from tests.engines.bare import bare
    from thkmesh.core.engine import ConnectionConfig, MakeOffer
    from thkmesh.engines.wrtc import WrtcEngine
    from thkmesh.errors import WrongContext

    async def start():
        pc, _ = bare()
        engine = WrtcEngine()
        return pc, engine, engine.open(ConnectionConfig(), lambda event: None)

    async def guarded():
        for use in (
            WrtcEngine,
            lambda: engine.open(ConnectionConfig(), lambda event: None),
            lambda: connection.perform(MakeOffer()),
            lambda: connection.send(0, b""),
            lambda: connection.buffered_bytes(0),
        ):
            try:
                use()
            except WrongContext:
                os.write(answer, b"refused ")
        for use in (connection.stats, connection.close, engine.close):
            try:
                await use()
            except WrongContext:
                os.write(answer, b"refused ")

    loop = asyncio.new_event_loop()
    pc, engine, connection = loop.run_until_complete(start())
    question, answer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(answer, b"alive ")
        {child}
        os.write(answer, b"end")
        os._exit(0)
    os.close(answer)
    heard = b""
    while select.select([question], [], [], {patience})[0] and (some := os.read(question, 999)):
        heard += some
    print(heard.decode(), flush=True)
    os.kill(child, signal.SIGKILL)
    loop.run_until_complete(engine.close())
    pc.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_bare_package_hangs_after_fork() -> None:
    """A child of fork that closes what it inherited never comes back."""
    assert run(FORK.format(child="pc.close()", patience=1)) == "alive"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_fork_every_use_is_refused_with_a_clear_error() -> None:
    """In a child of fork all calls raise WrongContext, and none hangs."""
    heard = run(FORK.format(child="asyncio.run(guarded())", patience=20))
    assert heard == "alive " + "refused " * 8 + "end"


# --- addresses ----------------------------------------------------------------------


async def test_relay_only_shows_no_address_of_ours() -> None:
    """Without a TURN server there is then no candidate at all."""
    async with lab(WrtcEngine) as found:
        end = found.end(ConnectionConfig(relay_only=True))
        await end.describe(MakeOffer())
        await end.until(lambda: bool(end.candidates))
        texts = {event.candidate.candidate for event in end.of(CandidateFound)}
        assert texts == {END_OF_CANDIDATES}


ALONE = """
    import asyncio
    from tests.engines.remote import remote
    from tests.engines.world import lab
    from thkmesh.core.engine import CONTROL, MakeOffer
    from thkmesh.engines.wrtc import WrtcEngine

    async def main():
        async with lab(lambda: WrtcEngine({arguments})) as found:
            if {arguments!r}:
                end = found.end()
                await end.describe(MakeOffer())
                await end.until(lambda: any(not c.candidate.candidate for _, c in end.candidates))
                print(len(end.candidates))
                return
            async with remote(found.engine()) as (end, process):
                end.send(CONTROL, b"hello")
                print(await end.received(CONTROL, 1))

    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("arguments", "heard"),
    [pytest.param("loopback=False", "1", id="danger"), pytest.param("", "[b'hello']", id="guard")],
)
def test_two_processes_meet_on_a_computer_without_network(arguments: str, heard: str) -> None:
    """With loopback as the only interface, libwebrtc finds no address unless told to take it."""
    alone = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: this account may not make network namespaces")
    assert run(ALONE.format(arguments=arguments), *alone) == heard


# --- contexts -----------------------------------------------------------------------


def test_an_engine_needs_its_running_loop() -> None:
    """Made or used outside a loop, or used on another, it says so."""
    with pytest.raises(WrongContext):
        WrtcEngine()

    async def make() -> WrtcEngine:
        return WrtcEngine()

    async def use(engine: WrtcEngine) -> None:
        with pytest.raises(WrongContext):
            engine.open(ConnectionConfig(), lambda _: None)

    engine = asyncio.run(make())
    asyncio.run(use(engine))
    with pytest.raises(WrongContext):
        engine.open(ConnectionConfig(), lambda _: None)


async def test_unusable_ice_servers_are_an_engine_error() -> None:
    """The text says what is wrong with the server."""
    engine = WrtcEngine()
    with pytest.raises(EngineError, match="nonsense"):
        engine.open(ConnectionConfig((IceServer(("nonsense",)),)), lambda _: None)
    await engine.close()


def test_loopback_cannot_be_allowed_too_late() -> None:
    """What the first connection of a process was made with holds for the process."""
    program = """
        import asyncio
        from thkmesh.core.engine import ConnectionConfig
        from thkmesh.engines.wrtc import WrtcEngine
        from thkmesh.errors import EngineError

        async def main():
            engine = WrtcEngine(loopback=False)
            engine.open(ConnectionConfig(), lambda event: None)
            try:
                WrtcEngine(loopback=True)
            except EngineError as error:
                print(error)
            await engine.close()

        asyncio.run(main())
    """
    assert "too late" in run(program)


# --- field trials -------------------------------------------------------------------

HURRIED = """
    import asyncio
    from tests.engines.remote import remote
    from tests.engines.world import lab
    from thkmesh.core.engine import CONTROL
    from thkmesh.engines import load
    from thkmesh.errors import EngineError

    async def main():
        for name in {names}:
            try:
                async with lab(lambda: load(name)) as found:
                    async with remote(found.engine()) as (end, process):
                        end.send(CONTROL, b"hello")
                        print(await end.received(CONTROL, 1))
            except EngineError as error:
                print(error)

    asyncio.run(main())
"""


def test_who_has_connected_cannot_be_hurried_any_more() -> None:
    """What shortens connecting is chosen before the first connection, or not at all."""
    first, second = run(HURRIED.format(names=["wrtc-warp", "wrtc-warp"])).splitlines()
    assert first == second == "[b'hello']"
    first, second = run(HURRIED.format(names=["wrtc", "wrtc-warp"])).splitlines()
    assert first == "[b'hello']"
    assert "too late" in second
