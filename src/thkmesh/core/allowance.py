"""How much of something that costs us another may ask for: a token bucket.

So many at once, and one more after each interval, never more than at first. Who
stays within it never notices; who does not is refused until time has passed.
"""

__all__ = ["Allowance"]


class Allowance:
    """What somebody may still ask for."""

    def __init__(self, most: int, interval: float) -> None:
        """Begin with ``most``; another comes after each ``interval`` seconds."""
        self._most = most
        self._interval = interval
        self._left = float(most)
        self._since = 0.0

    def take(self, now: float) -> bool:
        """Take one if there is one; tell whether there was."""
        grown = max(0.0, now - self._since) / self._interval
        self._left = min(self._most, self._left + grown)
        self._since = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
