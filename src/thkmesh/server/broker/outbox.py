"""What waits to be given to Redis, in order, in as few pieces as can be.

What is for one node is put together in one **parcel**: one message to publish, whatever
number of signals it carries. A command ends all parcels, so that nothing overtakes it. Sealed
frames come behind everything else, and what is too much of them is dropped.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from thkmesh.core.room_events import Command
from thkmesh.core.shared_events import Post

__all__ = ["Item", "Outbox", "Parcel"]

PARCEL_BYTES = 256 * 1024
"""Beyond so much a parcel takes no more."""

SEALED_BYTES = 1024 * 1024
"""How much of sealed frames may wait."""

SIGNAL_BYTES = 32 * 1024 * 1024
"""How much of signals may wait; what is more, its senders still owe."""


@dataclass(slots=True)
class Parcel:
    """What is for sessions of one node."""

    node: str
    posts: list[Post] = field(default_factory=list[Post])
    bytes: int = 0


Item: TypeAlias = Command | Parcel


class Outbox:
    """What waits.

    Attributes:
        dropped: how many signals found no space.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._items: deque[Item] = deque()
        self._open: dict[str, Parcel] = {}
        self._bytes = 0
        self._sealed: dict[str, Parcel] = {}
        self._sealed_bytes = 0

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._items or self._sealed)

    def submit(self, command: Command) -> None:
        """Add a command."""
        self._items.append(command)
        self._open.clear()

    def post(self, node: str, post: Post) -> None:
        """Add something for a session on a node."""
        if post.frame:
            size = len(post.frame)
            if self._sealed_bytes + size <= SEALED_BYTES:
                self._sealed_bytes += size
                self._sealed.setdefault(node, Parcel(node)).posts.append(post)
            return
        size = len(post.text)
        if self._bytes + size > SIGNAL_BYTES:
            self.dropped += 1
            return
        parcel = self._open.get(node)
        if parcel is None or parcel.bytes + size > PARCEL_BYTES:
            parcel = self._open[node] = Parcel(node)
            self._items.append(parcel)
        parcel.posts.append(post)
        parcel.bytes += size
        self._bytes += size

    def take(self, most: int) -> list[Item]:
        """Take out what comes next, up to so many items and the sealed frames."""
        items: list[Item] = []
        while self._items and len(items) < most:
            item = self._items.popleft()
            if isinstance(item, Parcel):
                self._bytes -= item.bytes
            items.append(item)
        self._open.clear()
        items += self._sealed.values()
        self._sealed = {}
        self._sealed_bytes = 0
        return items

    def forget(self, *kinds: type[Command]) -> None:
        """Take out commands of some kinds: nobody wants them done any more."""
        self._items = deque(item for item in self._items if not isinstance(item, kinds))

    def put_back(self, items: Iterator[Item]) -> None:
        """Have what was taken come first again."""
        again = [item for item in items if not isinstance(item, Parcel) or item.bytes]
        self._bytes += sum(item.bytes for item in again if isinstance(item, Parcel))
        self._items.extendleft(reversed(again))
