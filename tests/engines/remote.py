"""A counterpart in a process of its own, spoken to over its standard streams.

``python -m tests.engines.remote`` answers one offer and sends every frame back.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.engines.world import End
from thkmesh.core.engine import (
    AddCandidate,
    ApplyRemote,
    Candidate,
    CandidateFound,
    Description,
    Engine,
    EngineEvent,
    FrameReceived,
    MakeAnswer,
    MakeOffer,
    OperationDone,
    SdpType,
)
from thkmesh.engines.wrtc import WrtcEngine


def _signal(event: EngineEvent) -> bytes:
    """Return the line that tells the other side of an event, or nothing."""
    match event:
        case OperationDone(description=Description(type=kind, sdp=sdp)):
            return json.dumps([kind.value, sdp]).encode() + b"\n"
        case CandidateFound(candidate=found):
            fields = [found.candidate, found.mid, found.mline_index, found.ufrag]
            return json.dumps(fields).encode() + b"\n"
        case _:
            return b""


async def _follow(end: End, lines: asyncio.StreamReader) -> None:
    """Do what the other side's lines ask for, until they end."""
    async for line in lines:
        match json.loads(line):
            case [kind, sdp]:
                await end.do(ApplyRemote(Description(SdpType(kind), sdp)))
                if kind == "offer":
                    await end.do(MakeAnswer())
            case fields:
                await end.do(AddCandidate(Candidate(*fields)))


@asynccontextmanager
async def remote(engine: Engine) -> AsyncIterator[tuple[End, asyncio.subprocess.Process]]:
    """Connect an engine to a process of its own; yield our end and the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.engines.remote", stdin=-1, stdout=-1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin = process.stdin
    end = End(engine, react=lambda _, event: stdin.write(_signal(event)))
    following = asyncio.create_task(_follow(end, process.stdout))
    try:
        await end.do(MakeOffer())
        await end.opened()
        yield end, process
    finally:
        following.cancel()
        stdin.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _serve() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )

    def react(end: End, event: EngineEvent) -> None:
        if isinstance(event, FrameReceived):
            end.send(event.channel, event.data)
        sys.stdout.buffer.write(_signal(event))
        sys.stdout.buffer.flush()

    engine = WrtcEngine()
    await _follow(End(engine, react=react), lines)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(_serve())
