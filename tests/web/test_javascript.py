"""The JavaScript tests, run by Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


FILES = sorted(path.relative_to(HERE).as_posix() for path in HERE.rglob("*.test.js"))


@pytest.mark.parametrize("file", FILES)
def test_javascript_keeps_its_laws(file: str) -> None:
    """Every test in the file passes under node --test."""
    node = shutil.which("node")
    assert node, "node is missing: make setup-host installs it"
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", str(HERE / file)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout
