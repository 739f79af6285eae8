# Owns `headrace completion`: scripts that complete commands, flags and their choices in a shell,
# made from the parsers. A script is fixed text around one table: which words may follow which
# command.
"""Shell completion."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.cli.parsing import Parser


@dataclass
class Place:
    """Words of the command line after which other words may follow."""

    # Such as " create trigger", with a space before every word; "" is the beginning.
    path: str
    commands: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    # By flag, the values that it takes; none for a flag with any value.
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)


def places(parser: argparse.ArgumentParser, path: str = "") -> Iterator[Place]:
    """Every place of `parser`, aliases of commands included."""
    place = Place(path)
    children: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, child in action.choices.items():
                if isinstance(child, Parser) and child.refusal is not None:
                    continue
                if name in texts:
                    place.commands[name] = texts[name]
                children.append((name, child))
        elif action.help != argparse.SUPPRESS:
            for flag in action.option_strings:
                place.flags[flag] = action.help or ""
                if action.nargs != 0:
                    place.values[flag] = tuple(map(str, action.choices or ()))
    yield place
    for name, child in children:
        yield from places(child, f"{path} {name}")


def completion(namespace: argparse.Namespace) -> None:
    """``headrace completion``."""
    # Imported late: it imports everything, this module too.
    from engine.cli.main import build_parser

    print(script(namespace.shell, list(places(build_parser()))), end="")


def script(shell: str, known: list[Place]) -> str:
    """The script for `shell`."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](known)


def _cases(known: list[Place], variable: str) -> tuple[str, str, str]:
    """The table as branches of ``case`` statements, which bash and zsh read alike.

    They are: the places that there are; the words at each; the values of each flag there.
    """
    paths = "|".join(f'"{place.path}"' for place in known if place.path)
    words = "".join(
        f'    "{place.path}") {variable}="{" ".join([*place.commands, *place.flags])}";;\n'
        for place in known
    )
    values = "".join(
        f'    "{place.path} {flag}") {variable}="{" ".join(choices)}"; any={int(not choices)};;\n'
        for place in known
        for flag, choices in place.values.items()
    )
    return paths, words, values


def _bash(known: list[Place]) -> str:
    paths, words, values = _cases(known, "words")
    return f"""\
# Completion of headrace for bash: source <(headrace completion bash)
_headrace() {{
  local path="" words="" any=0 word current="${{COMP_WORDS[COMP_CWORD]}}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$path $word" in
      {paths}) path="$path $word";;
    esac
  done
  case "$path ${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}    *) case "$path" in
{words}    esac;;
  esac
  COMPREPLY=()
  if [ "$any" = 0 ]; then
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$words" -- "$current")
  fi
}}
complete -o default -F _headrace headrace
"""


def _zsh(known: list[Place]) -> str:
    paths, words, values = _cases(known, "known")
    return f"""\
#compdef headrace
# Completion of headrace for zsh: source <(headrace completion zsh)
_headrace() {{
  local place="" known="" any=0 word
  for word in "${{(@)words[2,CURRENT-1]}}"; do
    case "$place $word" in
      {paths}) place="$place $word";;
    esac
  done
  case "$place ${{words[CURRENT-1]}}" in
{values}    *) case "$place" in
{words}    esac;;
  esac
  if (( any )); then _files; else compadd -- ${{=known}} || _files; fi
}}
compdef _headrace headrace
"""


def _fish(known: list[Place]) -> str:
    paths = " ".join(f"'{place.path}'" for place in known if place.path)
    lines = [
        "# Completion of headrace for fish: headrace completion fish | source",
        "function __headrace_at",
        "  set -l place ''",
        "  for word in (commandline -opc)[2..]",
        f'    contains -- "$place $word" {paths}; and set place "$place $word"',
        "  end",
        '  test "$place" = "$argv[1]"',
        "end",
        "complete -c headrace -e",
    ]
    for place in known:
        start = f"complete -c headrace -n \"__headrace_at '{place.path}'\""
        lines += [
            f"{start} -f -a {name} -d {_fish_text(text)}" for name, text in place.commands.items()
        ]
        for flag, text in place.flags.items():
            name = flag.lstrip("-")
            kind = "l" if flag.startswith("--") else "s"
            line = f"{start} -{kind} {name} -d {_fish_text(text)}"
            choices = place.values.get(flag)
            if choices is not None:
                line += f" -x -a '{' '.join(choices)}'" if choices else " -r"
            lines.append(line)
    return "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("%%", "%")
    return f"'{escaped}'"
