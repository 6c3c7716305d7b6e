"""The signaling server of a benchmark, in a process of its own as ``thkmesh serve`` is."""

from benchmarks.stage import Cue, Stage
from tests.namespaces import enter
from thkmesh.server.serve import new_event_loop, serve

__all__ = ["start_server"]


def start_server(stage: Stage, host: str = "127.0.0.1", where: str | None = None) -> str:
    """Start a server; return its URL.

    Args:
        stage: where it lives.
        host: the address that it listens on.
        where: the path of the namespace that has this address; None means ours.
    """
    url: str = stage.cast(_serve, host, where, loop_factory=new_event_loop).answer()
    return url


async def _serve(cue: Cue, host: str, where: str | None) -> None:
    if where is not None:
        enter(where)
    await serve(host, 0, on_ready=lambda port: cue.send(f"http://{host}:{port}"))
