"""Programs that join a room in a process of their own, and what the others see of them."""

from tests.shell.world import PATIENCE, Program, received
from thkmesh import LeaveReason, Message, PeerJoined, PeerLeft, sync

BEGIN = """
import asyncio, os, signal, sys, threading, time
import thkmesh
from thkmesh import LinkChanged, LinkState, Message, sync

url, room = sys.argv[1:]

def linked(joined):
    for event in joined:
        if isinstance(event, LinkChanged) and event.state is LinkState.CONNECTED:
            return joined

async def linked_async(joined):
    async for event in joined:
        if isinstance(event, LinkChanged) and event.state is LinkState.CONNECTED:
            return
"""


def run(source: str, url: str, room: str) -> Program:
    """Start a program that begins with ``BEGIN``."""
    return Program(BEGIN + source, url, room)


def farewell(watcher: sync.Room) -> tuple[list[object], LeaveReason]:
    """Return what the next peer that comes says until it goes, and why it goes."""
    peer = received(watcher, PeerJoined).peer
    said: list[object] = []
    while True:
        match watcher.receive(PATIENCE):
            case Message(peer=sender, data=data) if sender == peer:
                said.append(data)
            case PeerLeft(peer=gone, reason=reason) if gone == peer:
                return said, reason
            case _:
                pass
