"""Log lines, for people and for programs."""

import json
import logging
from io import StringIO

from tests.server.test_service import join
from tests.server.world import Client
from thkmesh.core.wire import Leave, encode
from thkmesh.server import RoomService
from thkmesh.server.logs import LogFormat, handler


async def life(form: LogFormat) -> tuple[Client, list[str]]:
    """Return what is logged while somebody comes and goes."""
    text = StringIO()
    logger = logging.getLogger("thkmesh.server")
    writing = handler(form, text)
    logger.addHandler(writing)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        client = Client("")
        _, connection = join(RoomService(), client)
        connection.received(encode(Leave()))
        try:
            raise ValueError("oh")
        except ValueError:
            logger.exception("a fault")
    finally:
        logger.removeHandler(writing)
        logger.setLevel(before)
    return client, text.getvalue().splitlines()


async def test_a_line_of_json_has_the_room_and_the_peer_in_fields() -> None:
    """One object a line, an exception included."""
    client, lines = await life("json")
    hello, closed, fault = map(json.loads, lines)
    who = {"connection": 1, "room": "lobby", "peer": client.key.id, "session": client.sid}
    for line in (hello, closed):
        assert who.items() <= line.items()
        assert line["time"].endswith("Z")
        assert (line["level"], line["logger"]) == ("INFO", "thkmesh.server")
    assert hello["message"] == "hello"
    assert (closed["message"], closed["code"], closed["reason"]) == ("closed", 1000, "left")
    assert (fault["level"], fault["message"]) == ("ERROR", "a fault")
    assert "ValueError: oh" in fault["exception"]
    assert "peer" not in fault


async def test_a_line_of_text_ends_with_them() -> None:
    """What it is about stands behind the message."""
    client, lines = await life("text")
    about = f"connection=1 room=lobby peer={client.key.id} session={client.sid}"
    assert lines[0].endswith(f"INFO thkmesh.server: hello {about}")
    assert lines[1].endswith(f"INFO thkmesh.server: closed {about} code=1000 reason=left")
    assert lines[2].endswith("ERROR thkmesh.server: a fault")
    assert lines[-1] == "ValueError: oh"
