"""Editing one line: keys in, a line out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thkmesh.cli.editor import Editor, Keyboard, cells, visible

LEFT, RIGHT, UP, DOWN = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B"


def typed(*keys: str) -> Editor:
    """Return an editor after some keys; plain text stands for one key a character."""
    editor = Editor()
    for key in keys:
        for each in [key] if key.startswith("\x1b") else key:
            editor.press(each)
    return editor


@pytest.mark.parametrize(
    ("keys", "text", "cursor"),
    [
        (["abc"], "abc", 3),
        (["a\tb"], "a b", 3),
        (["ac", LEFT, "b"], "abc", 2),
        (["abc", LEFT, LEFT, RIGHT, "\x7f"], "ac", 1),
        (["abc\b"], "ab", 2),
        (["\x7f", LEFT, RIGHT], "", 0),
        (["abc", RIGHT], "abc", 3),
        (["bc\x01a"], "abc", 1),
        (["bc", "\x1b[H", "a", "\x1b[F", "d"], "abcd", 4),
        (["bc", "\x1bOH", "a", "\x1bOF", "d"], "abcd", 4),
        (["abc\x01\x04"], "bc", 0),
        (["abc\x01", "\x1b[3~"], "bc", 0),
        (["abc", LEFT, "\x15"], "c", 0),
        (["abc", LEFT, "\x0b"], "ab", 2),
        (["one two  \x17"], "one ", 4),
        (["one two\x17\x17\x17"], "", 0),
        (["a\x00\x07b"], "ab", 2),
        (["a", "\x1b[5~", "\x1b[1;5D", "b"], "ab", 2),
        (["h\u00e9\u4e16\U0001f600\x7f"], "h\u00e9\u4e16", 3),
    ],
)
def test_keys_do_what_they_do_elsewhere(keys: list[str], text: str, cursor: int) -> None:
    """Letters go in, arrows and the usual control keys edit, the rest does nothing."""
    editor = typed(*keys)
    assert (editor.text, editor.cursor) == (text, cursor)


@pytest.mark.parametrize("enter", ["\r", "\n"])
def test_enter_completes_the_line(enter: str) -> None:
    """The line comes out whole, wherever the cursor was, and the next begins empty."""
    editor = typed("hello", LEFT)
    assert editor.press(enter) == "hello"
    assert (editor.text, editor.cursor) == ("", 0)
    assert editor.press(enter) == ""


def test_earlier_lines_come_back() -> None:
    """Up and down walk through what was typed; past the newest, the row is empty."""
    editor = typed("one\rtwo\r\r")
    shown: list[str] = []
    for key in (UP, UP, UP, DOWN, DOWN, DOWN, UP):
        editor.press(key)
        shown.append(editor.text)
    assert shown == ["two", "one", "one", "two", "", "", "two"]
    editor.press("!")
    assert editor.press("\r") == "two!"


@given(
    keys=st.lists(
        st.sampled_from([LEFT, RIGHT, UP, DOWN, "\r", "\x7f", "\x04", "\x15", "\x17", "\x01"])
        | st.characters()
    )
)
def test_no_key_can_break_a_line(keys: list[str]) -> None:
    """The cursor stays within the line, and nothing invisible gets into it."""
    editor = Editor()
    for key in keys:
        editor.press(key)
        assert 0 <= editor.cursor <= len(editor.text)
        assert not set(editor.text) & {chr(code) for code in range(32)}


@given(
    keys=st.lists(
        st.sampled_from([LEFT, RIGHT, UP, "\x1b[3~", "\x1b[1;5D", "\x1bOH", "\r", "\x04"])
        | st.characters(exclude_categories=["Cs"], exclude_characters="\x1b")
    ),
    cuts=st.lists(st.integers(1, 5)),
)
def test_keys_are_the_same_however_the_bytes_are_cut(keys: list[str], cuts: list[int]) -> None:
    """A character or a sequence that comes in pieces is one key."""
    data = "".join(keys).encode()
    keyboard = Keyboard()
    pressed: list[str] = []
    for cut in cuts:
        pressed += keyboard.feed(data[:cut])
        data = data[cut:]
    assert pressed + keyboard.feed(data) == keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"\x1bx", ["\x1b", "x"]),
        (b"\x1b\x1b[A", ["\x1b", "\x1b[A"]),
        (b"\x1b[\x01a", ["\x1b[\x01", "a"]),
        (b"\xffa", ["\ufffd", "a"]),
    ],
)
def test_odd_bytes_are_swallowed_not_stuck(data: bytes, keys: list[str]) -> None:
    """Alt, a broken sequence or broken UTF-8 does not swallow what follows."""
    assert Keyboard().feed(data) == keys


@given(
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])),
    where=st.integers(0, 100),
    columns=st.integers(2, 30),
)
def test_what_is_visible_fits_and_has_the_cursor_in_it(text: str, where: int, columns: int) -> None:
    """However long the line, the part shown fits, and the cursor is within it."""
    cursor = min(where, len(text))
    part, column = visible(text, cursor, columns)
    assert part in text
    assert cells(part) <= columns
    assert 0 <= column <= cells(part)
    if cells(text) <= columns:
        assert part == text
        assert column == cells(text[:cursor])


def test_wide_and_joining_characters_are_measured() -> None:
    """CJK and emoji take two columns, combining marks none."""
    assert [cells(text) for text in ("abc", "\u4e16\u754c", "e\u0301", "\U0001f600")] == [
        3,
        4,
        1,
        2,
    ]
