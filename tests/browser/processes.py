"""Processes of browsers."""

import asyncio
from asyncio.subprocess import Process
from contextlib import suppress


async def end(process: Process) -> None:
    """End a process by its id: politely first, then not."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(5.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
