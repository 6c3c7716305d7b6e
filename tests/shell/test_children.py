"""Children of a process that had joined a room: by fork, by spawn, and sub-interpreters."""

from pathlib import Path

import pytest

from tests.shell.programs import farewell, run
from tests.shell.world import Program, received
from thkmesh import LeaveReason, Message, sync

# --- fork ---------------------------------------------------------------------------

IN_THE_CHILD = """
import warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # Python says it too

def refusals():
    async def join():
        await thkmesh.join(url, room=room)
    calls = [
        lambda: asyncio.run(join()),
        lambda: sync.join(url, room=room),
        lambda: joined.send("from the child"),
        lambda: joined.receive(1),
        lambda: list(joined),
        lambda: joined.subscribe(),
        lambda: joined.reconnect(joined.me),
        joined.leave,
    ]
    for call in calls:
        try:
            call()
        except thkmesh.WrongContext as error:
            yield str(error)

def child():
    said = list(refusals())
    print(len(said), len(set(said)), said[0], flush=True)
"""

FORKS = [
    pytest.param("child()", id="to the end"),
    pytest.param("child(); sys.exit(0)", id="sys.exit"),
    pytest.param("child(); os._exit(0)", id="os._exit"),
]


@pytest.mark.parametrize("ending", FORKS)
def test_after_fork_every_use_raises(watcher: sync.Room, url: str, ending: str) -> None:
    """The child is refused with one clear sentence and ends well; the parent is unharmed."""
    source = f"""
{IN_THE_CHILD}
with sync.join(url, room=room) as joined:
    linked(joined)
    pid = os.fork()
    if pid == 0:
        {ending}
    else:
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        joined.send("unharmed")
"""
    with run(source, url, watcher.name) as program:
        assert program.line().startswith("8 1 this process was forked from one that had joined")
        assert program.line() == "0"
        assert farewell(watcher) == (["unharmed"], LeaveReason.LEFT)
        assert program.end() == (0, "", "")


def test_after_leaving_a_fork_is_refused_too(watcher: sync.Room, url: str) -> None:
    """What the engine has started does not survive a fork, whether a room is open or not."""
    source = f"""
{IN_THE_CHILD}
with sync.join(url, room=room) as joined:
    linked(joined)
pid = os.fork()
if pid == 0:
    child()
else:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    with sync.join(url, room=room) as joined:
        linked(joined).send("unharmed")
"""
    with run(source, url, watcher.name) as program:
        assert program.line().startswith("8 1 this process was forked from one that had joined")
        assert program.line() == "0"
        assert farewell(watcher) == ([], LeaveReason.LEFT)
        assert farewell(watcher) == (["unharmed"], LeaveReason.LEFT)
        assert program.end() == (0, "", "")


def test_a_fork_before_the_first_room_is_harmless(watcher: sync.Room, url: str) -> None:
    """Importing alone does not spoil a child: both may join then."""
    source = """
pid = os.fork()
with sync.join(url, room=room) as joined:
    linked(joined).send("parent" if pid else "child")
    if pid:
        os.waitpid(pid, 0)
"""
    with run(source, url, watcher.name) as program:
        said = [received(watcher, Message).data for _ in range(2)]
        assert sorted(map(str, said)) == ["child", "parent"]
        assert program.end() == (0, "", "")


WORKER = """
import thkmesh
from thkmesh import sync

def work(url, room, answers):
    try:
        with sync.join(url, room=room) as joined:
            for event in joined:
                if isinstance(event, thkmesh.LinkChanged):
                    break
            joined.send("worked")
        answers.put("worked")
    except thkmesh.WrongContext as error:
        answers.put(str(error))
"""


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("fork", "this process was forked from one that had joined a room"),
        ("spawn", "worked"),
        ("forkserver", "worked"),
    ],
)
def test_workers_are_spawned(
    watcher: sync.Room, url: str, tmp_path: Path, method: str, answer: str
) -> None:
    """``multiprocessing`` by fork is refused; by spawn it makes processes like any other."""
    (tmp_path / "worker.py").write_text(WORKER)
    source = f"""
sys.path.insert(0, {str(tmp_path)!r})
import multiprocessing
import worker

with sync.join(url, room=room) as joined:
    linked(joined)
    context = multiprocessing.get_context({method!r})
    answers = context.SimpleQueue()
    process = context.Process(target=worker.work, args=(url, room, answers))
    process.start()
    print(answers.get(), flush=True)
    process.join()
    joined.send(process.exitcode)
"""
    with run(source, url, watcher.name) as program:
        assert program.line().startswith(answer)
        assert farewell(watcher) == ([0], LeaveReason.LEFT)
        assert program.end() == (0, "", "")


# --- sub-interpreters -----------------------------------------------------------------


IN_A_SUB_INTERPRETER = """
try:
    import thkmesh
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("used", ["", "import thkmesh"], ids=["alone", "beside the main one"])
def test_a_sub_interpreter_is_refused(used: str) -> None:
    """Importing raises one clear error, whether the main interpreter uses us or not."""
    source = f"""
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
{used}
interpreters.run_string(interpreters.create(), {IN_A_SUB_INTERPRETER!r})
"""
    with Program(source) as program:
        sentence = "THKMesh works in the main interpreter of a process only\n"
        assert program.end() == (0, sentence, "")
