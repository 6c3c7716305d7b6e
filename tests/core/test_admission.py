"""The laws of admission: so much for each source, and never more than that."""

import pytest

from thkmesh.core import admission
from thkmesh.core.admission import AdmissionRules, Denial, Pace, Turnstile, source_of

HERE = "192.0.2.1"
THERE = "192.0.2.2"
UNLIMITED = AdmissionRules(
    max_connections=0,
    address_connections=0,
    address_arrivals=0,
    address_rooms=0,
    address_guesses=0,
    message_rate=0,
    frame_rate=0,
)


def reason(denial: Denial | None) -> str | None:
    """Return the word for it."""
    return None if denial is None else denial.reason


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("10.0.0.1", "10.0.0.1"),
        ("127.0.0.1", None),
        ("127.9.9.9", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("", None),
        ("testclient", None),
        ("unknown", "unknown"),
        (None, None),
    ],
)
def test_an_address_counts_as_what_costs_something(address: str | None, source: str | None) -> None:
    """IPv4 counts alone, IPv6 by its /64, and who is on the machine itself does not."""
    assert source_of(address) == source


def test_a_source_has_so_many_connections_at_once() -> None:
    """The next is denied until one of them ends; other sources and loopback are not."""
    gate = Turnstile(AdmissionRules(address_connections=3))
    assert [reason(gate.enter(HERE, 0.0)) for _ in range(3)] == [None] * 3
    denial = gate.enter(HERE, 0.0)
    assert reason(denial) == "too-many-connections"
    assert denial
    assert denial.retry_after > 0
    assert gate.enter(THERE, 0.0) is None
    assert [gate.enter(None, 0.0) for _ in range(100)] == [None] * 100
    gate.leave(HERE, 1.0)
    assert gate.enter(HERE, 1.0) is None
    assert reason(gate.enter(HERE, 1.0)) == "too-many-connections"
    assert gate.open == 104
    assert gate.denied == {"too-many-connections": 2}


def test_a_source_opens_so_many_connections_in_time() -> None:
    """A burst, then one from time to time; when to come back is said truly."""
    gate = Turnstile(AdmissionRules(address_arrivals=0.5, address_arrivals_burst=4))
    for _ in range(4):
        assert gate.enter(HERE, 0.0) is None
        gate.leave(HERE, 0.0)
    denial = gate.enter(HERE, 0.0)
    assert denial
    assert (denial.reason, denial.retry_after) == ("rate-limited", 2.0)
    assert gate.enter(HERE, denial.retry_after) is None
    assert gate.enter(THERE, 0.0) is None


def test_there_are_so_many_connections_in_all() -> None:
    """Whoever they are from."""
    gate = Turnstile(AdmissionRules(max_connections=2))
    assert gate.enter(HERE, 0.0) is None
    assert gate.enter(None, 0.0) is None
    assert reason(gate.enter(THERE, 0.0)) == "server-full"
    assert reason(gate.enter(None, 0.0)) == "server-full"
    gate.leave(None, 0.0)
    assert gate.enter(THERE, 0.0) is None


def test_a_source_makes_so_many_rooms_in_time() -> None:
    """A burst, then one from time to time, with a connection or without."""
    gate = Turnstile(AdmissionRules(address_rooms=0.1, address_rooms_burst=2))
    assert gate.enter(HERE, 0.0) is None
    assert gate.make_room(HERE, 0.0) is None
    assert gate.make_room(HERE, 0.0) is None
    denial = gate.make_room(HERE, 0.0)
    assert denial
    assert (denial.reason, denial.retry_after) == ("rate-limited", 10.0)
    assert gate.make_room(THERE, 0.0) is None
    assert [gate.make_room(None, 0.0) for _ in range(9)] == [None] * 9
    assert gate.make_room(HERE, 10.0) is None


def test_a_source_guesses_so_often_in_time() -> None:
    """A burst, then one from time to time; other sources and loopback are not concerned."""
    gate = Turnstile(AdmissionRules(address_guesses=0.5, address_guesses_burst=3))
    assert [gate.guess(HERE, 0.0) for _ in range(3)] == [None] * 3
    denial = gate.guess(HERE, 0.0)
    assert denial
    assert (denial.reason, denial.retry_after) == ("rate-limited", 2.0)
    assert gate.guess(THERE, 0.0) is None
    assert [gate.guess(None, 0.0) for _ in range(9)] == [None] * 9
    assert gate.guess(HERE, 2.0) is None
    assert reason(gate.guess(HERE, 2.0)) == "rate-limited"


def test_a_server_that_drains_takes_nobody() -> None:
    """Not even from the machine itself."""
    gate = Turnstile(AdmissionRules())
    gate.draining = True
    assert reason(gate.enter(None, 0.0)) == "moving"
    assert gate.open == 0


def test_zero_means_without_limit() -> None:
    """For each of the rules."""
    gate = Turnstile(UNLIMITED)
    pace = Pace(UNLIMITED, 10)
    for _ in range(30_000):
        assert gate.enter(HERE, 0.0) is None
        assert gate.make_room(HERE, 0.0) is None
        assert gate.guess(HERE, 0.0) is None
        assert pace.message(0.0) is None
        assert pace.frame(0.0) is None


def test_a_source_is_forgotten_when_it_has_everything_back() -> None:
    """Not before, or forgetting would be a way around the limits; and not while it is here."""
    gate = Turnstile(AdmissionRules(address_arrivals=1, address_arrivals_burst=100))
    assert gate.enter(HERE, 0.0) is None
    gate.leave(HERE, 0.0)
    assert gate.enter(THERE, 0.0) is None
    assert gate.make_room("192.0.2.3", 299.0) is None
    assert gate.sources == 3
    assert gate.make_room("192.0.2.3", 300.0) is None
    assert gate.sources == 2
    gate.leave(THERE, 300.0)


def test_no_more_sources_are_remembered_than_there_is_space_for() -> None:
    """The one that was idle longest gives way, never one with a connection."""
    gate = Turnstile(AdmissionRules(address_arrivals=0.1, address_arrivals_burst=1))
    assert gate.enter(HERE, 0.0) is None
    for number in range(admission.SOURCES + 10):
        source = f"2001:db8:{number:x}::/64"
        assert gate.enter(source, 1.0) is None
        gate.leave(source, 1.0)
    assert gate.sources == admission.SOURCES + 1
    assert reason(gate.enter(HERE, 1.0)) == "rate-limited"
    assert gate.enter("2001:db8:0::/64", 1.0) is None, "forgotten"
    gate.leave(HERE, 2.0)


def test_a_connection_says_so_much_in_time() -> None:
    """60 messages a second, 120 at once; and when it has all of them back is said."""
    pace = Pace(AdmissionRules(), 10)
    assert [pace.message(0.0) for _ in range(120)] == [None] * 120
    denial = pace.message(0.0)
    assert denial
    assert (denial.reason, denial.retry_after) == ("rate-limited", 2.0)
    assert [pace.message(0.5) for _ in range(30)] == [None] * 30
    assert reason(pace.message(0.5)) == "rate-limited"
    assert [pace.message(2.5) for _ in range(120)] == [None] * 120


def test_large_rooms_have_more_to_say() -> None:
    """Who joins a room of a hundred greets ninety-nine."""
    pace = Pace(AdmissionRules(), 100)
    assert [pace.message(0.0) for _ in range(1200)] == [None] * 1200
    assert reason(pace.message(0.0)) == "rate-limited"
    assert [pace.message(1.0) for _ in range(600)] == [None] * 600


def test_sealed_frames_are_counted_apart() -> None:
    """Many small ones are as much work as few large ones, and cost no message."""
    pace = Pace(AdmissionRules(frame_rate=10, frame_burst=20), 10)
    assert [pace.frame(0.0) for _ in range(20)] == [None] * 20
    denial = pace.frame(0.0)
    assert denial
    assert (denial.reason, denial.retry_after) == ("rate-limited", 2.0)
    assert pace.message(0.0) is None
