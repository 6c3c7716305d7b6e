"""Who has been removed from the room, as one session sees it.

A server that closes a WebSocket does not part two peers who are connected. So what
removes a peer is a *statement*, signed with the room's key: an Ed25519 key that the server
makes of its own secret and the room's name, so that all processes with that secret have
the same one. Its public half is in the welcome. Every session that is told a statement

- checks it with the key of its own latest welcome; what is not signed by it is inert;
- cuts the links to that peer, and ignores all its sessions, until the time it names;
- passes it on over its links, to those who may be away from the server.

So one that hears of it is enough for all it is linked with. It is told again over every
connection that comes up while it holds, and after every welcome.

The times in it are those of the server's clock, whatever ours says: the welcome tells what
time it is, and we count from there. A statement that is over is inert, and so is one that is
older than what is known of the same peer: nothing is achieved by saying it again.

Until a ban ends, what the server says of a peer's sessions is kept, so that one who is let
in again a moment too soon for our clock is not missed.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from thkmesh.core.allowance import Allowance
from thkmesh.core.identity import SessionKey
from thkmesh.peer import Peer

__all__ = ["ANSWER_TIMEOUT", "EXPULSION_LIMIT", "Expulsions", "Hearsay", "Requests", "Statement"]

EXPULSION_LIMIT: Final = 256
"""So many peers may be kept out at one time; then the one whose time ends first is forgotten."""

ANSWER_TIMEOUT: Final = 10.0
"""Seconds that the server has to answer who asks it to remove somebody."""

CLAIMS: Final = 16
CLAIM_INTERVAL: Final = 2.0
"""So many statements a peer may pass on at once, and seconds for one more."""

_PASSED: Final = 512
"""So many it is remembered of that both ends of a link have them."""


class Statement(Struct, frozen=True):
    """A genuine statement: what its body says, and how to pass it on.

    ``at`` and ``until`` are milliseconds by the server's clock.
    """

    user_id: str
    at: int
    until: int
    reason: str
    body: str
    signature: str


class Expulsions:
    """Tells who is kept out, and who wants to come in meanwhile."""

    def __init__(self) -> None:
        """Begin knowing nobody, and not what time it is."""
        self._offset: float | None = None
        self._statements: dict[str, Statement] = {}
        self._held: dict[SessionKey, tuple[Peer, bool]] = {}

    def synchronise(self, time: int, now: float) -> None:
        """Take the server's time, in milliseconds; 0 if it does not tell."""
        self._offset = time / 1000 - now if time else None

    def take(self, statement: Statement, now: float) -> bool:
        """Take a statement; False if it says nothing new, or is over."""
        known = self._statements.get(statement.user_id)
        if not self._holds(statement, now) or (known is not None and known.at >= statement.at):
            return False
        if known is None and len(self._statements) >= EXPULSION_LIMIT:
            first = min(self._statements.values(), key=lambda each: (each.until, each.user_id))
            del self._statements[first.user_id]
        self._statements[statement.user_id] = statement
        return True

    def knows(self, signature: str) -> bool:
        """Tell whether that very statement has been taken."""
        return any(each.signature == signature for each in self._statements.values())

    def bars(self, user_id: str, now: float) -> bool:
        """Tell whether a peer is kept out."""
        statement = self._statements.get(user_id)
        return statement is not None and self._holds(statement, now)

    def in_force(self, now: float) -> list[Statement]:
        """Return what holds, and forget what does not any more."""
        over = [each for each in self._statements.values() if not self._holds(each, now)]
        for each in over:
            del self._statements[each.user_id]
        return list(self._statements.values())

    def _holds(self, statement: Statement, now: float) -> bool:
        return self._offset is not None and now < statement.until / 1000 - self._offset

    # --- those who have to wait ---

    def hold(self, peer: Peer, *, sealed: bool) -> None:
        """Keep what the server says of a session that may not come in yet."""
        if len(self._held) < EXPULSION_LIMIT:
            self._held[SessionKey(peer.id, peer.sid)] = (peer, sealed)

    def release(self, key: SessionKey | None = None) -> None:
        """Forget a session that is gone, or all."""
        if key is None:
            self._held.clear()
        else:
            self._held.pop(key, None)

    def admitted(self, now: float) -> Iterable[tuple[Peer, bool]]:
        """Hand out those who need not wait any longer."""
        for key, (peer, sealed) in list(self._held.items()):
            if not self.bars(peer.id, now):
                del self._held[key]
                yield peer, sealed

    @property
    def deadline(self) -> float | None:
        """When the first of those who wait may come in."""
        ends = [self._end(peer.id) for peer, _ in self._held.values()]
        return min(ends, default=None)

    def _end(self, user_id: str) -> float:
        statement = self._statements.get(user_id)
        if statement is None or self._offset is None:
            return 0.0
        return statement.until / 1000 - self._offset


class Hearsay:
    """What one link passes on of statements, either way: each once over each connection."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._passed: set[str] = set()
        # Each has a signature to be verified, and a peer could make up any number.
        self._claims = Allowance(CLAIMS, 1 / CLAIM_INTERVAL)

    def again(self) -> None:
        """Begin anew, with a new connection: what was said over the former may be lost."""
        self._passed.clear()

    def is_news(self, signature: str) -> bool:
        """Tell whether a statement has not been passed on yet, and note that it is now."""
        if signature in self._passed:
            return False
        if len(self._passed) >= _PASSED:
            self._passed.clear()
        self._passed.add(signature)
        return True

    def is_worth_it(self, signature: str, now: float) -> bool:
        """Tell whether what the other side passes on is to be looked into."""
        return self.is_news(signature) and self._claims.take(1, now)


class Requests:
    """Those of ours to remove somebody that have not been answered."""

    def __init__(self) -> None:
        """Begin without any."""
        self._count = 0
        # By the number that the server knows: the sender's token, whom, and until when to wait.
        self._open: dict[int, tuple[int, str, float]] = {}

    def begin(self, token: int, user_id: str, now: float) -> int:
        """Return the number of a new one."""
        self._count += 1
        self._open[self._count] = (token, user_id, now + ANSWER_TIMEOUT)
        return self._count

    def done(self, user_id: str) -> list[int]:
        """Return the tokens of those that wanted that peer removed, which it is."""
        return self._take([n for n, (_, wanted, _) in self._open.items() if wanted == user_id])

    def refused(self, n: int) -> list[int]:
        """Return the token of the one that was refused, if it is one of ours."""
        return self._take([n] if n in self._open else [])

    def overdue(self, now: float) -> list[int]:
        """Return the tokens of those that have waited too long."""
        return self._take([n for n, (_, _, by) in self._open.items() if by <= now])

    def end(self) -> list[int]:
        """Return the tokens of all: nobody will answer any more."""
        return self._take(list(self._open))

    def cancel(self, token: int) -> None:
        """Wait no longer for one; it may have been heard all the same."""
        self._take([n for n, (mine, _, _) in self._open.items() if mine == token])

    @property
    def deadline(self) -> float | None:
        """When the first has waited too long."""
        return min((by for _, _, by in self._open.values()), default=None)

    def _take(self, numbers: list[int]) -> list[int]:
        return [self._open.pop(n)[0] for n in numbers]
