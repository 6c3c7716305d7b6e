"""Joining over TLS: whom a client trusts, and what it says of others."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import thkmesh
from tests.shell.world import server
from thkmesh.server.serve import serve
from thkmesh.server.tls import write_self_signed

PATIENCE = 20.0


@asynccontextmanager
async def served(folder: Path, host: str = "127.0.0.1") -> AsyncIterator[tuple[str, Path]]:
    """Serve over TLS; give the URL, and the certificate, which signed itself."""
    cert, key = write_self_signed(folder, "localhost")
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(host, port=0, tls_cert=cert, tls_key=key, on_ready=ready.set_result)
    )
    try:
        async with asyncio.timeout(PATIENCE):
            port = await ready
        yield f"https://{host}:{port}", cert
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
    """The error says at once that it is the certificate, and how to trust it."""
    async with served(tmp_path) as (url, _), asyncio.timeout(PATIENCE):
        with pytest.raises(thkmesh.ServerUnreachable, match=r"not trusted.*self-signed.*ca_file"):
            await thkmesh.join(url, room="lobby", timeout=10 * PATIENCE)


async def test_a_certificate_for_another_name_is_no_question_of_trust(tmp_path: Path) -> None:
    """Where the file would not help, the error does not send anybody there."""
    async with served(tmp_path, "127.0.0.2") as (url, cert), asyncio.timeout(PATIENCE):
        with pytest.raises(thkmesh.ServerUnreachable, match=r"not valid for '127\.0\.0\.2'\)$"):
            await thkmesh.join(url, room="lobby", ca_file=cert, timeout=10 * PATIENCE)


async def test_http_where_https_is_spoken_is_told(tmp_path: Path) -> None:
    """And the other way round; the error names the URL to try."""
    async with served(tmp_path) as (url, _):
        plain = url.replace("https:", "http:")
        with pytest.raises(thkmesh.ServerUnreachable, match=f"try {url}"):
            await thkmesh.join(plain, room="lobby", timeout=2.0)


async def test_https_where_http_is_spoken_is_told() -> None:
    """The error names the URL to try."""
    with server() as url:
        secure = url.replace("http:", "https:")
        with pytest.raises(thkmesh.ServerUnreachable, match=f"does not speak https: try {url}"):
            await thkmesh.join(secure, room="lobby", timeout=2.0)
