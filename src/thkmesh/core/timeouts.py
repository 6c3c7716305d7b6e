"""Many deadlines of one duration, at a constant cost each.

Deadlines that all lie the same time ahead of now come due in the order in which
they were set. So a queue is enough where a heap would cost a logarithm and leave
stale entries behind: ``start`` puts a key at the end, ``stop`` takes it out, and
only the first can be due.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from math import inf
from typing import Generic, TypeVar

__all__ = ["Timeouts"]

_Key = TypeVar("_Key", bound=Hashable)


class Timeouts(Generic[_Key]):
    """Keys that each come due ``duration`` seconds after they were last started."""

    def __init__(self, duration: float) -> None:
        self._duration = duration
        self._due: OrderedDict[_Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: _Key) -> bool:
        """Tell whether ``key`` is to come due."""
        return key in self._due

    def start(self, key: _Key, now: float) -> None:
        """Let ``key`` come due a duration from now, whatever was before."""
        self._due[key] = now + self._duration
        self._due.move_to_end(key)

    def stop(self, key: _Key) -> None:
        """Forget ``key``."""
        self._due.pop(key, None)

    def clear(self) -> None:
        """Forget every key."""
        self._due.clear()

    @property
    def first(self) -> float:
        """When the next key comes due; infinity when there is none."""
        for due in self._due.values():
            return due
        return inf

    def expired(self, now: float) -> Iterator[_Key]:
        """Take out and yield, in order, the keys that are due."""
        while self.first <= now:
            yield self._due.popitem(last=False)[0]

    def postpone(self, duration: float, now: float) -> None:
        """Give everybody ``duration`` more, though never more than a fresh start would."""
        latest = now + self._duration
        for key, due in self._due.items():
            self._due[key] = min(due + duration, latest)
