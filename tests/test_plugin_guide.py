"""The guide to plugins is followed word for word, from an empty file to a deployed plugin."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT, ServerProcess
from tests.support.waiting import wait_for

GUIDE = ROOT / "docs" / "plugins.md"
# These may be asked again until they show what a trigger did meanwhile.
_ASKING = ("headrace query", "headrace show", "curl")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(info string, content) of each fenced block."""
    for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield match[1], match[2]


def fits(output: str, expected: str) -> bool:
    """Whether the lines of `expected` follow each other in `output`; ``…`` stands for anything."""
    pattern = re.escape(expected.strip()).replace("…", ".*?")
    return re.search(pattern, output, re.DOTALL) is not None


@pytest.mark.e2e
def test_the_guide_works(make_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    server = make_server().start()
    directory = server.plugin_dir.parent

    def run(line: str) -> str:
        words = shlex.split(line.replace("http://127.0.0.1:8181", server.url))
        if words[0] == "headrace":
            words = [sys.executable, "-m", "engine", *words[1:]]
        elif words[0] == "pytest":
            words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words[1:]]
        result = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=directory,
            env={**os.environ, "HEADRACE_HOST_URL": server.url},
            check=False,
        )
        if not line.startswith(_ASKING):
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        return result.stdout

    files = commands = 0
    pending = ""  # the command whose output the next block of text shows
    for info, content in blocks(GUIDE.read_text()):
        language, _, filename = info.partition(" ")
        if filename:
            path = directory / filename
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
            files += 1
        elif language == "bash":
            for line in content.replace("\\\n", "").splitlines():
                if line.startswith("headrace serve"):
                    continue
                assert not pending.startswith(_ASKING), f"what does it show? {pending}"
                pending, output = line, run(line)
                commands += 1
        elif language == "text" and pending:
            if pending.startswith(_ASKING):
                wait_for(
                    lambda line=pending, expected=content: fits(run(line), expected),
                    f"{pending} shows\n{content}",
                )
            else:
                assert fits(output, content), output
            pending = ""
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
