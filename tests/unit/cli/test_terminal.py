"""What people at a terminal see."""

import io

import pytest

from engine.cli.terminal import RED, harmless, is_styled, show_table, styled


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


TABLE = """\
+------+--------------------+
| name | text               |
+------+--------------------+
| a    | short              |
| b    | a much longer text |
+------+--------------------+"""

WIDE = """\
+------+------------+
| name | text       |
+------+------------+
| 雷雨 | 気温と湿度 |
+------+------------+"""


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("NO_COLOR", "1")
    return Terminal()


def shown(text: str, columns: int, stream: Terminal, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    return show_table(text, stream).splitlines()


def test_a_table_that_fits_stays(plain: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(TABLE, 29, plain, monkeypatch) == TABLE.splitlines()
    assert shown(WIDE, 80, plain, monkeypatch) == WIDE.splitlines()


def test_values_do_nothing_to_the_terminal_and_lose_nothing(
    plain: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "\x1b[31m\x07\r\x0b\x0c\x85\x9b\u2028\u202e\t"
    border = f"+-{'-' * len(value)}-+"
    table = "\n".join([border, f"| {'v':{len(value)}} |", border, f"| {value} |", border])
    assert shown(table, 80, plain, monkeypatch)[3] == "| ␛[31m␇␍␋␌\ufffd\ufffd\ufffd\ufffd␉ |"
    assert harmless("a\tb\n\x7f\x1b", plain) == "a\tb\n␡␛"
    assert harmless(value, io.StringIO()) == value


def test_long_values_are_cut(plain: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(TABLE, 20, plain, monkeypatch) == [
        "+------+-----------+",
        "| name | text      |",
        "+------+-----------+",
        "| a    | short     |",
        "| b    | a much l… |",
        "+------+-----------+",
    ]
    # Letters that take two columns are not cut in half.
    assert shown(WIDE, 19, plain, monkeypatch)[3] == "| 雷雨 | 気温と…  |"
    assert shown(WIDE, 18, plain, monkeypatch)[3] == "| 雷雨 | 気温と… |"


def test_where_nothing_fits_rows_are_shown_as_records(
    plain: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(TABLE, 12, plain, monkeypatch) == [
        *("name: a", "text: short", ""),
        *("name: b", "text: a much longer text"),
    ]


@pytest.mark.parametrize("text", ["++\n++", "", "hello", "+-a-+\n| x |"])
def test_what_is_no_table_stays(
    text: str, plain: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "3")
    assert show_table(text, plain) == text


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert styled("x", RED, Terminal()) == "\033[31;1mx\033[0m"
    assert styled("x", RED, io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_styled(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not is_styled(Terminal())
