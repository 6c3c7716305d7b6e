"""The rules of the house that no other tool checks.

Each rule is a function from a text to its faults, and each is shown a bad sample
first: a rule that cannot fail is no rule.
"""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FUNCTION = 50

# What the core may import: nothing here waits, looks at a clock, or rolls dice.
PURE = """
    abc base64 binascii bisect collections contextlib copy dataclasses enum functools hashlib
    heapq hmac ipaddress itertools json math msgspec operator re string struct types typing
    typing_extensions zlib thkmesh.core thkmesh.errors thkmesh.events thkmesh.peer
"""
IMPURE_CALLS = frozenset({"breakpoint", "exec", "eval", "input", "open", "print"})

# Written in pieces, so that this file keeps its own rules.
INDEX_HOSTS = re.compile(
    "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.org"))
)
HOME_PATHS = re.compile(r"(?<![\w.:/-])/(?:root|(?:home|Users)/[\w.-]+)/")
MARKDOWN_LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")

WALL_CLOCK = re.compile(
    r"\btime\.time\b|\btime_ns\b|\bimport .*\btime\b|from time import(?! monotonic$)"
    r"|\bdatetime\.(?:now|utcnow|today)\b|\bDate\.now\b|\bnew Date\(\)"
)
SHOWN_TIMES = {
    "src/thkmesh/apps/chat.py",
    "src/thkmesh/cli/demo.py",
    "src/thkmesh/server/clock.py",
    "src/thkmesh/server/tls.py",
    "src/thkmesh/web/chat.js",
    "src/thkmesh/web/page/conversation.js",
}
"""Who shows people the time of day, or writes it down."""

Fault: TypeAlias = str
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


# ---- the rules ---------------------------------------------------------------


def foreign_addresses(text: str) -> Iterator[Fault]:
    """Yield where a text names a package index or a place on somebody's machine."""
    here = str(ROOT) + "/" if len(ROOT.parts) > 2 else None
    for number, line in enumerate(text.splitlines(), start=1):
        if INDEX_HOSTS.search(line):
            yield f"{number}: names a package index"
        if HOME_PATHS.search(line) or (here and here in line):
            yield f"{number}: names a path of one machine"


def impurities(source: str) -> Iterator[Fault]:
    """Yield what a module of the core must not do: import a shell, wait, speak."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0, names=names):
                modules = (
                    [f"{module}.{alias.name}" for alias in names]
                    if module == "thkmesh"
                    else [module]
                )
            case ast.ImportFrom():
                modules = ["a relative module"]
            case ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield f"{node.lineno}: waits"
                continue
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"{node.lineno}: calls {name}()"
                continue
            case _:
                continue
        for name in modules:
            if not any(name == pure or name.startswith(f"{pure}.") for pure in PURE.split()):
                yield f"{node.lineno}: imports {name}"


def wall_clocks(source: str) -> Iterator[Fault]:
    """Yield where Python or JavaScript asks for the time of day, which may jump."""
    for number, line in enumerate(source.splitlines(), start=1):
        if WALL_CLOCK.search(line):
            yield f"{number}: asks for the time of day"


def long_functions(source: str) -> Iterator[Fault]:
    """Yield functions over the budget, docstring not counted, that give no reason.

    The reason is a comment, ``# long: why``, in the function's signature.
    """
    lines = source.splitlines()
    for function in functions(source):
        first = function.body[0]
        length = (function.end_lineno or 0) - function.lineno + 1
        if ast.get_docstring(function, clean=False) is not None:
            length -= (first.end_lineno or 0) - first.lineno + 1
        signature = lines[function.lineno - 1 : max(function.lineno, first.lineno - 1)]
        if length > LONGEST_FUNCTION and not any(re.search(r"# long: \w", s) for s in signature):
            yield f"{function.lineno}: {function.name} has {length} lines"


def untold_tests(source: str) -> Iterator[Fault]:
    """Yield the tests that do not say in a docstring which law they hold."""
    for function in functions(source):
        if function.name.startswith("test") and not ast.get_docstring(function):
            yield f"{function.lineno}: {function.name} has no docstring"


def mocks(source: str) -> Iterator[Fault]:
    """Yield where a test replaces what it should drive."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = any(alias.name in {"mock", "unittest.mock"} for alias in names)
            case ast.ImportFrom(module="mock" | "unittest.mock"):
                found = True
            case ast.ImportFrom(module="unittest", names=names):
                found = any(alias.name == "mock" for alias in names)
            case ast.Attribute(value=ast.Name(id="monkeypatch"), attr="setattr" | "setitem"):
                found = True
            case ast.arg(arg="mocker"):
                found = True
            case _:
                continue
        if found:
            yield f"{node.lineno}: mocks or patches"


def unhashed(lock: str) -> Iterator[Fault]:
    """Yield the requirements of a lock that are not pinned, or not by hash."""
    for entry in re.sub(r"\\\n", " ", lock).splitlines():
        requirement = entry.strip()
        if not requirement or requirement.startswith("#"):
            continue
        if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement):
            yield f"{requirement.split()[0]} is not pinned by hash"


def dead_links(text: str, folder: Path) -> Iterator[Fault]:
    """Yield the relative links of a document in ``folder`` that lead nowhere."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in MARKDOWN_LINK.findall(prose):
        path = target.partition("#")[0]
        if re.match(r"[a-z][a-z0-9+.-]*:", target) or not path:
            continue
        if not (folder / path).exists():
            yield f"{target} leads nowhere"


# ---- how they read the tree --------------------------------------------------


def functions(source: str) -> Iterator[Function]:
    """Yield every function and method of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def files(*patterns: str) -> list[Path]:
    """Return the project's text files, tracked or new, that match a git pattern."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = {ROOT / name for name in listed.stdout.split("\0") if name}
    found = sorted(path for path in paths if path.is_file() and b"\0" not in path.read_bytes())
    assert found, f"nothing matches {patterns}, so nothing would be checked"
    return found


def faults(check: Callable[[str], Iterable[Fault]], *patterns: str) -> list[Fault]:
    """Return what a rule finds in the files that match, each with its place."""
    return [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in files(*patterns)
        for fault in check(path.read_text(encoding="utf-8"))
    ]


# ---- the rules can fail ------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "sample"),
    [
        pytest.param(foreign_addresses, "see https://" + "py" + "pi.org/simple", id="index"),
        pytest.param(foreign_addresses, "https://registry.npm" + "js.org/x", id="npm"),
        pytest.param(foreign_addresses, "cd /" + "home/ada/mesh", id="home"),
        pytest.param(foreign_addresses, f"cd {ROOT}/src", id="checkout"),
        pytest.param(wall_clocks, "from time import time", id="time"),
        pytest.param(wall_clocks, "import time", id="time-module"),
        pytest.param(wall_clocks, "late = datetime.now(UTC) > then", id="datetime"),
        pytest.param(wall_clocks, "const late = Date.now() > then;", id="date-now"),
        pytest.param(wall_clocks, "const now = new Date();", id="date"),
        pytest.param(impurities, "import asyncio", id="loop"),
        pytest.param(impurities, "from time import monotonic", id="clock"),
        pytest.param(impurities, "def f():\n    import random", id="dice"),
        pytest.param(impurities, "import os.path", id="os"),
        pytest.param(impurities, "from thkmesh import driver", id="upward"),
        pytest.param(impurities, "from thkmesh.driver import Driver", id="upward-from"),
        pytest.param(impurities, "from . import wire", id="relative"),
        pytest.param(impurities, "async def f(): await g()", id="await"),
        pytest.param(impurities, "async def f():\n  async with g(): ...", id="async-with"),
        pytest.param(impurities, "print(1)", id="print"),
        pytest.param(long_functions, "def f():\n" + "    pass\n" * 50, id="long"),
        pytest.param(
            long_functions, "class C:\n  async def f(self):\n" + "    pass\n" * 50, id="long-method"
        ),
        pytest.param(
            long_functions, "def f():  # long:\n" + "    pass\n" * 50, id="long-for-no-reason"
        ),
        pytest.param(untold_tests, "def test_x():\n    pass", id="untold"),
        pytest.param(untold_tests, "class T:\n  async def test_x(self): ...", id="untold-method"),
        pytest.param(mocks, "import unittest.mock", id="mock"),
        pytest.param(mocks, "from unittest import mock", id="mock-from"),
        pytest.param(mocks, "from unittest.mock import Mock", id="mock-class"),
        pytest.param(mocks, "def test_x(mocker): ...", id="mocker"),
        pytest.param(mocks, "def test_x(monkeypatch): monkeypatch.setattr(a, b, c)", id="patch"),
        pytest.param(unhashed, "x==1.0", id="no-hash"),
        pytest.param(unhashed, "x>=1 \\\n    --hash=sha256:" + "a" * 64, id="no-pin"),
        pytest.param(unhashed, "--index-url https://example.org/simple", id="index-option"),
    ],
)
def test_each_rule_finds_the_fault_it_is_for(
    check: Callable[[str], Iterable[Fault]], sample: str
) -> None:
    """A rule that finds nothing in a bad sample guards nothing."""
    assert list(check(sample))


@pytest.mark.parametrize(
    ("check", "sample"),
    [
        pytest.param(
            foreign_addresses, "https://example.org/" + "home/ada/ and ./" + "root/x", id="url"
        ),
        pytest.param(wall_clocks, "from time import monotonic\nloop.time()", id="monotonic"),
        pytest.param(wall_clocks, "performance.now(); new Date(text)", id="performance"),
        pytest.param(impurities, "import hashlib\nfrom thkmesh.core.wire import Offer", id="pure"),
        pytest.param(impurities, "class P(Protocol):\n  async def f(self): ...", id="seam"),
        pytest.param(impurities, "from thkmesh import errors", id="downward"),
        pytest.param(long_functions, "def f():\n" + "    pass\n" * 49, id="just-short"),
        pytest.param(
            long_functions,
            'def f():\n    """Say it.\n' + "\n" * 50 + '    """\n    return 1\n',
            id="long-docstring",
        ),
        pytest.param(
            long_functions,
            "def f(\n    a,\n):  # long: one table\n" + "    pass\n" * 60,
            id="long-for-a-reason",
        ),
        pytest.param(mocks, "from unittest import TestCase", id="no-mock"),
        pytest.param(unhashed, "# x\nx==1 \\\n    --hash=sha256:" + "a" * 64, id="hashed"),
    ],
)
def test_each_rule_lets_good_text_pass(
    check: Callable[[str], Iterable[Fault]], sample: str
) -> None:
    """A rule that cries wolf is switched off soon."""
    assert list(check(sample)) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    """Links to files are followed; addresses, anchors and code are not."""
    (tmp_path / "here.md").touch()
    text = "[a](here.md#x) [b](gone.md) [c](https://x.org/y) [d](#e)\n```\n[f](code.md)\n```\n"
    assert list(dead_links(text, tmp_path)) == ["gone.md leads nowhere"]


# ---- the tree keeps them -----------------------------------------------------


def test_the_tree_speaks_of_the_project_alone() -> None:
    """No file names a package index or a path of one machine."""
    assert faults(foreign_addresses) == []


def test_the_core_is_pure() -> None:
    """No module of the core can wait, see a clock, roll dice, log, or reach a socket."""
    assert faults(impurities, "src/thkmesh/core/*.py") == []


def test_r4_no_jump_of_the_wall_clock_is_noticed() -> None:
    """R4: only who shows the time of day asks for it; whether others live is no question of it."""
    found = [*faults(wall_clocks, "src/*.py"), *faults(wall_clocks, "src/*.js")]
    assert {fault.partition(":")[0] for fault in found} == SHOWN_TIMES


def test_functions_fit_on_a_screen() -> None:
    """A function of the library is at most 50 lines, or says why it is longer."""
    assert faults(long_functions, "src/*.py") == []


def test_every_test_states_its_law() -> None:
    """A test says in one sentence what it would mean to fail."""
    assert faults(untold_tests, "tests/*.py") == []


def test_no_test_mocks() -> None:
    """Fakes are product code that passes the same suites; nothing is patched."""
    assert faults(mocks, "tests/*.py") == []


def test_locks_pin_by_hash() -> None:
    """What is installed for the tests is what was reviewed."""
    assert faults(unhashed, "requirements/*.txt") == []


def test_every_document_links_to_what_exists() -> None:
    """A relative link in a document leads to a file of the project."""
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in files("*.md")
        for fault in dead_links(path.read_text(encoding="utf-8"), path.parent)
    ]
    assert found == []


def test_python_and_javascript_have_one_version() -> None:
    """The package's version is the same one, in the spelling of each registry."""
    python = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version = re.sub(r"\.dev(\d+)$", r"-dev.\1", python["project"]["version"])
    assert f'"version": "{version}"' in (ROOT / "npm/package.json").read_text(encoding="utf-8")
