"""How long to wait before trying again.

Many clients that lose the same server would all come back at the same moment,
again and again. So the delay before a retry is drawn evenly between nothing and
a ceiling that doubles with each attempt ("full jitter"): the herd spreads over
the whole interval, and the sum of all work is less than with any smaller jitter.
The dice are an argument, so that a seed replays everything.

Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

__all__ = ["full_jitter"]


def full_jitter(attempt: int, dice: float, *, base: float, cap: float) -> float:
    """Return the seconds to wait before a retry.

    Args:
        attempt: how many retries went before; 0 for the first.
        dice: a random number in [0, 1).
        base: the ceiling of the first delay, in seconds.
        cap: the ceiling of every delay, in seconds.
    """
    doubled = base * 2.0 ** min(attempt, 60)  # enough for any cap, and no overflow
    return dice * min(doubled, cap)
