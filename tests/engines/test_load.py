"""How users choose an engine."""

import subprocess
import sys
from pathlib import Path

import pytest

from thkmesh.engines import DEFAULT, load
from thkmesh.errors import InvalidArgument, WrongContext


async def test_the_default_engine_is_the_one_named_so() -> None:
    """Without a name, and with the default's name, the same engine is made."""
    for name in (None, DEFAULT):
        engine = load(name)
        assert engine.name == DEFAULT
        await engine.close()


async def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    """A misspelt engine is told apart from a missing one."""
    with pytest.raises(InvalidArgument, match=DEFAULT):
        load("webrtcc")


def test_an_engine_is_made_on_a_loop() -> None:
    """Outside a running loop the error says so."""
    with pytest.raises(WrongContext, match="event loop"):
        load()


def test_a_missing_package_is_told_with_what_to_install() -> None:
    """Where the package cannot be imported, the error names it; importing us needs none."""
    program = """
import sys
sys.modules["webrtc"] = None  # what import finds where it is not installed
from thkmesh.engines import load
from thkmesh.errors import EngineError
try:
    load()
except EngineError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert "pip install wrtc" in done.stdout
