"""What a lying signaling server can do to pages: keep them apart, and nothing else (promise X1).

The same lies as in ``tests/rooms/test_lies.py``, in each browser; every error has the name
that it has in Python. The victims and those they should meet are in one page, in rooms of
their own, and whoever is lied to has a proxy on its way.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tests.browser.chromium import Page
from tests.browser.firefox import Firefox
from tests.browser.members import Browser
from tests.browser.proxy import Proxy, proxied
from tests.browser.residents import Resident, furnish
from tests.browser.stage import Stage
from tests.rooms.liar import (
    Lie,
    Words,
    introductions_in,
    is_signal,
    other_fingerprints,
    setting,
    truth,
)
from tests.rooms.test_lies import INTRODUCTIONS, SIGNALS
from tests.rooms.test_secrets import LIES
from thkmesh import new_secret
from thkmesh.core import wire
from thkmesh.core.identity import SessionKey, hello_payload, signal_payload
from thkmesh.keys import Identity

PAIRS = 20
"""How many are lied to with rewritten fingerprints, for each DTLS role and browser."""

BATCH = 5
"""Pairs at the same time; Chromium delays WebSockets when many are being opened."""


@dataclass(frozen=True)
class House:
    """A page, and the honest server that it is of."""

    page: Browser
    server: str

    async def pair(self, url: str) -> tuple[Resident, Resident]:
        """Let two into a room of their own, and have both say something; the polite one first."""
        room = secrets.token_hex(8)
        pair = [await Resident(self.page).enter(url, room) for _ in range(2)]
        for resident in pair:
            await resident.until("peer-joined", "refused")
            await resident.say("secret")
        polite, impolite = sorted(pair, key=lambda resident: resident.id)
        return polite, impolite


@pytest.fixture(scope="module")
def houses(stage: Stage, firefox: Firefox) -> Iterator[dict[str, House]]:
    """A page of each browser, both of one honest server."""
    things = AsyncExitStack()

    async def build() -> dict[str, House]:
        server = await things.enter_async_context(stage.server())
        context = await stage.chromium.new_context()
        things.push_async_callback(context.close)
        pages: dict[str, Browser] = {"Chromium": Page(await context.new_page()), "Firefox": firefox}
        return {name: House(page, server.url) for name, page in pages.items()}

    yield stage.perform(build())
    stage.perform(things.aclose())


@pytest.fixture(params=["Chromium", "Firefox"])
def house(
    request: pytest.FixtureRequest, stage: Stage, houses: dict[str, House]
) -> Iterator[House]:
    """A page of either browser, loaded anew; its console is silent in the end."""
    house = houses[request.param]
    stage.perform(furnish(house.page, house.server))
    yield house
    assert house.page.console == []


async def connected(*pair: Resident) -> None:
    """Wait until each has its link."""
    for resident in pair:
        await resident.until("link-changed")
        assert await resident.links() == ["connected"]


async def still_talking(sender: Resident, receiver: Resident) -> None:
    """See that one more message passes, once."""
    word = secrets.token_hex(4)
    await sender.say(word)
    assert (await receiver.hear(word, sender)).count(word) == 1


async def nothing_passed(*pair: Resident) -> None:
    """See that nobody was connected, and not one byte of a message arrived."""
    for resident in pair:
        assert await resident.of("message") == []
        assert "connected" not in await resident.links()


def test_an_honest_proxy_connects(stage: Stage, house: House) -> None:
    """Without a lie, what stands in the middle is not noticed: the other tests can fail."""

    async def play() -> None:
        async with proxied(house.server, truth) as proxy:
            polite, impolite = await house.pair(proxy.url)
            await connected(polite, impolite)
            await still_talking(polite, impolite)
            await still_talking(impolite, polite)
            assert (await impolite.hear("secret", polite))[0] == "secret"
            assert (await polite.hear("secret", impolite))[0] == "secret"
            assert await polite.refusals() == await impolite.refusals() == []
            assert proxy.signals
            await asyncio.gather(polite.leave(), impolite.leave())

    stage.perform(play())


@pytest.mark.parametrize("kind", ["offer", "answer"])
def test_a_rewritten_fingerprint_connects_nobody(stage: Stage, house: House, kind: str) -> None:
    """In either DTLS role: the victim is told, and not one byte of a message arrives."""

    async def deceive(proxy: Proxy) -> None:
        polite, impolite = await house.pair(proxy.url)
        victim, sender = (impolite, polite) if kind == "offer" else (polite, impolite)
        await victim.until("refused")
        assert (await victim.of("refused"))[0]["peer"] == sender.id
        for resident in (polite, impolite):
            assert set(await resident.refusals()) <= {"InvalidSignature"}
        await nothing_passed(polite, impolite)
        await asyncio.gather(polite.leave(), impolite.leave())

    async def play() -> None:
        async with proxied(house.server, setting("body", other_fingerprints, kind)) as proxy:
            for _ in range(PAIRS // BATCH):
                await asyncio.gather(*(deceive(proxy) for _ in range(BATCH)))

    stage.perform(play())


@pytest.mark.parametrize("what", INTRODUCTIONS)
def test_an_introduction_cannot_be_changed(stage: Stage, house: House, what: str) -> None:
    """Whatever is changed in it, nobody has joined for its victims, and they are told."""
    lie, error = INTRODUCTIONS[what]

    async def play() -> None:
        async with proxied(house.server, lie) as proxy:
            pair = await house.pair(proxy.url)
            for resident in pair:
                assert set(await resident.refusals()) == {error.__name__}
                assert await resident.of("peer-joined") == []
            await nothing_passed(*pair)
            await asyncio.gather(*(resident.leave() for resident in pair))

    stage.perform(play())


@pytest.mark.parametrize("what", SIGNALS)
def test_a_signal_cannot_be_changed(stage: Stage, house: House, what: str) -> None:
    """Whatever is changed in it, it has no effect, and its victim is told."""
    lie, error = SIGNALS[what]

    async def play() -> None:
        async with proxied(house.server, lie) as proxy:
            polite, impolite = await house.pair(proxy.url)
            # The polite one speaks first, so the impolite one is the first to be lied to.
            await impolite.until("refused")
            for resident in (polite, impolite):
                assert set(await resident.refusals()) <= {error.__name__}
            await nothing_passed(polite, impolite)
            await asyncio.gather(polite.leave(), impolite.leave())

    stage.perform(play())


class Swap:
    """Takes two members for each other, in introductions or in signals."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self._sids: dict[str, str] = {}

    def introductions(self, words: Words) -> Sequence[Words]:
        """Give the two each other's ids where they are introduced."""
        for each in self._learn(words):
            each.update(self._other(each["fromUserId"]))
        return (words,)

    def signals(self, words: Words) -> Sequence[Words]:
        """Say that each signal of one is the other's."""
        self._learn(words)
        if is_signal(words):
            words.update(self._other(words["fromUserId"]))
        return (words,)

    def _learn(self, words: Words) -> list[Words]:
        # The victim comes last: its welcome has both.
        introduced = introductions_in(words)
        self._sids.update({each["fromUserId"]: each["fromSid"] for each in introduced})
        return introduced

    def _other(self, name: str) -> Words:
        [another] = set(self._sids) - {name}
        return {"fromUserId": another, "fromSid": self._sids[another]}


@pytest.mark.parametrize(
    ("what", "error"),
    [("introductions", "IdentityMismatch"), ("signals", "InvalidSignature")],
)
def test_two_peers_cannot_be_taken_for_each_other(
    stage: Stage, house: House, what: str, error: str
) -> None:
    """Introductions with each other's ids are refused; so are signals in another's name."""
    lie: Lie = getattr(Swap(), what)

    async def play() -> None:
        async with proxied(house.server, lie) as proxy:
            room = secrets.token_hex(8)
            one, two = [await Resident(house.page).enter(house.server, room) for _ in range(2)]
            await connected(one, two)
            victim = await Resident(house.page).enter(proxy.url, room)
            await victim.until("refused")
            await still_talking(one, two)
            assert (await victim.refusals())[0] == error
            assert set(await victim.refusals()) <= {error, "InvalidSignature"}
            await nothing_passed(victim)
            await asyncio.gather(one.leave(), two.leave(), victim.leave())

    stage.perform(play())


def test_what_was_said_in_another_session_is_inert(stage: Stage, house: House) -> None:
    """Signals of two peers' former sessions are refused; those of this one do nothing twice."""
    room, ours = secrets.token_hex(8), [secrets.token_hex(8) for _ in range(2)]

    async def acquaint(proxy: Proxy) -> tuple[Resident, Resident]:
        one = await Resident(house.page, ours[0]).enter(proxy.url, room)
        other = await Resident(house.page, ours[1]).enter(house.server, room)
        await connected(one, other)
        return one, other

    async def play() -> None:
        async with proxied(house.server) as former, proxied(house.server) as now:
            for resident in await acquaint(former):
                await resident.leave()
            one, other = await acquaint(now)
            to_me = {"toSid": one.sid}
            await now.inject(*former.signals)
            await now.inject(*(words | to_me for words in former.signals))
            forged = {**to_me, "fromSid": other.sid}
            await now.inject(*(words | forged for words in former.signals))
            await now.inject(*now.signals)
            count = len(former.signals)
            await still_talking(other, one)
            expected = ["InvalidMessage"] * count + ["InvalidSignature"] * 2 * count
            await one.until("refused", count=len(expected))
            assert await one.refusals() == expected
            assert await one.links() == ["connected"]
            await still_talking(one, other)
            await asyncio.gather(one.leave(), other.leave())

    stage.perform(play())


def test_unsigned_signals_are_refused(stage: Stage, house: House) -> None:
    """The seed's form of a signal, and an acknowledgement of what was never sent."""

    async def play() -> None:
        async with proxied(house.server) as proxy:
            room = secrets.token_hex(8)
            victim = await Resident(house.page).enter(proxy.url, room)
            other = await Resident(house.page).enter(house.server, room)
            await connected(victim, other)
            envelope = {"roomId": room, "fromUserId": other.id, "toUserId": victim.id}
            offer = {"type": "offer", "sdp": "v=0"}
            sids = {"fromSid": other.sid, "toSid": victim.sid}
            await proxy.inject(
                {"type": "webrtc-offer", **envelope, "offer": offer},
                {"type": "webrtc-offer", **envelope, **sids, "offer": offer},
                {"type": "webrtc-ack", **envelope, **sids, "ack": 1_000_000},
            )
            await victim.until("refused", count=3)
            assert await victim.refusals() == ["Unsigned", "Unsigned", "InvalidMessage"]
            await still_talking(victim, other)
            await still_talking(other, victim)
            await asyncio.gather(victim.leave(), other.leave())

    stage.perform(play())


SECRET, OTHER = new_secret(), new_secret()


def test_who_has_the_secret_meets_and_nobody_else(stage: Stage, house: House) -> None:
    """Each stranger is told of once, and hears that the room is private."""

    async def play() -> None:
        room = secrets.token_hex(8)
        one, two = [
            await Resident(house.page).enter(house.server, room, secret=SECRET) for _ in range(2)
        ]
        await connected(one, two)
        eve = await Resident(house.page).enter(house.server, room, secret=OTHER)
        guest = await Resident(house.page).enter(house.server, room)
        for resident, kind, count in (
            (one, "NotAMember", 2),
            (two, "NotAMember", 2),
            (eve, "NotAMember", 3),
            (guest, "SecretWanted", 3),
        ):
            await resident.until("refused", count=count)
            assert await resident.refusals() == [kind] * count
        await still_talking(one, two)
        await still_talking(two, one)
        for stranger in (eve, guest):
            assert await stranger.of("peer-joined") == []
            await nothing_passed(stranger)
        await asyncio.gather(*(each.leave() for each in (one, two, eve, guest)))

    stage.perform(play())


@pytest.mark.parametrize("what", LIES)
def test_a_proof_cannot_be_stripped_or_changed(stage: Stage, house: House, what: str) -> None:
    """It stands in what its peer has signed."""
    lie, _ = LIES[what]

    async def play() -> None:
        async with proxied(house.server, lie) as proxy:
            room = secrets.token_hex(8)
            pair = [
                await Resident(house.page).enter(proxy.url, room, secret=SECRET) for _ in range(2)
            ]
            for resident in pair:
                await resident.until("refused")
                assert set(await resident.refusals()) == {"InvalidSignature"}
                assert await resident.of("peer-joined") == []
            await nothing_passed(*pair)
            await asyncio.gather(*(resident.leave() for resident in pair))

    stage.perform(play())


def test_a_server_adds_no_member_of_its_own(stage: Stage, house: House) -> None:
    """One that shows no proof, somebody else's, or a made-up one, and offers: 0 are connected."""

    async def play() -> None:
        async with proxied(house.server) as proxy:
            room = secrets.token_hex(8)
            victim = await Resident(house.page).enter(proxy.url, room, secret=SECRET)
            other = await Resident(house.page).enter(house.server, room, secret=SECRET)
            await connected(victim, other)
            [genuine] = proxy.introductions
            copied = json.loads(genuine["body"])["membership"]
            for proof in ("", copied, "x" * 43):
                await proxy.inject(*made_up(room, victim, proof))
            await victim.until("refused", count=3)
            await still_talking(other, victim)
            assert await victim.refusals() == ["NotAMember"] * 3
            assert len(await victim.of("peer-joined")) == 1
            assert await victim.links() == ["connected"]
            await asyncio.gather(victim.leave(), other.leave())

    stage.perform(play())


def made_up(room: str, victim: Resident, proof: str) -> list[Words]:
    """Return the introduction of a peer that a server made up, and its offer."""
    identity = Identity.generate()
    me, to = SessionKey(identity.id, secrets.token_hex(8)), SessionKey(victim.id, victim.sid)
    body = wire.encode_body(wire.Introduction(protocol=wire.VERSIONS, membership=proof))
    signature = identity.sign(hello_payload(room, me, identity.public_key, body))
    ready = wire.PeerReady(room, *me, identity.public_key, body, signature)
    offer = wire.encode_body(wire.OfferBody(1, 1, wire.SeedDescription("offer", "v=0")))
    signed = identity.sign(signal_payload(room, me, to, 1, offer))
    signal = wire.Offer(room, me.id, to.id, me.sid, to.sid, 1, 0, offer, signed)
    return [json.loads(wire.encode(each)) for each in (ready, signal)]
