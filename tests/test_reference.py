"""The reference names all that is public, in both languages."""

import inspect
import json
import re
import subprocess
from functools import cache

import pytest

import thkmesh
from tests.documents import ROOT
from thkmesh import sync
from thkmesh.apps import chat

WEB = ROOT / "src" / "thkmesh" / "web"
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
UNTOLD = {"constructor", "next", "return"} | {"enter", "unsubscribe", "put", "putPassing", "end"}
"""Members in JavaScript that the language calls, and that our classes call of each other."""


def words(part: str = REFERENCE) -> set[str]:
    """Return every word that is said as code."""
    code = re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", part, re.DOTALL)
    return {word for spans in code for word in re.findall(r"[\w-]+", " ".join(spans))}


@cache
def exported() -> dict[str, list[str]]:
    """Return what each module of the browser client exports, and the members of its classes."""
    program = f"""
        const found = {{}};
        for (const name of ["index", "chat"]) {{
          const module = await import("{WEB.as_uri()}/" + name + ".js");
          found[name] = Object.keys(module);
          for (const name of ["Room", "Subscription", "Chat"]) {{
            if (name in module) found[name] = Object.getOwnPropertyNames(module[name].prototype);
          }}
        }}
        console.log(JSON.stringify(found));
    """
    command = ["node", "--input-type=module", "--eval", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def typedefs(module: str) -> set[str]:
    """Return the types that a module of the browser client defines for others."""
    source = (WEB / module).read_text(encoding="utf-8")
    return set(re.findall(r"@typedef \{(?:.|\n)*?\} (\w+)", source))


@pytest.mark.parametrize("module", [thkmesh, sync, chat], ids=lambda module: module.__name__)
def test_every_public_name_of_python_is_in_it(module: object) -> None:
    """What a module lists in __all__ is told of."""
    names = set(vars(module)["__all__"]) - {"__version__"}
    assert len(names) >= 3
    assert names - words() == set()


@pytest.mark.parametrize("module", ["index", "chat"])
def test_every_public_name_of_javascript_is_in_it(module: str) -> None:
    """What a module exports is told of, types included."""
    names = set(exported()[module]) | typedefs(f"{module}.js") - {"ChatRoom"}
    assert {"index": {"join", "MeshEvent"}, "chat": {"Chat", "ChatEntry"}}[module] < names
    assert names - words() == set()


def test_every_option_of_joining_is_in_it() -> None:
    """The table has the options of both languages, and none that is not there."""
    table = REFERENCE.partition("## Joining")[2].partition("## ")[0]
    rows = re.findall(r"^\|(.*?)\|(.*?)\|", table, re.MULTILINE)[2:]
    python, javascript = ({*map(str.strip, column)} - {""} for column in zip(*rows, strict=True))
    source = (WEB / "settings.js").read_text(encoding="utf-8")
    options = re.findall(r"^ \* @property \{.*\} \[?(\w+)", source, re.MULTILINE)
    assert javascript == {f"`{name}`" for name in options}
    for join in (thkmesh.join, sync.join):
        assert python == {f"`{name}`" for name in inspect.signature(join).parameters}


def test_every_member_of_a_room_and_of_a_chat_is_in_it() -> None:
    """What can be asked of them in either language is told of."""
    members = {name for name in {*dir(sync.Room), *dir(chat.Chat)} if not name.startswith("_")}
    for name in ("Room", "Subscription", "Chat"):
        members |= set(exported()[name]) - UNTOLD
    assert {"send", "leave", "nameOf", "name_of"} < members
    assert members - words() == set()


def test_every_event_is_in_it() -> None:
    """The words by which JavaScript tells events apart are told of."""
    source = (WEB / "events.js").read_text(encoding="utf-8")
    types = set(re.findall(r'\{ type: "([a-z-]+)"', source))
    assert {"peer-joined", "message"} < types
    assert types | {"chat-message", "typing-changed"} <= words()
