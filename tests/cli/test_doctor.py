"""``thkmesh doctor`` where no network is needed to know what it says."""

import json
import socket

import pytest

from tests.rooms.processes import Server
from thkmesh.cli import main
from thkmesh.doctor.entrance import enter
from thkmesh.settings import RoomSettings


def test_a_server_that_is_not_there_is_the_only_problem(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says which, why, and what to do; the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    assert main(["doctor", "--url", url]) == 1
    said = capsys.readouterr().out
    assert f"Signaling   {url}: no signaling server" in said
    assert "What to do" in said
    assert main(["doctor", "--url", url, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["healthy"], report["signaling"]["works"]) == (False, False)


def test_a_url_that_is_none_is_a_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    """As everywhere: exit code 2, and one sentence."""
    assert main(["doctor", "--url", "nonsense"]) == 2
    assert "is no server" in capsys.readouterr().err


async def test_a_room_that_is_full_is_not_entered() -> None:
    """What the server says is in the report."""
    server = Server(max_peers=1)
    await server.start()
    try:
        entrance = await enter(RoomSettings(url=server.url, room="small"))
    finally:
        await server.kill()
    assert "it does not let us in: the room has 1 peers already" in entrance.reason
