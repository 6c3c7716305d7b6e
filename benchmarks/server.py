"""The signaling server of a benchmark, in a process of its own as ``thkmesh serve`` is."""

from benchmarks.stage import Cue, Stage
from thkmesh.server.serve import new_event_loop, serve

__all__ = ["start_server"]


def start_server(stage: Stage) -> str:
    """Start a server; return its URL."""
    url: str = stage.cast(_serve, loop_factory=new_event_loop).answer()
    return url


async def _serve(cue: Cue) -> None:
    await serve(port=0, on_ready=lambda port: cue.send(f"http://127.0.0.1:{port}"))
