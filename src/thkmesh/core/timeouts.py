"""Many deadlines of one duration, at a constant cost each.

Deadlines that all lie the same time ahead of now come due in the order in which
they were set. So a queue is enough where a heap would cost a logarithm and leave
stale entries behind: ``start`` puts a key at the end, ``stop`` takes it out, and
only the first can be due.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from math import inf
from typing import Generic, TypeVar

__all__ = ["Timeouts"]

_Key = TypeVar("_Key", bound=Hashable)


class Timeouts(Generic[_Key]):
    """Keys that each come due ``duration`` seconds after they were last started.

    Attributes:
        first: when the next key comes due; infinity when there is none.
    """

    def __init__(self, duration: float) -> None:
        self.first = inf
        self._duration = duration
        self._due: OrderedDict[_Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def start(self, key: _Key, now: float) -> None:
        """Let ``key`` come due a duration from now, whatever was before."""
        self._due[key] = now + self._duration
        self._due.move_to_end(key)
        self._look()

    def stop(self, key: _Key) -> None:
        """Forget ``key``."""
        self._due.pop(key, None)
        self._look()

    def pop(self) -> _Key:
        """Take out and return the key that comes due first; there must be one."""
        key, _ = self._due.popitem(last=False)
        self._look()
        return key

    def clear(self) -> None:
        """Forget every key."""
        self._due.clear()
        self._look()

    def expired(self, now: float) -> Iterable[_Key]:
        """Take out and return, in order and one by one, the keys that are due."""
        return self._take_out(now) if self.first <= now else ()

    def postpone(self, duration: float, now: float) -> None:
        """Give everybody ``duration`` more, though never more than a fresh start would."""
        latest = now + self._duration
        for key, due in self._due.items():
            self._due[key] = min(due + duration, latest)
        self._look()

    def _take_out(self, now: float) -> Iterator[_Key]:
        self._look()
        while self.first <= now:
            key, _ = self._due.popitem(last=False)
            self._look()
            yield key

    def _look(self) -> None:
        self.first = next(iter(self._due.values()), inf)
