"""Completion in shells, in those that are installed here."""

import shutil
import subprocess
from pathlib import Path

import pytest

from engine.cli.completion import places, script
from engine.cli.main import build_parser

ASKED = {
    "headrace cr": {"create"},
    "headrace create tr": {"trigger"},
    "headrace create trigger --trigger-": {"--trigger-spec", "--trigger-arguments"},
    "headrace query --format p": {"pretty", "parquet"},
    "headrace query -d db --langu": {"--language"},
    "headrace q -d db --langu": {"--language"},
    "headrace show system table --ord": {"--order-by"},
    "headrace completion ": set(),
}

BASH = """
source "$1"
COMP_WORDS=($2)
case "$2" in *" ") COMP_WORDS+=("");; esac
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_headrace
printf '%s\\n' "${COMPREPLY[@]}"
"""

# The shell itself leaves out what does not begin with the word.
ZSH = """
compdef() { : }
_files() { : }
compadd() { print -l -- ${@:2} }
source "$1"
words=(${=2})
case "$2" in *" ") words+=("");; esac
CURRENT=$#words
_headrace
"""

FISH = 'source $argv[1]; complete -C "$argv[2]"'


def complete(shell: str, code: str, path: Path, line: str) -> set[str]:
    command = {
        "bash": ["bash", "--norc", "-c", code, "bash", str(path), line],
        "zsh": ["zsh", "-f", "-c", code, "zsh", str(path), line],
        "fish": ["fish", "--no-config", "-c", code, "--", str(path), line],
    }[shell]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    last = line.split(" ")[-1]
    words = {text.split("\t")[0] for text in result.stdout.splitlines()}
    return {word for word in words if word.startswith(last) and word}


@pytest.mark.parametrize(("shell", "code"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_commands_flags_and_choices_are_completed(shell: str, code: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script(shell, list(places(build_parser()))))
    for line, expected in ASKED.items():
        if expected:
            assert complete(shell, code, path, line) == expected, line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_knows_every_flag_of_every_command(shell: str) -> None:
    known = list(places(build_parser()))
    text = script(shell, known)
    assert {place.path for place in known} >= {
        "",
        " serve",
        " create trigger",
        " show system table",
    }
    for place in known:
        assert place.path in text
        for flag in place.flags:
            assert flag.lstrip("-") in text
    # What is only there to be refused is not offered.
    assert "debug catalog" not in text
    assert "query-file-limit" not in text
