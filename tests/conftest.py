"""What holds for every test, and what tests of several folders share."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped] # nor stubs

ROOT = Path(__file__).parent.parent

# Time limits belong to pytest-timeout: a busy machine is no counter-example.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("nightly", parent=settings.get_profile("default"), max_examples=5_000)
settings.load_profile("default")

# A shell has what it starts in the background ignore Ctrl-C, and so would every program
# that a test starts and ends with it (POSIX, Shell Command Language, section 2.11).
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class OneStage(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Tests side by side, but those with browsers, or a built package, one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        together = nodeid.startswith(("tests/browser/", "tests/web/test_package.py"))
        return "browser" if together else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneStage:  # noqa: ANN401 - xdist has no types
    """Return what hands tests to the workers of ``make test``."""
    return OneStage(config, log)


@pytest.fixture(scope="session")
def tarball() -> Path:
    """The npm package, built from this checkout and packed."""
    done = subprocess.run(
        [ROOT / "scripts" / "build-npm.sh"], check=True, stdout=subprocess.PIPE, text=True
    )
    return ROOT / done.stdout.strip()


@pytest.fixture(scope="session")
def application(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody's application, with the npm package and no network."""
    folder = tmp_path_factory.mktemp("application")
    manifest = {"name": "application", "private": True, "type": "module"}
    (folder / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
    command: list[str | Path] = [
        "npm",
        "install",
        "--offline",
        "--ignore-scripts",
        "--loglevel=error",
        tarball,
    ]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder
