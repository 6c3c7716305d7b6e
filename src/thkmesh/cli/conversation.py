"""``thkmesh chat`` on a terminal."""

import asyncio
import os
import shutil
import signal
import sys
from typing import Final

from thkmesh import MeshError
from thkmesh.apps.chat import TYPING_EXPIRY, Chat
from thkmesh.cli.editor import Editor, Keyboard
from thkmesh.cli.narration import Narrator
from thkmesh.cli.screen import Screen, keys_unbuffered

__all__ = ["converse"]

_HELP: Final = """\
  /peers  who is here, and how the links are
  /help   this
  /quit   leave; so does Ctrl-D
  //...   say something that begins with /"""
_END_OF_INPUT: Final = "\x04"
_READ_BYTES: Final = 4096


async def converse(chat: Chat) -> None:
    """Talk until the person at the terminal has had enough.

    Raises:
        MeshError: the room ended.
    """
    descriptor = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    with keys_unbuffered(descriptor) as unbuffer_again:
        conversation = Conversation(chat)

        def resume() -> None:
            unbuffer_again()
            conversation.screen.redraw()

        loop.add_reader(descriptor, conversation.read, descriptor)
        loop.add_signal_handler(signal.SIGWINCH, conversation.screen.redraw)
        loop.add_signal_handler(signal.SIGCONT, resume)
        try:
            await conversation.run()
        finally:
            loop.remove_reader(descriptor)
            conversation.screen.close()


class Conversation:
    """One person's terminal, joined to a chat."""

    def __init__(self, chat: Chat) -> None:
        """Begin with an empty line."""
        self.screen = Screen(_write, lambda: shutil.get_terminal_size().columns)
        self._chat = chat
        self._narrator = Narrator(chat)
        self._keyboard = Keyboard()
        self._editor = Editor()
        self._outbox: asyncio.Queue[str | bool | None] = asyncio.Queue()
        """Lines to say, whether we are typing, and None for the end."""

    async def run(self) -> None:
        """Talk until ``/quit`` or the end of input.

        Raises:
            MeshError: the room ended.
        """
        self.screen.show(self._narrator.welcome())
        tasks = [asyncio.create_task(work) for work in (self._listen(), self._speak())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- what comes from the keyboard -------------------------------------------------

    def read(self, descriptor: int) -> None:
        """Take in what was typed; called when there is something."""
        try:
            data = os.read(descriptor, _READ_BYTES)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(descriptor)
            self._outbox.put_nowait(None)
        for key in self._keyboard.feed(data):
            self._press(key)

    def _press(self, key: str) -> None:
        if key == _END_OF_INPUT and not self._editor.text:
            self._outbox.put_nowait(None)
            return
        before = self._editor.text
        line = self._editor.press(key)
        self.screen.edit(self._editor.text, self._editor.cursor)
        if line is not None:
            self._enter(line)
        elif before != self._editor.text and self._outbox.empty():
            said = self._editor.text
            if not said.startswith("/"):
                self._outbox.put_nowait(bool(said))

    def _enter(self, line: str) -> None:
        match line.strip():
            case "":
                pass
            case "/quit" | "/exit":
                self._outbox.put_nowait(None)
            case "/help":
                self._show(*_HELP.splitlines())
            case "/peers":
                self._show(*self._narrator.peers())
            case command if command.startswith("/") and not command.startswith("//"):
                self._show(self._narrator.aside(f"no command {command.split()[0]}; try /help"))
            case text:
                self._outbox.put_nowait(text.removeprefix("/") if text[0] == "/" else text)

    def _show(self, *lines: str) -> None:
        for line in lines:
            self.screen.show(line)

    async def _speak(self) -> None:
        """Say what waits to be said, up to the end."""
        while (item := await self._outbox.get()) is not None:
            try:
                if isinstance(item, bool):
                    await self._chat.show_typing(typing=item)
                else:
                    self._show(self._narrator.own(await self._chat.say(item)))
            except MeshError as error:
                self._show(self._narrator.aside(f"not sent: {error}"))

    # --- what comes from the room -----------------------------------------------------

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        async for entry in self._chat:
            line = self._narrator.line(entry)
            if line is not None:
                self.screen.show(line)
            self._notice()
            if self._chat.typing:
                loop.call_later(TYPING_EXPIRY, self._notice)

    def _notice(self) -> None:
        self.screen.notice(self._narrator.typing())


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
