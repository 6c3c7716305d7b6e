"""WebRTC engines: one file each behind the protocol of ``thkmesh.core.engine``."""

from collections.abc import Callable
from importlib import import_module

from thkmesh.core.engine import Engine
from thkmesh.errors import EngineError, InvalidArgument

__all__ = ["DEFAULT", "check", "load"]

DEFAULT = "wrtc"
"""The engine that is used unless another is asked for."""

_ENGINES = {
    "wrtc": ("thkmesh.engines.wrtc", "WrtcEngine", "wrtc==0.1.0"),
    "wrtc-warp": ("thkmesh.engines.wrtc", "warp", "wrtc==0.1.0"),
}
"""Where each engine is, and what pip installs for it."""


def check(name: str | None) -> str:
    """Return the name of an engine; None means ``DEFAULT``.

    Raises:
        InvalidArgument: there is no engine of that name.
    """
    name = DEFAULT if name is None else name
    if name not in tuple(_ENGINES):
        raise InvalidArgument(f"no engine is called {name!r:.80}; there is {', '.join(_ENGINES)}")
    return name


def load(name: str | None = None) -> Engine:
    """Make an engine on the running event loop.

    Args:
        name: which one; None means ``DEFAULT``.

    Raises:
        InvalidArgument: there is no engine of that name.
        EngineError: the package it needs is missing; the text says which.
        WrongContext: in a child of ``fork``, or outside a running loop.
    """
    name = check(name)
    module, factory, requirement = _ENGINES[name]
    try:
        make: Callable[[], Engine] = getattr(import_module(module), factory)
    except ImportError as error:
        raise EngineError(
            f"the engine {name!r} cannot be loaded ({error}): pip install {requirement}"
        ) from error
    return make()
