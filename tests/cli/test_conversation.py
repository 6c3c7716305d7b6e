"""``thkmesh chat`` at a terminal."""

import asyncio
import codecs
import contextlib
import fcntl
import os
import signal
import socket
import struct
import sys
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.cli.programs import PATIENCE, Served, environment, present, served, started, stop
from tests.cli.terminal import Terminal
from thkmesh.cli.chat import leave
from thkmesh.testing import World

COLUMNS, ROWS = 72, 30


class Person:
    """Somebody at a terminal of their own."""

    def __init__(self, process: Process, descriptor: int) -> None:
        """Sit down; what the terminal shows is followed from now on."""
        self.process = process
        self.terminal = Terminal(COLUMNS, ROWS)
        self.raw = ""
        self.descriptor = descriptor
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def types(self, keys: str) -> None:
        """Press some keys."""
        os.write(self.descriptor, keys.encode())

    async def sees(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the lines on the screen are as wanted; return them."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition(self.terminal.lines):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError("\n".join(["still:", *self.terminal.lines])) from None
        return self.terminal.lines

    async def reads(self, text: str) -> list[str]:
        """Wait until some line has a text in it."""
        return await self.sees(lambda lines: any(text in line for line in lines))

    async def ended(self) -> int:
        """Return the exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    def _read(self) -> None:
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # on Linux a terminal that nobody has open any more is an error
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self.descriptor)
        text = self._decode(data)
        self.raw += text
        self.terminal.write(text)
        self._changed.set()


def _take_terminal() -> None:
    """Make standard input the terminal that Ctrl-C and a change of size come from."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@asynccontextmanager
async def person(url: str, name: str, **variables: str) -> AsyncIterator[Person]:
    """Let somebody chat at a terminal in the lobby."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    before = termios.tcgetattr(theirs)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "thkmesh", "chat", "--url", url, "--name", name),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment() | {"TERM": "xterm"} | variables,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    somebody = Person(process, ours)
    try:
        yield somebody
        assert termios.tcgetattr(theirs) == before, "the terminal was not put back"
    finally:
        await stop(process)
        asyncio.get_running_loop().remove_reader(ours)
        for descriptor in (ours, theirs):
            with contextlib.suppress(OSError):
                os.close(descriptor)


async def test_a_conversation(demo: str) -> None:
    """One sees who is here, talks, is answered, and leaves with the terminal as it was."""
    async with person(demo, "Ada") as ada:
        lines = await ada.reads("Demo to you: Hello, Ada!")
        assert lines[0] == "You are Ada in lobby; here: Demo. /help lists the commands."
        ada.types("hello\r")
        lines = await ada.reads("Nice to hear from you")
        assert "Ada: hello" in lines
        assert "Demo joined" not in lines
        ada.types("/peers\r/nonsense\r/help\r")
        lines = await ada.reads("/quit")
        assert any(line.startswith("  Ada ") and line.endswith(" you") for line in lines)
        assert any(line.startswith("  Demo ") and line.endswith(" connected") for line in lines)
        assert "no command /nonsense; try /help" in lines
        ada.types("//slash\r")
        await ada.reads("Demo: You said: /slash")
        ada.types("/quit\r")
        assert await ada.ended() == 0
    await present(demo, "Demo")


async def test_others_do_not_disturb_the_line_being_typed(demo: str) -> None:
    """Their lines appear above; what was typed stays, and is said whole in the end."""
    async with person(demo, "Ada") as ada:
        await ada.reads("Demo to you")
        ada.types("half a li")
        await ada.sees(lambda lines: lines[-1] == "> half a li")
        async with started("chat", "--url", demo, "--name", "Bob", stdin=PIPE) as bob:
            bob.say("I interrupt you\n")
            await ada.reads("Demo: You said: I interrupt you")
            await ada.reads("Bob: I interrupt you")
            lines = await ada.sees(lambda lines: lines[-1] == "> half a li")
            assert "Bob joined" in lines
            await ada.sees(lambda _: ada.terminal.column == len("> half a li"))
            bob.stop_saying()
            ada.types("ne\x01\x1b[C\x1b[C\r")
            await ada.reads("Ada: half a line")
            assert await bob.line("^Ada") == "Ada: half a line"
        await ada.reads("Bob left")
        ada.types("\x04")
        assert await ada.ended() == 0


async def test_typing_is_seen_by_the_others(demo: str) -> None:
    """A notice stands under their own row until the line is said, or erased."""
    async with person(demo, "Ada", NO_COLOR="1") as ada, person(demo, "Bob") as bob:
        await ada.reads("Demo to you")
        await bob.reads("Demo to you")
        bob.types("so")
        await ada.sees(lambda lines: lines[-2:] == [">", "Bob is typing ..."])
        bob.types(" what\r")
        await ada.reads("Bob: so what")
        await ada.sees(lambda lines: lines[-1] == ">")
        bob.types("no")
        await ada.reads("Bob is typing ...")
        bob.types("\x15")
        await ada.sees(lambda lines: lines[-1] == ">")
        bob.types("/nothing of this is for others")
        ada.types("/quit\r")
        assert await ada.ended() == 0
        bob.types("\x15/quit\r")
        assert await bob.ended() == 0
    assert "\x1b[1m" not in ada.raw.replace("\x1b[1A", "")
    assert "\x1b[1;3" not in ada.raw
    assert "\x1b[1;3" in bob.raw


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_signals_end_it_cleanly(demo: str, number: signal.Signals, code: int) -> None:
    """It leaves the room, puts the terminal back, and shows no traceback."""
    async with person(demo, "Ada") as ada:
        await ada.reads("Demo to you")
        ada.types("unsaid")
        await ada.sees(lambda lines: lines[-1] == "> unsaid")
        ada.process.send_signal(number)
        assert await ada.ended() == code
        await ada.sees(lambda lines: lines[-1] == "")
    assert "Traceback" not in ada.raw
    await present(demo, "Demo")


async def test_ctrl_c_is_a_signal(demo: str) -> None:
    """The key ends it as the signal does."""
    async with person(demo, "Ada") as ada:
        await ada.reads("Demo to you")
        ada.types("\x03")
        assert await ada.ended() == 130


async def test_a_resized_terminal_is_drawn_anew(demo: str) -> None:
    """The row fits the new width."""
    async with person(demo, "Ada") as ada:
        await ada.reads("Demo to you")
        ada.types("abcdefghijklmnopqrstuvwxyz" * 2)
        await ada.sees(lambda lines: lines[-1].endswith("xyz"))
        fcntl.ioctl(ada.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, 20, 0, 0))
        await ada.sees(lambda lines: lines[-1] == "> jklmnopqrstuvwxyz")
        ada.types("\x15\x04")
        assert await ada.ended() == 0


async def test_a_terminal_that_can_do_nothing_is_a_pipe(demo: str) -> None:
    """With TERM=dumb there are plain lines and no control sequence."""
    async with person(demo, "Ada", TERM="dumb") as ada:
        await ada.reads("Demo: Hello, Ada!")
        ada.types("hello\n")
        await ada.reads("Demo: Hello, Ada! Nice")
        assert "\x1b" not in ada.raw
        ada.types("\x04")
        assert await ada.ended() == 0


async def test_the_end_of_the_server_is_not_the_end() -> None:
    """Links live on without it; the room says so, and who is left can talk."""
    async with served() as server, person(server.url, "Ada") as ada:
        await ada.reads("nobody else yet")
        async with person(server.url, "Bob") as bob:
            await bob.reads("here: Ada")
            ada.types("hello\r")
            await bob.reads("Ada: hello")
            await _talk_without(server, ada, bob)


async def _talk_without(server: Served, ada: Person, bob: Person) -> None:
    await server.program.end(signal.SIGTERM)
    await ada.reads("the server is away; links live on without it")
    ada.types("still there?\r")
    await bob.reads("Ada: still there?")
    for each in (ada, bob):
        each.types("/quit\r")
        assert await each.ended() == 0


async def test_a_server_that_is_slow_to_answer_is_waited_for_aloud() -> None:
    """Whoever looks at a terminal is told after a second that it is still tried."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with person(url, "Ada") as ada:
            await ada.reads("still trying ...")
            ada.types("\x03")
            assert await ada.ended() == 130


@pytest.mark.parametrize("reachable", [True, False])
def test_a_long_goodbye_is_explained(
    capsys: pytest.CaptureFixture[str], *, reachable: bool
) -> None:
    """Whoever leaves while something cannot be delivered is told why it takes time."""
    world = World(seed=1)

    async def main() -> None:
        ada = await world.join("ada", room="lobby", relay=False)
        bob = await world.join("bob", room="lobby")
        await asyncio.sleep(1.0)
        if not reachable:
            world.network.partition("ada", "bob")
            await asyncio.sleep(20.0)
        await ada.send("hello")
        await leave(ada)
        await bob.leave(patience=0.0)

    world.run(main())
    said = capsys.readouterr().out
    assert said.count("\n") == (0 if reachable else 1)
    assert ("Ctrl-C" in said) is not reachable
