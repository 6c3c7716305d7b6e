"""Who gets in with a token, and who never does (promise X2)."""

from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.server.mint import ALL, SECRET, Signer, b64, claims, minted, signers, token
from tests.server.world import PATIENCE, Client, Server, server
from thkmesh.core.closing import CloseCode
from thkmesh.core.grants import Denied
from thkmesh.core.wire import Admitted, Error, RenewToken
from thkmesh.errors import InvalidArgument
from thkmesh.keys import Identity
from thkmesh.server import AccessSettings, key_of
from thkmesh.server.clock import today
from thkmesh.server.gate import Asked, Gate, Handshake
from thkmesh.server.keyring import Key, Keyring, secret_of

SIGNERS = signers()
KEYS = tuple(key_of(each.kid, each.pem) for each in SIGNERS)
REQUIRED = AccessSettings(secret=SECRET, keys=KEYS, require_token=True)
UNAUTHORIZED = (CloseCode.UNAUTHORIZED, "unauthorized")
NOT_GRANTED = (CloseCode.NOT_GRANTED, "not-granted")


def confused(kid: str) -> str:
    """Return a token whose secret is the public key of that name, as an attacker may know it."""
    [pem] = [each.pem for each in SIGNERS if each.kid == kid]
    return token(secret=pem, kid=kid)


def unsigned(**header: object) -> str:
    """Return a token that nobody has signed."""
    return f"{b64({'alg': 'none'} | header)}.{b64(claims())}."


def by(kid: str, algorithm: str | None = None, named: str | None = None) -> str:
    """Return a token by a key pair, under its own name and algorithm or others."""
    [signer] = [each for each in SIGNERS if each.kid == kid]
    headers = {"kid": kid if named is None else named}
    return jwt.encode(claims(), signer.private, algorithm or signer.algorithm, headers=headers)


FORGED: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "no token at all": lambda: "let me in",
    "alg none": unsigned,
    "alg none, odd case": lambda: unsigned(alg="nOnE"),
    "alg none by a key": lambda: unsigned(kid="rsa"),
    "no algorithm": lambda: unsigned(alg=None),
    "signature cut off": lambda: minted().rpartition(".")[0] + ".",
    "signature of another": lambda: ".".join(
        (*minted().split(".")[:2], minted("hall").split(".")[2])
    ),
    "claims of another": lambda: ".".join(
        (minted().split(".")[0], b64(claims(sub="")), minted().split(".")[2])
    ),
    "another secret": lambda: token(secret=b"x" * 32),
    "no secret": lambda: token(secret=b""),
    "public RSA key as a secret": lambda: confused("rsa"),
    "public P-256 key as a secret": lambda: confused("ec"),
    "public Ed25519 key as a secret": lambda: confused("ed"),
    "another hash": lambda: token(alg="HS512"),
    "an algorithm of others": lambda: token(alg="RS256"),
    "RSA, another padding": lambda: by("rsa", "PS256"),
    "RSA, another hash": lambda: by("rsa", "RS512"),
    "RSA under the name of P-256": lambda: by("rsa", named="ec"),
    "RSA under the name of the secret": lambda: by("rsa", named=""),
    "an unknown key": lambda: token(kid="unknown"),
    "a name that is no text": lambda: token(kid=["rsa"]),
    "the secret under the name of tickets": lambda: token(
        claims(aud="thkmesh-ticket", jti="1"), kid="thkmesh-ticket"
    ),
    "a critical header": lambda: token(crit=["exp"], exp=0),
    "payload not encoded": lambda: token(b64=False, crit=["b64"]),
    "a key in the header": lambda: token(jwk={"kty": "oct", "k": b64(b"x" * 32)}, secret=b"x" * 32),
    "expired": lambda: token(claims(exp=today() - 11)),
    "without an end": lambda: token(claims(exp=...)),
    "not yet valid": lambda: token(claims(nbf=today() + 3600)),
    "wrong room": lambda: token(claims("hall")),
    "every room": lambda: token(claims("*")),
    "no room": lambda: token({**claims(), "room": None}),
    "wrong id": lambda: token(claims(sub=Identity.generate().id)),
    "wrong audience": lambda: token(claims(aud="shop")),
    "no audience": lambda: token(claims(aud=...)),
    "no claims": lambda: f"{b64({'alg': 'HS256'})}.{b64(b'')}.{b64(b'')}",
    "too long": lambda: minted() + "x" * 4000,
}


@pytest.fixture(params=list(FORGED))
def forged(request: pytest.FixtureRequest) -> str:
    """A token that must not admit anybody."""
    return FORGED[request.param]()


async def test_x2_a_token_that_is_not_right_in_everything_admits_nobody(forged: str) -> None:
    """X2: forged, confused, expired, not yet valid, for another room, id or audience: 0 in."""
    async with server(access=REQUIRED) as world:
        assert await world.client().refused(token=forged) == UNAUTHORIZED
        assert (world.service.room_count, world.service.connection_count) == (0, 0)


async def test_x2_a_token_without_join_admits_nobody() -> None:
    """X2: genuine, but it does not allow to join; or there is no room, and none may be made."""
    async with server(access=REQUIRED) as world:
        refused = [
            await world.client().refused(token=minted(grants=("send", "create", "list"))),
            await world.client().refused(token=minted(grants=())),
            await world.client().refused(token=minted(grants=("join", "send"))),
        ]
        assert refused == [NOT_GRANTED] * 3
        assert world.service.room_count == 0


async def test_x2_who_comes_back_with_an_expired_token_stays_out() -> None:
    """X2: the session is there and the key is proved; that is not enough."""
    async with server(access=REQUIRED) as world:
        ada = await joined(world, minted())
        await ada.cut()
        expired = token(claims(exp=today() - 11))
        assert await ada.refused(token=expired) == UNAUTHORIZED
        assert await ada.refused() == UNAUTHORIZED
        welcome = await ada.join(token=minted())
        assert welcome.resumed, "a fresh one does"


async def joined(world: Server, shown: str) -> Client:
    """Return a client that got in with a token."""
    client = world.client()
    await client.join(token=shown)
    return client


@pytest.mark.parametrize("kid", ["", *(each.kid for each in SIGNERS)])
async def test_tokens_of_every_kind_admit(kid: str) -> None:
    """HS256 by the secret; RS256, ES256 and EdDSA by public keys."""
    async with server(access=REQUIRED) as world:
        welcome = await world.client().join(token=by(kid) if kid else minted())
        assert welcome.grants == ALL
        assert welcome.expires == pytest.approx(610, abs=PATIENCE)


async def test_a_token_may_name_the_one_who_may_use_it() -> None:
    """Its id has been proved by then, so nobody else can."""
    async with server(access=REQUIRED) as world:
        ada, eve = world.client(), world.client()
        own = minted(sub=ada.key.id)
        assert await eve.refused(token=own) == UNAUTHORIZED
        await ada.join(token=own)


async def test_keys_may_be_many_and_change() -> None:
    """A new secret under a name of its own goes beside the old one; each has its own tokens."""
    secret = b"the secret of the year after, 32 bytes"
    new = Key("2027", "HS256", secret)
    access = AccessSettings(secret=SECRET, keys=(new,), require_token=True)
    async with server(access=access) as world:
        await world.client().join(token=minted())
        await world.client().join(token=token(kid="2027", secret=secret))
        assert await world.client().refused(token=token(kid="2027")) == UNAUTHORIZED


async def test_the_audience_may_have_another_name() -> None:
    """Tokens for one server are worth nothing at another that shares the secret."""
    access = AccessSettings(secret=SECRET, audience="mesh.example.org", require_token=True)
    async with server(access=access) as world:
        await world.client().join(token=token(claims(aud=["x", "mesh.example.org"])))
        assert await world.client().refused(token=minted()) == UNAUTHORIZED


async def test_an_open_server_takes_tokens_too() -> None:
    """They may give more than everybody has; one that is wrong is not passed over."""
    async with server(access=AccessSettings(secret=SECRET)) as world:
        assert "kick" not in (await world.client().join()).grants
        assert "kick" in (await world.client().join(token=minted())).grants
        assert await world.client().refused(token=minted("hall")) == UNAUTHORIZED
    async with server() as world:
        assert await world.client().refused(token="x") == UNAUTHORIZED


# --- over the connection ------------------------------------------------------------


async def test_a_token_is_refreshed_over_the_connection() -> None:
    """The answer says how long the new one holds, and for what."""
    async with server(access=REQUIRED) as world:
        ada = await joined(world, minted())
        await ada.send(RenewToken(minted(grants=("join", "list"))))
        answer = await ada.expect(Admitted)
        assert (answer.renew, answer.grants) == (False, ("join", "list"))
        assert answer.expires == pytest.approx(610, abs=PATIENCE)


async def test_an_expired_token_closes_after_a_warning() -> None:
    """Whoever shows no other one is closed with 4407."""
    async with server(access=REQUIRED) as world:
        ada = await joined(world, token(claims(exp=today() - 9.4)))
        assert (await ada.expect(Admitted)).renew
        assert (await ada.expect(Error)).reason == "token-expired"
        assert await ada.closed() is CloseCode.TOKEN_EXPIRED


@pytest.mark.parametrize(
    "kind", ["expired", "wrong room", "another secret", "wrong id", "alg none"]
)
async def test_x2_a_wrong_token_refreshes_nothing(kind: str) -> None:
    """X2: what does not admit does not prolong either, and ends the connection."""
    async with server(access=REQUIRED) as world:
        ada = await joined(world, minted())
        await ada.send(RenewToken(FORGED[kind]()))
        assert (await ada.expect(Error)).reason == "unauthorized"
        assert await ada.closed() is CloseCode.UNAUTHORIZED


async def test_a_token_before_the_hello_breaks_the_protocol() -> None:
    """There is nothing to refresh yet."""
    async with server(access=REQUIRED) as world:
        ada = world.client()
        await ada.connect()
        await ada.send(RenewToken(minted()))
        assert (await ada.expect(Error)).reason == "hello-expected"
        assert await ada.closed() is CloseCode.INVALID


# --- keys ---------------------------------------------------------------------------


def test_a_secret_may_end_in_any_byte() -> None:
    """One that was drawn is used as it is; only what a file or a variable holds is stripped."""
    drawn = b" " + bytes(30) + b"\n"
    assert Gate(AccessSettings(secret=drawn)).secret == drawn


@pytest.mark.parametrize("secret", [b"", b"x" * 31, b" " * 40, b"\n" + b"x" * 31 + b"\n"])
def test_a_short_secret_is_refused(secret: bytes) -> None:
    """A key of HS256 has as many bits as its hash (RFC 7518, section 3.2)."""
    with pytest.raises(InvalidArgument, match="32 bytes"):
        secret_of(secret)
    with pytest.raises(InvalidArgument, match="32 bytes"):
        AccessSettings(secret=secret.strip())


def test_a_key_that_is_not_good_enough_is_refused() -> None:
    """Too short, of another curve, not public, not a key, without a name, or with one twice."""
    for pem in (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", weak(), p384()):
        with pytest.raises(InvalidArgument):
            key_of("key", pem)
    for kid in ("", "é", "x" * 129, "a\nb", "thkmesh-ticket"):
        with pytest.raises(InvalidArgument):
            key_of(kid, SIGNERS[0].pem)
    with pytest.raises(InvalidArgument, match="called 'rsa'"):
        Keyring((KEYS[0], KEYS[0]))
    with pytest.raises(InvalidArgument, match="public key"):
        KEYS[0].sign(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="secret or a key"):
        AccessSettings(require_token=True)


def weak() -> bytes:
    """Return an RSA key of 1024 bits."""
    return Signer("", "", rsa.generate_private_key(65537, 1024)).pem


def p384() -> bytes:
    """Return a key of a curve that is none of ours."""
    return Signer("", "", ec.generate_private_key(ec.SECP384R1())).pem


def test_a_secret_may_be_a_key_of_its_own() -> None:
    """A file that is no PEM holds a secret."""
    assert key_of("2027", SECRET + b"\n") == Key("2027", "HS256", SECRET)
    assert repr(SECRET)[2:-1] not in repr(key_of("2027", SECRET))
    assert repr(SECRET)[2:-1] not in repr(REQUIRED)


async def test_texts_of_all_kinds_are_refused_and_raise_nothing() -> None:
    """Whatever is shown is a token of ours or is refused."""
    gate = Gate(REQUIRED)
    right = minted()
    cut = [right[:n] for n in range(0, len(right), 7)]
    bent = [
        right[:n] + chr(ord(right[n]) ^ 1) + right[n + 1 :] for n in range(0, len(right) - 1, 5)
    ]
    for shown in (*cut, *bent, "..", "a.b.c", "é.é.é", "\x00", "e30.e30.e30", "." * 9000):
        found = await gate.decide(Asked("lobby", "", shown, Handshake()))
        assert isinstance(found, Denied), shown
