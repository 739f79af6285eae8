# Owns where a server's answer goes: to a file, a pipe, or a terminal.
"""Printing of answers."""

import argparse
import sys
from pathlib import Path

from engine.cli.terminal import harmless, show_table
from engine.errors import ConfigError


def check_target(namespace: argparse.Namespace) -> None:
    """Refuse before anything is asked what could not be shown.

    Raises:
        ConfigError: Parquet would go to a terminal.
    """
    if namespace.format == "parquet" and namespace.output is None and sys.stdout.isatty():
        raise ConfigError("parquet is not for a terminal", hint="add --output FILE")


def deliver(namespace: argparse.Namespace, answer: bytes) -> None:
    """Write `answer`, of ``--format``, to ``--output`` or to standard output."""
    if namespace.output is not None:
        Path(namespace.output).write_bytes(answer)
        return
    if namespace.format == "pretty" and sys.stdout.isatty():
        print(show_table(answer.decode("utf-8", "replace")))
        return
    if namespace.format != "parquet" and sys.stdout.isatty():
        answer = harmless(answer.decode("utf-8", "replace"), sys.stdout).encode()
    sys.stdout.buffer.write(answer)
    if answer and not answer.endswith(b"\n") and namespace.format != "parquet":
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
