"""Who a client is: what trusted proxies say, and nobody else."""

import logging
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from thkmesh.core.admission import source_of
from thkmesh.errors import InvalidArgument
from thkmesh.server.proxies import Client, ProxyHeader, ProxyHeaders, TrustedProxies

PROXY, INNER, CLIENT, LIAR = "10.0.0.1", "10.0.0.2", "192.0.2.7", "203.0.113.9"


def scope(peer: str | None, *headers: tuple[str, str], scheme: str = "ws") -> Scope:
    """Return a handshake that came from there."""
    return {
        "type": "websocket",
        "scheme": scheme,
        "client": peer and (peer, 1234),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


def told(proxies: TrustedProxies, peer: str | None, *headers: tuple[str, str]) -> Client:
    """Return whom a handshake is found to be from."""
    return proxies.client(scope(peer, *headers))


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (CLIENT, CLIENT),
        (f"{LIAR}, {CLIENT}", CLIENT),
        (f"{LIAR}, {CLIENT}, {INNER}", CLIENT),
        (f"{CLIENT}:5678", CLIENT),
        ("[2001:db8::7]:5678", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        (f"::ffff:{CLIENT}", CLIENT),
        (f"{LIAR}, unknown", PROXY),
        (f"{LIAR}, unknown, {INNER}", INNER),
        (f"{LIAR}, _hidden", PROXY),
        (f"{LIAR},", PROXY),
        ("", PROXY),
        (INNER, INNER),
        (f"{LIAR}," * 1000 + CLIENT, CLIENT),
        ("x" * 10_000 + f",{CLIENT}", CLIENT),
        ("x" * 10_000, PROXY),
        (f"{LIAR}," * 1000 + f"{CLIENT}, {INNER}", CLIENT),
    ],
)
def test_the_last_address_that_is_no_proxys_is_the_clients(said: str, address: str) -> None:
    """What stands before it anybody may have written."""
    proxies = TrustedProxies(["10.0.0.0/8"])
    assert told(proxies, PROXY, ("x-forwarded-for", said)).address == address


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (f"for={CLIENT}", CLIENT),
        (f'for={LIAR}, FOR="{CLIENT}:5678";proto=https', CLIENT),
        (f"for={LIAR};by=x, for={CLIENT};proto=https, for={INNER}", CLIENT),
        ('for="[2001:db8::7]:5678"', "2001:db8::7"),
        ('for="a,b";proto=http', PROXY),
        ("for=unknown", PROXY),
        ("proto=https", PROXY),
        ("", PROXY),
        ('for="' + '\\"' * 1500, PROXY),
        ("for=" + '\\"' * 30_000, PROXY),
        (',x="' * 15_000, PROXY),
        (f"for={LIAR}," * 1000 + f"for={CLIENT}", CLIENT),
        (f"for={LIAR}," * 1000 + f"for={CLIENT}, for={INNER}", CLIENT),
        (f'for={LIAR};x=", for="{CLIENT}:5678"', CLIENT),
        (f'for={LIAR};x=", for="{CLIENT}:5678", for={INNER}', CLIENT),
        (f'for={LIAR};x="\\", for="[2001:db8::7]"', "2001:db8::7"),
        (f'for="x, for="{CLIENT}:5678";host="a.example:80"', CLIENT),
        (f'for={LIAR}, for={CLIENT};host="a, for={LIAR};x="', CLIENT),
        (f'for={CLIENT};host="a, for={LIAR};x=\\"b, for={LIAR}\\""', CLIENT),
        (f'for={LIAR};x=", for=2001:db8::7;by="x"', "2001:db8::7"),
        (f"for={CLIENT};;by=x ; host=a", CLIENT),
        (f"for={CLIENT} by=x", PROXY),
        (f"for={LIAR}, for={CLIENT} by=x, for={INNER}", INNER),
    ],
)
def test_the_standard_header_is_read_the_same_way(said: str, address: str) -> None:
    """RFC 7239, with its quotation marks."""
    proxies = TrustedProxies(["10.0.0.0/8"], "forwarded")
    assert told(proxies, PROXY, ("forwarded", said)).address == address


def test_a_proxy_may_add_a_line_of_its_own() -> None:
    """Then the client's is before it, with a quotation mark that nobody closes."""
    proxies = TrustedProxies([PROXY], "forwarded")
    lines = ("forwarded", f'for={LIAR};x="'), ("forwarded", 'for="[2001:db8::7]"')
    assert told(proxies, PROXY, *lines).address == "2001:db8::7"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("x-forwarded-for", "unknown"),
        ("x-forwarded-for", "x" * 10_000),
        ("x-forwarded-for", ""),
        ("forwarded", 'for="x'),
        ("forwarded", "for=_hidden"),
        ("forwarded", 'for="' + "x" * 10_000 + '"'),
    ],
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", None])
def test_whom_a_proxy_on_this_machine_does_not_name_is_counted(
    header: ProxyHeader, said: str, peer: str | None
) -> None:
    """The proxy itself is not; and a request that it did not pass on is its own."""
    proxies = TrustedProxies(["*"], header)
    found = told(proxies, peer, (header, said)).address
    assert source_of(found) == "unknown"
    assert told(proxies, peer).address == peer


@pytest.mark.parametrize(
    ("header", "other"), [("x-forwarded-for", "forwarded"), ("forwarded", "x-forwarded-for")]
)
def test_only_the_header_that_was_named_counts(header: ProxyHeader, other: str) -> None:
    """The other one a proxy passes on as the client wrote it."""
    proxies = TrustedProxies([PROXY], header)
    lie = f"for={LIAR}" if other == "forwarded" else LIAR
    assert told(proxies, PROXY, (other, lie)).address == PROXY


@pytest.mark.parametrize("peer", [LIAR, None, "testclient"])
def test_nobody_else_is_believed(peer: str | None) -> None:
    """Neither of an address nor of TLS."""
    headers = (("x-forwarded-for", CLIENT), ("x-forwarded-proto", "https"))
    assert told(TrustedProxies([PROXY]), peer, *headers) == Client(peer, secure=False)
    assert told(TrustedProxies(), peer, *headers) == Client(peer, secure=False)


def test_whoever_connects_may_be_trusted_but_not_what_was_told_to_it() -> None:
    """With ``*`` the last address counts, whatever stands before it."""
    proxies = TrustedProxies(["*"])
    header = ("x-forwarded-for", f"{LIAR}, {CLIENT}")
    assert told(proxies, "172.17.0.2", header).address == CLIENT
    assert told(proxies, None, header).address == CLIENT


@pytest.mark.parametrize(
    ("schemes", "secure"),
    [
        (["https"], True),
        (["http"], False),
        (["WSS"], True),
        (["https, http"], True),
        (["http", "https"], False),
        (["gopher"], False),
        ([], False),
    ],
)
def test_the_client_says_whether_it_is_secure(schemes: list[str], secure: bool) -> None:
    """Its own proxy knows; a hop behind that may be plain."""
    headers = [("x-forwarded-for", f"{CLIENT}, {INNER}")]
    headers += [("x-forwarded-proto", each) for each in schemes]
    found = told(TrustedProxies(["10.0.0.0/8"]), PROXY, *headers)
    assert found == Client(CLIENT, secure)


async def test_the_application_sees_the_client() -> None:
    """Its address and its scheme; a lifespan is none of our business."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> Any:  # noqa: ANN401 - of ASGI, and never called
        raise AssertionError

    wrapped = ProxyHeaders(app, TrustedProxies([PROXY]))
    headers = (("x-forwarded-for", CLIENT), ("x-forwarded-proto", "https"))
    for each in (scope(PROXY, *headers), scope(LIAR, *headers), {"type": "lifespan"}):
        await wrapped(each, nothing, nothing)
    assert [(each.get("client"), each.get("scheme")) for each in seen] == [
        ((CLIENT, 0), "wss"),
        ((LIAR, 1234), "ws"),
        (None, None),
    ]


def test_a_proxy_that_nobody_named_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """Else its operator would wonder why all its clients count as one."""
    proxies = TrustedProxies()
    with caplog.at_level(logging.WARNING, "thkmesh.server"):
        for _ in range(3):
            told(proxies, PROXY, ("x-forwarded-for", CLIENT))
    assert [PROXY in each.getMessage() for each in caplog.records] == [True]


@pytest.mark.parametrize("wrong", ["example.org", "10.0.0.0/40", ""])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    """A name could mean another machine tomorrow."""
    with pytest.raises(InvalidArgument, match="neither an address nor a network"):
        TrustedProxies([wrong])
