"""Who is removed from the room, as one session sees it; the lives in the vectors say more."""

from thkmesh.core.expulsion import (
    ANSWER_TIMEOUT,
    CLAIM_INTERVAL,
    CLAIMS,
    EXPULSION_LIMIT,
    Expulsions,
    Hearsay,
    Requests,
    Statement,
)
from thkmesh.core.identity import SessionKey
from thkmesh.peer import Peer

EPOCH = 1_800_000_000_000


def statement(who: str, until: float, at: float = 0.0) -> Statement:
    """Return one whose times are seconds of the server's life."""
    begin, end = (EPOCH + int(second * 1000) for second in (at, until))
    return Statement(who, begin, end, "", "body", f"signature {who} {at}")


def known(now: float = 100.0) -> Expulsions:
    """Return what knows the time: it is 0 for the server, ``now`` for us."""
    expulsions = Expulsions()
    expulsions.synchronise(EPOCH, now)
    return expulsions


def test_the_servers_clock_counts() -> None:
    """However far ours is from it."""
    expulsions = known()
    assert expulsions.take(statement("x", 60.0), 100.0)
    assert expulsions.bars("x", 159.9)
    assert not expulsions.bars("x", 160.0)
    assert not expulsions.bars("y", 100.0)


def test_a_statement_that_is_over_or_old_is_inert() -> None:
    """It cannot be replayed: neither after its time, nor against a newer one."""
    expulsions = known()
    assert not expulsions.take(statement("x", 60.0), 160.0)
    assert expulsions.take(statement("x", 60.0, 1.0), 101.0)
    assert not expulsions.take(statement("x", 60.0, 1.0), 101.0)
    assert not expulsions.take(statement("x", 90.0, 0.5), 101.0)
    assert expulsions.take(statement("x", 30.0, 2.0), 102.0)
    assert not expulsions.bars("x", 130.0)


def test_without_the_time_nothing_holds() -> None:
    """Before the first welcome, and with a server that does not tell it."""
    expulsions = Expulsions()
    assert not expulsions.take(statement("x", 60.0), 0.0)
    expulsions = known()
    expulsions.take(statement("x", 60.0), 100.0)
    expulsions.hold(Peer("x", "0"), sealed=False)
    expulsions.synchronise(0, 100.0)
    assert not expulsions.bars("x", 100.0)
    assert expulsions.deadline == 0.0
    assert list(expulsions.admitted(100.0)) == [(Peer("x", "0"), False)]


def test_what_holds_is_told_and_what_is_over_forgotten() -> None:
    """So what a link is told when it comes up does not grow for ever."""
    expulsions = known()
    short, long = statement("x", 10.0), statement("y", 20.0)
    for each in (short, long):
        expulsions.take(each, 100.0)
    assert expulsions.in_force(100.0) == [short, long]
    assert expulsions.in_force(110.0) == [long]
    assert expulsions.knows(long.signature)
    assert not expulsions.knows(short.signature)


def test_so_many_are_kept_out_at_one_time() -> None:
    """Beyond that the one whose time ends first may come in."""
    expulsions = known()
    for number in range(EXPULSION_LIMIT + 1):
        expulsions.take(statement(f"{number:03}", 60.0 + number % 2), 100.0)
    assert not expulsions.bars("000", 100.0)
    assert expulsions.bars("001", 100.0)
    assert len(expulsions.in_force(100.0)) == EXPULSION_LIMIT


def test_who_comes_too_soon_waits_until_its_time() -> None:
    """It is handed out once; a bounded number of them, and none that is gone."""
    expulsions = known()
    expulsions.take(statement("x", 60.0), 100.0)
    peers = [Peer("x", str(number)) for number in range(EXPULSION_LIMIT + 1)]
    for peer in peers:
        expulsions.hold(peer, sealed=True)
    expulsions.release(SessionKey("x", "0"))
    assert expulsions.deadline == 160.0
    assert list(expulsions.admitted(159.0)) == []
    assert list(expulsions.admitted(160.0)) == [(peer, True) for peer in peers[1:-1]]
    assert not expulsions.deadline
    expulsions.hold(peers[0], sealed=True)
    expulsions.release()
    assert list(expulsions.admitted(160.0)) == []


def test_a_statement_passes_once_over_each_connection() -> None:
    """Either way; and what a peer passes on is looked into so often, and no more."""
    hearsay = Hearsay()
    assert hearsay.is_news("a")
    assert not hearsay.is_worth_it("a", 0.0)
    hearsay.again()
    assert hearsay.is_worth_it("a", 0.0)
    heard = [hearsay.is_worth_it(f"forged {number}", 0.0) for number in range(1000)]
    assert sum(heard) == CLAIMS - 1
    assert hearsay.is_worth_it("b", CLAIM_INTERVAL)


def test_a_request_ends_one_way_or_another() -> None:
    """Done, refused, overdue, cancelled, or with all others."""
    requests = Requests()
    numbers = [requests.begin(token, who, 0.0) for token, who in enumerate("xyxzz")]
    assert requests.done("x") == [0, 2]
    assert requests.refused(numbers[0]) == []
    assert requests.refused(numbers[1]) == [1]
    requests.cancel(3)
    assert requests.deadline == ANSWER_TIMEOUT
    assert requests.overdue(ANSWER_TIMEOUT - 0.1) == []
    assert requests.overdue(ANSWER_TIMEOUT) == [4]
    assert not requests.deadline
    requests.begin(5, "x", 0.0)
    assert requests.end() == [5]
