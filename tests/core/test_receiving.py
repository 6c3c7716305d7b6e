"""The laws of an inbox: messages in order, acknowledged in time, and never too many."""

import pytest

from thkmesh.core.channels import Channels
from thkmesh.core.credit import READ_BYTES, WINDOW_BYTES, Budget
from thkmesh.core.frames import FRAGMENT_BYTES, Ack, Begin, Fragment, Kind, Name, Skip, Want
from thkmesh.core.link_events import ContentArrived
from thkmesh.core.receiving import Inbox
from thkmesh.core.streams import ACK_DELAY
from thkmesh.errors import InvalidMessage

ROOM = Name(0, 0, "", Begin(0, 0, 0), Begin(4, 3, 500))


def inbox(*listening: str, names: tuple[Name, ...] = (ROOM,), budget: int = 2**30) -> Inbox:
    """Return an inbox that listens to channels, and was told of some."""
    channels = Channels()
    for each in listening:
        channels.listen(each, wanted=True)
    made = Inbox(channels, Budget(budget))
    for name in names:
        made.name(name, 0.0)
    return made


def text(stream: int, number: int, payload: bytes, *, last: bool = True) -> Fragment:
    """Return a fragment of a text."""
    return Fragment(stream, number, Kind.TEXT, last=last, payload=payload)


def named(channel: int, name: str, number: int = 0) -> Name:
    """Return the name of a channel whose streams begin there."""
    return Name(channel, 0, name, *[Begin(number, number, number * 100)] * 2)


def test_messages_of_all_streams_come_out() -> None:
    """With the name of their channel, and what they cost."""
    made = inbox("x", names=(ROOM, named(7, "x")))
    assert made.receive(text(0, 0, b"to all"), 0.0) == ContentArrived("", "to all", 0, 70)
    assert made.receive(text(1, 4, b"to one", last=False), 0.0) is None
    whole = ContentArrived("", "to one alone", 1, 12 + 2 * 64)
    assert made.receive(text(1, 5, b" alone"), 0.0) == whole
    assert made.receive(text(14, 0, b""), 0.0) == ContentArrived("x", "", 14, 64)
    numbers = {stream: want.number for stream, want in made.begin().items()}
    assert numbers == {0: 1, 1: 6, 14: 1, 15: 0}


def test_streams_go_on_over_another_connection() -> None:
    """Where they began is news once, unless that lies ahead."""
    made = inbox()
    made.receive(text(0, 0, b"one"), 0.0)
    made.name(ROOM, 1.0)
    assert made.begin()[0].number == 1
    made.name(Name(0, 0, "", Begin(9, 9, 900), Begin(4, 3, 500)), 2.0)
    assert made.begin()[0].number == 9
    assert made.ack_due == ACK_DELAY


def test_what_arrived_is_acknowledged_once_and_soon() -> None:
    """A while after the first, so that several share it; at once after a skip."""
    made = inbox()
    assert made.acknowledge() is None
    for number, second in enumerate((1.0, 1.01)):
        made.receive(text(0, number, b"x"), second)
    due = [made.ack_due]
    ack = made.acknowledge()
    assert ack is not None
    assert {stream: want.number for stream, want in ack.wants.items()} == {0: 2}
    due.append(made.ack_due)
    assert made.skip(Skip(1, Begin(9, 5, 900)), 2.0) == ("", 2)
    due.append(made.ack_due)
    assert due == [1.0 + ACK_DELAY, None, 2.0]
    ack = made.acknowledge()
    assert ack is not None
    assert {stream: want.number for stream, want in ack.wants.items()} == {1: 9}


def test_what_is_malformed_does_not_come_again() -> None:
    """It is refused, and what follows is expected: else it would be sent for ever."""
    made = inbox()
    with pytest.raises(InvalidMessage, match="malformed"):
        made.receive(text(0, 0, b"\xff"), 0.0)
    assert made.begin()[0].number == 1


def test_a_stream_begins_before_it_goes_on() -> None:
    """Fragments of one that has not begun are refused; a skip means nothing yet."""
    made = inbox(names=())
    with pytest.raises(InvalidMessage, match="begun"):
        made.receive(text(0, 0, b"x"), 0.0)
    assert made.skip(Skip(1, Begin(9, 5, 900)), 2.0) == ("", 0)
    made.read(1, 100, 2.0)
    assert made.ack_due is None


def test_names_are_told_apart() -> None:
    """A channel has one name, a name one channel; rules of the future are refused."""
    made = inbox(names=(ROOM, named(1, "x")))
    made.name(named(1, "x"), 0.0)
    for odd in (named(1, "y"), named(2, "x"), Name(3, 9, "z", ROOM.everybody, ROOM.alone)):
        with pytest.raises(InvalidMessage):
            made.name(odd, 0.0)


def test_what_we_do_not_listen_to_is_thrown_away_and_read_at_once() -> None:
    """Its sender may not know yet; what it gives up then is not lost to us."""
    made = inbox(names=(ROOM, named(1, "x")))
    part = bytes(FRAGMENT_BYTES)
    for number in range(20):
        assert made.receive(text(2, number, part, last=number % 3 == 0), 1.0) is None
        if made.ack_due == 1.0:
            made.acknowledge()
    assert made.skip(Skip(2, Begin(30, 20, 2**30)), 2.0) == ("x", 0)


def test_a_sender_hears_soon_how_far_it_may_go() -> None:
    """At half the window it is told at once, and again when enough has been read."""
    made = inbox(budget=0)  # Windows do not grow.
    part = bytes(FRAGMENT_BYTES)
    due: list[float | None] = []
    for number in range(4):
        made.receive(text(0, number, part), 1.0)
        due.append(made.ack_due)
    assert due == [1.0 + ACK_DELAY, 1.0 + ACK_DELAY, 1.0, 1.0]
    assert made.acknowledge() == Ack({0: Want(4, WINDOW_BYTES)})
    made.read(0, FRAGMENT_BYTES + 64, 2.0)
    assert made.acknowledge() == Ack({0: Want(4, WINDOW_BYTES + FRAGMENT_BYTES + 64)})
    made.read(0, 3 * (FRAGMENT_BYTES + 64), 3.0)
    assert made.acknowledge() == Ack({0: Want(4, WINDOW_BYTES + 4 * (FRAGMENT_BYTES + 64))})
    made.read(0, 1, 4.0)  # more than there was has no effect
    assert made.ack_due == 4.0 + ACK_DELAY


def test_a_large_message_waits_for_the_reserve_and_is_tried_again() -> None:
    """One stream at a time has it; when it is read, the next gets it."""
    made = inbox("x", names=(ROOM, named(1, "x")), budget=0)
    part = bytes(FRAGMENT_BYTES)
    for stream in (0, 2):
        for number in range(4):
            made.receive(text(stream, number, part, last=False), 1.0)
    ack = made.acknowledge()
    assert ack is not None
    made.try_again(1.5)
    assert ack.wants[0].limit == WINDOW_BYTES + 4 * (FRAGMENT_BYTES + 64)
    assert ack.wants[2].limit == WINDOW_BYTES
    assert made.ack_due == pytest.approx(1.6)
    whole = None
    for number in range(4, 137):
        whole = made.receive(text(0, number, part[: 60 * 500], last=number == 136), 1.0)
        made.acknowledge()
    assert whole is not None
    made.read(0, whole.cost - READ_BYTES // 2, 1.05)
    ack = made.acknowledge()
    assert ack is not None
    assert ack.wants[2].limit == WINDOW_BYTES + 4 * (FRAGMENT_BYTES + 64)
    made.try_again(2.0)
    assert made.ack_due is None


def test_who_waits_for_the_reserve_does_not_catch_up() -> None:
    """After an hour without a connection it is tried once, and again a little later."""
    made = inbox("x", names=(ROOM, named(1, "x")), budget=0)
    for stream in (0, 2):
        for number in range(4):
            made.receive(text(stream, number, bytes(FRAGMENT_BYTES), last=False), 1.0)
    assert made.acknowledge() is not None
    made.try_again(1.0)
    assert made.acknowledge() is not None
    made.try_again(3600.0)
    assert made.ack_due == pytest.approx(3600.1)


def test_who_was_given_up_goes_on_where_it_was() -> None:
    """What was whole is let go; half a message is kept, and what was granted holds."""
    made = inbox()
    made.receive(text(0, 0, b"read by nobody"), 1.0)
    made.receive(text(0, 1, b"half ", last=False), 1.0)
    made.close()
    made.again()
    whole = made.receive(text(0, 2, b"of it"), 1.0)
    assert isinstance(whole, ContentArrived)
    assert whole.data == "half of it"
    made.read(0, whole.cost, 2.0)
    assert made.begin()[0].number == 3
