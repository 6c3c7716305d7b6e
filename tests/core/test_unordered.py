"""The laws of streams in any order: each message once, as soon as it is whole, exactly counted."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.core.credit import WINDOW_BYTES, WINDOW_LIMIT_BYTES, Budget
from thkmesh.core.frames import (
    FRAGMENT_BYTES,
    MESSAGE_LIMIT_BYTES,
    OVERHEAD_BYTES,
    Begin,
    Fragment,
    Kind,
    Want,
    datagram,
    parse,
)
from thkmesh.core.streams import Log, Outgoing, Whole
from thkmesh.core.unordered import Scattered
from thkmesh.errors import InvalidMessage

STREAM = 4
FAR = 2**40
START = Begin(0, 0, 0)


def part(
    number: int, payload: bytes = b"", *, first: bool = True, last: bool = True, kind: int = 1
) -> Fragment:
    """Return a fragment that comes in."""
    return Fragment(STREAM, number, kind, last, payload, first)


def coming(budget: Budget | None = None) -> Scattered:
    """Return the receiving end of a stream."""
    return Scattered(START, budget or Budget())


def whole(scattered: Scattered, *fragments: Fragment) -> list[bytes]:
    """Return the messages that are whole once these have come."""
    found = [scattered.receive(each) for each in fragments]
    return [each.payload for each in found if each is not None]


def test_a_message_waits_for_no_other() -> None:
    """It comes out when its last missing fragment is there; acknowledged is what has no gap."""
    scattered = coming()
    assert whole(scattered, part(3, b"three"), part(5, b"five")) == [b"three", b"five"]
    assert scattered.want().number == 0
    a, b, c = (
        part(0, b"a", last=False),
        part(1, b"b", first=False, last=False),
        part(2, b"c", first=False),
    )
    assert whole(scattered, a, c) == []
    assert scattered.assembling == 2 * 65
    assert whole(scattered, b) == [b"abc"]
    assert scattered.assembling == 0
    assert scattered.want().number == 4
    assert whole(scattered, part(4)) == [b""]
    assert scattered.want().number == 6


def test_what_came_is_not_taken_twice() -> None:
    """Behind a gap or before it; over a path that loses neither is anybody's fault."""
    scattered = coming()
    assert whole(scattered, part(0, b"x"), part(0, b"x"), part(2, b"y"), part(2, b"y")) == [
        b"x",
        b"y",
    ]
    assert scattered.receive(part(2), lossy=True) is None


@pytest.mark.parametrize(
    "fragments",
    [
        [part(0, last=False), part(1)],
        [part(1, last=False), part(0, last=False)],
        [part(1, first=False), part(0)],
        [part(0, last=False), part(1, first=False, kind=2)],
        [part(1, first=False), part(2, first=False)],
        [part(1, first=False, last=False), part(2)],
    ],
)
def test_neighbours_must_fit(fragments: list[Fragment]) -> None:
    """A message ends before the next begins, and is of one kind."""
    scattered = coming()
    with pytest.raises(InvalidMessage):
        whole(scattered, *fragments)


def test_neighbours_that_fit_are_kept_apart() -> None:
    """The end of one message and the beginning of the next are two runs."""
    scattered = coming()
    assert whole(scattered, part(1, b"b", first=False), part(2, b"c", last=False)) == []
    assert whole(scattered, part(3, b"d", first=False), part(0, b"a", last=False)) == [b"cd", b"ab"]


def test_no_message_is_larger_than_one_may_be() -> None:
    """However its fragments come."""
    scattered = coming()
    size = FRAGMENT_BYTES
    count = MESSAGE_LIMIT_BYTES // size + 1
    for number in range(count - 1):
        scattered.receive(part(number, bytes(size), first=number == 0, last=False))
        scattered.want()
    with pytest.raises(InvalidMessage, match="over 8388608 bytes"):
        scattered.receive(part(count - 1, bytes(size), first=False))


def test_no_more_is_taken_than_was_granted() -> None:
    """Wherever it stands."""
    scattered = coming()
    count = WINDOW_BYTES // (FRAGMENT_BYTES + OVERHEAD_BYTES)
    for number in range(count, 0, -1):
        scattered.receive(part(number, bytes(FRAGMENT_BYTES)))
    with pytest.raises(InvalidMessage, match="granted"):
        scattered.receive(part(0, bytes(FRAGMENT_BYTES)))


# --- what does not come -----------------------------------------------------------------


def test_who_withholds_a_fragment_is_granted_no_more() -> None:
    """What came behind it is remembered, whether it was read or not: so that has a bound."""
    scattered = coming()
    limit, cost, number = FAR, 4000 + OVERHEAD_BYTES, 0
    for number in range(1, 3 * WINDOW_LIMIT_BYTES // cost):
        if number * cost > limit:
            break
        whole(scattered, part(number, bytes(4000)))
        scattered.credit.read(cost)
        limit = scattered.want().limit
    assert WINDOW_LIMIT_BYTES < limit < number * cost
    whole(scattered, part(0))
    assert scattered.want().limit > limit


def test_a_beginning_that_is_named_again_grants_nothing() -> None:
    """Whatever position it claims, of what is expected already."""
    scattered = coming()
    before = scattered.want().limit
    assert not scattered.pass_to(Begin(0, 0, FAR))
    assert scattered.want().limit == before


def test_what_came_from_behind_a_skip_before_it_counts() -> None:
    """Exactly those are lost that were not delivered; of half a message nothing is kept."""
    budget = Budget()
    scattered = coming(budget)
    came = [
        part(1, b"b"),
        part(3, b"half", last=False),
        part(6, b"g"),
        part(8, b"half", last=False),
    ]
    assert whole(scattered, *came) == [b"b", b"g"]
    assert scattered.skip(Begin(6, 5, 900)) == 4
    assert scattered.expected == 7
    assert scattered.assembling == 68
    assert whole(scattered, part(4), part(7, b"h"), part(9, b"!", first=False)) == [b"h", b"half!"]
    assert scattered.skip(Begin(6, 5, 900)) == 0
    assert scattered.skip(Begin(12, 9, 2000)) == 1
    scattered.credit.read(10_000)
    assert scattered.credit.position == 2000
    assert scattered.credit.unread == 0


@pytest.mark.parametrize("to", [Begin(5, 1, 900), Begin(5, 5, 100)])
def test_a_skip_must_make_sense(to: Begin) -> None:
    """No fewer messages or bytes lie before it than have come."""
    scattered = coming()
    whole(scattered, part(0, b"x"), part(3, b"y"))
    with pytest.raises(InvalidMessage):
        scattered.skip(to)


def test_what_lies_before_a_beginning_is_not_lost() -> None:
    """It is gone to; what came from behind it is kept."""
    scattered = coming()
    whole(scattered, part(9, b"nine"), part(2, b"half", last=False))
    assert scattered.pass_to(Begin(9, 9, 900))
    assert scattered.expected == 10
    assert not scattered.pass_to(Begin(9, 9, 900))
    assert scattered.skip(Begin(11, 11, 2000)) == 1


def test_of_what_was_thrown_away_the_rest_is_too() -> None:
    """Wherever in its message that is; what is whole later counts all the same."""
    budget = Budget()
    scattered = coming(budget)
    whole(scattered, part(1, b"b", first=False, last=False))
    scattered.discard()
    assert scattered.assembling == 0
    assert whole(scattered, part(0, b"a", last=False), part(3, b"d")) == [b"d"]
    assert whole(scattered, part(2, b"c", first=False)) == []
    assert scattered.assembling == 0
    assert scattered.expected == 4
    assert scattered.skip(Begin(5, 3, 900)) == 1
    whole(scattered, part(5, b"e", last=False), part(6, b"f", first=False, last=False))
    scattered.discard()
    assert scattered.skip(Begin(9, 6, 2000)) == 3
    scattered.credit.discard()
    assert budget.promised == 0


# --- all together -----------------------------------------------------------------------


@given(
    sizes=st.lists(st.sampled_from([0, 1, 500, FRAGMENT_BYTES, 2 * FRAGMENT_BYTES]), max_size=9),
    data=st.data(),
)
def test_each_comes_once_whatever_the_order(sizes: list[int], data: st.DataObject) -> None:
    """With connections that are replaced and a recipient cut loose: delivered, or counted."""
    log = Log(itertools.count())
    outgoing = Outgoing(STREAM, log, ordered=False)
    outgoing.attach()
    outgoing.limit = FAR
    budget = Budget()
    scattered = coming(budget)
    scattered.credit.limit = FAR
    messages = [bytes([number]) * (size + 1) for number, size in enumerate(sizes)]
    delivered: list[Whole] = []
    lost = 0
    for each in messages:
        log.append(Kind.BYTES, each)
    for step in range(40):
        parts: list[bytes] = []
        outgoing.take(parts, FAR, None)
        frames = [frame for each in parts for frame in parse(datagram() + each)]
        came = [each for each in frames if isinstance(each, Fragment)]
        came = data.draw(st.permutations(came))
        fate = data.draw(st.sampled_from(["all", "some", "skip"])) if step < 9 else "all"
        kept = came if fate == "all" else came[: data.draw(st.integers(0, len(came)))]
        found = [scattered.receive(each) for each in kept]
        delivered += [each for each in found if each is not None]
        if fate == "skip":
            outgoing.cut_loose()
            assert outgoing.skip is not None
            lost += scattered.skip(outgoing.skip)
        outgoing.acknowledge(Want(scattered.expected, FAR))
        outgoing.rewind()
    assert scattered.expected == log.next
    assert len(delivered) + lost == len(messages)
    left = list(messages)
    for message in delivered:
        left.remove(message.payload)
    assert len(left) == lost
    assert scattered.assembling == 0
    for message in delivered:
        scattered.credit.read(message.cost)
    assert scattered.credit.unread == 0
    assert scattered.credit.position == log.end.position
