"""``thkmesh serve``: the signaling server, with a demo peer if wanted."""

import asyncio
import contextlib
import shutil
import signal
import ssl
import sys
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from thkmesh import Joining, __version__
from thkmesh.apps.chat import Chat
from thkmesh.cli import demo
from thkmesh.cli.permits import access_settings, own_token, turn_settings
from thkmesh.cli.problem import Problem, listening_problem
from thkmesh.cli.running import run
from thkmesh.cli.serving import ServeOptions
from thkmesh.core.ice_url import needs_credentials
from thkmesh.core.wire import IceServer
from thkmesh.server import AccessSettings, ServerSettings
from thkmesh.server.addresses import is_wildcard, own_addresses
from thkmesh.server.logs import set_up
from thkmesh.server.serve import new_event_loop
from thkmesh.server.serve import serve as serve_until_stopped
from thkmesh.server.tls import write_self_signed
from thkmesh.settings import RoomSettings
from thkmesh.signaling.transport import Transport
from thkmesh.signaling.websocket import WebSocketTransport

if sys.platform != "win32":
    import resource

__all__ = ["serve"]

_INTERRUPTED = 130


class _AtHome(RoomSettings):
    """How the demo peer joins the server of its own process.

    Over TLS it trusts the server's certificate and nothing else. Its name does not
    matter: this is where the certificate is from.
    """

    def transport(self) -> Transport:
        if self.ca_file is None:
            return WebSocketTransport()
        tls = ssl.create_default_context(cafile=self.ca_file)
        tls.check_hostname = False
        tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return WebSocketTransport(tls)


def serve(options: ServeOptions) -> int:
    """Serve until a signal; return the exit code.

    Raises:
        Problem: the address, the certificate or the key cannot be used.
    """
    set_up(options.log_level, options.log_format)
    if options.tls_key and not options.tls_cert:
        raise Problem("--tls-key needs --tls-cert", 2)
    if options.tls_cert and options.tls_self_signed:
        raise Problem("pass --tls-cert or --tls-self-signed, not both", 2)
    settings = _settings(options)
    access = access_settings(options.access, demo=options.demo)
    for path in filter(None, (options.tls_cert, options.tls_key)):
        try:
            path.open("rb").close()  # OpenSSL would not say which of them is missing
        except OSError as error:
            raise Problem(f"{path}: {error.strerror}", 2) from error
    _allow_many_files()
    with TemporaryDirectory(prefix="thkmesh-") as folder:
        cert, key = options.tls_cert, options.tls_key
        if options.tls_self_signed:
            cert, key = write_self_signed(Path(folder), options.host)
        return run(_serve(options, settings, access, cert, key), new_event_loop)


def _allow_many_files() -> None:
    """Let this process have as many connections as the system lets it; often it is 1,024."""
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _settings(options: ServeOptions) -> ServerSettings:
    """Return what the server is to offer.

    Raises:
        Problem: the name and the secret for TURN do not fit the servers.
    """
    name, secret = options.ice_username, options.ice_credential
    relays = [url for url in options.ice_servers if needs_credentials(url)]
    if relays and (name is None or secret is None):
        raise Problem(f"{relays[0]} needs --ice-username and --ice-credential", 2)
    if not relays and options.flags & {"ice-username", "ice-credential"}:
        raise Problem(
            "--ice-username and --ice-credential are for TURN: name a server with "
            "--ice-server turn:HOST:PORT",
            2,
        )
    servers = (
        IceServer((url,), name, secret) if needs_credentials(url) else IceServer((url,))
        for url in options.ice_servers
    )
    return replace(options.settings, ice_servers=tuple(servers), turn=turn_settings(options.access))


async def _serve(
    options: ServeOptions,
    settings: ServerSettings,
    access: AccessSettings,
    cert: Path | None,
    key: Path | None,
) -> int:
    main = asyncio.current_task()
    assert main is not None, "a coroutine runs in a task"
    opened: list[asyncio.Task[None]] = []

    def on_ready(port: int) -> None:
        opening = asyncio.create_task(_open(options, access, port, cert))
        opening.add_done_callback(lambda done: done.cancelled() or main.cancel())
        opened.append(opening)

    try:
        ended_by = await serve_until_stopped(
            options.host,
            options.port,
            settings=settings,
            access=access,
            tls_cert=cert,
            tls_key=key,
            metrics_host=options.metrics_host,
            metrics_port=options.metrics_port,
            on_ready=on_ready,
        )
    except ssl.SSLError as error:
        raise Problem(f"the certificate and the key cannot be used: {error.reason}") from error
    except OSError as error:
        raise listening_problem(error, options.host, options.port) from error
    finally:
        for opening in opened:
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await opening
    return _INTERRUPTED if ended_by is signal.SIGINT else 0


async def _open(
    options: ServeOptions, access: AccessSettings, port: int, cert: Path | None
) -> None:
    """Tell that clients can come, and be the first of them if there is to be a demo."""
    url = _url(options.host, port, tls=cert is not None)
    # A certificate that was given is for a name, which its owner knows.
    outside = None if options.tls_cert else _outside_url(options.host, port, tls=cert is not None)
    if not options.demo:
        if outside:
            print(f"from other machines: {outside}", flush=True)
        print(f"ready: {url}", flush=True)
        await asyncio.Event().wait()
    settings = _AtHome(
        url=url,
        room=demo.ROOM,
        name=demo.NAME,
        metadata=demo.METADATA,
        ca_file=cert,
        token=partial(own_token, access, demo.ROOM),
    )
    async with Joining(settings) as room:
        chat = Chat(room, aiter(room))
        print(_invitation(url, outside, cert if options.tls_self_signed else None), flush=True)
        print(f"ready: {url}", flush=True)
        await demo.attend(chat)


def _url(host: str, port: int, *, tls: bool) -> str:
    """Return where this machine finds the server."""
    if is_wildcard(host):
        host = "127.0.0.1" if ip_address(host).version == 4 else "::1"
    if ":" in host:
        host = f"[{host}]"
    return f"{'https' if tls else 'http'}://{host}:{port}"


def _outside_url(host: str, port: int, *, tls: bool) -> str | None:
    """Return where other machines find the server, if it listens on every address."""
    if not is_wildcard(host):
        return None
    version = ip_address(host).version
    found = (str(each) for each in own_addresses() if each.version == version)
    address = next(found, None)
    return _url(address, port, tls=tls) if address else None


def _invitation(url: str, outside: str | None, ca_file: Path | None) -> str:
    trust = f" --ca-file {ca_file}" if ca_file else ""
    browser = f"    {url}/#{demo.ROOM}\n"
    elsewhere = ""
    if outside:
        browser += f"    {outside}/#{demo.ROOM}    (from other machines)\n"
        if not outside.startswith("https:"):
            elsewhere = "Browsers on other machines want https: add --tls-self-signed.\n"
        elif ca_file:
            elsewhere = (
                "or from another machine, with a copy of that file:\n\n"
                f"    thkmesh chat --url {outside} --ca-file {ca_file.name}\n\n"
            )
    return (
        f"THKMesh {__version__}. {demo.NAME} is in the room {demo.ROOM}. Join it in a browser:\n\n"
        f"{browser}\n"
        "or from another terminal:\n\n"
        f"    {_command()} chat --url {url}{trust}\n\n"
        f"{elsewhere}"
        "Ctrl-C stops the server."
    )


def _command() -> str:
    """Return how to call us, as far as we can tell from how we were called."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{Path(sys.executable).name} -m thkmesh"
    found = shutil.which("thkmesh")
    if found and called.exists() and Path(found).samefile(called):
        return "thkmesh"
    return sys.argv[0]
