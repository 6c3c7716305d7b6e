"""The time of day, for what outlives this process: tokens, tickets, credentials for TURN.

Nothing else may ask for it: whether a peer lives is no question of the time of day, which
may jump.
"""

import time

__all__ = ["today"]


def today() -> float:
    """Return the seconds since 1970."""
    return time.time()
