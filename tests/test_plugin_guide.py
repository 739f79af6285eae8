"""The guide to plugins is followed word for word, from an empty file to a deployed plugin."""

from collections.abc import Callable

import pytest

from tests.support.guide import blocks, fits, follow
from tests.support.server import ROOT, ServerProcess

GUIDE = ROOT / "docs" / "plugins.md"


@pytest.mark.e2e
def test_the_guide_works(make_server: Callable[..., ServerProcess]) -> None:
    files, commands = follow(GUIDE, make_server().start())
    assert files >= 7
    assert commands >= 18


def test_every_python_block_compiles() -> None:
    count = 0
    for info, content in blocks(GUIDE.read_text()):
        if info.startswith("python"):
            compile(content, info, "exec")
            count += 1
    assert count >= 8


@pytest.mark.parametrize(
    ("output", "expected", "answer"),
    [("a\nb\nc", "a\nb", True), ("a\nb\nc", "a\nc", False), ("in 5ms.", "in …ms", True)],
)
def test_shown_output_is_compared_line_by_line(output: str, expected: str, answer: bool) -> None:
    assert fits(output, expected) is answer
