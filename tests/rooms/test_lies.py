"""What a lying signaling server can do (promise X1): keep peers apart, and nothing else.

It cannot take part: it reads no message and adds none, whichever DTLS role its
victim has; and each change to what is signed is an event at its victim.

What it can do is what a cut wire can do. It is also trusted for who is a member:
it may send one away, or show one that is gone, because for that it needs nothing
but the peers' own words. And it may stand between two peers who have never met,
with two identities of its own; then each sees another id than the other's
``room.me.id``. Comparing ids tells.
"""

import asyncio
import secrets
from collections.abc import Sequence

import pytest

from tests.rooms.liar import (
    Lie,
    LyingTransport,
    Words,
    introducing,
    introductions_in,
    is_signal,
    other_fingerprints,
    setting,
    truth,
)
from tests.rooms.members import Admit, Member, admission, connected
from tests.rooms.processes import Server
from tests.rooms.rogue import identity
from thkmesh import (
    IdentityMismatch,
    InvalidMessage,
    InvalidSignature,
    LinkChanged,
    LinkState,
    Message,
    PeerError,
    PeerJoined,
    PeerLeft,
    Refused,
)
from thkmesh.core import wire
from thkmesh.core.identity import SessionKey, hello_payload, signal_payload
from thkmesh.keys import Identity

SOON = 20.0
"""Seconds in which a victim learns of a lie; it takes milliseconds on an idle machine."""

STRANGER = "0123456789abcdef"


async def enter(
    admit: Admit, server: Server, *transports: LyingTransport, **settings: object
) -> list[Member]:
    """Let a member in for each transport, into one new room."""
    room = secrets.token_hex(8)
    return [
        await admit(url=server.url, room=room, transport=transport, name=str(n), **settings)
        for n, transport in enumerate(transports)
    ]


async def meet(admit: Admit, server: Server, lie: Lie) -> tuple[Member, Member]:
    """Let two in, who both hear a lie, and both say something; return the polite one first."""
    members = await enter(admit, server, LyingTransport(lie), LyingTransport(lie))
    for member in members:
        await member.until(lambda: bool(member.of(PeerJoined) + member.of(Refused)))  # noqa: B023
        await member.room.send("secret")
    polite, impolite = sorted(members, key=lambda member: member.key)
    return polite, impolite


def refusals(member: Member) -> list[type[PeerError]]:
    """Return the kinds of what a member refused."""
    return [type(event.error) for event in member.of(Refused)]


async def still_talking(sender: Member, receiver: Member) -> None:
    """See that one more message passes, once."""
    word = secrets.token_hex(4)
    await sender.room.send(word)
    await receiver.until(lambda: word in receiver.heard(sender))
    assert receiver.heard(sender).count(word) == 1


async def test_an_honest_wire_connects(server: Server) -> None:
    """Without a lie, what stands in the middle is not noticed: the other tests can fail."""
    async with admission() as admit:
        polite, impolite = await meet(admit, server, truth)
        await connected(polite, impolite)
        await impolite.until(lambda: impolite.heard(polite) == ["secret"])
        assert not refusals(polite) + refusals(impolite)


# --- what is signed -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["offer", "answer"])
async def test_a_rewritten_fingerprint_connects_nobody(server: Server, kind: str) -> None:
    """In either DTLS role: the victim is told, and not one byte of a message arrives."""
    lie = setting("body", other_fingerprints, kind)
    async with admission() as admit:
        pairs = await asyncio.gather(*(meet(admit, server, lie) for _ in range(20)))
        for polite, impolite in pairs:
            victim, sender = (impolite, polite) if kind == "offer" else (polite, impolite)
            await victim.until(lambda: bool(refusals(victim)), SOON)  # noqa: B023
            assert victim.of(Refused)[0].peer == sender.me
    for member in [member for pair in pairs for member in pair]:
        assert set(refusals(member)) <= {InvalidSignature}
        assert not member.of(Message)
        assert not member.linked()


INTRODUCTIONS: dict[str, tuple[Lie, type[PeerError]]] = {
    "name": (
        introducing("body", lambda body: body.replace('"name":"', '"name":"Dr ')),
        InvalidSignature,
    ),
    "key": (introducing("key", Identity.generate().public_key), IdentityMismatch),
    "id": (introducing("fromUserId", Identity.generate().id), IdentityMismatch),
    "session": (introducing("fromSid", STRANGER), InvalidSignature),
    "signature": (introducing("signature", Identity.generate().sign(b"")), InvalidSignature),
    "room": (introducing("roomId", "other"), InvalidMessage),
}

SIGNALS: dict[str, tuple[Lie, type[PeerError]]] = {
    "body": (setting("body", lambda body: body + " "), InvalidSignature),
    "number": (setting("seq", lambda seq: seq + 1), InvalidSignature),
    "no number": (setting("seq", 0), InvalidSignature),
    "sender's session": (setting("fromSid", STRANGER), InvalidSignature),
    "signature": (setting("signature", Identity.generate().sign(b"")), InvalidSignature),
    "no signature": (setting("signature", None), wire.Unsigned),
    "addressee's session": (setting("toSid", STRANGER), InvalidMessage),
    "room": (setting("roomId", "other"), InvalidMessage),
    "envelope": (setting("type", "webrtc-answer", "offer"), wire.WrongEnvelope),
}


@pytest.mark.parametrize("what", INTRODUCTIONS)
async def test_an_introduction_cannot_be_changed(server: Server, what: str) -> None:
    """Whatever is changed in it, nobody has joined for its victims, and they are told."""
    lie, error = INTRODUCTIONS[what]
    async with admission() as admit:
        members = await meet(admit, server, lie)
    for member in members:
        assert set(refusals(member)) == {error}
        assert not member.of(Message)
        assert not member.of(PeerJoined)


@pytest.mark.parametrize("what", SIGNALS)
async def test_a_signal_cannot_be_changed(server: Server, what: str) -> None:
    """Whatever is changed in it, it has no effect, and its victim is told."""
    lie, error = SIGNALS[what]
    async with admission() as admit:
        polite, impolite = await meet(admit, server, lie)
        # The polite one speaks first, so the impolite one is the first to be lied to.
        await impolite.until(lambda: bool(refusals(impolite)), SOON)
    for member in (polite, impolite):
        assert set(refusals(member)) <= {error}
        assert not member.of(Message)
        assert not member.linked()


async def test_two_peers_cannot_be_taken_for_each_other(server: Server) -> None:
    """Introductions with each other's ids are refused; so are signals in another's name."""
    ids: dict[str, str] = {}

    def learn(words: Words) -> list[Words]:
        # The victim comes last: its welcome has both.
        introduced = introductions_in(words)
        ids.update({each["fromUserId"]: each["fromSid"] for each in introduced})
        return introduced

    def other(name: str) -> dict[str, str]:
        [another] = set(ids) - {name}
        return {"fromUserId": another, "fromSid": ids[another]}

    def swap(words: Words) -> Sequence[Words]:
        for each in learn(words):
            each.update(other(each["fromUserId"]))
        return (words,)

    def rename(words: Words) -> Sequence[Words]:
        learn(words)
        if is_signal(words):
            words.update(other(words["fromUserId"]))
        return (words,)

    for lie, error in ((swap, IdentityMismatch), (rename, InvalidSignature)):
        ids.clear()
        async with admission() as admit:
            ways = (LyingTransport(), LyingTransport(), LyingTransport(lie))
            one, two, victim = await enter(admit, server, *ways)
            await connected(one, two)
            await victim.until(lambda: error in refusals(victim), SOON)  # noqa: B023
            await still_talking(one, two)
        assert set(refusals(victim)) <= {error, InvalidSignature}
        assert not victim.of(Message)


# --- what was said before -------------------------------------------------------------


async def test_doubled_and_disordered_signals_are_put_right(server: Server) -> None:
    """Signals that come twice, late and in the wrong order connect a pair all the same."""
    kept: dict[str, Words] = {}

    def disorder(words: Words) -> Sequence[Words]:
        if not is_signal(words):
            return (words,)
        before = kept.pop(words["toUserId"], None)
        if before is None:
            kept[words["toUserId"]] = words
            return ()
        return (words, before, words, before)

    async with admission() as admit:
        polite, impolite = await meet(admit, server, disorder)
        await connected(polite, impolite)
        await still_talking(polite, impolite)
        await still_talking(impolite, polite)
    assert polite.heard(impolite)[0] == impolite.heard(polite)[0] == "secret"
    assert not refusals(polite) + refusals(impolite)


async def test_what_was_said_in_another_session_is_inert(server: Server) -> None:
    """Signals of two peers' former sessions are refused; those of this one do nothing twice."""
    mine, theirs = Identity.generate(), Identity.generate()
    room = secrets.token_hex(8)

    async def acquaint(admit: Admit, way: LyingTransport) -> tuple[Member, Member]:
        one = await admit(url=server.url, room=room, identity=mine, transport=way)
        other = await admit(url=server.url, room=room, identity=theirs)
        await connected(one, other)
        return one, other

    former, now = LyingTransport(), LyingTransport()
    async with admission() as admit:
        await acquaint(admit, former)
    async with admission() as admit:
        one, other = await acquaint(admit, now)
        to_me = {"toSid": one.me.sid}
        now.inject(*former.signals)
        now.inject(*(words | to_me for words in former.signals))
        now.inject(*(words | to_me | {"fromSid": other.me.sid} for words in former.signals))
        now.inject(*now.signals)
        count = len(former.signals)
        await one.until(lambda: len(refusals(one)) == 3 * count, SOON)
        assert refusals(one) == [InvalidMessage] * count + [InvalidSignature] * 2 * count
        await still_talking(other, one)
    assert len(one.of(LinkChanged)) == 2, "connected once, and closed"


async def test_unsigned_signals_are_refused(server: Server) -> None:
    """The seed's form of a signal, and an acknowledgement of what was never sent."""
    async with admission() as admit:
        way = LyingTransport()
        victim, other = await enter(admit, server, way, LyingTransport())
        await connected(victim, other)
        envelope = {
            "roomId": victim.room.name,
            "fromUserId": other.me.id,
            "toUserId": victim.me.id,
        }
        offer = {"type": "offer", "sdp": "v=0"}
        sids = {"fromSid": other.me.sid, "toSid": victim.me.sid}
        way.inject({"type": "webrtc-offer", **envelope, "offer": offer})
        way.inject({"type": "webrtc-offer", **envelope, **sids, "offer": offer})
        way.inject({"type": "webrtc-ack", **envelope, **sids, "ack": 1_000_000})
        await victim.until(lambda: len(refusals(victim)) == 3, SOON)
        assert refusals(victim) == [wire.Unsigned, wire.Unsigned, InvalidMessage]
        await still_talking(victim, other)
        await still_talking(other, victim)


# --- what nobody signs ----------------------------------------------------------------


async def test_a_living_link_outlives_what_the_server_says(server: Server) -> None:
    """A time-out that never was, another epoch, an empty room, refusals: the link lives on."""
    async with admission() as admit:
        way = LyingTransport()
        victim, other = await enter(admit, server, way, LyingTransport())
        await connected(victim, other)
        to, room = other.key, victim.room.name
        way.inject(
            wire.PeerLeft(room, to.id, to.sid, "timeout"),
            wire.SignalRefused(to.id, to.sid, 1),
            wire.Welcome(room_id=room, epoch="another", resume="x"),
            wire.Welcome(room_id=room, epoch="a third", resume="y"),
            wire.Error("replaced", "so they say"),
        )
        await still_talking(victim, other)
        await still_talking(other, victim)
        assert [event.state for event in victim.of(LinkChanged)] == [LinkState.CONNECTED]
        assert not victim.of(PeerLeft)


async def test_the_server_may_part_peers_but_not_speak_for_them(server: Server) -> None:
    """It can send a member away, and show one of the past; neither ever says a word."""
    past = Identity.generate()
    room = secrets.token_hex(8)
    async with admission() as admit:
        ways = [LyingTransport(), LyingTransport()]
        gone = await admit(url=server.url, room=room, identity=past)
        victim, other = [await admit(url=server.url, room=room, transport=way) for way in ways]
        await connected(victim, other, gone)
        await gone.leave()
        again = await admit(url=server.url, room=room, identity=past)
        await connected(victim, other, again)
        ghosts = [words for words in ways[1].introductions if words["fromSid"] == gone.me.sid]
        ways[0].inject(wire.PeerLeft(room, *other.key, "left"))
        ways[0].inject(*ghosts)
        await victim.until(lambda: len(victim.of(PeerLeft)) == 2, SOON)
        assert [event.peer for event in victim.of(PeerLeft)] == [gone.me, other.me]
        await other.room.send("to whom it may concern")
        await still_talking(again, victim)
    assert victim.heard(other) == []
    # The goodbye of a session is remembered, so its ghost does not even appear.
    assert [event.peer for event in victim.of(PeerJoined)].count(gone.me) == 1


async def test_a_ghost_never_says_a_word(server: Server) -> None:
    """To one who has not heard its goodbye, a session of the past seems to join, and no more."""
    room = secrets.token_hex(8)
    async with admission() as admit:
        witness = LyingTransport()
        gone = await admit(url=server.url, room=room)
        await admit(url=server.url, room=room, transport=witness)
        [ghost] = witness.introductions
        await gone.leave()
        way = LyingTransport()
        victim = await admit(url=server.url, room=room, transport=way)
        way.inject(ghost)
        await victim.until(lambda: len(victim.of(PeerJoined)) == 2, SOON)
        await victim.room.send("anybody there?")
    assert gone.me in [event.peer for event in victim.of(PeerJoined)]
    assert not victim.of(Message)
    assert gone.me.id not in {e.peer.id for e in victim.of(LinkChanged) if e.state is CONNECTED}


CONNECTED = LinkState.CONNECTED


# --- a man in the middle ----------------------------------------------------------------


class ManInTheMiddle:
    """Stands between two strangers, with an identity of his own in place of each."""

    def __init__(self, room: str, members: list[Identity]) -> None:
        """Know the two before they meet."""
        one, other = sorted(member.id for member in members)
        # Who is polite stays as it was.
        self.masks = {one: identity(polite=True, to=other), other: identity(polite=False, to=one)}
        self._room = room

    def down(self, words: Words) -> Sequence[Words]:
        """Say in a mask's name, and signed by it, what its member has said."""
        for each in introductions_in(words):
            mask = self._disguise(each)
            key = SessionKey(mask.id, each["fromSid"])
            each["key"] = mask.public_key
            payload = hello_payload(self._room, key, mask.public_key, each["body"])
            each["signature"] = mask.sign(payload)
        if words["type"].startswith("webrtc-"):
            mask = self._disguise(words)
            source = SessionKey(mask.id, words["fromSid"])
            to = SessionKey(words["toUserId"], words["toSid"])
            said = words.get("seq", 0), words.get("body", "")
            words["signature"] = mask.sign(signal_payload(self._room, source, to, *said))
        return (words,)

    def _disguise(self, words: Words) -> Identity:
        mask = self.masks[words["fromUserId"]]
        words["fromUserId"] = mask.id
        return mask

    def up(self, words: Words) -> Sequence[Words]:
        """Pass on to a member what was meant for its mask."""
        for member, mask in self.masks.items():
            if words.get("toUserId") == mask.id:
                words["toUserId"] = member
        return (words,)


async def test_a_man_in_the_middle_has_other_ids(server: Server) -> None:
    """A server that signs everything anew connects two strangers, whose ids then do not match.

    Ids are what people compare: over the telephone, on a badge, in a configuration.
    Whoever compares them notices; whoever does not has met somebody, and not whom.
    """
    room = secrets.token_hex(8)
    identities = [Identity.generate(), Identity.generate()]
    man = ManInTheMiddle(room, identities)
    async with admission() as admit:
        one, other = [
            await admit(
                url=server.url,
                room=room,
                identity=each,
                transport=LyingTransport(man.down, man.up),
            )
            for each in identities
        ]
        for member, friend in ((one, other), (other, one)):
            await member.until(lambda: bool(member.linked()), SOON)  # noqa: B023
            [seen] = member.room.peers
            assert seen.id == man.masks[friend.me.id].id
            assert seen.id != friend.me.id
        assert not refusals(one) + refusals(other)
