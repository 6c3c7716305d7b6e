"""Who is in the room: immutable values, safe to hand between threads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Peer"]


@dataclass(frozen=True, slots=True)
class Peer:
    """One session of one peer in a room.

    Attributes:
        id: 26 characters; the hash of the peer's public key, so it proves itself.
        sid: 16 hexadecimal characters; one life of the peer. A restarted process
            or a reloaded page is another ``Peer``.
        name: what the peer calls itself; for people, unproven, may repeat.
        metadata: a JSON object the peer chose; not to be changed.
    """

    id: str
    sid: str
    name: str = field(default="", compare=False)
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False)

    def __str__(self) -> str:
        """Return the name, or the start of the id where there is none."""
        return self.name or self.id[:8]
