"""Which texts say where a STUN or TURN server is."""

import pytest

from thkmesh.core.ice_url import is_ice_url, needs_credentials


@pytest.mark.parametrize(
    "text",
    [
        "stun:example.org",
        "stun:example.org:3478",
        "stuns:example.org:65535",
        "stun:192.0.2.7:1",
        "stun:[2001:db8::7]",
        "stun:[::ffff:192.0.2.7]:3478",
        "turn:my_turn:3478?transport=udp",
        "turn:example.org?transport=tcp",
        "turns:example.org:443",
        "stun:" + "x" * 507,
    ],
)
def test_what_the_rfcs_allow_is_one(text: str) -> None:
    """Host, port and transport may stand there, and IPv6 in brackets."""
    assert is_ice_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "stun:",
        "STUN:example.org",
        "stun://example.org",
        "http:example.org",
        "stun:example.org:",
        "stun:example.org:0",
        "stun:example.org:65536",
        "stun:example.org:123456",
        "stun:example.org:\u0663",
        "stun:2001:db8::7",
        "stun:[2001:db8::7",
        "stun:example.org?transport=udp",
        "turn:example.org?transport=sctp",
        "turn:example.org?transport=udp&x=y",
        "turn:ada:secret@example.org",
        "turn:exa mple.org",
        "turn:example.org/path",
        "stun:ex\u00e4mple.org",
        "stun:example.org\n",
        "stun:" + "x" * 508,
    ],
)
def test_what_browsers_would_refuse_is_none(text: str) -> None:
    """One such URL among others, and a page could make no connection at all."""
    assert not is_ice_url(text)


@pytest.mark.parametrize(
    ("url", "needed"),
    [
        ("stun:turn.example.org", False),
        ("stuns:a", False),
        ("turn:a", True),
        ("turns:a?transport=tcp", True),
    ],
)
def test_only_turn_asks_who_we_are(url: str, needed: bool) -> None:
    """A relay costs its operator something, an answer to STUN does not."""
    assert needs_credentials(url) is needed
