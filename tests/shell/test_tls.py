"""Joining over TLS: whom a client trusts, and what it says of others."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import thkmesh
from thkmesh.server.serve import serve
from thkmesh.server.tls import write_self_signed

PATIENCE = 20.0


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """Serve over TLS; give the URL, and the certificate, which signed itself."""
    cert, key = write_self_signed(folder, "localhost")
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(port=0, tls_cert=cert, tls_key=key, on_ready=ready.set_result)
    )
    try:
        async with asyncio.timeout(PATIENCE):
            port = await ready
        yield f"https://127.0.0.1:{port}", cert
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_who_is_in_the_given_file_is_trusted(tmp_path: Path) -> None:
    """A server whose certificate is in ``ca_file`` is joined."""
    async with (
        served(tmp_path) as (url, cert),
        thkmesh.join(url, room="lobby", ca_file=cert) as room,
    ):
        assert room.server is thkmesh.ServerState.CONNECTED


async def test_without_a_file_the_systems_authorities_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be given by SSL_CERT_FILE, as to other programs."""
    async with served(tmp_path) as (url, cert):
        monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, os.fspath(cert))
        async with thkmesh.join(url, room="lobby") as room:
            assert room.server is thkmesh.ServerState.CONNECTED


async def test_nobody_else_is_trusted(tmp_path: Path) -> None:
    """The error says that it is the certificate."""
    async with served(tmp_path) as (url, _):
        with pytest.raises(thkmesh.ServerUnreachable, match="certificate verify failed"):
            await thkmesh.join(url, room="lobby", timeout=2.0)
