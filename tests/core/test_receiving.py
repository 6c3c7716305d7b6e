"""The laws of an inbox: messages in order, acknowledged in time."""

import pytest

from thkmesh.core.frames import Ack, Begin, Fragment, Kind, Skip
from thkmesh.core.receiving import Inbox
from thkmesh.core.streams import ACK_DELAY
from thkmesh.errors import InvalidMessage

START = {0: Begin(0, 0), 1: Begin(4, 3)}


def text(stream: int, number: int, payload: bytes, *, last: bool = True) -> Fragment:
    """Return a fragment of a text."""
    return Fragment(stream, number, Kind.TEXT, last=last, payload=payload)


def test_messages_of_both_streams_come_out() -> None:
    """With the word whether they are for us alone."""
    inbox = Inbox()
    begun = [inbox.begun]
    inbox.begin(START)
    begun.append(inbox.begun)
    assert begun == [False, True]
    assert inbox.receive(text(0, 0, b"to all"), 0.0) == ("to all", False)
    assert inbox.receive(text(1, 4, b"to one", last=False), 0.0) is None
    assert inbox.receive(text(1, 5, b" alone"), 0.0) == ("to one alone", True)
    assert inbox.expected == {0: 1, 1: 6}


def test_streams_go_on_over_another_connection() -> None:
    """Where they began is news once."""
    inbox = Inbox()
    inbox.begin(START)
    inbox.receive(text(0, 0, b"one"), 0.0)
    inbox.begin({0: Begin(7, 7)})
    assert inbox.expected == {0: 1, 1: 4}


def test_what_arrived_is_acknowledged_once_and_soon() -> None:
    """A while after the first, so that several share it; at once after a skip."""
    inbox = Inbox()
    inbox.begin(START)
    assert inbox.acknowledge() is None
    for second in (1.0, 1.01):
        inbox.receive(text(0, inbox.expected[0], b"x"), second)
    due = [inbox.ack_due]
    assert inbox.acknowledge() == Ack({0: 2, 1: 4})
    due.append(inbox.ack_due)
    assert inbox.skip(Skip(1, Begin(9, 5)), 2.0) == 2
    due.append(inbox.ack_due)
    assert due == [1.0 + ACK_DELAY, None, 2.0]
    assert inbox.acknowledge() == Ack({0: 2, 1: 9})


def test_what_is_malformed_does_not_come_again() -> None:
    """It is refused, and what follows is expected: else it would be sent for ever."""
    inbox = Inbox()
    inbox.begin(START)
    with pytest.raises(InvalidMessage, match="malformed"):
        inbox.receive(text(0, 0, b"\xff"), 0.0)
    assert inbox.expected[0] == 1


def test_a_stream_begins_before_it_goes_on() -> None:
    """Fragments and skips of one that has not begun are refused."""
    inbox = Inbox()
    with pytest.raises(InvalidMessage, match="begun"):
        inbox.receive(text(0, 0, b"x"), 0.0)
    with pytest.raises(InvalidMessage, match="begun"):
        inbox.skip(Skip(1, Begin(9, 5)), 2.0)
