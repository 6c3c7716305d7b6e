"""Who may do what at a server, as its command line says it; and ``thkmesh token``."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from thkmesh.cli.access import TOKEN_TTL, AccessOptions, TokenOptions, kept, read, text
from thkmesh.cli.problem import Problem
from thkmesh.core.grants import AUDIENCE, OPEN, Claims, sorted_grants
from thkmesh.errors import InvalidArgument
from thkmesh.server.clock import today
from thkmesh.server.gate import AccessSettings
from thkmesh.server.keyring import Key, key_of, secret_of
from thkmesh.server.password import Password
from thkmesh.server.turn import TURN_TTL, Turn

__all__ = ["access_settings", "mint", "own_token", "token", "turn_settings"]


def access_settings(
    options: AccessOptions, environ: Mapping[str, str] = os.environ, *, demo: bool = False
) -> AccessSettings:
    """Return who may do what at the server.

    Args:
        options: what the command line says.
        environ: what the environment says.
        demo: there is a peer of our own that needs a token of our own.

    Raises:
        Problem: a file cannot be read, or what is in it, or was said, will not do.
    """
    if options.password is not None and options.password_file is not None:
        raise Problem("pass --password or --password-file, not both", 2)
    password = kept(options.password_file, "THKMESH_PASSWORD", environ)
    if options.password is not None:
        password = options.password.encode()
    try:
        secret = _secret(options.secret_file, environ)
        return AccessSettings(
            secret=secret or (secrets.token_bytes(32) if demo else None),
            keys=tuple(
                key_of(kid, read(path), options.audience) for kid, path in options.token_keys
            ),
            audience=options.audience,
            require_token=options.require_token and _checkable(options, secret),
            password=None if password is None else Password.of(text(password)),
        )
    except InvalidArgument as error:
        raise Problem(str(error), 2) from error


def _checkable(options: AccessOptions, secret: bytes | None) -> bool:
    if secret is None and not options.token_keys:
        raise Problem("--require-token needs --secret-file, $THKMESH_SECRET or --token-key", 2)
    return True


def turn_settings(options: AccessOptions, environ: Mapping[str, str] = os.environ) -> Turn | None:
    """Return the TURN servers that share a secret with us.

    Raises:
        Problem: the secret is missing, or cannot be read, or is for nothing.
    """
    secret = kept(options.turn_secret_file, "THKMESH_TURN_SECRET", environ)
    if not options.turn:
        if options.turn_secret_file is not None:
            raise Problem("--turn-secret-file is for TURN: name a server with --turn URL", 2)
        return None
    if not secret:
        raise Problem(f"{options.turn[0]} needs --turn-secret-file or $THKMESH_TURN_SECRET", 2)
    try:
        return Turn(urls=options.turn, secret=secret, ttl=options.turn_ttl or TURN_TTL)
    except InvalidArgument as error:
        raise Problem(str(error), 2) from error


def own_token(access: AccessSettings, room: str) -> str:
    """Return a token for a peer of our own."""
    assert access.secret is not None, "it was made for that"
    return mint(access.secret, room, sorted_grants(OPEN), audience=access.audience)


def mint(
    secret: bytes,
    room: str,
    grants: tuple[str, ...],
    *,
    ttl: float = TOKEN_TTL,
    peer: str = "",
    kid: str = "",
    audience: str = AUDIENCE,
) -> str:
    """Return a token that is good from now on."""
    now = round(today(), 3)
    claims = Claims(aud=audience, exp=now + ttl, room=room, grants=grants, nbf=now, sub=peer)
    return Key(kid, "HS256", secret).sign(claims)


def token(options: TokenOptions, environ: Mapping[str, str] = os.environ) -> int:
    """Print a token; return the exit code.

    Raises:
        Problem: there is no secret, or it will not do.
    """
    try:
        secret = _secret(options.secret_file, environ)
    except InvalidArgument as error:
        raise Problem(str(error), 2) from error
    if secret is None:
        raise Problem("the secret is missing: pass --secret-file, or set $THKMESH_SECRET", 2)
    print(
        mint(
            secret,
            options.room,
            options.grants,
            ttl=options.ttl,
            peer=options.id or "",
            kid=options.kid,
            audience=options.audience,
        )
    )
    return 0


def _secret(path: Path | None, environ: Mapping[str, str]) -> bytes | None:
    found = kept(path, "THKMESH_SECRET", environ)
    return None if found is None else secret_of(found)
