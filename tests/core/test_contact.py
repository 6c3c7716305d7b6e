"""The laws of the contact with the server: come back, but not all at once, nor in vain."""

import msgspec
import pytest

from thkmesh.core import wire
from thkmesh.core.closing import UNTRUSTED, CloseCode
from thkmesh.core.contact import (
    DOUBT_TIMEOUT,
    GREETING_TIMEOUT,
    HUNG,
    PING_LEAST,
    PING_MOST,
    PONG_TIMEOUT,
    RETRY_AFTER_MOST,
    RETRY_BASE,
    RETRY_CAP,
    STEADY,
    CloseSocket,
    Contact,
    OpenSocket,
    RenewPermit,
    SayHello,
    SendToServer,
)
from thkmesh.errors import (
    JoinError,
    MeshError,
    NotGranted,
    ProtocolMismatch,
    Replaced,
    RoomClosed,
    RoomFull,
    ServerUnreachable,
    Unauthorized,
)
from thkmesh.events import ServerState

WELCOME = wire.Welcome(room_id="r", epoch="e", resume="secret")


def contact(*, joined: bool = False, dice: float = 0.5) -> Contact:
    """Return a contact with an open WebSocket, welcomed or not, at time 0."""
    made = Contact(lambda: dice)
    assert made.start(0.0) == [OpenSocket()]
    if joined:
        assert made.heard(WELCOME, 0.0) == []
    return made


def test_a_challenge_is_answered_with_hello() -> None:
    """The first hello resumes nothing; the next one takes up what the welcome gave."""
    mine = contact()
    challenge = wire.Challenge(nonce="n", epoch="e", protocol=(1, 1))
    assert mine.heard(challenge, 0.0) == [SayHello("n", "")]
    states = [mine.state]
    mine.heard(WELCOME, 0.0)
    states.append(mine.state)
    mine.lost(1006, "", 1.0)
    states.append(mine.state)
    assert states == [ServerState.CONNECTING, ServerState.CONNECTED, ServerState.RECONNECTING]
    mine.settle(2.0)
    assert mine.heard(challenge, 2.0) == [SayHello("n", "secret")]


def test_a_server_of_another_protocol_is_left_for_good() -> None:
    """Without a version in common there is an error instead of a retry."""
    mine = contact()
    challenge = wire.Challenge(nonce="n", epoch="e", protocol=(2, 3))
    assert mine.heard(challenge, 0.0) == [CloseSocket()]
    assert isinstance(mine.error, ProtocolMismatch)
    assert mine.deadline is None


def test_retries_wait_with_full_jitter() -> None:
    """The wait is chosen up to a bound that doubles to its cap; a good connection resets it."""
    mine = contact(dice=0.999)
    bounds = []
    now = 0.0
    for _ in range(8):
        assert mine.lost(1006, "", now) == []
        assert mine.deadline is not None
        bounds.append(round((mine.deadline - now) / 0.999, 6))
        now = mine.deadline
        assert mine.settle(now) == [OpenSocket()]
    assert bounds[0] == RETRY_BASE
    assert bounds == sorted(bounds)
    assert bounds[-1] == RETRY_CAP
    mine.heard(WELCOME, now)
    now += STEADY
    mine.lost(1006, "", now)
    assert mine.deadline == pytest.approx(now + 0.999 * RETRY_BASE)


def test_a_welcome_that_does_not_last_resets_nothing() -> None:
    """A server that takes us in and cuts us off is not asked again and again at once."""
    mine = contact(dice=0.999)
    now = 0.0
    for attempt in range(5):
        mine.heard(WELCOME, now)
        now += STEADY - 0.1
        mine.lost(1006, "", now)
        assert mine.deadline == pytest.approx(now + 0.999 * RETRY_BASE * 2**attempt)
        assert mine.deadline is not None
        now = mine.deadline
        mine.settle(now)


@pytest.mark.parametrize(
    ("message", "wait"),
    [
        (wire.Moving(2.0), 2.0),
        (wire.Moving(), 0.0),
        (wire.Error("rate-limited", "", 3.0), 3.0),
        (wire.Error("rate-limited", "", -3.0), 0.0),
        (wire.Error("rate-limited"), 0.0),
        (wire.Moving(1e300), RETRY_AFTER_MOST),
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_a_server_says_when_to_come_back(
    message: wire.ToClient, wait: float, *, joined: bool
) -> None:
    """Not before that does the jitter begin, not on another network either; within reason."""
    mine = contact(joined=joined, dice=0.999)
    mine.heard(message, 1.0)
    assert mine.lost(CloseCode.RESTARTING, "", 1.0) == []
    assert mine.deadline == pytest.approx(1.0 + wait + 0.999 * RETRY_BASE)
    mine.network_changed(1.0)
    assert mine.deadline == pytest.approx(1.0 + wait + 0.999 * RETRY_BASE)


def test_patience_asked_for_long_ago_is_no_matter() -> None:
    """What a server wanted before it was well again delays nothing."""
    mine = contact(joined=True, dice=0.999)
    mine.heard(wire.Error("rate-limited", "", 3.0), 1.0)
    mine.lost(1006, "", 19.0)
    assert mine.deadline == pytest.approx(19.0 + 0.999 * RETRY_BASE)


def test_nothing_is_opened_before_its_time() -> None:
    """While waiting, a tick does nothing."""
    mine = contact()
    mine.lost(1006, "", 0.0)
    assert mine.settle(0.01) == []


def test_a_silent_greeting_is_given_up() -> None:
    """A server that does not welcome us in time is tried again."""
    mine = contact()
    assert mine.deadline == GREETING_TIMEOUT
    assert mine.settle(GREETING_TIMEOUT) == [CloseSocket()]
    assert mine.state is ServerState.CONNECTING


def test_a_connected_server_is_pinged() -> None:
    """Pings go out at the interval of the welcome; an answer keeps the WebSocket."""
    mine = contact(joined=True)
    assert mine.deadline == 20.0
    assert mine.settle(20.0) == [SendToServer(wire.Ping(1))]
    mine.heard(wire.Pong(1), 20.1)
    assert mine.settle(40.0) == [SendToServer(wire.Ping(2))]


@pytest.mark.parametrize(("asked", "done"), [(1e-9, PING_LEAST), (7.5, 7.5), (1e300, PING_MOST)])
def test_a_server_chooses_the_ping_interval_within_reason(asked: float, done: float) -> None:
    """It can neither keep us busy with pings, nor have us wait for ever on a dead WebSocket."""
    mine = contact()
    mine.heard(msgspec.structs.replace(WELCOME, ping_interval=asked), 0.0)
    assert mine.deadline == done
    assert mine.settle(done) == [SendToServer(wire.Ping(1))]
    assert mine.deadline == min(2 * done, done + PONG_TIMEOUT)


def test_an_unanswered_ping_means_lost() -> None:
    """A WebSocket on which nothing answers is closed and replaced."""
    mine = contact(joined=True)
    mine.settle(20.0)
    mine.slept(5.0)
    assert mine.settle(20.0 + PONG_TIMEOUT) == []
    assert mine.settle(25.0 + PONG_TIMEOUT) == [CloseSocket()]
    assert mine.state is ServerState.RECONNECTING


def test_late_words_of_a_lost_socket_are_inert() -> None:
    """What is heard while no WebSocket is open changes nothing."""
    mine = contact()
    mine.lost(1006, "", 0.0)
    mine.slept(1.0)
    assert mine.heard(WELCOME, 0.0) == []
    assert mine.state is ServerState.CONNECTING


def test_other_words_before_the_welcome_do_not_prolong_it() -> None:
    """Only the welcome ends the greeting."""
    mine = contact()
    mine.heard(wire.Pong(), 5.0)
    assert mine.deadline == GREETING_TIMEOUT


@pytest.mark.parametrize(
    ("code", "joined", "kind"),
    [
        (CloseCode.UNAUTHORIZED, False, Unauthorized),
        (CloseCode.PROTOCOL_MISMATCH, False, ProtocolMismatch),
        (CloseCode.ROOM_FULL, False, RoomFull),
        (CloseCode.REPLACED, True, Replaced),
        (CloseCode.NOT_GRANTED, False, NotGranted),
        (CloseCode.NOT_GRANTED, True, NotGranted),
        (CloseCode.INVALID, False, JoinError),
        (CloseCode.INVALID, True, RoomClosed),
    ],
)
def test_a_final_code_ends_it_with_its_error(
    code: CloseCode, joined: bool, kind: type[MeshError]
) -> None:
    """A code that says never ends the contact with the error of that code."""
    mine = contact(joined=joined)
    assert mine.lost(code, "", 1.0) == [CloseSocket()]
    assert type(mine.error) is kind
    assert mine.state is ServerState.CLOSED
    assert mine.deadline is None


@pytest.mark.parametrize("code", [CloseCode.ROOM_FULL, CloseCode.RESTARTING, 4999, 1006])
def test_who_was_in_comes_back(code: int) -> None:
    """A full room after a restart, and any unknown code, are tried again."""
    mine = contact(joined=True)
    assert mine.lost(code, "", 1.0) == []
    assert mine.state is ServerState.RECONNECTING
    assert mine.error is None


def test_who_was_in_waits_until_somebody_makes_the_room_again() -> None:
    """After a restart the first one may lack ``create``; the moderator will come too."""
    mine = contact(joined=True)
    mine.lost(CloseCode.RESTARTING, "restart", 1.0)
    for now in (10.0, 20.0):
        assert mine.settle(now) == [OpenSocket()]
        assert mine.lost(CloseCode.NOT_GRANTED, "not-granted", now) == []
        assert mine.state is ServerState.RECONNECTING
    mine.settle(30.0)
    mine.heard(WELCOME, 30.0)
    assert mine.lost(CloseCode.NOT_GRANTED, "not-granted", 31.0) == [CloseSocket()]
    assert type(mine.error) is NotGranted


def test_leaving_says_goodbye_where_somebody_listens() -> None:
    """The goodbye goes out to a server that may know us; closing is not an error."""
    mine = contact(joined=True)
    assert mine.leave() == [SendToServer(wire.Leave()), CloseSocket()]
    assert mine.error is None
    assert contact().leave() == [CloseSocket()]
    hasty = contact()
    hasty.heard(wire.Challenge(nonce="n", epoch="e", protocol=(1, 1)), 0.0)
    assert hasty.leave() == [SendToServer(wire.Leave()), CloseSocket()]
    away = contact(joined=True)
    away.lost(1006, "", 1.0)
    assert away.leave() == [CloseSocket()]


def test_a_server_that_is_not_trusted_is_left_for_good() -> None:
    """Who has never been in gives up at once; who was in comes back, as after any break."""
    mine = contact()
    assert mine.lost(UNTRUSTED, "self-signed", 1.0) == [CloseSocket()]
    assert (mine.state, mine.deadline) == (ServerState.CLOSED, None)
    assert isinstance(mine.error, ServerUnreachable)
    assert str(mine.error) == "self-signed"
    back = contact(joined=True)
    assert back.lost(UNTRUSTED, "self-signed", 1.0) == []
    assert back.state is ServerState.RECONNECTING
    assert back.deadline is not None


def test_a_change_of_the_network_ends_the_wait_for_a_retry() -> None:
    """It comes within the first, shortest wait, however many have failed."""
    mine = contact(dice=0.999)
    now = 0.0
    for _ in range(9):
        mine.lost(1006, "", now)
        assert mine.deadline is not None
        now = mine.deadline
        mine.settle(now)
    mine.lost(1006, "", now)
    assert mine.deadline is not None
    assert mine.deadline > now + RETRY_BASE
    mine.network_changed(now)
    assert now < mine.deadline <= now + RETRY_BASE
    assert mine.settle(now + RETRY_BASE) == [OpenSocket()]


def test_a_change_of_the_network_delays_no_retry() -> None:
    """One that is due sooner stays so."""
    mine = contact(dice=0.5)
    mine.lost(1006, "", 0.0)
    due = mine.deadline
    assert due is not None
    mine.network_changed(due)
    assert mine.deadline == due


def test_after_a_change_of_the_network_the_server_is_asked_whether_it_is_there() -> None:
    """An answer is all it needs; without one, in a short while, the WebSocket is given up."""
    mine = contact(joined=True)
    assert mine.network_changed(5.0) == [SendToServer(wire.Ping(1))]
    assert mine.deadline == 5.0 + DOUBT_TIMEOUT
    mine.heard(wire.Pong(1), 5.1)
    assert mine.settle(20.0) == []
    assert mine.network_changed(21.0) == [SendToServer(wire.Ping(2))]
    assert mine.settle(21.0 + DOUBT_TIMEOUT) == [CloseSocket()]
    assert mine.state is ServerState.RECONNECTING


def test_a_server_that_answers_slowly_has_longer() -> None:
    """Four times what its last answer took, but not beyond what it has anyway."""
    for trip, patience in ((0.1, DOUBT_TIMEOUT), (1.0, 4.0), (9.0, PONG_TIMEOUT)):
        mine = contact(joined=True)
        mine.network_changed(0.0)
        mine.heard(wire.Pong(7), 0.01)
        mine.heard(wire.Pong(1), trip)
        mine.network_changed(10.0)
        assert mine.deadline == 10.0 + patience


def test_an_attempt_that_hangs_as_the_network_changes_is_begun_anew() -> None:
    """It is on its way from an address that is gone; one that has just begun gets little time."""
    mine = contact()
    assert mine.network_changed(0.5) == []
    assert mine.deadline == 0.5 + DOUBT_TIMEOUT
    assert mine.network_changed(HUNG) == [CloseSocket()]
    assert mine.deadline is not None
    assert mine.deadline <= HUNG + RETRY_BASE
    young = contact()
    young.slept(60.0)
    assert young.network_changed(60.5) == []


def test_a_conversation_that_is_over_stays_over() -> None:
    """No change of the network brings back who was told not to come."""
    mine = contact()
    mine.lost(CloseCode.REPLACED, "", 0.0)
    assert mine.network_changed(1.0) == []
    assert mine.deadline is None


def test_a_fresh_token_is_shown_when_the_server_asks() -> None:
    """Only once we are in; any other word about the permit is just noted."""
    asked = wire.Admitted(60.0, ("join", "send"), renew=True)
    mine = contact()
    assert mine.heard(asked, 0.0) == []
    mine = contact(joined=True)
    assert mine.grants == WELCOME.grants
    assert mine.heard(asked, 1.0) == [RenewPermit()]
    assert mine.heard(wire.Admitted(600.0, ("join",)), 2.0) == []
    assert mine.grants == ("join",)


def test_who_was_closed_for_its_token_comes_back_with_another() -> None:
    """An end is no refusal; a token that is refused is, and what is not granted too."""
    mine = contact(joined=True)
    mine.lost(CloseCode.TOKEN_EXPIRED, "token-expired", 1.0)
    assert (mine.state, mine.error) == (ServerState.RECONNECTING, None)
    for code, kind in ((CloseCode.UNAUTHORIZED, Unauthorized), (CloseCode.NOT_GRANTED, NotGranted)):
        mine = contact()
        mine.lost(code, "", 1.0)
        assert type(mine.error) is kind
