"""Parts of `headrace write` that need no server."""

import io
import sys

import pytest

from engine.cli.write import CHUNK_BYTES, Progress, chunks


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("size", "quiet", "is_shown"),
    [
        (2 * CHUNK_BYTES, False, True),
        (None, False, True),
        (2 * CHUNK_BYTES, True, False),
        (CHUNK_BYTES, False, False),
    ],
)
def test_a_bar_is_drawn_for_large_input_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, size: int | None, quiet: bool, is_shown: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(size, quiet=quiet)
    progress.add(CHUNK_BYTES)
    progress.close()
    text = terminal.getvalue()
    assert bool(text) is is_shown
    assert (" 50 %" in text) is (is_shown and size is not None)
    assert not is_shown or text.endswith("\n")


def test_no_bar_goes_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    Progress(2 * CHUNK_BYTES, quiet=False).add(CHUNK_BYTES)
    assert not sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_chunks_end_with_lines() -> None:
    body = b"aaa\nbb\ncccccccccc\nd"
    assert list(chunks(io.BytesIO(body), 4)) == [b"aaa\n", b"bb\n", b"cccccccccc\n", b"d"]
    # A line break may stand in a text.
    assert list(chunks(io.BytesIO(b'm f="a\nb"'))) == [b'm f="a\nb"']
    assert list(chunks(io.BytesIO(b""), 4)) == []
    lines = [b'm f="a\n",g="b\\"\n" 1\n', b'm,t=" f=1\n', b'# "\n', b"m\\\n f=1\n", b'm f="\n"']
    for size in range(1, 60):
        body = b"".join(lines)
        parts = list(chunks(io.BytesIO(body), size))
        assert b"".join(parts) == body
        ends = [sum(map(len, lines[:count])) for count in range(1, 6)]
        assert {sum(map(len, parts[:count])) for count in range(1, len(parts) + 1)} <= {*ends}
