"""What went wrong, in a sentence for the person at the keyboard."""

import errno
import os
import socket
import ssl

from thkmesh.errors import InvalidArgument, ServerUnreachable

__all__ = ["Problem", "advised", "listening_problem", "problem_of"]

_FAILED = 1
_MISUSED = 2


class Problem(Exception):
    """Something a user can cause and should be told; ``code`` is what we exit with."""

    def __init__(self, sentence: str, code: int = _FAILED) -> None:
        """Take the sentence, without a full stop."""
        super().__init__(sentence)
        self.code = code


def problem_of(error: Exception) -> Problem:
    """Return an error as a problem."""
    match error:
        case Problem():
            return error
        case InvalidArgument():
            return Problem(str(error), _MISUSED)
        case ServerUnreachable():
            return Problem(advised(str(error)))
        case ssl.SSLError():
            return Problem(f"TLS failed: {error.reason or error}")
        case OSError(filename=str(name), strerror=str(reason)):
            return Problem(f"{name}: {reason}")
        case OSError(strerror=str(reason)):
            return Problem(reason)
        case _:
            return Problem(str(error))


def advised(text: str) -> str:
    """Return why no server answers, with advice where the text has none of its own."""
    if "--ca-file" in text or "try http" in text:
        return text
    return f"{text}; start one with `thkmesh serve`, or name another with --url"


def listening_problem(error: OSError, host: str, port: int) -> Problem:
    """Return why the server cannot listen on an address."""
    where = f"port {port} on {host}"
    option = os.environ.get("THKMESH_PORT_OPTION", "--port")  # make run has another
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return Problem(
                f"{where} is in use: stop what is there, or choose another with {option}"
            )
        case OSError(errno=errno.EACCES):
            return Problem(f"{where} needs more rights: choose one above 1023 with {option}")
        case socket.gaierror() | OSError(errno=errno.EADDRNOTAVAIL):
            return Problem(f"{host} is no address of this machine: choose another with --host")
        case _:
            return problem_of(error)
