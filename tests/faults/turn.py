"""coturn, with the configuration that we ship, in a namespace of the lab."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from tests.rooms.processes import ROOT

__all__ = ["CREDENTIAL", "SHIPPED", "USERNAME", "Coturn"]

SHIPPED = ROOT / "deploy" / "coturn.conf"
RELAY6 = "2001:db8::1"
LAB = Path(__file__).parent / "coturn-lab.conf"
USERNAME = "mesh"
CREDENTIAL = "lab-secret"

_PORT = 3478
_PATIENCE = 15.0


class Place(Protocol):
    """Where something runs; a namespace is one."""

    @property
    def prefix(self) -> Sequence[str]:
        """What makes a command run there."""
        ...


class Coturn:
    """A running coturn; use ``running``."""

    def __init__(self, address: str) -> None:
        """Take the address that it listens on."""
        self.address = address

    @property
    def urls(self) -> list[str]:
        """Where TURN is, over UDP and TCP."""
        at = f"{self.address}:{_PORT}"
        return [f"turn:{at}?transport=udp", f"turn:{at}?transport=tcp"]

    @property
    def ice_servers(self) -> list[dict[str, object]]:
        """What the signaling server is to offer: STUN, and TURN over UDP and TCP."""
        turn: dict[str, object] = {
            "urls": self.urls,
            "username": USERNAME,
            "credential": CREDENTIAL,
        }
        return [{"urls": [f"stun:{self.address}:{_PORT}"]}, turn]

    @classmethod
    @asynccontextmanager
    async def running(
        cls, namespace: Place, address: str, *, lab: bool = True, secret: str = ""
    ) -> "AsyncIterator[Coturn]":
        """Have one; it is ended by its process id.

        Args:
            namespace: where.
            address: to listen on, and to relay from.
            lab: whether the lab's own addresses, which are special, may be relayed to.
            secret: what it shares with the signaling server; empty for one user with a
                password.

        Raises:
            RuntimeError: it is not installed.
        """
        program = shutil.which("turnserver")
        if program is None:
            raise RuntimeError("the fault lab needs coturn: run `make setup-host`")
        with TemporaryDirectory(prefix="thkmesh-turn-") as folder:
            path = Path(folder) / "turnserver.conf"
            texts = [SHIPPED.read_text(encoding="utf-8")]
            texts += [LAB.read_text(encoding="utf-8")] if lab else []
            shared = f"use-auth-secret\nstatic-auth-secret={secret}\n"
            texts.append(shared if secret else f"user={USERNAME}:{CREDENTIAL}\n")
            path.write_text("".join(texts), encoding="utf-8")
            process = await asyncio.create_subprocess_exec(
                *namespace.prefix,
                *(program, "-c", path, "-L", address, "-E", address, "-E", RELAY6),
                *("--log-file", "stdout", "--simple-log", "--pidfile", f"{folder}/pid"),
                *("--userdb", f"{folder}/turndb"),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=DEVNULL,
            )
            try:
                await _listening(namespace, address)
                yield cls(address)
            finally:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PATIENCE):
                        await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def _listening(namespace: Place, address: str) -> None:
    """Wait until it takes connections, and answers a STUN binding request (RFC 8489) over UDP."""
    connect = (
        "import socket, sys, time\n"
        "at = sys.argv[1], int(sys.argv[2])\n"
        "until = time.monotonic() + float(sys.argv[3])\n"
        "request = bytes.fromhex('000100002112a442') + bytes(12)\n"
        "while True:\n"
        "    try:\n"
        "        socket.create_connection(at, timeout=1).close()\n"
        "        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:\n"
        "            udp.settimeout(1)\n"
        "            udp.connect(at)\n"
        "            udp.send(request)\n"
        "            udp.recv(2048)\n"
        "        break\n"
        "    except OSError:\n"
        "        if time.monotonic() > until: raise\n"
        "        time.sleep(0.05)\n"
    )
    words = (sys.executable, "-S", "-c", connect, address, str(_PORT), str(_PATIENCE))
    process = await asyncio.create_subprocess_exec(*namespace.prefix, *words)
    if await process.wait() != 0:
        raise AssertionError(f"coturn does not listen on {address}: {os.fspath(SHIPPED)}")
