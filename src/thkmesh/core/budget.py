"""How many bytes may pass a place in time: a token bucket.

It fills at a rate up to a burst. Who drops what is over (the server) takes whole
messages; who paces itself (a sender) spends while there is something left, may owe
up to one message, and waits until that is paid back.
"""

__all__ = ["Budget"]


class Budget:
    """Bytes that may still pass."""

    def __init__(self, rate_bytes: float, burst_bytes: float) -> None:
        """Begin full.

        Args:
            rate_bytes: how much comes in a second.
            burst_bytes: how much there is at most.
        """
        self._rate = rate_bytes
        self._burst = self._left = float(burst_bytes)
        self._since = 0.0

    def set(self, rate_bytes: float, burst_bytes: float, now: float) -> None:
        """Change the rate and the burst; what grew until now counts, and a first burst is full."""
        self._fill(now)
        self._left = min(self._left, burst_bytes) if self._rate else float(burst_bytes)
        self._rate, self._burst = rate_bytes, float(burst_bytes)

    def take(self, size: int, now: float) -> bool:
        """Take so many bytes if there are so many; tell whether there were."""
        self._fill(now)
        if self._left < size:
            return False
        self._left -= size
        return True

    def spend(self, size: int, now: float) -> None:
        """Take so many bytes whatever there is."""
        self._fill(now)
        self._left -= size

    def free_at(self, now: float) -> float:
        """Return from when on something may be spent; ``now`` if it may be at once."""
        self._fill(now)
        return now if self._left > 0 else now + (1 - self._left) / self._rate

    def _fill(self, now: float) -> None:
        grown = max(0.0, now - self._since) * self._rate
        self._left = min(self._burst, self._left + grown)
        self._since = now
