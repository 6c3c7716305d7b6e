"""Entering rooms, in vain or not, and what is left of it in the end."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

import thkmesh
from tests.shell.world import PATIENCE, heard, server
from thkmesh import LeaveReason, LinkChanged, Message, PeerJoined, PeerLeft, Room


async def test_a_full_room_refuses(room: str) -> None:
    """The error is ``RoomFull``, at once, and there is a place when somebody leaves."""
    with server("max_peers=2") as url:
        async with thkmesh.join(url, room=room):
            async with thkmesh.join(url, room=room):
                with pytest.raises(thkmesh.RoomFull):
                    await thkmesh.join(url, room=room)
            async with thkmesh.join(url, room=room):
                pass


async def test_what_join_accepts_the_server_accepts(url: str, room: str) -> None:
    """The largest introduction of what takes most when it is escaped enters; one more does not."""
    for text in ('"', "\x1b"):
        refused = 4000
        accepted = 0
        while refused - accepted > 1:
            middle = (accepted + refused) // 2
            try:
                thkmesh.join(url, room=room, metadata={"a": text * middle})
                accepted = middle
            except thkmesh.InvalidArgument:
                refused = middle
        assert 500 < accepted < refused < 2000
        async with thkmesh.join(url, room=room, metadata={"a": text * accepted}) as joined:
            assert joined.me.metadata == {"a": text * accepted}


async def test_no_server_is_told_in_time_with_the_reason(room: str) -> None:
    """What the system says is in the text: nobody listens, no such name, no answer."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for url, reason in [
            ("http://127.0.0.1:1", "Connect call failed"),
            ("http://nobody.invalid", "is no address"),
            ("http://a..b", "is no address"),
            (f"http://127.0.0.1:{silent.getsockname()[1]}", "did not answer"),
        ]:
            began = loop.time()
            sentence = rf"not joined within 0\.5 s: .*{reason}"
            with pytest.raises(thkmesh.ServerUnreachable, match=sentence):
                await thkmesh.join(url, room=room, timeout=0.5)
            assert 0.5 <= loop.time() - began < PATIENCE


async def test_a_server_of_another_kind_is_told(url: str, room: str) -> None:
    """A page without our WebSocket is no signaling server."""
    with pytest.raises(thkmesh.ServerUnreachable, match="server rejected WebSocket connection"):
        await thkmesh.join(f"{url}/elsewhere", room=room, timeout=0.5)


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("http://127.0.0.1:1", "Connect call failed"),
        ("gopher://127.0.0.1:1", "isn't a valid proxy"),
        ("socks5://127.0.0.1:1", "python-socks"),
    ],
)
async def test_a_proxy_that_is_none_is_told(
    room: str, monkeypatch: pytest.MonkeyPatch, proxy: str, reason: str
) -> None:
    """A proxy of the environment that cannot be used is the reason in the text."""
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(thkmesh.ServerUnreachable, match=reason):
        await thkmesh.join("http://example.test", room=room, timeout=0.5)


async def test_joining_can_be_given_up_at_any_time(url: str, room: str) -> None:
    """Cancelled early or late, a join leaves nobody behind in the room."""

    async def enter() -> Room:
        return await thkmesh.join(url, room=room)

    async with thkmesh.join(url, room=room) as watcher:
        for milliseconds in range(40):
            joining = asyncio.create_task(enter())
            await asyncio.sleep(milliseconds / 1000)
            if not joining.cancel():
                await joining.result().leave()
            await asyncio.wait([joining])
        async with thkmesh.join(url, room=room) as last:
            await heard(watcher, PeerJoined, lambda event: event.peer == last.me)
            while watcher.peers != (last.me,):
                await heard(watcher, PeerLeft)
            assert last.peers == (watcher.me,)


async def test_who_was_given_up_in_the_middle_of_leaving_leaves(url: str, room: str) -> None:
    """Leaving goes on when nobody waits for it any more."""
    async with thkmesh.join(url, room=room) as watcher:
        leaver = await thkmesh.join(url, room=room)
        await heard(watcher, LinkChanged)
        leaving = asyncio.create_task(leaver.leave())
        await asyncio.sleep(0)
        leaving.cancel()
        assert await heard(watcher, PeerLeft) == PeerLeft(leaver.me, LeaveReason.LEFT)
        await leaver.wait_closed()
        assert leaving.cancelled()


async def test_the_newer_session_of_an_identity_takes_over(
    url: str, room: str, tmp_path: Path
) -> None:
    """The older one raises ``Replaced`` from all that is done with it; the others see one peer."""
    key = tmp_path / "key"
    async with (
        thkmesh.join(url, room=room) as watcher,
        thkmesh.join(url, room=room, key_file=key) as older,
        thkmesh.join(url, room=room, key_file=key) as newer,
    ):
        assert newer.me.id == older.me.id
        with pytest.raises(thkmesh.Replaced, match="4409"):
            async for _ in older:
                pass
        for _ in range(2):
            with pytest.raises(thkmesh.Replaced):
                await older.send("no longer mine")
        assert isinstance(older.error, thkmesh.Replaced)
        assert await heard(watcher, PeerLeft) == PeerLeft(older.me, LeaveReason.REPLACED)
        assert watcher.peers == (newer.me,)
        await watcher.send("to the newer", to=newer.me.id)
        assert (await heard(newer, Message)).data == "to the newer"


async def test_a_closed_loop_leaves_its_rooms(url: str, room: str) -> None:
    """A program that closes its loop without leaving is not here any more; others see it soon."""
    async with thkmesh.join(url, room=room) as other:

        async def forget() -> Room:
            return await thkmesh.join(url, room=room)

        forgotten = await asyncio.to_thread(asyncio.run, forget())
        assert await heard(other, PeerLeft) == PeerLeft(forgotten.me, LeaveReason.LEFT)


async def test_the_thread_ends_with_the_last_room(url: str, room: str) -> None:
    """However the last room ended, its thread ends too, and the next room starts another."""
    for _ in range(3):
        async with thkmesh.join(url, room=room):
            assert "thkmesh" in {thread.name for thread in threading.enumerate()}
        with pytest.raises(thkmesh.ServerUnreachable):
            await thkmesh.join("http://127.0.0.1:1", room=room, timeout=0.1)
        for thread in threading.enumerate():
            if thread.name == "thkmesh":
                thread.join(PATIENCE)
        assert "thkmesh" not in {thread.name for thread in threading.enumerate()}
