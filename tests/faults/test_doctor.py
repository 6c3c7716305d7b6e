"""``thkmesh doctor`` in networks of every kind: it says what they are, and what to do."""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from tests.faults.lab import INTERNET, Host, Lab
from tests.faults.nat import Kind
from tests.faults.turn import CREDENTIAL, USERNAME
from tests.namespaces import Namespace
from tests.rooms.processes import ROOT

SECOND = "198.51.100.2"
PORT = 3500
PATIENCE = 60.0

Report: TypeAlias = dict[str, Any]

DIRECT, TURN, SERVER = "direct", "turn", "server"

EXPECTED = {
    Kind.NONE: ("open", "endpoint-independent", [DIRECT, DIRECT, DIRECT, TURN]),
    Kind.FULL_CONE: ("router", "address-dependent", [DIRECT, DIRECT, DIRECT, TURN]),
    Kind.ADDRESS_RESTRICTED: ("router", "address-dependent", [DIRECT, DIRECT, DIRECT, TURN]),
    Kind.PORT_RESTRICTED: ("router", "address-and-port-dependent", [DIRECT, DIRECT, TURN, TURN]),
    Kind.SYMMETRIC: ("strict router", "address-and-port-dependent", [DIRECT, TURN, TURN, TURN]),
    Kind.UDP_BLOCKED: ("no UDP", "unknown", [TURN, TURN, TURN, TURN]),
}
"""What is to be said where coturn is asked as we ship it: it has one address, so it cannot
tell filtering that depends on nothing from filtering that depends on addresses."""

BY_RFC_5780 = {
    Kind.NONE: ("endpoint-independent", "endpoint-independent"),
    Kind.FULL_CONE: ("endpoint-independent", "endpoint-independent"),
    Kind.ADDRESS_RESTRICTED: ("endpoint-independent", "address-dependent"),
    Kind.PORT_RESTRICTED: ("endpoint-independent", "address-and-port-dependent"),
    Kind.SYMMETRIC: ("address-and-port-dependent", "address-and-port-dependent"),
}


async def examined(host: Host, url: str, *arguments: str) -> tuple[int, str]:
    """Run the doctor on a machine; return its exit code and what it prints."""
    words = (sys.executable, "-m", "thkmesh", "doctor", "--url", url, *arguments)
    process = await asyncio.create_subprocess_exec(
        *host.namespace.prefix, *words, cwd=ROOT, stdin=DEVNULL, stdout=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def reports(hosts: dict[Kind, Host], url: str) -> dict[Kind, tuple[int, Report]]:
    """Run it on all machines at once."""
    said = await asyncio.gather(*(examined(host, url, "--json") for host in hosts.values()))
    return {kind: (code, json.loads(text)) for kind, (code, text) in zip(hosts, said, strict=True)}


def calls(report: Report) -> dict[str, bool]:
    """Return which calls succeeded."""
    return {call["path"]: call["works"] for call in report["calls"]}


async def test_every_kind_of_network_gets_its_verdict(lab: Lab) -> None:
    """With TURN everybody is reached; without UDP, too, and it says what is wrong."""
    turn = await lab.turn()
    server = await lab.server(ice_servers=turn.ice_servers)
    hosts = {kind: lab.natted(kind) for kind in Kind}
    for kind, (code, report) in (await reports(hosts, server.url)).items():
        network, filtering, ways = EXPECTED[kind]
        assert report["network"] == network, kind
        assert report["nat"]["filtering"] == filtering, kind
        assert [*report["ways"].values()] == ways, kind
        made = calls(report)
        assert made["host"], kind
        assert made["server"], kind
        if kind is Kind.UDP_BLOCKED:
            assert code == 1
            assert "no UDP" in report["problems"][0]
            working = {each["url"]: each["works"] for each in report["servers"]}
            assert [works for url, works in working.items() if "tcp" in url] == [True]
            assert sum(working.values()) == 1
        else:
            assert (code, report["problems"]) == (0, []), kind
            assert all(each["works"] for each in report["servers"]), kind
        assert made["relay"], kind


@asynccontextmanager
async def coturn(namespace: Namespace, *words: str) -> AsyncIterator[str]:
    """Have coturn as we do not ship it, on another port; give where it is."""
    program = shutil.which("turnserver")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        *(*namespace.prefix, program, "-n", "--no-cli", "--no-tls", "--no-dtls"),
        *("-L", INTERNET, "-p", str(PORT), "--alt-listening-port", str(PORT + 1), *words),
        *("--log-file", "stdout", "--pidfile", "/dev/null", "--userdb", "/dev/null"),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        yield f"{INTERNET}:{PORT}"
    finally:
        process.kill()
        await process.wait()


async def test_a_stun_server_of_two_addresses_tells_all(lab: Lab) -> None:
    """Mapping and filtering by RFC 5780; and without TURN it says who cannot be reached."""
    lab.internet.ip(f"addr add {SECOND}/32 dev lo")
    async with coturn(lab.internet, "-S", "-L", SECOND) as at:
        server = await lab.server(ice_servers=[{"urls": [f"stun:{at}"]}])
        hosts = {kind: lab.natted(kind) for kind in BY_RFC_5780}
        found = await reports(hosts, server.url)
    for kind, (code, report) in found.items():
        nat = report["nat"]
        assert (nat["mapping"], nat["filtering"]) == BY_RFC_5780[kind], kind
        assert nat["method"] == "RFC 5780", kind
        assert report["ways"]["no-udp"] == SERVER, kind
        assert "no TURN server" in " ".join(report["problems"]), kind
        assert code == 1, kind
    strict = found[Kind.SYMMETRIC][1]
    assert [*strict["ways"].values()] == [DIRECT, SERVER, SERVER, SERVER]


async def test_what_is_wrong_with_turn_is_said(lab: Lab) -> None:
    """To people, in a sentence for each server, with what to do."""
    turn = await lab.turn()
    user = {"username": USERNAME, "credential": CREDENTIAL}
    async with coturn(
        lab.internet, "-a", "-r", "x", "-u", f"{USERNAME}:{CREDENTIAL}"
    ) as open_to_all:
        servers = [
            turn.ice_servers[0],
            {"urls": [f"turn:{INTERNET}:3478?transport=udp"], **user, "credential": "wrong"},
            {"urls": [f"turn:{INTERNET}:3479?transport=tcp"], **user},
            {"urls": [f"turn:{open_to_all}?transport=udp"], **user},
        ]
        server = await lab.server(ice_servers=servers)
        code, text = await examined(lab.wired(), server.url)
    found, _, advice = text.partition("What to do")
    assert code == 1
    assert "it does not accept the name and the password" in found
    assert "?transport=tcp (TCP): " in found
    assert "compare the name and the password" in advice
    assert "on port 3479" in advice
    assert "through the signaling server, slowly" in found
    assert "(10.0.0.1, 169.254.169.254 or 192.168.0.1)" in found
    assert "Deny them" in advice
