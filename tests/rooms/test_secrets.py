"""What a lying signaling server can do to a room with a secret: keep peers apart, and no more.

In a room without one it may add members of its own, and stand between two who have never
met (``test_lies``). With a secret it can do neither: 0 are connected, and who is lied to is
told so once.
"""

import re
import secrets

import pytest

from tests.rooms.liar import Lie, LyingTransport, introducing, truth
from tests.rooms.members import admission, connected
from tests.rooms.processes import Server
from tests.rooms.rogue import Rogue, identity
from tests.rooms.test_lies import SOON, ManInTheMiddle, refusals, still_talking
from thkmesh import (
    InvalidSignature,
    LinkChanged,
    NotAMember,
    PeerError,
    PeerJoined,
    SecretWanted,
    new_secret,
)
from thkmesh.core import wire
from thkmesh.keys import Identity

SECRET = new_secret()
_PROOF = re.compile(r',"membership":"[^"]*"')


async def test_who_has_the_secret_meets_and_nobody_else(server: Server) -> None:
    """Each stranger is told of once, whatever it says, and hears that the room is private."""
    room = secrets.token_hex(8)
    place = {"url": server.url, "room": room}
    async with admission() as admit:
        ada = await admit(**place, secret=SECRET)
        bob = await admit(**place, secret=SECRET)
        await connected(ada, bob)
        eve = await admit(**place, secret=new_secret())
        guest = await admit(**place)
        for member, count in ((ada, 2), (bob, 2), (eve, 3), (guest, 3)):
            await member.until(lambda: len(refusals(member)) == count, SOON)  # noqa: B023
        liar = Rogue(server.url, room, identity(polite=True, to=ada.me.id), ada.me.id)
        liar.client.open()
        await ada.until(lambda: len(refusals(ada)) == 3, SOON)
        for generation in range(1, 4):
            body = wire.OfferBody(generation, generation, wire.SeedDescription("offer", "v=0"))
            liar.say(ada.key, wire.encode_body(body), wire.Offer)
        await still_talking(ada, bob)
        await still_talking(bob, ada)
        await liar.leave()
    for member in (ada, bob):
        assert len(member.of(PeerJoined)) == 1
        assert refusals(member) == [NotAMember] * 3
    assert refusals(eve)[:3] == [NotAMember] * 3
    assert set(refusals(guest)) == {SecretWanted}
    assert not eve.of(PeerJoined) + eve.of(LinkChanged)
    # Those without a secret are a room of their own.
    assert {event.peer.id for event in guest.of(PeerJoined)} == {liar.me.id}


LIES: dict[str, tuple[Lie, set[type[PeerError]]]] = {
    "stripped": (introducing("body", lambda body: _PROOF.sub("", body)), {InvalidSignature}),
    "changed": (
        introducing("body", lambda body: _PROOF.sub(f',"membership":"{"x" * 43}"', body)),
        {InvalidSignature},
    ),
    "re-keyed": (introducing("signature", Identity.generate().sign(b"")), {InvalidSignature}),
}


@pytest.mark.parametrize("what", LIES)
async def test_a_proof_cannot_be_stripped_or_changed(server: Server, what: str) -> None:
    """It stands in what its peer has signed."""
    lie, errors = LIES[what]
    place = {"url": server.url, "room": secrets.token_hex(8), "secret": SECRET}
    async with admission() as admit:
        pair = [await admit(**place, transport=LyingTransport(lie)) for _ in range(2)]
        for member in pair:
            await member.until(lambda: bool(refusals(member)), SOON)  # noqa: B023
    for member in pair:
        assert set(refusals(member)) == errors
        assert not member.of(PeerJoined)


@pytest.mark.parametrize("secret", [SECRET, None], ids=["secret", "none"])
async def test_a_man_in_the_middle_is_no_member(server: Server, secret: str | None) -> None:
    """Who signs everything anew has not the secret; without one both are taken in."""
    room = secrets.token_hex(8)
    identities = [Identity.generate(), Identity.generate()]
    man = ManInTheMiddle(room, identities)
    place = {"url": server.url, "room": room, "secret": secret}
    async with admission() as admit:
        pair = [
            await admit(**place, identity=each, transport=LyingTransport(man.down, man.up))
            for each in identities
        ]
        for member in pair:
            news = PeerJoined if secret is None else None
            await member.until(
                lambda: bool(member.of(PeerJoined) if news else refusals(member)),  # noqa: B023
                SOON,
            )
    for member in pair:
        if secret is None:
            assert member.of(PeerJoined)
        else:
            assert refusals(member) == [NotAMember]
            assert not member.of(PeerJoined) + member.of(LinkChanged)


async def test_the_server_never_hears_the_secret(server: Server) -> None:
    """Nothing that a client says has it in it, whole or in part."""
    said: list[str] = []

    def note(words: dict[str, object]) -> list[dict[str, object]]:
        said.append(str(words))
        return [words]

    place = {"url": server.url, "room": secrets.token_hex(8), "secret": SECRET}
    async with admission() as admit:
        pair = [await admit(**place, transport=LyingTransport(truth, note)) for _ in range(2)]
        await connected(*pair)
        await still_talking(*pair)
    assert any('"membership"' in words for words in said)
    assert not [words for words in said if SECRET[:11] in words or SECRET[11:] in words]
