"""What is between two peers and may be anything: a server that mixes up signals."""

from collections import deque
from random import Random

from thkmesh.testing.network import Direction

__all__ = ["Scrambler"]


class Scrambler:
    """Doubles, drops, holds back and replays signals on their way through the server.

    ::

        world.server.tamper = Scrambler(world.dice("scrambler"), doubled=0.1)

    Other messages pass as they are: what the server itself says is not numbered,
    because a WebSocket delivers it once and in order. Signals are, by their senders.

    Attributes:
        active: False lets everything pass.
    """

    def __init__(
        self,
        dice: Random,
        *,
        doubled: float = 0.0,
        dropped: float = 0.0,
        held: float = 0.0,
        replayed: float = 0.0,
    ) -> None:
        """Begin active; each number is the probability of that fate.

        Args:
            dice: what decides.
            doubled: it comes twice.
            dropped: it does not come; its sender has to send it again.
            held: on its way to a client, it waits and comes behind the next message.
            replayed: on its way to a client, an old one comes after it, whoever that
                was from and for, and whatever has become of them.
        """
        self.active = True
        self._dice = dice
        self._doubled = doubled
        self._dropped = doubled + dropped
        self._holding = self._dropped + held
        self._replayed = self._holding + replayed
        assert self._replayed <= 1.0, "one fate for each"
        self._past: deque[str] = deque(maxlen=200)
        self._held: dict[tuple[Direction, str], list[str]] = {}

    def __call__(self, direction: Direction, host: str, text: str) -> list[str]:
        """Return what travels on in the place of ``text``."""
        key = (direction, host)
        held = self._held.pop(key, [])
        if not self.active or '"type":"webrtc-' not in text:
            return [text, *held]
        out = [text, *held]
        down = direction is Direction.TO_CLIENT
        chance = self._dice.random()
        if chance < self._doubled:
            out.append(text)
        elif chance < self._dropped:
            return held
        elif chance < self._holding and down:
            self._held[key] = out
            return []
        elif chance < self._replayed and down and self._past:
            out.append(self._dice.choice(self._past))
        self._past.append(text)
        return out
