"""The row being typed in, and the lines above it."""

from hypothesis import given
from hypothesis import strategies as st

from tests.cli.terminal import Terminal
from thkmesh.cli.screen import Screen


def screen(terminal: Terminal) -> Screen:
    """Return our screen on a terminal."""
    return Screen(terminal.write, lambda: terminal.columns)


def test_a_line_appears_above_what_is_being_typed() -> None:
    """The typed text stays whole, and the cursor where it was."""
    terminal = Terminal()
    ours = screen(terminal)
    ours.show("Demo: hello")
    ours.edit("half a li", 4)
    ours.show("Bob: I interrupt you")
    assert terminal.lines == ["Demo: hello", "Bob: I interrupt you", "> half a li"]
    assert (terminal.row, terminal.column) == (2, 2 + 4)


def test_a_notice_is_under_the_row_and_goes_away() -> None:
    """It disturbs neither the lines above nor the cursor, and leaves no trace."""
    terminal = Terminal()
    ours = screen(terminal)
    ours.edit("mine", 4)
    ours.notice("Bob is typing ...")
    assert terminal.lines == ["> mine", "Bob is typing ..."]
    assert (terminal.row, terminal.column) == (0, 6)
    ours.show("Bob: hi")
    assert terminal.lines == ["Bob: hi", "> mine", "Bob is typing ..."]
    ours.notice("")
    assert terminal.lines == ["Bob: hi", "> mine"]


def test_a_long_line_scrolls_sideways() -> None:
    """The row is one row however long the line, with the cursor in sight."""
    terminal = Terminal(columns=12)
    ours = screen(terminal)
    ours.edit("abcdefghijklmnop", 16)
    assert terminal.lines == ["> hijklmnop"]
    ours.edit("abcdefghijklmnop", 0)
    assert terminal.lines == ["> abcdefghi"]


def test_the_end_leaves_the_story_and_no_row() -> None:
    """What was said stays; the shell's prompt follows it."""
    terminal = Terminal()
    ours = screen(terminal)
    ours.show("Demo: bye")
    ours.edit("unsaid", 6)
    ours.notice("Bob is typing ...")
    ours.close()
    terminal.write("$ ")
    assert terminal.lines == ["Demo: bye", "$"]


@given(
    steps=st.lists(
        st.tuples(st.just("show"), st.text("abc", max_size=90))
        | st.tuples(st.just("edit"), st.text("xyz", max_size=60))
        | st.tuples(st.just("notice"), st.text("n", max_size=60)),
        max_size=20,
    )
)
def test_nothing_shown_is_ever_lost_or_torn(steps: list[tuple[str, str]]) -> None:
    """Whatever happens in whatever order, the story above is exactly the lines shown."""
    terminal = Terminal(columns=40, rows=6)
    ours = screen(terminal)
    shown: list[str] = []
    typed = notice = ""
    for step, text in steps:
        match step:
            case "show":
                ours.show(text)
                shown += [text[at : at + 40] for at in range(0, len(text), 40)] or [""]
            case "edit":
                ours.edit(typed := text, len(text))
            case _:
                ours.notice(notice := text)
    ours.redraw()
    row = f"> {typed[-37:]}".rstrip()
    under = [notice[:39]] if notice else []
    assert terminal.scrolled + terminal.lines == [*shown, row, *under]
