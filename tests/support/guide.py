# Owns how a page of the documentation is followed: its files are written, its commands run, and
# their output is compared with what the page shows.
"""Pages whose commands run."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.server import ServerProcess
from tests.support.waiting import wait_for

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


def follow(page: Path, server: ServerProcess) -> tuple[int, int]:
    """Do what `page` says beside `server`; return how many files and commands that were."""
    directory = server.plugin_dir.parent

    def run(line: str) -> str:
        words = shlex.split(line.replace("http://127.0.0.1:8181", server.url))
        if words[0] == "headrace":
            words = [sys.executable, "-m", "engine", *words[1:]]
        elif words[0] == "pytest":
            words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words[1:]]
        elif words[0] == "python":
            words = [sys.executable, *words[1:]]
        result = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=directory,
            env={
                "XDG_CONFIG_HOME": str(directory),
                **server.environment,
                "HEADRACE_HOST_URL": server.url,
            },
            check=False,
        )
        # What is refused is shown as such.
        is_refusal = "is not supported" in result.stderr
        if not line.startswith(_ASKING) and not is_refusal:
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        return result.stderr if is_refusal else result.stdout

    files = commands = 0
    pending = output = ""  # the command whose output the next block of text shows
    for info, content in blocks(page.read_text()):
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
            if pending.startswith(_ASKING) and not fits(output, content):
                wait_for(
                    lambda line=pending, expected=content: fits(run(line), expected),  # type: ignore[misc]
                    f"{pending} shows\n{content}",
                )
            else:
                assert fits(output, content), output
            pending = ""
    return files, commands
