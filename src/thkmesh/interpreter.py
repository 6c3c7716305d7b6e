"""Refuses to be imported where nothing of THKMesh can work; imported before the rest.

Native code that we stand on, WebRTC engines and cryptography, belongs to the main
interpreter of a process. In a sub-interpreter some of it fails to import, in
words of its own, and some fails later; this says so at once and in ours.
"""

import contextlib
import importlib
from typing import Any

__all__ = ["is_main"]


def is_main() -> bool:
    """Tell whether this is the main interpreter of the process (PEP 554, PEP 734)."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        with contextlib.suppress(ImportError):
            interpreters: Any = importlib.import_module(name)
            return bool(interpreters.get_current() == interpreters.get_main())
    return True


if not is_main():
    raise ImportError("THKMesh works in the main interpreter of a process only")
