"""``thkmesh peers``: who is in a room, asked of the server."""

import http.client
from urllib.parse import urlsplit

import msgspec

from thkmesh.apps.chat import displayed
from thkmesh.cli.access import shown
from thkmesh.cli.arguments import PeersOptions
from thkmesh.cli.problem import Problem, advised
from thkmesh.cli.running import still_trying
from thkmesh.core.room_state import RoomView
from thkmesh.settings import RoomSettings, trusting
from thkmesh.signaling.failure import reason_of

__all__ = ["peers"]

_TIMEOUT = 10.0
_ANSWER_LIMIT_BYTES = 4 * 1024 * 1024


def peers(options: PeersOptions) -> int:
    """Print who is in the room; return the exit code.

    Raises:
        Problem: the server cannot be reached, or does not answer as it should.
        InvalidArgument: the URL is not that of a server.
    """
    answer = _ask(options)
    try:
        view = msgspec.json.decode(answer, type=RoomView) if answer else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Problem(f"{options.url} answers, but not as a THKMesh server does") from None
    if options.json:
        here = view.peers if view else ()
        print(msgspec.json.encode({"room": options.room, "peers": here}).decode())
    elif view is None or not view.peers:
        print(f"Nobody is in {options.room}.")
    else:
        print("\n".join(_table(view)))
    return 0


def _table(view: RoomView) -> list[str]:
    rows = [("NAME", "ID", "STATE", "HERE FOR")] + [
        (displayed(peer.name) or "-", displayed(peer.id), peer.state, _span(peer.connected_for))
        for peer in view.peers
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _ask(options: PeersOptions) -> bytes | None:
    """Return what the server says of the room; None if there is no such room."""
    url = RoomSettings(url=options.url, room=options.room).websocket_url
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "wss":
        tls = trusting(options.ca_file)
        connection = http.client.HTTPSConnection(host, parts.port, timeout=_TIMEOUT, context=tls)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT)
    token, password = shown(options.shown)
    said = token() if callable(token) else token or password
    headers = {"accept": "application/json"}
    if said:
        headers["authorization"] = f"Bearer {said}".encode().decode("latin-1")
    path = parts.path.removesuffix("/ws") + f"/api/rooms/{options.room}"
    try:
        with still_trying(options.url):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read(_ANSWER_LIMIT_BYTES)
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        text = f"no answer from {options.url}: {reason_of(error, options.url)}"
        raise Problem(advised(text)) from error
    if response.status == http.client.NOT_FOUND and b"unknown-room" in body:
        return None
    if response.status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
        raise Problem(f"{options.url} does not say who is in {options.room}: {_reason(body)}")
    return body


def _reason(body: bytes) -> str:
    """Return what the server says of why it does not answer."""
    try:
        return displayed(msgspec.json.decode(body, type=_Refusal).message)
    except msgspec.MsgspecError:
        return "it wants a token or a password"


class _Refusal(msgspec.Struct):
    message: str
