"""The command line: ``thkmesh serve``, ``chat``, ``peers``, ``token`` and ``doctor``.

What a user can cause, from a mistyped room to a port in use, ends in one sentence
on standard error and exit code 1, or 2 where the command was given wrongly.
"""

import io
import os
import sys
from collections.abc import Sequence

from thkmesh.cli.access import TokenOptions
from thkmesh.cli.arguments import ChatOptions, DoctorOptions, Options, ServeOptions, parse
from thkmesh.cli.problem import Problem, problem_of
from thkmesh.errors import MeshError

__all__ = ["main"]

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code.

    Raises:
        SystemExit: there was nothing to do but to answer, or to complain.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name must not break a C locale
    options = parse(arguments)
    try:
        return _perform(options)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; and the interpreter, which is about
        # to flush it once more, must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Problem, MeshError, OSError) as error:
        problem = problem_of(error)
        print(f"thkmesh: {problem}", file=sys.stderr)
        return problem.code


def _perform(options: Options) -> int:
    """Import what one command needs, and do it: ``peers`` needs no WebRTC."""
    match options:
        case ServeOptions():
            from thkmesh.cli.serve import serve  # noqa: PLC0415 - see above

            return serve(options)
        case ChatOptions():
            from thkmesh.cli.chat import chat  # noqa: PLC0415 - see above

            return chat(options)
        case TokenOptions():
            from thkmesh.cli.permits import token  # noqa: PLC0415 - see above

            return token(options)
        case DoctorOptions():
            from thkmesh.cli.doctor import doctor  # noqa: PLC0415 - see above

            return doctor(options)
        case _:
            from thkmesh.cli.peers import peers  # noqa: PLC0415 - see above

            return peers(options)
