"""Where a STUN or TURN server is, as RFC 7064 and RFC 7065 write it.

::

    stun:example.org          turn:192.0.2.7:3478?transport=udp
    stuns:example.org:5349    turns:[2001:db8::7]:443?transport=tcp

There is no ``//``, no path and no name or password: those of TURN stand beside the
URL. Browsers refuse to make any connection at all with a URL that they cannot
read, so it is looked at before anybody is told of it.
"""

import re
from typing import Final

__all__ = ["is_ice_url", "needs_credentials"]

_LIMIT: Final = 512
_URL: Final = re.compile(
    r"(?:stuns?|(?P<turn>turns?)):"
    r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?(turn)(?:\?transport=(?:udp|tcp))?)"
)


def is_ice_url(text: str) -> bool:
    """Tell whether ``text`` says where a STUN or TURN server is."""
    match = _URL.fullmatch(text)
    if match is None or len(text) > _LIMIT:
        return False
    port = match["port"]
    return port is None or 1 <= int(port) <= 65535


def needs_credentials(url: str) -> bool:
    """Tell whether a server wants a name and a password: TURN does, STUN does not."""
    return url.startswith("turn")
