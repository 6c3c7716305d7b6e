"""The wire is as bad as it is told to be, and as fair."""

import itertools
import socket

import pytest

from tests.faults.lab import INTERNET, Lab
from tests.faults.wire import Rules, Way, parse

UDP = bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, *range(10)])
UDP6 = bytes([0x60, 0, 0, 0, 0, 0, 17, 64, *range(32)])
TCP = bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, *range(10)])


def carried(rules: Rules, count: int, interval: float, seed: str = "1") -> list[tuple[float, int]]:
    """Return when which packet arrived, of many that leave one after the other."""
    way = Way(seed)
    way.change(rules)
    arrived: list[tuple[float, int]] = []
    for number in range(count):
        now = number * interval
        arrived += _due(way, now)
        at_once = way.take(TCP + number.to_bytes(4), now)
        if at_once is not None:
            arrived.append((now, number))
    return arrived + _due(way, float("inf"))


def _due(way: Way, now: float) -> list[tuple[float, int]]:
    found: list[tuple[float, int]] = []
    while way.deadline <= now and (due := way.deadline) != float("inf"):
        found += [(due, int.from_bytes(packet[-4:])) for packet in way.arrived(due)]
    return found


def test_a_wire_without_rules_carries_all_at_once() -> None:
    """What it takes comes out in the same moment."""
    assert carried(Rules(), 100, 0.001) == [(number * 0.001, number) for number in range(100)]


def test_one_seed_is_one_fate() -> None:
    """The same seed loses, doubles and delays the same packets; another does not."""
    rules = Rules(delay=0.1, jitter=0.05, loss=0.1, reorder=0.1, duplicate=0.1)
    assert carried(rules, 500, 0.001) == carried(rules, 500, 0.001)
    assert carried(rules, 500, 0.001) != carried(rules, 500, 0.001, "2")


def test_jitter_keeps_the_order_and_its_bounds() -> None:
    """Every packet takes the delay, give or take the jitter, and none overtakes another."""
    arrived = carried(Rules(delay=0.1, jitter=0.05), 1_000, 0.001)
    assert [number for _, number in arrived] == list(range(1_000))
    taken = [due - number * 0.001 for due, number in arrived]
    assert min(taken) >= 0.05 - 1e-9
    assert max(taken) <= 0.15 + 1e-9
    assert max(taken) - min(taken) > 0.01


def test_a_share_of_packets_overtakes_others() -> None:
    """About that many come before packets that left earlier; none is lost."""
    arrived = carried(Rules(delay=0.1, reorder=0.05), 4_000, 0.001)
    numbers = [number for _, number in arrived]
    assert sorted(numbers) == list(range(4_000))
    early = sum(numbers[place] > number for place, number in enumerate(numbers[1:]))
    assert 100 < early < 400


def test_loss_and_duplication_are_as_frequent_as_told() -> None:
    """Of 10,000 packets one in ten is lost, and one in twenty of the rest comes twice."""
    numbers = [number for _, number in carried(Rules(loss=0.1, duplicate=0.05), 10_000, 0.001)]
    assert 8_800 < len(set(numbers)) < 9_200
    assert 300 < len(numbers) - len(set(numbers)) < 600


def test_the_rate_is_kept_and_what_waits_is_bounded() -> None:
    """At twice the rate half of the packets find no room; the rest come at the rate."""
    size = len(TCP) + 4
    rules = Rules(rate=size * 1_000.0, queue=size * 20.0)
    arrived = carried(rules, 4_000, 0.0005)
    assert len(arrived) == pytest.approx(2_000, abs=30)
    times = [due for due, _ in arrived]
    gaps = [later - due for due, later in itertools.pairwise(times)]
    assert min(gaps) >= 0.001 - 1e-9
    waited = [due - number * 0.0005 for due, number in arrived]
    assert max(waited) <= 0.0221


def test_after_a_pause_a_burst_goes_at_once() -> None:
    """As many bytes as the burst allows do not wait."""
    size = len(TCP) + 4
    arrived = carried(Rules(rate=size * 10.0, burst=size * 5.0, queue=size * 100.0), 10, 0.0)
    assert [due == 0.0 for due, _ in arrived][:5] == [True] * 5
    assert arrived[-1][0] == pytest.approx(0.5)


@pytest.mark.parametrize("udp", [UDP, UDP6], ids=["IPv4", "IPv6"])
def test_the_packet_of_a_number_is_lost_and_no_other(udp: bytes) -> None:
    """Only UDP is counted, from when it is told, and only once."""
    way = Way("1")
    assert way.take(udp, 0.0) == udp
    way.change(parse(way.rules, ["drop=3"]))
    for packet in (udp, TCP, udp, TCP, udp, udp, udp):
        way.take(packet, 0.0)
    assert len(list(way.arrived(0.0))) == 6
    assert way.counters.dropped == 1
    way.change(parse(way.rules, ["delay=0.5"]))
    way.take(udp, 1.0)
    assert list(way.arrived(1.5)) == [udp]


def test_what_is_on_its_way_arrives_though_the_wire_is_blocked() -> None:
    """Rules are for packets that enter; order is kept when they become better."""
    way = Way("1")
    way.change(Rules(delay=1.0))
    way.take(UDP, 0.0)
    way.change(Rules(block=True))
    way.take(UDP6, 0.1)
    way.change(Rules())
    assert way.take(TCP, 0.2) is None
    assert list(way.arrived(1.0)) == [UDP, TCP]
    assert way.counters.blocked == 1


def test_words_change_rules_and_nonsense_is_refused() -> None:
    """Words add to what holds, ``clear`` begins anew."""
    rules = parse(Rules(), ["delay=0.1", "block=1"])
    assert rules == Rules(delay=0.1, block=True)
    assert parse(rules, ["block=0", "loss=0.5"]) == Rules(delay=0.1, loss=0.5)
    assert parse(rules, ["clear", "jitter=0.2"]) == Rules(jitter=0.2)
    for nonsense in ("dealy=0.1", "delay=fast", "delay"):
        with pytest.raises(ValueError, match=r"dealy|fast|convert"):
            parse(rules, [nonsense])


async def test_a_wire_between_namespaces_can_be_steered(lab: Lab) -> None:
    """Packets pass, then do not, then do again; the counters know, and nonsense is answered."""
    host, wire = await lab.on_a_wire("1")
    there = lab.internet.within(lambda: _bound(INTERNET))
    here = host.namespace.within(lambda: _bound("0.0.0.0"))
    with there, here:
        here.sendto(b"1", there.getsockname())
        assert there.recv(10) == b"1"
        await wire.set("forward", block=1)
        here.sendto(b"2", there.getsockname())
        await wire.until("forward", "blocked", 1)
        await wire.set("forward", block=0, delay=0.01)
        here.sendto(b"3", there.getsockname())
        assert there.recv(10) == b"3"
        assert (await wire.counters())["forward"]["carried"] == 2
        for way, rule in (("both", {"speed": 1.0}), ("sideways", {"loss": 0.1})):
            with pytest.raises(ValueError, match=r"speed|sideways"):
                await wire.set(way, **rule)


def _bound(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.settimeout(10.0)
    return made
