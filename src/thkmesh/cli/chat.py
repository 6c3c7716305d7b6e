"""``thkmesh chat``: join a room and talk, by hand or through pipes."""

import asyncio
import contextlib
import logging
import os
import sys
from typing import TextIO

import thkmesh
from thkmesh.apps.chat import Chat
from thkmesh.cli.access import shown
from thkmesh.cli.arguments import ChatOptions
from thkmesh.cli.pipe import relay
from thkmesh.cli.problem import Problem
from thkmesh.cli.running import run, still_trying

__all__ = ["chat", "leave"]

_HASTE = 1.0
"""Seconds to deliver what could not be delivered before."""

_SILENCE = 0.5
"""Seconds that leaving may take before it needs a word."""


def chat(options: ChatOptions) -> int:
    """Chat until the input ends; return the exit code.

    Raises:
        Problem: the room is full.
        MeshError: the room could not be joined, or ended.
        BrokenPipeError: nobody reads our output any more.
        KeyboardInterrupt: Ctrl-C.
    """
    # What people should know is said in the chat; a log would write across the screen.
    logging.getLogger("thkmesh").addHandler(logging.NullHandler())
    try:
        return run(_chat(options))
    except thkmesh.RoomFull as error:
        raise Problem(f"the room {options.room} is full") from error


async def _chat(options: ChatOptions) -> int:
    token, password = shown(options.shown)
    joining = thkmesh.join(
        options.url,
        room=options.room,
        secret=options.secret,
        name=options.name,
        key_file=options.key_file,
        ca_file=options.ca_file,
        timeout=options.timeout,
        token=token,
        password=password,
    )
    async with contextlib.AsyncExitStack() as stack:
        with still_trying(options.url):
            room = await stack.enter_async_context(joining)
        if sys.platform != "win32" and _is_screen(sys.stdin) and _is_screen(sys.stdout):
            from thkmesh.cli.conversation import converse  # noqa: PLC0415 - needs a Unix terminal

            await converse(Chat(room, aiter(room)))
            await leave(room)
            return 0
        code = await relay(Chat(room, aiter(room)), options.linger)
        await room.leave(patience=_HASTE)
        return code


async def leave(room: thkmesh.Room) -> None:
    """Leave; if that takes long, say why, and what may be done about it."""
    leaving = asyncio.create_task(room.leave())
    await asyncio.wait({leaving}, timeout=_SILENCE)
    if not leaving.done():
        print("Waiting until what you said is delivered; Ctrl-C does not.", flush=True)
    await leaving


def _is_screen(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
