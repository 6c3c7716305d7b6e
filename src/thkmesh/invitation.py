"""The link to a room: what people hand on, scan and click.

::

    https://example.org/#lobby                          a room
    https://example.org/#lobby&secret=Qm9...            a room with a secret

What stands behind ``#`` browsers send to no server, and no proxy on the way sees it.
``?room=lobby``, ``#room=lobby`` and ``?room=lobby#secret=...`` mean the same. Whatever
else stands there is left for others.
"""

import secrets
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from thkmesh.core.identity import encode_bytes, is_room
from thkmesh.core.secret import RULE, SECRET_BYTES, is_secret
from thkmesh.errors import InvalidArgument

__all__ = ["Invitation", "invitation_link", "new_secret", "parse_link"]


class Invitation(NamedTuple):
    """Where a link leads.

    Attributes:
        url: the server.
        room: None where the link names none.
        secret: None where it has none.
    """

    url: str
    room: str | None
    secret: str | None


def new_secret() -> str:
    """Return a fresh secret for a room: 22 characters, 128 random bits."""
    return encode_bytes(secrets.token_bytes(SECRET_BYTES))


def parse_link(link: str) -> Invitation:
    """Return where a link leads; a server's bare URL is one too.

    Raises:
        InvalidArgument: it is no URL, or names no room though it tries, or its secret has
            not the form of one.
    """
    try:
        parts = urlsplit(link)
    except ValueError as error:
        hint = "pass something like http://localhost:8765"
        raise InvalidArgument(f"{link!r:.80} is no server: {hint}") from error
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    first, _, rest = parts.fragment.partition("&")
    bare = first != "" and not first.startswith(("room=", "secret="))
    named = {"room": unquote(first)} if bare else {}
    fragment = dict(parse_qsl(rest if bare else parts.fragment, keep_blank_values=True))
    room = (query | named | fragment).get("room")
    secret = fragment.get("secret")
    if room is not None and not is_room(room):
        raise InvalidArgument(f"the link leads to no room: {room!r:.80}")
    if secret is not None and not is_secret(secret):
        raise InvalidArgument(f"the link is cut off or changed: {RULE}")
    if room is None and secret is not None:
        raise InvalidArgument("the link has a secret, but names no room")
    if room is None:
        return Invitation(link, None, None)
    return Invitation(urlunsplit(parts._replace(query="", fragment="")), room, secret)


def invitation_link(url: str, room: str, secret: str | None) -> str:
    """Return the link to a room of a server."""
    base = url if url.endswith("/") else f"{url}/"
    return f"{base}#{room}" + (f"&secret={secret}" if secret else "")
