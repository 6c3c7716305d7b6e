"""Comparing passwords: one hash at a time, once for all who say the same, and none in vain."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.server.world import until
from thkmesh.server import AccessSettings, Asked, Password, password
from thkmesh.server.gate import Gate, Handshake

ADA = "a" * 26


class Slow:
    """Stands in for scrypt: each hash waits until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.at_once = self.most = 0
        self._free = threading.Event()
        self._real = password._scrypt  # noqa: SLF001 - what it stands in for

    def __call__(self, text: str, salt: bytes) -> bytes:
        """Hash a text, in its own time."""
        self.begun.append(text)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self._free.wait(10)
        self.at_once -= 1
        return self._real(text, salt)

    def let_go(self) -> None:
        """Wait no longer."""
        self._free.set()


@contextmanager
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """Let hashes take as long as the test wants."""
    slow = Slow()
    with monkeypatch.context() as patch:
        patch.setattr(password, "_scrypt", slow)
        try:
            yield slow
        finally:
            slow.let_go()


async def test_who_say_the_same_at_a_time_share_one_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many members may come at once; and so do those who say the same wrong thing."""
    known = Password.of("open sesame")
    with slowly(monkeypatch) as slow:
        right = [asyncio.ensure_future(known.matches("open sesame")) for _ in range(40)]
        wrong = [asyncio.ensure_future(known.matches("open")) for _ in range(40)]
        await until(lambda: bool(slow.begun))
        slow.let_go()
        assert await asyncio.gather(*right) == [True] * 40
        assert await asyncio.gather(*wrong) == [False] * 40
        assert slow.begun == ["open sesame", "open"]
        assert await known.matches("open sesame")
        assert not await known.matches("open")
        assert slow.begun == ["open sesame", "open", "open"]


async def test_it_is_known_who_would_cost_a_hash() -> None:
    """What was right, what is being compared, and what is too long cost none."""
    known = Password.of("open sesame")
    assert not known.knows("open sesame")
    known.expect("open sesame")
    assert known.knows("open sesame")
    assert await known.matches("open sesame")
    assert known.knows("open sesame")
    assert not await known.matches("open")
    assert not known.knows("open")
    assert known.knows("x" * 300)
    question = Password.of("?")
    assert await question.matches("?")
    assert not await question.matches("\ud800"), "which is no text, and is not taken for one"


async def test_who_hangs_up_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hash is not begun any more; one that is begun is alone until it ends."""
    known = Password.of("open sesame")
    with slowly(monkeypatch) as slow:
        guesses = [asyncio.ensure_future(known.matches(f"guess {n}")) for n in range(12)]
        await until(lambda: bool(slow.begun))
        for each in guesses:
            each.cancel()
        await asyncio.wait(guesses)
        assert all(each.cancelled() for each in guesses)
        member = asyncio.ensure_future(known.matches("open sesame"))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert slow.begun == ["guess 0"], "it cannot be stopped, and is waited for"
        slow.let_go()
        assert await member
        assert slow.begun == ["guess 0", "open sesame"]
        assert slow.most == 1
        assert not known._guesses  # noqa: SLF001 - nothing else tells


async def test_whoever_hears_too_late_gives_up_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told that it cannot be known now, not that the password is wrong."""
    known = Password.of("open sesame")
    gate = Gate(AccessSettings(password=known, authenticate_timeout=0.05))
    with slowly(monkeypatch) as slow:
        asked = [Asked("lobby", ADA, f"guess {n}", Handshake()) for n in range(5)]
        found = await asyncio.gather(*(gate.decide(each) for each in asked))
        assert {getattr(each, "reason", "") for each in found} == {"unavailable"}
        slow.let_go()
        await until(lambda: not known._guesses)  # noqa: SLF001 - nothing else tells
        assert slow.begun == ["guess 0"]
