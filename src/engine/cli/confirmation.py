# Owns the question that stands before everything that destroys: asked on a terminal, answered by
# --yes, or by a line of standard input, as scripts for the reference do it.
"""Confirmation by the user."""

import argparse
import sys

from engine.errors import ConfigError


def confirm(
    namespace: argparse.Namespace, deed: str, *, asks_scripts: bool, unsaid: str = ""
) -> bool:
    """Whether to go on with `deed` (``delete database "x"``); False after a dry run.

    A script is asked only if `asks_scripts`, which the reference does with the same command.
    `unsaid` tells what the deed takes along.

    Raises:
        ConfigError: The user did not say yes.
    """
    if namespace.dry_run:
        print(f"Would {deed}{unsaid}; nothing was done")
        return False
    if namespace.yes or (not asks_scripts and not sys.stdin.isatty()):
        return True
    question = f"{deed[0].upper()}{deed[1:]}{unsaid}? [yes/no] "
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    if not sys.stdin.isatty():
        print(file=sys.stderr)
    raise ConfigError("nothing was changed", hint="answer yes, or add --yes")
