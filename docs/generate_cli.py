"""Writes the generated part of cli.md: `make docs`. A test fails while the two differ."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.cli import shared_flags
from engine.cli.main import build_parser
from engine.cli.parsing import Parser
from engine.cli.unsupported import COMMANDS

PAGE = Path(__file__).with_name("cli.md")
START = "<!-- commands: made by `make docs` from the parsers -->\n"
END = "<!-- end of commands -->\n"


def leaves(parser: Parser) -> Iterator[tuple[Parser, list[str], str]]:
    """Every command that does something, other spellings of its last word, and what it does."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            spellings: dict[int, list[str]] = {}
            for name, child in action.choices.items():
                spellings.setdefault(id(child), []).append(name)
            texts = {choice.dest: choice.help for choice in action._choices_actions}
            children = {id(child): child for child in action.choices.values()}
            for key, child in children.items():
                if any(isinstance(one, argparse._SubParsersAction) for one in child._actions):
                    yield from leaves(child)
                elif child.refusal is None:
                    text = child.description or f"{texts[spellings[key][0]]}."
                    yield child, spellings[key][1:], text[0].upper() + text[1:]


def described(parser: Parser) -> str:
    """All commands with their flags."""
    parents = (shared_flags.connection(), shared_flags.database(), shared_flags.answer())
    actions = [action for parent in parents for action in parent._actions]
    shared = {(tuple(action.option_strings), action.help) for action in actions}
    parts = [
        "Flags of the commands that talk to a server; the last three of those that are about a "
        "database, and that show something:",
        "",
        *_rows(actions),
        "",
    ]
    unsupported: dict[str, list[str]] = {}
    for leaf, aliases, text in leaves(parser):
        parts += [f"### {leaf.prog}", "", text, ""]
        if aliases:
            parts += [f"Also spelled {', '.join(f'`{alias}`' for alias in aliases)}.", ""]
        parts += [f"`{_usage(leaf)}`", ""]
        rows = _rows(
            action
            for action in leaf._actions
            if (tuple(action.option_strings), action.help) not in shared
        )
        if len(rows) > 2:
            parts += [*rows, ""]
        for flag, reason in leaf.unsupported.items():
            if leaf.prog != "headrace show config":  # it has those of serve
                unsupported.setdefault(f"`{leaf.prog}`: {reason}", []).append(flag)
    parts += ["## Not supported", "", "Refused with the reason, and exit status 2:", ""]
    parts += ["| of the reference | why, or what instead |", "|---|---|"]
    parts += [f"| `{' '.join(words)}` | {reason} |" for words, reason in COMMANDS.items()]
    for text, flags in unsupported.items():
        command, reason = text.split(": ", 1)
        shown = ", ".join(f"`{flag}`" for flag in flags)
        parts.append(f"| {command} {shown} | {reason} |")
    return "\n".join(parts) + "\n"


def _usage(parser: Parser) -> str:
    words = [parser.prog]
    for action in parser._actions:
        name = str(action.metavar or action.dest.upper())
        if not action.option_strings and action.help != argparse.SUPPRESS:
            words.append({"?": f"[{name}]", "*": f"[{name}…]"}.get(str(action.nargs), name))
        elif action.required:
            words.append(f"{action.option_strings[0]} {name}")
    if parser.get_default("needs_database"):
        words.append("--database NAME")
    return " ".join(words)


def _rows(actions: Iterable[argparse.Action]) -> list[str]:
    rows = ["| flag | |", "|---|---|"]
    for action in actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        names = ", ".join(f"`{flag}`" for flag in action.option_strings)
        if not action.option_strings:
            if action.help is None:
                continue
            names = f"`{action.metavar}`"
        elif action.choices:
            names += f" {' '.join(f'`{choice}`' for choice in action.choices)}"
        elif action.nargs != 0:
            names += f" {action.metavar or action.dest.upper()}"
        text = (action.help or "").replace("%%", "%").replace("|", "\\|")
        rows.append(f"| {names} | {text} |")
    return rows


def generated(page: str) -> str:
    """`page` with its generated part renewed."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + START + described(build_parser()) + END + after


if __name__ == "__main__":
    content = generated(PAGE.read_text())
    if sys.argv[1:] == ["--check"]:
        sys.exit(content != PAGE.read_text())
    PAGE.write_text(content)
