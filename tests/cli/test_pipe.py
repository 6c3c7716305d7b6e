"""``thkmesh chat`` between other programs."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.cli.programs import PATIENCE, present, ran, served, started
from thkmesh import LinkState, PeerJoined
from thkmesh.cli import main
from thkmesh.cli.pipe import delivered
from thkmesh.testing import World


def at(url: str, room: str) -> tuple[str, ...]:
    """Return the options for a place."""
    return ("--url", url, "--room", room)


async def test_a_line_gets_its_answer(demo: str) -> None:
    """``echo hello | thkmesh chat`` prints what the demo says to it, and ends well."""
    ended = await ran("chat", "--url", demo, "--name", "Ada", stdin="hello\n")
    greeting, answer = ended.out.splitlines()
    assert greeting.startswith("Demo: Hello, Ada! I am a demo.")
    assert answer == "Demo: Hello, Ada! Nice to hear from you."
    assert (ended.code, ended.err) == (0, "")


async def test_the_demo_knows_a_few_things(demo: str) -> None:
    """It tells the time and who is there, explains itself, and echoes the rest."""
    said = "time\nPEERS?\nhelp\nwhat  ever\n" + "x" * 3000 + "\n"
    ended = await ran("chat", "--url", demo, "--name", "Ada", stdin=said)
    _, time, peers, explained, echoed, long = ended.out.splitlines()
    assert time.endswith(" UTC.")
    assert peers == "Demo: Here are Ada, Demo."
    assert "Say hello, time, peers or help" in explained
    assert echoed == "Demo: You said: what  ever"
    assert 2000 < len(long) < 2100


async def test_two_pipes_talk(demo: str) -> None:
    """Each line of one is a line of the other, and comes back to nobody."""
    room = ("chat", *at(demo, "pipes"))
    async with (
        started(*room, "--name", "Ada", stdin=PIPE) as ada,
        started(*room, "--name", "Bob", stdin=PIPE) as bob,
    ):
        await present(demo, "Ada", "Bob", room="pipes")
        ada.say("one\ntwo\r\n\n  \nthree")
        ada.stop_saying()
        for word in ("one", "two", "three"):
            assert await bob.line() == f"Ada: {word}"
        bob.say("\x1b[2J\n")
        assert await ada.line() == "Bob: [2J"
        assert (await ada.end()).code == 0
        bob.stop_saying()
        assert (await bob.end()).code == 0


async def test_lines_reach_who_was_there_without_waiting_for_answers(demo: str) -> None:
    """All of a long input arrives, in order, though its sender does not linger."""
    room = at(demo, "bulk")
    async with started("chat", *room, stdin=PIPE) as reader:
        said = "".join(f"{number}\n" for number in range(500))
        await present(demo, "tester", room="bulk")
        ended = await ran("chat", *room, "--name", "Ada", "--linger", "0", stdin=said)
        assert (ended.code, ended.out, ended.err) == (0, "", "")
        for number in range(500):
            assert await reader.line() == f"Ada: {number}"


def test_answers_are_waited_for_from_when_they_can_come() -> None:
    """What was said is on its way to everybody, however slow the network, or there is no hope."""
    world = World(seed=1, delay=0.3)

    async def main() -> None:
        ada = await world.join("ada", room="lobby", relay=False)
        bob = await world.join("bob", room="lobby")
        async for event in ada:
            if isinstance(event, PeerJoined):
                break
        await ada.send("hello")
        await delivered(ada)
        link = ada.link(bob.me)
        assert link is not None
        assert link.state is LinkState.CONNECTED
        assert link.waiting_bytes == 0
        world.network.partition("ada", "bob")
        await asyncio.sleep(30.0)
        began = world.time
        await delivered(ada)
        assert 5.0 < world.time - began < 15.0
        await bob.leave(patience=0.0)
        await ada.leave(patience=0.0)

    world.run(main())


async def test_a_line_too_long_is_reported_and_the_rest_sent(demo: str) -> None:
    """The number of the line is told, and the exit code is not 0."""
    said = "before\n" + "x" * 300_000 + "\nafter\n"
    ended = await ran("chat", "--url", demo, stdin=said)
    assert "line 2 was not sent" in ended.complaint
    assert ended.code == 1
    assert [line for line in ended.out.splitlines() if "You said" in line] == [
        "Demo: You said: before",
        "Demo: You said: after",
    ]


async def test_input_may_be_a_file(demo: str, tmp_path: Path) -> None:
    """Files cannot be waited for as pipes can; they are read nevertheless."""
    file = tmp_path / "said"
    file.write_text("hello")
    with file.open("rb") as stdin:
        async with started("chat", "--url", demo, stdin=stdin.fileno()) as program:
            assert await program.line("Nice to hear")
            assert (await program.end()).code == 0


async def test_input_may_be_closed(demo: str) -> None:
    """Then there is nothing to say, and no descriptor of ours is taken for it."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"{sys.executable} -m thkmesh chat --url {demo} <&-"), stdout=PIPE
    )
    async with asyncio.timeout(PATIENCE):
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.startswith(b"Demo: Hello")


async def test_a_reader_may_have_seen_enough(demo: str) -> None:
    """When its output is closed it leaves without a word, as ``head`` expects."""
    async with started("chat", "--url", demo, stdin=PIPE) as program:
        assert program.process.stdout is not None
        await program.line("I am a demo")
        program.process.stdout._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - a StreamReader cannot
        program.say("hello\n")
        ended = await program.end()
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_a_signal_makes_it_leave(demo: str, number: signal.Signals, code: int) -> None:
    """It says goodbye before it ends, though it waits for input."""
    async with started("chat", "--url", demo, stdin=PIPE) as program:
        await program.line("I am a demo")
        ended = await program.end(number)
    assert (ended.code, ended.out, ended.err) == (code, "", "")
    await present(demo, "Demo")


async def test_a_key_file_makes_it_the_same_peer_each_time(demo: str, tmp_path: Path) -> None:
    """The identity is made on first use and kept."""
    key = tmp_path / "key"
    ids: list[str] = []
    for _ in range(2):
        async with started("chat", "--url", demo, "--key-file", str(key), stdin=PIPE) as program:
            await program.line("I am a demo")
            here = json.loads((await ran("peers", "--json", "--url", demo)).out)["peers"]
            ids += [peer["id"] for peer in here if peer["name"] != "Demo"]
            await program.end(signal.SIGTERM)
    assert len(ids) == 2
    assert ids[0] == ids[1]


async def test_a_full_room_is_said_in_one_sentence() -> None:
    """The sentence names the room."""
    async with (
        served("--demo", "--max-peers", "2") as server,
        started("chat", "--url", server.url, stdin=PIPE) as program,
    ):
        await program.line("I am a demo")
        ended = await ran("chat", "--url", server.url)
    assert (ended.code, ended.out) == (1, "")
    assert "the room lobby is full" in ended.complaint


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ("chat --url http://127.0.0.1:9 --timeout 2", 1, "no signaling server at"),
        ("chat --url http://nowhere.invalid --timeout 2", 1, "nowhere.invalid"),
        ("chat --url ftp://x", 2, "is no server"),
        ("chat --url http://127.0.0.1:9/?a=b", 2, "is no server"),
        ("chat --timeout 0", 2, "timeout"),
        ("chat --ca-file {missing}", 2, "holds no certificates"),
        ("chat --key-file {folder}", 2, "{folder}"),
        ("chat --key-file {missing}/key", 2, "No such file"),
        ("chat --key-file {garbage}", 2, "is not a key file"),
        ("peers --url http://127.0.0.1:9", 1, "no answer from http://127.0.0.1:9"),
        ("peers --url http://nowhere.invalid", 1, "no answer from"),
        ("peers --url x", 2, "is no server"),
        ("peers --url https://127.0.0.1:9 --ca-file {missing}", 2, "holds no certificates"),
        ("chat --ca-file {folder}", 2, "Is a directory"),
        ("chat --ca-file {garbage}", 2, "holds no certificates: pass a PEM file"),
        ("chat --url http://127.0.0.1:9 --timeout 2", 1, "start one with `thkmesh serve`"),
        ("peers --url http://127.0.0.1:9", 1, "or name another with --url"),
        ("peers --url http://nowhere.invalid", 1, "nowhere.invalid is no name"),
    ],
)
def test_what_goes_wrong_is_said_in_one_sentence(
    arguments: str,
    code: int,
    complaint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever users can cause ends without a traceback, and tells what to look at."""
    (tmp_path / "garbage").write_text("this is no key")
    places = {"folder": tmp_path, "missing": tmp_path / "no", "garbage": tmp_path / "garbage"}
    ended = main([word.format_map(places) for word in arguments.split()])
    out, err = capsys.readouterr()
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert complaint.format_map(places) in err
