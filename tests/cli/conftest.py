"""What several tests of the command line share."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

# Programs inherit what is ignored: under nohup the tests would start deaf ones.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def demo() -> Iterator[str]:
    """The URL of a server with the demo peer in its lobby; one for all tests."""
    command = [sys.executable, "-m", "thkmesh", "serve", "--demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(
                line.removeprefix("ready: ").strip()
                for line in process.stdout
                if line.startswith("ready: ")
            )
        finally:
            process.terminate()
