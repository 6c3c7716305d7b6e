"""Credentials for TURN that end, each for one peer.

A TURN server that shares a secret with us (coturn's ``use-auth-secret``) takes as a name
``expiry:id``, in seconds since 1970, and as a password the base64 of the HMAC-SHA1 of that
name (draft-uberti-behave-turn-rest-00, section 2.2). So nobody has to tell it who is in a
room, and what a peer was given is worth nothing a while later.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from thkmesh.core.ice_url import is_ice_url, needs_credentials
from thkmesh.core.wire import IceServer
from thkmesh.errors import InvalidArgument

__all__ = ["TURN_TTL", "Turn"]

TURN_TTL: Final = 3600.0
"""Seconds for which credentials are good."""

_LEAST: Final = 60.0
_MOST: Final = 7 * 86400.0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """TURN servers that share a secret with us.

    Attributes:
        urls: where they are, like ``turn:turn.example.org:3478?transport=udp``.
        secret: theirs (``static-auth-secret``).
        ttl: seconds for which credentials are good; they are changed after half of that.

    Raises:
        InvalidArgument: one of them is wrong.
    """

    urls: tuple[str, ...]
    secret: bytes = field(repr=False)
    ttl: float = TURN_TTL

    def __post_init__(self) -> None:
        """Check them."""
        if not self.urls or not self.secret:
            raise InvalidArgument("TURN needs a URL and a secret")
        for url in self.urls:
            if not (is_ice_url(url) and needs_credentials(url)):
                raise InvalidArgument(f"{url!r:.80} is no URL like turn:turn.example.org:3478")
        if not _LEAST <= self.ttl <= _MOST:
            raise InvalidArgument(f"credentials for TURN last {_LEAST:g} to {_MOST:g} seconds")

    @property
    def rotation(self) -> float:
        """Seconds after which a peer should have others."""
        return self.ttl / 2

    def servers(self, peer: str, today: float) -> tuple[IceServer, ...]:
        """Return what a peer is told of them, good for ``ttl`` seconds from ``today``."""
        name = f"{int(today + self.ttl)}:{peer}"
        # SHA-1 is what TURN servers expect; its collisions do not weaken HMAC (RFC 6151).
        mac = hmac.digest(self.secret, name.encode(), hashlib.sha1)
        return (IceServer(self.urls, name, base64.b64encode(mac).decode()),)
