"""The configuration of coturn that we ship is no open proxy (promise X3)."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address

from tests.faults.lab import INTERNET, Lab
from tests.faults.turn import CREDENTIAL, USERNAME, Coturn
from tests.faults.turn_client import TurnClient
from thkmesh.core.wire import IceServer
from thkmesh.server import Turn
from thkmesh.server.clock import today

ADA, BOB = "a" * 26, "b" * 26
FORBIDDEN = 403
UNAUTHORIZED = 401
QUOTA_REACHED = 486
QUOTA = 1200
FIRST_PORT = 20_000

SPECIAL = """
    0.0.0.0 0.0.0.1 10.0.0.1 10.255.255.255 100.64.0.1 127.0.0.1 127.255.255.255
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1
    198.18.0.1 198.51.100.7 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8
    ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::8.8.8.8 64:ff9b:1::7f00:1 100::1 2001::1
    2001:db8:1::1 2002:7f00:1::1 3fff::1 5f00::1 fc00::1 fd00::1 fe80::1 febf::1 fec0::1 ff02::1
"""
PUBLIC = "1.0.0.1 9.9.9.9 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 223.255.255.255 2600::1"


@contextmanager
def client(
    lab: Lab, credential: str = CREDENTIAL, port: int = 0, username: str = USERNAME
) -> Iterator[TurnClient]:
    """Have a client in the middle of the lab."""
    with lab.internet.within(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sending:
        sending.bind((INTERNET, port))
        sending.connect((INTERNET, 3478))
        yield TurnClient(sending, username, credential)


async def test_x3_the_relay_leads_to_the_public_internet_only(lab: Lab) -> None:
    """X3: no permission for a special address, in whatever form; public ones are let through."""
    async with Coturn.running(lab.internet, INTERNET, lab=False):
        with client(lab) as four, client(lab) as six:
            assert four.allocate(4).error is None
            assert six.allocate(6).error is None
            clients = {4: four, 6: six}
            answers = {
                text: clients[ip_address(text).version].permit(ip_address(text)).error
                for text in (SPECIAL + PUBLIC).split()
            }
            connected = four.connect(ip_address("9.9.9.9")).error
    assert {text: answers[text] for text in SPECIAL.split()} == dict.fromkeys(
        SPECIAL.split(), FORBIDDEN
    )
    assert {text: answers[text] for text in PUBLIC.split()} == dict.fromkeys(PUBLIC.split())
    assert connected is not None, "no connections of TCP"


async def test_x3_nobody_relays_without_the_secret(lab: Lab) -> None:
    """X3: who does not know the secret gets no relay."""
    async with Coturn.running(lab.internet, INTERNET):
        with client(lab, "guess") as stranger:
            assert stranger.allocate().error == UNAUTHORIZED


async def test_credentials_that_the_server_hands_out_work_until_they_end(lab: Lab) -> None:
    """Made for one peer and a while; forged, expired, or with another name they are refused."""
    turn = Turn(urls=("turn:198.51.100.1",), secret=b"what both know", ttl=600.0)
    foreign = replace(turn, secret=b"what nobody knows")
    now = today()

    def named(servers: tuple[IceServer, ...]) -> tuple[str, str]:
        """Return a name and a password."""
        [server] = servers
        assert server.username is not None
        assert server.credential is not None
        return server.username, server.credential

    right = named(turn.servers(ADA, now))
    later = named(turn.servers(ADA, now + 600))
    asked = {
        "right": right,
        "expired": named(turn.servers(ADA, now - 602)),
        "another secret": named(foreign.servers(ADA, now)),
        "put off": (later[0], right[1]),
        "of another peer": (right[0].replace(ADA, BOB), right[1]),
        "without an end": (ADA, right[1]),
        "the secret itself": (right[0], "what both know"),
    }
    answers: dict[str, int | None] = {}
    async with Coturn.running(lab.internet, INTERNET, secret="what both know"):
        for what, (username, credential) in asked.items():
            with client(lab, credential, username=username) as each:
                answers[what] = each.allocate().error
        with client(lab, right[1], username=right[0]) as each:
            assert each.allocate().error is None
            assert each.permit(ip_address("198.51.100.1")).error is None
            assert each.permit(ip_address("127.0.0.1")).error == FORBIDDEN
    assert answers == {what: None if what == "right" else UNAUTHORIZED for what in asked}


async def test_the_lab_allows_its_own_addresses_and_no_more(lab: Lab) -> None:
    """The lab's own lines open its internet, and leave everything else as shipped."""
    async with Coturn.running(lab.internet, INTERNET):
        with client(lab) as four:
            assert four.allocate().error is None
            answers = [
                four.permit(ip_address(text)).error
                for text in ("198.18.1.2", "198.51.100.1", "127.0.0.1", "10.0.1.2")
            ]
    assert answers == [None, None, FORBIDDEN, FORBIDDEN]


async def test_x3_as_many_relays_as_the_quota_says_and_no_more(lab: Lab) -> None:
    """X3: 1200 relays are granted, not fewer for want of bandwidth, and then no more."""
    answers: list[int | None] = []
    async with Coturn.running(lab.internet, INTERNET):
        for number in range(QUOTA + 1):
            # A relay outlives its socket; another port is another relay.
            with client(lab, port=FIRST_PORT + number) as each:
                answers.append(each.allocate().error)
    assert answers == [None] * QUOTA + [QUOTA_REACHED]
